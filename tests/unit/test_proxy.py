"""The core of the Proxy service, over a scripted transport: the gate, silence, deadlines, interruption, counts."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from unit import chat
from unit.fakes import ScriptedResponse, ScriptedTransport, Step, answer

from ccproxy import message_stream as module
from ccproxy.backend import Backend
from ccproxy.call import Call
from ccproxy.config import Config, ProviderConfig, RetryConfig, RouteConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.messages import PING
from ccproxy.metrics import Metrics
from ccproxy.providers import openrouter
from ccproxy.providers.anthropic import Anthropic
from ccproxy.proxy import Proxy, shutting_down
from ccproxy.routing import Router
from ccproxy.serving import Phase, Serving
from ccproxy.sse import KEEP_ALIVE
from ccproxy.upstream import Upstream

START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7}}}\n\n'
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n'
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'
END = (
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
ERROR = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
WHOLE = b'{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":4}}'
BROKEN = ApiError(Reason.UPSTREAM_UNREACHABLE, "the connection broke")


class Bench:
    """A Proxy over one scripted Anthropic upstream."""

    def __init__(self, *responses: ScriptedResponse | ApiError) -> None:
        config = Config(
            providers=[ProviderConfig("anthropic", models=["claude-named"])],
            routes={"default": RouteConfig("anthropic", "claude-real")},
        )
        self.transport = ScriptedTransport(*responses)
        self.metrics = Metrics()
        self.serving = Serving()
        self.serving.move(Phase.SERVING, "serving")
        upstream = Upstream(Anthropic("anthropic", "http://127.0.0.1:1", "k"), self.transport)
        self.router = Router(config)
        backend = Backend(self.router, {"anthropic": upstream}, retry=RetryConfig(attempts=1))
        self.proxy = Proxy(backend, self.metrics, self.serving)

    @property
    def counted(self) -> tuple[int, int]:
        totals = self.metrics.totals()
        return totals.success, totals.failed


def call(**more) -> Call:
    """A call."""
    body = {"model": "claude", "max_tokens": 5, "messages": []}
    return Call(edge="http", request_id="req_1", body=msgspec.json.encode(body), **more)


async def collected(bench: Bench, **more) -> list[bytes]:
    """All frames of one streamed answer."""
    async with bench.proxy.stream_message(call(**more)) as stream:
        return [frames async for frames in stream]


def streaming(*steps: Step) -> Bench:
    """A Proxy whose upstream streams these steps."""
    return Bench(answer(*steps))


async def test_a_whole_answer_names_its_provider_and_model():
    """The caller asked for one model and may have got another."""
    bench = Bench(answer(WHOLE, request_id="up"))
    reply = await bench.proxy.create_message(call())

    assert reply.body == WHOLE
    assert reply.headers["x-ccproxy-provider"] == "anthropic"
    assert reply.headers["x-ccproxy-model"] == "claude-real"
    assert reply.headers["x-ccproxy-upstream-request-id"] == "up"
    assert bench.counted == (1, 0)
    assert bench.transport.open == 0


async def test_what_an_answer_tells_besides_reaches_the_caller():
    """OpenRouter's price stands in the answer, where an Anthropic message has no place for it."""
    bench = Bench(answer(chat.completion(content="hi").replace(b'"usage":{', b'"usage":{"cost":0.5,')))
    upstream = Upstream(openrouter.provider("anthropic", "http://127.0.0.1:1/v1", "k"), bench.transport)
    it = Proxy(Backend(bench.router, {"anthropic": upstream}), bench.metrics, bench.serving)
    body = {"model": "claude", "max_tokens": 5, "messages": [chat.USER]}

    reply = await it.create_message(Call(edge="http", request_id="req_1", body=msgspec.json.encode(body)))

    assert (reply.headers["x-ccproxy-cost"], reply.headers["x-ccproxy-model"]) == ("0.5", "claude-real")


async def test_an_answer_that_cannot_be_used_is_the_providers_failure():
    """Never the caller's, and never a 500 of ours."""
    bench = Bench(answer(b"<html>"))
    with pytest.raises(ApiError) as caught:
        await bench.proxy.create_message(call())

    assert caught.value.reason is Reason.UPSTREAM_INVALID_RESPONSE
    assert caught.value.provider == "anthropic"
    assert bench.counted == (0, 1)


