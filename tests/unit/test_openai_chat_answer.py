"""Chat Completions: what a whole answer becomes."""

from typing import Any

import msgspec
import pytest
from unit.chat import TOOL, answered, call, completion, exchange

from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.messages import Usage
from ccproxy.providers.stop_sequences import StopSequences


def content(body: bytes, **members: Any) -> list[dict[str, Any]]:
    """The content of an answer."""
    said: list[dict[str, Any]] = answered(body, **members)["content"]
    return said


def usage(**counts: Any) -> Usage:
    """The usage of an answer with these counts."""
    choice = {"message": {"content": "a"}, "finish_reason": "stop"}
    return exchange().answer(msgspec.json.encode({"id": "c", "choices": [choice], "usage": counts})).usage


def test_a_message():
    """The model goes by the name the caller used: what answers is the gateway's business."""
    assert answered(completion(content="hello")) == {
        "type": "message",
        "id": "msg_chatcmpl-1",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 4},
    }


@pytest.mark.parametrize("said", [{}, {"content": None}, {"content": ""}, {"refusal": "", "tool_calls": None}])
def test_an_empty_answer_has_no_blocks(said: dict[str, Any]):
    """Anthropic has no empty text blocks, and refuses them when they come back."""
    assert content(completion(**said)) == []


def test_thinking_text_and_calls_come_in_this_order():
    """Anthropic's own order, whatever the members' order is."""
    body = completion(
        "tool_calls", tool_calls=[call("t1", "read", "{}")], content="I look", reasoning_content="hm"
    )

    assert [block["type"] for block in content(body)] == ["thinking", "text", "tool_use"]


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_reasoning_of_compatible_servers_is_thinking(member: str):
    """It has no signature: it cannot be proved to anyone."""
    assert content(completion(content="a", **{member: "hm"}))[0] == {
        "type": "thinking",
        "thinking": "hm",
        "signature": "",
    }


@pytest.mark.parametrize("thinking", [{"type": "disabled"}, {"type": "adaptive", "display": "omitted"}])
def test_thinking_is_not_shown_to_who_does_not_want_it(thinking: Any):
    """Clients that switched it off do not expect the blocks."""
    assert [block["type"] for block in content(completion(content="a", reasoning="hm"), thinking=thinking)] == [
        "text"
    ]


def test_a_refusal_is_told_as_one():
    """The provider's finish_reason says "stop"."""
    message = answered(completion(refusal="I cannot."))

    assert message["content"] == [{"type": "text", "text": "I cannot."}]
    assert message["stop_reason"] == "refusal"
    assert message["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


@pytest.mark.parametrize(
    ("finish", "calls", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        ("tool_calls", True, "tool_use"),
        ("tool_calls", False, "end_turn"),
        ("length", False, "max_tokens"),
        ("length", True, "max_tokens"),
        ("content_filter", False, "refusal"),
        ("content_filter", True, "refusal"),
        ("eos", False, "end_turn"),
    ],
)
def test_stop_reasons(finish: str, calls: bool, reason: str):  # noqa: FBT001
    """An agent runs tools on "tool_use" and stops on "end_turn": a wrong one ends its work or repeats it."""
    said = {"tool_calls": [call("t1", "read", "{}")]} if calls else {"content": "a"}

    assert answered(completion(finish, **said))["stop_reason"] == reason


def test_an_answer_given_up_for_lack_of_room_is_an_overload():
    """DeepSeek says so in its finish_reason."""
    with pytest.raises(ApiError) as failure:
        exchange().answer(completion("insufficient_system_resource", content="a"))

    assert failure.value.reason is Reason.OVERLOADED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff",
        b"[]",
        b'{"choices":[]}',
        b'{"choices":[{"message":{},"index":1,"finish_reason":"stop"}]}',
        b'{"choices":[{"finish_reason":"stop"}]}',
        completion(None, content="a"),
        completion("error", content="a"),
        completion(
            "tool_calls", tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "x", "input": "y"}}]
        ),
        completion("tool_calls", tool_calls=[call("t1", "", "{}")]),
        completion("tool_calls", tool_calls=[call("t1", "read", '{"a":')]),
        completion("stop", tool_calls=[call("t1", "read", "[1]")]),
        completion("stop", tool_calls=[call("t1", "read", "{} {}")]),
    ],
    ids=range(14),
)
def test_what_is_no_answer_breaks_the_protocol(body: bytes):
    """A guess would be an answer that the model did not give."""
    with pytest.raises(UpstreamProtocolError):
        exchange().answer(body)


