"""Crowds: connections that do nothing, are too slow, or read nothing; twice as many calls as there is room for.

    PYTHONPATH=tests python -m soak.crowd [--scale 0.01]

A service as a process for each. It ends within a minute or two, and with 1 where a bound is exceeded. Linux alone.
Times belong to the machine, and the crowd itself is on it.
"""

import asyncio
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import click
import msgspec
from faults.faultd import Faultd
from faults.wires import WIRES
from integration.process import Process, process
from soak.judged import Row, table
from soak.service import PROVIDER

IDLE, SLOW, UNREAD = 7_500, 5_000, 1_000
SLOW_SECONDS = 3.0  # for headers, and for a body
UNREAD_SECONDS = 3.0
PROBES = 100
ROOM, CALL_SECONDS, OVERLOAD_SECONDS = 20, 0.4, 10.0
CONNECTING = 200  # at once
HELLO = {"role": "user", "content": "Hello"}
HEAD = b"%b HTTP/1.1\r\nhost: localhost\r\n"
IDLE_BYTES, UNREAD_BYTES = 10 << 10, 512 << 10  # the most for each, of resident memory
JUDGED_FROM = 500
OPEN_PROBE_SECONDS, CLOSED_SECONDS = 1.0, 2.0


class Crowd(asyncio.Protocol):
    """One of the crowd: it counts what comes, and whether the other side has closed."""

    def __init__(self) -> None:
        self.received = 0
        self.closed_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.closed_at = time.monotonic()


async def gathered(service: Process, count: int, says: bytes) -> list[Crowd]:
    """So many connections, each of which has sent this."""
    loop = asyncio.get_running_loop()
    crowd: list[Crowd] = []
    while len(crowd) < count:
        size = min(CONNECTING, count - len(crowd))
        opened = (loop.create_connection(Crowd, "127.0.0.1", service.http_port) for _ in range(size))
        crowd += [each for _, each in await asyncio.gather(*opened)]
        for each in crowd[-size:]:
            each.transport.write(says)
    return crowd


async def probed(service: Process, count: int = PROBES) -> list[float]:
    """How many milliseconds each of some questions for `/health` takes."""
    took = []
    async with aiohttp.ClientSession() as http:
        for _ in range(count):
            started = time.monotonic()
            async with http.get(service.url + "/health") as response:
                await response.read()
                assert response.status == 200
            took.append((time.monotonic() - started) * 1000)
            await asyncio.sleep(0.01)
    return took


def resident(service: Process) -> int:
    """Bytes in memory."""
    status = Path(f"/proc/{service.popen.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def files(service: Process) -> int:
    """How many are open."""
    return len(os.listdir(f"/proc/{service.popen.pid}/fd"))  # noqa: PTH208  # as /proc is, at once


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """The seconds until something is so, or this long."""
    started = time.monotonic()
    while not condition() and time.monotonic() < started + seconds:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.05)
    return time.monotonic() - started


def most_bytes(count: int, most: int) -> int | None:
    """The bound for each of a crowd, where it is large enough that what it brings with it once does not matter."""
    return most if count >= JUDGED_FROM else None


def times(what: str, took: list[float]) -> list[Row]:
    """Rows for milliseconds."""
    return [
        Row(f"{what}: /health, median", round(statistics.median(took), 1), unit="ms"),
        Row(f"{what}: /health, slowest", round(max(took), 1), OPEN_PROBE_SECONDS * 1000, unit="ms"),
    ]


@asynccontextmanager
async def serving(home: Path, **config: Any) -> AsyncIterator[Process]:
    """A ready service with the demo."""
    with process(home, {"demo": True, **config}) as service:
        await asyncio.to_thread(service.until_ready)
        await probed(service, 5)
        yield service


async def idle(home: Path, count: int) -> list[Row]:
    """Connections that asked once, and stay."""
    async with serving(home, connections={"max_total": 20_000, "idle_timeout": "10m"}) as service:
        before, open_before = resident(service), files(service)
        crowd = await gathered(service, count, HEAD % b"GET /livez" + b"\r\n")
        await until(lambda: all(each.received for each in crowd), 30)
        each_holds = (resident(service) - before) / count
        took = await probed(service)
        for each in crowd:
            each.transport.abort()
        gone = await until(lambda: files(service) <= open_before, 10)
        answered = sum(each.received > 0 for each in crowd)
        return [
            Row("idle: connections that were answered", answered, least=count),
            Row("idle: memory of each", round(each_holds), most_bytes(count, IDLE_BYTES), unit="bytes"),
            *times("idle", took),
            Row("idle: all files closed after", round(gone, 2), CLOSED_SECONDS, unit="s"),
        ]


