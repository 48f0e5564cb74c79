"""What is told of a request and of its attempts, for whoever keeps spans: the seam to OpenTelemetry.

The core calls these and knows no more. Where nothing is exported there is no `Telemetry`, and a request costs a
look at None. Nothing of these waits, raises, or keeps what a message says.
"""

from collections.abc import Callable
from typing import Protocol

from ccproxy.documents import Head
from ccproxy.errors import ApiError
from ccproxy.messages import Usage
from ccproxy.tracing import Trace


class Streamed(Protocol):
    """A streamed answer, as far as a span reads it."""

    @property
    def usage(self) -> Usage:
        """The tokens known so far."""
        ...


class AttemptSpan(Protocol):
    """One attempt at a provider, from its request to its end. `trace` is what the provider may be sent."""

    @property
    def trace(self) -> Trace:
        """Its place in the trace."""
        ...

    def answered(self, body: bytes, usage: Usage) -> None:
        """It was answered with a whole message."""
        ...

    def follow(self, stream: Streamed) -> Callable[[bytes], None]:
        """It is answered with a stream; what is returned is to be told each piece, as whole frames."""
        ...

    def completed(self) -> None:
        """The stream came to its end."""
        ...

    def failed(self, error: ApiError) -> None:
        """It failed."""
        ...

    def end(self) -> None:
        """Nothing more comes. Without a word before, it was given up. A second end changes nothing."""
        ...


class RequestSpan(Protocol):
    """One request of a caller. `trace` is what its attempts, and its line in the log, belong to."""

    @property
    def trace(self) -> Trace:
        """Its place in the trace."""
        ...

    def attempt(self, provider: str, model: str, url: str, head: Head, *, number: int) -> AttemptSpan:
        """An attempt begins: at a provider (the operator's name for it), the `number`-th of this request."""
        ...

    def failed(self, error: ApiError) -> None:
        """It failed, perhaps behind an answer that had begun."""
        ...

    def end(self, code: int | str | None) -> None:
        """It is answered: with an HTTP status, or gRPC's code. None where the caller had left."""
        ...


class Telemetry(Protocol):
    """Keeps spans and metrics, and hands them on in its own time."""

    def http(self, method: str, route: str, request_id: str, parent: Trace | None) -> RequestSpan:
        """A request came over HTTP; `route` is its template, as in `/v1/models/{model_id}`."""
        ...

    def rpc(self, service: str, method: str, request_id: str, parent: Trace | None) -> RequestSpan:
        """A request came over gRPC."""
        ...
