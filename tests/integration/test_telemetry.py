"""Spans and metrics as a collector receives them: both edges, both protocols, streams, failures, retries."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from integration.collector import Collector, Seen, collector
from integration.echo_upstream import BREAKS, HANGS, Upstream, upstream
from integration.edges import Edge, GrpcEdge, HttpEdge
from integration.process import free_ports, process
from integration.test_logging import Log, ask, message, read_some
from integration.test_tracing import PARENT, SPAN, STATE, TRACE, TRACED, send

from ccproxy import logs
from ccproxy.app import Service, running
from ccproxy.config import (
    Config,
    Duration,
    EndpointConfig,
    ProviderConfig,
    RetryConfig,
    Secret,
    TelemetryConfig,
)

EDGES = pytest.mark.parametrize("edge", ["http", "grpc"])
STREAMS = pytest.mark.parametrize("way", ["whole", "stream"])
PROVIDERS_KEY = "sk-ant-canary-provider"
CALLERS_KEY = "canary-caller"

SERVER_NAMES = {
    ("http", "whole"): "POST /v1/messages",
    ("http", "stream"): "POST /v1/messages",
    ("http", "count"): "POST /v1/messages/count_tokens",
    ("grpc", "whole"): "ccproxy.v1.Proxy/CreateMessage",
    ("grpc", "stream"): "ccproxy.v1.Proxy/StreamMessage",
    ("grpc", "count"): "ccproxy.v1.Proxy/CountTokens",
}


class Told:
    """A service that exports, what it is asked through, and what came to the collector."""

    def __init__(
        self, echo: Upstream, service: Service, edges: dict[str, Edge], seen: Collector, log: Log
    ) -> None:
        self.echo = echo
        self.service = service
        self.edges = edges
        self.collector = seen
        self.log = log


@asynccontextmanager
async def exporting(
    monkeypatch: pytest.MonkeyPatch, protocol: str = "http/protobuf", *, first: str = "", **more: Any
) -> AsyncIterator[Told]:
    """A service between a provider that remembers and a collector that does; `first` is another address of it."""
    async with upstream() as echo, collector() as seen:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", seen.grpc if protocol == "grpc" else seen.http)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=canary-collector")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        others = [EndpointConfig(api_base_url=echo.url)] if first else []
        provider = ProviderConfig(
            "claude", "anthropic", first or echo.url, Secret(PROVIDERS_KEY), endpoints=others
        )
        config = Config(
            **{
                "port": 0,
                "grpc_port": 0,
                "log_format": "json",
                "providers": [provider],
                "telemetry": TelemetryConfig(export=True, propagate=True),
                **more,
            }
        )
        log = Log()
        with logs.configure(config, log.stream, {}):
            async with running(config, {}) as service:
                http, rpc = HttpEdge(service), GrpcEdge(service)
                try:
                    yield Told(echo, service, {"http": http, "grpc": rpc}, seen, log)
                finally:
                    await http.client.aclose()
                    await rpc.channel.close()


def by_kind(spans: list[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Those of requests, and those of attempts."""
    return [s for s in spans if s.kind == "SERVER"], [s for s in spans if s.kind == "CLIENT"]


# Spans.


@EDGES
@STREAMS
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_request_is_a_span_in_the_callers_trace_and_its_attempt_one_below(
    monkeypatch: pytest.MonkeyPatch, edge: str, way: str, protocol: str
):
    """The whole way, from the caller's own span to the provider's, hangs together."""
    async with exporting(monkeypatch, protocol) as told:
        outcome = await send(told.edges[edge], way, {**TRACED, "x-request-id": "order-9"})
        spans = await told.collector.until(2)
        sent = told.echo.seen[0]
    (server,), (client,) = by_kind(spans)

    assert outcome.failure is None
    assert (server.name, server.trace_id, server.parent) == (SERVER_NAMES[edge, way], TRACE, SPAN)
    assert (client.name, client.trace_id, client.parent) == ("chat claude-demo-1", TRACE, server.id)
    assert sent["traceparent"] == f"00-{TRACE}-{client.id}-01"
    assert sent["tracestate"] == STATE
    assert server.attributes["ccproxy.request_id"] == "order-9"
    assert told.log.told("trace_id", "span_id") == [(TRACE, server.id)]
    assert (server.failed, client.failed) == (False, False)
    assert server.resource["service.name"] == "ccproxy"


