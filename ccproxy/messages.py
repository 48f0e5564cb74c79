"""The Anthropic Messages API as types: what a translator reads of a request, and what it answers.

Source: https://platform.claude.com/docs/en/api/messages and the types of the `anthropic` SDK 2.12.

A relay never uses the typed request: it keeps the bytes. A translator decodes it once. JSON that needs no
opening (schemas, tool inputs) stays `Raw`. A block type that is not modelled here becomes `Unknown`, so that a
translator can drop it by name instead of refusing the request.
"""

from collections.abc import Iterable

from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy import sse

EMPTY_OBJECT = Raw(b"{}")
ABSENT = Raw(b"")  # msgspec takes no union of Raw and None


# Requests.


class Unknown(Struct, frozen=True, tag="ccproxy_unknown"):
    """A block or source of a type that is not modelled. `name` is its type."""

    name: str


class Base64Source(Struct, frozen=True, tag="base64"):
    """Inline data. `data` is base64 text and is never decoded."""

    media_type: str
    data: str


class UrlSource(Struct, frozen=True, tag="url"):
    """A URL that the provider fetches; CCProxy never does."""

    url: str


class TextSource(Struct, frozen=True, tag="text"):
    """A plain text document."""

    data: str


class FileSource(Struct, frozen=True, tag="file"):
    """A file of Anthropic's Files API."""

    file_id: str


class Text(Struct, frozen=True, tag="text", omit_defaults=True):
    """Text. `cache_control` is for providers that know it, and is never opened."""

    text: str
    cache_control: Raw | UnsetType = UNSET


class ContentSource(Struct, frozen=True, tag="content"):
    """A document made of blocks."""

    content: "str | list[Block]"


class Image(Struct, frozen=True, tag="image"):
    """An image."""

    source: Base64Source | UrlSource | FileSource | Unknown
    cache_control: Raw | UnsetType = UNSET


class Citations(Struct, frozen=True):
    """Whether the answer is to cite a document."""

    enabled: bool | None = None


class Document(Struct, frozen=True, tag="document"):
    """A PDF, a plain text, or nested blocks."""

    source: Base64Source | UrlSource | TextSource | FileSource | ContentSource | Unknown
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None
    cache_control: Raw | UnsetType = UNSET


class Thinking(Struct, frozen=True, tag="thinking"):
    """Reasoning of an earlier turn, with the signature that proves where it is from."""

    thinking: str
    signature: str = ""


class RedactedThinking(Struct, frozen=True, tag="redacted_thinking"):
    """Encrypted reasoning of an earlier turn."""

    data: str


class ToolUse(Struct, frozen=True, tag="tool_use"):
    """A call the model asks for. `input` is its JSON object, never decoded here."""

    id: str
    name: str
    input: Raw = EMPTY_OBJECT
    cache_control: Raw | UnsetType = UNSET


class SearchResult(Struct, frozen=True, tag="search_result"):
    """A search result the client supplies."""

    source: str
    title: str
    content: list[Text]
    cache_control: Raw | UnsetType = UNSET


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """The answer to a `ToolUse` of the turn before."""

    tool_use_id: str
    content: "str | list[Block] | None" = None
    is_error: bool | None = None
    cache_control: Raw | UnsetType = UNSET


Block = Text | Image | Document | Thinking | RedactedThinking | ToolUse | ToolResult | SearchResult | Unknown


class Turn(Struct, frozen=True):
    """One message of the conversation. `role` is user, assistant, or system (mid-conversation).

    `clear_at` of a system message may be `next_user_message`: later turns do not show it.
    """

    role: str
    content: str | list[Block]
    clear_at: str | None = None


class Tool(Struct, frozen=True):
    """A tool. `type` is absent or "custom" for a client tool, else the name of a tool Anthropic defines."""

    name: str | None = None
    description: str | None = None
    input_schema: Raw = ABSENT
    type: str | None = None
    strict: bool | None = None
    input_examples: Raw = ABSENT
    cache_control: Raw | UnsetType = UNSET


class ToolChoice(Struct, frozen=True):
    """How tools may be used. `type` is auto, any, tool or none; `name` belongs to tool."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Struct, frozen=True):
    """Extended thinking. `type` is enabled, disabled, adaptive or between_tools."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None


class OutputConfig(Struct, frozen=True):
    """Effort and structured output. `format` is `{"type": "json_schema", "schema": …}`."""

    effort: str | None = None
    format: Raw = ABSENT


class Metadata(Struct, frozen=True):
    """Facts about the request."""

    user_id: str | None = None


class Request(Struct, frozen=True):
    """What a translator reads of a request to create a message."""

    model: str
    messages: list[Turn]
    max_tokens: int
    system: str | list[Text] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None


BLOCK_TYPES = frozenset(
    {
        "text",
        "image",
        "document",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "tool_result",
        "search_result",
    }
)
SOURCE_TYPES = frozenset({"base64", "url", "text", "file", "content"})


# Answers.


class Usage(Struct, frozen=True, omit_defaults=True):
    """Tokens, cumulative. Cached tokens are not part of `input_tokens`.

    A count the provider did not give is absent, never an invented zero, except the two that every answer has.
    """

    input_tokens: int | UnsetType = UNSET
    cache_creation_input_tokens: int | UnsetType = UNSET
    cache_read_input_tokens: int | UnsetType = UNSET
    output_tokens: int | UnsetType = UNSET
    output_tokens_details: dict[str, int] | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET


class EstimatedUsage(Usage, frozen=True, omit_defaults=True):
    """Tokens that nobody counted: CCProxy's own estimate, which looks the same to callers."""


class StopDetails(Struct, frozen=True):
    """Why a model refused. `category` is one of Anthropic's, or None where the provider names none."""

    type: str = "refusal"
    category: str | None = None
    explanation: str | None = None


class Message(Struct, frozen=True, tag_field="type", tag="message"):
    """A whole answer. `stop_reason` is None only in `message_start`."""

    id: str
    role: str
    model: str
    content: list[Text | Thinking | ToolUse]
    stop_reason: str | None
    stop_sequence: str | None
    usage: Usage
    stop_details: StopDetails | UnsetType = UNSET


class Event(Struct, frozen=True):
    """One event of a streamed answer. `data` is its JSON document; `type` is that document's type."""

    type: str
    data: bytes

    def encode(self) -> bytes:
        """The event as a server-sent frame."""
        return sse.frame(self.type, self.data)


def encode_events(events: Iterable[Event]) -> bytes:
    """Events as server-sent frames, in one piece so that one write carries them."""
    return b"".join([b"event: %b\ndata: %b\n\n" % (e.type.encode(), e.data) for e in events])


PING = Event("ping", b'{"type":"ping"}').encode()
