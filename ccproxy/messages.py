"""The Anthropic Messages API as types: what a translator reads of a request, and what it answers.

Source: https://platform.claude.com/docs/en/api/messages and the types of the `anthropic` SDK 2.12.

A relay never uses the typed request: it keeps the bytes. A translator decodes it once. JSON that needs no
opening (schemas, tool inputs) stays `Raw`. A block type that is not modelled here becomes `Unknown`, so that a
translator can drop it by name instead of refusing the request.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy import sse
from ccproxy.errors import ApiError, Reason

BUDGET_FROM_BYTES = 1 << 20  # below it no document can stall the loop for long
MAX_CONTAINERS = 500_000  # objects and arrays: 40 ms and 42 MB to build, measured
MAX_SEPARATORS = 750_000

TOO_DEEP = "The request body is nested too deeply"

EMPTY_OBJECT = Raw(b"{}")
ABSENT = Raw(b"")  # msgspec takes no union of Raw and None

T = TypeVar("T")


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


class Text(Struct, frozen=True, tag="text"):
    """Text."""

    text: str


class ContentSource(Struct, frozen=True, tag="content"):
    """A document made of blocks."""

    content: "str | list[Block]"


class Image(Struct, frozen=True, tag="image"):
    """An image."""

    source: Base64Source | UrlSource | FileSource | Unknown


class Citations(Struct, frozen=True):
    """Whether the answer is to cite a document."""

    enabled: bool | None = None


class Document(Struct, frozen=True, tag="document"):
    """A PDF, a plain text, or nested blocks."""

    source: Base64Source | UrlSource | TextSource | FileSource | ContentSource | Unknown
    title: str | None = None
    context: str | None = None
    citations: Citations | None = None


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


class SearchResult(Struct, frozen=True, tag="search_result"):
    """A search result the client supplies."""

    source: str
    title: str
    content: list[Text]


class ToolResult(Struct, frozen=True, tag="tool_result"):
    """The answer to a `ToolUse` of the turn before."""

    tool_use_id: str
    content: "str | list[Block] | None" = None
    is_error: bool | None = None


Block = Text | Image | Document | Thinking | RedactedThinking | ToolUse | ToolResult | SearchResult | Unknown


class Turn(Struct, frozen=True):
    """One message of the conversation. `role` is user, assistant, or system (mid-conversation)."""

    role: str
    content: str | list[Block]


class Tool(Struct, frozen=True):
    """A tool. `type` is absent or "custom" for a client tool, else the name of a tool Anthropic defines."""

    name: str | None = None
    description: str | None = None
    input_schema: Raw = ABSENT
    type: str | None = None
    strict: bool | None = None
    input_examples: Raw = ABSENT


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


# Reading a request.


class Head(Struct, frozen=True):
    """The members of a request that decide where it goes; every other member stays Raw in `fields`."""

    model: str
    stream: bool
    fields: dict[str, Raw]


def decode_head(body: bytes) -> Head:
    """Opens a request no further than routing needs.

    Raises:
        ApiError: INVALID_REQUEST, where the body is no JSON object, is out of budget, or lacks a model.
    """
    check_budget(body)
    fields = decode(body, dict[str, Raw])
    model = _member(fields, "model", str)
    stream = _member(fields, "stream", bool) if "stream" in fields else False
    if not model:
        raise invalid("model: String should have at least 1 character")
    return Head(model, stream, fields)


def decode_request(body: bytes) -> Request:
    """The typed view of a request, for a translator.

    Raises:
        ApiError: INVALID_REQUEST, naming the path of the first member that does not fit.
    """
    try:
        return msgspec.json.decode(body, type=Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # An unknown block type is not the caller's mistake: set those aside by name and look again.
        try:
            named = _with_unknowns_named(body)
        except RecursionError as error:
            raise invalid(TOO_DEEP) from error
        return decode(named, Request)


def decode(body: bytes, type: type[T]) -> T:  # noqa: A002  # msgspec's word
    """Decodes JSON; every failure is the caller's.

    Raises:
        ApiError: INVALID_REQUEST with the path in Anthropic's notation, never a value.
    """
    try:
        return msgspec.json.decode(body, type=type)
    except msgspec.ValidationError as error:
        raise invalid(_located(str(error))) from error
    except msgspec.DecodeError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise invalid("The request body is not valid JSON: it is not UTF-8") from error
    except RecursionError as error:
        raise invalid(TOO_DEEP) from error


def invalid(message: str) -> ApiError:
    """The error for a request that does not fit."""
    return ApiError(Reason.INVALID_REQUEST, message)


def check_budget(body: bytes) -> None:
    """Refuses a document that would stall the loop if it were built (decoded untyped).

    Raises:
        ApiError: INVALID_REQUEST.
    """
    if len(body) < BUDGET_FROM_BYTES:
        return
    if body.count(b"[") + body.count(b"{") > MAX_CONTAINERS or body.count(b",") > MAX_SEPARATORS:
        raise invalid("The request body holds too many JSON values")


def replace_members(fields: Mapping[str, Raw], members: Mapping[str, Any]) -> bytes:
    """The request again, byte for byte but for `members`, which are replaced in place or appended."""
    return msgspec.json.encode({**fields, **members})


def _member(fields: Mapping[str, Raw], name: str, type: type[T]) -> T:  # noqa: A002
    raw = fields.get(name)
    if raw is None:
        raise invalid(f"{name}: Field required")
    try:
        return msgspec.json.decode(raw, type=type)
    except msgspec.ValidationError as error:
        raise invalid(f"{name}: {_sentence(str(error))}") from error
    except UnicodeDecodeError as error:
        raise invalid(f"{name}: not UTF-8") from error


_LOCATION = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]*)`$")


def _located(text: str) -> str:
    """Turns msgspec's `$.messages[0].content` at the end into `messages.0.content` at the front."""
    match = _LOCATION.match(text)
    what, path = (match["what"], match["path"] or "") if match else (text, "")
    path = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", path).removeprefix("$").removeprefix(".")
    missing = _MISSING.match(what)
    if missing:
        return f"{path}.{missing['name']}: Field required".removeprefix(".")
    return f"{path}: {_sentence(what)}" if path else _sentence(what)


