"""The Responses API: what a streamed answer becomes."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.chat import DONE, TOOL, blocks, events
from unit.responses import (
    ASKED,
    END,
    FIRST,
    answered,
    cut,
    event,
    exchange,
    function,
    reasoning,
    response,
    streamed,
    streaming,
    text,
    told,
)

from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.messages import EstimatedUsage

INCOMPLETE = event("incomplete", response=cut())


def said(*pieces: str) -> bytes:
    """Text."""
    return b"".join(event("output_text.delta", output_index=0, content_index=0, delta=piece) for piece in pieces)


def added(item: Any, index: int = 0) -> bytes:
    """An item begins."""
    return event("output_item.added", output_index=index, item=item)


def done(item: Any, index: int = 0) -> bytes:
    """An item ends."""
    return event("output_item.done", output_index=index, item=item)


def arguments(*pieces: str, index: int = 0) -> bytes:
    """Arguments of a call."""
    return b"".join(event("function_call_arguments.delta", output_index=index, delta=piece) for piece in pieces)


def summary(*pieces: str, part: int = 0) -> bytes:
    """A summary."""
    return b"".join(event("reasoning_summary_text.delta", summary_index=part, delta=piece) for piece in pieces)


def thought(*pieces: str, part: int = 0) -> bytes:
    """The thing itself."""
    return b"".join(event("reasoning_text.delta", content_index=part, delta=piece) for piece in pieces)


CALL = added(function("c1", "read", "")) + arguments('{"a"', ":1}") + done(function("c1", "read", '{"a":1}'))
PART = event("reasoning_summary_part.added", summary_index=0)


def test_a_stream_of_text():
    """The whole grammar, once."""
    found = streamed(added(text("")), said("he", "llo"), done(text("hello")), END)

    assert [document["type"] for document in found] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert found[0]["message"]["id"] == "msg_resp_1"
    assert found[0]["message"]["model"] == "claude"
    assert blocks(found) == [{"type": "text", "text": "hello"}]
    assert found[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 4,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }


def test_the_first_events_begin_the_message_and_are_no_content():
    """Until content comes, a failure can still be a real status."""
    stream = streaming()
    stream.feed(FIRST)

    assert [document["type"] for document in events(stream.take())] == ["message_start"]
    assert (stream.has_content, stream.finished) == (False, False)
    stream.feed(said("a"))
    assert stream.has_content


def test_an_answer_without_content_is_whole():
    """Nothing more will come to wait for."""
    stream = streaming()
    stream.feed(FIRST + END)

    assert (stream.has_content, stream.finished, stream.usage.output_tokens) == (True, True, 4)


def test_a_stream_may_begin_anywhere():
    """Some servers leave out how it begins; the id is then made."""
    stream = streaming()
    stream.feed(said("a") + END)

    assert events(stream.take())[0]["message"]["id"].startswith("msg_")


@pytest.mark.parametrize("chunks", [b"", FIRST, FIRST + said("a"), FIRST + said("a") + DONE])
def test_an_end_without_the_last_event_is_a_cut(chunks: bytes):
    """Also with a terminator of another dialect: it must not look whole."""
    stream = streaming()
    stream.feed(chunks)

    with pytest.raises(UpstreamProtocolError, match="ended early"):
        stream.close()


def test_nothing_is_read_after_the_end():
    """Some servers send a terminator of another dialect."""
    stream = streaming()
    stream.feed(FIRST + END + DONE + b"data: {\n\n")
    stream.take()
    stream.close()

    assert stream.take() == b""


def test_events_that_are_not_known_say_nothing():
    """The API gets new ones."""
    other = event("web_search_call.searching", delta={"a": 1}) + event("new", response=1)
    found = told(added({"type": "web_search_call"}), other, said("a"), done({"type": "web_search_call"}), END)

    assert found == [{"type": "text", "text": "a"}]


def test_a_refusal_is_told_as_one():
    """The provider's status says "completed"."""
    found = streamed(event("refusal.delta", delta="I "), event("refusal.delta", delta="cannot."), END)

    assert blocks(found) == [{"type": "text", "text": "I cannot."}]
    assert found[-2]["delta"]["stop_details"]["type"] == "refusal"