@EDGES
@STREAMS
async def test_an_attempt_tells_model_tokens_and_end(monkeypatch: pytest.MonkeyPatch, edge: str, way: str):
    """By the names of the semantic conventions, so that dashboards for them fit."""
    async with exporting(monkeypatch) as told:
        document = {**ask(), "temperature": 0.5}
        await (told.edges[edge].create if way == "whole" else told.edges[edge].stream)(document)
        _, (client,) = by_kind(await told.collector.until(2))
        port = int(told.echo.url.rpartition(":")[2])
    found = client.attributes
    first = found.pop("gen_ai.response.time_to_first_chunk", None)
    stream = {"gen_ai.request.stream": True} if way == "stream" else {}

    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-demo-1",
        "gen_ai.request.max_tokens": 200,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.id": "msg_up_1",
        "gen_ai.response.model": "claude-up-1",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 19,  # all of it: 11, 5 from a cache, 3 into one
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "server.address": "127.0.0.1",
        "server.port": port,
        "ccproxy.provider": "claude",
        "ccproxy.attempt": 1,
        **stream,
    }
    assert (first is not None) == (way == "stream")
    assert first is None or 0 < first <= client.seconds


@EDGES
async def test_a_request_tells_its_route_and_its_status(monkeypatch: pytest.MonkeyPatch, edge: str):
    """By the conventions for HTTP and for RPC."""
    async with exporting(monkeypatch) as told:
        await send(told.edges[edge], "whole")
        (server,), _ = by_kind(await told.collector.until(2))
    del server.attributes["ccproxy.request_id"]

    assert server.attributes == (
        {"http.request.method": "POST", "http.route": "/v1/messages", "http.response.status_code": 200}
        if edge == "http"
        else {
            "rpc.system.name": "grpc",
            "rpc.method": "ccproxy.v1.Proxy/CreateMessage",
            "rpc.response.status_code": "OK",
        }
    )


@EDGES
@STREAMS
async def test_each_attempt_is_a_span(monkeypatch: pytest.MonkeyPatch, edge: str, way: str):
    """Where the time went, if the first one failed."""
    async with exporting(monkeypatch) as told:
        told.echo.refusals = 1
        outcome = await send(told.edges[edge], way)
        (server,), (first, second) = by_kind(await told.collector.until(3))

    assert outcome.failure is None
    assert (first.failed, first.attributes["error.type"], first.attributes["ccproxy.attempt"]) == (
        True,
        "overloaded",
        1,
    )
    assert (second.failed, second.attributes["ccproxy.attempt"]) == (False, 2)
    assert (first.parent, second.parent, server.failed) == (server.id, server.id, False)
    assert [seen["traceparent"].split("-")[2] for seen in told.echo.seen] == [first.id, second.id]


