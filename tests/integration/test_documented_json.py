"""The documented JSON against live answers: keys, order, types and formats, over HTTP and from gRPC."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, status_pb2, status_pb2_grpc
from google.protobuf.message import Message
from integration import documented

from ccproxy import __version__
from ccproxy.app import Service, running
from ccproxy.config import Config, ProviderConfig, Secret
from ccproxy.demo import Demo

KEY = "the-operators-key"
AUTHENTICATED = {"x-api-key": KEY}
STRANGER = {"x-forwarded-for": "203.0.113.9"}
BUILD = {"CCPROXY_BUILD_COMMIT": "abc123def", "CCPROXY_BUILD_DATE": "2025-01-17T08:00:00Z"}
MOVING = ("timestamp", "uptime", "memory_mb", "goroutines")
"""What may differ between two questions."""


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service with two providers that answer: configured ones, as in production."""
    async with Demo.serve() as demo:
        config = Config(
            port=0,
            grpc_port=0,
            apikey=Secret(KEY),
            providers=[
                ProviderConfig("openai", api_base_url=demo.openai_url),
                ProviderConfig("anthropic", api_base_url=demo.anthropic_url),
            ],
        )
        async with running(config, BUILD) as service:
            yield service


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A caller on this host, with the key."""
    url = f"http://127.0.0.1:{service.http_port}"
    async with httpx.AsyncClient(base_url=url, headers=AUTHENTICATED, timeout=10) as client:
        yield client


@pytest.fixture
async def status(service: Service) -> AsyncIterator[status_pb2_grpc.StatusStub]:
    """The same service over gRPC."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        yield status_pb2_grpc.StatusStub(channel)


async def get(http: httpx.AsyncClient, path: str) -> Any:
    """A document, with the order of its members."""
    response = await http.get(path)
    assert response.status_code == 200
    return msgspec.json.decode(response.content)


def as_json(message: Message) -> Any:
    """A message as the document that says the same."""
    return msgspec.json.decode(json_codec.encode(message))


def without(document: Any, names: tuple[str, ...] = MOVING) -> Any:
    """A document without some members, at any depth."""
    if not isinstance(document, dict):
        return document
    return {name: without(member, names) for name, member in document.items() if name not in names}


def documented_part(document: dict[str, Any]) -> dict[str, Any]:
    """A document without what it has beyond the documentation."""
    return {name: member for name, member in document.items() if name not in {"upstreams", "configuration"}}


async def talk(http: httpx.AsyncClient) -> None:
    """Some traffic: four answers and a failure."""
    for text in ("a", "b", "c", "d", "[[error 500]]"):
        body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        await http.post("/v1/messages", json=body)


# Structure.


def test_the_text_holds_the_structure_kept_here():
    """The copy in the tests is only worth something while it equals the documentation."""
    assert [documented.shape(block) for block in documented.json_blocks()] == list(documented.SHAPES)


async def test_info_is_as_documented(http: httpx.AsyncClient):
    """`GET /`: the liveness probe, and what `curl -f` asks."""
    assert documented.shape(await get(http, "/")) == documented.INFO


async def test_health_is_as_documented(http: httpx.AsyncClient):
    """`GET /health` with the key: keys, order and types; what is more comes after them."""
    document = await get(http, "/health")

    assert list(document)[-1] == "upstreams"
    assert documented.shape(documented_part(document)) == documented.HEALTH


async def test_health_is_as_documented_with_traffic(http: httpx.AsyncClient):
    """Averages and percentiles stay whole numbers when there is something to average."""
    await talk(http)

    assert documented.shape(documented_part(await get(http, "/health"))) == documented.HEALTH


async def test_status_is_as_documented(http: httpx.AsyncClient):
    """`GET /status`: keys, order and types; what is more comes after them."""
    document = await get(http, "/status")

    assert list(document)[-1] == "configuration"
    assert documented.shape(documented_part(document)) == documented.STATUS


