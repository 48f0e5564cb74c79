"""`/v1/models` as callers meet it: every spelling, Claude Code's names, and a provider that is silent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import pairwise

import grpc
import httpx
import pytest
from ccproxy_pb.v1 import proxy_pb2, proxy_pb2_grpc
from integration.edges import Edge, GrpcEdge, HttpEdge
from integration.test_both_edges import ask

from ccproxy.app import Service, running
from ccproxy.config import Config, ProviderConfig
from ccproxy.demo import Demo

ALIAS = "claude-via-openai/gpt-demo-1"
PLAIN = "openai,gpt-demo-1"
CLAUDE_CODE = {"user-agent": "claude-code/2.1.331"}

CLAUDE_CODE_SECONDS = 3.0  # it waits no longer for the list
SOON_SECONDS = 2.0  # less than anybody waits for a provider


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A running service, with the demo upstream."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


@pytest.fixture(params=["http", "grpc"])
async def edge(service: Service, request: pytest.FixtureRequest) -> AsyncIterator[Edge]:
    """Each edge in turn."""
    if request.param == "http":
        http = HttpEdge(service)
        yield http
        await http.client.aclose()
    else:
        rpc = GrpcEdge(service)
        yield rpc
        await rpc.channel.close()


@pytest.mark.parametrize("spelling", ["gpt-demo-1", PLAIN, "openai/gpt-demo-1"])
async def test_a_model_is_found_by_every_name_that_a_request_can_give_it(edge: Edge, spelling: str):
    """Applications check the name in their settings before they use it."""
    found = await edge.model(spelling)

    assert found.document["id"] == PLAIN
    assert found.document["display_name"] == "gpt-demo-1"


@pytest.mark.parametrize("path", [ALIAS, ALIAS.replace("/", "%2F"), ALIAS.replace("/", "%2f")])
async def test_a_slash_in_a_name_may_be_escaped(service: Service, path: str):
    """The official SDKs escape it, curl does not."""
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{service.http_port}/v1/models/{path}")

    assert (response.status_code, response.json()["id"]) == (HTTPStatus.OK, ALIAS)


async def test_an_alias_is_a_model_like_any_other(edge: Edge):
    """Claude Code's menu sends it, to be answered at once or in a stream."""
    found, whole = await edge.model(ALIAS), await edge.create(ask(ALIAS, "Hello"))
    streamed, counted = await edge.stream(ask(ALIAS, "Hello")), await edge.count(ask(ALIAS, "Hello"))

    assert (found.document["id"], found.document["display_name"]) == (ALIAS, "gpt-demo-1 (openai)")
    assert whole.document["content"] == [{"type": "text", "text": "Demo answer to: Hello"}]
    assert {answer.headers["x-ccproxy-provider"] for answer in (whole, streamed)} == {"openai"}
    assert {answer.headers["x-ccproxy-model"] for answer in (whole, streamed)} == {"gpt-demo-1"}
    assert streamed.events[-1]["type"] == "message_stop"
    assert counted.document["input_tokens"] > 0


async def test_claude_code_gets_names_that_its_menu_shows_over_both_edges(service: Service):
    """Over gRPC the channel's own user agent follows the caller's."""
    async with httpx.AsyncClient(headers=CLAUDE_CODE) as client:
        page = (await client.get(f"http://127.0.0.1:{service.http_port}/v1/models?limit=1000")).json()
    options = [("grpc.primary_user_agent", CLAUDE_CODE["user-agent"])]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=options) as channel:
        same = await proxy_pb2_grpc.ProxyStub(channel).ListModels(proxy_pb2.ListModelsRequest(limit=1000))

    ids = [model["id"] for model in page["data"]]
    assert ids == [model.id for model in same.data]
    assert all("claude" in id for id in ids)  # noqa: A001
    assert ALIAS in ids
    assert PLAIN not in ids


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The URL of a provider that takes requests and never answers, and what it was asked."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        await reader.read()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_a_silent_provider_holds_up_neither_the_start_nor_the_list_nor_the_end():
    """Claude Code takes what is there within three seconds; Kubernetes waits for "ready", and for the end."""
    before = asyncio.all_tasks()
    async with silent() as (url, asked), Demo.serve() as demo, httpx.AsyncClient(headers=CLAUDE_CODE) as client:
        config = Config(
            port=0,
            providers=[
                ProviderConfig("silent", type="openai", api_base_url=url, models=["named"]),
                ProviderConfig("anthropic", api_base_url=demo.anthropic_url),
            ],
        )
        times = [time.monotonic()]
        async with running(config, {}) as service:
            times.append(time.monotonic())
            place = f"http://127.0.0.1:{service.http_port}/v1/models?limit=1000"
            pages = await asyncio.gather(*(client.get(place) for _ in range(5)))
            times.append(time.monotonic())
            later = await client.get(place)
            times.append(time.monotonic())
        times.append(time.monotonic())

    started, listed, again, ended = (end - begin for begin, end in pairwise(times))
    assert listed < CLAUDE_CODE_SECONDS
    assert max(started, again, ended) < SOON_SECONDS
    ids = ["claude-via-silent/named", "claude-demo-1", "claude-demo-1-mini", "claude-demo-0"]
    assert {tuple(model["id"] for model in page.json()["data"]) for page in [*pages, later]} == {tuple(ids)}
    assert asked == [b"GET /v1/models HTTP/1.1\r\n"]
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() <= before


async def test_a_list_is_there_before_anybody_asks(service: Service):
    """It is asked for at the start, so a bare name that one provider lists can be used at once."""
    edge = HttpEdge(service)
    for _ in range(100):
        answer = await edge.create(ask("gpt-demo-1", "Hello"))
        if answer.headers["x-ccproxy-provider"] == "openai":
            break
        await asyncio.sleep(0.05)
    await edge.client.aclose()

    assert answer.headers["x-ccproxy-provider"] == "openai"