@EDGES
async def test_an_attempt_that_another_overtook_was_given_up(monkeypatch: pytest.MonkeyPatch, edge: str):
    """It did not fail, and its provider may bill it."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        first = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with exporting(monkeypatch, first=first, retry=RetryConfig(hedge_after=Duration(0.1))) as told:
            outcome = await send(told.edges[edge], "stream")
            (request,), (slow, quick) = by_kind(await told.collector.until(3))

    assert outcome.failure is None
    assert (slow.attributes["error.type"], slow.failed) == ("cancelled", False)
    assert ("error.type" in quick.attributes, quick.attributes["gen_ai.response.id"]) == (False, "msg_up_1")
    assert slow.parent == quick.parent == request.id


@EDGES
@STREAMS
async def test_a_failure_is_told_by_its_reason_alone(monkeypatch: pytest.MonkeyPatch, edge: str, way: str):
    """A provider's words may quote anything."""
    async with exporting(monkeypatch, retry=RetryConfig(attempts=1)) as told:
        told.echo.refusals = 1
        await send(told.edges[edge], way)
        (server,), (client,) = by_kind(await told.collector.until(2))

    assert (client.failed, client.attributes["error.type"], client.status_text) == (True, "overloaded", "")
    assert (server.failed, server.attributes["error.type"], server.status_text) == (True, "overloaded", "")
    code = server.attributes.get("http.response.status_code", server.attributes.get("rpc.response.status_code"))
    assert code == (529 if edge == "http" else "UNAVAILABLE")


@EDGES
async def test_a_callers_mistake_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch, edge: str):
    """Else an alert on failed spans would ring for others' bugs. There is no attempt either."""
    async with exporting(monkeypatch) as told:
        await told.edges[edge].create({"model": "", "messages": []})
        (server,) = await told.collector.until(1)

    assert (server.failed, server.attributes["error.type"]) == (False, "invalid_request")


@EDGES
async def test_a_stream_that_breaks_is_a_failed_span(monkeypatch: pytest.MonkeyPatch, edge: str):
    """Its status was 200 long before."""
    async with exporting(monkeypatch) as told:
        told.echo.behaviour = BREAKS
        await send(told.edges[edge], "stream")
        (server,), (client,) = by_kind(await told.collector.until(2))

    assert (server.failed, server.attributes["error.type"]) == (True, "overloaded")
    assert (client.failed, client.attributes["error.type"]) == (True, "overloaded")
    assert client.attributes["gen_ai.response.id"] == "msg_up_1"


@EDGES
async def test_a_caller_that_leaves_ends_both_spans(monkeypatch: pytest.MonkeyPatch, edge: str):
    """Nobody failed; what is known of it by then is told."""
    async with exporting(monkeypatch) as told:
        told.echo.behaviour = HANGS
        await read_some(told.edges[edge], ask(), wait=True)
        (server,), (client,) = by_kind(await told.collector.until(2))

    assert (server.failed, server.attributes["error.type"]) == (False, "cancelled")
    assert (client.failed, client.attributes["error.type"]) == (False, "cancelled")
    assert client.attributes["gen_ai.usage.input_tokens"] == 19


@EDGES
async def test_without_a_trace_of_the_callers_one_begins(monkeypatch: pytest.MonkeyPatch, edge: str):
    """Its root is the request; what came wrongly is no parent."""
    async with exporting(monkeypatch) as told:
        await send(told.edges[edge], "whole", {"traceparent": f"ff-{TRACE}-{SPAN}-01", "tracestate": STATE})
        (server,), (client,) = by_kind(await told.collector.until(2))

    assert (server.parent, server.trace_id == TRACE) == ("", False)
    sampled_and_random = "03"
    assert told.echo.seen[0]["traceparent"] == f"00-{server.trace_id}-{client.id}-{sampled_and_random}"
    assert "tracestate" not in told.echo.seen[0]
    assert told.log.told("trace_id") == [(server.trace_id,)]


@EDGES
async def test_a_trace_that_is_not_recorded_is_not_exported(monkeypatch: pytest.MonkeyPatch, edge: str):
    """Whoever began it decided that; the provider is told so, too."""
    async with exporting(monkeypatch) as told:
        await send(told.edges[edge], "whole", {"traceparent": PARENT[:-1] + "0"})
        await send(told.edges[edge], "whole", TRACED)
        spans = await told.collector.until(2)

    assert {span.trace_id for span in spans} == {TRACE}
    assert len(spans) == 2
    assert [seen["traceparent"][-2:] for seen in told.echo.seen] == ["00", "01"]


