"""The upstream of the benchmark: static answers, as cheap as Python gets.

One `asyncio.Protocol` on uvloop that reads no more of a request than it must. Run as `upstream.py PORT`.
"""

import asyncio
import re
import sys
from functools import partial
from typing import cast

import bodies
import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_PACED = bodies.PACED.encode() + b'"'
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Dialect:
    """What one wire answers, ready to write."""

    def __init__(self, answer: bytes, stream: list[bytes]) -> None:
        self.answer = _JSON % (len(answer), answer)
        self.burst = _STREAM + _chunked(b"".join(stream)) + b"0\r\n\r\n"
        self.paced = [_chunked(piece) for piece in stream]
        self.paced[0] = _STREAM + self.paced[0]
        self.paced[-1] += b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, anthropic: Dialect, openai: Dialect) -> None:
        self._dialects = (anthropic, openai)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, _: Exception | None) -> None:
        """Lets a paced stream end."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answers once the whole request is here."""
        if not self._held:
            end = data.index(b"\r\n\r\n") + 4  # clients send their headers in one piece
            length = _LENGTH.search(data, 0, end)
            self._missing = end + (int(length[1]) if length else 0)
        self._held = self._held + data if self._held else data
        if len(self._held) >= self._missing:
            request, self._held = self._held, b""
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        dialect = self._dialects[b"/chat/completions" in request[:64]]
        if b'"stream":true' not in request:
            pieces = [dialect.answer]
        elif _PACED not in request:
            pieces = [dialect.burst]
        else:
            pieces = dialect.paced
        self._write(pieces, 0, self._loop.time())

    def _write(self, pieces: list[bytes], index: int, started: float) -> None:
        if self._transport is None:
            return
        self._transport.write(pieces[index])
        if index + 1 < len(pieces):
            due = started + (index + 1) * bodies.PACE_SECONDS
            self._loop.call_at(due, self._write, pieces, index + 1, started)


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(port: int) -> None:
    """Serves until killed."""
    anthropic = Dialect(bodies.anthropic_answer(), bodies.anthropic_stream())
    openai = Dialect(bodies.openai_answer(), bodies.openai_stream())
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Connection, anthropic, openai), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
