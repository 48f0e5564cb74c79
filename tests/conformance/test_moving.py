"""A conversation moves between all providers, also in the middle of a tool loop.

Fallbacks, routes by size and `/model` do this to every long session. A request that one provider's leavings spoil
at another is a 400 that the client can do nothing about; state that does not come back makes a model think anew,
or refuse.
"""

from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from conformance.conversations import TOOLS
from conformance.recordings import Recording, each, recordings
from conformance.replies import KINDS, MADE_BY, Kind, Reply, content_of, input_of, text_of, thought_of
from conformance.rules import calls_in, check, steps, texts_in
from conformance.wires import (
    ALL,
    ANTHROPIC,
    CHAT,
    CLAUDE_BY_OPENROUTER,
    DEEPSEEK,
    GEMINI,
    GEMINI_2,
    OPENROUTER,
    RESPONSES,
    Wire,
    named,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from unit.chat import events

from ccproxy.errors import ApiError, UpstreamProtocolError
from ccproxy.provider import Exchange

Json = dict[str, Any]


SHOWN: Json = {"type": "adaptive"}
THINKING = (SHOWN, {"type": "adaptive", "display": "omitted"}, None)


class Leg(Struct, frozen=True):
    """One answer of the conversation so far."""

    wire: Wire
    kind: Kind
    reply: Reply
    number: int


class Conversation:
    """A client's conversation. It keeps what it gets, as Claude Code does."""

    def __init__(self, thinking: Json | None = SHOWN) -> None:
        self._thinking = thinking
        self.turns: list[Json] = [{"role": "user", "content": "asked<0>"}]
        self.legs: list[Leg] = []

    def ask(self, wire: Wire, *, streamed: bool = False) -> Exchange:
        """Asks a provider, and looks at what it is sent."""
        request: Json = {"messages": self.turns, "tools": TOOLS, "thinking": self._thinking}
        exchange = wire.exchange({**request, "stream": True} if streamed else request)
        self._check(wire, exchange)
        return exchange

    def answer(self, wire: Wire, kind: Kind, *, streamed: bool = False) -> None:
        """A provider answers; its calls are run, and something is said besides."""
        exchange = self.ask(wire, streamed=streamed)
        sent = msgspec.json.decode(exchange.request.body or b"")
        if wire is DEEPSEEK and sent.get("thinking") == {"type": "disabled"}:
            kind = msgspec.structs.replace(kind, thought=False)
        number = len(self.legs) + 1
        reply = MADE_BY[wire.name](kind, number)
        content = content_of(exchange, reply, streamed=streamed)
        self.legs.append(Leg(wire, kind, reply, number))
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": f"result<{number}.{index}>"}
            for index, block in enumerate(block for block in content if block["type"] == "tool_use")
        ]
        assert len(results) == kind.calls
        said = [] if results and number % 2 else [{"type": "text", "text": f"asked<{number}>"}]
        self.turns += [{"role": "assistant", "content": content}, {"role": "user", "content": [*results, *said]}]

    def _check(self, wire: Wire, exchange: Exchange) -> None:
        raw = exchange.request.body or b""
        body = check(wire.name, raw)
        said = steps(wire.name, body)
        assert len(said) == len(self.legs)
        for leg, step in zip(self.legs, said, strict=True):
            words = [text_of(leg.number)] * leg.kind.text
            assert texts_in(step).replace(thought_of(leg.number), "").split("\n\n") == (words or [""])
            given = [input_of(leg.number, call) for call in range(leg.kind.calls)]
            assert [*calls_in(step)] == [("Read", msgspec.json.decode(text)) for text in given]
            if leg.wire is wire:
                assert step == leg.reply.back
            else:
                self._check_foreign(wire, leg, raw)
        spoken = {b"asked<%d>" % number for number in range(len(self.legs) + 1)}
        assert all(raw.count(words) == 1 for words in spoken if words in msgspec.json.encode(self.turns))
        for leg in self.legs:
            assert all(raw.count(b"result<%d.%d>" % (leg.number, call)) == 1 for call in range(leg.kind.calls))
        lost = any(leg.kind.thought for leg in self.legs if not shares(leg.wire, wire) or is_summed_up(leg))
        if self._thinking == SHOWN:
            assert ("messages.content.thinking" in exchange.dropped) is lost

    @staticmethod
    def _check_foreign(wire: Wire, leg: Leg, raw: bytes) -> None:
        if not shares(leg.wire, wire):
            assert not any(state.encode() in raw for state in leg.reply.state)
            assert thought_of(leg.number).encode() not in raw


def shares(maker: Wire, wire: Wire) -> bool:
    """Whether thinking comes back. Chat Completions takes none; OpenRouter hands Anthropic's to Claude."""
    return (maker is wire and wire is not CHAT) or (maker is ANTHROPIC and wire is CLAUDE_BY_OPENROUTER)


def is_summed_up(leg: Leg) -> bool:
    """Whether thinking is Gemini's summary alone: the state is of a later part, and only that goes back."""
    return leg.kind.text and leg.wire in {GEMINI, GEMINI_2}


by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
whole_and_streamed = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
from_each = pytest.mark.parametrize("origin", ALL, ids=named)
to_each = pytest.mark.parametrize("target", ALL, ids=named)


