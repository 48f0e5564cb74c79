"""W3C trace context: which trace a caller's request belongs to.

Pure, and without OpenTelemetry: a trace is known by its ids alone. What cannot be read is as if it had not come.

Source: https://www.w3.org/TR/trace-context-2/ (read 2026-11-25); gRPC carries the same two names in its metadata.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

MAX_STATE_MEMBERS = 32
MAX_STATE_CHARS = 512  # what everybody passes on; of more the largest members go first
LARGE_MEMBER_CHARS = 128

_KNOWN_FLAGS = 0b11  # sampled, random; others must be set to zero
_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_MEMBER = re.compile(
    r"(?P<key>[a-z0-9][a-z0-9_\-*/@]{0,255})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class Trace(Struct, frozen=True):
    """A place in a trace.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: Of the span that what comes now belongs to: 16 hexadecimal digits.
        flags: Bit 0: the trace is recorded. Bit 1: the trace id is random.
        state: `tracestate`, for the systems that know its members.
    """

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    def headers(self) -> dict[str, str]:
        """The headers that carry it, in version 00."""
        headers = {TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"}
        if self.state:
            headers[TRACESTATE] = self.state
        return headers


def incoming(headers: Mapping[str, Sequence[str]]) -> Trace | None:
    """The trace that a request's headers (lower-case names) tell of; None where they tell of none, or wrongly."""
    values = headers.get(TRACEPARENT)
    if not values or len(values) != 1:  # two parents are none
        return None
    parent = _PARENT.fullmatch(values[0])
    if parent is None or (parent["version"] == "00" and parent["more"] is not None):
        return None
    flags = int(parent["flags"], 16) & _KNOWN_FLAGS
    return Trace(parent["trace"], parent["span"], flags, _state(headers.get(TRACESTATE, ())))


def _state(values: Sequence[str]) -> str:
    """`tracestate` as one header; empty where any of it cannot be read."""
    members = [member for value in values for each in value.split(",") if (member := each.strip(" \t"))]
    keys = {found["key"] for member in members if (found := _MEMBER.fullmatch(member))}
    if len(keys) != len(members) or len(members) > MAX_STATE_MEMBERS:  # what does not fit, or comes twice
        return ""
    if len(",".join(members)) > MAX_STATE_CHARS:
        members = [member for member in members if len(member) <= LARGE_MEMBER_CHARS]
    while len(",".join(members)) > MAX_STATE_CHARS:
        members.pop()
    return ",".join(members)
