"""What the Anthropic Messages API sends, as Structs.

Source: https://platform.claude.com/docs/en/api/messages and recorded answers, for which members there are where.
"""

from msgspec import Raw, Struct


class TextBlock(Struct, tag="text"):
    """Text."""

    text: str


class ThinkingBlock(Struct, tag="thinking"):
    """Thinking with its signature."""

    thinking: str
    signature: str


class ToolUseBlock(Struct, tag="tool_use"):
    """A tool call; in a stream its input starts as `{}`."""

    id: str
    name: str
    input: Raw = Raw(b"{}")


Block = TextBlock | ThinkingBlock | ToolUseBlock


class CacheCreation(Struct):
    """Tokens written to the prompt cache, by how long they stay there."""

    ephemeral_5m_input_tokens: int
    ephemeral_1h_input_tokens: int = 0


class OutputDetails(Struct):
    """Part of the output tokens."""

    thinking_tokens: int


class WireUsage(Struct, omit_defaults=True):
    """Usage as the API words it. `message_start` has no details, `message_delta` no service tier."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None


class StopDetails(Struct, tag="refusal"):
    """Why the model refused."""

    category: str | None = None
    explanation: str | None = "A directive asked the demo upstream to refuse."


class Message(Struct, tag="message", kw_only=True):
    """An answer."""

    model: str
    id: str
    role: str = "assistant"
    content: list[Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: WireUsage


class MessageStart(Struct, tag="message_start"):
    """The answer begins."""

    message: Message


class BlockStart(Struct, tag="content_block_start"):
    """A block begins, empty."""

    index: int
    content_block: Block


class TextDelta(Struct, tag="text_delta"):
    """More text."""

    text: str


class ThinkingDelta(Struct, tag="thinking_delta"):
    """More thinking."""

    thinking: str


class SignatureDelta(Struct, tag="signature_delta"):
    """The signature of the thinking."""

    signature: str


class InputJsonDelta(Struct, tag="input_json_delta"):
    """More of a tool call's input, as JSON text."""

    partial_json: str


Delta = TextDelta | ThinkingDelta | SignatureDelta | InputJsonDelta


class BlockDelta(Struct, tag="content_block_delta"):
    """A block goes on."""

    index: int
    delta: Delta


class BlockStop(Struct, tag="content_block_stop"):
    """A block is complete."""

    index: int


class Stop(Struct):
    """Why the answer ended."""

    stop_reason: str
    stop_sequence: str | None
    stop_details: StopDetails | None


class MessageDelta(Struct, tag="message_delta"):
    """How the answer ended, with all its usage."""

    delta: Stop
    usage: WireUsage


class MessageStop(Struct, tag="message_stop"):
    """The answer is complete."""


class Ping(Struct, tag="ping"):
    """Nothing, to keep the connection open."""


class ErrorDetails(Struct):
    """What went wrong."""

    type: str
    message: str


class ErrorBody(Struct, tag="error"):
    """An error, as body or as event."""

    error: ErrorDetails
    request_id: str


Event = MessageStart | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop | Ping | ErrorBody


class Model(Struct, tag="model"):
    """A model. That of the demo has no date, no line and no capabilities."""

    id: str
    display_name: str
    created_at: str = "1970-01-01T00:00:00Z"
    max_input_tokens: int = 200_000
    max_tokens: int = 64_000
    lifecycle: str = "active"
    line: None = None
    deprecated_at: None = None
    retires_at: None = None
    capabilities: None = None


class Page(Struct):
    """A page of models."""

    data: list[Model]
    has_more: bool
    first_id: str | None
    last_id: str | None


class TokenCount(Struct):
    """Answer of count_tokens."""

    input_tokens: int
