"""Chat Completions: what a streamed answer becomes."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.chat import (
    DONE,
    TOOL,
    USAGE,
    blocks,
    call,
    chunk,
    completion,
    events,
    exchange,
    frame,
    streamed,
    streaming,
)

from ccproxy import sse
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.messages import EstimatedUsage, Usage

FIRST = chunk(role="assistant", content="")


def types(documents: list[dict[str, Any]]) -> list[str]:
    """The order of events."""
    return [document["type"].removeprefix("content_") for document in documents]


def text(*pieces: str) -> bytes:
    """Chunks of text."""
    return b"".join(chunk(content=piece) for piece in pieces)


def calls(*pieces: dict[str, Any]) -> bytes:
    """Chunks of calls."""
    return b"".join(chunk(tool_calls=[piece]) for piece in pieces)


def test_a_stream_of_text():
    """The whole grammar, once."""
    assert streamed(FIRST, text("he", "llo"), chunk("stop"), USAGE, DONE) == [
        {
            "type": "message_start",
            "message": {
                "type": "message",
                "id": "msg_chatcmpl-1",
                "role": "assistant",
                "model": "claude",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 0, "output_tokens": 0},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "llo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 10, "output_tokens": 4},
        },
        {"type": "message_stop"},
    ]


def test_the_first_chunk_begins_the_message_and_is_no_content():
    """Until content comes, a failure can still be a real status."""
    stream = streaming()
    stream.feed(FIRST)

    assert types(events(stream.take())) == ["message_start"]
    assert not stream.has_content
    stream.feed(text("a"))
    assert stream.has_content


def test_an_answer_without_content_counts_as_content_when_it_is_whole():
    """Nothing more will come to wait for."""
    stream = streaming()
    stream.feed(FIRST + chunk("stop") + DONE)

    assert (stream.has_content, stream.finished) == (True, True)


def test_usage_comes_after_the_finish():
    """Whoever stops reading at finish_reason has no usage."""
    stream = streaming()
    stream.feed(FIRST + chunk("stop"))
    assert (stream.finished, stream.usage) == (False, Usage())

    stream.feed(USAGE + DONE)
    assert stream.usage == Usage(input_tokens=10, output_tokens=4)


def test_nothing_is_read_after_the_end():
    """The connection may carry a comment or a second terminator."""
    stream = streaming()
    stream.feed(FIRST + chunk("stop") + DONE + DONE + b"data: {\n\n")
    stream.take()
    stream.feed(b"data: {\n\n")
    stream.close()

    assert stream.take() == b""


def test_a_stream_that_just_ends_counts_where_a_finish_was_seen():
    """Some compatible servers send no terminator; the last frame may lack its blank line."""
    assert types(streamed(FIRST, text("a"), chunk("stop").rstrip()))[-1] == "message_stop"


def test_a_stream_that_just_ends_is_cut():
    """It must not look like a whole answer."""
    stream = streaming()
    stream.feed(FIRST + text("a"))

    with pytest.raises(UpstreamProtocolError, match="ended early"):
        stream.close()


@pytest.mark.parametrize("chunks", [b"", FIRST])
def test_a_terminator_without_a_finish_breaks_the_protocol(chunks: bytes):
    """Why the answer ended is a fact that nobody may invent."""
    with pytest.raises(UpstreamProtocolError):
        streaming().feed(chunks + DONE)


def test_an_empty_stream_breaks_the_protocol():
    """A server that closes at once answered nothing."""
    with pytest.raises(UpstreamProtocolError):
        streaming().close()


def test_comments_and_blank_lines_are_nothing():
    """OpenRouter and DeepSeek keep the connection alive with them."""
    assert (
        blocks(streamed(b"\n\n: keep-alive\n\n", FIRST, text("a"), b": x\n\n", chunk("stop"), DONE))[0]["text"]
        == "a"
    )


def test_a_failure_in_the_middle_is_a_failure():
    """What came before it is still to be had: the caller may have seen half of it."""
    stream = streaming()
    with pytest.raises(ApiError) as failure:
        stream.feed(FIRST + text("a") + frame({"error": {"message": "slow", "code": 429}}) + DONE)

    assert failure.value.reason is Reason.RATE_LIMITED
    assert types(events(stream.take())) == ["message_start", "block_start", "block_delta"]


def test_a_json_error_in_place_of_a_stream_is_an_error():
    """Servers refuse so with status 200, cut by the network anywhere."""
    stream = streaming()
    for byte in b'\n{"error":{"message":"slow","code":"rate_limit_exceeded"}}':
        stream.feed(bytes([byte]))

    with pytest.raises(ApiError) as failure:
        stream.close()
    assert failure.value.reason is Reason.RATE_LIMITED


def test_a_json_answer_in_place_of_a_stream_breaks_the_protocol():
    """A server that cannot stream."""
    stream = streaming()
    stream.feed(completion(content="a"))

    with pytest.raises(UpstreamProtocolError):
        stream.close()


def test_a_json_answer_in_place_of_a_stream_has_a_limit():
    """It is held in memory."""
    stream = streaming()
    stream.feed(b"{")

    with pytest.raises(UpstreamProtocolError):
        stream.feed(b" " * sse.MAX_FRAME_BYTES)


def test_only_the_first_alternative_counts():
    """One was asked for."""
    other = frame({"id": "c", "choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]})

    assert blocks(streamed(FIRST, text("a"), other, chunk("stop"), DONE))[0]["text"] == "a"


def test_a_choice_may_lack_a_delta():
    """Some servers finish so."""
    end = frame({"id": "c", "choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]})

    assert types(streamed(FIRST, end, DONE))[-1] == "message_stop"


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_thinking_comes_before_text(member: str):
    """An empty piece (the first of every DeepSeek stream) opens nothing."""
    documents = streamed(FIRST, chunk(**{member: ""}), chunk(**{member: "hm"}), text("a"), chunk("stop"), DONE)

    assert [block["type"] for block in blocks(documents)] == ["thinking", "text"]


def test_thinking_is_not_shown_to_who_does_not_want_it():
    """As in a whole answer."""
    chunks = (FIRST, chunk(reasoning="hm"), text("a"), chunk("stop"), DONE)

    assert [block["type"] for block in blocks(streamed(*chunks, thinking={"type": "disabled"}))] == ["text"]


def test_a_refusal_is_told_as_one():
    """The provider's finish_reason says "stop"."""
    documents = streamed(
        FIRST, chunk(refusal=""), chunk(refusal="I "), chunk(refusal="cannot."), chunk("stop"), DONE
    )

    assert blocks(documents) == [{"type": "text", "text": "I cannot."}]
    assert documents[-2]["delta"]["stop_reason"] == "refusal"
    assert documents[-2]["delta"]["stop_details"]["type"] == "refusal"


