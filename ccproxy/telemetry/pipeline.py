"""OpenTelemetry's SDK, from what is recorded to the collector. Its threads do the sending; no request waits.

Where the collector takes nothing, at most OTEL_BSP_MAX_QUEUE_SIZE spans wait and the rest is dropped. At the end
what waits has a moment to go.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ (read 2026-11-25)
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Literal

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from ccproxy import __version__

CLOSE_SECONDS = 2.0  # for what waits; a collector that is gone must not hold up an end
NEWEST = "gen_ai_latest_experimental"

Signal = Literal["TRACES", "METRICS"]

log = logging.getLogger(__name__)


class Pipeline:
    """Where spans and numbers go.

    Attributes:
        tracer, meter: What records them.
        newest: Whether the newest names of the semantic conventions are asked for.

    Raises:
        OSError: A variable says what cannot be. The message names it.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        # What its threads say after the log has closed would go to standard error as it is.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        try:
            resource = _resource()
            spans, metrics = _span_exporter(environ), _metric_exporter(environ)
            self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
            if spans is not None:
                self._spans.add_span_processor(BatchSpanProcessor(spans))
            readers = [] if metrics is None else [PeriodicExportingMetricReader(metrics)]
            self._metrics = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        except ValueError as error:
            raise OSError("telemetry.export: one of the OTEL_* variables has a value that cannot be") from error
        self._exporters: list[SpanExporter | MetricExporter] = [each for each in (spans, metrics) if each]
        self.tracer = self._spans.get_tracer("ccproxy", __version__)
        self.meter = self._metrics.get_meter("ccproxy", __version__)
        self.newest = NEWEST in environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").replace(" ", "").split(",")

    async def close(self) -> None:
        """Sends what waits, for CLOSE_SECONDS at most."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut(close: Callable[[], object]) -> None:
            try:
                close()
            except Exception:  # noqa: BLE001  # the libraries raise whatever they like, and it is the end
                log.warning("what was left of spans or metrics was not sent")

        def shut_both() -> None:
            # Apart, so that neither waits for the other's collector; in no pool, which Python would wait for.
            others = threading.Thread(target=shut, args=(self._metrics.shutdown,), daemon=True)
            others.start()
            shut(self._spans.shutdown)
            others.join()
            with contextlib.suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_both, name="telemetry-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        except TimeoutError:
            log.warning("the collector takes nothing: what was left of spans and metrics is lost")
            for exporter in self._exporters:
                threading.Thread(target=shut, args=(exporter.shutdown,), daemon=True).start()


def _resource() -> Resource:
    """Who we are: `ccproxy`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: "ccproxy"}))
    return Resource({SERVICE_VERSION: __version__}).merge(found)


def _span_exporter(environ: Mapping[str, str]) -> SpanExporter | None:
    match _protocol("TRACES", environ):
        case "grpc":
            return GrpcSpanExporter()
        case "http/protobuf":
            return HttpSpanExporter()
        case _:
            return None


def _metric_exporter(environ: Mapping[str, str]) -> MetricExporter | None:
    match _protocol("METRICS", environ):
        case "grpc":
            return GrpcMetricExporter()
        case "http/protobuf":
            return HttpMetricExporter()
        case _:
            return None


def _protocol(signal: Signal, environ: Mapping[str, str]) -> Literal["grpc", "http/protobuf"] | None:
    """How a signal is sent; None where it is not.

    Raises:
        OSError: In a way that we do not know.
    """
    name = f"OTEL_{signal}_EXPORTER"
    exporter = environ.get(name, "").strip().lower() or "otlp"
    if exporter == "none":
        return None
    if exporter != "otlp":
        raise OSError(f"{name}: expected otlp or none")
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(name, "").strip().lower()
        if protocol == "grpc":
            return "grpc"
        if protocol == "http/protobuf":
            return "http/protobuf"
        if protocol:
            raise OSError(f"{name}: expected grpc or http/protobuf")
    return "http/protobuf"
