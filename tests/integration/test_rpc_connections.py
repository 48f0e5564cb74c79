"""How long gRPC connections live: their age, idleness, peers that are gone. With seconds in the place of minutes.

grpc takes option names that it does not know, and values of the wrong type, without a word: only effects count.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import msgspec
import pytest
from abuse.h2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    SETTINGS,
    Peer,
    call,
    frame,
)
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc
from integration.process import free_ports

from ccproxy import rpc
from ccproxy.app import Service, running
from ccproxy.config import Config
from ccproxy.rpc import health_port

LONG_MS = 3_600_000
LIVES = {
    "grpc.keepalive_time_ms": LONG_MS,
    "grpc.keepalive_timeout_ms": LONG_MS,
    "grpc.http2.ping_timeout_ms": LONG_MS,
    "grpc.max_connection_idle_ms": LONG_MS,
    "grpc.max_connection_age_ms": LONG_MS,
}
"""Nothing ends by itself, but for what a test is about."""

PATIENCE_SECONDS = 10.0

Shorten = Callable[..., None]


@pytest.fixture
def shorten(monkeypatch: pytest.MonkeyPatch) -> Shorten:
    """Gives some of the servers' options other values; they must be set already."""

    def change(**short: int) -> None:
        wanted = LIVES | {f"grpc.{name.replace('__', '.')}": value for name, value in short.items()}
        for module in (rpc, health_port):
            here = dict(module.OPTIONS)
            missing = wanted.keys() - here.keys() - {"grpc.max_connection_age_ms"}
            assert missing == set()
            monkeypatch.setattr(module, "OPTIONS", tuple({**here, **wanted}.items()))
        assert "grpc.max_connection_age_ms" in dict(rpc.OPTIONS)

    return change


@asynccontextmanager
async def serving(**more: int) -> AsyncIterator[Service]:
    """A service in this process."""
    async with running(Config(port=0, grpc_port=0, demo=True, **more), {}) as service:
        yield service


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[Peer]:
    """A connection over which frames are sent by hand; it answers none, not even pings."""
    made = await Peer.open(port)
    await made.send(frame(SETTINGS, ACK))
    try:
        yield made
    finally:
        await made.close()


def asked(text: str) -> proxy_pb2.CreateMessageRequest:
    """A request with one user turn."""
    document = {"model": "claude-x", "max_tokens": 5000, "messages": [{"role": "user", "content": text}]}
    return json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))


def begun(text: str) -> bytes:
    """The frames of a streaming call."""
    message = asked(text).SerializeToString()
    head = frame(HEADERS, END_HEADERS, 1, call(b"/ccproxy.v1.Proxy/StreamMessage"))
    return head + frame(DATA, END_STREAM, 1, b"\0" + len(message).to_bytes(4, "big") + message)


async def until(holds: Callable[[], bool]) -> float:
    """Waits until something holds; how long that took."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def kinds(peer: Peer) -> set[int]:
    """The kinds of frames that came."""
    return {kind for kind, _, _ in peer.frames}


async def test_an_old_connection_is_ended_in_peace(shorten: Shorten):
    """So that clients spread over new replicas; the stream on it goes on to its end, however long that takes."""
    shorten(max_connection_age_ms=1000)
    async with serving() as service, peer(service.grpc_port) as client:
        await client.send(begun("[[tokens 30]] [[pace 100]]"))
        seconds = await until(lambda: GOAWAY in kinds(client))
        at_goodbye = service.proxy.running
        await until(lambda: service.proxy.running == 0)
        await until(
            lambda: any(b"grpc-status" in payload for kind, _, payload in client.frames if kind == HEADERS)
        )

        assert 0.8 < seconds < 2.5  # grpc varies it by a tenth, so that not all come back at once
        assert at_goodbye == 1
        assert client.goodbye == {0}
        assert service.metrics.totals().success == 1


async def test_no_call_is_lost_to_old_age(shorten: Shorten):
    """A client whose connection ends several times while it calls all the time notices nothing."""
    shorten(max_connection_age_ms=500)
    async with serving() as service, grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        stub = proxy_pb2_grpc.ProxyStub(channel)
        streams = [stub.StreamMessage(asked("[[tokens 25]] [[pace 100]]")) for _ in range(3)]

        async def last(stream: grpc.aio.UnaryStreamCall) -> str:
            kind = ""
            async for event in stream:
                kind = event.WhichOneof("event")
            return kind

        reading = asyncio.gather(*map(last, streams))
        calls = 0
        while not reading.done():
            await stub.CreateMessage(asked("hello"), timeout=5)
            calls += 1

        assert await reading == ["message_stop"] * 3
        assert calls > 20


async def test_an_idle_connection_is_ended(shorten: Shorten):
    """Clients that forget theirs would fill the limit; one with a call on it is not idle."""
    shorten(max_connection_idle_ms=1000)
    async with serving() as service, peer(service.grpc_port) as idle, peer(service.grpc_port) as busy:
        await busy.send(begun("[[tokens 30]] [[pace 100]]"))
        seconds = await until(lambda: GOAWAY in kinds(idle))

        assert 0.8 < seconds < 2.5
        assert await idle.closed(PATIENCE_SECONDS)
        assert GOAWAY not in kinds(busy)
        assert service.proxy.running == 1


@pytest.mark.parametrize("sent", [b"", begun("[[wait 60000]]")], ids=["without a call", "with a silent call"])
async def test_a_peer_that_answers_no_ping_is_given_up(shorten: Shorten, sent: bytes):
    """It may be gone: the kernel alone would find that out in two hours, and a provider is paid meanwhile."""
    shorten(keepalive_time_ms=1000, http2__ping_timeout_ms=1000)
    async with serving() as service, peer(service.grpc_port) as client:
        await client.send(sent)
        await until(lambda: service.proxy.running == bool(sent))
        seconds = await until(lambda: PING in kinds(client))

        assert seconds < 2.5
        assert await client.closed(PATIENCE_SECONDS)
        await until(lambda: service.proxy.running == 0)


async def test_the_port_for_probes_gives_peers_up_as_well(shorten: Shorten):
    """Whoever watches health there, and is gone, would hold a connection for ever."""
    shorten(keepalive_time_ms=1000, http2__ping_timeout_ms=1000)
    (port,) = free_ports(1)
    async with serving(health_port=port), peer(port) as client:
        assert await client.closed(PATIENCE_SECONDS)


@pytest.mark.parametrize(("interval_ms", "calm"), [(50, False), (10_000, True)])
async def test_a_client_may_ping_a_quiet_connection(shorten: Shorten, interval_ms: int, calm: bool):  # noqa: FBT001
    """Every ten seconds by our setting, as clients behind a NAT do; grpc's own is five minutes. Not more often."""
    shorten(http2__min_ping_interval_without_data_ms=interval_ms)
    async with serving() as service, peer(service.grpc_port) as client:
        for number in range(10):
            await client.send(frame(PING, 0, 0, b"ping %03d" % number))
            await asyncio.sleep(0.2)

        assert await client.closed(0.1) is calm
        assert client.goodbye == ({ENHANCE_YOUR_CALM} if calm else set())


async def test_a_channel_outlives_what_ends_its_connections(shorten: Shorten):
    """Idle for long or not: the next call just connects again."""
    shorten(max_connection_idle_ms=300, max_connection_age_ms=700)
    async with serving() as service, grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        stub = status_pb2_grpc.StatusStub(channel)
        for _ in range(4):
            await stub.GetInfo(status_pb2.GetInfoRequest(), timeout=5)
            await asyncio.sleep(0.6)