async def test_the_sampler_is_the_operators(monkeypatch: pytest.MonkeyPatch):
    """By the standard variables."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gateway-eu")
    async with exporting(monkeypatch) as told:
        await send(told.edges["http"], "whole", TRACED)

    assert told.collector.spans() == []
    assert b"gateway-eu" in told.collector.raw  # of the metrics


async def test_tokens_and_models_are_spans_and_probes_are_none(monkeypatch: pytest.MonkeyPatch):
    """Health is asked for every second."""
    async with exporting(monkeypatch) as told:
        http: Any = told.edges["http"]
        for path in ("/", "/health", "/metrics", "/status", "/nope", "/v1/models", "/v1/models/x/y"):
            await http.client.get(path)
        await send(told.edges["http"], "count")
        await send(told.edges["grpc"], "count")
        await told.edges["grpc"].models()
        spans = await told.collector.until(5)

    assert [span.name for span in spans] == [
        "GET /v1/models",
        "GET /v1/models/{model_id}",
        "POST /v1/messages/count_tokens",
        "ccproxy.v1.Proxy/CountTokens",
        "ccproxy.v1.Proxy/ListModels",
    ]


# Numbers.


NAMES = {
    "": {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.operation.time_per_output_chunk",
        "gen_ai.client.token.usage",
    },
    "other,gen_ai_latest_experimental": {
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.time_to_first_chunk",
        "gen_ai.client.inference.time_per_output_chunk",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
        "gen_ai.client.inference.operation.input_tokens",
        "gen_ai.client.inference.operation.output_tokens",
    },
}
SERVED = {
    "gen_ai.server.request.duration",
    "gen_ai.server.time_to_first_token",
    "gen_ai.server.time_per_output_token",
}


@pytest.mark.parametrize("opt_in", NAMES)
async def test_the_metrics_are_those_of_the_conventions(monkeypatch: pytest.MonkeyPatch, opt_in: str):
    """The old names until the newest are asked for: renamed series are absent, and alerts on them go silent."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opt_in)
    async with exporting(monkeypatch) as told:
        for edge in told.edges.values():
            await send(edge, "stream")
            await send(edge, "whole")
        _, clients = by_kind(await told.collector.until(8))
    metrics = told.collector.metrics()

    assert set(metrics) == NAMES[opt_in] | SERVED
    written = "cache_write" if opt_in else "cache_creation"
    assert clients[0].attributes[f"gen_ai.usage.{written}.input_tokens"] == 3


async def test_the_numbers_are_right(monkeypatch: pytest.MonkeyPatch):
    """Calls, tokens of each kind, and what they are told apart by."""
    async with exporting(monkeypatch) as told:
        for edge in told.edges.values():
            await send(edge, "whole")
            await send(edge, "stream")
        await told.collector.until(8)
    metrics = told.collector.metrics()
    (duration,) = metrics["gen_ai.client.operation.duration"].histogram.data_points
    usage = {
        attribute.value.string_value: (point.count, point.sum)
        for point in metrics["gen_ai.client.token.usage"].histogram.data_points
        for attribute in point.attributes
        if attribute.key == "gen_ai.token.type"
    }
    (first,) = metrics["gen_ai.server.time_to_first_token"].histogram.data_points

    assert duration.count == 4
    assert usage == {"input": (4, 76), "output": (4, 28)}
    assert first.count == 2
    assert {each.key for each in duration.attributes} == {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "server.address",
        "server.port",
    }


async def test_models_that_callers_invent_do_not_fill_the_collector(monkeypatch: pytest.MonkeyPatch):
    """Each would be a series of its own, for ever."""
    async with exporting(monkeypatch) as told:
        for number in range(150):
            await told.edges["http"].create({**ask(), "model": f"claude-{number}"})
    points = told.collector.metrics()["gen_ai.client.operation.duration"].histogram.data_points

    assert sum(point.count for point in points) == 150
    assert len(points) <= 101


# What is not told.


