"""Callers who leave: the provider is told at once, whatever it is doing, and nothing of the call remains.

Whoever leaves need not pay for what nobody will read. The seconds are those of the requirement, a tenth; a busy
machine may take longer now and then, so nine of ten must keep to it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2
from faults.behaviours import BEHAVIOURS
from faults.bench import PROMPT, Bench, level, provider, serving, shorten
from faults.faultd import Faultd, Turn
from faults.wires import WIRES

from ccproxy.circuit import State

TIMES = 100
AT_ONCE = 0.1  # seconds
AT_WORST = 2.0

PHASES = {
    "before the answer, streaming": ("silent", True, False),
    "before the answer, whole": ("silent", False, False),
    "after the head, streaming": ("silent_after_head", True, False),
    "after the head, whole": ("silent_after_head", False, False),
    "in mid-stream": ("stall_mid_stream", True, True),
}
"""A behaviour; whether a stream is asked for; whether content has come when the caller leaves."""


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A service whose provider may be as slow as it likes."""
    shorten(monkeypatch)
    wire = WIRES["openai_chat"]
    async with (
        Faultd.serve(BEHAVIOURS) as faultd,
        serving([provider(wire, faultd.url(wire))], faultd) as bench,
    ):
        yield bench


def _document(fault: str) -> dict[str, object]:
    return {"model": f"openai_chat,{fault}", "max_tokens": 9, "messages": [{"role": "user", "content": PROMPT}]}


class _Caller:
    """One call that will be left. `there` is set once it is as far as it shall come."""

    def __init__(self, bench: Bench, fault: str, *, stream: bool, reads: bool) -> None:
        self._bench = bench
        self._fault = fault
        self._stream = stream
        self._reads = reads
        self.there = asyncio.Event()
        if not reads:
            bench.faultd.on_request = self._arrived

    def _arrived(self, _: Turn) -> None:
        self.there.set()

    async def over_http(self) -> None:
        body = {**_document(self._fault), "stream": self._stream}
        async with self._bench.http.post("/v1/messages", json=body) as response:
            async for _ in response.content.iter_any():
                self.there.set()

    async def over_grpc(self) -> None:
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(_document(self._fault)))
        if not self._stream:
            await self._bench.stub.CreateMessage(request)
            return
        async for _ in self._bench.stub.StreamMessage(request):
            self.there.set()


async def _left(bench: Bench, caller: _Caller, edge: str) -> float:
    """Lets a caller come, and go. Seconds until its provider was told."""
    closed = len(bench.faultd.closed_at)
    task = asyncio.ensure_future(caller.over_http() if edge == "http" else caller.over_grpc())
    await asyncio.wait_for(caller.there.wait(), 10)
    left_at = asyncio.get_running_loop().time()
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(AT_WORST):
        await _until(lambda: len(bench.faultd.closed_at) > closed)
    return bench.faultd.closed_at[-1] - left_at


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  # what is watched tells nobody
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("edge", ["http", "grpc"])
@pytest.mark.parametrize("phase", PHASES)
async def test_a_caller_who_leaves_takes_the_provider_along(bench: Bench, phase: str, edge: str):
    """In every phase, on both edges, a hundred times: nothing is left behind, and nobody is blamed."""
    fault, stream, reads = PHASES[phase]
    before = level()
    took = [await _left(bench, _Caller(bench, fault, stream=stream, reads=reads), edge) for _ in range(TIMES)]

    assert sorted(took)[TIMES * 9 // 10] <= AT_ONCE
    proxy, circuit = bench.service.proxy, bench.circuit("openai_chat")
    async with asyncio.timeout(AT_WORST):
        await _until(lambda: proxy.running == 0 and bench.faultd.open == 0 and level().tasks <= before.tasks)
    assert bench.pooled() == (0, 0)
    assert (circuit.state, circuit.running, circuit._in_a_row) == (State.CLOSED, 0, 0)
    assert len(bench.faultd.seen) == TIMES
    counted = bench.metrics(
        "ccproxy_requests_total", "ccproxy_stream_aborts_total", "ccproxy_request_errors_total"
    )
    if reads:
        assert counted == {
            ("ccproxy_requests_total", edge, "success", "openai_chat", "provider,model", "true"): TIMES,
            ("ccproxy_stream_aborts_total", edge, "client"): TIMES,
        }
    else:
        assert counted == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_callers_deadline_ends_the_call_at_the_provider(bench: Bench, stream: bool):  # noqa: FBT001
    """gRPC callers say how long they wait. It says nothing about the provider."""
    request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(_document("silent")))
    method = bench.stub.StreamMessage if stream else bench.stub.CreateMessage
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        call = method(request, timeout=0.3)
        _ = [event async for event in call] if stream else await call

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert loop.time() - started < AT_WORST
    async with asyncio.timeout(AT_WORST):
        await _until(lambda: bench.service.proxy.running == 0 and bench.faultd.open == 0)
    assert bench.circuit("openai_chat")._in_a_row == 0


async def test_a_channel_that_is_closed_ends_every_call_on_it(bench: Bench):
    """A client that crashes cancels nothing by itself."""
    request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(_document("stall_mid_stream")))
    calls = [bench.stub.StreamMessage(request) for _ in range(10)]
    for call in calls:
        await call.read()
    assert bench.service.proxy.running == 10
    await bench.channel.close()

    async with asyncio.timeout(AT_WORST):
        await _until(lambda: bench.service.proxy.running == 0 and bench.faultd.open == 0)
    assert bench.circuit("openai_chat")._in_a_row == 0
    assert bench.metrics("ccproxy_stream_aborts_total", "ccproxy_request_errors_total") == {
        ("ccproxy_stream_aborts_total", "grpc", "client"): 10
    }
