"""The cases of gRPC's interop suite that fit this service, by their names there, and a client that misbehaves.

Source: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md and
https://github.com/grpc/grpc/blob/master/doc/negative-http2-interop-test-descriptions.md (there the server
misbehaves, here the client does).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import grpc
import msgspec
import pytest
from abuse.h2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    Peer,
    call,
    frame,
)
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc

from ccproxy.app import Service, running
from ccproxy.config import Config

CALM = "[[tokens 1000]] [[pace 20]]"
CANCEL = b"\0\0\0\x08"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A running service, with the demo upstream."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the service."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        yield channel


@pytest.fixture
async def peer(service: Service) -> AsyncIterator[Peer]:
    """A connection over which anything can be said."""
    peer = await Peer.open(service.grpc_port)
    yield peer
    await peer.close()


def asked(text: str) -> proxy_pb2.CreateMessageRequest:
    """A request with one user turn."""
    document = {"model": "claude-x", "max_tokens": 5000, "messages": [{"role": "user", "content": text}]}
    return json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))


def begun(text: str, *, message: bytes | None = None) -> bytes:
    """The frames of a streaming call with one message."""
    body = asked(text).SerializeToString()
    whole = b"\0" + len(body).to_bytes(4, "big") + body if message is None else message
    head = frame(HEADERS, END_HEADERS, 1, call(b"/ccproxy.v1.Proxy/StreamMessage"))
    return head + frame(DATA, END_STREAM, 1, whole)


async def until(condition: Callable[[], bool], seconds: float = 3) -> None:
    """Waits for what must come true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


async def test_empty_unary(channel: grpc.aio.Channel):
    """A request without a byte is a request."""
    assert (await status_pb2_grpc.StatusStub(channel).GetInfo(status_pb2.GetInfoRequest())).message == "LLMs API"


async def test_large_unary(channel: grpc.aio.Channel):
    """Larger than grpc's own limit of four MiB."""
    answer = await proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked("x" * (6 << 20)))

    assert answer.usage.input_tokens > 500_000


async def test_server_streaming(channel: grpc.aio.Channel):
    """Event by event, the last one last."""
    events = [event async for event in proxy_pb2_grpc.ProxyStub(channel).StreamMessage(asked("[[tokens 5]]"))]

    assert events[0].HasField("message_start")
    assert events[-1].HasField("message_stop")


async def test_custom_metadata(channel: grpc.aio.Channel):
    """The caller's id comes back in the initial metadata; binary metadata is taken and ignored."""
    metadata = (("x-request-id", "mine-1"), ("x-trace-bin", b"\xab\xab\xab"))
    sent = status_pb2_grpc.StatusStub(channel).GetInfo(status_pb2.GetInfoRequest(), metadata=metadata)

    assert dict(await sent.initial_metadata())["request-id"] == "mine-1"


@pytest.mark.parametrize(
    ("text", "details"),
    [
        ("plain words", "plain words"),
        ("\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", "☺ and non-BMP 😈"),
    ],
    ids=["status_code_and_message", "special_status_message"],
)
async def test_status_code_and_message(channel: grpc.aio.Channel, text: str, details: str):
    """A provider's words reach the caller, in whatever letters."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked(f"[[error 400 {text}]]"))

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details in (raised.value.details() or "")


@pytest.mark.parametrize("path", ["/ccproxy.v1.Proxy/Nope", "/ccproxy.v1.Nope/GetInfo"])
async def test_unimplemented_method_and_service(channel: grpc.aio.Channel, path: str):
    """As every gRPC client expects."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary(path)(b"")

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_cancel_after_begin(channel: grpc.aio.Channel, service: Service):
    """Before anything came: nobody was served, and the upstream is closed."""
    sent = proxy_pb2_grpc.ProxyStub(channel).StreamMessage(asked("[[wait 5000]]"))
    await until(lambda: service.proxy.running == 1)
    sent.cancel()
    await until(lambda: service.proxy.running == 0)

    assert service.metrics.totals().total == 0


async def test_cancel_after_first_response(
    channel: grpc.aio.Channel, service: Service, caplog: pytest.LogCaptureFixture
):
    """A client that leaves in the middle is no error of anybody's."""
    for _ in range(20):
        sent = proxy_pb2_grpc.ProxyStub(channel).StreamMessage(asked("[[tokens 20000]]"))
        await sent.read()
        sent.cancel()
    await until(lambda: service.proxy.running == 0)

    assert service.metrics.totals().success == 20
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_timeout_on_sleeping_server(channel: grpc.aio.Channel, service: Service):
    """The call ends here when it ends there."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked("[[wait 5000]]"), timeout=0.3)
    await until(lambda: service.proxy.running == 0)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_max_streams(peer: Peer):
    """The limit is told at once, so that well-behaved clients keep it."""
    await until(lambda: any(kind == SETTINGS for kind, _, _ in peer.frames))
    settings = next(payload for kind, _, payload in peer.frames if kind == SETTINGS)
    told = {
        int.from_bytes(settings[i : i + 2], "big"): settings[i + 2 : i + 6] for i in range(0, len(settings), 6)
    }

    assert int.from_bytes(told[3], "big") == 1000


async def test_ping(peer: Peer):
    """Answered with its own bytes."""
    await peer.send(frame(SETTINGS, ACK) + frame(PING, 0, 0, b"12345678"))
    await until(lambda: (PING, 0, b"12345678") in peer.frames)


async def test_goaway(peer: Peer, service: Service):
    """A client that will ask no more still gets its answer."""
    await peer.send(begun("[[tokens 20]] [[pace 50]]"))
    await until(lambda: service.proxy.running == 1)
    await peer.send(frame(GOAWAY, 0, 0, b"\0" * 8))
    await until(lambda: service.proxy.running == 0)

    assert service.metrics.totals().success == 1
    await until(lambda: any(b"grpc-status" in payload for kind, _, payload in peer.frames if kind == HEADERS))


@pytest.mark.parametrize(
    ("sent", "served"),
    [
        (frame(HEADERS, END_HEADERS, 1, call(b"/ccproxy.v1.Proxy/StreamMessage")), False),
        (begun(CALM, message=b"\0\0\0\0\xffhalf"), False),
        (begun(CALM), True),
    ],
    ids=["rst_after_header", "rst_during_data", "rst_after_data"],
)
async def test_rst(peer: Peer, service: Service, caplog: pytest.LogCaptureFixture, sent: bytes, served: bool):  # noqa: FBT001
    """Whenever a client gives up, its call ends, and only its call."""
    await peer.send(sent)
    if served:
        await until(lambda: service.proxy.running == 1)
    await peer.send(frame(RST_STREAM, 0, 1, CANCEL))
    await until(lambda: service.proxy.running == 0)
    await peer.send(frame(PING, 0, 0, b"still on"))
    await until(lambda: (PING, 0, b"still on") in peer.frames)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
