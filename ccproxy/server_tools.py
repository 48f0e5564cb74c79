"""What tools that Anthropic's server runs did in an earlier turn, as text: no other model knows their blocks.

Source: the types of the `anthropic` SDK 2.13 (`ServerToolUseBlockParam` and the `…ToolResultBlockParam`). What a
search found is encrypted, for Anthropic's servers alone; its titles and addresses are not.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from ccproxy.messages import ABSENT, EMPTY_OBJECT

RESULT = "_tool_result"  # ends the type of a result; what is before it is the tool
MCP = "mcp_tool_result"  # of a server of the caller's, which is named and not told

_ASKED = ("query", "url", "code", "command")
"""The member of a call that says what it is about."""


class _Use(Struct, frozen=True):
    name: str
    input: Raw = EMPTY_OBJECT


class _Source(Struct, frozen=True):
    data: str | None = None
    type: str | None = None


class _Fetched(Struct, frozen=True):
    source: _Source = _Source()


class _Result(Struct, frozen=True):
    """What a tool gave: all members of all kinds. `content` is a page that was fetched."""

    title: str | None = None
    url: str | None = None
    tool_name: str | None = None
    text: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    return_code: int | None = None
    error_code: str | None = None
    tool_references: "list[_Result] | None" = None
    content: Raw = ABSENT

    @property
    def lines(self) -> list[str]:
        """What is told of it."""
        page = ": ".join(part for part in (self.title, self.url) if part)
        told = [f"- {page}"] if page else []
        told += [f"- {found.tool_name}" for found in self.tool_references or () if found.tool_name]
        told += [text for text in (self.text, self.stdout, self.stderr, _page(self.content)) if text]
        told += [f"return code {self.return_code}"] if self.return_code else []
        return told + ([f"error: {self.error_code}"] if self.error_code else [])


class _Held(Struct, frozen=True):
    content: _Result | list[_Result]


def told(type: str, block: Mapping[str, Raw]) -> str | None:  # noqa: A002  # Anthropic's word
    """A block as text; None where it is none of these, or not as documented."""
    try:
        if type == "server_tool_use":
            return _asked(msgspec.json.decode(msgspec.json.encode(block), type=_Use))
        if type.endswith(RESULT) and type != MCP:
            held = msgspec.json.decode(msgspec.json.encode(block), type=_Held).content
            results = held if isinstance(held, list) else [held]
            lines = [line for result in results for line in result.lines]
            return "\n".join([f"[{type.removesuffix(RESULT)} result]", *lines])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # it is named instead
    return None


def _asked(use: _Use) -> str:
    members = msgspec.json.decode(use.input, type=dict[str, Raw])
    known = next((members[name] for name in _ASKED if bytes(members.get(name, ABSENT))[:1] == b'"'), None)
    about = bytes(use.input).decode() if known is None else msgspec.json.decode(known, type=str)
    return f"[{use.name}: {about}]"


def _page(content: Raw) -> str | None:
    """The text of a page that was fetched; None for other kinds, such as a PDF or the files that code wrote."""
    if bytes(content)[:1] != b"{":
        return None
    source = msgspec.json.decode(content, type=_Fetched).source
    return source.data if source.type == "text" else None
