"""What would become of a request, told without sending it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy.config import Config, FallbackConfig, ProviderConfig, RouteConfig, Secret
from ccproxy.explain import Explanation, explain

OURS = "sk-ours-planted"
BOTH = [ProviderConfig("anthropic", api_key=Secret(OURS)), ProviderConfig("openai", api_key=Secret(OURS))]


def config(**routes: RouteConfig) -> Config:
    """Two providers with keys, and routes."""
    return Config(providers=BOTH, routes=routes, apikey=Secret(OURS))


def body(model: str = "claude-x", text: str = "hello", **members: Any) -> bytes:
    """A request."""
    turns = [{"role": "user", "content": text}]
    return msgspec.json.encode({"model": model, "max_tokens": 5, "messages": turns, **members})


def test_a_relayed_request_is_shown_as_it_would_be_sent():
    """The bytes, not a picture of them."""
    asked = body()

    assert explain(config(), asked) == Explanation(
        asked="claude-x",
        rule="automatic",
        reason="there is no default route, and anthropic has Claude models",
        provider="anthropic",
        model="claude-x",
        url="https://api.anthropic.com/v1/messages",
        request=msgspec.Raw(asked),
        input_tokens=8,
    )


def test_a_translated_request_is_shown_with_what_is_lost():
    """Dropped members are the first question of who debugs a translation."""
    told = explain(config(default=RouteConfig("openai", "gpt-4o")), body(top_k=3, container="c"))

    assert (told.provider, told.model, told.dropped) == ("openai", "gpt-4o", ("container", "top_k"))
    assert told.url == "https://api.openai.com/v1/chat/completions"
    assert msgspec.json.decode(told.request)["model"] == "gpt-4o"


def test_the_rule_and_its_reason_are_told():
    """The answer to "why did it go there?"."""
    told = explain(config(longContext=RouteConfig("openai", "big")), body(text="long " * 80_000))

    assert told.rule == "longContext"
    assert told.reason == f"the estimated {told.input_tokens:,} tokens are above long_context_threshold 60,000"


def test_only_parameters_that_apply_are_told():
    """The request's own words are over the route's."""
    route = RouteConfig("anthropic", "", {"max_tokens": 9, "temperature": 0.5})
    told = explain(config(default=route), body())

    assert told.parameters == {"temperature": 0.5}
    assert msgspec.json.decode(told.request)["temperature"] == 0.5


def test_fallbacks_are_told_as_a_caller_would_write_them():
    """In their order."""
    route = RouteConfig("openai", "gpt-5", {}, [FallbackConfig("openai", "gpt-4o"), FallbackConfig("anthropic")])

    assert explain(config(default=route), body()).fallbacks == ("openai,gpt-4o", "anthropic,claude-x")


def test_headers_that_matter_can_be_given():
    """An older version of the API is silent about thinking where it wants none."""
    routes = {"default": RouteConfig("openai", "gpt-5")}
    old = explain(config(**routes), body(), {"anthropic-version": ["2023-06-01"]})
    new = explain(config(**routes), body(), {"anthropic-version": ["2026-10-21"]})

    assert bytes(old.request) != bytes(new.request)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (b"{", "The request body is not valid JSON"),
        (b"{}", "model: Field required"),
        (body("nobody,m"), "model: nobody,m does not name a provider"),
        (body("openai,m", messages=[]), "messages: at least one message is required"),
        (body("openai,m", max_tokens="x"), "max_tokens: "),
    ],
)
def test_a_request_that_would_fail_is_explained_so(asked: bytes, problem: str):
    """With the words that its caller would get."""
    told = explain(config(), asked)

    assert told.problems[0].startswith(problem)
    assert (told.url, bytes(told.request)) == ("", b"null")


def test_where_it_would_have_gone_is_told_with_the_problem():
    """Half an answer helps."""
    told = explain(config(), body("openai,m", messages=[]))

    assert (told.rule, told.provider, told.model) == ("provider,model", "openai", "m")


def test_a_callers_own_credential_is_not_needed():
    """It is not here, and it changes nothing that is shown."""
    client = Config(providers=[ProviderConfig("anthropic", auth="client")])

    assert explain(client, body()).problems == ()


def test_the_demo_upstream_is_explained_like_a_provider():
    """The first thing that somebody tries, before any configuration."""
    told = explain(Config(demo=True), body("openai,gpt-demo-1"))

    assert (told.provider, told.url) == ("openai", "http://127.0.0.1:0/openai/v1/chat/completions")
    assert explain(Config(demo=True), body()).provider == "anthropic"


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("openai,gpt-5-demo", "/openai/v1/responses"),
        ("deepseek,deepseek-demo-1", "/deepseek/chat/completions"),
        ("deepseek,claude-demo-1", "/deepseek/anthropic/v1/messages"),
        ("openrouter,demo/openrouter-demo-1", "/openrouter/api/v1/chat/completions"),
        ("openrouter,claude-demo-1", "/openrouter/api/v1/messages"),
        ("gemini,gemini-3-demo", "/gemini/v1beta/models/gemini-3-demo:generateContent"),
    ],
)
def test_each_wire_of_the_demo_is_explained(model: str, url: str):
    """The address tells which of them a model takes."""
    assert explain(Config(demo=True), body(model)).url == f"http://127.0.0.1:0{url}"


def test_it_can_be_read_by_a_program():
    """`--json`."""
    told = msgspec.json.decode(msgspec.json.encode(explain(config(), body())))

    assert told["rule"] == "automatic"
    assert told["request"]["model"] == "claude-x"


def test_it_can_be_read_by_a_person():
    """One line per fact, then the request."""
    route = RouteConfig("openai", "gpt-4o", {"temperature": 0.5}, [FallbackConfig("anthropic")])

    assert explain(config(default=route), body(top_k=3)).lines() == [
        "model      claude-x",
        "rule       default",
        "reason     no other rule takes the request",
        "provider   openai",
        "its model  gpt-4o",
        'added      {"temperature":0.5}',
        "dropped    top_k",
        "fallbacks  anthropic,claude-x",
        "input      about 8 tokens",
        "sent to    https://api.openai.com/v1/chat/completions",
        "{",
        '  "model": "gpt-4o",',
        '  "messages": [',
        "    {",
        '      "role": "user",',
        '      "content": "hello"',
        "    }",
        "  ],",
        '  "max_completion_tokens": 5,',
        '  "temperature": 0.5',
        "}",
    ]


def test_a_problem_is_a_line_of_its_own():
    """And there is no request to show."""
    assert explain(config(), b"{}").lines() == ["problem    model: Field required"]


def test_long_texts_are_cut_for_people_alone():
    """A tool's result may be a whole file."""
    told = explain(config(), body(text="x" * 1_000))

    assert f'"{"x" * 200}… (1,000 characters)"' in "\n".join(told.lines())
    assert b"x" * 1_000 in bytes(told.request)


def test_nothing_in_a_request_moves_the_cursor():
    """A terminal obeys what it is shown."""
    told = explain(config(), body("claude-\x1b[2J\u009b", text="\x1b[2J\u009b"))

    assert all(line.isprintable() for line in told.lines())


@given(
    model=st.sampled_from(["claude-x", "openai,gpt-5", "gpt-5", "x,y"]),
    members=st.dictionaries(
        st.sampled_from(["thinking", "tools", "system", "metadata", "messages", "new"]),
        st.none() | st.booleans() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2),
    ),
)
def test_any_request_is_explained_and_no_key_is_shown(model: str, members: dict[str, Any]):
    """Whatever is in it: an explanation, never an exception."""
    told = explain(config(think=RouteConfig("openai", "o3")), body(model, **members))

    assert bool(told.problems) != bool(told.url)
    assert OURS not in "\n".join(told.lines())
    assert OURS.encode() not in msgspec.json.encode(told)
