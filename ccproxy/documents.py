"""Reading a request's JSON document: no further than routing needs, or into the types of `messages`.

Every failure is the caller's, located as Anthropic does it (`messages.0.content: Field required`), and never
quotes a value.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from ccproxy import server_tools
from ccproxy.errors import ApiError, Reason
from ccproxy.json_values import too_many_values
from ccproxy.messages import BLOCK_TYPES, SOURCE_TYPES, Request, Text, Unknown

BUDGET_FROM_BYTES = 1 << 20  # below it no document can stall the loop for long
MAX_PARTS = 100_000  # messages, their blocks, tools: as many messages as Anthropic takes; 0.3 s to translate

TOO_DEEP = "The request body is nested too deeply"

T = TypeVar("T")


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
    _check_parts(body)
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
    if len(body) >= BUDGET_FROM_BYTES and too_many_values(body):
        raise invalid("The request body holds too many JSON values")


class _Part(Struct):
    content: str | list[Raw] | dict[str, Raw] | None = None


class _Turn(Struct):
    content: str | list[_Part] = ""


class _Outline(Struct):
    """What a translator would go through, one by one."""

    messages: list[_Turn] = []
    tools: list[Raw] | None = None

    def parts(self) -> int:
        """How much that is."""
        lists = [turn.content for turn in self.messages if not isinstance(turn.content, str)]
        inner = [part.content for parts in lists for part in parts if isinstance(part.content, list)]
        return len(self.messages) + len(self.tools or ()) + sum(map(len, lists)) + sum(map(len, inner))


def _check_parts(body: bytes) -> None:
    """Refuses a request whose translation would stall the loop. Where it goes on as it is, nothing is counted."""
    if len(body) < BUDGET_FROM_BYTES:
        return
    try:
        parts = msgspec.json.decode(body, type=_Outline).parts()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # whoever decodes it says what is wrong
    if parts > MAX_PARTS:
        raise invalid("The request holds too many messages, blocks and tools")


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


_TOLD = {"compaction": "content", "tool_reference": "tool_name"}
"""Blocks that are as good as a text: the summary of what came before, the name of a tool that a search found."""


def _block_named(block: Raw) -> Any:
    if bytes(block).lstrip()[:1] != b"{":
        return block
    members: dict[str, Any] = decode(bytes(block), dict[str, Raw])
    name = _type(members)
    if name is not None and name not in BLOCK_TYPES:
        told = _string(members.get(_TOLD.get(name, ""))) or server_tools.told(name, members)
        return Unknown(name) if told is None else Text(told)
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
    return _string(members.get("type"))


def _string(raw: Raw | None) -> str | None:
    if raw is None or bytes(raw)[:1] != b'"':
        return None
    return decode(bytes(raw), str)
