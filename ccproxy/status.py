"""The Status service, implemented once: what the service says about itself, as protobuf messages.

The documented JSON is written from these messages by the schema's codec, so both edges say the same. The single
truth behind it is `Serving` (may calls come?) and the configuration (is there anyone to answer them?).

Source: the health endpoints' documentation for names and units; architecture D10 for the meaning of `status`.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ccproxy_pb.v1 import status_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from ccproxy import __version__
from ccproxy.config import Config
from ccproxy.health import Condition, Health
from ccproxy.memory import resident_bytes
from ccproxy.metrics import Metrics
from ccproxy.serving import Phase, Serving

MESSAGE = "LLMs API"
SERVICE = "CCProxy"
NANOSECONDS = 1_000_000_000
MEBIBYTE = 1 << 20


class Build(Struct, frozen=True):
    """What was built. `commit` and `date` come from the builder's environment, or are "unknown"."""

    version: str = __version__
    commit: str = "unknown"
    date: str = "unknown"


def build_from(environ: Mapping[str, str]) -> Build:
    """The build's facts, as an image sets them."""
    return Build(
        commit=environ.get("CCPROXY_BUILD_COMMIT") or "unknown",
        date=environ.get("CCPROXY_BUILD_DATE") or "unknown",
    )


_SERVING = frozenset({Condition.HEALTHY, Condition.RECOVERING, Condition.DEGRADED})

_CONDITIONS = {
    condition: pb.ProviderCondition.Value(f"PROVIDER_CONDITION_{condition.name}") for condition in Condition
}


class Status:
    """What the service says about itself."""

    def __init__(  # each of them is one of its subjects
        self,
        config: Config,
        metrics: Metrics,
        serving: Serving,
        health: Health,
        build: Build,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._config = config
        self._health = health
        self._loaded_at = datetime.now(UTC)
        self._reloads = 0
        self._reload_failures = 0
        self._reload_failed: tuple[datetime, str] | None = None
        self._metrics = metrics
        self._serving = serving
        self._build = build
        self._clock = clock
        self._started = clock()
        self._port = config.port

    @property
    def serving(self) -> Serving:
        """The switch that health is read from."""
        return self._serving

    @property
    def build(self) -> Build:
        """What was built."""
        return self._build

    def configured(self, config: Config) -> None:
        """Notes the configuration as it really is, with the demo upstream's providers in it."""
        self._config = config

    def reloaded(self, config: Config) -> None:
        """Notes that another configuration is in use."""
        self._config = config
        self._loaded_at = datetime.now(UTC)
        self._reloads += 1
        self._reload_failed = None

    @property
    def reload_refused(self) -> bool:
        """Whether the last attempt to load the configuration again failed."""
        return self._reload_failed is not None

    def reload_failed(self, error: str) -> None:
        """Notes that another configuration could not be used."""
        self._reload_failed = (datetime.now(UTC), error)
        self._reload_failures += 1

    @property
    def ready(self) -> bool:
        """Whether calls are welcome and a provider is configured; whether it works is another question."""
        return self._serving.ready and bool(self._config.active)

    def listening(self, port: int) -> None:
        """Notes the port that HTTP really has (a configured 0 lets the system choose)."""
        self._port = port

    def info(self) -> pb.GetInfoResponse:
        """The API's name and version."""
        return pb.GetInfoResponse(message=MESSAGE, version=self._build.version)

    def health(self, *, detailed: bool) -> pb.GetHealthResponse:
        """The service's health; only the status word unless `detailed`."""
        response = pb.GetHealthResponse(status=self._word())
        if not detailed:
            return response
        config = self._config
        totals = self._metrics.totals()
        latency = self._metrics.latency()
        response.timestamp.CopyFrom(_timestamp(datetime.now(UTC)))
        response.uptime_nanos = self._clock() - self._started
        response.version = self._build.version
        response.config.CopyFrom(
            pb.HealthConfig(
                host=config.host,
                port=self._port,
                providers=len(config.active),
                api_key_configured=config.has_key,
            )
        )
        response.performance.CopyFrom(
            pb.Performance(
                memory_mb=round(resident_bytes() / MEBIBYTE, 1),
                goroutines=len(asyncio.all_tasks()) + threading.active_count(),
                requests=pb.RequestStats(total=totals.total, success=totals.success, failed=totals.failed),
                latency=pb.LatencyStats(
                    avg_ms=latency.avg_ms, p50_ms=latency.p50_ms, p95_ms=latency.p95_ms, p99_ms=latency.p99_ms
                ),
                event_loop_lags=True if self._health.lags else None,
                shedding=self._health.shedding or None,
            )
        )
        response.upstreams.providers.extend(
            pb.ProviderHealth(
                name=each.name,
                condition=_CONDITIONS[each.condition],
                reason=each.reason or None,
                since=_timestamp(each.since),
                endpoints=[
                    pb.EndpointHealth(name=name, condition=_CONDITIONS[condition])
                    for name, condition in each.endpoints
                    if len(each.endpoints) > 1
                ],
            )
            for each in self._health.providers
        )
        return response

    def status(self) -> pb.GetStatusResponse:
        """Facts about the running service."""
        config = self._config
        names = sorted(provider.name for provider in config.active)
        running = self._serving.phase is Phase.SERVING
        return pb.GetStatusResponse(
            service=SERVICE,
            version=self._build.version,
            status=pb.SERVICE_STATE_RUNNING if running else pb.SERVICE_STATE_STOPPED,
            uptime=duration(self._clock() - self._started),
            pid=os.getpid(),
            host=config.host,
            port=self._port,
            api_key_configured=config.has_key,
            providers=pb.ProviderSummary(count=len(names), active=names),
            build=pb.BuildInfo(version=self._build.version, commit=self._build.commit, date=self._build.date),
            demo=True if config.demo else None,
            configuration=self._config_state(),
        )

    def services(self) -> dict[str, bool | None]:
        """Whether each named part serves, for health checks by name; None is "not known yet".

        `liveness` is true while the process can answer at all; readiness never depends on a provider being
        reachable, because one provider's outage must not empty a load balancer.
        """
        ready = self.ready
        services: dict[str, bool | None] = {
            "": ready,
            "liveness": True,
            "readiness": ready,
            "startup": self._serving.phase is not Phase.STARTING,
            "ccproxy.v1.Proxy": ready and self._health.usable,
            "ccproxy.v1.Status": True,
        }
        for each in self._health.providers:
            known = each.condition is not Condition.UNKNOWN
            services[f"provider/{each.name}"] = each.condition in _SERVING if known else None
        return services

    def _word(self) -> pb.HealthStatus.ValueType:
        if not self.ready or not self._health.usable:
            return pb.HEALTH_STATUS_UNHEALTHY
        return pb.HEALTH_STATUS_HEALTHY if self._health.fine else pb.HEALTH_STATUS_DEGRADED

    def _config_state(self) -> pb.ConfigState:
        state = pb.ConfigState(
            loaded_at=_timestamp(self._loaded_at), reloads=self._reloads, failures=self._reload_failures
        )
        if self._reload_failed is not None:
            at, error = self._reload_failed
            state.failed_at.CopyFrom(_timestamp(at))
            state.error = error
        return state


def _timestamp(at: datetime) -> Timestamp:
    return Timestamp(seconds=int(at.timestamp()))


def duration(nanoseconds: int) -> str:
    """`2h 15m 30s`: always three parts, hours without bound."""
    minutes, seconds = divmod(nanoseconds // NANOSECONDS, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {seconds}s"