async def test_frames_reach_the_caller_as_they_come():
    """The gate holds only what comes before content."""
    bench = streaming(START, BLOCK, DELTA, DELTA, END)

    assert await collected(bench) == [START + BLOCK, DELTA, DELTA, END]
    assert bench.counted == (1, 0)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((START, ERROR), Reason.OVERLOADED),
        ((START, BROKEN), Reason.UPSTREAM_UNREACHABLE),
        ((START,), Reason.UPSTREAM_INVALID_RESPONSE),
        ((b"data: nonsense\n\n",), Reason.UPSTREAM_INVALID_RESPONSE),
        ((), Reason.UPSTREAM_INVALID_RESPONSE),
    ],
)
async def test_a_failure_before_content_is_raised_on_entry(steps: tuple[Step, ...], reason: Reason):
    """There a real status can still be sent (decision D9)."""
    bench = streaming(*steps)
    with pytest.raises(ApiError) as caught:
        async with bench.proxy.stream_message(call()):
            pytest.fail("the answer must not begin")

    assert caught.value.reason is reason
    assert bench.counted == (0, 1)
    assert bench.transport.open == 0


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (DELTA + ERROR, Reason.OVERLOADED),
        (BROKEN, Reason.UPSTREAM_UNREACHABLE),
        (b"", Reason.UPSTREAM_INVALID_RESPONSE),
    ],
)
async def test_a_failure_after_content_comes_behind_the_frames_before_it(last: Step, reason: Reason):
    """What the provider said before it failed is the caller's."""
    bench = streaming(START, BLOCK, DELTA, last)
    seen = []
    with pytest.raises(ApiError) as caught:
        async with bench.proxy.stream_message(call()) as stream:
            while True:
                seen.append(await anext(stream))

    assert b"".join(seen).count(DELTA) == (2 if last == DELTA + ERROR else 1)
    assert caught.value.reason is reason
    assert bench.counted == (0, 1)


async def test_content_and_failure_in_one_read_still_begin_the_answer():
    """Where the network cuts the bytes must not decide what the caller sees."""
    bench = streaming(START + BLOCK + ERROR)
    with pytest.raises(ApiError):
        async with bench.proxy.stream_message(call()) as stream:
            assert await anext(stream) == START + BLOCK
            await anext(stream)


async def test_a_refusal_is_raised_with_the_providers_status():
    """A 429 is a 429."""
    bench = Bench(answer(b'{"error":{"type":"rate_limit_error","message":"slow"}}', status=429, retry_after="3"))
    with pytest.raises(ApiError) as caught:
        await collected(bench)

    assert (caught.value.status, caught.value.retry_after) == (429, 3)


async def test_a_silent_start_is_committed_with_a_comment(monkeypatch: pytest.MonkeyPatch):
    """The connection must stay open while a model thinks; a ping may not come before message_start."""
    monkeypatch.setattr(module, "GATE_SECONDS", 0.01)
    monkeypatch.setattr(module, "PING_SECONDS", 0.02)
    bench = streaming(0.05, START, BLOCK + END)

    frames = await collected(bench)

    assert frames[0] == KEEP_ALIVE
    assert PING not in frames[: frames.index(START)]
    assert [f for f in frames if f != KEEP_ALIVE] == [START, BLOCK + END]


async def test_what_came_before_the_gate_ended_goes_out_with_it(monkeypatch: pytest.MonkeyPatch):
    """message_start keeps the connection open as well as a comment does."""
    monkeypatch.setattr(module, "GATE_SECONDS", 0.01)
    bench = streaming(START, 0.05, BLOCK + END)

    assert await collected(bench) == [START, BLOCK + END]


async def test_silence_in_mid_stream_is_filled_with_pings(monkeypatch: pytest.MonkeyPatch):
    """Claude Code gives a stream up after 300 silent seconds."""
    monkeypatch.setattr(module, "PING_SECONDS", 0.01)
    bench = streaming(START, BLOCK, 0.035, END)

    frames = await collected(bench)

    assert frames[0] == START + BLOCK
    assert frames[-1] == END
    assert set(frames[1:-1]) == {PING}


async def test_the_deadline_ends_a_stream_as_a_timeout():
    """The caller said how long it can wait."""
    bench = streaming(START, BLOCK, 5.0, END)
    with pytest.raises(ApiError) as caught:
        await collected(bench, deadline=asyncio.get_running_loop().time() + 0.03)

    assert caught.value.reason is Reason.TIMEOUT
    assert bench.transport.open == 0


async def test_the_deadline_ends_a_whole_answer_as_a_timeout():
    """The same for a caller that does not stream."""
    bench = Bench(answer(5.0, WHOLE))
    with pytest.raises(ApiError) as caught:
        await bench.proxy.create_message(call(deadline=asyncio.get_running_loop().time() + 0.03))

    assert caught.value.reason is Reason.TIMEOUT
    assert bench.counted == (0, 1)


