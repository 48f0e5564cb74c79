"""Estimates: every block has its price, and more text never costs less."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy import tokens
from ccproxy.documents import decode_request
from ccproxy.tokens import estimate

PDF_BYTES = 100 << 10
PDF_TEXT = "A" * (PDF_BYTES * 4 // 3)


def asked(content: Any, **members: Any) -> int:
    """The estimate of a request with one user turn."""
    document = {
        "model": "m",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": content}],
        **members,
    }
    return estimate(decode_request(msgspec.json.encode(document)))


def block(**members: Any) -> int:
    """The estimate of one block, without its turn."""
    return asked([members]) - asked([])


def document(**source: Any) -> int:
    """The estimate of a document."""
    return block(type="document", source=source)


TEXT = "x" * 360  # a hundred tokens


def test_text_is_priced_by_its_bytes():
    """One rule of thumb for all languages and code."""
    assert asked(TEXT) - asked("") == 100


def test_text_of_other_scripts_costs_more():
    """Byte-pair vocabularies are made from mostly English text."""
    assert asked("я" * 360) - asked("") == 200


def test_a_turn_has_a_frame():
    """Role and separators are tokens too."""
    assert asked("") == tokens.TOKENS_PER_TURN


def test_a_text_block_costs_what_its_text_costs():
    """Two ways to write the same."""
    assert asked([{"type": "text", "text": TEXT}]) == asked(TEXT)


@pytest.mark.parametrize("system", [TEXT, [{"type": "text", "text": TEXT}]])
def test_the_system_prompt_counts(system: Any):
    """With Claude Code it is most of a short request."""
    assert asked("", system=system) - asked("") == 100


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"type": "thinking", "thinking": TEXT, "signature": "not counted"}, 100),
        ({"type": "redacted_thinking", "data": TEXT}, 100),
        ({"type": "tool_use", "id": "t", "name": "n" * 358, "input": {}}, 100 + tokens.TOKENS_PER_TURN),
        ({"type": "tool_result", "tool_use_id": "t", "content": TEXT}, 100 + tokens.TOKENS_PER_TURN),
        ({"type": "tool_result", "tool_use_id": "t"}, tokens.TOKENS_PER_TURN),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": TEXT}]},
            100 + tokens.TOKENS_PER_TURN,
        ),
        (
            {
                "type": "search_result",
                "source": "not counted",
                "title": "",
                "content": [{"type": "text", "text": TEXT}],
            },
            100,
        ),
        ({"type": "image", "source": {"type": "url", "url": "http://x"}}, tokens.IMAGE_TOKENS),
        ({"type": "server_tool_use", "id": "x", "name": "y", "input": {"z": TEXT}}, 0),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
def test_each_block_has_its_price(members: dict[str, Any], expected: int):
    """A block without one would fill the context unseen."""
    assert block(**members) == expected


def test_an_image_in_a_tool_result_counts():
    """Screenshots come that way."""
    image = {"type": "image", "source": {"type": "file", "file_id": "f"}}
    result = block(type="tool_result", tool_use_id="t", content=[image, image])

    assert result == 2 * tokens.IMAGE_TOKENS + tokens.TOKENS_PER_TURN


def test_a_document_of_text_is_text():
    """There it is to count."""
    assert document(type="text", media_type="text/plain", data=TEXT) == 100


@pytest.mark.parametrize("content", [TEXT, [{"type": "text", "text": TEXT}]])
def test_a_document_of_blocks_is_its_blocks(content: Any):
    """The same."""
    assert document(type="content", content=content) == 100


def test_a_pdf_is_priced_by_its_size():
    """It is never opened; a page is some 100 KiB."""
    expected = 100 * tokens.DOCUMENT_TOKENS_PER_KIB

    assert document(type="base64", media_type="application/pdf", data=PDF_TEXT) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("source", [{"type": "url", "url": "http://x"}, {"type": "file", "file_id": "f"}])
def test_a_document_elsewhere_has_a_flat_price(source: dict[str, Any]):
    """It is never fetched."""
    assert document(**source) == tokens.DOCUMENT_TOKENS


def test_a_tool_counts_with_its_schema():
    """Schemas are most of an agent's request."""
    tool = {"name": "n" * 100, "description": "d" * 258, "input_schema": {}}

    assert asked("", tools=[tool]) - asked("") == 100 + tokens.TOKENS_PER_TOOL


def test_a_tool_that_anthropic_defines_has_its_frame():
    """It has neither description nor schema."""
    assert asked("", tools=[{"type": "bash_20250124"}]) - asked("") == tokens.TOKENS_PER_TOOL


@given(text=st.text(max_size=200), more=st.text(max_size=200))
def test_more_text_never_costs_less(text: str, more: str):
    """Clients compact their history by this number."""
    assert asked(text + more) >= asked(text)
