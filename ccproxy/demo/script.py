"""What the demo shall do: the sum of the directives in a text, in Anthropic's words."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_USAGE = 1_000_000_000_000  # far above any real count, and exact in every client's numbers

Tokens = Annotated[int, Meta(ge=0, le=MAX_USAGE)]


class Text(Struct, frozen=True, tag="text"):
    """Text of the answer."""

    text: str


class Think(Struct, frozen=True, tag="thinking"):
    """Thinking before the answer. A dialect without a place for it counts its tokens alone."""

    text: str


class Call(Struct, frozen=True, tag="tool_use"):
    """A tool call. `arguments` is the text of a JSON object, cut short where tokens ran out."""

    name: str
    arguments: str = "{}"


Part = Text | Think | Call


class Error(Struct, frozen=True):
    """An HTTP error instead of an answer. None means what is usual for the status."""

    status: int
    type: str | None = None
    message: str | None = None
    headers: dict[str, str] = {}


class Cut(Struct, frozen=True):
    """The connection closes after so many pieces; None: before the first byte."""

    after: int | None = None


class Fail(Struct, frozen=True):
    """An error inside the stream after so many pieces."""

    after: int
    type: str = "overloaded_error"
    message: str = "Demo failure in mid-stream"


class UsageChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Members of the usage that shall not be what was counted."""

    input_tokens: Tokens | UnsetType = UNSET
    output_tokens: Tokens | UnsetType = UNSET
    thinking_tokens: Tokens | UnsetType = UNSET
    cache_read_input_tokens: Tokens | UnsetType = UNSET
    cache_creation_input_tokens: Tokens | UnsetType = UNSET


class Script(Struct, frozen=True):
    """Everything the directives of one text ask for.

    `said` is that text without its directives. `parts` are in the order they were written.
    """

    said: str = ""
    parts: tuple[Part, ...] = ()
    stop: str | None = None
    stop_sequence: str | None = None
    pace_ms: int = 0
    wait_ms: int = 0
    error: Error | None = None
    cut: Cut | None = None
    fail: Fail | None = None
    usage: UsageChange = UsageChange()
