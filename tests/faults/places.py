"""Where a provider is that is not, or hardly, there; and one whose certificate is not to be trusted."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.faultd import Faultd
from faults.wires import Wire
from msgspec import Struct
from unit.certificates import EXPIRED, Authority


class Place(Struct, frozen=True):
    """A provider's base URL, and the file of certificates that are trusted beside the system's."""

    url: str
    ca_file: str = ""


TLS = frozenset({"untrusted", "expired", "misnamed"})


async def _refuses_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def _says_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@asynccontextmanager
async def place(name: str, faultd: Faultd, wire: Wire) -> AsyncIterator[Place]:
    """The place of this name."""
    if name == "closed":
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            yield Place(faultd.url(wire, taken.getsockname()[1]))
    elif name in {"unknown", "stalled"}:
        yield Place(faultd.url(wire, host=f"{name}.test"))
    elif name == "plain":
        async with await asyncio.start_server(_refuses_tls, "127.0.0.1", 0) as server:
            yield Place(faultd.url(wire, server.sockets[0].getsockname()[1], scheme="https"))
    elif name in TLS:
        with TemporaryDirectory() as folder:
            async with _over_tls(name, Path(folder), faultd, wire) as there:
                yield there
    elif name == "hanging":
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield Place(faultd.url(wire, silent.getsockname()[1], scheme="https"))
    elif name == "full":
        # A queue that is full drops what comes: the nearest thing to a network that swallows packets.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
            port = full.getsockname()[1]
            first.connect(("127.0.0.1", port))
            yield Place(faultd.url(wire, port))
    else:
        yield Place(faultd.url(wire))


@asynccontextmanager
async def _over_tls(name: str, folder: Path, faultd: Faultd, wire: Wire) -> AsyncIterator[Place]:
    """A provider with a certificate for localhost and 127.0.0.1, of an authority that is trusted, or is not."""
    authority = Authority(folder)
    shown = authority.server(days=EXPIRED) if name == "expired" else authority.server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.cert, shown.key)
    async with await asyncio.start_server(_says_nothing, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        host = "another.test" if name == "misnamed" else "127.0.0.1"
        url = faultd.url(wire, port, scheme="https", host=host)
        yield Place(url, "" if name == "untrusted" else str(authority.pair.cert))
