"""One behaviour suite over HTTP and gRPC: the same documents in, the same messages, events, errors, counts out."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from integration.edges import Edge, GrpcEdge, HttpEdge, Outcome

from ccproxy import carrier
from ccproxy.app import Service, running
from ccproxy.config import Config

MODELS = [
    "claude-demo-1",
    "openai,gpt-demo-1",
    "openai,gpt-5-demo",
    "deepseek,deepseek-demo-1",
    "openrouter,demo/openrouter-demo-1",
    "gemini,gemini-3-demo",
    "deepseek,claude-demo-1",
    "openrouter,claude-demo-1",
]


THINKING = [model for model in MODELS if model != "openai,gpt-demo-1"]
"""Those whose wire has a place for thinking."""


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A running service, with the demo upstream."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


@pytest.fixture
async def edges(service: Service) -> AsyncIterator[tuple[Edge, Edge]]:
    """Both edges of the service."""
    http, rpc = HttpEdge(service), GrpcEdge(service)
    yield http, rpc
    await http.client.aclose()
    await rpc.channel.close()


def ask(model: str, text: str, **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **more}


WEATHER = {
    "name": "weather",
    "description": "Tells the weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

ANSWERED = {
    "text": {"text": "Hello, who are you?"},
    "unicode": {"text": "Grüße 👋 \u2028 end"},
    "tool": {"text": '[[tool weather {"city": "Paris"}]]', "tools": [WEATHER]},
    "parallel tools": {
        "text": '[[tool weather {"city": "Paris"}]] [[tool weather {"city": "Rome", "n": 9007199254740993}]]',
        "tools": [WEATHER],
    },
    "tool without arguments": {"text": "[[tool weather]]", "tools": [WEATHER]},
    "text and tool": {"text": '[[say Let me look.]] [[tool weather {"city": "Oslo"}]]', "tools": [WEATHER]},
    "thinking": {"text": "[[think Let me see]] go", "thinking": {"type": "enabled", "budget_tokens": 1024}},
    "thinking, text and tool": {
        "text": '[[think Hm]] [[say Let me look.]] [[tool weather {"city": "Oslo"}]]',
        "tools": [WEATHER],
        "thinking": {"type": "adaptive"},
    },
    "hidden thinking, text and tool": {
        "text": '[[think Hm]] [[say Let me look.]] [[tool weather {"city": "Oslo"}]]',
        "tools": [WEATHER],
        "thinking": {"type": "adaptive", "display": "omitted"},
    },
    "text, thinking and tool": {
        "text": '[[say Let me look.]] [[think Hm]] [[tool weather {"city": "Oslo"}]]',
        "tools": [WEATHER],
        "thinking": {"type": "adaptive"},
    },
    "token limit": {"text": "[[tokens 50]]", "max_tokens": 7},
    "stop sequence": {"text": "[[say one two three]]", "stop_sequences": ["two"]},
    "refusal": {"text": "[[stop refusal]]"},
    "empty": {"text": '[[say ""]]'},
    "system prompt": {"text": "hi", "system": [{"type": "text", "text": "Be brief."}]},
    "forced tool": {"text": "hi", "tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}},
}
FAILED = {
    "rate limit": '[[error 429 rate_limit_error {"retry-after": "7"} slow down]]',
    "overloaded": "[[error 529 overloaded_error]]",
    "server error": "[[error 500 api_error]]",
    "refused key": "[[error 401 authentication_error bad key]]",
    "forbidden": "[[error 403 permission_error]]",
    "not found": "[[error 404 not_found_error no such model]]",
    "too large": "[[error 413 request_too_large]]",
    "bad request": "[[error 400 invalid_request_error messages: wrong]]",
    "no credit": "[[error 402 billing_error]]",
    "cut at once": "[[cut]]",
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ANSWERED)
async def test_a_whole_answer_is_the_same_on_both_edges(edges: tuple[Edge, Edge], model: str, case: str):
    """The core cannot tell the edges apart, so callers must not either."""
    http, rpc = [await edge.create(ask(model, **ANSWERED[case])) for edge in edges]

    assert http.failure is None
    assert http.document["type"] == "message"
    assert same(http.document) == same(rpc.document)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ANSWERED)
async def test_a_stream_is_the_same_on_both_edges(edges: tuple[Edge, Edge], model: str, case: str):
    """Events are compared one by one, names and members alike."""
    http, rpc = [await edge.stream(ask(model, **ANSWERED[case])) for edge in edges]

    assert http.failure is None
    assert http.events[0]["type"] == "message_start"
    assert http.events[-1]["type"] == "message_stop"
    assert same(http.events) == same(rpc.events)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ANSWERED)
async def test_the_folded_stream_is_the_whole_answer(edges: tuple[Edge, Edge], model: str, case: str):
    """A client that streams must end with what a client that waits gets."""
    whole = (await edges[0].create(ask(model, **ANSWERED[case]))).document
    folded = fold((await edges[0].stream(ask(model, **ANSWERED[case]))).events)

    assert same(folded["content"]) == same(whole["content"])
    assert folded["stop_reason"] == whole["stop_reason"]
    assert folded["stop_sequence"] == whole["stop_sequence"]
    if not (case == "stop sequence" and is_translated(model)):  # such an upstream is closed before it counts
        assert folded["usage"]["output_tokens"] == whole["usage"]["output_tokens"]


@pytest.mark.parametrize("model", MODELS)
async def test_a_request_for_no_token_is_answered_without_any_on_both_edges(edges: tuple[Edge, Edge], model: str):
    """Clients warm Anthropic's cache so; whoever has none must not fail at it."""
    asked = ask(model, "The conversation so far", max_tokens=0)
    for edge in edges:
        whole, streamed = (await edge.create(asked)).document, await edge.stream(asked)
        folded = fold(streamed.events)

        assert (whole["content"], whole["stop_reason"]) == ([], "max_tokens")
        assert (folded["content"], folded["stop_reason"]) == ([], "max_tokens")
        assert whole["usage"]["output_tokens"] == 0
        assert 0 < folded["usage"]["input_tokens"] == whole["usage"]["input_tokens"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", FAILED)
async def test_a_failure_before_the_answer_is_the_same_on_both_edges(
    edges: tuple[Edge, Edge], model: str, case: str
):
    """Type, text, status, retry advice: all of it can be read from either edge, streaming or not."""
    outcomes = [await edge.create(ask(model, FAILED[case])) for edge in edges]
    outcomes += [await edge.stream(ask(model, FAILED[case])) for edge in edges]

    first = outcomes[0].failure
    assert first is not None
    assert first.has_request_id
    assert [normal(outcome) for outcome in outcomes] == [normal(outcomes[0])] * 4


@pytest.mark.parametrize("model", MODELS)
async def test_a_failure_in_mid_stream_is_one_terminal_error_on_both_edges(edges: tuple[Edge, Edge], model: str):
    """Truncation must never look like success: no invented message_stop."""
    http, rpc = [await edge.stream(ask(model, "[[tokens 20]] [[fail 5 overloaded_error busy]]")) for edge in edges]

    assert same(http.events) == same(rpc.events)
    assert http.events[-1]["type"] == "content_block_delta"
    assert http.failure is not None
    assert rpc.failure is not None
    assert http.failure.type == rpc.failure.type
    assert http.failure.type in {"overloaded_error", "api_error"}  # Chat Completions knows no overload in a stream
    assert http.failure.message == rpc.failure.message


@pytest.mark.parametrize("model", MODELS)
async def test_an_upstream_that_is_cut_off_is_an_error_on_both_edges(edges: tuple[Edge, Edge], model: str):
    """An end without the terminator is no end."""
    http, rpc = [await edge.stream(ask(model, "[[tokens 20]] [[cut 5]]")) for edge in edges]

    assert same(http.events) == same(rpc.events)
    assert "message_stop" not in [event["type"] for event in http.events]
    assert http.failure is not None
    assert rpc.failure is not None
    assert http.failure.type == rpc.failure.type == "api_error"


def is_translated(model: str) -> bool:
    """Whether the provider speaks another wire than Anthropic's."""
    return "claude" not in model


async def think(edge: Edge, model: str, *, stream: bool) -> list[Any]:
    """The blocks of an answer that thinks and calls two tools."""
    text = '[[think Let me see]] [[tool weather {"city": "Rome"}]] [[tool weather {"city": "Oslo"}]]'
    document = ask(model, text, **LOOP)
    outcome = await (edge.stream(document) if stream else edge.create(document))
    assert outcome.failure is None
    blocks = fold(outcome.events)["content"] if stream else outcome.document["content"]
    assert blocks[0]["thinking"] == "Let me see"
    return list(blocks)


def loop(model: str, blocks: list[Any]) -> dict[str, Any]:
    """The next request of a tool loop: the answer's blocks, and the tools' results."""
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": block["input"]["city"]}
        for block in blocks
        if block["type"] == "tool_use"
    ]
    turns = [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]
    document = ask(model, "go", **LOOP)
    return {**document, "messages": [*document["messages"], *turns]}


