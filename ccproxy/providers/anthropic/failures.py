"""Anthropic's failures, word for word where they are about the request, and cleaned of every credential.

Claude Code's recovery reads the wording. What is about a credential depends on whose it is: ours is none of the
caller's business (decision D13), the caller's own it must hear about as if nobody stood in between.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from ccproxy.errors import ApiError, Reason, UpstreamProtocolError, reason_for_status
from ccproxy.provider import printable, redact_each, retry_after, unusable
from ccproxy.providers.anthropic.wire import ErrorDocument

MAX_ERROR_BYTES = 64 << 10  # a longer body is no error document

_HIDDEN_HEADERS = frozenset({"anthropic-organization-id"})  # names the operator's account

_OF_CALLERS = {401: Reason.AUTHENTICATION_FAILED, 403: Reason.PERMISSION_DENIED}


class Failures(Struct, frozen=True):
    """How failures are told.

    Attributes:
        name: The provider's.
        secrets: What must not be quoted: our key, or the caller's credential.
        of_caller: Whether the credential was the caller's own.
    """

    name: str
    secrets: tuple[str, ...] = ()
    of_caller: bool = False

    def __repr__(self) -> str:
        return f"Failures({self.name!r})"

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means."""
        request_id = printable(headers.get("request-id", "")) or None
        return self._answered(status, headers, body).by(self.name, status, request_id)

    def _answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        reason = _OF_CALLERS.get(status) if self.of_caller else None
        reason = reason or reason_for_status(status)
        reply = reply_headers(headers)
        if reason is Reason.UPSTREAM_AUTHENTICATION_FAILED:
            return ApiError(reason, self._refusal(), headers=reply)
        document = error_document(body)
        retry = headers.get("x-should-retry")
        should_retry = None if retry is None else retry == "true"
        if should_retry is None and status >= 500:  # noqa: PLR2004  # the classes of HTTP
            should_retry = True  # as its clients would without us; a mistake of ours is another thing
        if document is None or reason is Reason.UPSTREAM_INVALID_RESPONSE:
            message = unusable(self.name, status)
            wait = retry_after(headers)
            return ApiError(reason, message, headers=reply, retry_after=wait, should_retry=should_retry)
        return ApiError(
            reason,
            redact_each(document.error.message.encode(), self.secrets).decode(),
            type=document.error.type,
            status=status,
            retry_after=retry_after(headers),
            should_retry=should_retry,
            body=redact_each(body, self.secrets),
            headers=reply,
        )

    def streamed(self, data: bytes) -> ApiError:
        """The error behind an `error` event.

        Raises:
            UpstreamProtocolError: There is none.
        """
        document = error_document(data)
        if document is None:
            raise UpstreamProtocolError("an error event holds no error")
        kind = document.error.type
        reason = REASON_BY_TYPE.get(kind, Reason.INTERNAL)
        if reason is Reason.UPSTREAM_AUTHENTICATION_FAILED and self.of_caller:
            reason = Reason.PERMISSION_DENIED if kind == "permission_error" else Reason.AUTHENTICATION_FAILED
        if reason is Reason.UPSTREAM_AUTHENTICATION_FAILED:
            return ApiError(reason, self._refusal()).by(self.name)
        message = redact_each(document.error.message.encode(), self.secrets).decode()
        return ApiError(reason, message, type=kind, body=redact_each(data, self.secrets)).by(self.name)

    def _refusal(self) -> str:
        return f"provider {self.name} refused the configured credential"


def error_document(body: bytes) -> ErrorDocument | None:
    """The body as Anthropic's error envelope, or None where it is something else."""
    if len(body) > MAX_ERROR_BYTES:
        return None
    try:
        return msgspec.json.decode(body, type=ErrorDocument)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def reply_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Every `anthropic-*` header but the account's; the provider's request id under our name."""
    reply = {
        k: printable(v) for k, v in headers.items() if k.startswith("anthropic-") and k not in _HIDDEN_HEADERS
    }
    if "request-id" in headers:
        reply["x-ccproxy-upstream-request-id"] = printable(headers["request-id"])
    return reply


REASON_BY_TYPE = {
    "invalid_request_error": Reason.INVALID_REQUEST,
    "authentication_error": Reason.UPSTREAM_AUTHENTICATION_FAILED,
    "billing_error": Reason.BILLING,
    "permission_error": Reason.UPSTREAM_AUTHENTICATION_FAILED,
    "not_found_error": Reason.NOT_FOUND,
    "conflict_error": Reason.CONFLICT,
    "request_too_large": Reason.REQUEST_TOO_LARGE,
    "rate_limit_error": Reason.RATE_LIMITED,
    "timeout_error": Reason.TIMEOUT,
    "overloaded_error": Reason.OVERLOADED,
    "api_error": Reason.INTERNAL,
}
"""What an error's type means where no status says it: inside a stream."""
