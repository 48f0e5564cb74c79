"""DeepSeek and OpenRouter by their endpoints for Anthropic's API, over sockets and both edges."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from anthropic import AsyncAnthropic
from integration.edges import Edge, GrpcEdge, HttpEdge

from ccproxy.app import Service, running
from ccproxy.config import Config, ProviderConfig, Secret

KEYS = {"deepseek": "key-deepseek-planted", "openrouter": "key-openrouter-planted"}
MODELS = {"deepseek": "deepseek-flash", "openrouter": "anthropic/claude-x"}
USAGE = {"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": None, "cost": 0.000112}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "provider": "Amazon Bedrock",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 0}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE},
    {"type": "message_stop"},
]
LOST = "The `content[].thinking` in the thinking mode must be passed back to the API."


class Upstream:
    """Both providers, each below a path of its own, as strict about keys and paths as they are."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.listed: set[str] = set()
        self.has_lost_thinking = False
        self.refuses = False
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        document = await request.json() if request.can_read_body else {}
        if request.path.endswith("/models"):
            self.listed.add(request.path)  # at the start of a service, too
        else:
            self.seen.append((request.path, document))
        match request.path:
            case "/deepseek/anthropic/v1/messages" if request.headers.get("x-api-key") == KEYS["deepseek"]:
                return self._deepseek(document)
            case "/openrouter/api/v1/messages" if self._is_openrouters(request):
                return self._openrouter(document)
            case "/openrouter/api/v1/models" | "/deepseek/models" if "authorization" in request.headers:
                kind = request.path.split("/")[1]
                return web.json_response({"object": "list", "data": [{"id": MODELS[kind]}]})
            case _:
                return web.json_response({"error": {"message": "No such path or key", "code": 404}}, status=404)

    def _is_openrouters(self, request: web.BaseRequest) -> bool:
        return request.headers.get("authorization") == f"Bearer {KEYS['openrouter']}"

    def _deepseek(self, document: dict[str, Any]) -> web.Response:
        if self.refuses:
            return _refusal({"error": {"message": "Authentication Fails", "type": "authentication_error"}})
        if self.has_lost_thinking and document.get("thinking") != {"type": "disabled"}:
            error = {"message": LOST, "type": "invalid_request_error", "code": "invalid_request_error"}
            return web.json_response({"error": error}, status=400)
        return _answer(document, b"")

    def _openrouter(self, document: dict[str, Any]) -> web.Response:
        if self.refuses:
            error = {"type": "authentication_error", "message": "User not found."}
            return _refusal({"type": "error", "error": error, "request_id": "gen-1"})
        return _answer(document, b"event: data\ndata: [DONE]\n\n")


def _refusal(document: dict[str, Any]) -> web.Response:
    return web.json_response(document, status=401)


def _answer(document: dict[str, Any], end: bytes) -> web.Response:
    if not document.get("stream"):
        return web.json_response(MESSAGE)
    events = (b"event: %b\ndata: %b\n\n" % (e["type"].encode(), msgspec.json.encode(e)) for e in EVENTS)
    return web.Response(
        body=b": OPENROUTER PROCESSING\n\n" + b"".join(events) + end, content_type="text/event-stream"
    )


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """An upstream on this host."""
    upstream = Upstream()
    runner = web.ServerRunner(web.Server(upstream))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield upstream
    await runner.cleanup()


@pytest.fixture
async def service(upstream: Upstream) -> AsyncIterator[Service]:
    """A service over both."""
    config = Config(
        port=0,
        grpc_port=0,
        providers=[
            ProviderConfig(
                kind,
                api_base_url=f"{upstream.url}/{kind}{path}",
                api_key=Secret(KEYS[kind]),
                api="anthropic",
                models=[MODELS[kind]],
            )
            for kind, path in (("deepseek", ""), ("openrouter", "/api/v1"))
        ],
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


def ask(kind: str, **members: Any) -> dict[str, Any]:
    """A request."""
    return {"model": MODELS[kind], "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **members}


@pytest.mark.parametrize("kind", KEYS)
async def test_an_answer_passes_with_all_that_the_provider_tells(edge: Edge, upstream: Upstream, kind: str):
    """Who served it, what it cost, and counts that are null: no relay drops them, on either edge."""
    whole = await edge.create(ask(kind))
    streamed = await edge.stream(ask(kind))

    assert whole.document == MESSAGE
    assert streamed.failure is None
    assert streamed.events == EVENTS
    assert whole.headers["x-ccproxy-provider"] == kind
    assert [document["model"] for _, document in upstream.seen] == [MODELS[kind]] * 2


@pytest.mark.parametrize("kind", KEYS)
async def test_the_official_sdk_reads_the_stream_to_its_end(service: Service, kind: str):
    """It reads every event as JSON, and `[DONE]` is none."""
    async with (
        AsyncAnthropic(base_url=f"http://127.0.0.1:{service.http_port}", api_key="any", max_retries=0) as client,
        client.messages.stream(
            model=MODELS[kind], max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream,
    ):
        message = await stream.get_final_message()

    assert message.content[0].type == "text"
    assert message.content[0].text == "hello"
    assert message.usage.output_tokens == 2


@pytest.mark.parametrize("kind", KEYS)
async def test_tokens_are_estimated_without_asking(edge: Edge, upstream: Upstream, kind: str):
    """There is no path that counts them."""
    counted = await edge.count({"model": MODELS[kind], "messages": ask(kind)["messages"]})

    assert counted.document["input_tokens"] > 0
    assert upstream.seen == []


async def test_models_are_listed_by_the_providers_own_lists(service: Service, upstream: Upstream):
    """The endpoints have none."""
    http = HttpEdge(service)
    await http.models()
    await http.client.aclose()

    assert upstream.listed == {"/deepseek/models", "/openrouter/api/v1/models"}
    assert upstream.seen == []


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_key_of_ours_stays_our_failure(
    edge: Edge,
    upstream: Upstream,
    kind: str,
    stream: bool,  # noqa: FBT001
):
    """The caller's key is another one."""
    upstream.refuses = True
    outcome = await (edge.stream if stream else edge.create)(ask(kind))

    assert outcome.failure is not None
    assert (outcome.failure.http_status, outcome.failure.type) == (502, "api_error")
    assert outcome.failure.message == f"provider {kind} refused the configured credential"
    assert not outcome.failure.should_retry


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_at_deepseek_without_its_thinking(
    edge: Edge,
    upstream: Upstream,
    stream: bool,  # noqa: FBT001
):
    """It was with another provider before, whose thinking cannot be passed back."""
    upstream.has_lost_thinking = True
    carried = {"type": "thinking", "thinking": "hm", "signature": "ccp1.eyJwIjoiZ2VtaW5pIn0"}
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [carried, call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
    ]
    asked = ask("deepseek", messages=turns, thinking={"type": "enabled", "budget_tokens": 1024})
    outcome = await (edge.stream if stream else edge.create)(asked)

    assert outcome.failure is None
    assert outcome.headers["x-ccproxy-dropped"] == "messages.content.thinking, thinking"
    assert [document["thinking"]["type"] for _, document in upstream.seen] == ["enabled", "disabled"]
    assert upstream.seen[0][1]["messages"][1]["content"] == [call]