LOOP: dict[str, Any] = {
    "tools": [WEATHER],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "max_tokens": 2000,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", THINKING)
async def test_thinking_comes_back_to_who_thought_it(
    service: Service, edges: tuple[Edge, Edge], model: str, *, stream: bool
):
    """A model that loses its thoughts between two tool calls starts anew; the demo knows its own by their seal."""
    assert service.demo is not None
    for number, edge in enumerate(edges, start=1):
        blocks = await think(edge, model, stream=stream)
        outcome = await edge.create(loop(model, blocks))

        assert outcome.failure is None
        texts = [block["text"] for block in outcome.document["content"] if block["type"] == "text"]
        assert texts == ["Demo: tool weather returned: Rome\nDemo: tool weather returned: Oslo"]
        assert service.demo.recalled == number


@pytest.mark.parametrize("model", [model for model in THINKING if "claude" in model or "openrouter-demo" in model])
async def test_thinking_that_was_changed_is_refused_on_both_edges(edges: tuple[Edge, Edge], model: str):
    """The provider's own words reach the caller, who can mend the conversation."""
    for edge in edges:
        thought, *calls = await think(edge, model, stream=False)
        outcome = await edge.create(loop(model, [forged(thought), *calls]))

        assert outcome.failure is not None
        assert (outcome.failure.type, outcome.failure.http_status) == ("invalid_request_error", 400)
        assert "Invalid `signature` in `thinking` block" in outcome.failure.message


async def test_reasoning_that_openai_cannot_read_is_left_out_on_both_edges(
    service: Service, edges: tuple[Edge, Edge]
):
    """A conversation of another account goes on without its thoughts, and says so."""
    assert service.demo is not None
    for edge in edges:
        thought, *calls = await think(edge, "openai,gpt-5-demo", stream=False)
        outcome = await edge.create(loop("openai,gpt-5-demo", [forged(thought), *calls]))

        assert outcome.failure is None
        assert "messages.content.thinking" in outcome.headers["x-ccproxy-dropped"]
    assert service.demo.recalled == 0


@pytest.mark.parametrize("model", THINKING)
@pytest.mark.parametrize("other", THINKING)
async def test_a_conversation_moves_to_another_provider(edges: tuple[Edge, Edge], model: str, other: str):
    """Routes and fallbacks do that in mid-conversation: foreign thoughts must be no reason to refuse it."""
    for edge in edges:
        outcome = await edge.create(loop(other, await think(edge, model, stream=False)))

        assert outcome.failure is None


@pytest.mark.parametrize("model", MODELS)
async def test_usage_is_anthropics_on_both_edges(edges: tuple[Edge, Edge], model: str):
    """Providers count cached tokens as part of the prompt; Anthropic does not, and clients bill by that."""
    text = '[[usage {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 7}]]'
    for edge in edges:
        whole = (await edge.create(ask(model, text))).document["usage"]
        streamed = fold((await edge.stream(ask(model, text))).events)["usage"]

        for usage in (whole, streamed):
            assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (10, 5, 7)


INVALID = {
    "no model": {"max_tokens": 5, "messages": []},
    "model of a wrong type": {"model": 7, "max_tokens": 5, "messages": []},
    "no messages": {"model": "openai,x", "max_tokens": 5},
    "a wrong type inside": {
        "model": "openai,x",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}],
    },
    "max_tokens of a wrong type": {"model": "openai,x", "max_tokens": "many", "messages": []},
}


