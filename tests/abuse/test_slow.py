"""Clients that take their time, or take nothing: each is waited for only so long, and holds only so much."""

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from abuse.cases import OK
from abuse.wire import Wire, post, request
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc
from unit.certificates import Authority

from ccproxy.app import Service, running
from ccproxy.config import Config, ConnectionsConfig, Duration, LimitsConfig, Size, TlsConfig
from ccproxy.gateway.connections import LOCAL_RESERVE, Connection, Gate

SHORT = 0.4  # seconds
SLACK = 2.0
ENDLESS = "[[tokens 100000]]"
MOST_HELD_BYTES = 512 << 10
SIOCOUTQ = termios.TIOCOUTQ  # the same number: bytes that the peer has not confirmed


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Service]:
    """A service with these limits for connections."""
    whole = {name: Duration(value) if name.endswith("timeout") else value for name, value in limits.items()}
    config = Config(port=0, grpc_port=0, demo=True, connections=ConnectionsConfig(**whole))
    async with running(config, {}) as service:
        yield service


@asynccontextmanager
async def wired(**limits: Any) -> AsyncIterator[tuple[Service, Wire]]:
    """A service with these limits, and a connection to it."""
    async with serving(**limits) as service:
        wire = await Wire.open(service.http_port)
        yield service, wire
        await wire.close()


@asynccontextmanager
async def repeating(wire: Wire, data: bytes, pause: float = 0.05) -> AsyncIterator[None]:
    """Sends `data` again and again meanwhile."""

    async def send() -> None:
        while True:
            await wire.send(data)
            await asyncio.sleep(pause)

    task = asyncio.ensure_future(send())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def asking(text: str, **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": "claude-x", "max_tokens": 1_000_000, "messages": [{"role": "user", "content": text}], **more}


async def until(condition: Callable[[], bool], seconds: float = SHORT + SLACK) -> None:
    """Waits for what must come true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


async def unread(service: Service, document: dict[str, Any]) -> socket.socket:
    """A request whose client reads nothing of the answer, with as little room for it as there can be."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)  # noqa: FBT003  # the library's own signature
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", service.http_port))
    await loop.sock_sendall(client, post(msgspec.json.encode(document)))
    return client


def connections(service: Service) -> list[Connection]:
    """The open HTTP connections at the service's end."""
    return service._runner.server.connections


def metric(service: Service, start: str) -> float:
    """The sum of the samples that begin so."""
    lines = service.metrics.exposition(None)[0].decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


# Requests.


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n", b""),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n", b"x: y\r\n"),
        (b"GET / HTTP/1.1\r\nx: y", b"y"),
        (b"\r\n", b"\r\n" * 100),
        (request() + b"GET / HTTP/1.1\r\nx: y", b"y"),
    ],
    ids=["stalled", "a header now and then", "letter by letter", "empty lines", "behind another request"],
)
async def test_headers_that_do_not_come_end_the_connection(
    caplog: pytest.LogCaptureFixture, first: bytes, drip: bytes
):
    """Slowloris. However busy it looks, it gets the time that it gets."""
    async with wired(header_timeout=SHORT) as (service, wire):
        await wire.send(first)
        if first.startswith(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-api-key"):
            assert (await wire.answer()).status == 200
        async with repeating(wire, drip):
            answer = await wire.answer(seconds=SHORT + SLACK)
            await wire.end(SLACK)

        assert (answer.status, answer.error, answer.closes) == (408, "invalid_request_error", True)
        assert answer.headers["x-should-retry"] == "true"
        assert metric(service, 'ccproxy_rejected_total{interface="http",reason="slow_headers"}') == 1
        await until(lambda: service._gateway.gate.open == 0)
    assert caplog.get_records("call") == [r for r in caplog.get_records("call") if r.levelno < logging.WARNING]


async def test_a_connection_without_a_word_ends_without_one():
    """Browsers open some in advance: an answer would be one to their next request."""
    async with wired(header_timeout=SHORT) as (_, wire):
        assert await wire.end(SHORT + SLACK) == b""


async def test_a_kept_connection_ends_after_its_own_time():
    """And not at the time for headers."""
    async with wired(header_timeout=0.2, idle_timeout=1) as (_, wire):
        await wire.send(request())
        await wire.answer()
        await asyncio.sleep(0.5)
        await wire.send(request())
        assert (await wire.answer()).status == 200
        assert await wire.end(1 + SLACK) == b""


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["silent", "half a hello"])
async def test_a_tls_handshake_that_does_not_end_is_closed(tmp_path: Path, first: bytes):
    """Whoever says nothing there would else stay for a minute, before anybody counts it as a connection."""
    pair = Authority(tmp_path).server()
    limits = ConnectionsConfig(header_timeout=Duration(SHORT))
    tls = TlsConfig(str(pair.cert), str(pair.key))
    async with running(Config(port=0, demo=True, tls=tls, connections=limits), {}) as service:
        wire = await Wire.open(service.http_port)
        await wire.send(first)

        assert await wire.end(SHORT + SLACK) == b""
        await wire.close()


