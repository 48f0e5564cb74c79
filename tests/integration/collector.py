"""A collector of OpenTelemetry's protocol, over HTTP and gRPC, that keeps what it is sent."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

WAIT_SECONDS = 10.0


class Seen:
    """A span, as tests speak of it."""

    def __init__(self, span: Span, resource: dict[str, Any]) -> None:
        self.name = span.name
        self.kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
        self.trace_id = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.status_text = span.status.message
        self.attributes = attributes(span.attributes)
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        self.resource = resource

    def __repr__(self) -> str:
        return f"{self.kind} {self.name} {self.attributes}"


class Collector:
    """Where it listens, and what came."""

    def __init__(self) -> None:
        self.http = ""
        self.grpc = ""
        self.raw = b""
        self.headers: list[dict[str, str]] = []
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []

    def spans(self) -> list[Seen]:
        """All spans, in the order of their starts."""
        found = [
            (span.start_time_unix_nano, Seen(span, attributes(part.resource.attributes)))
            for request in self._traces
            for part in request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        ]
        return [seen for _, seen in sorted(found, key=lambda each: each[0])]

    def metrics(self) -> dict[str, Any]:
        """The newest data of each metric, by its name."""
        return {
            metric.name: metric
            for request in self._metrics
            for part in request.resource_metrics
            for scope in part.scope_metrics
            for metric in scope.metrics
        }

    async def until(self, count: int) -> list[Seen]:
        """Waits for so many spans."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.spans()) < count:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.02)
        return self.spans()

    def traces(self, body: bytes) -> bytes:
        self.raw += body
        self._traces.append(ExportTraceServiceRequest.FromString(body))
        return ExportTraceServiceResponse().SerializeToString()

    def numbers(self, body: bytes) -> bytes:
        self.raw += body
        self._metrics.append(ExportMetricsServiceRequest.FromString(body))
        return ExportMetricsServiceResponse().SerializeToString()

    async def over_http(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        take = self.traces if request.path == "/v1/traces" else self.numbers
        return web.Response(body=take(await request.read()), content_type="application/x-protobuf")


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes by name."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, str(kind))


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """A running one, by both protocols."""
    it = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", it.over_http)
    app.router.add_post("/v1/metrics", it.over_http)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.http = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def traces(body: bytes, _: Any) -> bytes:
        return it.traces(body)

    async def numbers(body: bytes, _: Any) -> bytes:
        return it.numbers(body)

    server = grpc.aio.server()
    prefix = "opentelemetry.proto.collector"
    for service, handler in (("trace.v1.TraceService", traces), ("metrics.v1.MetricsService", numbers)):
        table = {"Export": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{prefix}.{service}", table),))
    it.grpc = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield it
    finally:
        await server.stop(0)
        await runner.cleanup()
