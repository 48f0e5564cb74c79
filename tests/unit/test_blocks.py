"""The order of events: what may follow what, whoever translates."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.chat import blocks

from ccproxy.blocks import BlockWriter
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import StopDetails, Usage

USAGE = Usage(input_tokens=3, output_tokens=2)


def started(names: dict[str, str] | None = None) -> BlockWriter:
    """A writer whose message has begun; the beginning is taken."""
    writer = BlockWriter(names)
    writer.start("msg_1", "claude")
    writer.take()
    return writer


def documents(writer: BlockWriter) -> list[dict[str, Any]]:
    """The documents written since the last time; each event is named as its document says."""
    events = writer.take()
    read = [msgspec.json.decode(event.data) for event in events]
    assert [event.type for event in events] == [document["type"] for document in read]
    return read


def finished(writer: BlockWriter, reason: str = "end_turn") -> list[dict[str, Any]]:
    """The blocks of the message, once it is finished."""
    writer.finish(reason, USAGE)
    return blocks(documents(writer))


def test_a_message_begins_once():
    """With no tokens and no reason to stop: both come at the end."""
    writer = BlockWriter()
    writer.start("msg_1", "claude")

    message = documents(writer)[0]["message"]
    assert (message["id"], message["model"], message["role"]) == ("msg_1", "claude", "assistant")
    assert (message["content"], message["stop_reason"]) == ([], None)
    with pytest.raises(UpstreamProtocolError):
        writer.start("msg_2", "claude")


def test_nothing_comes_before_the_beginning():
    """Clients take the id from it."""
    writer = BlockWriter()

    with pytest.raises(UpstreamProtocolError):
        writer.text("a")
    with pytest.raises(UpstreamProtocolError):
        writer.finish("end_turn", USAGE)


def test_nothing_comes_after_the_end():
    """Clients have closed the message."""
    writer = started()
    writer.text("a")
    writer.finish("end_turn", USAGE)

    with pytest.raises(UpstreamProtocolError):
        writer.text("b")
    with pytest.raises(UpstreamProtocolError):
        writer.tool(0, "t", "read", "{}")
    with pytest.raises(UpstreamProtocolError):
        writer.finish("end_turn", USAGE)


def test_the_end_carries_the_reason_and_the_usage():
    """The client's books are kept by it."""
    writer = started()
    writer.finish("stop_sequence", USAGE, stop_sequence="END")

    assert writer.finished
    assert documents(writer) == [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


def test_a_refusal_carries_details():
    """Only then: others have no such member."""
    writer = started()
    writer.finish("refusal", USAGE, stop_details=StopDetails(category="bio"))

    assert documents(writer)[0]["delta"]["stop_details"] == {
        "type": "refusal",
        "category": "bio",
        "explanation": None,
    }


def test_pieces_of_one_kind_are_one_block():
    """And each piece goes out at once."""
    writer = started()
    writer.text("he")
    assert [d["type"] for d in documents(writer)] == ["content_block_start", "content_block_delta"]

    writer.text("llo")
    assert documents(writer) == [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "llo"}}
    ]


def test_a_block_closes_before_another_opens():
    """One is open at a time; their numbers count up."""
    writer = started()
    writer.thinking("h")
    writer.thinking("m")
    writer.text("a")
    writer.tool(5, "t1", "read", "{}")
    writer.text("b")
    writer.finish("tool_use", USAGE)
    written = documents(writer)

    assert [(d["type"][14:], d["index"]) for d in written[:-2] if d["type"] != "content_block_delta"] == [
        (what, index) for index in range(4) for what in ("start", "stop")
    ]
    assert [block["type"] for block in blocks(written)] == ["thinking", "text", "tool_use", "text"]


def test_content_begins_with_a_block():
    """Before it the answer can still be taken back."""
    writer = started()
    assert not writer.has_content

    writer.text("a")
    assert writer.has_content


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_an_empty_piece_is_nothing(kind: str):
    """Every provider's first chunk has one; Anthropic has no empty blocks."""
    writer = started()
    getattr(writer, kind)("")

    assert finished(writer) == []


def test_text_is_escaped():
    """A frame is one line."""
    writer = started()
    writer.text('a\n"€"\u2028')
    writer.text("\n")

    assert all(b"\n" not in event.data for event in writer.take())


