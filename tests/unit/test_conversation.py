"""What every translator does with a conversation."""

from ccproxy.messages import Document, Request, SearchResult, Text, TextSource, Turn, Unknown
from ccproxy.providers.conversation import blocks_of, kind, opening, search_result, steps, system_blocks


def test_claude_codes_attribution_is_left_out_of_the_system_prompt():
    """It changes with each request, and with it the prompt cache."""
    system = [Text("x-anthropic-billing-header: a"), Text("b")]

    assert system_blocks(Request("m", [], 1, system=system)) == [Text("b")]
    assert system_blocks(Request("m", [], 1, system="b")) == [Text("b")]
    assert system_blocks(Request("m", [], 1)) == []


def test_neighbouring_turns_of_the_assistant_are_one_step():
    """Anthropic joins them as well."""
    turns = [Turn("assistant", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d")]

    assert steps(turns) == [([Text("a"), Text("b")], [turns[2]]), ([Text("d")], [])]
    assert blocks_of(turns[0]) == [Text("a")]


def test_what_has_no_place_is_told_as_text():
    """With its attributes escaped: they come from anywhere."""
    document = Document(TextSource("x"), title='a"b')

    assert opening(document) == '<document title="a&quot;b">'
    assert search_result(SearchResult("s", "t", [Text("x")])) == (
        '<search_result source="s" title="t">x</search_result>'
    )


def test_a_block_is_named_by_its_type():
    """Also one that is not modelled."""
    assert (kind(Text("a")), kind(Unknown("mcp_tool_use"))) == ("text", "mcp_tool_use")
