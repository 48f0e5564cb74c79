"""What OpenAI's Chat Completions send, as Structs.

Source: https://platform.openai.com/docs/api-reference/chat/object and recorded answers, for which members there
are where: null is sent, what is UNSET is not.
"""

from msgspec import UNSET, Struct, UnsetType

from ccproxy.demo.steps import ArgumentsPiece, CallStart


class Function(Struct):
    """What is called; `arguments` is JSON text."""

    name: str
    arguments: str


class ToolCall(Struct, kw_only=True):
    """A call of a function."""

    id: str
    type: str = "function"
    function: Function


class Message(Struct, kw_only=True):
    """An answer."""

    role: str = "assistant"
    content: str | None
    tool_calls: list[ToolCall] | UnsetType = UNSET
    refusal: str | None = None
    annotations: tuple[()] = ()


class Choice(Struct, kw_only=True):
    """The only choice."""

    index: int = 0
    message: Message
    logprobs: None = None
    finish_reason: str


class PromptDetails(Struct):
    """Part of the prompt's tokens; written ones are named by newer models alone."""

    cached_tokens: int
    cache_write_tokens: int | UnsetType = UNSET
    audio_tokens: int = 0


class CompletionDetails(Struct):
    """Part of the completion's tokens."""

    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class WireUsage(Struct):
    """Usage as the API words it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class Completion(Struct, kw_only=True):
    """A whole answer."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: WireUsage
    service_tier: str = "default"
    system_fingerprint: str = "fp_demo"


class FunctionDelta(Struct):
    """More of a call; the first one brings the name."""

    name: str | UnsetType = UNSET
    arguments: str = ""


class CallDelta(Struct, kw_only=True):
    """Which call goes on; the first one brings id and type."""

    index: int
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: FunctionDelta


def call_start(step: CallStart, id: str) -> CallDelta:  # noqa: A002  # the API's word
    """A call as it begins."""
    return CallDelta(index=step.number, id=id, type="function", function=FunctionDelta(step.name))


def call_more(step: ArgumentsPiece) -> CallDelta:
    """More of its arguments."""
    return CallDelta(index=step.number, function=FunctionDelta(arguments=step.text))


class Delta(Struct):
    """What a chunk adds."""

    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    tool_calls: list[CallDelta] | UnsetType = UNSET
    refusal: str | UnsetType | None = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The only choice of a chunk."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: str | None


class Chunk(Struct, kw_only=True):
    """A chunk of a stream. `usage` is null until the last one, and not there where it was not asked for."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    service_tier: str = "default"
    system_fingerprint: str = "fp_demo"
    choices: list[ChunkChoice]
    usage: WireUsage | UnsetType | None


class Error(Struct):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(Struct):
    """An error, as body or as chunk."""

    error: Error


class Model(Struct):
    """A model."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "ccproxy-demo"


class ModelList(Struct, kw_only=True):
    """All models."""

    object: str = "list"
    data: list[Model]
