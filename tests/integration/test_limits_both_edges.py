"""What is refused before it becomes a call: the same over HTTP and gRPC, and counted as no call."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from integration.edges import Edge, Failure, GrpcEdge, HttpEdge
from unit.test_metrics import samples

from ccproxy import app
from ccproxy.app import Service, running
from ccproxy.circuit import State
from ccproxy.config import (
    Config,
    Duration,
    FallbackConfig,
    KeyConfig,
    LimitsConfig,
    PerformanceConfig,
    ProviderConfig,
    RetryConfig,
    RouteConfig,
    Secret,
    Size,
)
from ccproxy.demo import Demo

Edges = tuple[Edge, Edge]


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[tuple[Service, Edges]]:
    """A service and both its edges."""
    async with running(config, {}) as service:
        http, rpc = HttpEdge(service), GrpcEdge(service)
        yield service, (http, rpc)
        await http.client.aclose()
        await rpc.channel.close()


def demo(*keys: KeyConfig, **limits: Any) -> Config:
    """A configuration with the demo upstream, without retries: failures shall be seen."""
    return Config(
        port=0,
        grpc_port=0,
        demo=True,
        keys=list(keys),
        limits=LimitsConfig(**limits),
        retry=RetryConfig(attempts=1),
    )


def ask(text: str = "Hello", model: str = "claude-demo-1") -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}]}


def rejected(service: Service) -> dict[tuple[str, ...], float]:
    """Refused calls by edge and reason."""
    return samples(service.metrics, "ccproxy_rejected_total")


def told(failure: Failure | None) -> tuple[int, str, bool, bool]:
    """Status, type, whether to try again, and whether it says when, in whole seconds."""
    assert failure is not None
    return failure.http_status, failure.type, failure.should_retry, (failure.retry_after or 0) >= 1


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.005)


BUSY = (503, "overloaded_error", True, True)
LIMITED = (429, "rate_limit_error", True, True)


@pytest.mark.parametrize("method", ["create", "stream"])
async def test_a_caller_may_ask_so_often_over_both_edges_together(method: str):
    """One bucket for both. What is refused is no call, and what is free stays free."""
    async with serving(demo(requests_per_minute=2)) as (service, edges):
        first = [await getattr(edge, method)(ask()) for edge in edges]
        refused = [await getattr(edge, method)(ask()) for edge in edges]
        counts = [await edge.count(ask()) for edge in edges]
        models = [await edge.models() for edge in edges]
        totals = service.metrics.totals()
        reasons = rejected(service)

    assert [each.failure for each in first + counts + models] == [None] * 6
    assert [each.headers["anthropic-ratelimit-requests-remaining"] for each in first] == ["1", "0"]
    assert [told(each.failure) for each in refused] == [LIMITED] * 2
    for each in refused:
        assert each.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert each.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert each.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        assert 1 <= int(each.headers["retry-after"]) <= 30
    assert refused[0].failure == refused[1].failure
    assert (totals.total, totals.success) == (2, 2)
    assert reasons == {("http", "requests_per_minute"): 1, ("grpc", "requests_per_minute"): 1}


@pytest.mark.parametrize("method", ["create", "stream"])
async def test_what_an_answer_cost_is_owed(method: str):
    """It is known afterwards only: the next call waits until the debt has been paid."""
    async with serving(demo(tokens_per_minute=50)) as (_, edges):
        first = await getattr(edges[1], method)(ask("[[tokens 60]]"))
        refused = [await getattr(edge, method)(ask()) for edge in edges]

    assert first.failure is None
    assert [told(each.failure) for each in refused] == [LIMITED] * 2
    assert [each.headers["anthropic-ratelimit-tokens-remaining"] for each in refused] == ["0", "0"]


async def test_a_stream_that_its_caller_leaves_is_owed_as_well():
    """Else the cheapest way is to leave before the end."""
    config = demo(tokens_per_minute=5)
    async with serving(config) as (service, (http, _)):
        assert isinstance(http, HttpEdge)
        document = {**ask("[[tokens 400]] [[pace 20]]"), "stream": True}
        async with http.client.stream("POST", "/v1/messages", json=document) as response:
            async for _chunk in response.aiter_bytes():
                break
        await until(lambda: not service.proxy.running)
        refused = await http.create(ask())

    assert told(refused.failure) == LIMITED


async def test_a_providers_own_limits_stay_where_it_refuses():
    """They say why; ours stand beside them."""
    text = '[[error 429 rate_limit_error {"retry-after": "7", "anthropic-ratelimit-requests-limit": "4000"}]]'
    async with serving(demo(requests_per_minute=10, tokens_per_minute=1000)) as (_, edges):
        refused = [await edge.create(ask(text)) for edge in edges]

    for each in refused:
        assert each.headers["anthropic-ratelimit-requests-limit"] == "4000"
        assert each.headers["anthropic-ratelimit-tokens-limit"] == "1000"
        assert each.headers["retry-after"] == "7"


@pytest.mark.parametrize("limits", [{"max_in_flight": 1}, {"max_body_bytes_in_flight": Size(150)}])
async def test_calls_beyond_what_may_be_under_way_are_refused_on_both_edges(limits: dict[str, Any]):
    """Whichever edge the running one came by; it goes on, and after it there is room again."""
    async with serving(demo(**limits)) as (service, edges):
        for running_on in edges:
            slow = asyncio.ensure_future(running_on.create(ask("[[wait 400]]")))
            await until(lambda: service.proxy.running > 0)
            refused = [await getattr(edge, m)(ask()) for edge in edges for m in ("create", "stream", "count")]
            answered = await slow

            assert answered.failure is None
            assert [told(each.failure) for each in refused] == [BUSY] * 6
        assert (await edges[0].create(ask())).failure is None
        assert service.metrics.totals().failed == 0
        assert service.limiter.body_bytes == 0


async def test_a_key_has_its_own_limits_and_models():
    """By its name, whichever header or metadata it came in."""
    keys = (
        KeyConfig("one", key=Secret("k1"), max_in_flight=1, models=["claude-*"]),
        KeyConfig("two", key=Secret("k2"), requests_per_minute=0),
    )
    one, two = {"x-api-key": "k1"}, {"authorization": "Bearer k2"}
    async with serving(demo(*keys, requests_per_minute=50)) as (service, edges):
        slow = asyncio.ensure_future(edges[0].create(ask("[[wait 400]]"), one))
        await until(lambda: service.proxy.running > 0)
        refused = [await edge.create(ask(), one) for edge in edges]
        others = [await edge.create(ask(), two) for edge in edges]
        answered = await slow
        wrong = [await edge.count(ask(model="openai,gpt-demo-1"), one) for edge in edges]

    assert [told(each.failure) for each in refused] == [LIMITED] * 2
    assert "anthropic-ratelimit-requests-limit" not in others[0].headers
    assert answered.headers["anthropic-ratelimit-requests-remaining"] == "49"
    assert [each.failure for each in others] == [None, None]
    assert [told(each.failure) for each in wrong] == [(403, "permission_error", False, False)] * 2


async def test_a_key_sees_the_models_that_it_may_ask_for():
    """A list of what is refused is of no use, and tells what else there is."""
    keys = (KeyConfig("one", key=Secret("k1"), models=["openai,*"]), KeyConfig("two", key=Secret("k2")))
    one, two = {"x-api-key": "k1"}, {"authorization": "Bearer k2"}
    async with serving(demo(*keys)) as (_, edges):
        seen = [await edge.models(one, limit=1000) for edge in edges]
        everything = [await edge.models(two, limit=1000) for edge in edges]
        names = [model["id"] for model in seen[0].document["data"]]
        hidden = [await edge.model("claude-demo-1", one) for edge in edges]
        found = [await edge.model(name, who) for edge in edges for name in names for who in (one, two)]

    assert names
    assert all(name.startswith("openai,") for name in names)
    assert seen[0].document == seen[1].document
    assert {"claude-demo-1", *names} < {model["id"] for model in everything[0].document["data"]}
    assert [each.failure and each.failure.http_status for each in hidden] == [404, 404]
    assert {each.document["id"] for each in found} == set(names)


@asynccontextmanager
async def one_place(**limits: Any) -> AsyncIterator[tuple[Service, Edges]]:
    """A service that sends its provider one call at a time."""
    async with Demo.serve() as upstream:
        config = Config(
            port=0,
            grpc_port=0,
            providers=[ProviderConfig("anthropic", api_base_url=upstream.anthropic_url, max_in_flight=1)],
            routes={"default": RouteConfig("anthropic")},
            limits=LimitsConfig(**limits),
        )
        async with serving(config) as served:
            yield served


async def test_a_provider_gets_no_more_calls_at_once_than_it_may():
    """The next ones wait a moment; those beyond the queue are refused, and the provider is not to blame."""
    async with one_place(provider_queue=2) as (service, edges):
        slow = [asyncio.ensure_future(edge.create(ask("[[wait 150]]"))) for edge in (*edges, edges[0])]
        places = service.proxy.backend.limits.places["anthropic"]
        await until(lambda: places.waiting == 2)
        refused = [await getattr(edge, method)(ask()) for edge in edges for method in ("create", "stream")]
        waited = await asyncio.gather(*slow)
        circuit = service.proxy.backend.upstreams["anthropic"].endpoints[0].circuit
        asked = samples(service.metrics, "ccproxy_upstream_requests_total")
        totals = service.metrics.totals()
        reasons = rejected(service)

    assert [each.failure for each in waited] == [None] * 3
    assert [told(each.failure) for each in refused] == [BUSY] * 4
    assert (circuit.state, circuit.running, circuit.reason) == (State.CLOSED, 0, "")
    assert sum(asked.values()) == 3
    assert (totals.success, totals.failed) == (3, 0)
    assert reasons == {("http", "provider_in_flight"): 2, ("grpc", "provider_in_flight"): 2}


@pytest.mark.parametrize("method", ["create", "stream"])
async def test_a_full_provider_overflows_to_the_fallbacks_of_the_route(method: str):
    """Nothing was sent, so another may answer: a small provider in front and a large one behind it."""
    async with Demo.serve() as upstream:
        config = Config(
            port=0,
            grpc_port=0,
            providers=[
                ProviderConfig("anthropic", api_base_url=upstream.anthropic_url, max_in_flight=1),
                ProviderConfig("openai", api_base_url=upstream.openai_url, api="chat"),
            ],
            routes={"default": RouteConfig("anthropic", fallbacks=[FallbackConfig("openai", "gpt-4.1")])},
            limits=LimitsConfig(provider_queue=0),
        )
        async with serving(config) as (service, edges):
            slow = asyncio.ensure_future(edges[0].create(ask("[[wait 300]]")))
            await until(lambda: service.proxy.running > 0)
            over = [await getattr(edge, method)(ask()) for edge in edges]
            first = await slow
            overflows = samples(service.metrics, "ccproxy_provider_overflows_total")
            asked = samples(service.metrics, "ccproxy_upstream_requests_total")
            totals = service.metrics.totals()
            reasons = rejected(service)

    told_headers = ["x-ccproxy-provider", "x-ccproxy-attempts"]
    assert [[each.headers[name] for name in told_headers] for each in over] == [["openai", "2"]] * 2
    assert (first.headers["x-ccproxy-provider"], first.headers["x-ccproxy-attempts"]) == ("anthropic", "1")
    assert [each.failure for each in (first, *over)] == [None] * 3
    assert overflows == {("anthropic",): 2}
    assert asked == {("first", "2xx", "anthropic"): 1, ("retry", "2xx", "openai"): 2}
    assert (totals.success, totals.failed, reasons) == (3, 0, {})


async def test_who_waits_for_a_provider_for_too_long_is_refused():
    """By `provider_wait`."""
    async with one_place(provider_wait=Duration(0.02)) as (service, edges):
        slow = asyncio.ensure_future(edges[0].stream(ask("[[wait 300]]")))
        await until(lambda: service.proxy.running > 0)
        await asyncio.sleep(0.05)
        refused = [await edge.create(ask()) for edge in edges]
        answered = await slow

    assert answered.failure is None
    assert [told(each.failure) for each in refused] == [BUSY] * 2


async def test_a_reload_keeps_what_was_used_and_what_runs():
    """A changed limit counts for the next call; an unchanged one goes on where it was."""
    team = KeyConfig("team", key=Secret("k"), requests_per_minute=2)
    header = {"x-api-key": "k"}
    async with serving(demo(team)) as (service, edges):
        for edge in edges:
            await edge.create(ask(), header)
        await service.reload(demo(team, KeyConfig("new", key=Secret("n")), max_in_flight=1))
        used_up = [await edge.create(ask(), header) for edge in edges]
        slow = asyncio.ensure_future(edges[0].create(ask("[[wait 300]]"), {"x-api-key": "n"}))
        await until(lambda: service.proxy.running > 0)
        busy = [await edge.create(ask(), {"x-api-key": "n"}) for edge in edges]
        await service.reload(demo(KeyConfig("team", key=Secret("k"), requests_per_minute=0)))
        free = [await edge.create(ask(), header) for edge in edges]
        answered = await slow

    assert [told(each.failure) for each in used_up] == [LIMITED] * 2
    assert [told(each.failure) for each in busy] == [BUSY] * 2
    assert [each.failure for each in (*free, answered)] == [None] * 3


async def test_a_reload_of_a_providers_limit_keeps_its_connections():
    """And what is known of its health."""
    async with one_place() as (service, edges):
        before = service.proxy.backend.upstreams["anthropic"]
        provider = service.config.providers[0]
        more = ProviderConfig("anthropic", api_base_url=provider.api_base_url, max_in_flight=7)
        await service.reload(Config(port=0, grpc_port=0, providers=[more], routes=service.config.routes))
        after = service.proxy.backend.upstreams["anthropic"]
        answered = [await edge.create(ask()) for edge in edges]

    assert before is after
    assert [each.failure for each in answered] == [None, None]


async def test_scarce_memory_refuses_new_calls_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    """Probes and numbers are what an operator needs then; what runs ends as it should."""
    limit: list[int] = []
    monkeypatch.setattr(app, "limit_bytes", lambda: limit[0] if limit else None)
    async with serving(demo()) as (service, edges):
        slow = asyncio.ensure_future(edges[0].stream(ask("[[tokens 30]] [[pace 60]]")))
        await until(lambda: service.proxy.running > 0)
        limit.append(1 << 20)  # of which this process uses more than 85 %
        await until(lambda: bool(service.health.shedding))
        refused = [await getattr(edge, m)(ask()) for edge in edges for m in ("create", "stream", "count")]
        served = await seen(service)
        ended = await slow
        alone = await edges[1].create(ask())
        limit[:] = [1 << 50]
        await until(lambda: not service.health.shedding)
        after = await seen(service)

    assert [told(each.failure) for each in refused] == [BUSY] * 6
    assert served == (200, 200, 200, 200, "degraded", "memory", 1.0, "SERVING")
    assert ended.failure is None
    assert ended.events[-1]["type"] == "message_stop"
    assert alone.failure is None  # memory may never come back: one call at a time finds out
    assert after[4:7] == ("healthy", None, 0.0)


async def test_a_late_loop_refuses_new_calls_until_it_is_in_time(monkeypatch: pytest.MonkeyPatch):
    """With a bound that every timer misses."""
    monkeypatch.setattr(app, "LAG_PERIOD_SECONDS", 0.02)
    async with serving(demo(shed_lag=Duration(1e-9))) as (service, edges):
        await until(lambda: bool(service.health.shedding))
        refused = [await edge.create(ask()) for edge in edges]
        served = await seen(service)
        await service.reload(demo(shed_lag=Duration(0)))
        await until(lambda: not service.health.shedding)
        answered = [await edge.create(ask()) for edge in edges]

    assert [told(each.failure) for each in refused] == [BUSY] * 2
    assert served[4:6] == ("degraded", "event_loop")
    assert [each.failure for each in answered] == [None, None]


async def seen(service: Service) -> tuple[Any, ...]:
    """Status of `/`, `/health`, `/status`, `/metrics`; health's word and reason; the gauge; gRPC readiness."""
    url = f"http://127.0.0.1:{service.http_port}"
    async with httpx.AsyncClient(base_url=url) as http:
        answers = [await http.get(path) for path in ("/", "/health", "/status", "/metrics")]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        request = health_pb2.HealthCheckRequest(service="readiness")
        ready = await health_pb2_grpc.HealthStub(channel).Check(request)
    health = answers[1].json()
    shedding = samples(service.metrics, "ccproxy_shedding")
    return (
        *(each.status_code for each in answers),
        health["status"],
        health["performance"].get("shedding"),
        sum(shedding.values()),
        health_pb2.HealthCheckResponse.ServingStatus.Name(ready.status),
    )


