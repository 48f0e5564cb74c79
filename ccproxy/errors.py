"""What can go wrong, in one table: reason -> Anthropic error type, HTTP status, gRPC code, retry.

    Exception
      ApiError                 an answer for the caller, on either edge
      UpstreamProtocolError    a provider's bytes are not what its protocol says

Source: https://platform.claude.com/docs/en/api/errors (types and statuses); the reasons are the values of
`ErrorReason` in proto/ccproxy/v1/errors.proto, without their prefix.
"""

import logging
import secrets
import traceback
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import msgspec
from msgspec import Struct


class Reason(StrEnum):
    """Why a call failed. The value is the `reason` of google.rpc.ErrorInfo."""

    INVALID_REQUEST = "INVALID_REQUEST"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    BILLING = "BILLING"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    RATE_LIMITED = "RATE_LIMITED"
    UPSTREAM_AUTHENTICATION_FAILED = "UPSTREAM_AUTHENTICATION_FAILED"
    UPSTREAM_UNREACHABLE = "UPSTREAM_UNREACHABLE"
    UPSTREAM_INVALID_RESPONSE = "UPSTREAM_INVALID_RESPONSE"
    OVERLOADED = "OVERLOADED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    TIMEOUT = "TIMEOUT"
    UNSUPPORTED = "UNSUPPORTED"
    INTERNAL = "INTERNAL"


Circuit = Literal["", "answers", "counts", "rests", "refuses"]
"""What a failure says of the provider: nothing; that it works; that it fails; that it wants time or money; that it
refuses our credential."""

Replay = Literal["never", "uncertain", "safe"]
"""Whether another attempt can follow, before the caller got anything. `safe`: this one was surely not billed."""


class Rule(Struct, frozen=True):
    """How a reason appears to the caller, and what it means for the next attempt.

    `grpc` is the name of a grpc.StatusCode. `circuit` and `replay` are for a provider's failures alone.
    """

    type: str
    status: int
    grpc: str
    retry: bool
    circuit: Circuit
    replay: Replay = "never"


RULES: Mapping[Reason, Rule] = {
    Reason.INVALID_REQUEST: Rule("invalid_request_error", 400, "INVALID_ARGUMENT", retry=False, circuit="answers"),
    Reason.AUTHENTICATION_FAILED: Rule("authentication_error", 401, "UNAUTHENTICATED", retry=False, circuit=""),
    Reason.BILLING: Rule("billing_error", 402, "FAILED_PRECONDITION", retry=False, circuit="rests", replay="safe"),
    Reason.PERMISSION_DENIED: Rule("permission_error", 403, "PERMISSION_DENIED", retry=False, circuit="answers"),
    Reason.NOT_FOUND: Rule("not_found_error", 404, "NOT_FOUND", retry=False, circuit="answers"),
    Reason.CONFLICT: Rule("conflict_error", 409, "ABORTED", retry=False, circuit="answers"),
    Reason.REQUEST_TOO_LARGE: Rule("request_too_large", 413, "RESOURCE_EXHAUSTED", retry=False, circuit="answers"),
    Reason.RATE_LIMITED: Rule(
        "rate_limit_error", 429, "RESOURCE_EXHAUSTED", retry=True, circuit="rests", replay="safe"
    ),
    Reason.UPSTREAM_AUTHENTICATION_FAILED: Rule(
        "api_error", 502, "INTERNAL", retry=False, circuit="refuses", replay="safe"
    ),
    Reason.UPSTREAM_UNREACHABLE: Rule(
        "api_error", 502, "UNAVAILABLE", retry=True, circuit="counts", replay="safe"
    ),
    Reason.UPSTREAM_INVALID_RESPONSE: Rule(
        "api_error", 502, "INTERNAL", retry=True, circuit="counts", replay="uncertain"
    ),
    Reason.OVERLOADED: Rule("overloaded_error", 529, "UNAVAILABLE", retry=True, circuit="counts", replay="safe"),
    Reason.SHUTTING_DOWN: Rule("overloaded_error", 503, "UNAVAILABLE", retry=True, circuit=""),
    Reason.TIMEOUT: Rule(
        "timeout_error", 504, "DEADLINE_EXCEEDED", retry=True, circuit="counts", replay="uncertain"
    ),
    Reason.UNSUPPORTED: Rule("invalid_request_error", 501, "UNIMPLEMENTED", retry=False, circuit="answers"),
    Reason.INTERNAL: Rule("api_error", 500, "INTERNAL", retry=False, circuit="counts", replay="uncertain"),
}

