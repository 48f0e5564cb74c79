"""Every number the gateway keeps about itself; /health, /status, /metrics and the dashboard read these.

    Metrics          what the edges and the core record into, and what is read
      calls          calls to /v1/messages: the hot path
      series         counters, histograms and gauges
      latency        percentiles in bounded memory

Nothing here is safe for threads and nothing needs to be: one event loop records and reads. Label values are
never a key, a user, an address, a request id, a raw path or the text of an error: only what is passed
becomes one, and names from outside are limited in number.
"""

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from ccproxy.metrics.calls import CALL_BOUNDS, Calls, Measurement, Spent, Totals
from ccproxy.metrics.latency import Latency, LogBuckets
from ccproxy.metrics.series import OTHER, Catalogue, Counters, Gauges, Histograms, Names, Sums

__all__ = ["Latency", "LogBuckets", "Measurement", "Metrics", "Spent", "Totals"]

MAX_DROPPED = 200  # Pairs of provider and name of what translators drop; some are fields a client made up
MAX_METHODS = 200  # Distinct gRPC methods; the client chooses the path
LAG_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """All series of one gateway, in a registry of their own.

    Args:
        clock: Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._dropped_names = Names(MAX_DROPPED)
        self._methods = Names(MAX_METHODS)
        self._catalogue = Catalogue()
        self._calls = Calls(self._catalogue, clock)
        self._auth_failures = Counters(
            "ccproxy_auth_failures_total",
            "Requests refused for their key or its absence.",
            ("interface", "reason"),
        )
        self._rejected = Counters(
            "ccproxy_rejected_total",
            "Requests refused before they became calls.",
            ("interface", "reason"),
        )
        self._upstream_requests = Counters(
            "ccproxy_upstream_requests_total",
            "Requests to providers by class of the answer.",
            ("provider", "code_class", "attempt"),
        )
        self._upstream_durations = Histograms(
            "ccproxy_upstream_request_duration_seconds",
            "How long providers took to begin their answers: to the headers.",
            ("provider",),
            CALL_BOUNDS,
        )
        self._overflows = Counters(
            "ccproxy_provider_overflows_total",
            "Times a call was sent on to a fallback because all places at the provider were taken.",
            ("provider",),
        )
        self._dropped = Counters(
            "ccproxy_dropped_total",
            "What a provider's protocol has no place for, by name.",
            ("provider", "name"),
        )
        # The names of go-grpc-prometheus, for which dashboards exist.
        self._grpc_started = Counters(
            "grpc_server_started_total",
            "RPCs started on the server.",
            ("grpc_service", "grpc_method", "grpc_type"),
        )
        self._grpc_handled = Counters(
            "grpc_server_handled_total",
            "RPCs completed on the server, whatever their code.",
            ("grpc_service", "grpc_method", "grpc_type", "grpc_code"),
        )
        self._reloads = Counters(
            "ccproxy_config_reloads_total",
            "Attempts to load the configuration again.",
            ("result",),
        )
        for result in ("success", "failure"):  # a rate needs the 0 before the first
            self._reloads.child(result)
        lags = Histograms(
            "ccproxy_event_loop_lag_seconds",
            "How late the event loop ran what was due.",
            (),
            LAG_BOUNDS,
        )
        self._lag = lags.child()
        self._catalogue.add(
            self._auth_failures,
            self._rejected,
            self._upstream_requests,
            self._upstream_durations,
            self._overflows,
            self._dropped,
            self._reloads,
            self._grpc_started,
            self._grpc_handled,
            lags,
        )
        self._registry = CollectorRegistry()
        self._registry.register(self._catalogue)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def begin(self, interface: str, *, stream: bool) -> Measurement:
        """A call to /v1/messages starts. It is in flight until one of the measurement's endings.

        Args:
            interface: `http` or `grpc`.
            stream: Whether the client asked for events.
        """
        return self._calls.begin(interface, stream=stream)

    def in_flight(self, interface: str) -> int:
        """Calls under way on `http` or `grpc`."""
        return self._calls.in_flight(interface)

    def streams_active(self, interface: str) -> int:
        """Streams under way on `http` or `grpc`; they are in flight too."""
        return self._calls.streams_active(interface)

    def totals(self) -> Totals:
        """Finished calls since the process started: the sums of ccproxy_requests_total."""
        return self._calls.totals()

    def latency(self) -> Latency:
        """Whole durations of the calls that finished in the last five minutes."""
        return self._calls.latency()

    def auth_failure(self, interface: str, reason: str) -> None:
        """A request had no key, or a wrong one. It is no call: `totals` does not see it."""
        self._auth_failures.child(interface, reason).value += 1

    def rejected(self, interface: str, reason: str) -> None:
        """A request was refused before it became a call, as by a limit."""
        self._rejected.child(interface, reason).value += 1

    def upstream(self, provider: str, status_class: str, seconds: float, *, retry: bool = False) -> None:
        """A request to a provider was answered, or failed.

        Args:
            provider: Its configured name.
            status_class: `2xx` .. `5xx`, or a short word such as `timeout` where there was no answer.
            seconds: From its start to the headers of the answer, or to the failure.
            retry: Whether it followed a failed one of the same call.
        """
        attempt = "retry" if retry else "first"
        self._upstream_requests.child(provider, status_class, attempt).value += 1
        self._upstream_durations.child(provider).observe(seconds)

    def overflowed(self, provider: str) -> None:
        """All places at a provider were taken, so a call was sent on to a fallback. It is not refused."""
        self._overflows.child(provider).value += 1

    def dropped(self, provider: str, name: str) -> None:
        """A translator had no place for something. Beyond MAX_DROPPED it counts as `other`."""
        known = self._dropped.children.get((provider, name))
        if known is None:
            has_room = len(self._dropped.children) < MAX_DROPPED
            known = self._dropped.child(provider, self._dropped_names.label(name) if has_room else OTHER)
        known.value += 1

    def grpc_started(self, service: str, method: str, type_: str) -> None:
        """An RPC arrived.

        Args:
            service: Full name, as in `ccproxy.v1.Messages`.
            method: Name within the service.
            type_: `unary`, `client_stream`, `server_stream` or `bidi_stream`.
        """
        service, method = self._method(service, method)
        self._grpc_started.child(service, method, type_).value += 1

    def grpc_handled(self, service: str, method: str, type_: str, code: str) -> None:
        """An RPC ended with a status code, as in `OK`. See `grpc_started` for the rest."""
        service, method = self._method(service, method)
        self._grpc_handled.child(service, method, type_, code).value += 1

    def expect(self, provider: str, model: str) -> None:
        """A model that is configured: its tokens are counted by its name, however many names callers use."""
        self._calls.expect(provider, model)

    def reloaded(self, *, success: bool) -> None:
        """The configuration was to be loaded again."""
        self._reloads.child("success" if success else "failure").value += 1

    def loop_lag(self, seconds: float) -> None:
        """The event loop ran a timer this late, in seconds."""
        self._lag.observe(seconds)

    def gauge(
        self,
        name: str,
        documentation: str,
        read: Callable[[], Mapping[tuple[str, ...], float]],
        *,
        labels: tuple[str, ...] = (),
    ) -> None:
        """Adds a gauge that is read at each scrape.

        Args:
            name: Full name, `ccproxy_` included.
            documentation: One sentence for the HELP line.
            read: Gives the value by label values, in the order of `labels`; `{(): value}` without labels.
                What it raises, `exposition` raises.
            labels: Names of the labels.

        Raises:
            ValueError: The name is taken.
        """
        self._catalogue.add(Gauges(name, documentation, labels, read))

    def counter(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Adds a counter that its owner keeps; see `gauge`. The name ends in `_total`."""
        self._catalogue.add(Sums(name, documentation, read))

    def info(self, *, version: str, commit: str, python: str, grpc: str) -> None:
        """What is running, as labels of ccproxy_build_info. Once: a second call raises ValueError."""
        values: Mapping[tuple[str, ...], float] = {(version, commit, python, grpc): 1.0}
        labels = ("version", "commit", "python", "grpc")
        self.gauge("ccproxy_build_info", "What is running; always 1.", lambda: values, labels=labels)

    def exposition(self, accept: str | None) -> tuple[bytes, str]:
        """What a scrape gets.

        Args:
            accept: The Accept header. OpenMetrics is for those who ask; the text format for all others.

        Returns:
            The body, and the whole Content-Type header that describes it.
        """
        # Part of the header comes back in Content-Type, where nothing but ASCII has a defined meaning.
        wanted = accept if accept is not None and accept.isascii() and accept.isprintable() else ""
        try:
            encode, content_type = choose_encoder(wanted)
        except TypeError:
            # It orders whatever follows `version=` against numbers, even a quoted "1.0.0".
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def _method(self, service: str, method: str) -> tuple[str, str]:
        if self._methods.label(f"{service}/{method}") == OTHER:
            return OTHER, OTHER
        return service, method
