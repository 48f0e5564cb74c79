"""What a caller says is what a provider reads, or it is named: nothing is lost on the way in silence."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from conformance.conversations import CLAUDE_CODE_SYSTEM, SIGNATURES, TOOLS, Turn, conversations, grown, systems
from conformance.meaning import Result, Step, exactly, marked, read_back
from conformance.rules import check
from conformance.wires import TRANSLATED, Wire, named
from hypothesis import given, settings
from hypothesis import strategies as st

from ccproxy.carrier import unpack

Json = dict[str, Any]

MAKERS = {
    "openai_responses": "openai",
    "gemini": "gemini",
    "gemini_2": "gemini",
    "deepseek": "deepseek",
    "openrouter": "openrouter",
    "openrouter_claude": "openrouter",
}
translating = pytest.mark.parametrize("wire", TRANSLATED, ids=named)


def blocks_of(turn: Turn) -> list[Json]:
    """The blocks of a turn."""
    content = turn["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def texts_of(content: str | Sequence[Json]) -> list[str]:
    """The texts of a content: those of text documents too."""
    if isinstance(content, str):
        return marked(content)
    found = []
    for block in content:
        if block["type"] == "text":
            found += marked(block["text"])
        elif block["type"] == "document" and block["source"]["type"] == "text":
            found += marked(block["source"]["data"])
    return found


def media_of(content: str | Sequence[Json]) -> list[tuple[str, str]]:
    """What is no text in a content: its path, and its `data:` URL, address or id."""
    found = []
    for block in () if isinstance(content, str) else content:
        source = block.get("source", {})
        path = f"messages.content.{block['type']}"
        match source:
            case {"type": "base64", "media_type": type_, "data": data}:
                found.append((f"{path}.base64", f"data:{type_};base64,{data}"))
            case {"type": "url" | "file" as kind}:
                found.append((f"{path}.{kind}", source.get("url") or source["file_id"]))
            case _:
                pass
        if block["type"] == "tool_result":
            found += media_of(block["content"])
    return found


def expected(turns: Sequence[Turn], names: dict[str, str]) -> tuple[list[Step], list[list[tuple[str, str]]]]:
    """The steps of a conversation, and the media of each."""
    steps, media = [Step()], [list[tuple[str, str]]()]
    waiting: list[str] = []
    for turn in turns:
        content = blocks_of(turn)
        if turn["role"] == "assistant":
            calls = [block for block in content if block["type"] == "tool_use"]
            made = [(names[call["name"]], exactly(bytes(call["input"]))) for call in calls]
            steps.append(Step(said=texts_of(content), calls=made))
            media.append([])
            waiting = [call["id"] for call in calls]
            steps[-1].results = [Result([], is_error=True) for _ in calls]
        elif turn["role"] == "system":
            steps[-1].system += texts_of(content)
        else:
            media[-1] += media_of(content)
            steps[-1].heard += texts_of(content)
            for block in content:
                if block["type"] == "tool_result":
                    result = Result(texts_of(block["content"]), is_error=block.get("is_error") is True)
                    steps[-1].results[waiting.index(block["tool_use_id"])] = result
    return steps, media


def is_lost(block: Json, wire: Wire) -> bool:
    """Whether thinking is of no use to a provider, as far as its signature tells."""
    if block["signature"] == SIGNATURES[0]:
        return wire.name != "openrouter_claude"
    carried = unpack(block["signature"])
    return carried is None or carried.provider != MAKERS.get(wire.name)


@translating
@settings(max_examples=250, deadline=None)
@given(rounds=conversations(), system=systems, streamed=st.booleans())
def test_what_is_said_is_read_or_named(wire: Wire, rounds: list[list[Turn]], system: Any, streamed: bool):  # noqa: FBT001
    """Texts, calls with their inputs to the last digit, results and their errors, pictures and documents."""
    turns = grown(rounds)[-1]
    exchange = wire.exchange({"messages": turns, "system": system, "tools": TOOLS, "stream": streamed})
    body = exchange.request.body or b""
    check(wire.name, body)
    found = read_back(wire.name, body)

    assert found.system == texts_of(system)
    assert [schema for _, schema in found.tools.values()] == [tool["input_schema"] for tool in TOOLS]
    names = {tool["name"]: found.tools[tool["description"]][0] for tool in TOOLS}
    assert len({*names.values()}) == len(TOOLS)
    steps, media = expected(turns, names)
    assert [msgspec.structs.replace(step, media=[]) for step in found.steps] == steps
    for step, sent in zip(found.steps, media, strict=True):
        assert_all_or_named(sent, step.media, exchange.dropped)
    assert_thinking_is_named(turns, wire, exchange.dropped)


def assert_all_or_named(sent: list[tuple[str, str]], read: list[str], dropped: tuple[str, ...]) -> None:
    """What is no text arrives, once each, or its path is named; nothing else arrives."""
    missing = Counter(value for _, value in sent) - Counter(read)
    assert not Counter(read) - Counter(value for _, value in sent)
    for path, value in sent:
        assert value not in missing or {path, path.rpartition(".")[0]} & {*dropped}


def assert_thinking_is_named(turns: Sequence[Turn], wire: Wire, dropped: tuple[str, ...]) -> None:
    """Thinking that a provider cannot take is named."""
    content = [block for turn in turns if turn["role"] == "assistant" for block in blocks_of(turn)]
    if any(block["type"] == "thinking" and is_lost(block, wire) for block in content):
        assert "messages.content.thinking" in dropped
    if any(block["type"] == "redacted_thinking" for block in content):
        assert ("messages.content.redacted_thinking" in dropped) is (wire.name != "openrouter_claude")


PLAIN = [{"role": "user", "content": "«hi»"}]


@translating
def test_a_plain_request_names_nothing(wire: Wire):
    """A warning that is always there is none."""
    assert wire.exchange({"messages": PLAIN, "system": "«s»", "tools": TOOLS}).dropped == ()
    assert wire.exchange({"messages": PLAIN, "system": CLAUDE_CODE_SYSTEM}).dropped == ()
