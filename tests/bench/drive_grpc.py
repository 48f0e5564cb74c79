"""gRPC: the answers of CCProxy, and the same calls to it and to a bare server that echoes those answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import bodies
import grpc
from ccproxy_pb.v1 import json_codec
from ccproxy_pb.v1.proxy_pb2 import CreateMessageRequest
from processes import KEY, BrokenError

Rpc = Literal["CreateMessage", "StreamMessage"]

RPCS: tuple[Rpc, ...] = ("CreateMessage", "StreamMessage")
CALLERS = 32
CALL_SECONDS = 60

METADATA = (("x-api-key", KEY),)

REQUEST = json_codec.decode(
    CreateMessageRequest,
    bodies.request("small", bodies.ANTHROPIC_MODEL)
    .replace(b'"stream":false,', b"")
    .replace(b',"stream":false', b""),
).SerializeToString()

Call = Callable[[], Awaitable[list[bytes]]]


def path(rpc: Rpc) -> str:
    """The full name of a method, as it travels."""
    return f"/ccproxy.v1.Proxy/{rpc}"


async def answers(port: int) -> dict[str, list[bytes]]:
    """What the server at a port answers to each call, by the method's full name."""
    async with _channel(port) as channel:
        return {path(rpc): await _call(channel, rpc)() for rpc in RPCS}


async def load(port: int, rpc: Rpc, count: int, expected: list[bytes]) -> None:
    """Makes `count` calls, `CALLERS` at a time; each must be answered with messages of the expected sizes."""
    sizes = [len(message) for message in expected]
    left = iter(range(count))

    async def caller(call: Call) -> None:
        for _ in left:
            got = [len(message) for message in await call()]
            if got != sizes:
                raise BrokenError(f"{rpc}: {len(sizes)} messages of {sum(sizes)} bytes expected, not {len(got)}")

    async with _channel(port) as channel, asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(caller(_call(channel, rpc)))


def _channel(port: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}")


def _call(channel: grpc.aio.Channel, rpc: Rpc) -> Call:
    if rpc == "CreateMessage":
        unary = channel.unary_unary(path(rpc))

        async def create() -> list[bytes]:
            return [await unary(REQUEST, metadata=METADATA, timeout=CALL_SECONDS)]

        return create
    streaming = channel.unary_stream(path(rpc))

    async def stream() -> list[bytes]:
        return [message async for message in streaming(REQUEST, metadata=METADATA, timeout=CALL_SECONDS)]

    return stream