# Signatures.


def test_a_signature_ends_thinking():
    """It signs what is there; what follows is another block."""
    writer = started()
    writer.thinking("hm")
    writer.signature("s1")
    writer.thinking("more")

    assert finished(writer) == [
        {"type": "thinking", "thinking": "hm", "signature": "s1"},
        {"type": "thinking", "thinking": "more", "signature": ""},
    ]


def test_a_signature_alone_has_a_block_of_its_own():
    """Gemini sends it on a later part."""
    writer = started()
    writer.text("a")
    writer.signature("s1")
    writer.tool(0, "t1", "read", "{}")

    assert [block.get("signature") for block in finished(writer)] == [None, "s1", None]


def test_a_signature_waits_with_its_thinking():
    """Both wait for an open call."""
    writer = started()
    writer.tool(0, "t1", "read", "{")
    writer.thinking("hm")
    writer.signature("s1")
    writer.thinking("new")
    writer.tool(0, "", "", "}")

    assert finished(writer)[1:] == [
        {"type": "thinking", "thinking": "hm", "signature": "s1"},
        {"type": "thinking", "thinking": "new", "signature": ""},
    ]


# Calls.


def test_a_call_comes_in_pieces():
    """Each goes out at once, and nothing is parsed on the way."""
    writer = started()
    writer.tool(0, "t1", "read", "")
    writer.tool(0, "", "", '{"a":')
    first = documents(writer)
    writer.tool(0, "t1", "read", "1}")
    writer.tool(0, "t1", "read", "")

    assert first[0]["content_block"] == {"type": "tool_use", "id": "t1", "name": "read", "input": {}}
    assert blocks(first + [d for d in documents(writer) if "delta" in d])[0]["input"] == '{"a":1}'


def test_a_name_may_come_in_pieces():
    """Until the arguments begin; some servers repeat the whole name instead."""
    writer = started()
    writer.tool(0, "t1", "re", "")
    writer.tool(0, "", "ad", "")
    writer.tool(0, "", "", "{}")
    writer.tool(1, "t2", "write", "")
    writer.tool(1, "t2", "write", "{}")

    assert [block["name"] for block in finished(writer)] == ["read", "write"]


def test_an_id_may_come_late():
    """As long as the block has not begun."""
    writer = started()
    writer.tool(0, "", "read", "")
    writer.tool(0, "t1", "", "{}")

    assert finished(writer)[0]["id"] == "t1"


def test_a_renamed_tool_gets_its_name_back():
    """Once the whole name is there."""
    writer = started({"read_1": "read.file"})
    writer.tool(0, "t1", "read", "")
    writer.tool(0, "", "_1", "{}")

    assert finished(writer)[0]["name"] == "read.file"


@pytest.mark.parametrize(("id", "name"), [("", "read"), ("t1", "")])
def test_a_call_without_an_id_or_a_name_is_refused(id: str, name: str):  # noqa: A002
    """The client could neither run nor answer it."""
    with pytest.raises(UpstreamProtocolError):
        started().tool(0, id, name, "{}")


def test_interleaved_calls_are_kept_apart():
    """The pieces of the second wait until the first is whole."""
    writer = started()
    writer.tool(0, "t1", "read", '{"a":')
    writer.tool(1, "t2", "read", '{"b":')
    writer.tool(2, "t3", "read", "{}")
    writer.tool(1, "", "", "2}")
    assert len(blocks(documents(writer))) == 1

    writer.tool(0, "", "", "1}")
    writer.finish("tool_use", USAGE)
    written = documents(writer)

    assert [d["content_block"]["id"] for d in written if d["type"] == "content_block_start"] == ["t2", "t3"]
    assert [d["delta"]["partial_json"] for d in written if d["type"] == "content_block_delta"] == [
        "1}",
        '{"b":2}',
        "{}",
    ]


def test_text_waits_for_an_open_call():
    """A call is never cut; around another block, text does not join."""
    writer = started()
    writer.tool(0, "t1", "read", "{")
    writer.text("a")
    writer.text("b")
    writer.tool(1, "t2", "read", "{}")
    writer.text("c")
    writer.tool(0, "", "", "}")

    said = finished(writer)
    assert [block.get("text") for block in said] == [None, "ab", None, "c"]


