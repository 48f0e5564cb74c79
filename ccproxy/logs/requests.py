"""The line of one finished request: what is in it, and how it gets there."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

from ccproxy.call import Call, Target
from ccproxy.errors import ApiError, Reason
from ccproxy.messages import EstimatedUsage, Usage

Method = Literal["create_message", "stream_message", "count_tokens"]

log = logging.getLogger("ccproxy.requests")


class Entry(Struct, omit_defaults=True):
    """The line of one request, filled in on its way. What stays None or empty is not written.

    Attributes:
        request_id: As the caller sees it.
        edge: `http` or `grpc`.
        caller: The name of the key that was shown, or `local`.
        method: What was asked for.
        stream: Whether the answer is a stream.
        route: The route that was taken, by its name in the configuration.
        provider: The provider, by its name in the configuration.
        model: The model that was asked at the provider.
        requested_model: The model that the caller named.
        status: The HTTP status that the outcome stands for, on both edges. None where nobody was answered.
        outcome: `success`; `failed`; `aborted`, the caller left after the first byte; `abandoned`, before it.
        reason: Of a failure: a value of `errors.Reason`.
        duration_ms: From the call's arrival in the core to its end.
        ttft_ms: To the stream's first content.
        input_tokens: As the provider reports them, without cached ones.
        output_tokens: As the provider reports them.
        cache_read: Input tokens that the provider had in its cache.
        usage_estimated: Whether they are estimates: the provider was not asked, or stopped before it counted.
        attempts: How many attempts there were.
        dropped: How many members of the request the provider's protocol has no place for.
        upstream_request_id: The provider's id for its own support.
        trace_id, span_id: Of the trace that the request belongs to.
        level: Of the line; no member of it.
    """

    request_id: str
    edge: str
    caller: str
    method: Method
    stream: bool
    route: str = ""
    provider: str = ""
    model: str = ""
    requested_model: str = ""
    status: int | None = None
    outcome: Literal["", "success", "failed", "aborted", "abandoned"] = ""
    reason: str = ""
    duration_ms: float = 0.0
    ttft_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int | None = None
    usage_estimated: bool | None = None
    attempts: int | None = None
    dropped: int | None = None
    upstream_request_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    level: int = logging.INFO


RequestLog = Callable[[Entry], None]
"""Takes the entry of each finished request."""


class LoggedRequest:
    """One request from its arrival to its line. A context: the line is written where it is left."""

    __slots__ = ("_log", "_started", "entry")

    def __init__(self, request_log: RequestLog | None, call: Call, method: Method) -> None:
        self._log = request_log
        self.entry = Entry(call.request_id, call.edge, call.caller, method, method == "stream_message")
        if call.trace is not None:
            self.entry.trace_id, self.entry.span_id = call.trace.trace_id, call.trace.span_id
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._log is None:
            return
        entry = self.entry
        entry.duration_ms = self._elapsed()
        if not entry.outcome:
            _end(entry, error)
        self._log(entry)

    def goes_to(self, requested: str, target: Target) -> None:
        """Its target is known."""
        entry = self.entry
        entry.requested_model, entry.model = requested, target.model
        entry.route, entry.provider = target.route, target.provider

    def first_event(self) -> None:
        """The first content goes to the caller."""
        self.entry.ttft_ms = self._elapsed()

    def answered(self, headers: Mapping[str, str], usage: Usage) -> None:
        """What the provider's answer tells so far: headers as the caller sees them, and tokens."""
        entry = self.entry
        entry.upstream_request_id = headers.get("x-ccproxy-upstream-request-id", "")
        entry.input_tokens = usage.input_tokens or 0
        entry.output_tokens = usage.output_tokens or 0
        entry.cache_read = usage.cache_read_input_tokens or 0
        if isinstance(usage, EstimatedUsage):
            entry.usage_estimated = True

    def succeed(self, headers: Mapping[str, str], usage: Usage) -> None:
        """It has been answered in full; what happens after that is no part of it."""
        self.answered(headers, usage)
        self.entry.outcome, self.entry.status = "success", 200

    def _elapsed(self) -> float:
        return round((time.monotonic() - self._started) * 1000, 3)


_CALLERS_MISTAKES = frozenset(
    {
        Reason.INVALID_REQUEST,
        Reason.AUTHENTICATION_FAILED,
        Reason.PERMISSION_DENIED,
        Reason.NOT_FOUND,
        Reason.CONFLICT,
        Reason.REQUEST_TOO_LARGE,
        Reason.UNSUPPORTED,
        Reason.SHUTTING_DOWN,  # nobody's, and announced
    }
)


def _end(entry: Entry, error: BaseException | None) -> None:
    """The outcome behind what left the context."""
    match error:
        case None:
            entry.outcome, entry.status = "success", 200
        case ApiError():
            entry.outcome, entry.status, entry.reason = "failed", error.status, error.reason.value
            entry.upstream_request_id = error.upstream_request_id or entry.upstream_request_id
            # INTERNAL is an upstream's own 500 here: a mistake of ours is no ApiError before it reaches an edge
            entry.level = logging.INFO if error.reason in _CALLERS_MISTAKES else logging.WARNING
        case asyncio.CancelledError() | ConnectionError() | GeneratorExit():
            if entry.ttft_ms is None:
                entry.outcome = "abandoned"
            else:
                entry.outcome, entry.status = "aborted", 200
        case _:
            entry.outcome, entry.status, entry.reason = "failed", 500, Reason.INTERNAL.value
            entry.level = logging.ERROR


_BLANK = vars(logging.LogRecord(log.name, logging.INFO, "", 0, "request", None, None))
"""A record as logging makes it. To make one anew takes longer than to write its line, for places and threads."""


def write(entry: Entry) -> None:
    """The `RequestLog` of a service: a line of the logger `ccproxy.requests`."""
    level = entry.level
    if log.isEnabledFor(level):
        record = logging.LogRecord.__new__(logging.LogRecord)
        name = logging.getLevelName(level)
        record.__dict__.update(_BLANK, created=time.time(), levelno=level, levelname=name, fields=entry)
        log.handle(record)