TIMES = {
    "a stream's first byte": ({"first_byte_timeout": Duration(0.1)}, "[[wait 2000]]", 504),
    "a stream's silence": ({"silence_timeout": Duration(0.1)}, "[[tokens 5]] [[pace 2000]]", 0),
    "a whole stream": ({"stream_timeout": Duration(0.4)}, "[[tokens 100]] [[pace 50]]", 0),
}


@pytest.mark.parametrize("case", TIMES)
async def test_a_stream_ends_by_the_operators_times_on_both_edges(case: str):
    """Before it has begun as a status, after that as its last event."""
    times, text, status = TIMES[case]
    config = Config(port=0, grpc_port=0, demo=True, performance=PerformanceConfig(**times))
    async with serving(config) as (_, edges):
        outcomes = [await edge.stream(ask(text)) for edge in edges]

    for outcome in outcomes:
        assert outcome.failure is not None
        assert outcome.failure.type == "timeout_error"
        assert "message_stop" not in [event["type"] for event in outcome.events]
    assert outcomes[0].failure is not None
    assert outcomes[0].failure.http_status == status


@pytest.mark.parametrize("model", ["claude-demo-1", "openai,gpt-demo"])
async def test_a_large_table_in_a_result_is_answered(model: str):
    """It is one text, however many commas are in it: a tool that reads a file returns such things."""
    table = "12.5,north,3,\n" * 400_000
    turns = [
        {"role": "user", "content": "Read it"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": table}]},
    ]
    document = {"model": model, "max_tokens": 9, "messages": turns, "x_rows": table}  # in gRPC's extra_json, too
    async with serving(demo()) as (_, edges):
        answers = [await edge.create(document) for edge in edges]

    assert [each.failure for each in answers] == [None, None]