@from_each
@by_kind
@pytest.mark.parametrize("thinking", THINKING, ids=["shown", "omitted", "unsaid"])
def test_a_stream_leaves_what_a_whole_answer_leaves(origin: Wire, kind: Kind, thinking: Json | None):
    """Block for block with all state: later turns must not depend on how an earlier one came."""
    conversation = Conversation(thinking)
    exchanges = [conversation.ask(origin, streamed=streamed) for streamed in (False, True)]
    reply = MADE_BY[origin.name](kind, 1)
    whole, streamed = [content_of(e, reply, streamed=s) for e, s in zip(exchanges, (False, True), strict=True)]

    assert streamed == whole


@from_each
@to_each
@by_kind
@whole_and_streamed
def test_there_and_back(origin: Wire, target: Wire, kind: Kind, streamed: bool):  # noqa: FBT001
    """The other provider accepts what the first said; the first gets its state back where it belongs."""
    conversation = Conversation()
    conversation.answer(origin, kind, streamed=streamed)
    conversation.answer(target, kind, streamed=streamed)
    conversation.answer(origin, kind, streamed=not streamed)
    conversation.ask(target)
    conversation.ask(origin)


walks = st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=300, deadline=None)
@given(legs=walks, thinking=st.sampled_from(THINKING))
def test_any_walk(legs: list[tuple[Wire, Kind, bool]], thinking: Json | None):
    """However a conversation wanders, everybody could go on with it at every step, shown thinking or not."""
    conversation = Conversation(thinking)
    for wire, kind, streamed in legs:
        conversation.answer(wire, kind, streamed=streamed)
        for other in ALL:
            conversation.ask(other)


@settings(max_examples=100, deadline=None)
@given(
    legs=st.lists(st.tuples(st.sampled_from(ALL), st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=5)
)
def test_a_client_that_keeps_no_thinking_goes_everywhere(legs: list[tuple[Wire, Kind, bool]]):
    """Many clients throw it away. The state is lost with it, but never the conversation."""
    conversation = Conversation()
    for wire, kind, streamed in legs:
        conversation.answer(wire, kind, streamed=streamed)
    turns = [
        turn
        if turn["role"] == "user"
        else {**turn, "content": [block for block in turn["content"] if block["type"] != "thinking"]}
        for turn in conversation.turns
    ]

    for other in ALL:
        check(other.name, other.body({"messages": turns, "tools": TOOLS, "thinking": SHOWN}))


def test_claude_behind_openrouter_reads_its_own_thinking():
    """It is the same model: what Anthropic signed, it accepts there."""
    conversation = Conversation()
    conversation.answer(ANTHROPIC, Kind(thought=True, calls=2))
    body = msgspec.json.decode(conversation.ask(CLAUDE_BY_OPENROUTER).request.body or b"")

    (detail,) = steps("openrouter_claude", body)[0]["reasoning_details"]
    assert (detail["text"], detail["signature"]) == (thought_of(1), conversation.legs[0].reply.state[0])


WIRE_OF = {
    ("anthropic", "messages"): ANTHROPIC,
    ("openai", "chat.completions"): CHAT,
    ("openai", "responses"): RESPONSES,
    ("gemini", "generateContent"): GEMINI,
    ("deepseek", "chat.completions"): DEEPSEEK,
    ("openrouter", "chat.completions"): OPENROUTER,
}
ANSWERS = [
    recording
    for provider, api in WIRE_OF
    for recording in recordings(provider, api=api)
    if recording.facts.http_status == 200
]


def kept(exchange: Exchange, recording: Recording) -> list[Json]:
    """The content that the official SDK keeps of a recorded answer."""
    if not recording.is_stream:
        whole: list[Json] = msgspec.json.decode(exchange.answer(recording.response).body)["content"]
        return whole
    stream = exchange.stream()
    stream.feed(recording.response)
    stream.close()
    headers, frames = {"content-type": "text/event-stream"}, stream.take()
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=frames))
    with (
        httpx2.Client(transport=transport) as http,
        anthropic.Anthropic(api_key="none", http_client=http, max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=1, messages=[{"role": "user", "content": "hi"}]) as told,
    ):
        message = told.get_final_message().to_dict(
            mode="json", warnings=False
        )  # some blocks are newer than the SDK
    content: list[Json] = msgspec.convert(message["content"], list[Json])
    return content


REQUEST: Json = {"messages": [{"role": "user", "content": "hi"}], "thinking": {"type": "adaptive"}}


def says_something(recording: Recording) -> bool:
    """Whether an answer holds a text or a call: some providers failed, some answers are empty."""
    exchange = WIRE_OF[recording.facts.provider, recording.facts.api].exchange(REQUEST)
    try:
        if not recording.is_stream:
            content = msgspec.json.decode(exchange.answer(recording.response).body)["content"]
        else:
            stream = exchange.stream()
            stream.feed(recording.response)
            stream.close()
            documents = events(stream.take())
            content = [each["content_block"] for each in documents if each["type"] == "content_block_start"]
    except (ApiError, UpstreamProtocolError):
        return False
    return any(block["type"] in {"text", "tool_use"} for block in content)


@each([recording for recording in ANSWERS if says_something(recording)])
def test_a_recorded_answer_goes_everywhere(recording: Recording):
    """Real answers have shapes that nobody would think of."""
    wire = WIRE_OF[recording.facts.provider, recording.facts.api]
    request = REQUEST
    content = kept(wire.exchange({**request, "stream": recording.is_stream}), recording)
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": id_, "content": "ok"} for id_ in calls]
    turns = [
        *request["messages"],
        {"role": "assistant", "content": content},
        {"role": "user", "content": [*results, {"type": "text", "text": "go on"}]},
    ]

    for other in ALL:
        check(other.name, other.body({**request, "messages": turns}))
