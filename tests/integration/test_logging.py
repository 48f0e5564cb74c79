"""The log of a running service: one line for each finished request on both edges, and no secret in any line."""

import asyncio
import contextlib
import fcntl
import io
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2
from integration.edges import Edge, GrpcEdge, HttpEdge
from integration.process import free_ports

from ccproxy import logs
from ccproxy.app import Service, running
from ccproxy.config import Config, ProviderConfig, Secret
from ccproxy.provider import UpstreamRequest
from ccproxy.serving import Phase
from ccproxy.upstream import Upstream

CALLERS_KEY = "canary-callers-key-0001"
PROVIDERS_KEY = "sk-ant-canary-providers-key-0002"
WRONG_KEY = "canary-wrong-key-0003"
PROMPT = "canary-prompt-0004"
HEADER = "canary-header-0005"
QUERY = "canary-query-0006"
ECHO = "canary-echo-0007"
TEXT = "canary-exception-0008"
VARIABLE = "canary-variable-0009"
CANARY = "canary"  # in all of them

PAGE = Path(__file__).resolve().parents[2] / "docs" / "logging.md"


class Log:
    """What a service has logged, to be read when it has ended."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.stream.getvalue().splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["msg"] == "request"]

    def told(self, *names: str) -> list[tuple[Any, ...]]:
        """These fields of each request."""
        return [tuple(line.get(name) for name in names) for line in self.requests]


@asynccontextmanager
async def serving(log: Log, /, **config: Any) -> AsyncIterator[tuple[Service, dict[str, Edge]]]:
    """A service whose log is `log`, and its edges by name."""
    whole = Config(**{"port": 0, "grpc_port": 0, "log_format": "json", **config})
    with logs.configure(whole, log.stream, {}):
        async with running(whole, {"ANTHROPIC_API_KEY": VARIABLE}) as service:
            http, rpc = HttpEdge(service), GrpcEdge(service)
            try:
                yield service, {"http": http, "grpc": rpc}
            finally:
                await http.client.aclose()
                await rpc.channel.close()


def ask(text: str = PROMPT, model: str = "claude-demo-1", **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **more}


async def read_some(edge: Edge, document: dict[str, Any], *, wait: bool) -> None:
    """Begins a stream and leaves: after its first byte, or (`wait` is false) before it."""
    async with contextlib.AsyncExitStack() as stack:
        if isinstance(edge, HttpEdge):
            request = edge.client.stream("POST", "/v1/messages", json={**document, "stream": True})
            if not wait:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await stack.enter_async_context(request)
                return
            response = await stack.enter_async_context(request)
            await anext(response.aiter_raw())
            return
        assert isinstance(edge, GrpcEdge)
        call = edge.stub.StreamMessage(message(document))
        if wait:
            await call.read()
        else:
            await asyncio.sleep(0.3)
        call.cancel()


def message(document: dict[str, Any]) -> Any:
    """The document as gRPC sends it."""
    return json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))


async def settled(service: Service) -> None:
    """Waits until no call runs."""
    async with asyncio.timeout(10):
        while service.proxy.running:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


EDGES = pytest.mark.parametrize("edge", ["http", "grpc"])


# Lines.


@EDGES
async def test_an_answered_request_is_one_line(log: Log, edge: str):
    """Who, what, where, how long, how many tokens."""
    async with serving(log, demo=True) as (_, edges):
        await edges[edge].create(ask(), {"x-request-id": "req-of-mine"})
    (line,) = log.requests

    assert line["level"] == "info"
    assert (line["request_id"], line["edge"], line["method"]) == ("req-of-mine", edge, "create_message")
    assert (line["provider"], line["model"], line["requested_model"]) == (
        "anthropic",
        "claude-demo-1",
        "claude-demo-1",
    )
    assert (line["status"], line["outcome"], line["stream"], line["caller"]) == (200, "success", False, "local")
    assert line["input_tokens"] > 0
    assert line["output_tokens"] > 0
    assert line["duration_ms"] > 0


@EDGES
async def test_a_stream_tells_when_its_content_began(log: Log, edge: str):
    """Time to the first token is what people feel."""
    async with serving(log, demo=True) as (_, edges):
        await edges[edge].stream(ask("[[tokens 5]] [[pace 50]]"))
    (line,) = log.requests

    assert (line["method"], line["stream"], line["outcome"]) == ("stream_message", True, "success")
    assert 0 < line["ttft_ms"] < line["duration_ms"]
    assert line["output_tokens"] == 5


@EDGES
async def test_a_token_count_is_a_line(log: Log, edge: str):
    """It goes to the provider, so it may fail there."""
    async with serving(log, demo=True) as (_, edges):
        document = {"model": "claude-demo-1", "messages": [{"role": "user", "content": PROMPT}]}
        await edges[edge].count(document)

    assert log.told("method", "outcome", "provider") == [("count_tokens", "success", "anthropic")]


@EDGES
async def test_what_the_provider_has_no_place_for_is_counted(log: Log, edge: str):
    """The names are in the answer's header."""
    async with serving(log, demo=True) as (_, edges):
        await edges[edge].create(ask(model="openai,gpt-demo-1", top_k=5))

    assert log.requests[0]["dropped"] > 0


