"""Floods and nonsense on the gRPC port: memory stays where it was, others are served, and nothing is logged."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from abuse.h2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Peer,
    call,
    frame,
    literal,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from integration.process import Process, process

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

MOST_GROWTH_MIB = 30  # of resident memory; the allocator keeps some for later
ALIVE_SECONDS = 2.0  # on a busy machine; 50 ms on a quiet one
WATCH = call(b"/grpc.health.v1.Health/Watch")
STREAM = call(b"/ccproxy.v1.Proxy/StreamMessage")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """A process of its own, so that its memory can be told from ours."""
    with process(tmp_path_factory.mktemp("h2") / "home", {"demo": True}) as service:
        await asyncio.to_thread(service.until_ready)
        await alive(service)
        yield service


@asynccontextmanager
async def peer(service: Process) -> AsyncIterator[Peer]:
    """A connection that has greeted."""
    peer = await Peer.open(service.grpc_port)
    yield peer
    await peer.close()


async def alive(service: Process) -> float:
    """The seconds that a health check takes on a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    started = time.monotonic()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        response = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert response.status == health_pb2.HealthCheckResponse.SERVING
    return time.monotonic() - started


def resident(service: Process) -> float:
    """MiB in memory."""
    status = Path(f"/proc/{service.popen.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def lines(service: Process) -> list[str]:
    """What it has logged, but for its own health: on a slow machine a flood makes its loop late."""
    return [line for line in service.stderr.splitlines() if '"ccproxy.health"' not in line]


def streams(count: int) -> range:
    """So many ids of a client's streams."""
    return range(1, 2 * count, 2)


@asynccontextmanager
async def unharmed(service: Process, most: float = MOST_GROWTH_MIB) -> AsyncIterator[None]:
    """What happens inside costs little memory, no line in the log, and nobody else's service."""
    before, said = resident(service), lines(service)
    yield
    assert await alive(service) < ALIVE_SECONDS
    growth = resident(service) - before
    print(f"{growth:+.1f} MiB")  # noqa: T201  # a figure, for `pytest -rP`
    assert growth < most
    assert lines(service) == said


@pytest.mark.parametrize("path", [WATCH, STREAM], ids=["watch", "message"])
async def test_rapid_resets_cost_little(service: Process, path: bytes):
    """CVE-2023-44487: each is forgotten by the client before it is begun by the server."""
    async with unharmed(service), peer(service) as attacker:
        for start in range(0, 10_000, 500):
            await attacker.send(
                b"".join(
                    frame(HEADERS, END_HEADERS, 2 * number + 1, path)
                    + frame(RST_STREAM, 0, 2 * number + 1, b"\0\0\0\x08")
                    for number in range(start, start + 500)
                )
            )
        await alive(service)


async def test_one_connection_has_only_so_many_streams(service: Process):
    """The rest is refused; a connection that insists is ended."""
    async with unharmed(service), peer(service) as attacker:
        for number in streams(3000):
            await attacker.send(frame(HEADERS, END_HEADERS, number, STREAM))
        await asyncio.sleep(0.5)
        refused = [kind for kind, _, _ in attacker.frames if kind in {RST_STREAM, GOAWAY}]
        closed = await attacker.closed(0.1)

    assert refused or closed


@pytest.mark.parametrize(
    ("flood", "count"),
    [
        (frame(PING, 0, 0, b"12345678"), 20_000),
        (frame(SETTINGS), 20_000),
        (frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff"), 20_000),
        (frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), 20_000),
        (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"), 20_000),
        (frame(DATA, 0, 1), 20_000),
        (frame(0xFA, 0, 0, b"unknown"), 20_000),
        (frame(SETTINGS, ACK), 20_000),
    ],
    ids=["ping", "settings", "window", "priority", "update", "empty data", "unknown", "acks"],
)
async def test_a_flood_of_small_frames_costs_little(service: Process, flood: bytes, count: int):
    """Each asks for an answer or some bookkeeping (CVE-2019-9512, 9515, 9518)."""
    async with unharmed(service), peer(service) as attacker:
        for _ in range(count // 1000):
            await attacker.send(flood * 1000)
        await alive(service)


async def test_a_client_that_pings_without_end_is_told_to_calm_down(service: Process):
    """And its connection is ended."""
    async with unharmed(service), peer(service) as attacker:
        for _ in range(20):
            await attacker.send(frame(PING, 0, 0, b"12345678") * 1000)
        assert await attacker.closed(5)
        codes = attacker.goodbye

    assert codes <= {ENHANCE_YOUR_CALM}


async def test_headers_without_end_are_cut_off(service: Process):
    """CONTINUATION (CVE-2024-27316): two hundred MiB of them are not kept, whatever the allocator keeps."""
    async with unharmed(service, 200), peer(service) as attacker:
        await attacker.send(frame(HEADERS, 0, 1, WATCH))
        block = b"".join(literal(b"x-%d" % number, b"y" * 100) for number in range(100))
        for _ in range(20_000):
            await attacker.send(frame(CONTINUATION, 0, 1, block))
        await alive(service)


GREETING = PREFACE + frame(SETTINGS)

NONSENSE = {
    "noise": bytes(range(256)) * 4,
    "http/1.1": b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a tls hello": bytes.fromhex("16030100c8010000c40303") + b"\0" * 200,
    "half a preface": PREFACE[:10] + b"xx",
    "no settings": PREFACE + frame(PING, 0, 0, b"12345678"),
    "settings of a wrong size": PREFACE + frame(SETTINGS, 0, 0, b"12345"),
    "settings on a stream": PREFACE + frame(SETTINGS, 0, 1),
    "a frame beyond the limit": GREETING + frame(DATA, 0, 1, length=(1 << 24) - 1),
    "a window of no size": GREETING + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
    "a window beyond its limit": GREETING + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "data on no stream": GREETING + frame(DATA, 0, 0, b"hello"),
    "data on a stream not begun": GREETING + frame(DATA, END_STREAM, 99, b"hello"),
    "headers on an even stream": GREETING + frame(HEADERS, END_HEADERS, 2, WATCH),
    "headers on no stream": GREETING + frame(HEADERS, END_HEADERS, 0, WATCH),
    "falling numbers": GREETING + frame(HEADERS, END_HEADERS, 5, WATCH) + frame(HEADERS, END_HEADERS, 3, WATCH),
    "a continuation of nothing": GREETING + frame(CONTINUATION, END_HEADERS, 1, WATCH),
    "a ping between headers": GREETING + frame(HEADERS, 0, 1, WATCH) + frame(PING, 0, 0, b"12345678"),
    "a header block of noise": GREETING + frame(HEADERS, END_HEADERS, 1, b"\xff" * 500),
    "a header without a name": GREETING + frame(HEADERS, END_HEADERS, 1, literal(b"", b"x") + WATCH),
    "a header of bytes": GREETING + frame(HEADERS, END_HEADERS, 1, WATCH + literal(b"x", b"\0\r\n")),
    "no path": GREETING + frame(HEADERS, END_HEADERS, 1, literal(b":method", b"POST")),
    "another path": GREETING + frame(HEADERS, END_HEADERS, 1, call(b"no/path/at all")),
    "a promise": GREETING + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + WATCH),
    "a goodbye": GREETING + frame(GOAWAY, 0, 0, b"\0" * 8 + b"x" * 10_000),
    "a reset of nothing": GREETING + frame(RST_STREAM, 0, 7, b"\0\0\0\x08"),
    **{
        name: GREETING + frame(HEADERS, END_HEADERS, 1, STREAM) + frame(DATA, END_STREAM, 1, message)
        for name, message in {
            "a message beyond the limit": b"\0\xff\xff\xff\xffhello",
            "a compressed message that is none": b"\x01\0\0\0\x05hello",
            "half a message": b"\0\0\0\0\xffhello",
            "a message of noise": b"\0\0\0\0\x05\xff\xff\xff\xff\xff",
        }.items()
    },
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_harms_nobody_else(service: Process, name: str):
    """Whatever comes, the connection is all that it can cost."""
    async with unharmed(service):
        attacker = await Peer.open(service.grpc_port, NONSENSE[name])
        await attacker.closed(0.2)
        await attacker.close()
