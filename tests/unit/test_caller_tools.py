"""Tools that the caller runs."""

import msgspec
import pytest
from msgspec import UNSET, Raw

from ccproxy.messages import Request, Tool
from ccproxy.providers.caller_tools import defined, description_of, plain, renamed, shortened


def test_a_shortened_name_is_the_same_each_time_and_no_other_ones():
    """A call of an earlier turn must carry the name that its tool has now."""
    one, other = "mcp__a" * 20, "mcp__a" * 20 + "b"

    assert shortened(one, one, 64) == shortened(one, one, 64) != shortened(other, other, 64)
    assert len(shortened(one, one, 64)) == 64


def test_only_names_that_differ_are_kept_for_the_way_back():
    """Most tools are called the same on both sides."""
    request = Request("m", [], 1, tools=[Tool("a.b"), Tool("c"), Tool()])

    assert renamed(request, plain) == {"a_b": "a.b"}


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
def test_tools_of_anthropic_that_the_caller_runs_have_a_schema(kind: str):
    """It is known to Anthropic's models only; others must be told."""
    known = defined(Tool("t", type=kind))

    assert known is not None
    assert msgspec.json.decode(known[1])["type"] == "object"


def test_tools_that_anthropic_runs_have_none():
    """Nobody would run them."""
    assert defined(Tool("t", type="code_execution_20250825")) is None


def test_examples_are_told_in_the_description():
    """No other provider has a member for them."""
    assert description_of(Tool("t", input_examples=Raw(b'[{"a":1}]'))) == 'Examples: [{"a":1}]'
    assert description_of(Tool("t")) is UNSET