async def test_an_interruption_ends_every_running_call_with_its_error():
    """At the end of a drain each caller hears why, and that another try is worth it."""
    bench = Bench(answer(START, BLOCK, 5.0), answer(5.0))
    streamed = asyncio.ensure_future(collected(bench))
    await asyncio.sleep(0.01)
    whole = asyncio.ensure_future(bench.proxy.create_message(call()))
    await asyncio.sleep(0.01)
    assert bench.proxy.running == 2

    bench.proxy.interrupt(shutting_down("shutting down"))

    for running in (streamed, whole):
        with pytest.raises(ApiError) as caught:
            await running
        assert caught.value.reason is Reason.SHUTTING_DOWN
        assert caught.value.should_retry
    assert bench.proxy.running == 0
    assert bench.counted == (0, 2)


async def test_an_interruption_reaches_a_call_that_is_busy_writing():
    """It is heard at the next wait."""
    bench = streaming(START, BLOCK, DELTA, END)
    with pytest.raises(ApiError) as caught:
        async with bench.proxy.stream_message(call()) as stream:
            await anext(stream)
            bench.proxy.interrupt(shutting_down("shutting down"))
            await anext(stream)

    assert caught.value.reason is Reason.SHUTTING_DOWN


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING])
async def test_no_call_is_taken_before_the_start_or_after_the_end(phase: Phase):
    """On a connection that is kept alive a client may still ask."""
    bench = Bench(answer(WHOLE))
    bench.serving.phase = phase

    for refused in (
        bench.proxy.create_message(call()),
        bench.proxy.count_tokens(call()),
        bench.proxy.list_models(None, None, None),
        bench.proxy.get_model("x"),
    ):
        with pytest.raises(ApiError) as caught:
            await refused
        assert (caught.value.reason, caught.value.retry_after) == (Reason.SHUTTING_DOWN, 1)
    assert bench.transport.requests == []


async def test_calls_are_still_taken_while_draining():
    """Until the load balancers have heard, refusing would be an outage."""
    bench = Bench(answer(WHOLE))
    bench.serving.move(Phase.DRAINING, "shutting down")

    assert (await bench.proxy.create_message(call())).body == WHOLE


async def test_a_client_that_leaves_in_mid_stream_is_a_success_and_an_abort():
    """It had its answer as far as it wanted; the upstream is closed at once."""
    bench = streaming(START, BLOCK, 5.0)
    task = asyncio.ensure_future(collected(bench))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.transport.open == 0
    assert bench.counted == (1, 0)
    assert b'ccproxy_stream_aborts_total{interface="http",side="client"} 1.0' in bench.metrics.exposition(None)[0]


async def test_a_broken_write_is_a_client_that_left():
    """An edge learns of it only when it writes."""
    bench = streaming(START, BLOCK, DELTA, END)
    with pytest.raises(ConnectionResetError):
        async with bench.proxy.stream_message(call()) as stream:
            await anext(stream)
            raise ConnectionResetError

    assert bench.counted == (1, 0)


async def test_a_client_that_leaves_before_the_answer_is_not_counted():
    """Nobody was answered."""
    bench = streaming(5.0)
    task = asyncio.ensure_future(collected(bench))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.counted == (0, 0)
    assert bench.transport.open == 0


async def test_a_mistake_of_ours_counts_as_a_failure():
    """It must not vanish from the totals."""
    bench = streaming(START, BLOCK)
    with pytest.raises(ZeroDivisionError):
        async with bench.proxy.stream_message(call()):
            raise ZeroDivisionError

    assert bench.counted == (0, 1)


async def test_the_providers_own_count_is_used():
    """Exact beats estimated."""
    bench = Bench(answer(b'{"input_tokens":42}', anthropic_ratelimit_requests_limit="5"))
    reply = await bench.proxy.count_tokens(call())

    assert reply.body == b'{"input_tokens":42}'
    assert reply.headers["anthropic-ratelimit-requests-limit"] == "5"
    assert bench.counted == (0, 0)  # only /v1/messages counts as a request


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (answer(b"[]"), Reason.UPSTREAM_INVALID_RESPONSE),
        (answer(b"", status=404), Reason.NOT_FOUND),
    ],
)
async def test_a_failed_count_is_an_error_not_a_guess(response: ScriptedResponse, reason: Reason):
    """A guess in its place would be taken for the truth."""
    with pytest.raises(ApiError) as caught:
        await Bench(response).proxy.count_tokens(call())

    assert caught.value.reason is reason


async def test_a_provider_that_lists_nothing_is_shown_by_its_configuration():
    """The operator named the models; an outage must not hide them."""
    bench = Bench(BROKEN)
    reply = await bench.proxy.list_models(None, None, None)

    assert [m["id"] for m in msgspec.json.decode(reply.body)["data"]] == ["claude-named"]


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """Whoever leaves, nothing keeps running behind."""
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