async def test_the_demo_adds_one_member_to_status():
    """And nothing else: a reader of the documented document still works."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service, httpx.AsyncClient() as http:
        response = await http.get(f"http://127.0.0.1:{service.http_port}/status")
    document = msgspec.json.decode(response.content)

    assert document.pop("demo") is True
    assert documented.shape(documented_part(document)) == documented.STATUS


async def test_unauthenticated_health_is_the_documented_line(http: httpx.AsyncClient):
    """`# Returns: {"status":"healthy"}`, to the byte."""
    response = await http.get("/health", headers={**STRANGER, "x-api-key": "wrong"})

    assert (response.status_code, response.content) == (200, b'{"status":"healthy"}')


async def test_unauthenticated_status_is_refused(http: httpx.AsyncClient):
    """Documented: an API key or localhost."""
    response = await http.get("/status", headers={**STRANGER, "x-api-key": ""})

    assert (response.status_code, response.json()["error"]) == (
        401,
        {"type": "authentication_error", "message": "Invalid or missing API key"},
    )


@pytest.mark.parametrize("path", ["/", "/health", "/status"])
async def test_documents_are_json(http: httpx.AsyncClient, path: str):
    """`jq` does not mind; other readers do."""
    assert (await http.get(path)).headers["content-type"] == "application/json"


# Values and formats.


async def test_info_is_the_documented_message(http: httpx.AsyncClient):
    """Monitors match it."""
    assert await get(http, "/") == {"message": "LLMs API", "version": __version__}


async def test_fixed_values_of_health(http: httpx.AsyncClient, service: Service):
    """What is not a measurement is known."""
    document = await get(http, "/health")

    assert (document["status"], document["version"]) == ("healthy", __version__)
    assert document["config"] == {
        "host": "127.0.0.1",
        "port": service.http_port,
        "providers": 2,
        "api_key_configured": True,
    }


async def test_fixed_values_of_status(http: httpx.AsyncClient, service: Service):
    """Providers are sorted by name, as in the example."""
    document = documented_part(await get(http, "/status"))

    assert without(document, ("uptime", "pid")) == {
        "service": "CCProxy",
        "version": __version__,
        "status": "running",
        "host": "127.0.0.1",
        "port": service.http_port,
        "api_key_configured": True,
        "providers": {"count": 2, "active": ["anthropic", "openai"]},
        "build": {"version": __version__, "commit": "abc123def", "date": "2025-01-17T08:00:00Z"},
    }


async def test_requests_are_counted(http: httpx.AsyncClient):
    """Total is success and failed; looking at health is no request."""
    await talk(http)
    await get(http, "/status")
    document = await get(http, "/health")

    assert document["performance"]["requests"] == {"total": 5, "success": 4, "failed": 1}


async def test_health_and_metrics_give_the_same_numbers(http: httpx.AsyncClient):
    """Whoever is called at night must not wonder which of the two to believe."""
    await talk(http)
    told = (await get(http, "/health"))["performance"]["requests"]
    counted = {"success": 0.0, "failed": 0.0}
    for line in (await http.get("/metrics")).text.splitlines():
        if found := re.fullmatch(r'ccproxy_requests_total\{.*outcome="(\w+)".*\} (\S+)', line):
            counted[found[1]] += float(found[2])

    assert {**counted, "total": sum(counted.values())} == told
    assert told["failed"] == 1


async def test_refused_strangers_are_no_requests(http: httpx.AsyncClient):
    """Somebody who guesses keys must not raise the error rate."""
    await http.post("/v1/messages", headers={"x-api-key": "wrong"}, json={})
    document = await get(http, "/health")

    assert document["performance"]["requests"]["total"] == 0


async def test_the_timestamp_is_now_in_the_documented_format(http: httpx.AsyncClient):
    """`2025-01-17T10:30:00Z`: UTC, whole seconds."""
    stamp = (await get(http, "/health"))["timestamp"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()) < 5


async def test_uptime_in_health_is_nanoseconds(http: httpx.AsyncClient):
    """It grows by a thousand million a second."""
    before = (await get(http, "/health"))["uptime"]
    after = (await get(http, "/health"))["uptime"]

    assert 0 < before < after < 60_000_000_000


async def test_uptime_in_status_is_for_people(http: httpx.AsyncClient):
    """`2h 15m 30s`: three parts, no padding."""
    assert re.fullmatch(r"0h 0m \d{1,2}s", (await get(http, "/status"))["uptime"])


async def test_memory_has_one_decimal(http: httpx.AsyncClient):
    """`15.2`, in the text that is sent: parsers round."""
    text = (await http.get("/health")).text

    assert re.search(r'"memory_mb":\d+\.\d,', text)


async def test_latencies_have_no_decimals(http: httpx.AsyncClient):
    """The documented script compares with `-gt`, which knows whole numbers only."""
    await talk(http)
    text = (await http.get("/health")).text

    assert re.search(r'"latency":\{"avg_ms":\d+,"p50_ms":\d+,"p95_ms":\d+,"p99_ms":\d+\}', text)


# The same over gRPC.


async def test_grpc_tells_the_same_info(http: httpx.AsyncClient, status: status_pb2_grpc.StatusStub):
    """One implementation, two edges."""
    message = await status.GetInfo(status_pb2.GetInfoRequest())

    assert as_json(message) == await get(http, "/")


async def test_grpc_tells_the_same_health(http: httpx.AsyncClient, status: status_pb2_grpc.StatusStub):
    """Values that do not move agree; the others have the documented type."""
    await talk(http)
    message = as_json(await status.GetHealth(status_pb2.GetHealthRequest(), metadata=[("x-api-key", KEY)]))

    assert documented.shape(documented_part(message)) == documented.HEALTH
    assert without(message) == without(await get(http, "/health"))


async def test_grpc_tells_the_same_status(http: httpx.AsyncClient, status: status_pb2_grpc.StatusStub):
    """Process id, host and port are HTTP's on both edges."""
    message = as_json(await status.GetStatus(status_pb2.GetStatusRequest(), metadata=[("x-api-key", KEY)]))

    assert without(message) == without(await get(http, "/status"))


async def test_grpc_uptime_is_the_same_clock(http: httpx.AsyncClient, status: status_pb2_grpc.StatusStub):
    """Between two questions over HTTP it is between their answers."""
    before = (await get(http, "/health"))["uptime"]
    message = await status.GetHealth(status_pb2.GetHealthRequest())
    after = (await get(http, "/health"))["uptime"]

    assert before < message.uptime_nanos < after


async def test_grpc_time_has_no_fractions(status: status_pb2_grpc.StatusStub):
    """The JSON has whole seconds, so the message has too."""
    message = await status.GetHealth(status_pb2.GetHealthRequest())

    assert message.timestamp.nanos == 0


async def test_grpc_shows_a_stranger_one_word(status: status_pb2_grpc.StatusStub):
    """`{"status":"healthy"}` as a message."""
    message = await status.GetHealth(status_pb2.GetHealthRequest(), metadata=tuple(STRANGER.items()))

    assert message == status_pb2.GetHealthResponse(status=status_pb2.HEALTH_STATUS_HEALTHY)
