"""The HTTP port at its end: no connection that the kernel has made is lost."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from integration.secure import Client
from unit.certificates import Authority

from ccproxy.app import Service, running
from ccproxy.config import Config, KeyConfig, Secret, TlsConfig

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


def serves_both() -> bool:
    """Whether this host has IPv6, and sockets for both versions."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return socket.has_dualstack_ipv6()
    except OSError:
        return False


@pytest.mark.skipif(not serves_both(), reason="this host has no IPv6")
async def test_every_address_is_ipv4s_too_on_every_port():
    """A pod of a dual-stack cluster has both; who binds `::` must not lose the callers of one on one port."""
    key = Secret("k" * 32)
    config = Config(
        host="::", port=0, grpc_port=0, demo=True, keys=[KeyConfig("a", key=key)], trust_localhost=False
    )
    async with running(config, {}) as service:
        answers = []
        for address in ("127.0.0.1", "::1"):
            http = socket.create_connection((address, service.http_port))
            http.sendall(ASK)
            answers.append((await read_all(http)).partition(b"\r\n")[0])
            rpc = f"[{address}]:{service.grpc_port}" if ":" in address else f"{address}:{service.grpc_port}"
            async with grpc.aio.insecure_channel(rpc) as channel:
                stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
                answers.append((await stub.Check(health_pb2.HealthCheckRequest())).status)

    assert answers == [b"HTTP/1.1 200 OK", health_pb2.HealthCheckResponse.SERVING] * 2


@pytest.mark.skipif(not serves_both(), reason="this host has no IPv6")
async def test_a_caller_by_ipv4_is_known_by_its_own_address():
    """On such a socket it is `::ffff:127.0.0.1`: still this host, and still in `allowed_ips`."""
    key = Secret("k" * 32)
    config = Config(host="::", port=0, demo=True, keys=[KeyConfig("a", key=key)], allowed_ips=["127.0.0.0/8"])
    async with running(config, {}) as service:
        ask = ASK.replace(b"GET / ", b"GET /v1/models ").replace(
            b"\r\n\r\n", b"\r\nx-api-key: " + b"k" * 32 + b"\r\n\r\n"
        )
        answers = []
        for address in ("127.0.0.1", "::1"):
            http = socket.create_connection((address, service.http_port))
            http.sendall(ask)
            answers.append((await read_all(http)).partition(b"\r\n")[0])

    assert answers == [b"HTTP/1.1 200 OK", b"HTTP/1.1 403 Forbidden"]


@pytest.mark.skipif(not serves_both(), reason="this host has no IPv6")
async def test_a_taken_port_is_told_for_every_address():
    """As for one: two services on a port would share the callers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f":::{port} is in use"):
            async with running(
                Config(host="::", port=port, grpc_port=0, demo=True, keys=[KeyConfig("a", key=Secret("k"))]), {}
            ):
                pass


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
