"""Durations and sizes as people write them."""

import re

from ccproxy.config.values import MIB, Duration, Size

DURATION = r"([0-9]+(\.[0-9]+)?h)?([0-9]+(\.[0-9]+)?m)?([0-9]+(\.[0-9]+)?s)?([0-9]+(\.[0-9]+)?ms)?"
SIZE = r"[0-9]+(KiB|MiB|GiB|KB|MB|GB|B)?"
NUMBER = r"[0-9]+(\.[0-9]+)?"

DURATION_WORDS = "expected a duration such as 500ms, 30s, 5m or 1h30m, or a number of seconds"
SIZE_WORDS = "expected a size such as 512KiB, 32MiB or 10MB, or a number of bytes"

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {
    "": 1,
    "B": 1,
    "KiB": 1 << 10,
    "MiB": MIB,
    "GiB": 1 << 30,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}
_MAX_DIGITS = 18  # more than any size or time has; int() and float() stay exact enough and quick


def duration(value: object) -> Duration | None:
    """Seconds of a number or a text; None where it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Duration(value) if abs(value) < 10**_MAX_DIGITS else None
    if not isinstance(value, str) or len(value) > 4 * _MAX_DIGITS:
        return None
    if re.fullmatch(NUMBER, value):
        return Duration(float(value))
    if not value or not re.fullmatch(DURATION, value):
        return None
    return Duration(sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([0-9.]+)(h|ms|m|s)", value)))


def size(value: object) -> Size | None:
    """Bytes of a number or a text; None where it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Size(value)
    if not isinstance(value, str) or len(value) > _MAX_DIGITS:
        return None
    match = re.fullmatch(r"([0-9]+)([A-Za-z]*)", value)
    if match is None or match[2] not in _BYTES:
        return None
    return Size(int(match[1]) * _BYTES[match[2]])
