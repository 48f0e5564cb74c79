"""Gemini's `generateContent` on the wire: the request, the answer (whole, or one chunk of a stream), the models.

Source: https://ai.google.dev/api/generate-content and the types of the `google-genai` SDK 3.4. Members that no
rule here reads are not modelled.
"""

from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy.providers.answers import Tokens

# The request.


class Blob(Struct, frozen=True, rename="camel"):
    """Inline data, base64."""

    mime_type: str
    data: str


class FileData(Struct, frozen=True, rename="camel"):
    """A file that the provider fetches."""

    file_uri: str


class FunctionCall(Struct, frozen=True):
    """A call of an earlier turn. `args` is a JSON object."""

    name: str
    args: Raw


class ResponsePart(Struct, frozen=True, rename="camel"):
    """An image or document inside a function's response."""

    inline_data: Blob


class FunctionResponse(Struct, frozen=True, omit_defaults=True):
    """The answer to a call. `response` holds `output` or `error`."""

    name: str
    response: dict[str, str]
    parts: list[ResponsePart] | UnsetType = UNSET


class Part(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One part of a content: exactly one kind of data, and the state that belongs to it."""

    text: str | UnsetType = UNSET
    thought: bool | UnsetType = UNSET
    inline_data: Blob | UnsetType = UNSET
    file_data: FileData | UnsetType = UNSET
    function_call: FunctionCall | UnsetType = UNSET
    function_response: FunctionResponse | UnsetType = UNSET
    thought_signature: str | UnsetType = UNSET


class Content(Struct, frozen=True, omit_defaults=True):
    """A turn. `role` is user or model; a system instruction has none."""

    parts: list[Part]
    role: str | UnsetType = UNSET


class FunctionDeclaration(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A function. Without a schema it takes nothing."""

    name: str
    description: str | UnsetType = UNSET
    parameters_json_schema: object = UNSET


class GoogleSearch(Struct, frozen=True):
    """A search that Google runs. It takes nothing."""


class Tools(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Tools of one kind."""

    function_declarations: list[FunctionDeclaration] | UnsetType = UNSET
    google_search: GoogleSearch | UnsetType = UNSET


class CallingConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """How functions may be called. `mode` is AUTO, ANY, NONE or VALIDATED."""

    mode: str
    allowed_function_names: list[str] | UnsetType = UNSET


class ToolConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """How tools may be used. Beside functions, tools that Google runs must be told of in the answer."""

    function_calling_config: CallingConfig | UnsetType = UNSET
    include_server_side_tool_invocations: bool | UnsetType = UNSET


class ThinkingConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Thinking. A level (Gemini 3 and later) and a budget (2.5) exclude each other; -1 lets the model choose."""

    include_thoughts: bool | UnsetType = UNSET
    thinking_level: str | UnsetType = UNSET
    thinking_budget: int | UnsetType = UNSET


class GenerationConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Parameters of the answer."""

    max_output_tokens: int
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    thinking_config: ThinkingConfig | UnsetType = UNSET
    response_mime_type: str | UnsetType = UNSET
    response_json_schema: object = UNSET


class GenerateRequest(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A request. Only `countTokens` has `model` in it, with `models/` before its name."""

    contents: list[Content]
    system_instruction: Content | UnsetType = UNSET
    tools: list[Tools] | UnsetType = UNSET
    tool_config: ToolConfig | UnsetType = UNSET
    generation_config: GenerationConfig | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    model: str | UnsetType = UNSET


# Answers.


class PartialArgument(Struct, frozen=True, rename="camel"):
    """A piece of one argument: where it belongs (RFC 9535), its value, and whether a text goes on."""

    json_path: str
    string_value: str | None = None
    number_value: float | None = None
    bool_value: bool | None = None
    will_continue: bool = False


class Called(Struct, frozen=True, rename="camel"):
    """A call, whole or in pieces. Only Vertex AI sends pieces: first a name, then arguments."""

    name: str | None = None
    id: str | None = None
    args: dict[str, Raw] | None = None
    partial_args: list[PartialArgument] | None = None
    will_continue: bool = False


class Code(Struct, frozen=True):
    """Code that the model ran."""

    code: str = ""
    language: str = ""


class CodeResult(Struct, frozen=True):
    """What the code said."""

    output: str = ""


class InlineData(Struct, frozen=True, rename="camel"):
    """Media in an answer; the data is not read."""

    mime_type: str = ""


class AnswerPart(Struct, frozen=True, rename="camel"):
    """One part of an answer."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: Called | None = None
    executable_code: Code | None = None
    code_execution_result: CodeResult | None = None
    inline_data: InlineData | None = None


class AnswerContent(Struct, frozen=True):
    """What the model says. A refused answer has no parts."""

    parts: list[AnswerPart] | None = None


class WebPage(Struct, frozen=True):
    """A page that a search found."""

    uri: str | None = None
    title: str | None = None


class GroundingChunk(Struct, frozen=True):
    """A source; those that are no web page are not read."""

    web: WebPage | None = None


class GroundingMetadata(Struct, frozen=True, rename="camel"):
    """What an answer is based on."""

    grounding_chunks: list[GroundingChunk] | None = None


class Candidate(Struct, frozen=True, rename="camel"):
    """One of the alternatives. Only one, index 0, is asked for."""

    index: int = 0
    content: AnswerContent | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: GroundingMetadata | None = None


class PromptFeedback(Struct, frozen=True, rename="camel"):
    """Why there is no candidate."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class UsageMetadata(Struct, frozen=True, rename="camel"):
    """Tokens, cumulative. Thoughts are not part of the candidates; cached tokens are part of the prompt."""

    prompt_token_count: Tokens | None = None
    cached_content_token_count: Tokens | None = None
    candidates_token_count: Tokens | None = None
    thoughts_token_count: Tokens | None = None
    tool_use_prompt_token_count: Tokens | None = None
    service_tier: object = None


class Generated(Struct, frozen=True, rename="camel"):
    """A whole answer, or a chunk of one. `error` comes in place of an answer."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    response_id: str | None = None
    error: Raw | UnsetType = UNSET


class CountedTokens(Struct, frozen=True, rename="camel"):
    """The answer to countTokens."""

    total_tokens: Tokens


class ListedModel(Struct, frozen=True, rename="camel"):
    """A model. `name` begins with `models/`; `thinking` says whether it can think."""

    name: str
    display_name: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    supported_generation_methods: list[str] | None = None
    thinking: bool | None = None


class ModelList(Struct, frozen=True, rename="camel"):
    """A page of models; absent where there are none. `next_page_token` asks for the next one."""

    models: list[ListedModel] = []
    next_page_token: str | None = None
