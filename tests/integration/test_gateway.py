"""The HTTP edge on the wire: every refusal is Anthropic's envelope, and nothing of a bad request is quoted."""

import asyncio
import logging
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from ccproxy import gateway as module
from ccproxy import sse
from ccproxy.app import Service, running
from ccproxy.config import Config
from ccproxy.message_stream import MessageStream
from ccproxy.proxy import Proxy

SECRET = "sk-planted-secret"
ASK = {"model": "claude-demo-1", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A running service, with the demo upstream."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}") as client:
        yield client


async def raw(service: Service, data: bytes) -> bytes:
    """What comes back for bytes of any kind."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
    writer.write(data)
    await writer.drain()
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and message of an error that is as documented."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    document = msgspec.json.decode(body)
    assert document["type"] == "error"
    assert set(document["error"]) == {"type", "message"}
    assert headers["request-id"] == document["request_id"]
    assert headers["content-type"] == "application/json"
    assert headers["server"] == "ccproxy"
    return int(lines[0].split()[1]), document["error"]["message"]


BAD = {
    "no HTTP": b"garbage sk-planted-secret\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nx-api-key: sk-planted-secret\0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "length and chunks": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "header too large": b"GET / HTTP/1.1\r\nHost: localhost\r\nx: sk-planted-secret" + b"x" * 40_000 + b"\r\n\r\n",
    "bad method": b"G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("case", BAD)
async def test_what_the_parser_refuses_is_answered_in_our_words(
    service: Service, caplog: pytest.LogCaptureFixture, case: str
):
    """aiohttp's own page quotes the line it could not read, and its log does too: with the caller's key in it."""
    caplog.set_level(logging.DEBUG)
    status, message = refusal(await raw(service, BAD[case]))

    assert status == 400
    assert message == "The request is not valid HTTP"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/messages", "POST"),
        ("OPTIONS", "/v1/messages", "POST"),
        ("GET", "/v1/messages", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
        ("TRACE", "/status", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_names_the_right_ones(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
):
    """405 without Allow is no help."""
    response = await client.request(method, path)

    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["request-id"] == response.json()["request_id"]


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/messages/", "/v1/messages/x", "/%00", "/%ff", "/V1"])
async def test_an_unknown_path_is_not_found_in_the_envelope(client: httpx.AsyncClient, path: str):
    """SDKs decode every body."""
    response = await client.get(path)

    assert response.status_code == 404
    assert response.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("path", ["/", "/health", "/status", "/v1/models", "/v1/messages", "/nope"])
async def test_no_answer_carries_a_cors_header(client: httpx.AsyncClient, path: str):
    """A web page that may read answers spends the user's key."""
    for method in ("GET", "OPTIONS"):
        response = await client.request(
            method, path, headers={"origin": "http://evil.example", "access-control-request-method": "POST"}
        )
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/health", "/livez", "/readyz", "/healthz", "/api/hello", "/metrics", "/status"]
)
async def test_head_is_answered_like_get_without_a_body(client: httpx.AsyncClient, path: str):
    """Load balancers and Claude Code ask with HEAD."""
    response = await client.head(path)

    assert (response.status_code, response.content) == (200, b"")


async def test_the_query_string_is_allowed(client: httpx.AsyncClient):
    """Claude Code always sends `?beta=true`."""
    assert (await client.post("/v1/messages?beta=true", json=ASK)).status_code == 200