def test_calls_come_in_pieces():
    """The item names it, the deltas bring its arguments."""
    found = streamed(said("I look"), CALL, event("function_call_arguments.done", arguments='{"a":1}'), END)

    assert blocks(found) == [
        {"type": "text", "text": "I look"},
        {"type": "tool_use", "id": "c1", "name": "read", "input": '{"a":1}'},
    ]
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_parallel_calls_are_kept_apart():
    """Also where they are interleaved."""
    both = added(function("c1", "read", "")) + added(function("c2", "read", ""), 1)
    pieces = arguments('{"a"') + arguments('{"b"', index=1) + arguments(":1}") + arguments(":2}", index=1)

    assert [(block["id"], block["input"]) for block in told(both, pieces, END)] == [
        ("c1", '{"a":1}'),
        ("c2", '{"b":2}'),
    ]


@pytest.mark.parametrize(
    "frames",
    [
        added(function("c1", "read", "")) + done(function("c1", "read", '{"a":1}')),
        done(function("c1", "read", '{"a":1}')),
    ],
    ids=["begun", "whole"],
)
def test_a_call_may_come_whole(frames: bytes):
    """Servers need not stream what is short."""
    assert told(frames, END)[0]["input"] == '{"a":1}'


def test_a_call_may_have_no_arguments():
    """The tool takes none."""
    frames = added(function("c1", "read", "")) + arguments("") + done(function("c1", "read", None))

    assert told(frames, END)[0]["input"] == ""


def test_a_call_cut_at_the_limit_ends_with_it():
    """The stop reason tells the client not to run it."""
    found = streamed(added(function("c1", "read", "")), arguments('{"a":'), INCOMPLETE)

    assert found[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_renamed_tool_gets_its_name_back():
    """The caller knows no other."""
    tools = [{**TOOL, "name": "mcp.read"}]
    upstream = msgspec.json.decode(exchange(tools=tools).request.body or b"")["tools"][0]["name"]

    assert told(done(function("c", upstream, "{}")), END, tools=tools)[0]["name"] == "mcp.read"


def test_a_summary_is_shown_in_paragraphs_and_signed():
    """The signature is that of the whole answer."""
    state = reasoning("One.", "Two.")
    frames = (
        added(reasoning()),
        PART,
        summary("On", "e."),
        PART,
        summary("", "Two.", part=1),
        done(state),
        said("a"),
    )
    found = told(*frames, END)
    whole = exchange().answer(msgspec.json.encode(response(state, text("a")))).body

    assert found == msgspec.json.decode(whole)["content"]


@pytest.mark.parametrize(
    "frames",
    [
        summary("One.") + summary("Two.", part=1),
        thought("On", "e.") + thought("Two.", part=1),
        PART + summary("One.") + PART + summary("Two."),
        b"",
    ],
    ids=["summary", "itself", "parts", "not streamed"],
)
def test_paragraphs_are_told_apart(frames: bytes):
    """By what the server says of them."""
    assert told(added(reasoning()), frames, done(reasoning("One.", "Two.")), END)[0]["thinking"] == "One.\n\nTwo."


def test_each_reasoning_has_its_own_block():
    """Each has a state of its own."""
    first = added(reasoning()) + summary("One.") + done(reasoning("One."))
    second = added(reasoning(), 1) + summary("Two.") + done(reasoning("Two."), 1)

    assert [block["thinking"] for block in told(first, second, END)] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, [""]),
        ({"thinking": {"type": "disabled"}, "tools": [TOOL]}, [""]),
        ({"thinking": {"type": "disabled"}}, []),
    ],
)
def test_thinking_is_shown_to_who_wants_it_and_kept_for_who_calls(members: Any, shown: list[str]):
    """As in a whole answer."""
    found = told(added(reasoning()), summary("One."), done(reasoning("One.")), END, **members)

    assert [block["thinking"] for block in found] == shown


def test_reasoning_may_have_no_state():
    """Then it is only to be read."""
    found = told(added(reasoning()), summary("One."), done(reasoning("One.", encrypted=None)), said("a"), END)

    assert found[0] == {"type": "thinking", "thinking": "One.", "signature": ""}


# Failures.


@pytest.mark.parametrize(
    "frame",
    [
        event("error", error={"code": "rate_limit_exceeded", "message": "slow"}),
        event("error", code="rate_limit_exceeded", message="slow"),
        event("failed", response=response(status="failed", error={"code": "rate_limit_exceeded", "message": ""})),
    ],
    ids=["nested", "flat", "failed"],
)
def test_a_failure_in_the_middle_is_a_failure(frame: bytes):
    """What came before it is still to be had: the caller may have seen half of it."""
    stream = streaming()
    with pytest.raises(ApiError) as failure:
        stream.feed(FIRST + said("a") + frame)

    assert failure.value.reason is Reason.RATE_LIMITED
    assert events(stream.take())[-1]["type"] == "content_block_delta"


