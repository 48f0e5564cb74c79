"""Thinking of other providers is taken out of the history; everything else keeps its bytes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head
from ccproxy.errors import ApiError
from ccproxy.providers.anthropic import Anthropic
from ccproxy.providers.anthropic.history import own_history

OWN = {"type": "thinking", "thinking": "hm", "signature": "EqQBCg"}
EMPTY = {"type": "thinking", "thinking": "hm", "signature": ""}
UNSIGNED = {"type": "thinking", "thinking": "hm"}
CARRIED = {"type": "thinking", "thinking": "", "signature": "ccp1.eyJwIjoiZ2VtaW5pIn0"}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgB"}
TEXT = {"type": "text", "text": "hello"}
CALL = {"type": "tool_use", "id": "t", "name": "n", "input": {"z": 1, "a": 2}}


def user(content: Any) -> dict[str, Any]:
    """A user's turn."""
    return {"role": "user", "content": content}


def assistant(*content: Any) -> dict[str, Any]:
    """The model's turn."""
    return {"role": "assistant", "content": list(content)}


def sent(body: bytes) -> bytes:
    """What Anthropic gets."""
    call = Call(edge="http", request_id="r", body=body)
    target = Target("anthropic", call.head().model, "default")
    request = Anthropic("anthropic", "https://api.anthropic.com", None).exchange(call, call.head(), target).request
    return request.body or b""


def kept(*turns: Any) -> Any:
    """The turns Anthropic gets."""
    body = msgspec.json.encode({"model": "m", "messages": turns})
    return msgspec.json.decode(sent(body))["messages"]


@pytest.mark.parametrize("foreign", [EMPTY, CARRIED])
def test_foreign_thinking_is_taken_out(foreign: dict[str, Any]):
    """Anthropic answers 400 to it, and the client cannot help it."""
    assert kept(user("a"), assistant(foreign, TEXT, CALL), user("b")) == [
        user("a"),
        assistant(TEXT, CALL),
        user("b"),
    ]


def test_own_thinking_stays():
    """Anthropic asks for it back."""
    turns = [user("a"), assistant(OWN, REDACTED, TEXT), user("b"), assistant(CARRIED, TEXT), user("c")]

    assert kept(*turns) == [*turns[:3], assistant(TEXT), user("c")]


def test_unsigned_thinking_goes_with_the_rest():
    """It is as foreign as an empty signature."""
    assert kept(user("a"), assistant(UNSIGNED, EMPTY, TEXT)) == [user("a"), assistant(TEXT)]


def test_a_turn_of_nothing_else_goes_and_its_neighbours_become_one():
    """Turns alternate."""
    before, after = [TEXT], [{"type": "image", "source": {"type": "url", "url": "u"}}]

    assert kept(user(before), assistant(EMPTY), user(after)) == [user(before + after)]


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("hello", "hello", [TEXT, TEXT]),
        ("hello", [CALL], [TEXT, CALL]),
        ([CALL], "", [CALL]),
    ],
)
def test_neighbours_of_text_become_blocks(first: Any, second: Any, joined: Any):
    """An empty text is no block: Anthropic refuses one."""
    assert kept(user(first), assistant(CARRIED), user(second)) == [user(joined)]


def test_many_turns_of_nothing_else_go():
    """A model that only thought, again and again."""
    turns = [user("hello"), assistant(EMPTY), user("hello"), assistant(CARRIED), assistant(EMPTY), user("hello")]

    assert kept(*turns) == [user([TEXT, TEXT, TEXT])]


def test_a_turn_at_either_end_leaves_no_gap():
    """There is nothing to join."""
    assert kept(assistant(EMPTY), user("a"), assistant(EMPTY)) == [user("a")]


def test_turns_of_different_speakers_are_not_joined():
    """A system's turn in between is no user's."""
    system = {"role": "system", "content": "be brief"}

    assert kept(user("a"), assistant(EMPTY), system, user("b")) == [user("a"), system, user("b")]


def test_turns_that_were_neighbours_before_stay_apart():
    """What the caller wrote so, Anthropic can read so."""
    turns = [user("a"), user("b"), assistant(TEXT), assistant(EMPTY, TEXT)]

    assert kept(*turns) == [user("a"), user("b"), assistant(TEXT), assistant(TEXT)]


@pytest.mark.parametrize(
    "body",
    [
        b'{ "model":"m", "messages" : [ {"role":"user","content":"say ccp1. or \\"signature\\":\\"\\""} ] }',
        b'{"model":"m","messages":[{"role":"user","content":[ {"type":"tool_result","content":"ccp1."} ]}]}',
        b'{"model":"m","messages":[{"content":[ {"type":"tool_use","input":{"signature":""}} ]}]}',
        b'{"model":"m","messages":[{"content":[7,{"type":1},{"signature": ""}]},{"role":"user"}]}',
        b'{"model":"m","messages":[{"content":[{"type":"text","signature":"ccp1.x"}]}]}',
        b'{"model":"m","messages":"ccp1."}',
        b'{"model":"m","messages":{"signature":""}}',
        b'{"model":"m","messages":[{"signature":""}, 7]}',
        b'{"model":"m","messages":[{"content":[{"type":"\xff"},{"type":"text","signature":""}]}]}',
        b'{"model":"m","system":"ccp1."}',
    ],
)
def test_what_only_looks_like_it_keeps_every_byte(body: bytes):
    """A file about this gateway holds the words, too."""
    assert sent(body) == body


def test_what_stays_keeps_its_bytes():
    """Signatures and prompt caches are bound to them: numbers, blanks inside, order, unknown members."""
    body = (
        b'{"model":"m","x":1e5,"messages":[{"role":"user","content":[{"type":"text", "text":"\\u00e9","n":1.0}]},'
        b'{"role":"assistant","id":7,"content":[{"type":"thinking","thinking":"","signature": ""},'
        b'{ "type":"tool_use","input":{"b":1E2,"a":[ ]} }]}]}'
    )
    gone = b'{"type":"thinking","thinking":"","signature": ""},'

    assert sent(body) == body.replace(gone, b"")


def test_a_content_that_is_too_deep_is_the_callers_mistake():
    """Never a crash."""
    body = b'{"model":"m","messages":[{"content":[%b{"signature":""}%b]}]}' % (b"[" * 3_000, b"]" * 3_000)
    with pytest.raises(ApiError):
        sent(body)


BLOCKS = st.sampled_from([OWN, EMPTY, CARRIED, REDACTED, TEXT, CALL])


@given(
    turns=st.lists(
        st.tuples(st.lists(BLOCKS, min_size=1, max_size=3), st.sampled_from(["hello", [TEXT]])), max_size=5
    )
)
def test_no_foreign_thinking_is_ever_left_and_speakers_alternate(turns: list[tuple[list[Any], Any]]):
    """Whatever the conversation was."""
    messages = [each for blocks, answer in turns for each in (assistant(*blocks), user(answer))]
    body = msgspec.json.encode({"model": "m", "messages": [user("hello"), *messages]})
    history = msgspec.json.decode(sent(body))["messages"]
    left = [block for turn in history if isinstance(turn["content"], list) for block in turn["content"]]

    assert not any(block in left for block in (EMPTY, CARRIED))
    assert [turn["role"] for turn in history] == ["user", "assistant"] * (len(history) // 2) + ["user"]
    assert all(turn["content"] for turn in history)


def test_without_messages_there_is_nothing_to_do():
    """The provider says what is missing."""
    assert own_history(decode_head(b'{"model":"m"}').fields) is None
