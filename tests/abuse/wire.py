"""HTTP/1.1 as bytes, for requests that no client library would send."""

import asyncio
from dataclasses import dataclass

import msgspec

CANARY = "sk-canary-0123456789"
SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The type of its error, which is Anthropic's envelope and nothing else."""
        document = msgspec.json.decode(self.body)
        assert document["type"] == "error"
        assert set(document) == {"type", "error", "request_id"}
        assert set(document["error"]) == {"type", "message"}
        assert self.headers["content-type"] == "application/json"
        if "x-ccproxy-upstream-request-id" not in self.headers:  # a relayed error names its provider's
            assert self.headers["request-id"] == document["request_id"]
        assert self.headers["x-should-retry"] in {"true", "false"}
        kind: str = document["error"]["type"]
        return kind

    @property
    def closes(self) -> bool:
        """Whether it says that it is the connection's last."""
        return self.headers.get("connection") == "close"


class Wire:
    """A connection over which anything can be said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = b""

    @classmethod
    async def open(cls, port: int) -> "Wire":
        """Connects to this host."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        """Sends bytes, unless the other side has closed."""
        self._writer.write(data)
        try:
            async with asyncio.timeout(SECONDS):
                await self._writer.drain()
        except (ConnectionError, TimeoutError):
            return

    async def answer(self, method: str = "GET", seconds: float = SECONDS) -> Answer | None:
        """The next answer that is not `100 Continue`; None where the connection is closed instead."""
        async with asyncio.timeout(seconds):
            try:
                head = await self._until(b"\r\n\r\n")
                if head.startswith(b"HTTP/1.1 100 "):
                    head = await self._until(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")[:-2]
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
                body = b""
                if method != "HEAD" and headers.get("transfer-encoding") == "chunked":
                    body = await self._until(b"0\r\n\r\n")
                elif method != "HEAD":
                    body = await self._reader.readexactly(int(headers.get("content-length", 0)))
                    self.received += body
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return Answer(int(lines[0].split(" ")[1]), headers, body)

    async def end(self, seconds: float = SECONDS) -> bytes:
        """What comes until the other side closes."""
        async with asyncio.timeout(seconds):
            try:
                self.received += (rest := await self._reader.read())
            except ConnectionError:
                return b""
        return rest

    async def close(self) -> None:
        """Lets go."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return

    async def _until(self, mark: bytes) -> bytes:
        found = await self._reader.readuntil(mark)
        self.received += found
        return found


def request(
    method: str = "GET", target: str = "/", *headers: str, body: bytes = b"", host: str = "localhost"
) -> bytes:
    """A request of the usual form; `headers` are whole lines."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", f"x-api-key: {CANARY}", *headers]
    if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def post(body: bytes, *headers: str) -> bytes:
    """A request to `/v1/messages`."""
    return request("POST", "/v1/messages", "content-type: application/json", *headers, body=body)