def test_a_json_error_in_place_of_a_stream_is_an_error():
    """Servers refuse so with status 200."""
    stream = streaming()
    stream.feed(b'{"error":{"message":"slow","code":"rate_limit_exceeded"}}')

    with pytest.raises(ApiError) as failure:
        stream.close()
    assert failure.value.reason is Reason.RATE_LIMITED


@pytest.mark.parametrize(
    "frame",
    [
        b"data: 1\n\n",
        b"data: \xff\n\n",
        event("output_text.delta", delta=1),
        event("output_text.delta"),
        b'data: {"type":"response.output_text.delta","delta":"\xff"}\n\n',
        event("output_item.added"),
        event("output_item.added", item=function("c1", "read", "")),
        arguments("{}"),
        event("function_call_arguments.delta", delta="{}"),
        done(function(None, None, "{}")),
        event("completed"),
        event("completed", response=response(status="in_progress")),
    ],
    ids=range(12),
)
def test_what_is_no_stream_breaks_the_protocol(frame: bytes):
    """And no other failure."""
    with pytest.raises(UpstreamProtocolError):
        streamed(frame, END)


def test_a_beginning_that_is_none_breaks_the_protocol():
    """The message would have no id."""
    with pytest.raises(UpstreamProtocolError):
        streaming().feed(event("created", response=1))


def test_broken_arguments_break_the_protocol():
    """The client would run them."""
    with pytest.raises(UpstreamProtocolError):
        streamed(added(function("c1", "read", "")), arguments('{"a":'), END)


# Stop sequences.


def test_a_stop_sequence_ends_the_stream():
    """The upstream can be closed: nothing more is needed of it."""
    stream = streaming(stop_sequences=["END"])
    stream.feed(FIRST + said("one E", "N", "D two"))
    found = events(stream.take())

    assert stream.finished
    assert blocks(found) == [{"type": "text", "text": "one "}]
    assert found[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert found[-2]["usage"]["input_tokens"] > 0  # estimates: no usage will come
    assert found[-2]["usage"]["output_tokens"] > 0
    assert isinstance(stream.usage, EstimatedUsage)


@pytest.mark.parametrize(
    "then",
    [summary("hm"), done(reasoning("hm")), CALL, event("refusal.delta", delta="no"), b""],
    ids=["thinking", "state", "call", "refusal", "end"],
)
def test_held_text_goes_out_before_what_follows(then: bytes):
    """A stop sequence does not reach over a block's end."""
    assert told(said("one EN"), then, END, stop_sequences=["END"])[0]["text"].startswith("one EN")


# Any bytes.


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 2_000), max_size=12))
def test_the_cut_of_the_bytes_does_not_matter(cuts: list[int]):
    """The network cuts anywhere, also inside a character."""
    body = FIRST + summary("é") + done(reasoning("é")) + said("€") + CALL + END
    places = [0, *sorted(min(place, len(body)) for place in cuts), len(body)]
    stream = streaming()
    frames = b""
    for start, end in pairwise(places):
        stream.feed(body[start:end])
        frames += stream.take()

    assert events(frames) == streamed(body.removeprefix(FIRST))


FRAMES = [
    FIRST,
    said("a"),
    CALL,
    arguments("{"),
    arguments("}", index=1),
    summary("h"),
    thought("h"),
    added(function("c2", "read", ""), 1),
    done(function("c2", "", "{")),
    added(reasoning()),
    done(reasoning("h")),
    event("error"),
    event("failed", response={}),
    INCOMPLETE,
    END,
    b"data: {}\n\n",
    b"\xff\n\n",
]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.sampled_from(FRAMES), max_size=10))
def test_any_stream_gives_events_or_one_of_two_failures(frames: list[bytes]):
    """A provider's bytes are never an internal error."""
    stream = streaming(stop_sequences=["ab"])
    try:
        for frame in frames:
            stream.feed(frame)
        stream.close()
    except (ApiError, UpstreamProtocolError):
        events(stream.take())
        return
    assert events(stream.take())[-1]["type"] == "message_stop"


def test_the_phase_of_a_message_stands_before_its_text():
    """As in a whole answer, so that both come back alike."""
    message = {**text("I look"), "phase": "commentary"}
    pieces = (
        event("output_item.added", output_index=0, item={**message, "content": []}),
        event("output_text.delta", output_index=0, delta="I look"),
        event("output_item.done", output_index=0, item=message),
        event("completed", response=response(message)),
    )

    assert told(*pieces, thinking=ASKED) == answered(response(message), thinking=ASKED)["content"]