async def test_no_content_no_key_and_no_header_is_exported(monkeypatch: pytest.MonkeyPatch):
    """Prompts, answers, the provider's words, keys, baggage: whatever was sent, by either edge, failed or not."""
    async with exporting(monkeypatch, apikey=Secret(CALLERS_KEY), retry=RetryConfig(attempts=1)) as told:
        headers = {"x-api-key": CALLERS_KEY, "baggage": "user=canary-baggage", "user-agent": "canary-agent"}
        for edge in told.edges.values():
            for way in ("whole", "stream", "count"):
                await send(edge, way, headers)
            told.echo.refusals = 1
            await send(edge, "whole", headers)
            told.echo.behaviour = BREAKS
            await send(edge, "stream", headers)
            await send(edge, "whole", {"x-api-key": "canary-wrong"})
        http: Any = told.edges["http"]
        await http.client.get("/v1/models/canary-model?key=canary-query", headers=headers)
        await told.collector.until(10)

    assert b"canary" not in told.collector.raw.replace(b"canary-collector", b"")
    assert b"chat claude-demo-1" in told.collector.raw
    assert all(headers["x-collector-key"] == "canary-collector" for headers in told.collector.headers)
    assert "canary" not in told.log.stream.getvalue()


# Faults of the collector.


async def test_a_collector_that_is_gone_costs_no_request_and_no_end(monkeypatch: pytest.MonkeyPatch):
    """What is told of a service must never be what stops it."""
    (port,) = free_ports(1)
    started = time.monotonic()
    async with exporting_to(monkeypatch, f"http://127.0.0.1:{port}") as edges:
        took = await timed(edges)
        ended = time.monotonic()

    assert took < 5
    assert time.monotonic() - ended < 4
    assert time.monotonic() - started < 15


async def test_a_collector_that_never_answers_costs_no_request_and_no_end(monkeypatch: pytest.MonkeyPatch):
    """The worst of them takes the connection, and nothing else."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with exporting_to(monkeypatch, url) as edges:
            took = await timed(edges)
            ended = time.monotonic()

    assert took < 5
    assert time.monotonic() - ended < 4


@asynccontextmanager
async def exporting_to(monkeypatch: pytest.MonkeyPatch, url: str) -> AsyncIterator[dict[str, Edge]]:
    """A service of the demo that exports to somebody who takes nothing, with a short queue."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    config = Config(port=0, grpc_port=0, demo=True, telemetry=TelemetryConfig(export=True))
    with logs.configure(config, Log().stream, {}):
        async with running(config, {}) as service:
            http, rpc = HttpEdge(service), GrpcEdge(service)
            yield {"http": http, "grpc": rpc}
            await http.client.aclose()
            await rpc.channel.close()


async def timed(edges: dict[str, Edge]) -> float:
    """How long forty requests take, all of which must be answered."""
    started = time.monotonic()
    for _ in range(10):
        for edge in edges.values():
            assert (await edge.create(ask())).failure is None
            assert (await edge.stream(ask())).failure is None
    return time.monotonic() - started


# Where it is off, or cannot be.


LOADED = """
import asyncio, sys
import httpx
from ccproxy.app import running
from ccproxy.config import Config
from ccproxy.cli import main  # as the command has it

async def used():
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service, httpx.AsyncClient() as http:
        ask = {"model": "claude-demo-1", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        url = f"http://127.0.0.1:{service.http_port}/v1/messages"
        assert (await http.post(url, json=ask, headers=headers)).status_code == 200

asyncio.run(used())
print([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"])
print("ccproxy.telemetry" in sys.modules)
"""

MISSING = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from ccproxy.cli import main

