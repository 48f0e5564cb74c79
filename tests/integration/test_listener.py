"""The HTTP port at its end: no connection that the kernel has made is lost."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.secure import Client
from unit.certificates import Authority

from ccproxy.app import Service, running
from ccproxy.config import Config, TlsConfig

ASK = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service in this process."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


async def test_connections_that_nobody_has_accepted_are_answered(service: Service):
    """Their callers see them as made and send what they want; a reset would look like a call that failed."""
    address = ("127.0.0.1", service.http_port)
    callers = [socket.create_connection(address) for _ in range(20)]  # the loop stands still meanwhile
    for caller in callers:
        caller.sendall(ASK)
    await service._listener.close()
    answers = [await read_all(caller) for caller in callers]

    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 20


async def test_their_tls_is_answered_too(tmp_path: Path):
    """There the request comes two round trips later; and one that says something else harms nobody."""
    authority = Authority(tmp_path)
    pair = authority.server()
    config = Config(port=0, grpc_port=0, demo=True, tls=TlsConfig(str(pair.cert), str(pair.key)))
    async with running(config, {}) as service:
        good, bad = (socket.create_connection(("127.0.0.1", service.http_port)) for _ in range(2))
        bad.sendall(ASK)
        await service._listener.close()
        answer = await read_all(good, Client(authority.pair).context)
        async with asyncio.timeout(5):
            nothing = await read_all(bad)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"200" not in nothing


async def test_nobody_is_let_in_afterwards(service: Service):
    """Refused at once, so that a balancer may ask somebody else."""
    await service._listener.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.http_port))


async def read_all(caller: socket.socket, context: ssl.SSLContext | None = None) -> bytes:
    """All that comes on a connection; with TLS it is asked for first."""
    name = "localhost" if context else None
    reader, writer = await asyncio.open_connection(sock=caller, ssl=context, server_hostname=name)
    if context:
        writer.write(ASK)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
