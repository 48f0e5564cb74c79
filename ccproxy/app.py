"""The composition root: builds everything once, starts it, drains it, stops it."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from msgspec import structs

from ccproxy import descriptors, gauges, logs, tls
from ccproxy.access import Access
from ccproxy.announcement import Ports, announce, standing
from ccproxy.backend import Backend
from ccproxy.config import Config, Loaded, RetryConfig, RouteConfig, demo_providers
from ccproxy.connections import Connections, close
from ccproxy.demo import Demo
from ccproxy.drain import Drain
from ccproxy.gateway import Gateway, Listener
from ccproxy.gateway.metrics_port import MetricsPort
from ccproxy.health import Health
from ccproxy.limits import Limiter
from ccproxy.memory import limit_bytes, resident_bytes
from ccproxy.metrics import Metrics
from ccproxy.models import Listings
from ccproxy.probe import probe_idle
from ccproxy.proxy import Proxy
from ccproxy.reload import Load, Reloader
from ccproxy.routing import DEFAULT_ROUTE, Router
from ccproxy.rpc import HealthPort, Rpc
from ccproxy.serving import Phase, Serving
from ccproxy.spans import Telemetry
from ccproxy.status import Status, build_from
from ccproxy.systemd import Systemd
from ccproxy.telemetry import exporting
from ccproxy.tls import Tls
from ccproxy.upstream import HttpTransport
from ccproxy.watchdog import Watchdog

LAME_DUCK_SECONDS = 5.0  # in Kubernetes: until every kube-proxy has heard of "not ready"
LAG_PERIOD_SECONDS = 0.5
GC_THRESHOLDS = (50_000, 20, 100)  # a request makes hundreds of objects and no cycles: look for them rarely

log = logging.getLogger(__name__)


class Service:
    """A running CCProxy. The ports are those that are really bound; 0 for none."""

    def __init__(self, config: Config, environ: Mapping[str, str]) -> None:
        self.config = config
        self.metrics = Metrics()
        self.serving = Serving()
        self.health = Health(self.serving.tell)
        self.limiter = Limiter(self.metrics)
        self.status = Status(config, self.metrics, self.serving, self.health, build_from(environ))
        self.http_port = 0
        self.grpc_port = 0
        self.health_port = 0
        self.metrics_port = 0
        self.tls: Tls | None = None
        self.demo: Demo | None = None
        self._access = Access(config)
        self._connections = Connections()
        self._listings = Listings()
        self._retiring: set[asyncio.Task[None]] = set()
        self._loaded_at = datetime.now(UTC).timestamp()
        in_cluster = "KUBERNETES_SERVICE_HOST" in environ
        default_delay = LAME_DUCK_SECONDS if in_cluster else 0.0
        self._lame_duck = default_delay if config.drain_delay is None else config.drain_delay
        gauges.add(
            self.metrics,
            self.status,
            self.serving,
            self.health,
            self.limiter,
            loaded_at=lambda: self._loaded_at,
            certificate=lambda: None if self.tls is None else self.tls.certificate,
        )

    async def start(self, stack: AsyncExitStack) -> None:
        """Opens the ways to the providers and binds both edges; `stack` takes them down again.

        Raises:
            OSError: An address is taken or cannot be bound, or TLS cannot be. The message says which.
        """
        config = self.config
        await self._open_metrics(stack)
        self.tls = tls.from_config(config.tls)
        telemetry = await stack.enter_async_context(exporting(lambda: self.config))
        if config.demo:
            self.demo = await stack.enter_async_context(Demo.serve())
            config = with_demo(config, self.demo)
            self.status.configured(config)
        stack.push_async_callback(self._close)
        backend, _ = await self._backend(config)
        request_log = logs.write if config.log else None
        self.proxy = Proxy(backend, self.metrics, self.serving, request_log=request_log, limiter=self.limiter)
        stack.push_async_callback(self.proxy.close)
        await self._open_http(stack, telemetry)
        await self._open_grpc(stack, telemetry)
        if config.health_port:
            health_port = HealthPort(self.status, self._access, self.metrics)
            self.health_port = await health_port.start(config.host, config.health_port)
            stack.push_async_callback(health_port.stop)  # at the very end: a drain is not death
        self.serving.move(Phase.SERVING, "serving")
        self.proxy.learn_models()

    async def _open_http(self, stack: AsyncExitStack, telemetry: Telemetry | None) -> None:
        config = self.config
        self._gateway = Gateway(
            self.proxy,
            self.status,
            self._access,
            self.metrics,
            max_body_bytes=config.performance.max_request_body_size,
            connections=config.connections,
            telemetry=telemetry,
        )
        self.metrics.gauge(
            "ccproxy_connections", "Open HTTP connections.", lambda: {(): float(self._gateway.gate.open)}
        )
        self._runner = self._gateway.runner()
        await self._runner.setup()
        stack.push_async_callback(self._runner.cleanup)
        context = None if self.tls is None else self.tls.context
        handshake = config.connections.header_timeout
        self._listener = await Listener.open(self._runner, config.host, config.port, context, handshake)
        stack.callback(self._listener.stop)
        self.http_port = self._listener.port
        self.status.listening(self.http_port)

    async def _open_grpc(self, stack: AsyncExitStack, telemetry: Telemetry | None) -> None:
        config = self.config
        self._rpc: Rpc | None = None
        if config.grpc_port or config.port == 0:
            self._rpc = Rpc(
                self.proxy,
                self.status,
                self._access,
                self.metrics,
                reflect=config.grpc_reflection,
                max_request_bytes=config.performance.max_request_body_size,
                connections=config.connections,
                telemetry=telemetry,
            )
            self.grpc_port = await self._rpc.start(config.host, config.grpc_port, self.tls)
            stack.push_async_callback(self._rpc.stop, 0)

    async def _open_metrics(self, stack: AsyncExitStack) -> None:
        if self.config.metrics_port:
            port = MetricsPort(self._access, self.metrics, self.config.connections)
            self.metrics_port = await port.start(self.config.host, self.config.metrics_port)
            stack.push_async_callback(port.stop)  # last of all: the end is to be seen

    async def reload(self, config: Config) -> None:
        """Serves calls that come now as `config` says. Running ones end as they began.

        Raises:
            OSError: It cannot be used; then nothing changes.
        """
        wanted = config
        if config.demo and self.demo is None:
            raise OSError("demo: the demo upstream is started with the service; it needs a restart")
        if config.demo and self.demo is not None:
            config = with_demo(config, self.demo)
        access = Access(config)  # raises before anything has changed
        renewed = tls.renewed(self.tls, config.tls)
        backend, retired = await self._backend(config)
        self.config = wanted
        self._access.use(access)
        if self.tls is not None and renewed is not None:
            self.tls.use(renewed)
        before = self.proxy.use(backend)
        self.proxy.learn_models()
        self.status.reloaded(config)
        self.metrics.reloaded(success=True)
        self._loaded_at = datetime.now(UTC).timestamp()
        task = asyncio.ensure_future(_retire(before, retired))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def reload_failed(self, why: str) -> None:
        """Notes that another configuration cannot be used."""
        self.status.reload_failed(why)
        self.metrics.reloaded(success=False)

    async def _backend(self, config: Config) -> tuple[Backend, list[HttpTransport]]:
        upstreams, retired = await self._connections.open(config)
        self.router = Router(config, self._listings.providers_of)
        for provider, model in self.router.models():
            self.metrics.expect(provider, model)
        self.health.watch(upstreams)
        backend = Backend(
            self.router,
            upstreams,
            retry=config.retry,
            performance=config.performance,
            limits=self.limiter.limits(config),
            listings=self._listings,
            propagates=config.telemetry.propagate,
        )
        return backend, retired

    async def _close(self) -> None:
        """Closes every way to a provider, also those that were being retired."""
        for task in tuple(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._connections.close()

    @property
    def end_seconds(self) -> float:
        """How long a drain may take."""
        return self._lame_duck + self.config.shutdown_timeout

    async def drain(self, hurry: asyncio.Event) -> None:
        """Ends in order; `hurry` cuts every wait short."""
        drain = Drain(self.serving, self.proxy, self._listener, self._runner, self._rpc)
        await drain.run(self._lame_duck, self.config.shutdown_timeout, hurry)

    async def watch_loop(self, watchdog: Watchdog) -> None:
        """Measures how late the loop is, for as long as it runs, and lets time pass for the health."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_PERIOD_SECONDS
            await asyncio.sleep(LAG_PERIOD_SECONDS)
            late = max(0.0, loop.time() - due)
            watchdog.beat()
            self.metrics.loop_lag(late)
            self.health.lag(late)
            self.health.shed(self._pressure(late))
            self.health.update()

    def _pressure(self, late: float) -> str:
        """Why new calls are refused, with a timer this late; empty where they are not."""
        limits = self.config.limits
        bound = limit_bytes() if limits.shed_memory_percent else None
        memory = 100 * resident_bytes() / bound if bound else None
        return self.limiter.pressure.look(late, limits.shed_lag, memory, limits.shed_memory_percent)

    async def probe(self) -> None:
        """Asks idle providers, where the operator wants that."""
        if self.config.probe_interval:
            await probe_idle(lambda: self.proxy.backend.upstreams, self.config.probe_interval)