@pytest.mark.parametrize("end", ["}", "} ", "}\n "])
def test_blanks_after_a_call_do_not_hide_its_end(end: str):
    """Models write them."""
    writer = started()
    writer.tool(0, "t1", "read", "{")
    for piece in end:
        writer.tool(0, "", "", piece)
    writer.text("a")

    assert [d["index"] for d in documents(writer) if d["type"] == "content_block_start"] == [0, 1]


def test_late_arguments_for_a_closed_call_are_refused():
    """Blocks never reopen: the client may have acted on the closed one."""
    writer = started()
    writer.tool(0, "t1", "read", "{}")
    writer.tool(1, "t2", "read", "{")

    with pytest.raises(UpstreamProtocolError):
        writer.tool(0, "", "", "}")


def test_a_late_blank_for_a_closed_call_is_nothing():
    """Some servers end every call with an empty piece."""
    writer = started()
    writer.tool(0, "t1", "read", "{}")
    writer.tool(1, "t2", "read", "{}")
    writer.tool(0, "t1", "read", " ")

    assert [block["id"] for block in finished(writer)] == ["t1", "t2"]


def test_a_call_without_arguments_is_whole_at_the_end():
    """Then its input is empty."""
    writer = started()
    writer.tool(0, "t1", "now", "")
    writer.tool(1, "t2", "now", "")

    assert [(block["id"], block["input"]) for block in finished(writer)] == [("t1", ""), ("t2", "")]


@pytest.mark.parametrize(
    "arguments", ['{"a":', "[1]", "{} {}", "nul", "{]}", '{"a":' * 200_000 + "1" + "}" * 200_000]
)
def test_broken_arguments_are_refused(arguments: str):
    """The client would run them."""
    writer = started()
    writer.tool(0, "t1", "read", arguments)

    with pytest.raises(UpstreamProtocolError):
        writer.finish("tool_use", USAGE)


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "stop_sequence", "model_context_window_exceeded"])
def test_an_answer_cut_short_may_end_in_a_call(reason: str):
    """What is out is out; a call that has not begun never does, and text that waits is not lost."""
    writer = started()
    writer.tool(0, "t1", "read", '{"a":')
    writer.tool(1, "t2", "read", '{"b":')
    writer.tool(2, "t3", "read", "{}")
    writer.tool(3, "t4", "", "")
    writer.text("a")

    said = finished(writer, reason)
    assert [block.get("id") for block in said] == ["t1", "t3", None]
    assert said[0]["input"] == '{"a":'


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.sampled_from(["", "a"])),
        st.tuples(st.just("thinking"), st.sampled_from(["", "h"])),
        st.tuples(st.just("signature"), st.just("s")),
        st.tuples(
            st.just("tool"),
            st.integers(0, 2),
            st.sampled_from(["", "t"]),
            st.sampled_from(["", "read"]),
            st.sampled_from(["", "{", "}", "{}"]),
        ),
    ),
    max_size=12,
)


@settings(deadline=None)  # a busy machine is no failure
@given(STEPS, st.sampled_from(["end_turn", "tool_use", "max_tokens"]))
def test_any_steps_keep_the_grammar(steps: list[tuple[Any, ...]], reason: str):
    """Whatever a provider does, a client sees either the grammar or an error."""
    writer = started()
    try:
        for step, *arguments in steps:
            getattr(writer, step)(*arguments)
        writer.finish(reason, USAGE)
    except UpstreamProtocolError:
        return
    written = documents(writer)
    kinds = "".join({"content_block_start": "(", "content_block_stop": ")"}.get(d["type"], ".") for d in written)

    assert kinds.endswith("..")
    assert [depth for _, depth in _depths(kinds) if depth not in {0, 1}] == []
    said = blocks(written)
    assert "".join(b["text"] for b in said if b["type"] == "text") == "".join(
        s[1] for s in steps if s[0] == "text"
    )


def _depths(kinds: str) -> list[tuple[str, int]]:
    depth, seen = 0, []
    for kind in kinds:
        depth += {"(": 1, ")": -1}.get(kind, 0)
        seen.append((kind, depth))
    return seen
