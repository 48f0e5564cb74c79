"""The HTTP port at its end: no connection that the kernel has made is lost."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from ccproxy.app import Service, running
from ccproxy.config import Config

ASK = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service in this process."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


async def test_connections_that_nobody_has_accepted_are_answered(service: Service):
    """Their callers see them as made and send what they want; a reset would look like a call that failed."""
    callers = [
        socket.create_connection(("127.0.0.1", service.http_port)) for _ in range(20)
    ]  # the loop stands still
    for caller in callers:
        caller.sendall(ASK)
    await service._listener.close()
    answers = [await read_all(caller) for caller in callers]

    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 20


async def test_nobody_is_let_in_afterwards(service: Service):
    """Refused at once, so that a balancer may ask somebody else."""
    await service._listener.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", service.http_port))


async def read_all(caller: socket.socket) -> bytes:
    """All that comes on a connection."""
    reader, writer = await asyncio.open_connection(sock=caller)
    answer = await reader.read()
    writer.close()
    return answer