def test_a_null_error_is_none():
    """Some servers send every member always."""
    document = msgspec.json.decode(completion(content="a"))

    assert content(msgspec.json.encode({**document, "error": None})) == [{"type": "text", "text": "a"}]


def test_only_the_first_alternative_counts():
    """One was asked for."""
    document = msgspec.json.decode(completion(content="a"))
    document["choices"].insert(0, {"index": 1, "message": {"content": "b"}, "finish_reason": "stop"})

    assert content(msgspec.json.encode(document)) == [{"type": "text", "text": "a"}]


@pytest.mark.parametrize("arguments", ["", " ", None, "{}"])
def test_a_call_without_arguments_takes_an_empty_object(arguments: str | None):
    """Anthropic's `input` is an object always."""
    assert content(completion("tool_calls", tool_calls=[call("t1", "now", arguments)])) == [
        {"type": "tool_use", "id": "t1", "name": "now", "input": {}}
    ]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_call_cut_short_is_left_out(finish: str):
    """No client may run half a call; whole ones stay."""
    calls = [call("t1", "read", '{"a":1}'), call("t2", "read", '{"a":'), call("t3", "read", "")]

    assert [block["id"] for block in content(completion(finish, tool_calls=calls))] == ["t1"]


def test_a_call_of_a_time_before_tools_is_a_call():
    """Old servers answer with `function_call`, which has no id."""
    said = content(completion("function_call", function_call={"name": "read", "arguments": '{"a":1}'}))

    assert [(block["name"], block["input"]) for block in said] == [("read", {"a": 1})]


def test_a_renamed_tool_gets_its_name_back():
    """The caller knows only its own."""
    name = "mcp__" + "x" * 70
    tools = [{**TOOL, "name": name}]
    upstream = msgspec.json.decode(exchange(tools=tools).request.body or b"")["tools"][0]["function"]["name"]

    said = content(completion("tool_calls", tool_calls=[call("t1", upstream, "{}")]), tools=tools)

    assert said[0]["name"] == name


def test_ids_of_calls_are_kept_where_anthropic_accepts_them():
    """A later turn may go to Anthropic, which refuses ids with dots and colons."""
    calls = [call("call_A-1", "read", "{}"), call("functions.read:0", "read", "{}")]
    ids = [block["id"] for block in content(completion("tool_calls", tool_calls=calls))]

    assert ids[0] == "call_A-1"
    assert ids[1].startswith("toolu_")
    assert ids[1].isidentifier()


@pytest.mark.parametrize("given", ["same", None, "a.b"])
def test_every_call_has_an_id_of_its_own(given: str | None):
    """Results are joined by it."""
    calls = [call(given, "read", "{}"), call(given, "read", "{}"), call(given, "read", "{}")]
    ids = [block["id"] for block in content(completion("tool_calls", tool_calls=calls))]

    assert len(set(ids)) == 3


def test_ids_that_are_made_are_the_same_each_time():
    """There is no chance in translation: the same bytes give the same answer."""
    body = completion("tool_calls", tool_calls=[call(None, "read", "{}")])

    assert answered(body) == answered(body)


@pytest.mark.parametrize(
    ("given", "id"),
    [("chatcmpl-1", "msg_chatcmpl-1"), ("gen:1/2", "msg_gen_1_2"), ("x" * 99, "msg_" + "x" * 64)],
)
def test_the_messages_id_is_the_providers(given: str, id: str):  # noqa: A002
    """Then both ends' logs can be matched; other characters would not pass as an id."""
    document = msgspec.json.decode(completion(content="a"))

    assert answered(msgspec.json.encode({**document, "id": given}))["id"] == id


