"""What goes wrong upstream, as the caller is to see it.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11-22) and recorded answers. A refused key
is a 400 there, and the time to wait is in the body. A stream's error may come as a list with one element.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ccproxy.errors import ApiError, Reason, reason_for_status
from ccproxy.provider import MAX_RETRY_AFTER_SECONDS, redact, retry_after, unusable

MAX_ERROR_BYTES = 64 << 10  # a longer body is no error document
MAX_MESSAGE_CHARACTERS = 2_000

_TOO_LONG = re.compile(
    r"input (?:token count|context)[^.]{0,200}exceed|exceeds the maximum number of tokens", re.IGNORECASE
)
_NUMBERS = re.compile(r"\(?([\d,]{3,15})\)?")
_MODEL = re.compile(r"models/([\w.@-]{1,200})")
_KEYS = re.compile(r"\bAIza[\w-]{20,}|\bAQ\.[\w-]{20,}|(?<=Bearer )\S+|(?<=[?&]key=)[^&\s]+|\bprojects?/\d+")
_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED"})
_STATE = re.compile(r"thought.?signature", re.IGNORECASE)

_STATUS_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The HTTP status of an error that came inside an answer, by its gRPC status."""


class Problem(Struct, frozen=True):
    """An error as the provider tells it; empty where it does not. `wait` is in seconds."""

    message: str = ""
    status: str = ""
    code: int = 0
    reasons: frozenset[str] = frozenset()
    wait: int | None = None

    @property
    def http_status(self) -> int:
        """The HTTP status of an error that came inside an answer."""
        return self.code if 400 <= self.code < 600 else _STATUS_OF.get(self.status, 500)  # noqa: PLR2004


def problem(document: bytes) -> Problem:
    """Reads an error document. Any bytes give a Problem."""
    try:
        value = msgspec.json.decode(document) if len(document) <= MAX_ERROR_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Problem()
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("error") or value
    if not isinstance(value, dict):
        return Problem()
    details = value.get("details")
    given = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    code = value.get("code")
    return Problem(
        _text(value.get("message")),
        _text(value.get("status")),
        code if isinstance(code, int) else 0,
        frozenset(_text(each.get("reason")) for each in given),
        next((wait for each in given if (wait := _seconds(each.get("retryDelay"))) is not None), None),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def _seconds(delay: Any) -> int | None:
    """A protobuf duration (`34s`, `0.5s`) in whole seconds, 1 to an hour."""
    match = _DELAY.fullmatch(_text(delay))
    return None if match is None else max(1, math.ceil(min(float(match[1]), MAX_RETRY_AFTER_SECONDS)))


def is_about_state(error: ApiError) -> bool:
    """Whether the provider refused the state of earlier turns."""
    return error.reason is Reason.INVALID_REQUEST and _STATE.search(error.message) is not None


class Failures:
    """Makes errors in the name of one provider."""

    def __init__(self, provider: str, key: str | None) -> None:
        self._provider = provider
        self._key = key

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An answer with a status that is not 200."""
        return self._error(status, problem(body), headers).by(self._provider, status)

    def inside(self, document: bytes) -> ApiError:
        """An error in place of an answer, or of the rest of one."""
        found = problem(document)
        return self._error(found.http_status, found, {}).by(self._provider)

    def unusable_answer(self, finish: str) -> ApiError:
        """An answer that the model or the provider gave up, such as a call that is none: another try may do."""
        message = f"provider {self._provider} gave no usable answer ({finish})"
        return ApiError(Reason.UPSTREAM_INVALID_RESPONSE, message).by(self._provider)

    def _error(self, status: int, found: Problem, headers: Mapping[str, str]) -> ApiError:
        reason = _reason(status, found)
        should_retry = True if status >= 500 else None  # noqa: PLR2004  # the classes of HTTP
        wait = None
        if reason in {Reason.RATE_LIMITED, Reason.OVERLOADED}:
            wait = retry_after(headers) or found.wait
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
            case Reason.INVALID_REQUEST if _TOO_LONG.search(found.message):
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
        return _KEYS.sub("[redacted]", redact(message, self._key))[:MAX_MESSAGE_CHARACTERS]


def _reason(status: int, found: Problem) -> Reason:
    if found.reasons & _KEY_REASONS or found.status == "UNAUTHENTICATED":
        return Reason.UPSTREAM_AUTHENTICATION_FAILED
    if found.status == "FAILED_PRECONDITION" and status == 400:  # noqa: PLR2004
        return Reason.BILLING if "billing" in found.message.lower() else Reason.PERMISSION_DENIED
    return reason_for_status(status)


def _too_long(message: str) -> str:
    numbers = [each.replace(",", "") for each in _NUMBERS.findall(message) if each.strip(",")]
    if len(numbers) != 2:  # noqa: PLR2004  # what was asked, and the most
        return "prompt is too long"
    return f"prompt is too long: {numbers[0]} tokens > {numbers[1]} maximum"
