"""Anthropic's web search at other providers."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from unit import chat, gemini, responses

from ccproxy.documents import decode_head
from ccproxy.errors import ApiError
from ccproxy.providers.deepseek import DEEPSEEK
from ccproxy.providers.openrouter import OPENROUTER
from ccproxy.providers.web_search import Sources, wanted_search

PLACE = {"type": "approximate", "city": "Bern", "country": "CH"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
LIMITED = {**SEARCH, "max_uses": 3, "allowed_domains": ["a.org"], "user_location": PLACE}
ROUTER: dict[str, Any] = {"base_url": "https://openrouter.ai/api/v1", "dialect": OPENROUTER}
SCHEMA = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}


def test_openai_searches_by_its_own_tool():
    """With the caller's limits: they are for its purse and its trust."""
    request = responses.sent(tools=[LIMITED, chat.TOOL])

    assert request["tools"][1:] == [
        {"type": "web_search", "filters": {"allowed_domains": ["a.org"]}, "user_location": PLACE}
    ]
    assert request["max_tool_calls"] == 3
    assert responses.dropped(tools=[LIMITED, chat.TOOL]) == ()


def test_a_search_without_limits_has_none():
    """A null is no limit."""
    bare = {**SEARCH, "type": "web_search_20260318", "user_location": None, "max_uses": None}
    request = responses.sent(tools=[bare])

    assert (request["tools"], "max_tool_calls" in request) == ([{"type": "web_search"}], False)
    assert responses.sent(tools=[{**SEARCH, "blocked_domains": ["b.org"]}])["tools"] == [
        {"type": "web_search", "filters": {"blocked_domains": ["b.org"]}}
    ]


@pytest.mark.parametrize(
    ("tools", "choice", "said", "names"),
    [
        ([SEARCH], {"type": "tool", "name": "web_search"}, "required", ()),
        ([SEARCH, chat.TOOL], {"type": "tool", "name": "web_search"}, None, ("tool_choice",)),
        ([SEARCH], {"type": "any"}, "required", ()),
    ],
)
def test_the_only_tool_can_be_forced(tools: Any, choice: Any, said: str | None, names: tuple[str, ...]):
    """Claude Code's own search is such a request. Beside other tools a search cannot be named."""
    request = responses.sent(tools=tools, tool_choice=choice)

    assert request.get("tool_choice") == said
    assert responses.dropped(tools=tools, tool_choice=choice) == names


def test_a_model_that_searches_thinks_a_little():
    """A search with the least effort that gpt-5 knows is said to be refused."""
    asked: dict[str, Any] = {"model": "gpt-5", "thinking": {"type": "disabled"}}

    assert responses.sent(tools=[SEARCH], **asked)["reasoning"]["effort"] == "low"
    assert responses.sent(tools=[chat.TOOL], **asked)["reasoning"]["effort"] == "minimal"


def test_openrouter_searches_by_its_own_tool():
    """It searches for every model."""
    request = chat.sent(tools=[chat.TOOL, LIMITED], **ROUTER)
    parameters = {"max_uses": 3, "allowed_domains": ["a.org"], "user_location": PLACE}

    assert request["tools"][1:] == [{"type": "openrouter:web_search", "parameters": parameters}]
    assert chat.sent(tools=[{**SEARCH, "blocked_domains": ["b.org"]}], **ROUTER)["tools"] == [
        {"type": "openrouter:web_search", "parameters": {"excluded_domains": ["b.org"]}}
    ]
    assert chat.dropped(tools=[LIMITED], **ROUTER) == ()


@pytest.mark.parametrize(
    "server",
    [{"base_url": "http://127.0.0.1:9"}, {"dialect": DEEPSEEK}, {}],
    ids=["compatible", "deepseek", "chat"],
)
def test_where_there_is_no_search_it_is_named(server: dict[str, Any]):
    """The caller must know that the answer comes from the model's memory."""
    assert "tools" not in chat.sent(tools=[SEARCH], **server)
    assert chat.dropped(tools=[SEARCH], **server) == ("tools.web_search_20250305",)


def test_gemini_searches_by_google():
    """Which takes no limits."""
    assert gemini.sent(tools=[LIMITED])["tools"] == [{"googleSearch": {}}]
    assert "toolConfig" not in gemini.sent(tools=[LIMITED])
    assert gemini.dropped(tools=[SEARCH]) == ()
    assert gemini.dropped(tools=[LIMITED]) == ("tools.allowed_domains", "tools.max_uses", "tools.user_location")


