"""Which trace and which id a request has, on both edges, without OpenTelemetry: in answers, the log, upstream."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from integration.echo_upstream import Upstream, upstream
from integration.edges import Edge, Outcome
from integration.test_logging import Log, ask, message, serving

from ccproxy.app import Service
from ccproxy.config import ProviderConfig, Secret, TelemetryConfig

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
STATE = "congo=t61rcWkgMzE"
TRACED = {"traceparent": PARENT, "tracestate": STATE}

EDGES = pytest.mark.parametrize("edge", ["http", "grpc"])
WAYS = pytest.mark.parametrize("way", ["whole", "stream", "count"])

FRESH = re.compile(r"req_[0-9a-f]{24}")


@asynccontextmanager
async def relaying(
    log: Log, *, propagate: bool = False, **more: Any
) -> AsyncIterator[tuple[Upstream, Service, dict[str, Edge]]]:
    """A service in front of a provider that remembers."""
    async with upstream() as echo:
        provider = ProviderConfig("anthropic", api_base_url=echo.url, api_key=Secret("sk-up"))
        telemetry = TelemetryConfig(propagate=propagate)
        async with serving(log, providers=[provider], telemetry=telemetry, **more) as (service, edges):
            yield echo, service, edges


async def send(edge: Edge, way: str, headers: Mapping[str, str] = {}) -> Outcome:
    """One request."""
    if way == "whole":
        return await edge.create(ask(), headers)
    if way == "stream":
        return await edge.stream(ask(), headers)
    document = {name: value for name, value in ask().items() if name != "max_tokens"}
    return await edge.count(document, headers)


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


# Request ids.


@EDGES
@WAYS
async def test_the_callers_request_id_comes_back_under_both_names(log: Log, edge: str, way: str):
    """The caller finds its own request in our log; SDKs of Anthropic read `request-id`, others `x-request-id`."""
    async with relaying(log) as (_, _, edges):
        outcome = await send(edges[edge], way, {"x-request-id": "order-7.a_B"})
    (line,) = log.requests

    assert outcome.failure is None
    assert outcome.headers["x-request-id"] == outcome.headers["request-id"] == "order-7.a_B"
    assert line["request_id"] == "order-7.a_B"


@EDGES
@pytest.mark.parametrize("own", ["a b", "x" * 129, "a/b", '"}', ""])
async def test_an_id_that_is_not_fit_is_replaced(log: Log, edge: str, own: str):
    """It would end up in logs and headers of others."""
    async with relaying(log) as (_, _, edges):
        outcome = await send(edges[edge], "whole", {"x-request-id": own})
    (line,) = log.requests

    assert FRESH.fullmatch(outcome.headers["x-request-id"])
    assert line["request_id"] == outcome.headers["x-request-id"] == outcome.headers["request-id"]


@EDGES
@WAYS
async def test_a_failure_has_the_id_too(log: Log, edge: str, way: str):
    """That is when it is asked for."""
    async with relaying(log) as (echo, _, edges):
        echo.refusals = 9
        outcome = await send(edges[edge], way, {"x-request-id": "order-8"})
    (line,) = log.requests

    assert outcome.failure is not None
    assert outcome.headers["x-request-id"] == outcome.headers["request-id"] == "order-8"
    assert line["request_id"] == "order-8"


@EDGES
@WAYS
async def test_the_providers_own_id_is_in_the_log(log: Log, edge: str, way: str):
    """Its support asks for it, after a failure more than ever."""
    async with relaying(log) as (echo, _, edges):
        await send(edges[edge], way)
        echo.refusals = 9
        await send(edges[edge], way)

    answered, refused = log.requests
    assert answered["upstream_request_id"] == "req_up_1"
    assert refused["upstream_request_id"] == "req_up_2"  # of the failure that the caller is told


async def test_what_is_refused_before_it_is_a_request_has_an_id_as_well(log: Log):
    """A path that is not there, a method that is not allowed."""
    async with relaying(log) as (_, _, edges):
        client: Any = edges["http"]
        answers = [
            await client.client.get("/nope", headers={"x-request-id": "mine"}),
            await client.client.delete("/v1/messages", headers={"x-request-id": "mine"}),
            await client.client.get("/", headers={"x-request-id": "mine"}),
        ]

    assert [answer.headers["x-request-id"] for answer in answers] == ["mine"] * 3


# The trace.


@EDGES
@WAYS
async def test_the_log_has_the_callers_trace(log: Log, edge: str, way: str):
    """From a trace to the lines about it: without spans of ours they belong to the caller's."""
    async with relaying(log) as (_, _, edges):
        await send(edges[edge], way, TRACED)
        await send(edges[edge], way)

    assert log.told("trace_id", "span_id") == [(TRACE, SPAN), (None, None)]


