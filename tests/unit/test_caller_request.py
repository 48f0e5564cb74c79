"""The caller's request, as every translator reads it."""

import msgspec
import pytest
from msgspec import Raw

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head
from ccproxy.errors import ApiError
from ccproxy.messages import Metadata, OutputConfig, Request, ThinkingConfig
from ccproxy.providers.caller_request import (
    MCP,
    PREFILL,
    is_hurried,
    opened_late,
    read,
    session_of,
    shows_thinking,
    unsayable,
    wish,
)


def of(**members: object) -> Call:
    """A call with a request."""
    return Call(edge="http", request_id="r", body=msgspec.json.encode({"model": "m", "max_tokens": 1, **members}))


def test_the_route_speaks_where_the_caller_is_silent():
    """An operator's parameters are a default, never an override."""
    call = of(messages=[{"role": "user", "content": "a"}], top_k=2)
    target = Target("p", "m", "default", {"top_k": 1, "temperature": 0.5})

    request = read(call, call.head(), target)

    assert (request.top_k, request.temperature) == (2, 0.5)


def test_a_conversation_that_the_assistant_ends_is_refused_in_anthropics_words():
    """Nobody else goes on where the assistant stopped: the answer would begin anew, and nobody would notice."""
    call = of(messages=[{"role": "assistant", "content": "a"}])

    with pytest.raises(ApiError, match=PREFILL):
        read(call, call.head(), Target("p", "m", "default"))


TARGET = Target("p", "m", "default")
USER = {"role": "user", "content": "a"}


def test_servers_whose_tools_nobody_would_call_are_refused():
    """The model would answer without its tools, and nobody would notice."""
    call = of(messages=[USER], mcp_servers=[{"type": "url", "url": "https://mcp.example", "name": "m"}])

    with pytest.raises(ApiError) as caught:
        read(call, call.head(), TARGET)

    assert (caught.value.status, caught.value.message) == (400, MCP)


@pytest.mark.parametrize("servers", [None, []])
def test_no_servers_are_no_reason_to_refuse(servers: object):
    """Some clients always send the member."""
    call = of(messages=[USER], mcp_servers=servers)

    assert read(call, call.head(), TARGET).messages


def test_what_was_for_one_turn_alone_is_not_shown_later():
    """Anthropic's server does the same: an old reminder would still command."""
    once = {"role": "system", "content": "once", "clear_at": "next_user_message"}
    always = {"role": "system", "content": "always", "clear_at": "never"}
    turns = [USER, once, always, {"role": "assistant", "content": "b"}, USER, once]
    call = of(messages=turns)

    shown = [turn.content for turn in read(call, call.head(), TARGET).messages]

    assert shown == ["a", "always", "b", "a", "once"]


@pytest.mark.parametrize("fault", [UnicodeDecodeError("utf-8", b"", 0, 1, ""), RecursionError()])
def test_what_is_opened_late_is_still_the_callers_fault(fault: Exception):
    """A 500 would send its developer to us."""
    with pytest.raises(ApiError) as caught, opened_late():
        raise fault

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("request_", "old_client", "wished"),
    [
        (Request("m", [], 1), True, "none"),
        (Request("m", [], 1), False, None),
        (Request("m", [], 1, thinking=ThinkingConfig("between_tools")), False, "none"),
        (Request("m", [], 1, thinking=ThinkingConfig("enabled", 8_000)), False, "high"),
        (Request("m", [], 1, thinking=ThinkingConfig("adaptive"), output_config=OutputConfig("low")), True, "low"),
    ],
)
def test_the_wish_for_thinking_is_one_word(request_: Request, old_client: bool, wished: str | None):  # noqa: FBT001
    """Five ways to say it, one for the translators to understand."""
    assert wish(request_, old_client=old_client) == wished


@pytest.mark.parametrize(
    ("config", "shows"),
    [
        (None, True),
        (ThinkingConfig("adaptive"), True),
        (ThinkingConfig("disabled"), False),
        (ThinkingConfig("adaptive", display="omitted"), False),
    ],
)
def test_thinking_is_shown_unless_it_is_not_wanted(config: ThinkingConfig | None, shows: bool):  # noqa: FBT001
    """Who leaves it out must not be sent it."""
    assert shows_thinking(Request("m", [], 1, thinking=config)) is shows


def test_what_no_translator_has_a_word_for_is_named():
    """Whatever Anthropic adds to its API is dropped by name, never in silence."""
    document = {"model": "m", "container": "c", "inference_geo": None, "tools": [{"defer_loading": True}]}
    head = decode_head(msgspec.json.encode({**document, "system": [{"cache_control": Raw(b"{}")}]}))

    assert unsayable(head) == {"container", "tools.defer_loading", "cache_control"}
    assert unsayable(head, says_cache_control=True) == {"container", "tools.defer_loading"}


ID = "0a1b2c3d-0000-4000-8000-0123456789ab"


@pytest.mark.parametrize(
    ("header", "user", "session"),
    [
        ("s-1\n", "", "s-1"),
        ("", f"user_ab12_account__session_{ID}", ID),
        ("", f'{{"device_id":"x","session_id":"{ID}"}}', ID),
        ("s-1", f"user_ab12_account__session_{ID}", "s-1"),
        ("", "somebody", ""),
        ("", None, ""),
    ],
)
def test_a_session_of_claude_code_is_known(header: str, user: str | None, session: str):
    """Its requests share a prompt cache only where the provider is told that they belong together."""
    call = Call(edge="http", request_id="r", headers={"x-claude-code-session-id": [header]} if header else {})

    assert session_of(call, Request("m", [], 1, metadata=Metadata(user))) == session
    assert session_of(call, Request("m", [], 1)) == header.strip()


@pytest.mark.parametrize(("speed", "hurried"), [("fast", True), ("standard", False)])
def test_speed_is_a_wish_of_its_own(speed: str, hurried: bool):  # noqa: FBT001
    """It costs more: nobody gets it unasked."""
    assert is_hurried(decode_head(msgspec.json.encode({"model": "m", "speed": speed}))) is hurried