def test_calls_come_in_pieces():
    """The first names it, the others bring its arguments."""
    pieces = calls(call("t1", "read", ""), call(None, None, '{"a"'), call(None, None, ":1}"))

    assert blocks(streamed(FIRST, text("I look"), pieces, chunk("tool_calls"), DONE)) == [
        {"type": "text", "text": "I look"},
        {"type": "tool_use", "id": "t1", "name": "read", "input": '{"a":1}'},
    ]


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_calls_count_whatever_the_finish_says(finish: str):
    """OpenAI says "stop" where a tool was named."""
    documents = streamed(FIRST, calls(call("t1", "read", "{}")), chunk(finish), DONE)

    assert documents[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    "pieces",
    [
        [call("t1", "read", '{"a":1}', 0), call("t2", "read", '{"a":2}', 1)],
        [
            call("t1", "read", "", 0),
            call("t2", "read", "", 1),
            call(None, None, '{"a":1}', 0),
            call(None, None, '{"a":2}', 1),
        ],
        [call("t1", "read", '{"a":1}', 0), call("t2", "read", '{"a":2}', 0)],
        [call("t1", "read", '{"a":1}', None), call("t2", "read", '{"a":2}', None)],
        [call("t1", "read", '{"a"', 0), call("t1", "read", ":1}", 0), call("t2", "read", '{"a":2}', 1)],
        [call("t1", "read", None, 0), call("t1", None, '{"a":1}', 0), call("t2", "read", '{"a":2}', 7)],
    ],
    ids=["in order", "interleaved", "one index", "no index", "all repeated", "id repeated"],
)
def test_parallel_calls_are_kept_apart(pieces: list[dict[str, Any]]):
    """Mixed arguments are the worst of errors: the call may still parse."""
    said = blocks(streamed(FIRST, calls(*pieces), chunk("tool_calls"), DONE))

    assert [(block["id"], block["input"]) for block in said] == [("t1", '{"a":1}'), ("t2", '{"a":2}')]


def test_a_call_without_an_id_gets_one():
    """An id that comes later is too late: the block has begun."""
    pieces = calls(call(None, "read", "{"), call("late", None, "}"))
    again = streamed(FIRST, pieces, chunk("stop"), DONE)

    assert blocks(again)[0]["id"].startswith("toolu_")
    assert again == streamed(FIRST, pieces, chunk("stop"), DONE)


def test_a_call_of_a_time_before_tools_is_a_call():
    """Old servers answer with `function_call`."""
    pieces = (
        chunk(function_call={"name": "read", "arguments": ""}),
        chunk(function_call={"arguments": '{"a":1}'}),
    )

    said = blocks(streamed(FIRST, *pieces, chunk("function_call"), DONE))

    assert [(block["name"], block["input"]) for block in said] == [("read", '{"a":1}')]


