"""What goes wrong upstream, as the caller is to see it.

Source: https://platform.openai.com/docs/guides/error-codes; compatible servers' shapes from recorded answers.
Claude Code compacts a conversation when it reads "prompt is too long", so every provider's word for that becomes
Anthropic's. A message of the provider is passed on only where it helps to mend the request.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ccproxy.errors import ApiError, Reason, reason_for_status
from ccproxy.provider import MAX_RETRY_AFTER_SECONDS, printable, redact, retry_after, unusable

MAX_ERROR_BYTES = 64 << 10  # a longer body is no error document
MAX_MESSAGE_CHARACTERS = 2_000

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
    try:
        value = msgspec.json.decode(document) if len(document) <= MAX_ERROR_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Problem()
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
        self._provider = provider
        self._key = key
        self._diagnose = diagnose
        self._request_id = request_id

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An answer with a status that is not 200."""
        request_id = printable(headers.get(self._request_id, "")) or None
        meant, found = self._diagnose(status, problem(body))
        return self._error(meant, found, headers).by(self._provider, status, request_id)

    def inside(self, document: bytes) -> ApiError:
        """An error in place of an answer, or of the rest of one."""
        found = problem(document)
        meant, found = self._diagnose(found.status, found)
        return self._error(meant, found, {}).by(self._provider)

    def overloaded(self) -> ApiError:
        """An answer given up for lack of room."""
        return ApiError(Reason.OVERLOADED, f"provider {self._provider} is overloaded").by(self._provider)

    def _error(self, status: int, found: Problem, headers: Mapping[str, str]) -> ApiError:
        reason = _reason(status, found)
        retry = headers.get("x-should-retry")
        should_retry = retry == "true" if retry is not None else None
        if should_retry is None and status >= 500:  # noqa: PLR2004  # the classes of HTTP
            should_retry = True
        if reason in {Reason.BILLING, Reason.UPSTREAM_AUTHENTICATION_FAILED}:
            should_retry = False
        wait = wait_seconds(headers) if reason in {Reason.RATE_LIMITED, Reason.OVERLOADED} else None
        return ApiError(reason, self._message(reason, status, found), retry_after=wait, should_retry=should_retry)

    def _message(self, reason: Reason, status: int, found: Problem) -> str:
        told = f": {self._clean(found.message)}" if found.message else ""
        match reason:
            case Reason.UPSTREAM_AUTHENTICATION_FAILED:
                return f"provider {self._provider} refused the configured credential"
            case Reason.BILLING:
                return f"provider {self._provider} has no credit or quota left"
            case Reason.RATE_LIMITED:
                return f"provider {self._provider} limits the rate of requests{told}"
            case Reason.OVERLOADED:
                return f"provider {self._provider} is overloaded"
            case Reason.INVALID_REQUEST if _is_too_long(found):
                return _too_long(found.message)
            case Reason.NOT_FOUND if model := _MODEL.search(found.message):
                return f"model: {self._clean(model[1])}"
            case _ if status >= 500:  # noqa: PLR2004  # the classes of HTTP: the text may hold its internals
                return f"provider {self._provider} failed (HTTP {status})"
            case _ if found.message:
                return self._clean(found.message)
            case _:
                return unusable(self._provider, status)

    def _clean(self, message: str) -> str:
        message = redact(message, self._key)
        return _SECRETS.sub("[redacted]", message)[:MAX_MESSAGE_CHARACTERS]


def _reason(status: int, found: Problem) -> Reason:
    if 400 <= status < 500:  # noqa: PLR2004  # the classes of HTTP
        kinds = {found.code, found.type}
        if kinds & _NO_QUOTA:
            return Reason.BILLING
        if "model_not_found" in kinds:
            return Reason.NOT_FOUND
    return reason_for_status(status)


def _is_too_long(found: Problem) -> bool:
    return found.code == "context_length_exceeded" or _TOO_LONG.search(found.message) is not None


def _too_long(message: str) -> str:
    asked, most = _ASKED.search(message), _MOST.search(message)
    if asked is None or most is None:
        return "prompt is too long"
    return f"prompt is too long: {_plain(asked[1])} tokens > {_plain(most[1])} maximum"


def _plain(number: str) -> str:
    return number.replace(",", "")


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_UNIT_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


def wait_seconds(headers: Mapping[str, str]) -> int | None:
    """Whole seconds until another try makes sense, 1 to an hour; None where no header tells.

    OpenAI names the time until each of its limits is whole again; what counts is the one that is used up.
    """
    named = retry_after(headers)
    if named is not None:
        return named
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.isdecimal():
        return _bounded(int(milliseconds) / 1000)
    resets = {kind: seconds_of(headers.get(f"x-ratelimit-reset-{kind}", "")) for kind in ("requests", "tokens")}
    used_up = [kind for kind in resets if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    waits = [wait for kind in used_up or resets if (wait := resets[kind]) is not None]
    return _bounded(max(waits)) if waits else None


def seconds_of(duration: str) -> float | None:
    """A duration as OpenAI writes it (`12ms`, `6m0s`, `1s`) in seconds."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        return None
    try:
        return sum(float(n) * unit for n, unit in zip(match.groups("0"), _UNIT_SECONDS, strict=True))
    except ValueError:  # 1.2.3s
        return None


def _bounded(seconds: float) -> int:
    return max(1, math.ceil(min(seconds, MAX_RETRY_AFTER_SECONDS)))
