"""A call, as an edge hands it over, and where it goes."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Edge = Literal["http", "grpc"]


class Call(Struct, frozen=True, kw_only=True):
    """One call of the Proxy service, whichever edge it came by.

    Attributes:
        edge: Where it came in.
        request_id: Ours; the caller sees it in `request-id`.
        body: The Anthropic request as JSON text. Over HTTP the caller's own bytes; the gRPC edge writes them
            from the message, so the core sees one form.
        headers: HTTP headers or gRPC metadata, lower-case names. Never logged, never passed on as they are.
        query: The URL's query string, as it came; empty over gRPC.
        deadline: In the loop's time (seconds), where the caller set one.
    """

    edge: Edge
    request_id: str
    body: bytes = b""
    headers: Mapping[str, str] = {}
    query: str = ""
    deadline: float | None = None


class Target(Struct, frozen=True):
    """Where a request may go. `parameters` apply where the request is silent."""

    provider: str
    model: str
    route: str
    parameters: Mapping[str, Any] = {}
