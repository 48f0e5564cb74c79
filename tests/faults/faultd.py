"""A provider that lies: a server on raw sockets, so that it can break every rule of HTTP.

The path's first part names the wire, the model names the behaviour (`faults.behaviours`): a caller that asks for
`openai_chat,reset_mid_stream` gets a connection that is reset in the middle of a Chat Completions stream.

It counts what a provider would count (and bill): connections, requests and the bytes of them.
"""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import msgspec
from faults.wires import WIRES, Wire

HEAD_BYTES = 1 << 16
_MODEL_IN_PATH = re.compile(r"/models/([^/:]+):")


class Turn:
    """One request on one connection, and the means to answer it, or not.

    Attributes:
        wire: Whose wire is to be spoken.
        stream: Whether a stream was asked for.
        path: Where the request went.
        headers: Those of the request; lower-case names.
        body: That of the request.
        nth_on_connection: From 1.
        before: What was asked for on this connection before, and when (seconds); this request is last.
        unanswered: What came on this connection after the request, and was let lie.
        nth: Of all requests, from 1.
        ends: Whether the connection is to be closed afterwards.
    """

    def __init__(
        self,
        faultd: "Faultd",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        path: str,
        headers: Mapping[str, str],
    ) -> None:
        self.faultd = faultd
        self.reader = reader
        self.writer = writer
        self.path = path
        self.wire: Wire = WIRES[path.split("/")[1]]
        self.headers = headers
        self.body = b""
        self.nth = 0
        self.nth_on_connection = 0
        self.before: list[str] = []
        self.unanswered = b""
        self.ends = False

    @property
    def stream(self) -> bool:
        return "streamGenerateContent" in self.path or b'"stream":true' in self.body

    @property
    def fault(self) -> str:
        """The model that was asked for; none where the list of them was."""
        if not self.body:
            return ""
        in_path = _MODEL_IN_PATH.search(self.path)
        if in_path is not None:
            return in_path[1]
        model: str = msgspec.json.decode(self.body)["model"]
        return model

    @property
    def key(self) -> str:
        """The credential that was shown."""
        shown = (self.headers.get(name, "") for name in ("x-api-key", "x-goog-api-key", "authorization"))
        return "".join(shown).removeprefix("Bearer ")

    async def send(self, *parts: bytes, every: float = 0.0) -> None:
        """Sends parts as they are, each in a write of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(every)

    async def head(self, status: int = 200, **headers: str) -> None:
        """Sends a status and headers; their names are written with underscores."""
        lines = [f"HTTP/1.1 {status} X", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        await self.send("\r\n".join((*lines, "", "")).encode())

    async def document(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Sends a whole answer by the rules."""
        headers = {"content_type": "application/json", **headers}
        await self.head(status, content_length=str(len(body)), **headers)
        await self.send(body)

    async def begin(self, **headers: str) -> None:
        """Sends the head of a stream in chunks."""
        await self.head(content_type="text/event-stream", transfer_encoding="chunked", **headers)

    async def chunks(self, *parts: bytes, every: float = 0.0) -> None:
        """Sends chunks of the body."""
        await self.send(*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), every=every)

    async def finish(self) -> None:
        """Ends the chunks."""
        await self.send(b"0\r\n\r\n")

    async def good(self) -> None:
        """Sends the wire's good answer."""
        if not self.stream:
            await self.document(self.wire.whole)
            return
        await self.begin()
        await self.chunks(self.wire.opening, *self.wire.pieces, self.wire.ending)
        await self.finish()

    async def gone(self) -> None:
        """Waits until the other side has closed."""
        with suppress(ConnectionError):
            while more := await self.reader.read(HEAD_BYTES):
                self.unanswered += more
        self.ends = True
        self.faultd.closed_at.append(asyncio.get_running_loop().time())

    def reset(self) -> None:
        """Breaks the connection with a TCP reset."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.ends = True


Behaviour = Callable[[Turn], Awaitable[None]]


class Faultd:
    """The server. `seen` holds every request in order, `open` counts the connections that are.

    `canary` is an address that nobody may ever follow.
    """

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        self._behaviours = behaviours
        self._writers: set[asyncio.StreamWriter] = set()
        self.seen: list[Turn] = []
        self.closed_at: list[float] = []
        self.connections = 0
        self.received = 0
        self.port = 0
        self.canary = ""
        self.on_request: Callable[[Turn], None] = lambda _: None

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._writers)

    def url(self, wire: Wire, port: int = 0, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """A provider's base URL."""
        return f"{scheme}://{host}:{port or self.port}/{wire.name}{wire.path}"

    @classmethod
    @asynccontextmanager
    async def serve(cls, behaviours: Mapping[str, Behaviour]) -> "AsyncIterator[Faultd]":
        """Serves on a free port inside the context."""
        faultd = cls(behaviours)
        server = await asyncio.start_server(faultd._connected, "127.0.0.1", 0)
        faultd.port = server.sockets[0].getsockname()[1]
        try:
            yield faultd
        finally:
            server.close()
            for writer in tuple(faultd._writers):
                writer.transport.abort()
            for _ in range(100):
                if not faultd._writers:
                    break
                await asyncio.sleep(0.01)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            served: list[str] = []
            while await self._serve(reader, writer, served):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, served: list[str]) -> bool:
        """Serves one request; whether the connection may serve another."""
        head = await reader.readuntil(b"\r\n\r\n")
        request, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        turn = Turn(self, reader, writer, request.split(" ")[1], headers)
        is_early = "/early/" in turn.path  # then the body is left where it is
        if not is_early:
            turn.body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received += len(head) + len(turn.body)
        self.seen.append(turn)
        turn.nth = len(self.seen)
        way = "stream" if turn.stream else "whole"
        served.append(f"{turn.fault or 'models'} {way} at {asyncio.get_running_loop().time():.4f}")
        turn.before, turn.nth_on_connection = served, len(served)
        self.on_request(turn)
        await self._behaviours["too_large" if is_early else turn.fault](turn)
        if is_early:
            await turn.gone()
        return not turn.ends and not writer.is_closing()