def _sentence(what: str) -> str:
    """The words of msgspec without its quotes, and without the value of an invalid tag."""
    if what.startswith("Invalid value "):
        return "Input tag is not one of the expected values"
    return what.replace("`", "")


def _with_unknowns_named(body: bytes) -> bytes:
    """The request with each block and source of an unmodelled type replaced by an `Unknown`."""
    fields = decode(body, dict[str, Raw])
    turns = fields.get("messages", b"null")
    if bytes(turns).lstrip()[:1] != b"[":
        return body
    named = [_turn_named(turn) for turn in decode(bytes(turns), list[Raw])]
    return msgspec.json.encode({**fields, "messages": named})


def _turn_named(turn: Raw) -> Any:
    if bytes(turn).lstrip()[:1] != b"{":
        return turn
    members = decode(bytes(turn), dict[str, Raw])
    return {**members, "content": _content_named(members["content"])} if "content" in members else turn


def _content_named(content: Raw) -> Any:
    if bytes(content).lstrip()[:1] != b"[":
        return content
    return [_block_named(block) for block in decode(bytes(content), list[Raw])]


def _block_named(block: Raw) -> Any:
    if bytes(block).lstrip()[:1] != b"{":
        return block
    members: dict[str, Any] = decode(bytes(block), dict[str, Raw])
    name = _type(members)
    if name is not None and name not in BLOCK_TYPES:
        return Unknown(name)
    if name == "tool_result" and "content" in members:
        members["content"] = _content_named(members["content"])
    source = members.get("source")
    if name in {"image", "document"} and source is not None and bytes(source).lstrip()[:1] == b"{":
        inner: dict[str, Any] = decode(bytes(source), dict[str, Raw])
        kind = _type(inner)
        if kind is not None and kind not in SOURCE_TYPES:
            members["source"] = Unknown(kind)
        elif kind == "content" and "content" in inner:
            members["source"] = {**inner, "content": _content_named(inner["content"])}
    return members


def _type(members: Mapping[str, Raw]) -> str | None:
    raw = members.get("type")
    if raw is None or bytes(raw)[:1] != b'"':
        return None
    return decode(bytes(raw), str)