@asynccontextmanager
async def running(config: Config, environ: Mapping[str, str] | None = None) -> AsyncIterator[Service]:
    """A service that serves inside the context, and is taken down without a drain where it ends."""
    async with AsyncExitStack() as stack:
        service = Service(config, os.environ if environ is None else environ)
        await service.start(stack)
        watchdog = stack.enter_context(Watchdog())
        for task in (service.watch_loop(watchdog), service.probe()):
            stack.callback(asyncio.ensure_future(task).cancel)
        asyncio.get_running_loop().set_exception_handler(logs.LoopErrors())
        yield service


async def serve(
    loaded: Loaded,
    on_ready: Callable[[Service], None] | None = None,
    load: Load | None = None,
    systemd: Systemd | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; a second signal ends at once.

    Args:
        loaded: What the operator says.
        on_ready: Is told once both edges are bound.
        load: Reads it again, at SIGHUP and when a file of it changes.
        systemd: Is told of all this, where it started the process.
    """
    config = loaded.config
    systemd = systemd or Systemd()
    descriptors.raise_limit()
    asked, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if asked.is_set() else asked).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    with logs.configure(config) as written:
        async with running(config) as service:
            service.metrics.counter("ccproxy_log_dropped_total", "Lost lines.", lambda: written.dropped)
            ports = Ports(service.http_port, service.grpc_port, service.health_port, service.metrics_port)
            announce(service.config, ports, service.router.table())
            reloading = None
            if load is not None:
                again = Reloader(load, loaded, service.reload, service.reload_failed, systemd.reloading)
                reloading = again.begin()
            if on_ready is not None:
                on_ready(service)  # from now on it is sent signals
            gc.collect()
            gc.freeze()  # what start-up built lives as long as the process
            gc.set_threshold(*GC_THRESHOLDS)
            systemd.ready(lambda: standing(service.config, ports, refused=service.status.reload_refused))
            with systemd.watching():
                await asked.wait()
                if reloading is not None:
                    reloading.cancel()
                log.info("shutting down: running calls get %g s", config.shutdown_timeout)
                systemd.stopping(service.proxy.running, service.end_seconds)
                await service.drain(hurry)
        log.info("stopped")
    if load is not None:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # its default would be death
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, lambda *_: os._exit(0))  # nothing is left to end but the interpreter


def with_demo(config: Config, demo: Demo) -> Config:
    """The configuration with the demo upstream in the place of every provider.

    It fails where it is told to, so that callers can be tried: they see each failure, if the operator says nothing
    else about `retry`.
    """
    routes = {DEFAULT_ROUTE: RouteConfig("anthropic")}
    retry = RetryConfig(attempts=1, open_after=0) if config.retry == RetryConfig() else config.retry
    return structs.replace(config, providers=demo_providers(demo.url), routes=routes, retry=retry)


async def _retire(backend: Backend, transports: list[HttpTransport]) -> None:
    """Closes what only an earlier configuration asked for, once its last call has ended."""
    try:
        await backend.idle()
    finally:
        await backend.catalogue.close()
        await close(transports)
