"""Estimates: every block has its price, and more text never costs less. How near they are: tests/conformance."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy import tokens
from ccproxy.documents import decode_request
from ccproxy.tokens import OTHER, Family, estimate, estimate_text, family_of, most_tokens
from ccproxy.tokens.family import CLAUDE, DEEPSEEK, GEMINI, GPT, NEW_CLAUDE, NEW_GEMINI, NEW_GPT, OLD_CLAUDE
from ccproxy.tokens.media import DOCUMENT_TOKENS, DOCUMENT_TOKENS_PER_KIB, IMAGE_TOKENS
from ccproxy.tokens.text import MOST_PER_BYTE, cost

PLAIN = Family(plain=1.0, foreign=1.0, base=0, turn=0, tool=0, call=0)
"""A family without any frame: what is left is the text."""


def asked(content: Any, family: Family = PLAIN, **members: Any) -> int:
    """The estimate of a request with one user turn."""
    return said([{"role": "user", "content": content}], family, **members)


def said(messages: list[dict[str, Any]], family: Family = PLAIN, **members: Any) -> int:
    """The estimate of a conversation."""
    document = {"model": "m", "max_tokens": 1, "messages": messages, **members}
    return estimate(decode_request(msgspec.json.encode(document)), family)


TEXT = "the quick brown fox jumps over the lazy dog and " * 20
PRICE = asked(TEXT)


def near(expected: int) -> Any:
    """A few tokens more or less: where texts are joined words begin."""
    return pytest.approx(expected, abs=4)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 10, 95, 115),
        ("Привет, как дела сегодня? " * 10, 70, 160),
        ("今天天气很好我们去公园玩吧" * 10, 75, 160),
        ("def f(x):\n    return x + 1\n" * 10, 90, 140),
        ('{"name":"a","value":12345,"ok":true},' * 10, 110, 170),
        ("\N{THUMBS UP SIGN}\N{PARTY POPPER}" * 10, 28, 60),
        ("FwRnuGYba6TtoOscqmiqNBgOqoBivgjJMOYrbl2igkJHQweZnkBeftnoBIEUrL0HYS0N6J2q7n9ZwmNw", 44, 70),
        ("0f3c9a6be2d14587c0b1a2f30f3c9a6b", 16, 34),
        ("Entry 0000: shelf 0, aisle 0, volume 0. " * 10, 150, 200),
    ],
    ids=["prose", "russian", "chinese", "code", "json", "emoji", "key", "hash", "numbers"],
)
def test_text_of_every_kind_is_priced_by_its_kind(text: str, low: int, high: int):
    """What the public vocabularies of OpenAI, DeepSeek and early Claude models make of it, and a little."""
    assert low <= estimate_text(text.encode(), PLAIN) <= high


def test_a_turn_has_a_frame():
    """Role and separators are tokens too."""
    family = Family(plain=1.0, foreign=1.0, base=0, turn=100)

    assert asked("", family) == 105  # with the margin


def test_a_text_block_costs_what_its_text_costs():
    """Two ways to write the same."""
    assert asked([{"type": "text", "text": TEXT}]) == PRICE


@pytest.mark.parametrize("system", [TEXT, [{"type": "text", "text": TEXT}]])
def test_the_system_prompt_counts(system: Any):
    """With Claude Code it is most of a short request."""
    assert asked("", system=system) == near(PRICE)


IMAGE = {"type": "image", "source": {"type": "url", "url": "http://x"}}
CALLED = Family(plain=1.0, foreign=1.0, base=0, turn=0, call=100)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"type": "thinking", "thinking": TEXT, "signature": "not counted"}, PRICE),
        ({"type": "thinking", "thinking": "", "signature": "s" * 600}, 105),
        ({"type": "redacted_thinking", "data": "d" * 600}, 105),
        ({"type": "tool_use", "id": "t", "name": "n", "input": {"x": TEXT}}, 105 + PRICE),
        ({"type": "tool_result", "tool_use_id": "t", "content": TEXT}, 105 + PRICE),
        ({"type": "tool_result", "tool_use_id": "t"}, 105),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": TEXT}]}, 105 + PRICE),
        ({"type": "search_result", "source": "", "title": "", "content": [{"type": "text", "text": TEXT}]}, PRICE),
        (IMAGE, round(IMAGE_TOKENS * tokens.MARGIN)),
        ({"type": "server_tool_use", "id": "x", "name": "y", "input": {"query": TEXT}}, PRICE),
        ({"type": "mcp_tool_use", "id": "x", "name": "y", "input": {"z": TEXT}}, 0),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE, IMAGE]},
            round((100 + 2 * IMAGE_TOKENS) * tokens.MARGIN),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_each_block_has_its_price(members: dict[str, Any], expected: int):
    """A block without one would fill the context unseen."""
    assert asked([members], CALLED) == pytest.approx(expected, abs=6)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"type": "text", "media_type": "text/plain", "data": TEXT}, PRICE),
        ({"type": "content", "content": TEXT}, PRICE),
        ({"type": "content", "content": [{"type": "text", "text": TEXT}]}, PRICE),
        (
            {"type": "base64", "media_type": "application/pdf", "data": "A" * (4096 * 100 // 3)},
            round(100 * DOCUMENT_TOKENS_PER_KIB * tokens.MARGIN),
        ),
        ({"type": "url", "url": "http://x"}, round(DOCUMENT_TOKENS * tokens.MARGIN)),
        ({"type": "file", "file_id": "f"}, round(DOCUMENT_TOKENS * tokens.MARGIN)),
    ],
    ids=["text", "content", "blocks", "pdf", "url", "file"],
)
def test_a_document_is_priced_by_what_is_known_of_it(source: dict[str, Any], expected: int):
    """Text is there to count; a PDF is never opened, and nothing is fetched."""
    assert asked([{"type": "document", "source": source}]) == near(expected)


def test_a_tool_counts_with_its_schema():
    """Schemas are most of an agent's request."""
    tool = {"name": "n", "description": TEXT, "input_schema": {"description": TEXT}}
    half = Family(plain=1.0, foreign=1.0, schema=0.5, base=0, turn=0, tools=1000, tool=100)

    assert asked("", tools=[tool]) == near(2 * PRICE + 5)
    assert asked("", half, tools=[tool, tool]) == pytest.approx(1260 + 3 * PRICE, abs=12)