@pytest.mark.parametrize("case", INVALID)
async def test_an_invalid_request_is_refused_with_its_place_on_both_edges(edges: tuple[Edge, Edge], case: str):
    """Validation happens once, in the core: the same words for the same mistake."""
    http, rpc = [await edge.create(INVALID[case]) for edge in edges]

    assert http.failure is not None
    assert http.failure.http_status == 400
    assert http.failure.type == "invalid_request_error"
    assert normal(http) == normal(rpc)


async def test_counts_are_the_same_on_both_edges(edges: tuple[Edge, Edge]):
    """The relay asks the provider; Chat Completions has no count and is estimated."""
    for model in MODELS:
        document = ask(model, "How many tokens?")
        del document["max_tokens"]
        http, rpc = [await edge.count(document) for edge in edges]

        assert http.document["input_tokens"] > 0
        assert http.document == rpc.document


async def test_a_count_equals_the_usage_that_the_relay_reports(edges: tuple[Edge, Edge]):
    """Clients plan their context by it."""
    document = ask(MODELS[0], "How many tokens?")
    counted = (await edges[0].count(document)).document["input_tokens"]
    used = (await edges[0].create(document)).document["usage"]["input_tokens"]

    assert counted == used


async def test_models_are_listed_in_the_same_pages_on_both_edges(edges: tuple[Edge, Edge]):
    """Paging goes forth and back without losing a model."""
    everything = (await edges[0].models(limit=1000)).document
    ids = [model["id"] for model in everything["data"]]
    for edge in edges:
        first = (await edge.models(limit=2)).document
        second = (await edge.models(limit=1000, after_id=first["last_id"])).document
        back = (await edge.models(limit=2, before_id=second["data"][0]["id"])).document

        assert [m["id"] for m in first["data"] + second["data"]] == ids
        assert first["has_more"]
        assert not second["has_more"]
        assert back["data"] == first["data"]


