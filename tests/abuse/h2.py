"""HTTP/2 as bytes (RFC 9113): frames that no client library would send."""

import asyncio
import contextlib
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4

REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """One frame; `length` where it lies about its own."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header in HPACK: a literal without index and without Huffman code, below 127 bytes each."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(path: bytes) -> bytes:
    """The header block of a gRPC call."""
    return b"".join(
        literal(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )


class Peer:
    """A connection that has greeted as HTTP/2; what comes back is read and kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._received = b""
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, port: int, greeting: bytes = PREFACE + frame(SETTINGS)) -> "Peer":
        """Connects and greets."""
        peer = cls(*await asyncio.open_connection("127.0.0.1", port))
        await peer.send(greeting)
        return peer

    async def send(self, data: bytes) -> None:
        """Sends bytes, unless the other side has closed, or takes none for a second."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._writer.write(data)
            async with asyncio.timeout(1):
                await self._writer.drain()

    async def closed(self, seconds: float) -> bool:
        """Whether the other side closes within this time."""
        done, _ = await asyncio.wait({self._reading}, timeout=seconds)
        return bool(done)

    async def close(self) -> None:
        """Lets go."""
        self._reading.cancel()
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await self._reading
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    @property
    def frames(self) -> list[tuple[int, int, bytes]]:
        """Kind, stream and payload of each frame that came."""
        found = []
        rest = self._received
        while len(rest) >= 9:
            size = int.from_bytes(rest[:3], "big")
            kind, _, stream = struct.unpack(">BBI", rest[3:9])
            found.append((kind, stream, rest[9 : 9 + size]))
            rest = rest[9 + size :]
        return found

    @property
    def reset(self) -> set[int]:
        """The codes with which streams were reset."""
        return {int.from_bytes(payload, "big") for kind, _, payload in self.frames if kind == RST_STREAM}

    @property
    def goodbye(self) -> set[int]:
        """The codes with which the connection was ended."""
        return {int.from_bytes(payload[4:8], "big") for kind, _, payload in self.frames if kind == GOAWAY}

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while part := await self._reader.read(65_536):
                self._received += part