def test_a_renamed_tool_gets_its_name_back():
    """Also where the name comes in pieces."""
    name = "mcp__" + "x" * 70
    tools = [{**TOOL, "name": name}]
    upstream = msgspec.json.decode(exchange(tools=tools).request.body or b"")["tools"][0]["function"]["name"]
    pieces = calls(call("t1", upstream[:9], None), call(None, upstream[9:], "{}"))

    assert blocks(streamed(FIRST, pieces, chunk("stop"), DONE, tools=tools))[0]["name"] == name


def test_a_piece_without_a_function_is_a_call_without_a_name():
    """Custom tools are never asked for."""
    stream = streaming()
    stream.feed(FIRST + chunk(tool_calls=[{"index": 0, "id": "t1", "type": "custom"}]) + chunk("tool_calls"))

    with pytest.raises(UpstreamProtocolError):
        stream.feed(DONE)


def test_broken_arguments_break_the_protocol():
    """The client would run them."""
    with pytest.raises(UpstreamProtocolError):
        streamed(FIRST, calls(call("t1", "read", '{"a":')), chunk("tool_calls"), DONE)


def test_a_call_cut_at_the_limit_ends_with_it():
    """Anthropic's own streams end so: the stop reason tells the client not to run it."""
    documents = streamed(FIRST, calls(call("t1", "read", '{"a":')), chunk("length"), DONE)

    assert blocks(documents)[0]["input"] == '{"a":'
    assert documents[-2]["delta"]["stop_reason"] == "max_tokens"


def test_an_answer_given_up_for_lack_of_room_is_an_overload():
    """As in a whole answer."""
    with pytest.raises(ApiError) as failure:
        streamed(FIRST, text("a"), chunk("insufficient_system_resource"), DONE)

    assert failure.value.reason is Reason.OVERLOADED


# Stop sequences.


def test_a_stop_sequence_ends_the_stream():
    """The upstream can be closed: nothing more is needed of it."""
    stream = streaming(stop_sequences=["END"])
    stream.feed(FIRST + text("one E", "N", "D two"))
    documents = events(stream.take())

    assert stream.finished
    assert blocks(documents) == [{"type": "text", "text": "one "}]
    assert documents[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    usage = documents[-2]["usage"]
    assert usage["input_tokens"] > 0  # estimates: no usage will come
    assert usage["output_tokens"] > 0
    assert isinstance(stream.usage, EstimatedUsage)


def test_text_that_may_begin_a_stop_sequence_is_held():
    """Once out, it cannot be taken back."""
    stream = streaming(stop_sequences=["END"])
    stream.feed(FIRST + text("one EN"))

    assert blocks(events(stream.take())) == [{"type": "text", "text": "one "}]


@pytest.mark.parametrize(
    "then",
    [chunk(reasoning="hm"), calls(call("t1", "read", "{}")), chunk(refusal="no"), b""],
    ids=["thinking", "call", "refusal", "end"],
)
def test_held_text_goes_out_before_what_follows(then: bytes):
    """A stop sequence does not reach over a block's end."""
    said = blocks(streamed(FIRST, text("one EN"), then, chunk("stop"), DONE, stop_sequences=["END"]))

    assert said[0]["text"].startswith("one EN")


# Any bytes.


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 700), max_size=12))
def test_the_cut_of_the_bytes_does_not_matter(cuts: list[int]):
    """The network cuts anywhere, also inside a character."""
    body = FIRST + text("é", "€") + calls(call("t1", "read", '{"a":"€"}')) + chunk("tool_calls") + USAGE + DONE
    places = [0, *sorted(cuts), len(body)]
    stream = streaming()
    frames = b""
    for start, end in pairwise(places):
        stream.feed(body[start:end])
        frames += stream.take()

    assert events(frames) == streamed(body)


CHUNKS = [
    FIRST,
    text("a"),
    calls(call("t1", "r", "{")),
    calls(call(None, None, "}", 1)),
    chunk(reasoning="h"),
    chunk("stop"),
    chunk("length"),
    USAGE,
    DONE,
    b"data: 1\n\n",
    b"\xff\n\n",
    b"data: {}\n\n",
]


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.sampled_from(CHUNKS)))
def test_any_chunks_give_events_or_one_of_two_errors(chunks: list[bytes]):
    """Another exception would be a failure of the gateway, and end more than this answer."""
    try:
        documents = streamed(*chunks)
    except (ApiError, UpstreamProtocolError):
        return

    assert types(documents)[0] == "message_start"
    assert types(documents)[-2:] == ["message_delta", "message_stop"]


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary())
def test_any_bytes_give_events_or_one_of_two_errors(body: bytes):
    """The same, of bytes."""
    with pytest.raises((ApiError, UpstreamProtocolError)):
        streamed(body)