def test_the_shape_of_the_answer_counts():
    """The schema goes into the prompt."""
    family = Family(plain=1.0, foreign=1.0, base=0, turn=0, format=100)
    output = {"format": {"type": "json_schema", "schema": {"description": TEXT}}}

    assert asked("", family, output_config=output) == pytest.approx(105 + PRICE, abs=16)


THINKING = {"type": "thinking", "thinking": TEXT, "signature": "s"}
CALL = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "done"}


@pytest.mark.parametrize(
    ("which", "last", "expected"),
    [
        ("all", "next", 2),
        ("open", "next", 0),
        ("open", [RESULT], 1),
        ("none", [RESULT], 0),
    ],
)
def test_thinking_counts_where_the_model_reads_it(which: Any, last: Any, expected: int):
    """Some models lose it at the next question, and some never see it again."""
    family = Family(plain=1.0, foreign=1.0, base=0, turn=0, call=0, thinking=which)
    turns = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [THINKING, {"type": "text", "text": "gone"}]},
        {"role": "user", "content": "on"},
        {"role": "assistant", "content": [THINKING, CALL]},
        {"role": "user", "content": last},
    ]

    assert said(turns, family) == pytest.approx(expected * PRICE, abs=20)


def test_a_conversation_of_one_question_is_all_open():
    """Its first turn is the last question."""
    family = Family(plain=1.0, foreign=1.0, base=0, turn=0, call=0, thinking="open")
    turns = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [THINKING, CALL]},
        {"role": "user", "content": [RESULT]},
    ]

    assert said(turns, family) > PRICE


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-opus-4-8", NEW_CLAUDE),
        ("anthropic/claude-sonnet-5", NEW_CLAUDE),
        ("claude-sonnet-4-6", CLAUDE),
        ("anthropic/claude-haiku-4.5", CLAUDE),
        ("claude-opus-4-5-20251101", CLAUDE),
        ("claude-sonnet-4-20250514", OLD_CLAUDE),
        ("claude-sonnet-4-0", OLD_CLAUDE),
        ("claude-opus-4-1-20250805", OLD_CLAUDE),
        ("claude-3-5-haiku-latest", OLD_CLAUDE),
        ("openai/gpt-4.1-mini", GPT),
        ("o4-mini", GPT),
        ("openai/o3", GPT),
        ("gpt-5.6-sol", NEW_GPT),
        ("google/gemini-2.5-pro", GEMINI),
        ("gemini-3.5-flash", NEW_GEMINI),
        ("deepseek/deepseek-v3.2", DEEPSEEK),
        ("qwen/qwen3-coder:free", OTHER),
        ("moonshotai/kimi-k2.5", OTHER),
    ],
)
def test_a_model_counts_as_its_family(model: str, family: Family):
    """By its name wherever it is served."""
    assert family_of(model) is family


ALPHABET = st.sampled_from(" 0aA.\n\té世я\N{PARTY POPPER}")


@given(text=st.text() | st.text(ALPHABET), more=st.text() | st.text(ALPHABET))
def test_more_text_never_costs_less(text: str, more: str):
    """Clients compact their history by this number."""
    assert asked(text + more) >= asked(text)


@given(text=st.text(ALPHABET | st.sampled_from("\"\\'x9")))
def test_no_text_costs_more_than_its_length_allows(text: str):
    """Routing decides by the length alone whether to look."""
    found = cost(text.encode())

    assert found.plain + found.foreign <= len(msgspec.json.encode(text)) * MOST_PER_BYTE


def test_the_worst_text_is_near_the_bound():
    """A bound that is far away would open every request."""
    worst = " 0a" * 1000

    assert cost(worst.encode()).plain > 0.95 * MOST_PER_BYTE * len(worst)
    assert estimate_text(worst.encode()) <= most_tokens([worst.encode()])
