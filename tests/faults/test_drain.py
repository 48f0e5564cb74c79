"""The end of a process with hundreds of running streams: each is told how it ended, and none holds the process."""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc
from integration.process import Process, process

STREAMS = int(os.environ.get("CCPROXY_DRAIN_STREAMS", "240"))  # half of them over each edge
GRACE = 4.0
SLACK = 2.0
LAST_WORDS = 1.0  # what a stream has to take its error in, once the end has come
BEGIN_SECONDS = 60.0  # hundreds of streams begin slowly on a busy machine
LONG = "[[tokens 5000]] [[pace 500]]"  # longer than any test, and calm
CHANNELS = 4


def document(text: str) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": "claude-x", "max_tokens": 5000, "messages": [{"role": "user", "content": text}]}


class Streams:
    """Streams over both edges, read in the background; `ends` tells how each ended."""

    def __init__(self, service: Process, text: str) -> None:
        self.begun = 0
        self.ends: Counter[str] = Counter()
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(base_url=service.url, timeout=BEGIN_SECONDS, limits=limits)
        self._channels = [
            grpc.aio.insecure_channel(
                f"127.0.0.1:{service.grpc_port}", options=(("grpc.use_local_subchannel_pool", 1),)
            )
            for _ in range(CHANNELS)
        ]
        self._body = msgspec.json.encode({**document(text), "stream": True})
        self._message = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document(text)))
        self._tasks = [
            asyncio.ensure_future(self._over_http() if number % 2 else self._over_grpc(number))
            for number in range(STREAMS)
        ]

    async def all_begun(self) -> None:
        """Waits until each has its first event."""
        async with asyncio.timeout(BEGIN_SECONDS):
            while self.begun < STREAMS:  # they tell nobody
                assert not self.ends
                await asyncio.sleep(0.05)

    async def all_ended(self) -> None:
        """Waits for the end of each, and lets go of the connections."""
        await asyncio.gather(*self._tasks)
        await self._http.aclose()
        for channel in self._channels:
            await channel.close()

    async def _over_http(self) -> None:
        last = b""
        try:
            headers = {"content-type": "application/json"}
            async with self._http.stream("POST", "/v1/messages", content=self._body, headers=headers) as response:
                async for part in response.aiter_bytes():
                    self.begun += not last
                    last = (last + part)[-2000:]
        except httpx.TransportError as error:
            self.ends[f"http: {type(error).__name__}"] += 1
            return
        event = last.rpartition(b"event: ")[2].partition(b"\n")[0].decode()
        self.ends[f"http: {event}{' overloaded' if b'overloaded_error' in last else ''}"] += 1

    async def _over_grpc(self, number: int) -> None:
        call = proxy_pb2_grpc.ProxyStub(self._channels[number % CHANNELS]).StreamMessage(self._message)
        first = True
        try:
            async for _ in call:
                self.begun += first
                first = False
        except grpc.aio.AioRpcError as error:
            explained = (
                "explained" if dict(error.trailing_metadata() or ()).get("grpc-status-details-bin") else "bare"
            )
            self.ends[f"grpc: {error.code().name} {explained}"] += 1
        else:
            self.ends["grpc: OK"] += 1


TOLD = {"http: error overloaded": STREAMS // 2, "grpc: UNAVAILABLE explained": STREAMS // 2}
"""One proper error for each: never a connection that just ends."""


async def ended(service: Process, since: float) -> tuple[int, float]:
    """The exit code, and the seconds since then."""
    code = await asyncio.to_thread(service.exit_code)
    return code, time.monotonic() - since


@pytest.mark.parametrize("signals", [1, 2])
async def test_every_stream_is_told_that_the_service_ends(tmp_path: Path, signals: int):
    """After the grace with one signal, at once with two; the exit code is 0 and comes in time."""
    grace = GRACE if signals == 1 else 60.0
    with process(tmp_path / "home", {"demo": True, "shutdown_timeout": grace, "log": False}) as service:
        await asyncio.to_thread(service.until_ready)
        streams = Streams(service, LONG)
        await streams.all_begun()
        asked = service.terminate()
        if signals == 2:
            await asyncio.sleep(0.3)
            asked = service.terminate()
        (code, seconds), _ = await asyncio.gather(ended(service, asked), streams.all_ended())
        stderr = service.stderr
    print(f"{STREAMS} streams, gone after {seconds:.2f} s of {grace:g} s: {dict(streams.ends)}")  # noqa: T201

    assert streams.ends == TOLD
    assert code == 0
    assert seconds <= (GRACE if signals == 1 else LAST_WORDS) + SLACK
    assert "Traceback" not in stderr


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3, 0.5, 0.8, 1.2])
async def test_a_signal_during_the_start_ends_it(tmp_path: Path, moment: float):
    """Whatever it was doing: no traceback, no port left taken, and no waiting for the grace."""
    with process(tmp_path / "home", {"demo": True}) as service:
        await asyncio.sleep(moment)
        asked = service.terminate()
        code, seconds = await ended(service, asked)

    assert code in {0, -15}  # before Python runs there is nobody to catch it
    assert seconds < 5
    assert "Traceback" not in service.stderr
