"""Failures and headers on gRPC: google.rpc details, trailing and initial metadata.

Limits measured against grpc: trailers above 8 KiB fail at random and hide the real error, and a value that is not
printable ASCII fails the whole RPC.
"""

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ccproxy.errors import ApiError
from ccproxy.provider import printable

DOMAIN = "ccproxy.v1"
MAX_MESSAGE_CHARS = 1_500  # it travels twice: in the status and in the details
MAX_VALUE_CHARS = 500

Metadata = tuple[tuple[str, str | bytes], ...]


def code(error: ApiError) -> grpc.StatusCode:
    """The status code of a failure."""
    return grpc.StatusCode[error.grpc]


def message(error: ApiError) -> str:
    """A failure's text, short enough for trailers."""
    text = error.message
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def trailers(error: ApiError, request_id: str) -> Metadata:
    """Everything a failure says beside its code and text.

    `http_status` and `type` make the HTTP answer reproducible from the status. `grpc-retry-pushback-ms` is what
    a client's own retry policy obeys; -1 tells it not to try again.
    """
    pushback = (error.retry_after or 0) * 1000 if error.should_retry else -1
    metadata: list[tuple[str, str | bytes]] = [
        *identity(request_id),
        ("x-should-retry", "true" if error.should_retry else "false"),
        ("grpc-status-details-bin", _status(error, request_id).SerializeToString()),
    ]
    if error.retry_after is not None or not error.should_retry:
        metadata.append(("grpc-retry-pushback-ms", str(pushback)))
    if error.retry_after is not None:
        metadata.append(("retry-after", str(error.retry_after)))
    return (*metadata, *initial(error.headers))


def identity(request_id: str) -> Metadata:
    """The request's id: as the Anthropic API names it, and as everybody else does."""
    return (("request-id", request_id), ("x-request-id", request_id))


def initial(headers: Mapping[str, str]) -> Metadata:
    """Headers as metadata: lower-case names, printable values."""
    return tuple((name.lower(), printable(value)[:MAX_VALUE_CHARS]) for name, value in headers.items())


def _status(error: ApiError, request_id: str) -> Status:
    facts = {
        "type": error.type,
        "http_status": str(error.status),
        "provider": error.provider,
        "upstream_status": None if error.upstream_status is None else str(error.upstream_status),
        "upstream_request_id": error.upstream_request_id,
        **error.details,
    }
    known = {name: fact[:MAX_VALUE_CHARS] for name, fact in facts.items() if fact is not None}
    details: list[Message] = [
        ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=known),
        RequestInfo(request_id=request_id),
    ]
    if error.retry_after is not None:
        details.append(RetryInfo(retry_delay=Duration(seconds=error.retry_after)))
    return Status(code=code(error).value[0], message=message(error), details=[_any(d) for d in details])


def _any(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
