"""The headers of a translated exchange: what a provider is sent, and what those of its answer mean.

Sources: https://platform.openai.com/docs/guides/rate-limits, whose names many servers use, and
https://openrouter.ai/docs/api/reference/limits (both read 2026-11-22). What is told as a time needs a clock: the
answer's own `date` is the clock.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from ccproxy import __version__
from ccproxy.provider import MAX_RETRY_AFTER_SECONDS, printable, retry_after


def to_send(*, stream: bool) -> dict[str, str]:
    """The headers of a request but for the key."""
    return {
        "accept": "text/event-stream" if stream else "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": f"ccproxy/{__version__}",
    }


def for_caller(headers: Mapping[str, str], request_id: str) -> dict[str, str]:
    """What of an answer's headers is for the caller: rate limits in Anthropic's names, and the provider's own id.

    Args:
        headers: Those of the answer.
        request_id: The header that names a request at the provider.
    """
    reply = {}
    now = _date(headers)
    for limit in _LIMITS:
        for what in ("limit", "remaining"):
            value = headers.get(f"x-ratelimit-{what}-{limit}", "")
            if _COUNT.fullmatch(value):
                reply[f"anthropic-ratelimit-{limit}-{what}"] = value
        seconds = seconds_of(headers.get(f"x-ratelimit-reset-{limit}", ""))
        if now is not None and seconds is not None:
            end = now + timedelta(seconds=math.ceil(min(seconds, _LONGEST)))
            reply[f"anthropic-ratelimit-{limit}-reset"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    if named := printable(headers.get(request_id, "")):
        reply["x-ccproxy-upstream-request-id"] = named
    return reply


_LIMITS = ("requests", "tokens")
_COUNT = re.compile(r"[0-9]{1,15}")  # int() refuses thousands of digits with an error of its own
_LONGEST = 86_400.0 * 366  # seconds; beyond that it is no limit, and soon no date


def _date(headers: Mapping[str, str]) -> datetime | None:
    """When the answer was made, by the provider's clock."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def wait_seconds(headers: Mapping[str, str]) -> int | None:
    """Whole seconds until another try makes sense, 1 to an hour; None where no header tells.

    OpenAI names the time until each of its limits is whole again; what counts is the one that is used up.
    OpenRouter names the moment, in milliseconds of Unix time.
    """
    named = retry_after(headers)
    if named is not None:
        return named
    milliseconds = headers.get("retry-after-ms", "")
    if _COUNT.fullmatch(milliseconds):
        return _bounded(int(milliseconds) / 1000)
    resets = {limit: seconds_of(headers.get(f"x-ratelimit-reset-{limit}", "")) for limit in _LIMITS}
    used_up = [limit for limit in resets if headers.get(f"x-ratelimit-remaining-{limit}") == "0"]
    waits = [wait for limit in used_up or resets if (wait := resets[limit]) is not None]
    if waits:
        return _bounded(max(waits))
    moment, now = headers.get("x-ratelimit-reset", ""), _date(headers)
    if now is None or not _COUNT.fullmatch(moment):
        return None
    return _bounded(int(moment) / 1000 - now.timestamp())


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_UNIT_SECONDS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


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