def test_a_message_without_an_id_gets_one():
    """SDKs demand it."""
    document = msgspec.json.decode(completion(content="a"))

    assert len(answered(msgspec.json.encode({**document, "id": ""}))["id"]) > 10


# Usage.


def test_cached_tokens_are_not_input_tokens():
    """Anthropic's total is the sum of three; the provider's includes its parts."""
    counts = usage(prompt_tokens=100, completion_tokens=7, prompt_tokens_details={"cached_tokens": 60})

    assert (counts.input_tokens, counts.cache_read_input_tokens, counts.output_tokens) == (40, 60, 7)


def test_tokens_written_to_a_cache_are_told():
    """They have a price of their own."""
    details = {"cached_tokens": 30, "cache_write_tokens": 50}
    counts = usage(prompt_tokens=100, completion_tokens=7, prompt_tokens_details=details)

    assert (counts.input_tokens, counts.cache_creation_input_tokens) == (20, 50)


def test_counts_are_never_negative():
    """OpenRouter has reported more cached tokens than tokens."""
    assert usage(prompt_tokens=5, prompt_tokens_details={"cached_tokens": 6}).input_tokens == 0


@pytest.mark.parametrize(("completion_tokens", "told"), [(9, 9), (20, 12), (None, 12)])
def test_thinking_tokens_are_part_of_the_output(completion_tokens: int | None, told: int):
    """Never more than the whole."""
    counts = usage(completion_tokens=completion_tokens, completion_tokens_details={"reasoning_tokens": 12})

    assert counts.output_tokens_details == {"thinking_tokens": told}


def test_counts_that_are_not_given_are_not_invented():
    """The caller sees the two zeros that SDKs insist on; our own books keep the difference."""
    body = b'{"id":"c","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'

    assert exchange().answer(body).usage == Usage()
    assert answered(body)["usage"] == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize("count", [-1, 1 << 60, 10**30, 1.5, "7"])
def test_a_count_that_is_none_breaks_the_protocol(count: Any):
    """It would end up in somebody's bill, or overflow in a protobuf."""
    with pytest.raises(UpstreamProtocolError):
        usage(completion_tokens=msgspec.Raw(str(count).encode()) if isinstance(count, int) else count)


# Stop sequences.


def test_a_stop_sequence_cuts_the_answer():
    """The caller reads which one it was; what follows was never said, calls least of all."""
    body = completion("tool_calls", content="one END two", tool_calls=[call("t1", "read", "{}")])
    message = answered(body, stop_sequences=["XX", "END"])

    assert message["content"] == [{"type": "text", "text": "one "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_a_stop_sequence_at_the_start_leaves_nothing():
    """Anthropic answers so too."""
    assert content(completion(content="END two"), stop_sequences=["END"]) == []


def test_a_stop_sequence_that_does_not_come_changes_nothing():
    """Also where the text ends in its beginning."""
    message = answered(completion(content="the EN"), stop_sequences=["END", ""])

    assert message["content"] == [{"type": "text", "text": "the EN"}]
    assert message["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("pieces", "sequences", "text", "matched"),
    [
        (["abc"], ["abc", "b"], "a", "b"),
        (["a", "b", "c"], ["abc", "b"], "a", "b"),
        (["xxab"], ["ab", "b"], "xx", "ab"),
        (["a", "a", "b", "z"], ["ab"], "a", "ab"),
        (["one EN", "D two"], ["END"], "one ", "END"),
        (["one EN", "d two"], ["END"], "one ENd two", None),
        (["abab", "ac"], ["abac"], "ab", "abac"),
    ],
)
def test_the_cut_of_the_text_does_not_matter(
    pieces: list[str], sequences: list[str], text: str, matched: str | None
):
    """The network cuts anywhere."""
    for cut in (pieces, ["".join(pieces)], list("".join(pieces))):
        stops = StopSequences(sequences)
        out = "".join(map(stops.feed, cut)) + stops.flush()

        assert (out, stops.matched) == (text, matched)
