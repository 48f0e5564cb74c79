"""What is counted of a call to /v1/messages, on either edge: the hot path of the metrics.

    begin ─► first_event ─┬─► succeed   success
                          ├─► fail      failed
                          ├─► abort     success, and a stream abort: the client left after the first byte
                          └─► abandon   not counted: the client left before the first byte

Counters are for the life of the process; `latency` is about the last five minutes.
"""

from collections.abc import Callable

from msgspec import Struct

from ccproxy.metrics.latency import Latency, Window
from ccproxy.metrics.series import NONE, OTHER, Catalogue, Count, Counters, Gauges, Histogram, Histograms, Names

MAX_MODELS = 200  # Pairs of provider and model with series of their own; the clients choose the names
# Tokens of one call. What a provider reports beyond it is a slip, and one such number would spoil the
# counter for the life of the process (or its scrape: a float has an end).
MAX_TOKENS = 10**9

CALL_BOUNDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# Finer below ten seconds than a whole call, and a minute at most: thinking starts late, but it starts.
FIRST_TOKEN_BOUNDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
# OpenTelemetry's for gen_ai.server.time_per_output_token
OUTPUT_TOKEN_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
OVERHEAD_BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Totals(Struct, frozen=True):
    """Finished calls since the process started. `total` is `success + failed`."""

    total: int
    success: int
    failed: int


class _Edge:
    """What is under way on one interface."""

    __slots__ = ("in_flight", "interface", "streams_active")

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self.in_flight = 0
        self.streams_active = 0


class _Kind(Struct, frozen=True):
    """The series of one interface, route, provider and stream, so that a call looks up once."""

    success: Count
    failed: Count
    duration: Histogram
    first_token: Histogram
    output_token: Histogram
    overhead: Histogram


class _Usage(Struct, frozen=True):
    """The token counters of one provider and model."""

    input: Count
    output: Count
    cache_read: Count
    cache_write: Count
    reasoning: Count


