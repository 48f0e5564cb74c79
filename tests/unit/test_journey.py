"""A call's attempts, through the core: what is sent where, what the caller hears, and what is left behind."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from unit.fakes import ScriptedResponse, ScriptedTransport, answer
from unit.test_metrics import samples

from ccproxy import attempts
from ccproxy.backend import Backend
from ccproxy.call import Call
from ccproxy.circuit import Circuit, State
from ccproxy.config import (
    Config,
    Duration,
    FallbackConfig,
    PerformanceConfig,
    ProviderConfig,
    RetryConfig,
    RouteConfig,
)
from ccproxy.errors import ApiError, Reason
from ccproxy.limits import Limits
from ccproxy.logs import Entry
from ccproxy.metrics import Metrics
from ccproxy.places import Places
from ccproxy.provider import UpstreamRequest
from ccproxy.providers import BY_TYPE
from ccproxy.proxy import Proxy
from ccproxy.routing import Router
from ccproxy.serving import Phase, Serving
from ccproxy.upstream import Upstream

START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7}}}\n\n'
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n'
END = (
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
WHOLE = b'{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":4}}'
CHAT = (
    b'{"id":"1","object":"chat.completion","created":1,"model":"gpt","choices":[{"index":0,"finish_reason":'
    b'"stop","message":{"role":"assistant","content":"From the other."}}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":4}}'
)
CHUNKS = (
    b'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"From the other."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def unreachable(provider: str = "anthropic", **more) -> ApiError:
    """A connection that was never made."""
    return ApiError(Reason.UPSTREAM_UNREACHABLE, f"provider {provider}: refused", **more).by(provider)


def refused(status: int, kind: str, **headers: str) -> ScriptedResponse:
    """An error of Anthropic's API."""
    body = {"type": "error", "error": {"type": kind, "message": "no"}}
    return answer(msgspec.json.encode(body), status=status, **headers)