@EDGES
@pytest.mark.parametrize(
    ("directive", "status", "reason", "level"),
    [
        ("[[error 400 invalid_request_error]]", 400, "INVALID_REQUEST", "info"),
        ("[[error 401 authentication_error]]", 502, "UPSTREAM_AUTHENTICATION_FAILED", "warning"),
        ("[[error 429 rate_limit_error]]", 429, "RATE_LIMITED", "warning"),
        ("[[error 500 api_error]]", 500, "INTERNAL", "warning"),
        ("[[error 529 overloaded_error]]", 529, "OVERLOADED", "warning"),
        ("[[cut]]", 502, "UPSTREAM_UNREACHABLE", "warning"),
    ],
)
async def test_a_failure_is_told_by_its_reason(
    log: Log, edge: str, directive: str, status: int, reason: str, level: str
):
    """A provider's failure is a warning, a caller's mistake is not."""
    async with serving(log, demo=True) as (_, edges):
        await edges[edge].create(ask(directive))

    assert log.told("outcome", "status", "reason", "level") == [("failed", status, reason, level)]


@EDGES
async def test_a_stream_that_breaks_is_told_once(log: Log, edge: str):
    """It had begun: the provider's failure, all the same."""
    async with serving(log, demo=True) as (_, edges):
        await edges[edge].stream(ask("[[tokens 20]] [[cut 5]]"))

    assert [line["outcome"] for line in log.requests] == ["failed"]
    assert log.requests[0]["level"] == "warning"
    assert log.requests[0]["ttft_ms"] > 0


@EDGES
@pytest.mark.parametrize(
    ("text", "wait", "outcome"),
    [("[[tokens 200]] [[pace 20]]", True, "aborted"), ("[[wait 5000]]", False, "abandoned")],
)
async def test_a_caller_that_leaves_is_told(log: Log, edge: str, text: str, outcome: str, *, wait: bool):
    """Before the first byte nobody was served; after it the tokens were spent."""
    async with serving(log, demo=True) as (service, edges):
        await read_some(edges[edge], ask(text), wait=wait)
        await settled(service)

    assert log.told("outcome", "level") == [(outcome, "info")]


@EDGES
async def test_a_request_during_the_end_is_told(log: Log, edge: str):
    """Some client has not heard of it."""
    async with serving(log, demo=True) as (service, edges):
        service.serving.move(Phase.STOPPING, "shutting down")
        await edges[edge].create(ask())

    assert log.told("outcome", "status", "reason", "level") == [("failed", 503, "SHUTTING_DOWN", "info")]


@EDGES
async def test_a_refused_caller_is_one_line_without_a_request(log: Log, edge: str):
    """Guessing must show, and what was guessed must not."""
    async with serving(log, demo=True, apikey=Secret(CALLERS_KEY)) as (_, edges):
        await edges[edge].create(ask(), {"x-api-key": WRONG_KEY})
    (line,) = [line for line in log.lines if line["msg"] == "caller refused"]

    assert (line["edge"], line["reason"]) == (edge, "AUTHENTICATION_FAILED")
    assert line["method"] == "ccproxy.v1.Proxy.CreateMessage"
    assert log.requests == []