class Spent(Struct, frozen=True):
    """The tokens of a call. Cached ones are not part of `input`; `reasoning` is part of `output`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


NOTHING = Spent()


class Measurement:
    """One call, from `begin` to the first of its endings.

    A later ending is ignored: whoever owns the call may end it in a `finally`, and bookkeeping must not turn
    an answered call into an exception.

    Attributes:
        provider: Name of the configured provider, `none` until known.
        route: Template of the HTTP route, or gRPC method; never a raw path. `none` until known.
        model: The model that answers, `none` until known.
        upstream_seconds: Time spent waiting for the provider so far, to be added to; of a stream until its
            first content. Where it stays 0.0 the call has no overhead to speak of, and none is recorded.
    """

    __slots__ = (
        "_calls",
        "_edge",
        "_first_at",
        "_open",
        "_started",
        "_stream",
        "model",
        "provider",
        "route",
        "upstream_seconds",
    )

    def __init__(self, calls: "Calls", edge: _Edge, *, stream: bool) -> None:
        self.provider = NONE
        self.route = NONE
        self.model = NONE
        self.upstream_seconds = 0.0
        self._calls = calls
        self._edge = edge
        self._stream = stream
        self._open = True
        self._first_at: float | None = None
        edge.in_flight += 1
        edge.streams_active += stream
        self._started = calls.clock()

    def first_event(self) -> None:
        """The first content goes to the client; later ones change nothing."""
        if self._first_at is None:
            self._first_at = self._calls.clock()

    def succeed(self, spent: Spent = NOTHING) -> None:
        """The call was answered, and cost so much."""
        if not self._close():
            return
        self._observe(spent.output).success.value += 1
        usage = self._calls.usage(self.provider or NONE, self.model)
        _add(usage.input, spent.input)
        _add(usage.output, spent.output)
        _add(usage.cache_read, spent.cache_read)
        _add(usage.cache_write, spent.cache_write)
        _add(usage.reasoning, spent.reasoning)

    def abort(self, side: str = "client", spent: Spent = NOTHING) -> None:
        """The client left after the first byte: a success, as far as we could tell, and a stream abort."""
        if not self._open:
            return
        self._calls.aborts.child(self._edge.interface, side).value += 1
        self.succeed(spent)

    def fail(self, error_type: str, *, side: str | None = None) -> None:
        """The call ended in an error.

        Args:
            error_type: A reason of `errors.Reason`; its lower case becomes the label. Never a message.
            side: Who broke a stream after its first byte (`upstream`, `proxy`, `drain`), which makes it a
                stream abort as well.
        """
        if not self._close():
            return
        self._observe(0).failed.value += 1
        interface = self._edge.interface
        self._calls.errors.child(interface, self.provider or NONE, error_type.lower()).value += 1
        if side is not None:
            self._calls.aborts.child(interface, side).value += 1

    def abandon(self) -> None:
        """The client left before the first byte. Nobody was served and nobody was refused: not counted."""
        self._close()

    def _close(self) -> bool:
        """Whether this ending is the first."""
        if not self._open:
            return False
        self._open = False
        self._edge.in_flight -= 1
        self._edge.streams_active -= self._stream
        return True

    def _observe(self, output_tokens: int) -> _Kind:
        now = self._calls.clock()
        seconds = now - self._started
        kind = self._calls.kind(
            self._edge.interface, self.route or NONE, self.provider or NONE, stream=self._stream
        )
        kind.duration.observe(seconds)
        self._calls.recent.record(seconds, now)
        if self._first_at is not None:
            kind.first_token.observe(self._first_at - self._started)
            # A whole answer arrives at once; only a stream has a pace, and its first token is already counted.
            if self._stream and 1 < output_tokens <= MAX_TOKENS:
                kind.output_token.observe((now - self._first_at) / (output_tokens - 1))
        if self.upstream_seconds:
            # What a stream costs after its first content is hidden behind its provider's pace, and its reader's.
            counted = self._first_at - self._started if self._stream and self._first_at is not None else seconds
            # Attempts that overlap can add up to more than the call took.
            kind.overhead.observe(max(counted - self.upstream_seconds, 0.0))
        return kind


class Calls:
    """The series of all calls, and what is under way."""

    def __init__(self, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.recent = Window()
        self._models = Names(MAX_MODELS)
        self._kinds: dict[tuple[str, str, str, bool], _Kind] = {}
        self._usages: dict[tuple[str, str], _Usage] = {}
        # Both from the start: an autoscaler reads a missing series as a failure, not as 0.
        self._edges = {interface: _Edge(interface) for interface in ("http", "grpc")}
        self._requests = Counters(
            "ccproxy_requests_total",
            "Finished calls to /v1/messages.",
            ("interface", "route", "provider", "stream", "outcome"),
        )
        self.errors = Counters(
            "ccproxy_request_errors_total",
            "Failed calls by reason.",
            ("interface", "provider", "error_type"),
        )
        self._durations = Histograms(
            "ccproxy_request_duration_seconds",
            "Whole duration of finished calls.",
            ("interface", "route", "provider", "stream"),
            CALL_BOUNDS,
        )
        self._first_tokens = Histograms(
            "ccproxy_time_to_first_token_seconds",
            "From the start of a call to its first content.",
            ("interface", "provider"),
            FIRST_TOKEN_BOUNDS,
        )
        self._output_tokens = Histograms(
            "ccproxy_time_per_output_token_seconds",
            "Pace of streams after their first token.",
            ("provider",),
            OUTPUT_TOKEN_BOUNDS,
        )
        self._overheads = Histograms(
            "ccproxy_overhead_seconds",
            "Duration of a call without the time its provider took; of a stream to its first content.",
            ("interface", "stream"),
            OVERHEAD_BOUNDS,
        )
        self._tokens = Counters(
            "ccproxy_tokens_total",
            "Tokens as the providers report them; input without cached ones, output with reasoning.",
            ("provider", "model", "type"),
        )
        self.aborts = Counters(
            "ccproxy_stream_aborts_total",
            "Streams that ended after their first byte and before their last, by who ended them.",
            ("interface", "side"),
        )
        catalogue.add(
            self._requests,
            self.errors,
            self._durations,
            self._first_tokens,
            self._output_tokens,
            self._overheads,
            self._tokens,
            self.aborts,
            Gauges("ccproxy_requests_in_flight", "Calls under way.", ("interface",), self._all_in_flight),
            Gauges("ccproxy_streams_active", "Streams under way.", ("interface",), self._all_streams_active),
        )

    def begin(self, interface: str, *, stream: bool) -> Measurement:
        """See Metrics.begin."""
        return Measurement(self, self._edges[interface], stream=stream)

    def in_flight(self, interface: str) -> int:
        """See Metrics.in_flight."""
        return self._edges[interface].in_flight

    def streams_active(self, interface: str) -> int:
        """See Metrics.streams_active."""
        return self._edges[interface].streams_active

    def totals(self) -> Totals:
        """The sum of ccproxy_requests_total by outcome: the same numbers, so they cannot differ."""
        success = failed = 0
        for (*_, outcome), count in self._requests.children.items():
            if outcome == "success":
                success += count.value
            else:
                failed += count.value
        return Totals(total=success + failed, success=success, failed=failed)

    def latency(self) -> Latency:
        """See Metrics.latency."""
        return self.recent.latency(self.clock())

    def kind(self, interface: str, route: str, provider: str, *, stream: bool) -> _Kind:
        """The series of a call."""
        kind = self._kinds.get((interface, route, provider, stream))
        if kind is None:
            streams = "true" if stream else "false"
            kind = self._kinds[interface, route, provider, stream] = _Kind(
                # Both outcomes at once: a rate needs the 0 before the first failure.
                success=self._requests.child(interface, route, provider, streams, "success"),
                failed=self._requests.child(interface, route, provider, streams, "failed"),
                duration=self._durations.child(interface, route, provider, streams),
                first_token=self._first_tokens.child(interface, provider),
                output_token=self._output_tokens.child(provider),
                overhead=self._overheads.child(interface, streams),
            )
        return kind

    def usage(self, provider: str, model: str) -> _Usage:
        """The token counters of a provider and a model."""
        usage = self._usages.get((provider, model))
        if usage is None:
            return self.expect(provider, self._models.label(model) if len(self._usages) < MAX_MODELS else OTHER)
        return usage

    def expect(self, provider: str, model: str) -> _Usage:
        """As `usage`, for a model that is configured or has been admitted: however many others there are."""
        usage = self._usages.get((provider, model))
        if usage is None:
            usage = self._usages[provider, model] = _Usage(
                input=self._tokens.child(provider, model, "input"),
                output=self._tokens.child(provider, model, "output"),
                cache_read=self._tokens.child(provider, model, "cache_read"),
                cache_write=self._tokens.child(provider, model, "cache_write"),
                reasoning=self._tokens.child(provider, model, "reasoning"),
            )
        return usage

    def _all_in_flight(self) -> dict[tuple[str, ...], float]:
        return {(edge.interface,): edge.in_flight for edge in self._edges.values()}

    def _all_streams_active(self) -> dict[tuple[str, ...], float]:
        return {(edge.interface,): edge.streams_active for edge in self._edges.values()}


def _add(count: Count, tokens: int) -> None:
    """Adds what a provider reported, unless no call can have used it: a counter never goes down."""
    if 0 < tokens <= MAX_TOKENS:
        count.value += tokens
