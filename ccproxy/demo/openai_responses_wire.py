"""What OpenAI's Responses API sends, as Structs.

Source: https://platform.openai.com/docs/api-reference/responses, /responses-streaming and recorded answers, for
which members there are where: null is sent, what is UNSET is not.
"""

from msgspec import UNSET, Raw, Struct, UnsetType, field


class OutputText(Struct, kw_only=True, tag="output_text"):
    """Text of the model."""

    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[()] = ()


class SummaryText(Struct, tag="summary_text"):
    """Reasoning as it is told."""

    text: str


class Message(Struct, kw_only=True, tag="message"):
    """What the model says."""

    id: str
    status: str
    role: str = "assistant"
    content: list[OutputText]


class Reasoning(Struct, kw_only=True, tag="reasoning"):
    """What the model thinks; the state is sent only on demand."""

    id: str
    summary: list[SummaryText]
    encrypted_content: str | UnsetType


class FunctionCall(Struct, kw_only=True, tag="function_call"):
    """A call; `arguments` is JSON text."""

    id: str
    status: str
    arguments: str
    call_id: str
    name: str


Item = Message | Reasoning | FunctionCall
Part = OutputText | SummaryText


class InputDetails(Struct):
    """Part of the input's tokens; written ones are named by newer models alone."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Struct):
    """Part of the output's tokens."""

    reasoning_tokens: int


class WireUsage(Struct):
    """Usage as the API words it."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(Struct):
    """Why an answer is not whole."""

    reason: str


class Failed(Struct):
    """Why an answer failed."""

    code: str
    message: str


class FunctionTool(Struct, kw_only=True, tag="function"):
    """A tool of the request."""

    name: str
    parameters: Raw
    strict: bool = False
    description: None = None


class NamedTool(Struct, tag="function"):
    """The tool that the request forces."""

    name: str


class PlainFormat(Struct, tag="text"):
    """Text without a form."""


class TextConfig(Struct):
    """The form of the text."""

    format: PlainFormat = field(default_factory=PlainFormat)


class Response(Struct, kw_only=True):
    """A whole answer, and in events the answer as far as it has come."""

    id: str
    object: str = "response"
    created_at: int
    status: str
    background: bool = False
    error: Failed | None = None
    incomplete_details: Incomplete | None = None
    instructions: None = None
    max_output_tokens: int | None = None
    model: str
    output: list[Item]
    parallel_tool_calls: bool = True
    previous_response_id: None = None
    store: bool = False
    temperature: float = 1.0
    text: TextConfig = field(default_factory=TextConfig)
    tool_choice: str | NamedTool = "auto"
    tools: list[FunctionTool] = field(default_factory=list)
    top_p: float = 1.0
    truncation: str = "disabled"
    usage: WireUsage | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class Event(Struct, kw_only=True):
    """The data of any event; the type says which members it has."""

    type: str
    sequence_number: int | UnsetType = UNSET
    item_id: str | UnsetType = UNSET
    output_index: int | UnsetType = UNSET
    content_index: int | UnsetType = UNSET
    summary_index: int | UnsetType = UNSET
    delta: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    logprobs: list[str] | UnsetType = UNSET
    part: Part | UnsetType = UNSET
    item: Item | UnsetType = UNSET
    response: Response | UnsetType = UNSET


class ErrorEvent(Struct, kw_only=True, tag_field="type", tag="error"):
    """An error in place of what would come."""

    code: str | None
    message: str
    param: None = None
    sequence_number: int = 0


class TokenCount(Struct, tag_field="object", tag="response.input_tokens"):
    """The answer to `/responses/input_tokens`."""

    input_tokens: int