class Bench:
    """A Proxy over Anthropic, with OpenAI as the fallback of its route."""

    def __init__(
        self,
        *first: ScriptedResponse | ApiError,
        then: Sequence[ScriptedResponse | ApiError] = (),
        retry: RetryConfig | None = None,
    ) -> None:
        providers = [
            ProviderConfig("anthropic", api_base_url="http://127.0.0.1:1"),
            ProviderConfig("openai", api_base_url="http://127.0.0.1:1", api="chat"),
        ]
        routes = {"default": RouteConfig("anthropic", "claude-x", fallbacks=[FallbackConfig("openai", "gpt-4.1")])}
        config = Config(providers=providers, routes=routes)
        self.first, self.second = ScriptedTransport(*first), ScriptedTransport(*then)
        self.metrics = Metrics()
        self.entries: list[Entry] = []
        serving = Serving()
        serving.move(Phase.SERVING, "serving")
        transports = {"anthropic": self.first, "openai": self.second}
        self.upstreams = {p.name: Upstream(BY_TYPE[p.name](p), transports[p.name]) for p in providers}
        self.backend = Backend(Router(config), self.upstreams, retry=retry)
        self.proxy = Proxy(self.backend, self.metrics, serving, request_log=self.entries.append)

    def circuit(self, name: str = "anthropic") -> Circuit:
        """The circuit of a provider's only way."""
        return self.upstreams[name].endpoints[0].circuit


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff is waited for in another test."""
    monkeypatch.setattr(attempts, "BACKOFF_SECONDS", 0.0)


def call(**more) -> Call:
    """A call."""
    body = {"model": "claude", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    return Call(edge="http", request_id="req_1", body=msgspec.json.encode(body), **more)


async def collected(bench: Bench) -> tuple[dict[str, str], bytes]:
    """Headers and frames of one streamed answer."""
    async with bench.proxy.stream_message(call()) as stream:
        return dict(stream.headers), b"".join([frames async for frames in stream])


async def test_a_connection_that_was_refused_is_tried_once_more():
    """The caller sees one answer, and how many attempts it took."""
    bench = Bench(unreachable(), answer(WHOLE))
    reply = await bench.proxy.create_message(call())

    assert reply.body == WHOLE
    assert reply.headers["x-ccproxy-attempts"] == "2"
    assert len(bench.first.requests) == 2
    assert (bench.metrics.totals().success, bench.metrics.totals().failed) == (1, 0)
    assert bench.entries[0].attempts == 2


async def test_the_fallback_answers_where_the_target_cannot():
    """Translated for it, and named in the headers, the log and the metrics."""
    bench = Bench(refused(529, "overloaded_error"), refused(529, "overloaded_error"), then=(answer(CHAT),))
    reply = await bench.proxy.create_message(call())

    assert msgspec.json.decode(reply.body)["content"][0]["text"] == "From the other."
    assert reply.headers["x-ccproxy-provider"] == "openai"
    assert reply.headers["x-ccproxy-model"] == "gpt-4.1"
    assert reply.headers["x-ccproxy-attempts"] == "3"
    assert msgspec.json.decode(bench.second.requests[0].body or b"")["model"] == "gpt-4.1"
    assert (bench.entries[0].provider, bench.entries[0].model) == ("openai", "gpt-4.1")
    assert 'ccproxy_upstream_requests_total{attempt="retry",code_class="2xx",provider="openai"} 1.0' in str(
        bench.metrics.exposition(None)[0]
    )


async def test_a_stream_is_tried_again_until_its_content_has_begun():
    """An error event before any content is no different from a status."""
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    bench = Bench(answer(START, error), answer(START, BLOCK, END))
    headers, frames = await collected(bench)

    assert frames == START + BLOCK + END
    assert headers["x-ccproxy-attempts"] == "2"
    assert bench.first.open == 0


async def test_nothing_is_tried_again_once_content_has_gone_out():
    """Two beginnings would be one corrupted answer."""
    bench = Bench(answer(START + BLOCK, unreachable()), answer(WHOLE), then=(answer(CHAT),))
    with pytest.raises(ApiError) as caught:
        await collected(bench)

    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE
    assert (len(bench.first.requests), len(bench.second.requests)) == (1, 0)
    assert caught.value.headers["x-ccproxy-attempts"] == "1"


async def test_a_failed_attempt_leaves_nothing_open():
    """Its connection is given back before the next begins."""
    timeout = ApiError(Reason.TIMEOUT, "no answer in time").by("anthropic")
    bench = Bench(answer(START, timeout), then=(answer(CHUNKS),), retry=RetryConfig(uncertain=True))
    seen = []
    bench.second.on_send = lambda: seen.append((bench.first.open, bench.circuit().running))
    await collected(bench)

    assert seen == [(0, 0)]


async def test_the_first_failure_is_what_the_caller_hears():
    """With the number of attempts, and its own retry advice."""
    bench = Bench(
        refused(429, "rate_limit_error", retry_after="30"), then=(unreachable("openai"), unreachable("openai"))
    )
    with pytest.raises(ApiError) as caught:
        await bench.proxy.create_message(call())

    assert (caught.value.reason, caught.value.retry_after) == (Reason.RATE_LIMITED, 30)
    assert caught.value.headers["x-ccproxy-attempts"] == "3"
    assert (bench.metrics.totals().success, bench.metrics.totals().failed) == (0, 1)


async def test_failures_open_the_circuit_and_calls_go_by():
    """The sixth caller is answered by the fallback at once."""
    bench = Bench(*[unreachable(replay="uncertain")] * 5, then=(answer(CHAT),), retry=RetryConfig(attempts=1))
    for _ in range(5):
        with pytest.raises(ApiError):
            await bench.proxy.create_message(call())
    assert bench.circuit().state is State.OPEN
    reply = await bench.proxy.create_message(call())

    assert reply.headers["x-ccproxy-provider"] == "openai"
    assert reply.headers["x-ccproxy-attempts"] == "1"
    assert len(bench.first.requests) == 5


async def test_a_stream_that_breaks_off_is_the_providers_failure():
    """Its first content was no proof."""
    bench = Bench(*(answer(START + BLOCK, unreachable()) for _ in range(5)))
    for _ in range(5):
        with pytest.raises(ApiError):
            await collected(bench)

    assert bench.circuit().state is State.OPEN


async def test_a_caller_who_leaves_says_nothing_about_the_provider():
    """However many leave."""
    bench = Bench(*(answer(START + BLOCK, 5.0, END) for _ in range(8)))
    for _ in range(8):
        with pytest.raises(ConnectionResetError):
            async with bench.proxy.stream_message(call()) as stream:
                await anext(stream)
                raise ConnectionResetError

    assert bench.circuit().state is State.CLOSED
    assert bench.circuit().running == 0
    assert bench.first.open == 0


async def test_the_callers_deadline_says_nothing_about_the_provider():
    """Ten milliseconds are nobody's outage."""
    bench = Bench(*(answer(1.0, WHOLE) for _ in range(6)), retry=RetryConfig(attempts=1))
    for _ in range(6):
        with pytest.raises(ApiError) as caught:
            await bench.proxy.create_message(call(deadline=asyncio.get_running_loop().time() + 0.01))
        assert caught.value.reason is Reason.TIMEOUT

    assert bench.circuit().state is State.CLOSED