HEAD = request("POST", "/v1/messages", "content-type: application/json", "content-length: 1000")
CHUNKS = request("POST", "/v1/messages", "content-type: application/json", "transfer-encoding: chunked")


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (HEAD, b""),
        (HEAD + b"{", b" "),
        (CHUNKS, b""),
        (CHUNKS, b"1\r\n \r\n"),
        (CHUNKS + b"5", b";a=b" * 1000),
        (CHUNKS + b"0", b"0" * 1000),
        (CHUNKS + b"0\r\n", b"a: b\r\n"),
    ],
    ids=["stalled", "byte by byte", "no chunk", "small chunks", "chunk extensions", "leading zeros", "trailers"],
)
async def test_a_body_that_does_not_come_ends_the_connection(first: bytes, drip: bytes):
    """Bytes that are no part of it earn no time. Some of these the parser refuses itself."""
    async with wired(body_timeout=SHORT) as (service, wire):
        await wire.send(first)
        async with repeating(wire, drip, 0.02):
            answer = await wire.answer(seconds=SHORT + SLACK)
            await wire.end(SLACK + 1)

        assert answer.status in {408, 400}
        assert answer.error == "invalid_request_error"
        await until(lambda: service._gateway.gate.open == 0)


async def test_a_slow_body_is_a_request_timeout():
    """The client may try again, on another connection."""
    async with wired(body_timeout=SHORT) as (service, wire):
        await wire.send(HEAD)
        answer = await wire.answer()

        assert (answer.status, answer.closes, answer.headers["x-should-retry"]) == (408, True, "true")
        assert b"body did not arrive within 0.4 s" in answer.body
        assert metric(service, 'ccproxy_rejected_total{interface="http",reason="request_timeout"}') == 1


async def test_bodies_that_are_being_read_count_together():
    """Uploads that never end would fill the memory before any of them is a call. Those that fit go on."""
    body = OK[:-1] + b" " * 600_000 + b"}"
    config = Config(port=0, grpc_port=0, demo=True, limits=LimitsConfig(max_body_bytes_in_flight=Size(1_150_000)))
    async with running(config, {}) as service, contextlib.AsyncExitStack() as stack:

        async def wire() -> Wire:
            opened = await Wire.open(service.http_port)
            stack.push_async_callback(opened.close)
            return opened

        started = [await wire(), await wire()]
        for each in started:
            await each.send(post(body)[:500_000])
        await until(lambda: service.limiter.body_bytes > 990_000)
        claiming, growing = await wire(), await wire()
        await claiming.send(post(body)[:200])
        await growing.send(CHUNKS + b"30d40\r\n" + b" " * 200_000)
        late = [await claiming.answer(), await growing.answer()]
        await started[0].send(post(body)[500_000:])
        first = await started[0].answer()
        left = await wire()
        await left.send(post(body)[:300_000])
        await until(lambda: service.limiter.body_bytes > 790_000)
        await left.close()
        await started[1].send(post(body)[500_000:])
        second = await started[1].answer()

        assert [(each.status, each.error, each.headers["retry-after"]) for each in late if each] == [
            (503, "overloaded_error", "1")
        ] * 2
        assert [each and each.status for each in (first, second)] == [200, 200]
        assert metric(service, 'ccproxy_rejected_total{interface="http",reason="body_bytes"}') == 2
        await until(lambda: service.limiter.body_bytes == 0)


