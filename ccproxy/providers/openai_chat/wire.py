"""Chat Completions on the wire: the request, the whole answer, the chunk of a stream.

Source: https://platform.openai.com/docs/api-reference/chat and the types of the `openai` SDK 3.54. Members that no
rule here reads are not modelled; `reasoning_content` and `reasoning` are what compatible servers call thinking.
"""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy.providers.answers import Tokens

# The request.


class TextPart(Struct, frozen=True, tag="text", omit_defaults=True):
    """Text. OpenRouter takes Anthropic's `cache_control`."""

    text: str
    cache_control: Raw | UnsetType = UNSET


class ImageUrl(Struct, frozen=True):
    """An address, or a `data:` URL."""

    url: str


class ImagePart(Struct, frozen=True, tag="image_url"):
    """An image."""

    image_url: ImageUrl


class File(Struct, frozen=True):
    """A file's name and its content as a `data:` URL."""

    filename: str
    file_data: str


class FilePart(Struct, frozen=True, tag="file"):
    """A PDF."""

    file: File


Part = TextPart | ImagePart | FilePart


class CalledFunction(Struct, frozen=True):
    """A call. `arguments` is a JSON text."""

    name: str
    arguments: str


class Call(Struct, frozen=True, tag="function"):
    """A call of an earlier turn."""

    id: str
    function: CalledFunction


class ChatMessage(Struct, frozen=True, omit_defaults=True):
    """One message. `role` is system, developer, user, assistant or tool."""

    role: str
    content: str | list[Part]
    tool_calls: list[Call] | UnsetType = UNSET
    tool_call_id: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[Any] | UnsetType = UNSET


class Function(Struct, frozen=True, omit_defaults=True):
    """A function. `parameters` is a JSON schema."""

    name: str
    description: str | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    strict: bool | UnsetType = UNSET


class FunctionTool(Struct, frozen=True, tag="function", omit_defaults=True):
    """A tool."""

    function: Function
    cache_control: Raw | UnsetType = UNSET


class SearchParameters(Struct, frozen=True, omit_defaults=True):
    """What a search may do."""

    max_uses: int | UnsetType = UNSET
    allowed_domains: list[str] | UnsetType = UNSET
    excluded_domains: list[str] | UnsetType = UNSET
    user_location: Raw | UnsetType = UNSET


class SearchTool(Struct, frozen=True, tag="openrouter:web_search"):
    """A search that OpenRouter runs, as recorded requests have it."""

    parameters: SearchParameters


class JsonSchema(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A schema for the answer."""

    name: str
    schema: Raw
    strict: bool | UnsetType = UNSET


class ResponseFormat(Struct, frozen=True, tag="json_schema"):
    """Structured output."""

    json_schema: JsonSchema


class JsonObject(Struct, frozen=True, tag="json_object"):
    """Some JSON; the schema is told in words."""


class StreamOptions(Struct, frozen=True):
    """Without `include_usage` a stream has no usage."""

    include_usage: bool


class ChatRequest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A request."""

    model: str
    messages: list[ChatMessage]
    max_completion_tokens: int | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    stream_options: StreamOptions | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    tools: list[FunctionTool | SearchTool] | UnsetType = UNSET
    tool_choice: str | FunctionTool | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET
    reasoning_effort: str | UnsetType = UNSET
    thinking: dict[str, str] | UnsetType = UNSET
    reasoning: dict[str, str | int | bool] | UnsetType = UNSET
    response_format: ResponseFormat | JsonObject | UnsetType = UNSET
    safety_identifier: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    models: list[str] | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    prompt_cache_key: str | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    provider: dict[str, bool] | UnsetType = UNSET


# Answers.


class PromptDetails(Struct, frozen=True):
    """Parts of `prompt_tokens`."""

    cached_tokens: Tokens | None = None
    cache_write_tokens: Tokens | None = None


class CompletionDetails(Struct, frozen=True):
    """Parts of `completion_tokens`."""

    reasoning_tokens: Tokens | None = None


class ChatUsage(Struct, frozen=True):
    """Tokens; the totals include the parts.

    DeepSeek tells hits and misses of its cache besides, OpenRouter the `cost` in US dollars. Others may call
    something else so.
    """

    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Tokens | None = None
    prompt_cache_miss_tokens: Tokens | None = None
    cost: object = None


class FunctionPiece(Struct, frozen=True, gc=False):
    """A name and arguments, whole or in pieces."""

    name: str | None = None
    arguments: str | None = None


class CallPiece(Struct, frozen=True, gc=False):
    """A call, whole or in pieces that `index` joins."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


class Delta(Struct, frozen=True, gc=False):
    """What the model says: the message of a whole answer, or the next piece of a stream.

    `function_call` is how servers from before tools call one function.
    """

    content: str | None = None
    tool_calls: list[CallPiece] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    function_call: FunctionPiece | None = None
    reasoning_details: Raw | UnsetType = UNSET
    annotations: Raw | UnsetType = UNSET


class StreamChoice(Struct, frozen=True, gc=False):
    """One of the alternatives in a chunk. Only one, index 0, is asked for."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None


class Chunk(Struct, frozen=True, gc=False):
    """The data of one server-sent event. `error` comes in place of an answer."""

    id: str | None = None
    choices: list[StreamChoice] | None = None
    usage: ChatUsage | None = None
    service_tier: object = None
    error: Raw | UnsetType = UNSET


class Choice(Struct, frozen=True):
    """One of the alternatives in a whole answer."""

    index: int = 0
    message: Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None


class Completion(Struct, frozen=True):
    """A whole answer. `error` comes in place of one."""

    id: str | None = None
    choices: list[Choice] | None = None
    usage: ChatUsage | None = None
    service_tier: object = None
    error: Raw | UnsetType = UNSET
