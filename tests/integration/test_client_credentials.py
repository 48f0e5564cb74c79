"""`auth: client`: the caller's own credential reaches one provider and nobody else, and our key reaches none."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from integration.edges import Edge, GrpcEdge, HttpEdge

from ccproxy.app import Service, running
from ccproxy.config import Config, ProviderConfig, RouteConfig, Secret

OURS = "proxy-key-planted"
OPENAI = "sk-openai-planted"
MINE = "sk-ant-mine-planted"
TOKEN = "sk-ant-oat01-mine-planted"
LET_IN = {"x-ccproxy-key": OURS}
SECRETS = (OURS, OPENAI, MINE, TOKEN)

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}


class Upstream:
    """A provider that remembers what it was shown, and answers or refuses."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers
        self.refusal: tuple[int, dict[str, Any]] | None = None
        self.seen: list[web.BaseRequest] = []
        self.url = ""

    @property
    def everything(self) -> str:
        """All that came, but for the bodies."""
        return "\n".join(f"{request.raw_path} {request.raw_headers}" for request in self.seen)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        document = await request.json() if request.can_read_body else {}
        if self.refusal is not None:
            return web.json_response(self.refusal[1], status=self.refusal[0])
        answer = self._answers[request.path.rpartition("/")[2]]
        if not document.get("stream"):
            return web.json_response(answer)
        body = b"".join(
            b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
            for event in (
                {"type": "message_start", "message": answer},
                {"type": "message_stop"},
            )
        )
        return web.Response(body=body, content_type="text/event-stream")


async def served(upstream: Upstream) -> AsyncIterator[Upstream]:
    """An upstream on this host."""
    runner = web.ServerRunner(web.Server(upstream))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield upstream
    await runner.cleanup()


@pytest.fixture
async def anthropic() -> AsyncIterator[Upstream]:
    """Stands for Anthropic."""
    async for upstream in served(Upstream({"messages": MESSAGE, "count_tokens": {"input_tokens": 7}})):
        yield upstream


@pytest.fixture
async def openai() -> AsyncIterator[Upstream]:
    """Stands for OpenAI."""
    answers = {"completions": COMPLETION, "models": {"object": "list", "data": [{"id": "gpt-4o"}]}}
    async for upstream in served(Upstream(answers)):
        yield upstream


@pytest.fixture
async def service(anthropic: Upstream, openai: Upstream) -> AsyncIterator[Service]:
    """A service with a key of its own, over both."""
    config = Config(
        port=0,
        grpc_port=0,
        apikey=Secret(OURS),
        providers=[
            ProviderConfig("anthropic", api_base_url=anthropic.url, auth="client", models=["claude-x"]),
            ProviderConfig("openai", api_base_url=openai.url, api_key=Secret(OPENAI)),
        ],
        routes={"gpt": RouteConfig("openai", "gpt-4o"), "default": RouteConfig("anthropic")},
    )
    async with running(config, {}) as service:
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


