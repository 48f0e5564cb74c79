"""Generated conversations there and back: Anthropic's words, each provider's wire on a socket, Anthropic's words.

Directives in the user's text say what the upstream answers; whatever the wire, and however its bytes are cut on
their way, the caller gets just that, whole and streamed, over HTTP and gRPC; and the upstream takes it back.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from conformance.conversations import PIXEL, inputs, texts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integration.edges import Edge, GrpcEdge, HttpEdge, Outcome
from integration.rechunked import Rechunked, rechunked
from integration.test_both_edges import MODELS, THINKING, fold, same

from ccproxy.app import running
from ccproxy.config import Config, RetryConfig, demo_providers
from ccproxy.demo import Demo

EXAMPLES = 25  # for each way to a provider: a second or two
PHASES = [Phase.explicit, Phase.generate]  # a failure is small enough as it is, and shrinking it takes minutes
TOOLS = ("Read", "Bash", "mcp__files__list")
ORDERED = [model for model in MODELS if "claude" in model or model == "openai,gpt-5-demo"]
"""Those whose wire keeps thinking, text and calls in any order; the others have a place for each."""

CHUNKED = "openrouter,demo/openrouter-demo-1"
"""Its stream has no piece, and so no member `text`, for an empty thought; its whole answer has one."""


@dataclass(frozen=True)
class Said:
    """A part of an answer: `kind` is the directive, `text` what it holds, for a tool its arguments."""

    kind: str
    text: str
    tool: str = ""

    def directive(self) -> str:
        """How the upstream is told to say it."""
        if self.kind == "tool":
            return f"[[tool {self.tool} {self.text}]]"
        return f"[[{self.kind} {written(self.text)}]]"


def written(value: object) -> str:
    """A value as JSON."""
    return msgspec.json.encode(value).decode()


words = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["", " ", "\n\n", "a" * 500, "]] [[x"]
)
thoughts = words.map(lambda text: Said("think", text))
speeches = words.map(lambda text: Said("say", text))
calls = st.builds(
    lambda tool, arguments: Said("tool", bytes(arguments).decode(), tool), st.sampled_from(TOOLS), inputs
)
ordered = st.tuples(
    st.lists(thoughts, max_size=2), st.lists(speeches, max_size=2), st.lists(calls, max_size=3)
).map(lambda lists: [said for each in lists for said in each])
mixed = st.lists(thoughts | speeches | calls, max_size=6)
media = st.lists(
    st.sampled_from(
        [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ]
    ),
    max_size=2,
)
results = st.lists(texts | st.just(""), min_size=6, max_size=6)


@dataclass
class Journey:
    """Both edges of a service whose way to `demo` is a relay that cuts."""

    http: Edge
    rpc: Edge
    demo: Demo
    way: Rechunked


@pytest.fixture
async def journey() -> AsyncIterator[Journey]:
    """One running service with every provider."""
    async with Demo.serve() as demo, rechunked(int(demo.url.rpartition(":")[2])) as way:
        config = Config(
            port=0, grpc_port=0, providers=demo_providers(way.url), retry=RetryConfig(attempts=1), log=False
        )
        async with running(config, {}) as service:
            http, rpc = HttpEdge(service), GrpcEdge(service)
            yield Journey(http, rpc, demo, way)
            await http.client.aclose()
            await rpc.channel.close()


def ask(model: str, messages: list[Any]) -> dict[str, Any]:
    """A request that thinks, with tools."""
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    return {"model": model, "max_tokens": 20_000, "messages": messages, "tools": tools, "thinking": thinking}


def led_somewhere(said: list[Said]) -> list[Said]:
    """The same with an end: thinking that leads to nothing need not come back, and some wires refuse it."""
    last = [each.kind for each in said if each.tool or each.text][-1:]
    return said if last in (["say"], ["tool"]) else [*said, Said("say", "so")]


def meant(said: list[Said], model: str) -> list[tuple[str, ...]]:
    """What such an answer means: thinking, text and calls in order; neighbours of a kind are one."""
    steps = [("tool", each.tool, canonical(each.text)) if each.tool else (each.kind, each.text) for each in said]
    return joined([step for step in steps if step[0] != "think" or model in THINKING])


def understood(content: list[Any]) -> list[tuple[str, ...]]:
    """The same of the answer that came."""
    steps: list[tuple[str, ...]] = []
    for block in content:
        match block:
            case {"type": "thinking", "thinking": str(text)}:
                steps.append(("think", text))
            case {"type": "text", "text": str(text)}:
                steps.append(("say", text))
            case {"type": "tool_use", "name": str(name), "input": dict(arguments)}:
                steps.append(("tool", name, written(arguments)))
            case _:
                raise AssertionError(block)
    return joined(steps)


def canonical(arguments: str) -> str:
    """JSON as it is written anew: numbers keep their value and kind, members their order."""
    return written(msgspec.json.decode(arguments))


def joined(steps: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without what is empty, and with neighbours of a kind in one."""
    kept: list[tuple[str, ...]] = []
    for step in steps:
        if step[0] != "tool" and kept and kept[-1][0] == step[0]:
            kept[-1] = (step[0], kept[-1][1] + step[1])
        elif step[0] == "tool" or step[1]:
            kept.append(step)
    return kept


