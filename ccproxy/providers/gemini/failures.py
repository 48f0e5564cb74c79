"""What goes wrong upstream, as the caller is to see it.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting (read 2026-11-22) and recorded answers. A refused key
is a 400 there, and the time to wait is in the body. A stream's error may come as a list with one element.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ccproxy.errors import ApiError, Reason, reason_for_status
from ccproxy.provider import MAX_RETRY_AFTER_SECONDS, retry_after
from ccproxy.providers.failures import Teller, opened, too_long

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
    value = opened(document)
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
        self._teller = Teller(provider, key, _KEYS, _MODEL)

    def answered(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An answer with a status that is not 200."""
        return self._error(status, problem(body), headers).by(self._teller.provider, status)

    def inside(self, document: bytes) -> ApiError:
        """An error in place of an answer, or of the rest of one."""
        found = problem(document)
        return self._error(found.http_status, found, {}).by(self._teller.provider)

    def unusable_answer(self, finish: str) -> ApiError:
        """An answer that the model or the provider gave up, such as a call that is none: another try may do."""
        message = f"provider {self._teller.provider} gave no usable answer ({finish})"
        return ApiError(Reason.UPSTREAM_INVALID_RESPONSE, message).by(self._teller.provider)

    def _error(self, status: int, found: Problem, headers: Mapping[str, str]) -> ApiError:
        return self._teller.error(
            _reason(status, found),
            status,
            found.message,
            too_long=_too_long(found.message),
            wait=retry_after(headers) or found.wait,
            headers=headers,
        )


def _reason(status: int, found: Problem) -> Reason:
    if found.reasons & _KEY_REASONS or found.status == "UNAUTHENTICATED":
        return Reason.UPSTREAM_AUTHENTICATION_FAILED
    if found.status == "FAILED_PRECONDITION" and status == 400:  # noqa: PLR2004
        return Reason.BILLING if "billing" in found.message.lower() else Reason.PERMISSION_DENIED
    return reason_for_status(status)


def _too_long(message: str) -> str | None:
    if not _TOO_LONG.search(message):
        return None
    numbers = [each for each in _NUMBERS.findall(message) if each.strip(",")]
    return too_long(*(numbers if len(numbers) == 2 else (None, None)))  # noqa: PLR2004  # what was asked, and the most
