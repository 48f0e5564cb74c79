"""What OpenRouter sends, as Structs.

Source: the OpenAPI document of OpenRouterTeam/typescript-sdk and recorded answers, for which members there are
where: null is sent, what is UNSET is not.
"""

from msgspec import UNSET, Struct, UnsetType, field

from ccproxy.demo.openai_chat_wire import CallDelta, ToolCall

PROVIDER = "Demo"
FORMAT = "anthropic-claude-v1"
CONTEXT_TOKENS = 200_000
OUTPUT_TOKENS = 64_000


class Detail(Struct, kw_only=True):
    """A detail of reasoning, or a piece of one: pieces of one `index` belong together."""

    type: str = "reasoning.text"
    text: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    format: str = FORMAT
    index: int


class Message(Struct, kw_only=True):
    """An answer."""

    role: str = "assistant"
    content: str | None
    refusal: None = None
    reasoning: str | None
    reasoning_details: list[Detail] | UnsetType
    tool_calls: list[ToolCall] | UnsetType


class Choice(Struct, kw_only=True):
    """The only choice. `native_finish_reason` is the word of the provider behind."""

    index: int = 0
    message: Message
    logprobs: None = None
    finish_reason: str
    native_finish_reason: str


class PromptDetails(Struct):
    """Part of the prompt's tokens."""

    cached_tokens: int
    cache_write_tokens: int
    audio_tokens: int = 0
    video_tokens: int = 0


class CompletionDetails(Struct):
    """Part of the completion's tokens."""

    reasoning_tokens: int
    image_tokens: int = 0
    audio_tokens: int = 0


class CostDetails(Struct):
    """Parts of the cost, in US dollars."""

    upstream_inference_cost: float = 0
    upstream_inference_prompt_cost: float = 0
    upstream_inference_completions_cost: float = 0


class WireUsage(Struct, kw_only=True):
    """Usage as the API words it; `cost` in US dollars."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float = 0
    is_byok: bool = False
    prompt_tokens_details: PromptDetails
    cost_details: CostDetails = field(default_factory=CostDetails)
    completion_tokens_details: CompletionDetails


class Completion(Struct, kw_only=True):
    """A whole answer."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    provider: str = PROVIDER
    system_fingerprint: None = None
    choices: list[Choice]
    usage: WireUsage


class Delta(Struct, kw_only=True):
    """What a chunk adds; the role comes with each."""

    content: str | None
    role: str = "assistant"
    reasoning: str | UnsetType | None = UNSET
    reasoning_details: list[Detail] | UnsetType = UNSET
    tool_calls: list[CallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """The only choice of a chunk."""

    index: int = 0
    delta: Delta
    finish_reason: str | None
    native_finish_reason: str | None
    logprobs: None = None


class Chunk(Struct, kw_only=True):
    """A chunk of a stream."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    provider: str = PROVIDER
    choices: list[ChunkChoice]
    usage: WireUsage | UnsetType


class Quoted(Struct, tag_field="type", tag="error"):
    """An error of the provider behind, as that one words it."""

    error: "QuotedError"


class QuotedError(Struct):
    """What went wrong there."""

    type: str
    message: str


class Metadata(Struct, kw_only=True):
    """What kind of error it is, or whose."""

    error_type: str | UnsetType = UNSET
    provider_name: str | UnsetType = UNSET
    raw: str | UnsetType = UNSET


class Error(Struct):
    """What went wrong; `code` is an HTTP status."""

    message: str
    code: int
    metadata: Metadata | UnsetType = UNSET


class ErrorBody(Struct):
    """An error as body."""

    error: Error
    user_id: str


class FailedChunk(Struct, kw_only=True):
    """An error as chunk; its choice says that nothing more comes."""

    id: str
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str
    provider: str = PROVIDER
    error: Error
    choices: list[ChunkChoice] = field(
        default_factory=lambda: [
            ChunkChoice(delta=Delta(content=""), finish_reason="error", native_finish_reason="error")
        ]
    )


class Architecture(Struct):
    """What goes in and out."""

    modality: str = "text+image+file->text"
    input_modalities: tuple[str, ...] = ("text", "image", "file")
    output_modalities: tuple[str, ...] = ("text",)
    tokenizer: str = "Other"
    instruct_type: None = None


class Pricing(Struct):
    """US dollars for one token, as text."""

    prompt: str = "0"
    completion: str = "0"


class TopProvider(Struct):
    """The best provider behind."""

    context_length: int = CONTEXT_TOKENS
    max_completion_tokens: int = OUTPUT_TOKENS
    is_moderated: bool = False


class Model(Struct, kw_only=True):
    """A model."""

    id: str
    canonical_slug: str
    name: str
    created: int = 0
    description: str = ""
    context_length: int = CONTEXT_TOKENS
    architecture: Architecture = field(default_factory=Architecture)
    pricing: Pricing = field(default_factory=Pricing)
    top_provider: TopProvider = field(default_factory=TopProvider)
    per_request_limits: None = None
    supported_parameters: tuple[str, ...] = ("max_tokens", "reasoning", "stop", "tool_choice", "tools")


class ModelList(Struct):
    """All models."""

    data: list[Model]