_BY_STATUS = {
    401: Reason.UPSTREAM_AUTHENTICATION_FAILED,
    402: Reason.BILLING,
    403: Reason.UPSTREAM_AUTHENTICATION_FAILED,
    404: Reason.NOT_FOUND,
    408: Reason.TIMEOUT,
    409: Reason.CONFLICT,
    413: Reason.REQUEST_TOO_LARGE,
    429: Reason.RATE_LIMITED,
    501: Reason.UNSUPPORTED,
    503: Reason.OVERLOADED,
    504: Reason.TIMEOUT,
    529: Reason.OVERLOADED,
}


def reason_for_status(status: int) -> Reason:
    """The reason behind a provider's HTTP status.

    A refused key is the provider's word about *our* credential (decision D13), so 401 and 403 are
    never passed on as the caller's own failure. Below 400 the answer is no answer at all: a redirect is
    refused, because following it would carry the key to another host.
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:  # noqa: PLR2004  # the classes of HTTP
        return Reason.INVALID_REQUEST
    return Reason.INTERNAL if status >= 500 else Reason.UPSTREAM_INVALID_RESPONSE  # noqa: PLR2004


class ApiError(Exception):
    """An error as the caller is to see it.

    Attributes:
        reason: The row of `RULES`.
        message: For people. Holds no secret and no text of a foreign provider's body.
        type: Anthropic's error type; the row's unless the provider named another one.
        status: The HTTP status; the row's unless the provider gave another one.
        retry_after: Seconds until another try makes sense, where that is known.
        should_retry: What `x-should-retry` says.
        replay: Whether another attempt may be made of it; the row's unless it is known better.
        body: A whole error document to send as it is (an Anthropic upstream's own), else None.
        headers: Further headers for the caller, lower case.
        details: What a program can decide by, such as Anthropic's `error_code`.
        provider: The provider that failed, if one did; with its own status and request id.
    """

    def __init__(  # noqa: PLR0913  # the fields of an error; all but two are optional
        self,
        reason: Reason,
        message: str,
        *,
        type: str | None = None,  # noqa: A002  # Anthropic's word
        status: int | None = None,
        retry_after: int | None = None,
        should_retry: bool | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
        replay: Replay | None = None,
    ) -> None:
        super().__init__(message)
        rule = RULES[reason]
        self.reason = reason
        self.message = message
        self.type = type or rule.type
        self.status = status or rule.status
        self.grpc = rule.grpc
        self.retry_after = retry_after
        self.should_retry = rule.retry if should_retry is None else should_retry
        self.replay: Replay = rule.replay if replay is None else replay
        self.body = body
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        self.provider: str | None = None
        self.upstream_status: int | None = None
        self.upstream_request_id: str | None = None

    def by(self, provider: str, status: int | None = None, request_id: str | None = None) -> "ApiError":
        """Names the provider that failed, with its own status and request id where there are any."""
        self.provider = provider
        self.upstream_status = status
        self.upstream_request_id = request_id
        return self

    def document(self, request_id: str) -> bytes:
        """The error as a JSON document: the provider's own where there is one, else our envelope."""
        if self.body is not None:
            return self.body
        error: dict[str, object] = {"type": self.type, "message": self.message}
        if self.details:
            error["details"] = self.details
        return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})


class UpstreamProtocolError(Exception):
    """A provider's bytes break its protocol. The message names the rule, never the bytes."""


def internal(error: BaseException, log: logging.Logger) -> ApiError:
    """A mistake of ours: an opaque id for the caller, the place of the mistake for the log.

    The exception's text stays out of both: nobody can promise that it holds no secret.
    """
    mark = secrets.token_hex(6)
    log.error("internal error %s: %s in %s", mark, type(error).__name__, place(error))
    return ApiError(Reason.INTERNAL, f"Internal error {mark}")


def place(error: BaseException) -> str:
    """Where `error` comes from, innermost first; empty where it was never raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return " <- ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames[-6:]))