async def test_a_body_that_comes_earns_time():
    """A large one over a thin line is no attack."""
    body = OK[:-1] + b" " * (100 << 10) + b"}"
    async with wired(body_timeout=SHORT) as (_, wire):
        whole = post(body)
        await wire.send(whole[: 90 << 10])
        await asyncio.sleep(2 * SHORT)
        await wire.send(whole[90 << 10 :])

        assert (await wire.answer()).status == 200


async def test_a_body_earns_no_more_than_four_times():
    """The largest would otherwise earn minutes at once."""
    async with wired(body_timeout=SHORT) as (_, wire):
        await wire.send(request("POST", "/v1/messages", "content-length: 30000000") + b"{" + b" " * (8 << 20))
        started = asyncio.get_running_loop().time()
        answer = await wire.answer(seconds=4 * SHORT + SLACK)
        seconds = asyncio.get_running_loop().time() - started

    assert answer.status == 408
    assert seconds < 4 * SHORT + 1


async def test_hundreds_of_slow_clients_leave_room_for_others():
    """All are gone soon after their time, and meanwhile others are served."""
    async with serving(header_timeout=1.5, body_timeout=1.5) as service:
        wires = [await Wire.open(service.http_port) for _ in range(300)]
        for number, wire in enumerate(wires):
            await wire.send(HEAD if number % 2 else b"GET / HTTP/1.1\r\n")
        other = await Wire.open(service.http_port)
        await other.send(request("GET", "/health"))
        assert (await other.answer(seconds=1)).status == 200
        assert service._gateway.gate.open == 301
        answers = await asyncio.gather(*(wire.answer() for wire in wires))
        await other.close()
        await until(lambda: service._gateway.gate.open == 0)
        for wire in wires:
            await wire.close()

    assert {answer.status for answer in answers} == {408}


# Answers.


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_reads_nothing_loses_its_answer(stream: bool):  # noqa: FBT001
    """Its upstream is closed with it: every token is billed."""
    text = ENDLESS if stream else "[[tokens 99999]]"
    async with serving(write_timeout=SHORT) as service:
        client = await unread(service, asking(text, stream=stream))
        await until(lambda: service.proxy.running == 1)
        await until(lambda: service._gateway.gate.open == 0, 10)
        await until(lambda: service.proxy.running == service.demo.open_streams == 0, 1)
        client.close()

        if stream:
            assert metric(service, 'ccproxy_stream_aborts_total{interface="http",side="client"}') == 1


async def test_a_client_that_reads_slowly_keeps_its_answer():
    """It is a stall that ends a stream, not a low speed."""
    async with serving(write_timeout=1) as service:
        client = await unread(service, asking("[[tokens 8000]]", stream=True))
        body = b""
        while part := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65_536), 5):
            body += part
            if b"message_stop" in body[-500:]:
                break
            await asyncio.sleep(0.02)
        client.close()

    assert b'"type":"message_stop"' in body


async def test_a_client_that_reads_nothing_holds_little():
    """Here and in the kernel. Its provider is not read meanwhile."""
    async with serving() as service:
        clients = [await unread(service, asking(ENDLESS, stream=True)) for _ in range(10)]
        await asyncio.sleep(1.5)
        held = []
        for connection in connections(service):
            transport = connection.transport
            queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), SIOCOUTQ, b"\0" * 4)
            held.append(transport.get_write_buffer_size() + struct.unpack("i", queued)[0])
        for client in clients:
            client.close()

    assert len(held) == 10
    assert 0 < max(held) <= MOST_HELD_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="these socket options are Linux's")
async def test_the_kernel_gives_up_a_peer_that_is_gone():
    """By itself it would try for a quarter of an hour."""
    async with wired() as (service, wire):
        await wire.send(request())
        await wire.answer()
        sock = connections(service)[0].transport.get_extra_info("socket")

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 256 << 10  # it doubles what it is given