async def test_each_listed_model_can_be_asked_for_and_used(edges: tuple[Edge, Edge]):
    """What `/v1/models` shows is what a caller writes as `model`."""
    for shown in (await edges[0].models(limit=1000)).document["data"]:
        for edge in edges:
            assert (await edge.model(shown["id"])).document == shown
            assert (await edge.create(ask(shown["id"], "hi"))).failure is None


async def test_an_unknown_model_is_not_found_on_both_edges(edges: tuple[Edge, Edge]):
    """Ids with slashes reach the handler, too."""
    http, rpc = [await edge.model("vendor/no/such-model") for edge in edges]

    assert http.failure is not None
    assert (http.failure.http_status, http.failure.type) == (404, "not_found_error")
    assert normal(http) == normal(rpc)


async def test_headers_name_provider_and_model_on_both_edges(edges: tuple[Edge, Edge]):
    """An operator who reads a trace must see who answered."""
    for edge in edges:
        outcome = await edge.create(ask("openai,gpt-demo-1", "hi", top_k=5), {"x-request-id": "mine-1"})

        assert outcome.headers["x-ccproxy-provider"] == "openai"
        assert outcome.headers["x-ccproxy-model"] == "gpt-demo-1"
        assert "top_k" in outcome.headers["x-ccproxy-dropped"]
        assert outcome.headers["request-id"] == "mine-1"


async def test_the_callers_deadline_is_kept_on_both_edges(edges: tuple[Edge, Edge]):
    """A caller that cannot wait gets a timeout in its own time, as a timeout."""
    for edge in edges:
        outcome = await edge.create(ask(MODELS[0], "[[wait 5000]]"), {"x-ccproxy-timeout-ms": "150"})

        assert outcome.failure is not None
        assert (outcome.failure.type, outcome.failure.http_status) == ("timeout_error", 504)


async def test_both_edges_count_the_same(service: Service, edges: tuple[Edge, Edge]):
    """One registry: the same traffic gives the same numbers, edge by edge."""
    for edge in edges:
        await edge.create(ask(MODELS[0], "hi"))
        await edge.stream(ask(MODELS[1], "hi"))
        await edge.create(ask(MODELS[0], "[[error 500]]"))
        await edge.stream(ask(MODELS[1], "[[tokens 9]] [[fail 3 api_error]]"))
        await edge.create({"max_tokens": 1})

    text = service.metrics.exposition(None)[0].decode()
    counted = {name: samples(text, name) for name in COUNTED}
    for name, lines in counted.items():
        assert lines["http"] == lines["grpc"], name
        assert lines["http"], name
    totals = service.metrics.totals()
    assert (totals.total, totals.success, totals.failed) == (10, 4, 6)


COUNTED = ["ccproxy_requests_total", "ccproxy_request_errors_total", "ccproxy_stream_aborts_total"]


async def test_a_client_that_goes_away_closes_its_upstream_at_once_on_both_edges(
    service: Service, edges: tuple[Edge, Edge]
):
    """Tokens nobody reads are still billed."""
    http, rpc = edges
    assert isinstance(http, HttpEdge)
    assert isinstance(rpc, GrpcEdge)
    document = ask(MODELS[0], "[[tokens 200]] [[pace 50]]")

    async with http.client.stream("POST", "/v1/messages", json={**document, "stream": True}) as response:
        await anext(response.aiter_bytes())
        assert service.demo is not None
        assert service.demo.open_streams == 1
    await until(lambda: service.demo is not None and service.demo.open_streams == 0)

    outcome = asyncio.ensure_future(rpc.stream(document))
    await until(lambda: service.demo is not None and service.demo.open_streams == 1)
    outcome.cancel()
    await until(lambda: service.demo is not None and service.demo.open_streams == 0)

    totals = service.metrics.totals()
    assert (totals.total, totals.success) == (2, 2)  # an answer that had begun is a success, and an abort
    aborts = samples(service.metrics.exposition(None)[0].decode(), "ccproxy_stream_aborts_total")
    assert aborts["http"] == aborts["grpc"]
    assert any('side="client"' in line for line in aborts["http"])


