"""Callers who never stop: each way to the service is asked for streams and whole answers; what comes is noted."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import grpc
import httpx
import msgspec
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc

KEY = "sk-the-operators-key"
HEADERS = {"x-api-key": KEY}
STREAM = "[[tokens 25]] [[pace 100]]"  # 2.5 seconds
CALL = "[[tokens 2]] [[pace 50]]"
STREAMS, CALLS = 3, 2  # at the same time, over each way
TIMEOUT_SECONDS = 20.0
REST_SECONDS = 0.05  # between two whole answers

WHOLE_STREAM, WHOLE_ANSWER = "a stream to its message_stop", "a whole answer"
"""How a call ends where nothing was lost."""


def document(text: str, **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": "claude-x", "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}


class Way(Protocol):
    """A way to the service. Both tell how the call ended."""

    async def stream(self, seen: Callable[[], None]) -> str: ...

    async def call(self) -> str: ...

    async def close(self) -> None: ...


class OverHttp:
    """A pool of connections that are kept, as every SDK has one; nothing is tried again."""

    def __init__(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        self._client = httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=TIMEOUT_SECONDS, trust_env=False)

    async def stream(self, seen: Callable[[], None]) -> str:
        last = b""
        request = document(STREAM, stream=True)
        async with self._client.stream("POST", "/v1/messages", json=request) as response:
            async for part in response.aiter_bytes():
                seen()
                last = (last + part)[-1000:]
        event = last.rpartition(b"event: ")[2].partition(b"\n")[0].decode()
        ended = response.status_code == httpx.codes.OK and event == "message_stop"
        return WHOLE_STREAM if ended else f"stream: {response.status_code} {_said(last)}"

    async def call(self) -> str:
        response = await self._client.post("/v1/messages", json=document(CALL))
        whole = response.status_code == httpx.codes.OK and response.json()["stop_reason"]
        return WHOLE_ANSWER if whole else f"call: {response.status_code} {_said(response.content)}"

    async def close(self) -> None:
        await self._client.aclose()


class OverGrpc:
    """One channel to one or more addresses; what grpc tries again by itself is all that is."""

    def __init__(self, ports: Sequence[int], service_config: Any = None) -> None:
        target = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        options: list[tuple[str, Any]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        if service_config is not None:
            options.append(("grpc.service_config", msgspec.json.encode(service_config).decode()))
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self._stub = proxy_pb2_grpc.ProxyStub(self._channel)
        self._stream, self._call = (
            json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document(text)))
            for text in (STREAM, CALL)
        )

    async def stream(self, seen: Callable[[], None]) -> str:
        last = ""
        metadata = tuple(HEADERS.items())
        async for event in self._stub.StreamMessage(self._stream, metadata=metadata, timeout=TIMEOUT_SECONDS):
            seen()
            last = event.WhichOneof("event")
        return WHOLE_STREAM if last == "message_stop" else f"stream: {last}"

    async def call(self) -> str:
        metadata = tuple(HEADERS.items())
        message = await self._stub.CreateMessage(self._call, metadata=metadata, timeout=TIMEOUT_SECONDS)
        return WHOLE_ANSWER if message.stop_reason else f"call: {message}"

    async def close(self) -> None:
        await self._channel.close()


def _said(body: bytes) -> str:
    """What a failure says, without what differs each time."""
    return re.sub(r"req_\w+", "req_", body.decode())


class Load:
    """What goes over one way until it is told to stop.

    Attributes:
        ends: How many calls ended how.
        longest_pause: In seconds: between two parts of a stream, or until a whole answer.
    """

    def __init__(self, way: Way) -> None:
        self.ends: Counter[str] = Counter()
        self.longest_pause = 0.0
        self._way = way
        self._stopping = False

    def stop(self) -> None:
        """Lets what runs end, and begins nothing more."""
        self._stopping = True

    async def run(self) -> None:
        """Asks until it is stopped."""
        async with asyncio.TaskGroup() as group:
            for _ in range(STREAMS):
                group.create_task(self._repeat(self._one_stream))
            for _ in range(CALLS):
                group.create_task(self._repeat(self._one_call))
        await self._way.close()

    async def _repeat(self, ask: Callable[[], Awaitable[str]]) -> None:
        while not self._stopping:
            try:
                end = await ask()
            except grpc.aio.AioRpcError as error:
                end = f"{ask.__name__}: {error.code().name} {error.details()}"
            except httpx.HTTPError as error:
                end = f"{ask.__name__}: {error!r}"
            self.ends[end] += 1
            await asyncio.sleep(REST_SECONDS)

    async def _one_stream(self) -> str:
        last = time.monotonic()

        def seen() -> None:
            nonlocal last
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - last)
            last = now

        return await self._way.stream(seen)

    async def _one_call(self) -> str:
        began = time.monotonic()
        end = await self._way.call()
        self.longest_pause = max(self.longest_pause, time.monotonic() - began)
        return end
