"""What many streams at once cost a CCProxy: CPU, memory and open files, at the pace of a real model.

    python tests/bench/streams.py [--seconds N] [STREAMS ...]

For each number a fresh service, and that many streams over HTTP and over gRPC, relayed and translated. The figures
are those of the service's own process, while all of the streams run; upstream and callers are other processes.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import bodies
import click
import drive_grpc
import grpc
import processes
import uvloop
from bodies import ANTHROPIC_MODEL, OPENAI_MODEL
from ccproxy_pb.v1 import json_codec
from ccproxy_pb.v1.proxy_pb2 import CreateMessageRequest
from processes import KEY, BrokenError, Child

EVENTS_PER_SECOND = 10
STARTS_PER_SECOND = 100
DELTAS = 2000
"""So many that none ends before the measurement does."""
WAYS = ("HTTP, relay", "HTTP, to OpenAI", "gRPC, relay")


class Caller(asyncio.Protocol):
    """Asks for one stream over HTTP and counts what comes."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.received = 0
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        cast(asyncio.Transport, transport).write(self.request)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Counts."""
        self.head = self.head or data[:1000]
        self.received += len(data)


def http_request(model: str, port: int) -> bytes:
    """A request for a paced stream, as it travels."""
    body = bodies.request("paced", model)
    head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-api-key: {KEY}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def grpc_request() -> bytes:
    """The same over gRPC."""
    body = bodies.request("paced", ANTHROPIC_MODEL).replace(b',"stream":true', b"").replace(b'"stream":true,', b"")
    return json_codec.decode(CreateMessageRequest, body).SerializeToString()


async def over_http(model: str, port: int, count: int, seconds: float, child: Child) -> dict[str, float]:
    """Opens the streams, one after the other, and measures while all of them run."""
    loop = asyncio.get_running_loop()
    request = http_request(model, port)
    callers = []
    for _ in range(count):
        callers.append(await loop.create_connection(lambda: Caller(request), "127.0.0.1", port))
        await asyncio.sleep(1 / STARTS_PER_SECOND)
    figures = await measured(child, seconds)
    if bad := [caller.head for _, caller in callers if not caller.head.startswith(b"HTTP/1.1 200 OK")]:
        raise BrokenError(f"{len(bad)} of {count} streams were refused: {bad[0]!r}")
    for transport, _ in callers:
        transport.close()
    return figures


async def over_grpc(port: int, count: int, seconds: float, child: Child) -> dict[str, float]:
    """The same over gRPC, with a hundred streams on a connection."""
    request, got = grpc_request(), [0] * count

    async def caller(channel: grpc.aio.Channel, number: int) -> None:
        call = channel.unary_stream(drive_grpc.path("StreamMessage"))(request, metadata=drive_grpc.METADATA)
        async for _ in call:
            got[number] += 1

    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        for _ in range(0, count, 100)
    ]
    async with asyncio.TaskGroup() as group:
        tasks = []
        for number in range(count):
            tasks.append(group.create_task(caller(channels[number // 100], number)))
            await asyncio.sleep(1 / STARTS_PER_SECOND)
        figures = await measured(child, seconds)
        for task in tasks:
            task.cancel()
    if min(got) == 0:
        raise BrokenError(f"{got.count(0)} of {count} streams did not begin")
    for channel in channels:
        await channel.close()
    return figures


async def measured(child: Child, seconds: float) -> dict[str, float]:
    """The service's figures over some seconds."""
    await asyncio.sleep(0.5)
    loop = asyncio.get_running_loop()
    before, began = child.cpu(), loop.time()
    await asyncio.sleep(seconds)
    cpu = (child.cpu() - before) / (loop.time() - began)
    return {"cpu": cpu * 100, "rss": child.rss(), "files": child.files()}


def one(way: str, count: int, seconds: float, folder: Path) -> dict[str, float]:
    """Starts everything, measures one cell, ends everything."""
    script, port = str(Path(__file__)), processes.free_port()
    with Child([sys.executable, script, "--upstream", str(port)], folder / "upstream.log", port):
        child, grpc_port = processes.ccproxy(folder, port)
        with child:
            idle = child.rss()
            if way.startswith("gRPC"):
                figures = uvloop.run(over_grpc(grpc_port, count, seconds, child))
            else:
                model = ANTHROPIC_MODEL if way.endswith("relay") else f"openai,{OPENAI_MODEL}"
                figures = uvloop.run(over_http(model, child.port, count, seconds, child))
    return {**figures, "each": (figures["rss"] - idle) * 1024 / count}


@click.command()
@click.option("--seconds", default=5.0, help="How long to measure.")
@click.option("--upstream", type=int, hidden=True, help="Be the upstream, on this port.")
@click.argument("streams", type=int, nargs=-1)
def main(seconds: float, upstream: int | None, streams: Sequence[int]) -> None:
    """Measures, and prints a table."""
    if upstream is not None:
        import upstream as cheap  # noqa: PLC0415  # only this process is it

        bodies.PACE_SECONDS = 1 / EVENTS_PER_SECOND
        bodies.DELTAS = DELTAS
        uvloop.run(cheap.serve(upstream))
        return
    click.echo("| way | streams | CPU, % of a core | RSS, MiB | KiB a stream | open files |")
    click.echo("|---|---|---|---|---|---|")
    for way in WAYS:
        for count in streams or (100, 500, 1000):
            with tempfile.TemporaryDirectory() as folder:
                got = one(way, count, seconds, Path(folder))
            cells = " | ".join(f"{got[name]:.0f}" for name in ("cpu", "rss", "each", "files"))
            click.echo(f"| {way} | {count} | {cells} |")


if __name__ == "__main__":
    main()