async def test_a_caller_that_reads_nothing_and_leaves_closes_its_upstream(
    service: Service, edges: tuple[Edge, Edge]
):
    """Its cancellation meets the handler in the middle of a write, which waits for the caller to read."""
    rpc = edges[1]
    assert isinstance(rpc, GrpcEdge)
    call = rpc.call(ask(MODELS[0], "[[tokens 60000]]", max_tokens=100_000))
    await until(lambda: service.proxy.running == 1)
    await call.read()
    call.cancel()

    await until(lambda: service.proxy.running == 0)
    assert service.demo is not None
    await until(lambda: service.demo is not None and service.demo.open_streams == 0)


async def test_a_client_that_leaves_before_the_answer_is_not_counted(service: Service, edges: tuple[Edge, Edge]):
    """Neither success nor failure: nobody was answered."""
    for edge in edges:
        waiting = asyncio.ensure_future(edge.create(ask(MODELS[0], "[[wait 5000]]")))
        await until(lambda: service.proxy.running == 1)
        waiting.cancel()
        await until(lambda: service.proxy.running == 0)

    assert service.metrics.totals().total == 0


async def until(condition: Any) -> None:
    """Waits a little for a condition that must come true."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110  # the other side of a socket sets no event
            await asyncio.sleep(0.005)


def normal(outcome: Outcome) -> tuple[Any, ...]:
    """A failure without what differs from call to call."""
    assert outcome.failure is not None
    failure = outcome.failure
    text = re.sub(r"req_\w+", "req", failure.message)
    return failure.type, text, failure.http_status, failure.should_retry, failure.retry_after


def same(document: Any) -> Any:
    """A document without the random part of the ids that the demo upstream makes."""
    plain = re.sub(rb"demo[-_][0-9a-f]{16}", b"demo", msgspec.json.encode(opened(document)))
    return msgspec.json.decode(plain)


def opened(document: Any) -> Any:
    """A document whose signatures show what they carry, but for state that is bound to an id."""
    match document:
        case {"signature": str(signature), **rest} if (found := carrier.unpack(signature)) is not None:
            data = msgspec.json.decode(found.data)
            match data:
                case {"encrypted_content": str()}:
                    del data["encrypted_content"]
                case str():
                    data = "state"
            return {**rest, "signature": [found.provider, found.model, found.kind, data]}
        case dict():
            return {name: opened(member) for name, member in document.items()}
        case list():
            return [opened(member) for member in document]
        case _:
            return document


def forged(thought: dict[str, Any]) -> dict[str, Any]:
    """A thinking block with the seal of another thought inside."""
    signature = thought["signature"]
    found = carrier.unpack(signature)
    if found is None:
        return {**thought, "signature": signature[::-1]}
    data = re.sub(rb"\"(ZGVtby|ZGVt)", b'"AAAA', bytes(found.data))
    assert data != bytes(found.data)
    return {**thought, "signature": carrier.pack(msgspec.structs.replace(found, data=msgspec.Raw(data)))}


def samples(exposition: str, name: str) -> dict[str, list[str]]:
    """A counter's lines by edge, without the edge's name in them."""
    lines: dict[str, list[str]] = {"http": [], "grpc": []}
    for line in exposition.splitlines():
        match = re.match(rf'{name}{{(.*)interface="(http|grpc)"(.*)', line)
        if match:
            lines[match[2]].append(match[1] + match[3])
    return {edge: sorted(found) for edge, found in lines.items()}


def fold(events: list[Any]) -> dict[str, Any]:
    """The whole answer behind a stream's events."""
    message = dict(events[0]["message"])
    blocks: list[Any] = []
    arguments: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            delta, block = event["delta"], blocks[event["index"]]
            match delta["type"]:
                case "text_delta":
                    block["text"] += delta["text"]
                case "thinking_delta":
                    block["thinking"] += delta["thinking"]
                case "signature_delta":
                    block["signature"] = delta["signature"]
                case "input_json_delta":
                    arguments[event["index"]] = arguments.get(event["index"], "") + delta["partial_json"]
        elif event["type"] == "message_delta":
            message.update(event["delta"])
            message["usage"] = {**message["usage"], **event["usage"]}
    for index, text in arguments.items():
        blocks[index]["input"] = msgspec.json.decode(text or "{}")
    return {**message, "content": blocks}