async def test_the_pause_between_attempts_ends_with_the_callers_time(monkeypatch: pytest.MonkeyPatch):
    """Nobody waits for somebody who has given up."""
    monkeypatch.setattr(attempts, "BACKOFF_SECONDS", 60.0)
    bench = Bench(unreachable(), answer(WHOLE))
    started = asyncio.get_running_loop().time()
    with pytest.raises(ApiError) as caught:
        await bench.proxy.create_message(call(deadline=started + 0.05))

    assert caught.value.reason is Reason.TIMEOUT
    assert asyncio.get_running_loop().time() - started < 5
    assert len(bench.first.requests) == 1


async def test_an_unusable_whole_answer_may_have_been_billed():
    """So it goes to a fallback only where the operator accepts that."""
    careful, bold = Bench(answer(b"<html>")), Bench(answer(b"<html>"), then=(answer(CHAT),))
    bold.backend.retry = RetryConfig(uncertain=True)
    with pytest.raises(ApiError) as caught:
        await careful.proxy.create_message(call())
    reply = await bold.proxy.create_message(call())

    assert caught.value.reason is Reason.UPSTREAM_INVALID_RESPONSE
    assert reply.headers["x-ccproxy-provider"] == "openai"


HEDGING = RetryConfig(hedge_after=Duration(0.02))


async def test_a_stream_that_does_not_begin_is_hedged_where_the_operator_wants_that():
    """The fallback begins first and answers; the first is closed, and nothing is held against it."""
    bench = Bench(answer(5.0, START, BLOCK, END), then=(answer(CHUNKS),), retry=HEDGING)
    headers, frames = await collected(bench)

    assert b"From the other." in frames
    assert (headers["x-ccproxy-provider"], headers["x-ccproxy-attempts"]) == ("openai", "2")
    assert (bench.entries[0].provider, bench.entries[0].attempts) == ("openai", 2)
    assert (bench.first.open, bench.second.open) == (0, 0)
    assert (bench.circuit().state, bench.circuit().used, bench.circuit().running) == (State.CLOSED, False, 0)
    assert bench.circuit("openai").used


async def test_one_that_begins_in_time_is_not_hedged():
    """A second attempt is a second bill."""
    bench = Bench(answer(START, BLOCK, END), then=(answer(CHUNKS),), retry=HEDGING)
    _, frames = await collected(bench)

    assert frames == START + BLOCK + END
    assert bench.second.requests == []


async def test_hedging_keeps_to_the_budget():
    """A provider that is slow for everybody must not be asked twice by everybody."""
    retry = RetryConfig(hedge_after=Duration(0.005), budget_percent=0)
    bench = Bench(
        *(answer(0.03, START, BLOCK, END) for _ in range(14)),
        then=[answer(CHUNKS) for _ in range(14)],
        retry=retry,
    )
    for _ in range(14):
        await collected(bench)

    assert 10 <= len(bench.second.requests) <= 12


async def test_a_failure_of_both_is_the_firsts():
    """With the attempts that there were."""
    slow = answer(0.05, unreachable(replay="never"))
    bench = Bench(slow, then=(unreachable("openai", replay="never"),), retry=HEDGING)
    with pytest.raises(ApiError) as caught:
        await collected(bench)

    assert caught.value.provider == "anthropic"
    assert caught.value.headers["x-ccproxy-attempts"] == "2"
    assert (bench.first.open, bench.circuit().running, bench.circuit("openai").running) == (0, 0, 0)


async def test_the_end_of_the_service_ends_both():
    """Also while neither has begun."""
    bench = Bench(answer(5.0), then=(answer(5.0),), retry=HEDGING)
    running = asyncio.ensure_future(collected(bench))
    await asyncio.sleep(0.1)
    both = (bench.first.open, bench.second.open)
    bench.proxy.interrupt(ApiError(Reason.SHUTTING_DOWN, "ending"))
    with pytest.raises(ApiError) as caught:
        await running

    assert both == (1, 1)
    assert caught.value.reason is Reason.SHUTTING_DOWN
    assert (bench.first.open, bench.second.open) == (0, 0)


async def test_our_own_time_for_a_whole_answer_is_the_providers_failure():
    """However it was wasted: it had ten minutes. No fallback follows, for there is no time left."""
    bench = Bench(answer(5.0, WHOLE), then=(answer(CHAT),), retry=RetryConfig(uncertain=True))
    bench.backend.performance = PerformanceConfig(request_timeout=Duration(0.02))
    with pytest.raises(ApiError) as caught:
        await bench.proxy.create_message(call())

    assert (caught.value.reason, caught.value.provider) == (Reason.TIMEOUT, "anthropic")
    assert bench.circuit()._in_a_row == 1
    assert bench.second.requests == []


