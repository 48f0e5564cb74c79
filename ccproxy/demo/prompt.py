"""What the demo needs to know of a request, in no dialect."""

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from ccproxy.demo import tokens

MESSAGE_TOKENS = 3  # for the role and the borders of every message
MEDIA_TOKENS = 100  # for an image, a document, or a block the demo does not know

_REMINDER, _REMINDER_END = "<system-reminder>", "</system-reminder>"


class InvalidRequestError(Exception):
    """The request is refused with HTTP 400; the text is for its author.

    Attributes:
        kind: What the error is called, where a provider has a word of its own for it.
    """

    def __init__(self, text: str, kind: str | None = None) -> None:
        super().__init__(text)
        self.kind = kind


class Tool(Struct, frozen=True):
    """A tool that may be called. `schema` is the JSON schema of its arguments."""

    name: str
    schema: Raw = Raw(b"{}")


class Choice(Struct, frozen=True):
    """Which tools may or must be called; `name` goes with `tool`."""

    kind: Literal["auto", "none", "any", "tool"] = "auto"
    name: str = ""
    parallel: bool = True


class Result(Struct, frozen=True):
    """What a tool returned. `tool` is its name, or the id of the call where the name is not in the history."""

    tool: str
    text: str
    is_error: bool = False


class Prompt(Struct, frozen=True):
    """One request. `text` and `results` are those of the last turn: all that follows the last answer.

    Attributes:
        thinks: Whether the request lets the model think.
        shows_thinking: Whether it wants to see that, in dialects that show it on demand only.
        keeps_thinking: Whether it wants the state that brings thinking back in a later turn.
        recalled: How many pieces of thinking it brings back, all of them the demo's own.
    """

    model: str
    text: str
    input_tokens: int
    results: tuple[Result, ...] = ()
    stream: bool = False
    stream_usage: bool = False
    thinks: bool = True
    shows_thinking: bool = False
    keeps_thinking: bool = False
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: Choice = Choice()
    schema: Raw | None = None
    recalled: int = 0


def media(kind: str, media_type: str, base64: str) -> str:
    """How the demo names an image or a document that came as base64."""
    size = len(base64) * 3 // 4 - base64[-2:].count("=")
    return f"[{kind} {media_type}, {size} bytes]"


def without_reminders(text: str) -> str:
    """`text` without the notes that Claude Code adds to what its user wrote.

    They come in `<system-reminder>` tags, quote whole files, and are neither echoed nor searched for directives.
    """
    first, *rest = text.split(_REMINDER)
    kept = [first]
    for piece in rest:
        _, end, after = piece.partition(_REMINDER_END)
        kept.append(after if end else _REMINDER + piece)
    return "".join(kept).strip() if rest else text


def json_tokens(value: Raw) -> int:
    """Tokens of a JSON value, however it was spaced."""
    return tokens.count(msgspec.json.format(bytes(value), indent=-1).decode()) if bytes(value) else 0
