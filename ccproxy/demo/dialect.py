"""What every dialect of the demo has in common, and the faults of a stream, which need no dialect."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Protocol

from msgspec import Struct

from ccproxy.demo.answer import Answer
from ccproxy.demo.prompt import Prompt

SERVER_ERROR = 500  # the first HTTP status that blames the server

_STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
    "api_error": 500,
}


class Kind(Enum):
    """What a frame of a stream is to somebody who wants to break it."""

    FRAME = "frame"
    PIECE = "piece"  # brings one token of content
    END = "end"  # says how the answer ended, or follows that


class Frame(Struct, frozen=True):
    """The bytes of one Server-Sent Event."""

    data: bytes
    kind: Kind = Kind.FRAME


class Stamp(Struct, frozen=True):
    """What makes an answer one of its kind: a word for its ids, and when it was made (Unix seconds)."""

    word: str
    created: int


class Wire(Protocol):
    """What a module that speaks a provider's wire format offers for answers. All of it is pure."""

    REQUEST_ID: str
    """The name of the header that carries the request id."""

    def whole(self, answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
        """The answer as one JSON document."""
        ...

    def frames(self, answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
        """The answer as a stream."""
        ...

    def error(self, status: int, kind: str | None, message: str | None, request_id: str) -> bytes:
        """The body of an HTTP error."""
        ...

    def failure(self, kind: str, message: str, request_id: str) -> Frame:
        """An error in the middle of a stream."""
        ...

    def models(self, query: Mapping[str, str]) -> bytes:
        """The list of models. Raises InvalidRequestError where the query is not understood."""
        ...

    def model(self, name: str) -> bytes | None:
        """One model."""
        ...


class Dialect(Wire, Protocol):
    """A wire whose requests are told by their body alone."""

    def read(self, body: bytes) -> Prompt:
        """The request. Raises InvalidRequestError where it is none."""
        ...


class UrlDialect(Wire, Protocol):
    """A wire whose URL tells the model, and whether the answer is a stream."""

    def read(self, body: bytes, model: str, *, stream: bool) -> Prompt:
        """The request. Raises InvalidRequestError where it is none."""
        ...


def status_of(kind: str) -> int:
    """The HTTP status for an error type; 500 for one that is not Anthropic's."""
    return _STATUS_OF.get(kind, 500)


def type_of(status: int) -> str:
    """Anthropic's error type that is usual for an HTTP status."""
    for kind, usual in _STATUS_OF.items():
        if usual == status:
            return kind
    return "invalid_request_error" if status < SERVER_ERROR else "api_error"


def until(frames: Iterable[Frame], pieces: int) -> Iterator[Frame]:
    """`frames` up to and with so many pieces, and never the end: what comes before a fault."""
    sent = 0
    for frame in frames:
        if frame.kind is Kind.END or (frame.kind is Kind.PIECE and sent == pieces):
            return
        yield frame
        sent += frame.kind is Kind.PIECE
        if sent and sent == pieces:
            return
