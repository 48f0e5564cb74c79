"""The gauges of a service: what is read at each scrape, from whoever knows it."""

import platform
from collections.abc import Callable

import grpc

from ccproxy.config import Certificate
from ccproxy.health import Health
from ccproxy.limits import Limiter
from ccproxy.metrics import Metrics
from ccproxy.serving import Serving
from ccproxy.status import Status


def add(
    metrics: Metrics,
    status: Status,
    serving: Serving,
    health: Health,
    limiter: Limiter,
    *,
    loaded_at: Callable[[], float],
    certificate: Callable[[], Certificate | None],
) -> None:
    """Adds them to `metrics`.

    Args:
        metrics: Where they are added.
        status: Knows what runs, and what serves.
        serving: Knows whether the process ends.
        health: Knows the circuits, and whether calls are shed.
        limiter: Knows what is under way.
        loaded_at: When the configuration in use was loaded, in seconds of Unix time.
        certificate: The one in use; None without TLS.
    """
    build = status.build
    metrics.info(
        version=build.version, commit=build.commit, python=platform.python_version(), grpc=grpc.__version__
    )
    metrics.gauge("ccproxy_draining", "1 while the process is ending.", lambda: {(): float(not serving.accepting)})
    metrics.gauge(
        "ccproxy_health_status",
        "1 where the service serves, by its name in grpc.health.v1.",
        lambda: {
            (name or "overall",): float(state) for name, state in status.services().items() if state is not None
        },
        labels=("service",),
    )
    metrics.gauge(
        "ccproxy_upstream_circuit_state",
        "0 closed, 1 half-open, 2 open.",
        health.circuit_states,
        labels=("provider",),
    )
    metrics.gauge(
        "ccproxy_shedding",
        "1 while new calls are refused because there is too much to do, by what there is too little of.",
        lambda: {(name,): float(health.shedding == name) for name in ("event_loop", "memory")},
        labels=("reason",),
    )
    metrics.gauge(
        "ccproxy_body_bytes_in_flight",
        "The size of the requests under way, and of what has come of others.",
        lambda: {(): float(limiter.body_bytes)},
    )
    _add_files(metrics, loaded_at, certificate)


def _add_files(
    metrics: Metrics, loaded_at: Callable[[], float], certificate: Callable[[], Certificate | None]
) -> None:
    metrics.gauge(
        "ccproxy_config_last_success_timestamp_seconds",
        "When the configuration in use was loaded.",
        lambda: {(): loaded_at()},
    )
    metrics.gauge(
        "ccproxy_tls_certificate_expiry_timestamp_seconds",
        "When the certificate of both ports ends to be valid.",
        lambda: {} if (used := certificate()) is None else {(): used.not_after.timestamp()},
    )