main(["config", "check", sys.argv[1]] if len(sys.argv) < 3 else ["start", "--foreground", "--config", sys.argv[1]])
"""


def python(code: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)


def test_nothing_of_opentelemetry_is_loaded_where_it_is_off(tmp_path: Path):
    """It costs a third of a second and some ten megabytes."""
    done = python(LOADED, tmp_path)

    assert done.stdout.splitlines() == ["[]", "True"], done.stderr


@pytest.mark.parametrize("arguments", [(), ("start",)])
def test_switched_on_and_not_installed_names_the_extra(tmp_path: Path, arguments: tuple[str, ...]):
    """Before anything is bound, with the command that mends it."""
    file = tmp_path / "config.json"
    file.write_bytes(msgspec.json.encode({"demo": True, "port": 0, "grpc_port": 0, "telemetry": {"export": True}}))
    done = python(MISSING, tmp_path, str(file), *arguments)

    assert done.returncode != 0
    assert "$.telemetry.export: needs the extra `otel`: pip install 'ccproxy-gateway[otel]'" in (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "OTEL_EXPORTER_OTLP_PROTOCOL: expected grpc or http/protobuf",
        ),
        ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER: expected otlp or none"),
        ("OTEL_METRICS_EXPORTER", "console", "OTEL_METRICS_EXPORTER: expected otlp or none"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "one of the OTEL_* variables has a value that cannot be"),
    ],
)
async def test_a_variable_that_cannot_be_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
):
    """Silence would look like a service without requests."""
    monkeypatch.setenv(name, value)
    config = Config(port=0, grpc_port=0, demo=True, telemetry=TelemetryConfig(export=True))
    with pytest.raises(OSError, match="OTEL_") as caught:
        async with running(config, {}):
            pass

    assert told in str(caught.value)


@pytest.mark.parametrize(
    "variables",
    [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}],
)
async def test_the_standard_switches_work(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]):
    """Requests are served as ever."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with exporting(monkeypatch) as told:
        outcome = await send(told.edges["http"], "whole", TRACED)

    assert outcome.failure is None
    assert told.collector.raw == b""
    assert told.log.told("trace_id") == [(TRACE,)]


def test_a_process_sends_what_waits_at_its_end(tmp_path: Path):
    """The last requests of a process that is replaced are those that one looks for."""

    async def served() -> list[Seen]:
        async with collector() as seen:
            config = {"demo": True, "telemetry": {"export": True}, "shutdown_timeout": "5s"}
            environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": seen.http, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
            with process(tmp_path / "home", config, environ) as service:
                await asyncio.to_thread(service.until_ready)
                async with httpx.AsyncClient() as http:
                    await http.post(f"{service.url}/v1/messages", json=ask())
                service.terminate()
                code = await asyncio.to_thread(service.exit_code)
            assert code == 0
            return seen.spans()

    assert [span.kind for span in asyncio.run(served())] == ["SERVER", "CLIENT"]


def test_a_process_without_its_collector_ends_in_time_and_in_our_words(tmp_path: Path):
    """The libraries' threads outlive the log; their words may quote the collector's address."""
    (port,) = free_ports(1)
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "10"}
    with process(tmp_path / "home", {"demo": True, "telemetry": {"export": True}}, environ) as service:
        service.until_ready()
        httpx.post(f"{service.url}/v1/messages", json=ask())
        service.until_said("Transient error")
        asked = service.terminate()
        code = service.exit_code()
        took = time.monotonic() - asked

    assert (code, took < 5) == (0, True)
    assert [line for line in service.stderr.splitlines() if not line.startswith('{"ts"')] == []
    assert str(port) not in service.stderr


async def test_a_binary_trace_is_no_parent(monkeypatch: pytest.MonkeyPatch):
    """`grpc-trace-bin` is another format's."""
    async with exporting(monkeypatch) as told:
        rpc: Any = told.edges["grpc"]
        metadata = grpc.aio.Metadata(("grpc-trace-bin", b"\0\0" + b"\1" * 27))
        await rpc.stub.CreateMessage(message(ask()), metadata=metadata)
        (server,), _ = by_kind(await told.collector.until(2))

    assert server.parent == ""