# How many.


def test_one_address_may_not_have_all():
    """Except this host, where a reverse proxy may be."""
    gate = Gate(ConnectionsConfig(max_per_address=2))

    assert [gate.enter("203.0.113.1") for _ in range(3)] == [True, True, False]
    assert gate.enter("203.0.113.2")
    assert all(gate.enter(address) for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1") for _ in range(9))
    gate.leave("203.0.113.1")
    assert gate.enter("203.0.113.1")


def test_what_has_left_is_forgotten():
    """A scan of the internet's addresses must not fill the memory."""
    gate = Gate(ConnectionsConfig())
    for number in range(1000):
        gate.enter(f"203.0.{number >> 8}.{number & 255}")
        gate.leave(f"203.0.{number >> 8}.{number & 255}")

    assert (gate.open, len(gate._by_address)) == (0, 0)


async def test_beyond_the_limit_a_connection_is_refused(caplog: pytest.LogCaptureFixture):
    """With an answer, one line a second in the log, and without harm to those who are in."""
    async with serving(max_total=10) as service:
        wires = [await Wire.open(service.http_port) for _ in range(10 + LOCAL_RESERVE)]
        await until(lambda: service._gateway.gate.open == len(wires))
        for _ in range(5):
            late = await Wire.open(service.http_port)
            refused = await late.answer()
            await late.end()
            await late.close()
        await wires[0].send(request())
        served = await wires[0].answer()
        for wire in wires:
            await wire.close()
        await until(lambda: service._gateway.gate.open == 0)
        again = await Wire.open(service.http_port)
        await again.send(request())

        assert (refused.status, refused.error, refused.closes) == (503, "overloaded_error", True)
        assert refused.headers["retry-after"] == "1"
        assert served.status == 200
        assert (await again.answer()).status == 200
        assert metric(service, 'ccproxy_rejected_total{interface="http",reason="connections"}') == 5
        assert caplog.text.count("too many connections") in {1, 2}
        await again.close()


async def test_hundreds_of_idle_connections_cost_little():
    """They are counted, and gone when they go."""
    async with serving() as service:
        wires = [await Wire.open(service.http_port) for _ in range(500)]
        for wire in wires:
            await wire.send(request())
        answers = [await wire.answer() for wire in wires]
        assert metric(service, "ccproxy_connections ") == 500
        for wire in wires:
            await wire.close()
        await until(lambda: metric(service, "ccproxy_connections ") == 0)

    assert {answer.status for answer in answers} == {200}


# gRPC.


async def test_a_grpc_client_that_reads_nothing_loses_its_stream(caplog: pytest.LogCaptureFixture):
    """As over HTTP: the upstream is closed with it."""
    options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))
    async with (
        serving(write_timeout=SHORT) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=options) as channel,
    ):
        asked = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(asking(ENDLESS)))
        call = proxy_pb2_grpc.ProxyStub(channel).StreamMessage(asked)
        await call.read()
        await until(lambda: service.proxy.running == 0, 10)
        await until(lambda: service.demo.open_streams == 0, 1)

        with pytest.raises(grpc.aio.AioRpcError) as raised:
            while await call.read() is not grpc.aio.EOF:
                pass
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "internal error" not in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_grpc_connection_without_a_word_ends():
    """By itself grpc waits two minutes for the first words."""
    async with serving(header_timeout=SHORT) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.grpc_port)
        async with asyncio.timeout(SHORT + SLACK):
            await reader.read()  # its own settings, then the end
        writer.close()
        await writer.wait_closed()


async def test_grpc_takes_as_many_connections_as_http():
    """Each is a file of the process."""
    async with serving(max_total=3) as service:
        pairs = [await asyncio.open_connection("127.0.0.1", service.grpc_port) for _ in range(6)]
        greeted = []
        for reader, _ in pairs:
            try:
                async with asyncio.timeout(1):
                    greeted.append(bool(await reader.read(1)))
            except ConnectionError:
                greeted.append(False)
        for _, writer in pairs:
            writer.close()

    assert sorted(greeted) == [False] * 3 + [True] * 3
