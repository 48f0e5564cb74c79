"""What DeepSeek sends, as Structs.

Source: https://api-docs.deepseek.com/api/create-chat-completion and recorded answers, for which members there are
where: null is sent, what is UNSET is not.
"""

from msgspec import UNSET, Struct, UnsetType

from ccproxy.demo.openai_chat_wire import CallDelta, Function


class ToolCall(Struct, kw_only=True):
    """A call of a function; it tells its place also in a whole answer."""

    index: int
    id: str
    type: str = "function"
    function: Function


class Message(Struct, kw_only=True):
    """An answer. `content` is empty, never null, where there are calls alone."""

    role: str = "assistant"
    content: str
    reasoning_content: str | UnsetType
    tool_calls: list[ToolCall] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    """The only choice."""

    index: int = 0
    message: Message
    logprobs: None = None
    finish_reason: str


class PromptDetails(Struct):
    """Part of the prompt's tokens."""

    cached_tokens: int


class CompletionDetails(Struct):
    """Part of the completion's tokens."""

    reasoning_tokens: int


class WireUsage(Struct):
    """Usage as the API words it."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    prompt_cache_hit_tokens: int
    prompt_cache_miss_tokens: int


class Completion(Struct, kw_only=True):
    """A whole answer."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: WireUsage
    system_fingerprint: str = "fp_demo"


class Delta(Struct):
    """What a chunk adds."""

    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType | None = UNSET
    tool_calls: list[CallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The only choice of a chunk."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: str | None


class Chunk(Struct, kw_only=True):
    """A chunk of a stream. `usage` is null until the last one."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str = "fp_demo"
    choices: list[ChunkChoice]
    usage: WireUsage | None


class Error(Struct):
    """What went wrong."""

    message: str
    type: str
    code: str
    param: None = None


class ErrorBody(Struct):
    """An error, as body or as chunk."""

    error: Error