def whole(outcome: Outcome) -> dict[str, Any]:
    """A message, folded where it was streamed."""
    assert outcome.failure is None, outcome.failure
    message: dict[str, Any] = fold(outcome.events) if outcome.events else outcome.document
    return message


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=EXAMPLES, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), shown=media, seed=st.integers(0, 2**32) | st.none(), returned=results)
async def test_what_was_said_arrives_and_comes_back(
    journey: Journey, model: str, data: st.DataObject, shown: list[Any], seed: int | None, returned: list[str]
):
    """A blank, a digit or a thought that gets lost is somebody's broken file, or a refused conversation."""
    said = led_somewhere(data.draw(mixed if model in ORDERED else ordered))
    if model == CHUNKED:
        said = [each for each in said if each.kind != "think" or each.text]
    text = {"type": "text", "text": " ".join(each.directive() for each in said)}
    messages: list[Any] = [{"role": "user", "content": [*shown, text]}]
    asked = ask(model, messages)
    journey.way.seed = seed

    answers = [
        whole(outcome)
        for edge in (journey.http, journey.rpc)
        for outcome in (await edge.create(asked), await edge.stream(asked))
    ]
    for answer in answers:
        assert understood(answer["content"]) == meant(said, model)
        assert answer["stop_reason"] == ("tool_use" if any(each.tool for each in said) else "end_turn")
    whole_http, stream_http, whole_rpc, stream_rpc = [same(answer["content"]) for answer in answers]
    assert whole_http == whole_rpc
    assert stream_http == stream_rpc
    assert stream_http == whole_http

    for answer in answers[1:3]:
        await goes_on(journey, model, messages, answer["content"], returned)


async def goes_on(
    journey: Journey, model: str, messages: list[Any], content: list[Any], returned: list[str]
) -> None:
    """The next turn: the answer as it came, a result for each call, and the upstream's own thinking in it."""
    calls = [block for block in content if block["type"] == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": text}
        for call, text in zip(calls, returned, strict=False)
    ]
    turn = [
        {"role": "assistant", "content": content},
        {"role": "user", "content": [*results, {"type": "text", "text": "go on"}]},
    ]
    before = journey.demo.recalled
    outcome = await journey.http.create(ask(model, [*messages, *turn]))

    answer = "".join(block["text"] for block in whole(outcome)["content"] if block["type"] == "text")
    expected = [text for _, text in zip(calls, returned, strict=False) if text]
    assert re.findall("«[^»]*»", answer) == expected
    assert answer.endswith("Demo answer to: go on")
    thoughts = [block for block in content if block["type"] == "thinking"]
    signed = [block for block in thoughts if block["signature"]]
    assert signed == thoughts or model.startswith("gemini")  # behind a last text it has no place for its state
    assert journey.demo.recalled > before or not any(block["thinking"] for block in signed)
