"""The headers of a translated exchange: what a provider is sent, and what those of its answer mean.

Source: https://platform.openai.com/docs/guides/rate-limits (read 2026-11-22), whose names many servers use.
"""

import math
import re
from collections.abc import Mapping

from ccproxy import __version__
from ccproxy.provider import MAX_RETRY_AFTER_SECONDS, retry_after


def to_send(*, stream: bool) -> dict[str, str]:
    """The headers of a request but for the key."""
    return {
        "accept": "text/event-stream" if stream else "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": f"ccproxy/{__version__}",
    }


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
