"""A TCP relay that hands bytes on in pieces of its own choice, as a network may."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PIECES = (1, 2, 3, 7, 40, 300, 5000)  # bytes
READ_BYTES = 65536


class Rechunked:
    """Between CCProxy and its upstream. `seed` decides the pieces of the answers; None leaves them whole."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.seed: int | None = None
        self._port = port

    async def relay(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection: requests as they come, answers in pieces."""
        answers, requests = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy(caller, requests))
                both.create_task(self._cut(answers, back))
        except* ConnectionError:
            pass  # one side has gone, so the other goes too
        finally:
            requests.close()
            back.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(READ_BYTES):
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    async def _cut(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(READ_BYTES):
            choice = random.Random(self.seed)  # noqa: S311  # the same seed, the same pieces
            at = 0
            while at < len(data):
                size = len(data) if self.seed is None else choice.choice(PIECES)
                sink.write(data[at : at + size])
                at += size
                await asyncio.sleep(0)  # the reader sees this piece alone
        sink.write_eof()


@asynccontextmanager
async def rechunked(port: int) -> AsyncIterator[Rechunked]:
    """A relay to that port of this host."""
    relay = Rechunked(port)
    server = await asyncio.start_server(relay.relay, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield relay