async def test_a_stream_that_cannot_be_read_goes_where_a_whole_answer_would():
    """Before its content, to a fallback, where the operator accepts that it may have been billed."""
    bench = Bench(answer(b"<html>"), then=(answer(CHUNKS),), retry=RetryConfig(uncertain=True))
    headers, _ = await collected(bench)

    assert headers["x-ccproxy-provider"] == "openai"


async def test_a_provider_that_does_not_begin_to_answer_is_its_failure(monkeypatch: pytest.MonkeyPatch):
    """It may have been billed, so nothing follows; the circuit and the numbers hear of it."""
    bench = Bench()
    bench.backend.performance = PerformanceConfig(first_byte_timeout=Duration(0.02))

    @asynccontextmanager
    async def silent(_: UpstreamRequest, *, stream: bool) -> AsyncIterator[ScriptedResponse]:
        assert stream
        await asyncio.sleep(5)
        yield answer(START)

    monkeypatch.setattr(bench.first, "send", silent)
    with pytest.raises(ApiError) as caught:
        await collected(bench)

    assert (caught.value.reason, caught.value.provider) == (Reason.TIMEOUT, "anthropic")
    assert samples(bench.metrics, "ccproxy_upstream_requests_total") == {("first", "timeout", "anthropic"): 1}
    assert bench.circuit().running == 0
    assert bench.metrics.totals().failed == 1


async def test_a_fallback_without_a_free_place_fails_the_call():
    """The target was asked, so this is a call, and a failed one: the caller hears of the target."""
    bench = Bench(refused(529, "overloaded_error"), refused(529, "overloaded_error"))
    full = Places("openai")
    full.change(1, 0, 0.0)
    bench.backend.limits = Limits(places={"openai": full})
    async with full.place():
        with pytest.raises(ApiError) as caught:
            await bench.proxy.create_message(call())

    assert (caught.value.provider, caught.value.status) == ("anthropic", 529)
    assert bench.metrics.totals().failed == 1
    assert samples(bench.metrics, "ccproxy_rejected_total") == {}
    assert bench.circuit("openai").running == 0


async def test_a_target_without_a_free_place_that_nobody_stands_in_for_was_no_call():
    """The fallback is known to fail, so nobody was asked: the caller is told of the target's places."""
    bench = Bench()
    for _ in range(5):
        bench.circuit("openai").count(asyncio.get_running_loop().time(), failed=True)
    full = Places("anthropic")
    full.change(1, 0, 0.0)
    bench.backend.limits = Limits(places={"anthropic": full})
    async with full.place():
        with pytest.raises(ApiError) as caught:
            await bench.proxy.create_message(call())

    assert (caught.value.status, caught.value.retry_after) == (503, 1)
    assert caught.value.headers["x-ccproxy-attempts"] == "1"
    assert bench.metrics.totals().failed == 0
    assert samples(bench.metrics, "ccproxy_rejected_total") == {("http", "provider_in_flight"): 1}


async def test_a_fallback_that_fails_in_the_place_of_a_full_target_was_a_call():
    """It was asked, so it counts; what the caller chose has no free place, so that is what the caller hears."""
    bench = Bench(then=(refused(500, "api_error"),))
    full = Places("anthropic")
    full.change(1, 0, 0.0)
    bench.backend.limits = Limits(places={"anthropic": full})
    async with full.place():
        with pytest.raises(ApiError) as caught:
            await bench.proxy.create_message(call())

    assert (caught.value.status, caught.value.headers["x-ccproxy-attempts"]) == (503, "2")
    assert bench.metrics.totals().failed == 1
    assert samples(bench.metrics, "ccproxy_rejected_total") == {}


async def test_a_call_that_waits_in_vain_for_a_place_may_be_answered_by_its_hedge():
    """Then it is a call like any other, and nothing was refused."""
    bench = Bench(then=(answer(0.06, CHUNKS),), retry=HEDGING)
    full = Places("anthropic")
    full.change(1, 1, 0.04)
    bench.backend.limits = Limits(places={"anthropic": full})
    async with full.place():
        headers, _ = await collected(bench)

    assert headers["x-ccproxy-provider"] == "openai"
    assert (bench.metrics.totals().success, bench.metrics.totals().failed) == (1, 0)
    assert samples(bench.metrics, "ccproxy_rejected_total") == {}