def ask(model: str = "claude-x") -> dict[str, Any]:
    """A request."""
    return {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


CREDENTIALS = [
    {"x-api-key": MINE},
    {"authorization": f"Bearer {TOKEN}", "anthropic-beta": "oauth-2025-04-20"},
    {"x-api-key": MINE, "authorization": f"Bearer {TOKEN}"},
]


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_callers_credential_reaches_anthropic_as_it_came(
    edge: Edge,
    anthropic: Upstream,
    openai: Upstream,
    credential: dict[str, str],
    stream: bool,  # noqa: FBT001
):
    """Over both edges, whole and streamed."""
    outcome = await (edge.stream if stream else edge.create)(ask(), {**LET_IN, **credential})

    assert outcome.failure is None
    shown = anthropic.seen[0].headers
    assert {name: shown[name] for name in credential} == credential
    assert {"x-api-key", "authorization"} & {name.lower() for name in shown} == set(credential) - {
        "anthropic-beta"
    }
    assert OURS not in anthropic.everything
    assert [request.path for request in openai.seen if request.path != "/v1/models"] == []


async def test_the_callers_credential_reaches_nobody_else(edge: Edge, anthropic: Upstream, openai: Upstream):
    """The other provider gets the operator's key for it."""
    outcome = await edge.create(ask("gpt"), {**LET_IN, "x-api-key": MINE, "authorization": f"Bearer {TOKEN}"})

    assert outcome.document["content"][0]["text"] == "hello"
    assert {request.headers["authorization"] for request in openai.seen} == {f"Bearer {OPENAI}"}
    assert not any(secret in openai.everything for secret in (OURS, MINE, TOKEN))
    assert anthropic.seen == []


async def test_without_a_credential_the_caller_is_told_so(edge: Edge, anthropic: Upstream):
    """A 401 here makes the client ask its user to log in, which is right."""
    outcome = await edge.create(ask(), LET_IN)

    assert outcome.failure is not None
    assert (outcome.failure.http_status, outcome.failure.type) == (401, "authentication_error")
    assert "own credential" in outcome.failure.message
    assert anthropic.seen == []


async def test_our_key_in_the_credentials_place_is_not_passed_on(edge: Edge, anthropic: Upstream):
    """Who is let in by it has shown no credential yet."""
    outcome = await edge.create(ask(), {"x-api-key": OURS})

    assert outcome.failure is not None
    assert outcome.failure.http_status == 401
    assert anthropic.seen == []


async def test_a_credential_alone_opens_nothing(edge: Edge, anthropic: Upstream):
    """It is for Anthropic; CCProxy has a key of its own."""
    outcome = await edge.create(ask(), {"x-api-key": MINE})

    assert outcome.failure is not None
    assert outcome.failure.message == "Invalid or missing API key"
    assert anthropic.seen == []


@pytest.mark.parametrize(("status", "kind"), [(401, "authentication_error"), (403, "permission_error")])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_by_anthropic_is_the_callers_to_see(
    edge: Edge,
    anthropic: Upstream,
    caplog: pytest.LogCaptureFixture,
    status: int,
    kind: str,
    stream: bool,  # noqa: FBT001
):
    """As if nobody stood in between, but for what nobody may read in a log."""
    caplog.set_level(logging.DEBUG)
    document = {"type": "error", "error": {"type": kind, "message": f"no: {MINE}"}, "request_id": "req_up"}
    anthropic.refusal = (status, document)
    outcome = await (edge.stream if stream else edge.create)(ask(), {**LET_IN, "x-api-key": MINE})

    assert outcome.failure is not None
    assert (outcome.failure.http_status, outcome.failure.type) == (status, kind)
    assert outcome.failure.message == "no: [redacted]"
    assert not outcome.failure.should_retry
    assert not any(secret in caplog.text for secret in SECRETS)


async def test_a_refused_key_of_ours_stays_our_failure(edge: Edge, openai: Upstream):
    """The other provider's credential is none of the caller's business."""
    openai.refusal = (401, {"error": {"message": "Incorrect API key", "type": "invalid_request_error"}})
    outcome = await edge.create(ask("gpt"), {**LET_IN, "x-api-key": MINE})

    assert outcome.failure is not None
    assert outcome.failure.http_status == 502


async def test_tokens_are_counted_with_the_callers_credential(service: Service, anthropic: Upstream):
    """The same rule, and the same redaction."""
    http = HttpEdge(service)
    url = "/v1/messages/count_tokens"
    document = {"model": "claude-x", "messages": ask()["messages"]}
    counted = await http.client.post(url, json=document, headers={**LET_IN, "x-api-key": MINE})
    without = await http.client.post(url, json=document, headers=LET_IN)
    anthropic.refusal = (401, {"type": "error", "error": {"type": "authentication_error", "message": MINE}})
    refused = await http.client.post(url, json=document, headers={**LET_IN, "x-api-key": MINE})
    await http.client.aclose()

    assert counted.json() == {"input_tokens": 7}
    assert [request.headers.get("x-api-key") for request in anthropic.seen] == [MINE, MINE]
    assert (without.status_code, refused.status_code) == (401, 401)
    assert refused.json()["error"] == {"type": "authentication_error", "message": "[redacted]"}


async def test_models_are_listed_without_asking_with_anybodys_credential(
    service: Service, anthropic: Upstream, openai: Upstream
):
    """The list is kept and shown to all callers; the models that the operator names are in it."""
    http = HttpEdge(service)
    listed = await http.client.get("/v1/models", headers={**LET_IN, "x-api-key": MINE})
    answered = await http.create(ask("gpt-4o"), LET_IN)
    metrics = await http.client.get("/metrics", headers=LET_IN)
    await http.client.aclose()

    assert [model["id"] for model in listed.json()["data"]] == ["claude-x", "openai,gpt-4o"]
    assert answered.headers["x-ccproxy-provider"] == "openai"  # known from the list by now
    assert anthropic.seen == []
    assert not any(secret in openai.everything for secret in (OURS, MINE))
    assert not any(secret in metrics.text for secret in SECRETS)