def test_gemini_searches_beside_functions_from_the_third_on():
    """Earlier models refuse the request."""
    tools = [gemini.TOOL, SEARCH]
    request = gemini.sent(tools=tools)

    assert [[*tool] for tool in request["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert request["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert [[*tool] for tool in gemini.sent(tools=tools, model="gemini-2.5-flash")["tools"]] == [
        ["functionDeclarations"]
    ]
    assert gemini.dropped(tools=tools, model="gemini-2.5-flash") == ("tools.web_search_20250305",)


def test_a_search_that_is_none_is_the_callers_mistake():
    """A 400 here, not at the provider."""
    tools = msgspec.json.encode([{**SEARCH, "max_uses": "many"}])

    with pytest.raises(ApiError, match="tools: a web search"):
        wanted_search(decode_head(b'{"model":"m","tools":' + tools + b"}"))


def test_the_word_in_another_tool_is_no_search():
    """Descriptions say what they like."""
    tool = {**chat.TOOL, "description": "like web_search_20250305"}

    assert wanted_search(decode_head(msgspec.json.encode({"model": "m", "tools": [tool]}))) is None


LISTED = "\n\nSources:\n- A page: https://a.org\n- https://b.org"
GROUNDED = {
    "groundingMetadata": {
        "groundingChunks": [
            {"web": {"uri": "https://a.org", "title": "A\n page"}},
            {"web": {"uri": "https://b.org"}},
            {"web": {"uri": "https://a.org", "title": "again"}},
            {"retrievedContext": {}},
        ]
    }
}
CITED = [
    {"type": "url_citation", "url_citation": {"url": "https://a.org", "title": "A\n page"}},
    {"type": "url_citation", "url_citation": {"url": "https://b.org", "start_index": 0, "end_index": 0}},
    {"type": "url_citation", "url_citation": {"title": "no address"}},
    {"type": "url_citation", "url_citation": {"url": "https://c.org", "start_index": 5, "end_index": 9}},
]


def grounded(finish: str | None, *parts: Any) -> dict[str, Any]:
    """A chunk of Gemini's with sources."""
    document = gemini.generated(*parts, finish=finish)
    document["candidates"][0] |= GROUNDED
    return document


ASKED: dict[str, Any] = {"tools": [SEARCH]}


def test_geminis_sources_follow_its_text():
    """The answer's text does not name them."""
    whole = gemini.answered(grounded("STOP", gemini.text("hi")), **ASKED)
    pieces = (gemini.frame(grounded(None, gemini.text("hi"))), gemini.frame(grounded("STOP")))

    assert whole["content"] == [{"type": "text", "text": f"hi{LISTED}"}]
    assert chat.blocks(gemini.streamed(*pieces, **ASKED)) == whole["content"]


def test_sources_that_the_text_does_not_name_follow_it():
    """A citation that spans a part of the text is a link there."""
    whole = chat.answered(chat.completion(content="hi", annotations=CITED), **ASKED)
    pieces = (chat.chunk(content="hi"), chat.chunk(annotations=CITED), chat.chunk("stop"), chat.DONE)

    assert whole["content"] == [{"type": "text", "text": f"hi{LISTED}"}]
    assert chat.blocks(chat.streamed(*pieces, **ASKED)) == whole["content"]


@pytest.mark.parametrize("asked", [{}, {**ASKED, **SCHEMA}])
def test_sources_stay_out_where_they_are_not_awaited(asked: dict[str, Any]):
    """Who asked for JSON parses the text; who asked for no search did not ask for sources."""
    hi = [{"type": "text", "text": "{}"}]

    assert chat.answered(chat.completion(content="{}", annotations=CITED), **asked)["content"] == hi
    assert gemini.answered(grounded("STOP", gemini.text("{}")), **asked)["content"] == hi


def test_nothing_comes_after_a_call():
    """A client runs the calls that end an answer."""
    calls = [chat.call("t0", "read", "{}")]
    called = chat.completion("tool_calls", tool_calls=calls, annotations=CITED)
    stream = (chat.chunk(tool_calls=calls, annotations=CITED), chat.chunk("stop"), chat.DONE)
    contents = (
        chat.answered(called, **ASKED)["content"],
        chat.blocks(chat.streamed(*stream, **ASKED)),
        gemini.answered(grounded("STOP", gemini.called()), **ASKED)["content"],
    )

    assert [[block["type"] for block in content] for content in contents] == [["tool_use"]] * 3


@pytest.mark.parametrize("annotations", [b'{"a":1}', b'[{"url":1}]', b"null", b'["\xff"]', b"[" * 10_000])
def test_annotations_of_another_kind_are_nothing(annotations: bytes):
    """Compatible servers call many things so."""
    sources = Sources(shown=True)
    sources.cite(Raw(annotations))

    assert sources.text == ""
