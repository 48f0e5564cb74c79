"""The operator's limits take effect, on both edges alike."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import httpx
import pytest
from ccproxy_pb.v1 import proxy_pb2, proxy_pb2_grpc

from ccproxy.app import Service, running
from ccproxy.config import Config, Duration, PerformanceConfig, ProviderConfig, RouteConfig, Size
from ccproxy.rpc import MARGIN_BYTES

LIMIT = 2000
HELLO = {"model": "claude-opus-5", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def limited(**limits) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
    """A service with limits, and a client of it."""
    config = Config(port=0, grpc_port=0, demo=True, performance=PerformanceConfig(**limits))
    async with running(config, {}) as service, client(service) as http:
        yield service, http


def client(service: Service) -> httpx.AsyncClient:
    """A client over HTTP."""
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}", timeout=30)


def sized(size: int) -> bytes:
    """A request of `size` bytes."""
    start = b'{"model":"claude-opus-5","max_tokens":8,"messages":[{"role":"user","content":"'
    end = b'"}]}'
    return start + b"x" * (size - len(start) - len(end)) + end


async def parts(body: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not told before."""
    yield body


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_larger_request_is_refused(size: int, status: int, chunked: bool):  # noqa: FBT001
    """`performance.max_request_body_size`, whether the length is told or found out."""
    async with limited(max_request_body_size=Size(LIMIT)) as (_, http):
        content = parts(sized(size)) if chunked else sized(size)
        response = await http.post("/v1/messages", content=content, headers={"content-type": "application/json"})

    assert response.status_code == status


async def test_the_refusal_names_the_limit():
    """The caller learns what would pass."""
    async with limited(max_request_body_size=Size(LIMIT)) as (_, http):
        response = await http.post("/v1/messages", content=sized(LIMIT + 1))

    assert response.json()["error"]["type"] == "request_too_large"
    assert str(LIMIT) in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("size", "code"),
    [(MARGIN_BYTES, None), (MARGIN_BYTES + 2 * LIMIT, grpc.StatusCode.RESOURCE_EXHAUSTED)],
)
async def test_a_larger_message_is_refused(size: int, code: grpc.StatusCode | None):
    """Over gRPC with room for what is not text."""
    message = proxy_pb2.CreateMessageRequest(model="x" * (size - 20))
    async with (
        limited(max_request_body_size=Size(LIMIT)) as (service, _),
        grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await proxy_pb2_grpc.ProxyStub(channel).CreateMessage(message)

    assert (raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED) is (code is not None)


async def test_a_whole_answer_that_takes_too_long_is_a_timeout():
    """`performance.request_timeout`; the way to the provider is closed with it."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    upstream = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
    config = Config(
        port=0,
        grpc_port=0,
        providers=[ProviderConfig("anthropic", api_base_url=url)],
        routes={"default": RouteConfig("anthropic")},
        performance=PerformanceConfig(request_timeout=Duration(0.1)),
    )
    async with upstream, running(config, {}) as service, client(service) as http:
        response = await http.post("/v1/messages", json=HELLO)

    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