@EDGES
@WAYS
async def test_a_provider_is_sent_no_trace_unless_it_is_configured(log: Log, edge: str, way: str):
    """Ids tie requests together across systems: whether a third party sees them is the operator's decision."""
    async with relaying(log) as (echo, _, edges):
        await send(edges[edge], way, {**TRACED, "baggage": "user=canary", "x-request-id": "mine"})

    (seen,) = echo.seen
    assert not {"traceparent", "tracestate", "baggage", "x-request-id", "grpc-trace-bin"} & set(seen)
    assert TRACE not in str(seen)


@EDGES
@WAYS
async def test_a_provider_is_sent_the_callers_trace_where_it_is_configured(log: Log, edge: str, way: str):
    """A model server of one's own continues the trace. Without spans of ours, its parent is the caller's."""
    headers = {**TRACED, "baggage": "user=canary", "authorization": "Bearer canary"}
    async with relaying(log, propagate=True) as (echo, _, edges):
        await send(edges[edge], way, headers)

    (seen,) = echo.seen
    assert (seen["traceparent"], seen["tracestate"]) == (PARENT, STATE)
    assert "canary" not in str(seen)


@EDGES
@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
async def test_the_flags_are_honoured(log: Log, edge: str, flags: str):
    """Whoever decided not to record a trace is not overruled."""
    async with relaying(log, propagate=True) as (echo, _, edges):
        await send(edges[edge], "whole", {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})

    assert echo.seen[0]["traceparent"] == f"00-{TRACE}-{SPAN}-{flags}"
    assert "tracestate" not in echo.seen[0]


@EDGES
@pytest.mark.parametrize(
    "parent",
    [f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", PARENT.upper(), f"{PARENT}-more", "nonsense"],
)
async def test_what_is_no_trace_is_ignored(log: Log, edge: str, parent: str):
    """The request itself is served as any other."""
    async with relaying(log, propagate=True) as (echo, _, edges):
        outcome = await send(edges[edge], "whole", {"traceparent": parent, "tracestate": STATE})

    assert outcome.failure is None
    assert not {"traceparent", "tracestate"} & set(echo.seen[0])
    assert log.told("trace_id", "span_id") == [(None, None)]


async def test_two_parents_are_none(log: Log):
    """Whoever adds a second header must not take a request into a trace of its own choice. gRPC keeps one."""
    async with relaying(log, propagate=True) as (echo, _, edges):
        client: Any = edges["http"]
        await client.client.post("/v1/messages", json=ask(), headers=[("traceparent", PARENT)] * 2)

    assert "traceparent" not in echo.seen[0]


async def test_a_binary_trace_is_ignored(log: Log):
    """`grpc-trace-bin` is another format's, and nobody sends it any more."""
    async with relaying(log, propagate=True) as (echo, _, edges):
        rpc: Any = edges["grpc"]
        metadata = grpc.aio.Metadata(("grpc-trace-bin", b"\0\0" + b"\1" * 27), *TRACED.items())
        await rpc.stub.CreateMessage(message(ask()), metadata=metadata)

    assert echo.seen[0]["traceparent"] == PARENT
    assert "grpc-trace-bin" not in echo.seen[0]


@EDGES
async def test_every_attempt_is_part_of_the_trace(log: Log, edge: str):
    """A second attempt is no new request."""
    async with relaying(log, propagate=True) as (echo, _, edges):
        echo.refusals = 1
        outcome = await send(edges[edge], "whole", TRACED)

    assert outcome.failure is None
    assert [seen["traceparent"] for seen in echo.seen] == [PARENT, PARENT]
