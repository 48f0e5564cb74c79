"""What Gemini sends, as Structs.

Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/models and recorded answers, for
which members there are where: what is UNSET is not sent.
"""

from msgspec import UNSET, Raw, Struct, UnsetType


class FunctionCall(Struct):
    """A call. `args` is a JSON object; an id comes from newer models."""

    name: str
    args: Raw
    id: str | UnsetType = UNSET


class Part(Struct, rename="camel"):
    """A text, a thought or a call, and the state that belongs to it."""

    text: str | UnsetType = UNSET
    thought: bool | UnsetType = UNSET
    function_call: FunctionCall | UnsetType = UNSET
    thought_signature: str | UnsetType = UNSET


class Content(Struct):
    """What the model says. Where an answer was refused there is neither."""

    parts: list[Part] | UnsetType = UNSET
    role: str | UnsetType = UNSET


class SafetyRating(Struct, omit_defaults=True):
    """Why an answer was refused."""

    category: str
    probability: str
    blocked: bool = False


class Candidate(Struct, rename="camel"):
    """The only alternative."""

    content: Content
    finish_reason: str | UnsetType = UNSET
    index: int = 0
    safety_ratings: list[SafetyRating] | UnsetType = UNSET
    finish_message: str | UnsetType = UNSET


class PromptFeedback(Struct, rename="camel"):
    """Why a prompt was refused: there is no candidate."""

    block_reason: str


class ModalityTokens(Struct, rename="camel", kw_only=True):
    """Tokens of one kind of content."""

    modality: str = "TEXT"
    token_count: int


class UsageMetadata(Struct, rename="camel", kw_only=True):
    """Tokens so far. Cached ones are part of the prompt, thoughts are no part of the candidates."""

    prompt_token_count: int
    candidates_token_count: int | UnsetType = UNSET
    total_token_count: int
    cached_content_token_count: int | UnsetType = UNSET
    prompt_tokens_details: list[ModalityTokens]
    thoughts_token_count: int | UnsetType = UNSET
    service_tier: str = "standard"


class Generated(Struct, rename="camel", kw_only=True):
    """A whole answer, or a chunk of one."""

    candidates: list[Candidate] | UnsetType = UNSET
    prompt_feedback: PromptFeedback | UnsetType = UNSET
    usage_metadata: UsageMetadata
    model_version: str
    response_id: str


class TokenCount(Struct, rename="camel"):
    """The answer to countTokens."""

    total_tokens: int
    prompt_tokens_details: list[ModalityTokens]


class FieldViolation(Struct):
    """A field that is refused."""

    field: str
    description: str


class Detail(Struct, tag_field="@type", rename="camel"):
    """More about an error."""


class BadRequest(Detail, tag="type.googleapis.com/google.rpc.BadRequest"):
    """What is wrong with a request."""

    field_violations: list[FieldViolation]


class ErrorInfo(Detail, tag="type.googleapis.com/google.rpc.ErrorInfo"):
    """Why, in a word."""

    reason: str
    domain: str = "googleapis.com"


class QuotaViolation(Struct, rename="camel"):
    """A quota that is used up."""

    quota_id: str
    quota_metric: str


class QuotaFailure(Detail, tag="type.googleapis.com/google.rpc.QuotaFailure"):
    """Which quotas are used up."""

    violations: list[QuotaViolation]


class RetryInfo(Detail, tag="type.googleapis.com/google.rpc.RetryInfo"):
    """When to try again: a duration of protobuf, such as 34s."""

    retry_delay: str


class Error(Struct):
    """What went wrong. `status` is the name of a gRPC code."""

    code: int
    message: str
    status: str
    details: list[BadRequest | ErrorInfo | QuotaFailure | RetryInfo] | UnsetType = UNSET


class ErrorBody(Struct):
    """An error, as body or as chunk."""

    error: Error


class Model(Struct, rename="camel", kw_only=True):
    """A model."""

    name: str
    version: str = "demo"
    display_name: str
    description: str = "Demo upstream, no model"
    input_token_limit: int
    output_token_limit: int
    supported_generation_methods: list[str]
    temperature: float = 1.0
    top_p: float = 0.95
    top_k: int = 64
    max_temperature: float = 2.0
    thinking: bool = True


class ModelList(Struct, rename="camel"):
    """A page of models."""

    models: list[Model]
    next_page_token: str | UnsetType = UNSET
