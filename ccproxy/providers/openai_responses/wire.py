"""The Responses API on the wire: the request, the whole answer, the events of a stream.

Source: https://platform.openai.com/docs/api-reference/responses and the types of the `openai` SDK 3.54. Members
that no rule here reads are not modelled; what has another shape in items of other types stays Raw.
"""

from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy.messages import ABSENT
from ccproxy.providers.answers import Tokens
from ccproxy.providers.openai_chat.wire import JsonSchema

# The request.


class Breakpoint(Struct, frozen=True):
    """Marks the end of what is to be cached."""

    mode: str = "explicit"


class InputText(Struct, frozen=True, tag="input_text", omit_defaults=True):
    """Text of the user, the developer or a tool."""

    text: str
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


class InputImage(Struct, frozen=True, tag="input_image", omit_defaults=True):
    """An image: an address, or a `data:` URL."""

    image_url: str
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


class InputFile(Struct, frozen=True, tag="input_file", omit_defaults=True):
    """A PDF: its name and its content as a `data:` URL, or its address."""

    filename: str | UnsetType = UNSET
    file_data: str | UnsetType = UNSET
    file_url: str | UnsetType = UNSET
    prompt_cache_breakpoint: Breakpoint | UnsetType = UNSET


class OutputText(Struct, frozen=True, tag="output_text"):
    """Text of the model."""

    text: str


Part = InputText | InputImage | InputFile


class InputMessage(Struct, frozen=True, tag="message", omit_defaults=True):
    """What somebody said. `role` is system, developer, user or assistant; `phase` is the assistant's."""

    role: str
    content: list[Part | OutputText]
    phase: str | UnsetType = UNSET


class FunctionCall(Struct, frozen=True, tag="function_call"):
    """A call of an earlier turn. `arguments` is a JSON text."""

    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(Struct, frozen=True, tag="function_call_output"):
    """What a call gave."""

    call_id: str
    output: str | list[Part]


class Reasoning(Struct, frozen=True, tag="reasoning"):
    """The model's reasoning on its way back. `summary` is a list of texts, as it came."""

    id: str
    summary: Raw
    encrypted_content: str


InputItem = InputMessage | FunctionCall | FunctionCallOutput | Reasoning


class FunctionTool(Struct, frozen=True, tag="function", omit_defaults=True):
    """A tool. `strict` is demanded: where it is absent the API takes it for true."""

    name: str
    strict: bool
    parameters: Raw
    description: str | UnsetType = UNSET


class Filters(Struct, frozen=True, omit_defaults=True):
    """Where a search may look."""

    allowed_domains: list[str] | UnsetType = UNSET
    blocked_domains: list[str] | UnsetType = UNSET


class SearchTool(Struct, frozen=True, tag="web_search", omit_defaults=True):
    """A search that OpenAI runs."""

    filters: Filters | UnsetType = UNSET
    user_location: Raw | UnsetType = UNSET


class NamedTool(Struct, frozen=True, tag="function"):
    """The tool that is to be called."""

    name: str


class ReasoningConfig(Struct, frozen=True, omit_defaults=True):
    """How much the model reasons, and whether it tells."""

    effort: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET


class Format(JsonSchema, frozen=True, omit_defaults=True, kw_only=True, tag="json_schema"):
    """Structured output."""


class TextConfig(Struct, frozen=True):
    """The form of the text."""

    format: Format


class CountRequest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What counts as input: all of a request that `/responses/input_tokens` knows."""

    model: str
    input: list[InputItem]
    instructions: str | UnsetType = UNSET
    tools: list[FunctionTool | SearchTool] | UnsetType = UNSET
    tool_choice: str | NamedTool | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning: ReasoningConfig | UnsetType = UNSET
    text: TextConfig | UnsetType = UNSET


class ResponsesRequest(CountRequest, frozen=True, omit_defaults=True, kw_only=True):
    """A request. With `store` false OpenAI keeps nothing: the conversation brings its own state."""

    store: bool
    max_output_tokens: int
    max_tool_calls: int | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    include: list[str] | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    safety_identifier: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    prompt_cache_key: str | UnsetType = UNSET


class InputTokens(Struct, frozen=True):
    """The answer to a `CountRequest`."""

    input_tokens: Tokens


# Answers.


class Typed(Struct, frozen=True):
    """Any item, part or event: its type, by which the rest is read."""

    type: str


class TextPart(Struct, frozen=True):
    """A part: `output_text` or `refusal` of a message, `summary_text` or `reasoning_text` of a reasoning."""

    type: str
    text: str | None = None
    refusal: str | None = None


class OutputMessage(Struct, frozen=True):
    """What the model says."""

    content: list[TextPart] = []
    phase: str | None = None


class OutputCall(Struct, frozen=True):
    """A call. `arguments` is a JSON text."""

    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None


class OutputReasoning(Struct, frozen=True):
    """Reasoning: `summary` is made for people, `content` (of open models) is the thing itself."""

    id: str | None = None
    summary: Raw = ABSENT
    content: list[TextPart] | None = None
    encrypted_content: str | None = None


class InputDetails(Struct, frozen=True):
    """Parts of `input_tokens`."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None


class OutputDetails(Struct, frozen=True):
    """Parts of `output_tokens`."""

    reasoning_tokens: Tokens | None = None


class ResponseUsage(Struct, frozen=True):
    """Tokens; the totals include the parts."""

    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class IncompleteDetails(Struct, frozen=True):
    """Why an answer is not whole."""

    reason: str | None = None


class Response(Struct, frozen=True):
    """An answer. `status` is completed, incomplete, failed, cancelled, queued or in_progress."""

    id: str | None = None
    status: str | None = None
    output: list[Raw] | None = None
    usage: ResponseUsage | None = None
    service_tier: object = None
    error: Raw | UnsetType = UNSET
    incomplete_details: IncompleteDetails | None = None


class StreamEvent(Struct, frozen=True, gc=False):
    """The data of one server-sent event. `delta` and `arguments` are texts where they are read."""

    type: str
    output_index: int | None = None
    summary_index: int | None = None
    content_index: int | None = None
    delta: Raw = ABSENT
    arguments: Raw = ABSENT
    item: Raw = ABSENT
    response: Raw = ABSENT
