"""What is read of Anthropic's JSON: usage, the end, failures. The rest passes unopened.

Source: https://platform.claude.com/docs/en/api/messages (read 2026-11-22).
"""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct, UnsetType

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import ABSENT, Usage

T = TypeVar("T")


class Counts(Struct, frozen=True):
    """Tokens; absent ones are not known yet."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: Raw = ABSENT


class _Details(Struct, frozen=True):
    """Which of the output tokens went where."""

    thinking_tokens: int


class Whole(Struct, frozen=True):
    """A whole answer."""

    type: str
    usage: Counts = Counts()


class Started(Struct, frozen=True):
    """The message of `message_start`."""

    usage: Counts = Counts()


class Named(Struct, frozen=True):
    """What is read of an event: its type, and where it has them its message and its usage."""

    type: str
    message: Started = Started()
    usage: Counts = Counts()


class Error(Struct, frozen=True):
    """What went wrong."""

    type: str
    message: str


class ErrorDocument(Struct, frozen=True):
    """The envelope of an error."""

    error: Error
    type: str = "error"
    request_id: str | None = None


class Count(Struct, frozen=True):
    """The answer to a count of tokens."""

    input_tokens: int


def newer_usage(counts: Counts, known: Usage) -> Usage:
    """Counts are cumulative: a new one replaces the known one, an absent one leaves it."""
    return Usage(
        input_tokens=_newer(counts.input_tokens, known.input_tokens),
        output_tokens=_newer(counts.output_tokens, known.output_tokens),
        cache_creation_input_tokens=_newer(counts.cache_creation_input_tokens, known.cache_creation_input_tokens),
        cache_read_input_tokens=_newer(counts.cache_read_input_tokens, known.cache_read_input_tokens),
        output_tokens_details=_details(counts.output_tokens_details) or known.output_tokens_details,
    )


def _details(raw: Raw) -> dict[str, int] | None:
    """None where they are not there, or are not what we know: that must not break an answer that is passed on."""
    if not bytes(raw):
        return None
    try:
        return {"thinking_tokens": msgspec.json.decode(raw, type=_Details).thinking_tokens}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _newer(count: int | None, known: int | UnsetType) -> int | UnsetType:
    return known if count is None else count


def read(body: bytes, type: type[T]) -> T:  # noqa: A002  # msgspec's word
    """Reads an answer.

    Raises:
        UpstreamProtocolError: It is something else.
    """
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamProtocolError("the answer is not what the API documents") from error
