"""The Status service, implemented once: what the service says about itself, as protobuf messages.

The documented JSON is written from these messages by the schema's codec, so both edges say the same. The single
truth behind it is `Serving` (may calls come?) and the configuration (is there anyone to answer them?).

Source: the health endpoints' documentation for names and units; architecture D10 for the meaning of `status`.
"""

import asyncio
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ccproxy_pb.v1 import status_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from ccproxy import __version__
from ccproxy.config import Config
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


class Status:
    """What the service says about itself."""

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        serving: Serving,
        build: Build,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._config = config
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
        response = pb.GetHealthResponse(status=self._health())
        if not detailed:
            return response
        config = self._config
        totals = self._metrics.totals()
        latency = self._metrics.latency()
        response.timestamp.CopyFrom(Timestamp(seconds=int(datetime.now(UTC).timestamp())))
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
            )
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
            "ccproxy.v1.Proxy": ready,
            "ccproxy.v1.Status": True,
        }
        services.update((f"provider/{provider.name}", None) for provider in self._config.active)
        return services

    def _health(self) -> pb.HealthStatus.ValueType:
        if not self.ready:
            return pb.HEALTH_STATUS_UNHEALTHY
        return pb.HEALTH_STATUS_HEALTHY


def duration(nanoseconds: int) -> str:
    """`2h 15m 30s`: always three parts, hours without bound."""
    minutes, seconds = divmod(nanoseconds // NANOSECONDS, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {seconds}s"


def resident_bytes() -> int:
    """The process's resident memory: what it holds now on Linux, its peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