async def slow(home: Path, count: int) -> list[Row]:
    """Headers that do not end, and bodies that do not come."""
    limits = {"max_total": 20_000, "header_timeout": f"{SLOW_SECONDS:g}s", "body_timeout": f"{SLOW_SECONDS:g}s"}
    async with serving(home, connections=limits) as service:
        open_before = files(service)
        body = HEAD % b"POST /v1/messages" + b"content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
        crowd = [
            *await gathered(service, count // 2, HEAD % b"GET /"),
            *await gathered(service, count - count // 2, body),
        ]
        all_there = time.monotonic()
        took = await probed(service)
        await until(lambda: all(each.closed_at for each in crowd), SLOW_SECONDS + 20)
        last = max(each.closed_at for each in crowd) - all_there
        await until(lambda: files(service) <= open_before, 5)
        return [
            Row("slow: connections that were closed", sum(each.closed_at > 0 for each in crowd), least=count),
            Row("slow: the last after all were there", round(last, 2), SLOW_SECONDS + 2, unit="s"),
            *times("slow", took),
            Row("slow: files left", files(service) - open_before, 0),
        ]


async def unread(home: Path, count: int) -> list[Row]:
    """Streams without end that nobody reads."""
    async with Faultd.serve(PROVIDER) as faultd:
        wire = WIRES["anthropic"]
        provider = {"name": "lying", "type": wire.type, "api_base_url": faultd.url(wire), "api_key": "k"}
        config = {"demo": False, "providers": [provider], "limits": {"max_in_flight": 0, "shed_lag": 0}}
        asked = {"model": "lying,endless", "max_tokens": 100, "stream": True, "messages": [HELLO]}
        body = msgspec.json.encode(asked)
        says = HEAD % b"POST /v1/messages" + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        async with serving(home, **config) as service:
            before = resident(service)
            readers = [await deaf(service, says % (len(body), body)) for _ in range(count)]
            await asyncio.sleep(UNREAD_SECONDS)
            each_holds = (resident(service) - before) / count
            took = await probed(service)
            for reader in readers:
                reader.close()
        return [
            Row("unread: streams", sum(turn.fault == "endless" for turn in faultd.seen), least=count),
            Row("unread: memory of each", round(each_holds), most_bytes(count, UNREAD_BYTES), unit="bytes"),
            *times("unread", took),
        ]


async def deaf(service: Process, says: bytes) -> socket.socket:
    """A connection that says this, and reads nothing, with as little room for it as there can be."""
    loop = asyncio.get_running_loop()
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)  # noqa: FBT003  # the library's own signature
    await loop.sock_connect(reader, ("127.0.0.1", service.http_port))
    await loop.sock_sendall(reader, says)
    return reader


async def overload(home: Path, seconds: float) -> list[Row]:
    """Twice as many calls as there is room for; none waits for another's answer."""
    room = ROOM / CALL_SECONDS  # calls a second
    ended: Counter[int] = Counter()
    refused_after: list[float] = []
    document = {
        "model": "claude-x",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": f"[[wait {CALL_SECONDS * 1000:.0f}]]"}],
    }
    async with serving(home, limits={"max_in_flight": ROOM, "shed_lag": 0}) as service:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(service.url, connector=connector) as http, asyncio.TaskGroup() as calls:

            async def call() -> None:
                started = time.monotonic()
                async with http.post("/v1/messages", json=document) as response:
                    await response.read()
                ended[response.status] += 1
                if response.status != 200:
                    refused_after.append((time.monotonic() - started) * 1000)

            starts = time.monotonic()
            for number in range(int(2 * room * seconds)):
                await asyncio.sleep(max(0.0, starts + number / (2 * room) - time.monotonic()))
                calls.create_task(call())
        took = time.monotonic() - starts
    share = ended[200] / (room * took) * 100
    others = ended.total() - ended[200] - ended[503]
    return [
        Row("overload: calls a second", round(ended.total() / took)),
        Row(
            "overload: answered, of those there is room for", round(share), least=50, unit="%"
        ),  # busy machines take longer for each
        Row("overload: refused (503)", ended[503], least=1),
        Row("overload: a refusal took, median", round(statistics.median(refused_after or [0.0]), 1), unit="ms"),
        Row("overload: ended otherwise", others, 0),
    ]


async def all_of_them(home: Path, scale: float) -> list[Row]:
    """Every crowd, one after the other."""
    return [
        *await idle(home / "idle", int(IDLE * scale)),
        *await slow(home / "slow", int(SLOW * scale)),
        *await unread(home / "unread", int(UNREAD * scale)),
        *await overload(home / "overload", OVERLOAD_SECONDS * max(scale, 0.2)),
    ]


@click.command()
@click.option("--scale", default=1.0, show_default=True, help="How large the crowds are.")
def main(*, scale: float) -> None:
    """Lets crowds come, and looks how the service bears them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(all_of_them(Path(folder), scale))
    click.echo(table(rows))
    sys.exit(not all(row.holds for row in rows))


if __name__ == "__main__":
    main()
