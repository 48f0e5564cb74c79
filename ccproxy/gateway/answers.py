"""What the HTTP edge answers: JSON documents, and refusals in Anthropic's envelope."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from ccproxy.errors import ApiError, Reason
from ccproxy.ids import new_request_id
from ccproxy.proxy import Reply

ENDS_CONNECTION = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
"""The rest of such a request is not worth reading, so nothing can follow it."""


def json(body: bytes, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON document."""
    return web.Response(body=body, status=status, headers={**(headers or {}), "content-type": "application/json"})


def reply(answer: Reply) -> web.Response:
    """A whole answer of the core."""
    return json(answer.body, headers=answer.headers)


def refusal(error: ApiError, request_id: str) -> web.Response:
    """A failure."""
    response = json(error.document(request_id), error.status, _headers(error, request_id))
    if error.status in ENDS_CONNECTION:
        response.force_close()
    return response


def last_words(error: ApiError) -> bytes:
    """A failure as bytes, for a connection that has no request."""
    request_id = new_request_id()
    body = error.document(request_id)
    headers = {
        **_headers(error, request_id),
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "server": "ccproxy",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{lines}\r\n".encode() + body


def from_aiohttp(error: web.HTTPException, request: web.Request) -> ApiError:
    """What aiohttp refuses by itself, in Anthropic's words."""
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ApiError(
                Reason.INVALID_REQUEST,
                f"{request.method} is not allowed here; use {allowed}",
                status=405,
                headers={"allow": allowed},
            )
        case web.HTTPNotFound():
            return ApiError(Reason.NOT_FOUND, "There is no such path")
        case web.HTTPRequestEntityTooLarge():
            return too_large(request.client_max_size)
        case _:
            return ApiError(Reason.INVALID_REQUEST, "The request cannot be read", status=error.status)


def too_large(limit: int) -> ApiError:
    """A body beyond the limit, in bytes."""
    return ApiError(Reason.REQUEST_TOO_LARGE, f"The request body is larger than {limit} bytes")


def too_slow(what: str, seconds: float) -> ApiError:
    """A part of the request that did not come in time."""
    message = f"The request's {what} did not arrive within {seconds:g} s"
    return ApiError(Reason.INVALID_REQUEST, message, status=HTTPStatus.REQUEST_TIMEOUT, should_retry=True)


def _headers(error: ApiError, request_id: str) -> dict[str, str]:
    headers = {
        **error.headers,
        "request-id": request_id,
        "x-request-id": request_id,
        "x-should-retry": "true" if error.should_retry else "false",
    }
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return headers