async def test_the_callers_request_id_is_kept_where_it_is_fit(client: httpx.AsyncClient):
    """It ends up in logs and headers of others."""
    assert (await client.get("/", headers={"x-request-id": "abc-1"})).headers["request-id"] == "abc-1"
    assert (await client.get("/", headers={"x-request-id": "a b"})).headers["request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({}, 200),
    ],
)
async def test_only_json_as_it_is_is_taken(client: httpx.AsyncClient, headers: dict[str, str], status: int):
    """A web page can send other types here without asking; a gzip bomb is 60 times its size."""
    response = await client.post("/v1/messages", content=msgspec.json.encode(ASK), headers=headers)

    assert response.status_code == status
    if status != 200:
        assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_too_large_is_refused_before_it_is_read(service: Service, client: httpx.AsyncClient):
    """By its length, and by what comes where it names none."""
    head = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n"
    size = module.MAX_BODY_BYTES + 1
    status, _ = refusal(await raw(service, head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size))
    assert status == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * (1 << 20)

    response = await client.post("/v1/messages", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "request_too_large"


async def test_streams_forbid_buffering(client: httpx.AsyncClient):
    """nginx in front would hold every event back until the end."""
    response = await client.post("/v1/messages", json={**ASK, "stream": True})

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["request-id"].startswith("req_")


async def test_a_mistake_of_ours_is_an_opaque_id(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """The exception's text may hold anything, so it reaches neither the caller nor the log; its place does."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(Proxy, "create_message", broken)
    response = await client.post("/v1/messages", json=ASK)

    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"
    assert SECRET not in response.text + caplog.text
    mark = response.json()["error"]["message"].removeprefix("Internal error ")
    assert mark in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_mistake_of_ours_in_mid_stream_is_its_last_event(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """A second status in the middle of a body would be no HTTP, and a stream without an end hangs its reader."""
    whole = MessageStream.__anext__

    async def broken(stream: MessageStream) -> bytes:
        if stream._begun:
            raise ZeroDivisionError(SECRET)
        return await whole(stream)

    monkeypatch.setattr(MessageStream, "__anext__", broken)
    response = await client.post("/v1/messages", json={**ASK, "stream": True})

    *_, last = sse.events(response.content)
    assert response.status_code == 200
    assert (last.event, msgspec.json.decode(last.data)["error"]["type"]) == ("error", "api_error")
    assert b"message_stop" not in response.content
    assert SECRET not in response.text + caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_limit_that_is_no_number_is_refused(client: httpx.AsyncClient):
    """With its name, as Anthropic does."""
    response = await client.get("/v1/models", params={"limit": "many"})

    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith("limit: ")


async def test_both_pages_of_the_interface_are_open(client: httpx.AsyncClient):
    """Tools read the description before they have a key."""
    assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")
    assert (await client.get("/api/hello")).json() == {}


async def test_metrics_speak_both_formats(client: httpx.AsyncClient):
    """Prometheus asks for OpenMetrics first."""
    assert "ccproxy_requests_total" in (await client.get("/metrics")).text
    response = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_health_and_metrics_say_the_same(client: httpx.AsyncClient):
    """One source cannot disagree with itself."""
    await client.post("/v1/messages", json=ASK)
    await client.post("/v1/messages", json={**ASK, "messages": [{"role": "user", "content": "[[error 500]]"}]})
    requests = (await client.get("/health")).json()["performance"]["requests"]
    lines = [
        line.rsplit(" ", 1)
        for line in (await client.get("/metrics")).text.splitlines()
        if line.startswith("ccproxy_requests_total{")
    ]

    assert requests == {"total": 2, "success": 1, "failed": 1}
    assert sum(float(value) for _, value in lines) == requests["total"]
    assert sum(float(value) for name, value in lines if 'outcome="failed"' in name) == requests["failed"]


async def test_without_a_provider_nothing_is_ready_and_the_remedy_is_named():
    """In a cluster no demo answers, and a pod without providers must get no traffic (decision D16)."""
    config = Config(port=0, grpc_port=0)
    async with (
        running(config, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) as service,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}") as client,
    ):
        for path in ("/health", "/readyz"):
            response = await client.get(path)
            assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
        assert (await client.get("/")).status_code == 200
        refused = await client.post("/v1/messages", json=ASK)

    assert refused.status_code == 404
    assert "ANTHROPIC_API_KEY" in refused.json()["error"]["message"]
