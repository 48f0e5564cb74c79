"""What goes wrong upstream, as the caller is to see it.

Source: https://platform.openai.com/docs/guides/error-codes; compatible servers' shapes from recorded answers.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from ccproxy.errors import ApiError, Reason, UpstreamProtocolError, reason_for_status
from ccproxy.provider import printable
from ccproxy.providers.failures import Teller, opened, too_long
from ccproxy.providers.headers import for_caller, wait_seconds

_NO_QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_TOO_LONG = re.compile(
    r"maximum context length|context_length_exceeded|exceeds? the (context|configured) (window|limit)"
)
_ASKED = re.compile(r"(?:resulted in|requested(?: about)?) ([\d,]+)")
_MOST = re.compile(r"(?:maximum context length is|limit of) ([\d,]+)")
_MODEL = re.compile(r"model[: ]+[`'\"]([^`'\"]{1,200})[`'\"]", re.IGNORECASE)
_SECRETS = re.compile(r"\bsk-[\w*.-]{6,}|\b(?:org-|proj_|user_)[A-Za-z0-9]{10,}|(?<=Bearer )\S+")

_STATUS_OF = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "overloaded_error": 503,
    "engine_overloaded": 503,
}
"""The status that an error would have had, by its code or type, where it comes inside an answer."""

_ABOUT_THE_REQUEST = re.compile(r"invalid_prompt|image|policy|misalignment")
"""The codes with which a response of the Responses API fails for what it was asked."""


class Problem(Struct, frozen=True):
    """An error as the provider tells it; empty where it does not. A number as `code` becomes text.

    `metadata` is what OpenRouter adds.
    """

    message: str = ""
    type: str = ""
    code: str = ""
    metadata: Mapping[str, Any] = {}

    @property
    def status(self) -> int:
        """The HTTP status of an error that came inside an answer. OpenRouter's codes are statuses."""
        if re.fullmatch(r"[45]\d\d", self.code):
            return int(self.code)
        if _ABOUT_THE_REQUEST.search(self.code):
            return 400
        return _STATUS_OF.get(self.code) or _STATUS_OF.get(self.type) or 500


def problem(document: bytes) -> Problem:
    """Reads an error document: `{"error": {…}}`, or the inner object, or a text. Any bytes give a Problem."""
    value = opened(document)
    if isinstance(value, dict):
        value = value.get("error") or value
    if isinstance(value, str):
        return Problem(value)
    if not isinstance(value, dict):
        return Problem()
    message, type_, code = (text(value.get(name)) for name in ("message", "type", "code"))
    metadata = value.get("metadata")
    return Problem(message, type_, code, metadata if isinstance(metadata, dict) else {})


def text(value: Any) -> str:
    """A member as text; empty where it is neither text nor number."""
    return str(value) if isinstance(value, str | int) else ""


def as_told(status: int, found: Problem) -> tuple[int, Problem]:
    """An error of a provider that needs no reading of its own."""
    return status, found


class Failures:
    """Makes errors in the name of one provider.

    Args:
        provider: The operator's name for it.
        key: Its key, which no message may quote.
        diagnose: Reads an error in the provider's own way.
        request_id: The header that names a request there.
    """

    def __init__(
        self,
        provider: str,
        key: str | None,
        diagnose: Callable[[int, Problem], tuple[int, Problem]] = as_told,
        request_id: str = "x-request-id",
    ) -> None:
        self._teller = Teller(provider, key, _SECRETS, _MODEL)
        self._diagnose = diagnose
        self._request_id = request_id

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An answer with a status that is not 200."""
        request_id = printable(headers.get(self._request_id, "")) or None
        meant, found = self._diagnose(status, problem(body))
        error = self._error(meant, found, headers)
        error.headers = for_caller(headers, self._request_id)
        return error.by(self._teller.provider, status, request_id)

    def inside(self, document: bytes) -> ApiError:
        """An error in place of an answer, or of the rest of one."""
        found = problem(document)
        meant, found = self._diagnose(found.status, found)
        return self._error(meant, found, {}).by(self._teller.provider)

    def overloaded(self) -> ApiError:
        """An answer given up for lack of room."""
        name = self._teller.provider
        return ApiError(Reason.OVERLOADED, f"provider {name} is overloaded").by(name)

    def in_place_of_stream(self, document: bytes) -> Exception:
        """A document where a stream was due: servers answer so where they refuse with status 200."""
        if problem(document).message:
            return self.inside(document)
        return UpstreamProtocolError("the answer is no stream")

    def _error(self, status: int, found: Problem, headers: Mapping[str, str]) -> ApiError:
        return self._teller.error(
            _reason(status, found),
            status,
            found.message,
            too_long=_too_long(found),
            wait=wait_seconds(headers),
            headers=headers,
        )


def _reason(status: int, found: Problem) -> Reason:
    if 400 <= status < 500:  # noqa: PLR2004  # the classes of HTTP
        kinds = {found.code, found.type}
        if kinds & _NO_QUOTA:
            return Reason.BILLING
        if "model_not_found" in kinds:
            return Reason.NOT_FOUND
    return reason_for_status(status)


def _too_long(found: Problem) -> str | None:
    if found.code != "context_length_exceeded" and not _TOO_LONG.search(found.message):
        return None
    asked, most = _ASKED.search(found.message), _MOST.search(found.message)
    return too_long(asked and asked[1], most and most[1])