async def test_without_log_no_request_is_a_line(log: Log):
    """What else the operator should know still is."""
    async with serving(log, demo=True, log=False) as (_, edges):
        for edge in edges.values():
            await edge.create(ask())

    assert log.requests == []


# Secrets.


class Raises:
    """A transport that has a mistake."""

    @asynccontextmanager
    async def send(self, request: UpstreamRequest, *, stream: bool) -> AsyncIterator[Any]:
        raise ValueError(f"{TEXT} {request.headers} {request.body!r} {stream}")
        yield


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An upstream that fails, and quotes everything it was sent wherever that can be put."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    quoted = msgspec.json.encode(f"{ECHO} {head.decode()} {body.decode()}")
    error = b'{"type":"error","error":{"type":"%s","message":%s}}'
    answer = error % (b"api_error", quoted)
    status = b"500 " + ECHO.encode()
    kind = b"application/json"
    if b"refuse" in body:
        status = b"401 no"
    elif b"garbage" in body:
        writer.write(f"{ECHO} {PROVIDERS_KEY}\r\n\r\n".encode())
        status = b""
    elif b"stream" in body and b"begin" in body:
        status, kind = b"200 OK", b"text/event-stream"
        start = b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n'
        answer = start + b"event: error\ndata: " + error % (b"overloaded_error", quoted) + b"\n\n"
    elif b"nonsense" in body:
        status, answer = b"200 OK", quoted
    if status:
        writer.write(
            b"HTTP/1.1 %s\r\nrequest-id: %s\r\ncontent-type: %s\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (status, PROVIDERS_KEY.encode(), kind, len(answer), answer)
        )
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def echoing(log: Log) -> AsyncIterator[tuple[Service, dict[str, Edge]]]:
    """A service whose provider quotes all it gets, and which has something to hide everywhere."""
    upstream = await asyncio.start_server(_echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
    key = Secret(PROVIDERS_KEY)
    providers = [
        ProviderConfig("anthropic", api_base_url=url, api_key=key),
        ProviderConfig("openai", api_base_url=url, api_key=key, models=["gpt-x"]),
    ]
    config = {"providers": providers, "apikey": Secret(CALLERS_KEY), "log_level": "debug"}
    async with upstream, serving(log, **config) as served:
        yield served


SHOWN = {"x-api-key": CALLERS_KEY, "x-anything": HEADER, "anthropic-beta": HEADER}
WAYS = ("quote", "refuse", "garbage", "begin", "nonsense")


@EDGES
@pytest.mark.parametrize("model", ["claude-x", "openai,gpt-x"])
async def test_no_line_holds_a_secret_whatever_fails(log: Log, edge: str, model: str):
    """Keys, prompts, headers, variables, and all of it quoted by a provider."""
    async with echoing(log) as (service, edges):
        for way in WAYS:
            document = ask(f"{PROMPT} {way}", model, metadata={"user_id": HEADER})
            await edges[edge].create(document, SHOWN)
            await edges[edge].stream(document, SHOWN)
        await edges[edge].create(ask(), {"x-api-key": WRONG_KEY})
        await settled(service)

    assert len(log.requests) == 2 * len(WAYS)
    assert all(line["outcome"] == "failed" for line in log.requests)
    assert CANARY not in log.stream.getvalue()


async def test_no_line_holds_a_query_string(log: Log):
    """Some clients put a key there."""
    async with echoing(log) as (service, _):
        url = f"http://127.0.0.1:{service.http_port}"
        async with httpx.AsyncClient(headers={"x-api-key": CALLERS_KEY}) as http:
            await http.post(f"{url}/v1/messages?beta=true&key={QUERY}", json=ask())
            await http.get(f"{url}/v1/models/{QUERY}?key={QUERY}")
            await http.get(f"{url}/{QUERY}?key={QUERY}")

    assert len(log.requests) == 1
    assert CANARY not in log.stream.getvalue()


async def test_no_line_holds_what_is_no_http(log: Log):
    """aiohttp's own line would quote it."""
    async with echoing(log) as (service, _):
        for data in (f"{QUERY}\r\n\r\n", f"GET / HTTP/1.1\r\nhost: a\r\n{HEADER}\x01\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
            writer.write(data.encode())
            await reader.read()
            writer.close()
            await writer.wait_closed()

    assert CANARY not in log.stream.getvalue()


@EDGES
async def test_a_mistake_of_ours_is_an_error_without_its_text(log: Log, edge: str):
    """An exception's text may hold anything."""
    async with echoing(log) as (service, edges):
        upstreams = dict(service.proxy.backend.upstreams)
        upstreams["anthropic"] = Upstream(upstreams["anthropic"].provider, Raises())
        service.proxy.backend.upstreams = upstreams
        await edges[edge].create(ask(), SHOWN)
        await edges[edge].stream(ask(), SHOWN)

    assert log.told("outcome", "status", "reason", "level") == [("failed", 500, "INTERNAL", "error")] * 2
    assert sum("internal error" in line["msg"] for line in log.lines) == 2
    assert CANARY not in log.stream.getvalue()


async def test_a_task_that_dies_is_told_without_its_text(log: Log):
    """The service installs its own handler of the loop's exceptions."""

    def die() -> None:
        raise ValueError(TEXT)

    async with echoing(log):
        asyncio.get_running_loop().call_soon(die)
        await asyncio.sleep(0.01)

    assert any("ValueError in die" in line["msg"] for line in log.lines)
    assert CANARY not in log.stream.getvalue()


# Processes.


@pytest.fixture
def command(tmp_path: Path) -> tuple[list[str], int]:
    """A command that serves the demo, and its HTTP port."""
    http, rpc = free_ports(2)
    file = tmp_path / "ccproxy.json"
    file.write_bytes(msgspec.json.encode({"port": http, "grpc_port": rpc, "demo": True, "log_format": "text"}))
    return [sys.executable, "-m", "ccproxy", "start", "--foreground", "--config", str(file)], http


@contextlib.contextmanager
def started(command: list[str], stderr: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The process, which is gone when the context ends."""
    with subprocess.Popen(command, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.kill()


async def answers(port: int, count: int) -> httpx.AsyncClient:
    """A client whose requests, so many of them, have been answered."""
    http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(httpx.TransportError):
                await http.get("/")
                break
            await asyncio.sleep(0.02)
    for _ in range(count):
        assert (await http.post("/v1/messages", json=ask())).status_code == 200
    return http


async def ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code after SIGTERM."""
    process.terminate()
    return await asyncio.to_thread(process.wait, 20)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe can be set on Linux alone")
async def test_a_process_whose_log_nobody_reads_serves_and_ends(command: tuple[list[str], int]):
    """Its thread is stuck in the middle of a write, also while the interpreter ends."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    with started(command[0], write) as process:
        os.close(write)
        await (await answers(command[1], 30)).aclose()
        code = await ended(process)
    os.close(read)

    assert code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("how", ["2>&-", "2>/dev/full"])
async def test_a_process_that_can_log_nowhere_counts_and_serves(command: tuple[list[str], int], how: str):
    """Closed, or a full disk."""
    with started(["/bin/sh", "-c", f'exec "$@" {how}', "sh", *command[0]]) as process:
        http = await answers(command[1], 5)
        async with contextlib.aclosing(http), asyncio.timeout(5):
            while not re.search(r"ccproxy_log_dropped_total [1-9]", (await http.get("/metrics")).text):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        code = await ended(process)

    assert code == 0


# The page.


def table() -> list[str]:
    """The names in the page's table of fields."""
    section = PAGE.read_text().partition("## Fields")[2].partition("\n## ")[0]
    return [row.split("`")[1] for row in section.splitlines() if row.startswith("| `")]


def example() -> dict[str, Any]:
    """The page's line."""
    found: dict[str, Any] = msgspec.json.decode(PAGE.read_text().partition("```json\n")[2].partition("```")[0])
    return found


def test_the_page_names_every_field_in_its_order():
    """What is not documented cannot be searched for."""
    own = [name for name in logs.Entry.__struct_fields__ if name != "level"]

    assert table() == ["ts", "level", "msg", "logger", *own]


async def test_the_pages_example_is_what_comes_out(log: Log):
    """Names, order, types."""
    async with serving(log, demo=True) as (_, edges):
        await edges["http"].stream(ask())
    (line,) = log.requests

    assert {name: type(value) for name, value in line.items()} == {n: type(v) for n, v in example().items()}
    assert list(line) == list(example())
