"""A call, as an edge hands it over, and where it goes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from ccproxy.documents import Head, decode_head
from ccproxy.spans import RequestSpan
from ccproxy.tracing import Trace

Edge = Literal["http", "grpc"]

Headers = Mapping[str, Sequence[str]]
"""HTTP headers or gRPC metadata: lower-case names, every value in the order it came."""

TIMEOUT_HEADER = "x-ccproxy-timeout-ms"
MAX_TIMEOUT_MS = 86_400_000  # a day; more is no deadline

_MILLISECONDS = re.compile(r"[0-9]{1,15}")  # int() refuses thousands of digits with an error of its own


class Call(Struct, kw_only=True):
    """One call of the Proxy service, whichever edge it came by.

    Attributes:
        edge: Where it came in.
        request_id: Ours; the caller sees it in `request-id`.
        body: The Anthropic request as JSON text. Over HTTP the caller's own bytes; the gRPC edge writes them
            from the message, so the core sees one form.
        headers: As the caller sent them, but for a key of ours in a place where a provider's would be. Never
            logged, never passed on as they are.
        query: The URL's query string, as it came; empty over gRPC.
        deadline: In the loop's time (seconds), where the caller set one.
        caller: Who was let in, for logs: the name of the key, or `local`. Never the key.
        trace: The trace it belongs to, where the caller tells of one or one is kept.
        span: Is told what becomes of it, where spans are kept.
    """

    edge: Edge
    request_id: str
    body: bytes = b""
    headers: Headers = {}
    query: str = ""
    deadline: float | None = None
    caller: str = ""
    trace: Trace | None = None
    span: RequestSpan | None = None
    _head: Head | None = None

    def head(self) -> Head:
        """The members that decide where the request goes; read once.

        Raises:
            ApiError: As `documents.decode_head`.
        """
        if self._head is None:
            self._head = decode_head(self.body)
        return self._head


class Target(Struct, frozen=True):
    """Where a request may go. `parameters` apply where the request is silent; `reason` is for people."""

    provider: str
    model: str
    route: str
    parameters: Mapping[str, Any] = {}
    reason: str = ""

    def silent(self, head: Head) -> dict[str, Any]:
        """The parameters that apply to a request: those it does not have, or has as null."""
        return {k: v for k, v in self.parameters.items() if bytes(head.fields.get(k, b"null")) == b"null"}


def deadline(headers: Headers, now: float) -> float | None:
    """The deadline a caller asks for in `x-ccproxy-timeout-ms`; None where it asks for none that makes sense."""
    values = headers.get(TIMEOUT_HEADER, ())
    if len(values) != 1 or not _MILLISECONDS.fullmatch(values[0]):
        return None
    return now + min(int(values[0]), MAX_TIMEOUT_MS) / 1000
