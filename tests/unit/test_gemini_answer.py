"""Gemini: what an answer becomes, whole or streamed."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.chat import blocks, events
from unit.gemini import TOOL, answered, called, chunk, exchange, frame, generated, streamed, streaming, text

from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.messages import EstimatedUsage, Usage
from ccproxy.providers.gemini.partial import PartialArguments
from ccproxy.providers.gemini.state import state_of
from ccproxy.providers.gemini.wire import PartialArgument

MODEL = "gemini-3.5-flash"
FAILED = (ApiError, UpstreamProtocolError)


def content(*parts: Any, **members: Any) -> list[dict[str, Any]]:
    """The content of a whole answer, which must be that of a stream with a chunk for each part."""
    whole: list[dict[str, Any]] = answered(generated(*parts), **members)["content"]
    pieces = [chunk(part) for part in parts]
    written = blocks(streamed(*pieces, chunk(finish="STOP"), **members))
    for block in written:
        if block["type"] == "tool_use":
            block["input"] = msgspec.json.decode(block["input"])
    assert written == [{"signature": "", **b} if b["type"] == "thinking" else b for b in whole]
    return whole


def states(found: list[dict[str, Any]]) -> list[tuple[str, str] | None]:
    """What the thinking blocks carry."""
    return [state_of(block["signature"], MODEL) for block in found if block["type"] == "thinking"]


def end(*pieces: bytes, **members: Any) -> dict[str, Any]:
    """The `message_delta` of a stream."""
    return streamed(*pieces, **members)[-2]


def test_a_whole_answer():
    """The skeleton, once."""
    assert answered(generated(text("hello"))) == {
        "type": "message",
        "id": "msg_r1",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 4},
    }


def test_neighbouring_texts_are_one_block():
    """And an empty one is none."""
    assert content(text("a"), text(""), text("b")) == [{"type": "text", "text": "ab"}]


def test_thoughts_are_thinking():
    """Where the caller wants to see them."""
    thoughts = (text("why", thought=True), text("!", thought=True), text("a"))

    assert content(*thoughts)[0] == {"type": "thinking", "thinking": "why!", "signature": ""}
    hidden = {"thinking": {"type": "adaptive", "display": "omitted"}}
    assert content(*thoughts, **hidden) == [{"type": "text", "text": "a"}]


def test_calls():
    """Ids are made, names are the caller's, arguments may be absent."""
    tool = {**TOOL, "name": "read file"}
    name = msgspec.json.decode(exchange(tools=[tool]).request.body or b"")["tools"][0]["functionDeclarations"][0]
    first, second, third = content(
        called(name["name"], {"path": "p"}),
        {"functionCall": {"name": "now"}},
        {"functionCall": {"name": "now", "id": "own-id"}},
        tools=[tool],
    )

    assert (first["name"], first["input"], second["input"]) == ("read file", {"path": "p"}, {})
    assert first["id"].startswith("toolu_")
    assert third["id"] == "own-id"
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert answered(generated(called()))["content"][0]["id"] == first["id"]  # the same each time
    assert answered(generated(called()))["stop_reason"] == "tool_use"


def test_only_the_first_call_counts_where_one_was_asked_for():
    """Gemini cannot be told."""
    assert len(content(called(), called(), tool_choice={"type": "auto", "disable_parallel_tool_use": True})) == 1


def test_state_is_carried_before_its_call_and_after_its_text():
    """The client sends it back there."""
    found = content(
        text("why", thought=True),
        called(thoughtSignature="s1"),
        called(),
        text("a"),
        text("b", thoughtSignature="s2"),
        text("", thoughtSignature="s3"),
    )

    kinds = ["thinking", "tool_use", "tool_use", "text", "thinking"]
    assert [block["type"] for block in found] == kinds
    assert states(found) == [("call", "s1"), ("text", "s2")]
    assert found[0]["thinking"] == "why"
    assert states(content(text("why", thought=True, thoughtSignature="s"))) == [("thought", "s")]
    assert states(content(called(), text("", thoughtSignature="s"))) == []


@pytest.mark.parametrize(
    "pieces",
    [
        [text("ab", thoughtSignature="s")],
        [text("a"), text("b", thoughtSignature="s")],
        [text("a", thoughtSignature="s"), text("b")],
        [text("a"), text("b"), text("", thoughtSignature="s")],
    ],
)
def test_the_state_of_a_text_stands_after_it_however_it_comes(pieces: list[Any]):
    """Recorded: on a whole answer's text; in streams on the first piece, the last, or an empty one after it."""
    found = content(text("why", thought=True), *pieces, called())

    assert [(block["type"], block.get("thinking", block.get("text"))) for block in found] == [
        ("thinking", "why"),
        ("text", "ab"),
        ("thinking", ""),
        ("tool_use", None),
    ]
    assert states(found) == [None, ("text", "s")]


@pytest.mark.parametrize(
    "pieces", [[text("ab", thoughtSignature="s")], [text("ab"), text("", thoughtSignature="s")]]
)
def test_an_answer_ends_with_its_text(pieces: list[Any]):
    """`claude -p` prints the last block: behind the text, a block of thinking for the state would hide it."""
    assert content(*pieces) == [{"type": "text", "text": "ab"}]


@pytest.mark.parametrize("pieces", [["why"], ["w", "hy"]])
def test_the_state_of_a_thought_ends_it_wherever_it_comes(pieces: list[str]):
    """A signed block of thinking takes no more text."""
    first, *rest = pieces
    found = content(
        text(first, thought=True, thoughtSignature="s"), *(text(t, thought=True) for t in rest), text("a")
    )

    assert [block.get("thinking") for block in found] == ["why", None]
    assert states(found) == [("thought", "s")]


def test_each_of_two_signed_parts_keeps_its_state():
    """As with code that ran: neighbours, each with its own."""
    found = content(text("a", thoughtSignature="s1"), text("b", thoughtSignature="s2"))

    assert [block.get("text") for block in found] == ["a", None, "b"]
    assert states(found) == [("text", "s1")]


def test_a_text_that_a_stop_sequence_cuts_has_no_state():
    """The state is the whole text's, of which a stream reads no more than this."""
    found = content(text("one two", thoughtSignature="s"), stop_sequences=["two"])

    assert found == [{"type": "text", "text": "one "}]


def test_without_thinking_only_calls_carry_state():
    """Nothing else needs it, and who switched thinking off expects none."""
    off = {"thinking": {"type": "disabled"}}

    assert states(content(text("a", thoughtSignature="s"), text("", thoughtSignature="s"), **off)) == []
    assert states(content(called(thoughtSignature="s"), **off)) == [("call", "s")]


def test_code_and_media_are_told_as_text():
    """There is no block for them."""
    found = content(
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"toolCall": {}},
    )

    assert found == [{"type": "text", "text": "\n```python\n1+1\n```\n\n```\n2\n```\n[image/png omitted]"}]


def test_stop_sequences_are_matched_here():
    """Also across parts; the text held back is not lost."""
    members = {"stop_sequences": ["END"]}
    answer = answered(generated(text("a EN"), text("D b"), called()), **members)

    assert (answer["content"], answer["stop_reason"], answer["stop_sequence"]) == (
        [{"type": "text", "text": "a "}],
        "stop_sequence",
        "END",
    )
    cut = answered(generated(text("a EN"), text("D", thoughtSignature="s")), **members)
    assert cut["content"] == [{"type": "text", "text": "a "}]
    stream = streaming(**members)
    stream.feed(chunk(text("a END b")) + chunk(text("c")))
    assert stream.finished
    stream.close()
    assert events(stream.take())[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert content(text("a EN"), text("", thoughtSignature="s"), **members)[0]["text"] == "a EN"


def test_usage_up_to_a_stop_sequence_is_geminis_own_where_it_came():
    """It counts with every chunk; only a server in between may leave that out."""
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 3}
    own, without = streaming(stop_sequences=["END"]), streaming(stop_sequences=["END"])
    own.feed(chunk(text("a END b"), usageMetadata=counts))
    without.feed(chunk(text("a END b"), usageMetadata=None))

    assert own.usage == Usage(input_tokens=7, output_tokens=3)
    assert isinstance(without.usage, EstimatedUsage)
    assert events(without.take())[-2]["usage"]["input_tokens"] > 0


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("STOP", "end_turn"), ("MAX_TOKENS", "max_tokens"), ("SAFETY", "refusal"), ("NEW", "end_turn")],
)
def test_stop_reasons(finish: str, reason: str):
    """A word that is not known ends a turn."""
    assert answered(generated(text("a"), finish=finish))["stop_reason"] == reason
    assert end(chunk(text("a"), finish=finish))["delta"]["stop_reason"] == reason


def test_a_refusal_says_why():
    """Its content may be empty."""
    refused = {"candidates": [{"content": {}, "finishReason": "SAFETY", "finishMessage": "no"}]}
    blocked = {"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "never"}}

    assert answered(refused)["stop_details"] == {"type": "refusal", "category": None, "explanation": "no"}
    assert end(frame(refused))["delta"]["stop_details"]["explanation"] == "no"
    assert answered(blocked)["stop_reason"] == "refusal"
    assert answered(blocked)["stop_details"]["explanation"] == "never"
    assert answered({"promptFeedback": {}, **generated(text("a"))})["stop_reason"] == "end_turn"


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"])
def test_an_answer_given_up_is_an_error(finish: str):
    """A silent end would leave an agent with an empty turn; its call must not run."""
    stream = streaming()
    with pytest.raises(ApiError, match=finish) as failure:
        stream.feed(chunk(called(), finish=finish))

    assert failure.value.reason is Reason.UPSTREAM_INVALID_RESPONSE
    assert failure.value.should_retry
    assert not stream.has_content


def test_reading_goes_on_after_a_first_stop():
    """Answers that run code stop twice."""
    stream = streaming()
    stream.feed(chunk(text("a"), finish="STOP"))
    assert not stream.finished
    stream.feed(chunk(text("b"), finish="STOP"))
    stream.close()

    assert stream.finished
    assert blocks(events(stream.take())) == [{"type": "text", "text": "ab"}]


@pytest.mark.parametrize("pieces", [[], [chunk(text("a"))], [b": keep-alive\n\n"], [b" ", b"\n"]])
def test_an_end_without_a_finish_was_cut(pieces: list[bytes]):
    """It must not look whole."""
    with pytest.raises(UpstreamProtocolError, match="early"):
        streamed(*pieces)


def test_a_terminator_of_another_dialect_is_none():
    """Servers in between add it."""
    assert end(chunk(text("a"), finish="STOP"), b"data: [DONE]\n\n")["type"] == "message_delta"


def test_usage():
    """Thoughts are output, cached tokens are not input, and the last counts are the true ones."""
    counts = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 5,
    }
    stream = streaming()
    stream.feed(chunk(usageMetadata={"trafficType": "x"}))
    assert stream.usage == Usage()
    stream.feed(chunk() + chunk(usageMetadata=counts) + chunk(usageMetadata=None))

    wanted = Usage(
        input_tokens=8, cache_read_input_tokens=4, output_tokens=8, output_tokens_details={"thinking_tokens": 5}
    )
    assert stream.usage == wanted
    assert answered(generated(text("a"), usageMetadata={"promptTokenCount": 1}))["usage"] == {
        "input_tokens": 1,
        "output_tokens": 0,
    }
    assert answered(generated(text("a"), usageMetadata={"candidatesTokenCount": 1}))["usage"]["output_tokens"] == 1


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_list_in_place_of_a_stream(size: int):
    """So it comes from servers that know no `alt=sse`."""
    body = msgspec.json.encode([generated(text("a"), finish=None), generated(text("b"))])
    pieces = [body[i : i + size] for i in range(0, len(body), size)]

    assert blocks(streamed(*pieces)) == [{"type": "text", "text": "ab"}]
    assert answered(generated(text("a"), finish=None), generated(text("b")))["content"][0]["text"] == "ab"


def test_an_error_in_place_of_an_answer():
    """With status 200, whole, in a list, or amid a stream."""
    error = {"error": {"status": "RESOURCE_EXHAUSTED", "message": "quota"}}

    for pieces in ([msgspec.json.encode(error)], [msgspec.json.encode([error])], [chunk(text("a")), frame(error)]):
        with pytest.raises(ApiError) as failure:
            streamed(*pieces)
        assert failure.value.reason is Reason.RATE_LIMITED
    with pytest.raises(ApiError):
        answered(error)
    with pytest.raises(ApiError) as failure:
        answered({"error": {"code": 503}})
    assert failure.value.reason is Reason.OVERLOADED
    assert answered({"error": None, **generated(text("a"))})["stop_reason"] == "end_turn"


def test_a_huge_document_is_no_stream(monkeypatch: pytest.MonkeyPatch):
    """It would be held in memory."""
    monkeypatch.setattr("ccproxy.sse.MAX_FRAME_BYTES", 10)
    with pytest.raises(UpstreamProtocolError, match="no stream"):
        streaming().feed(b"[" + b" " * 20)


def test_other_candidates_are_not_read():
    """Only one is asked for."""
    other = {"index": 1, "content": {"parts": [text("x")]}}

    assert answered({"candidates": [other, *generated(text("a"))["candidates"]]})["content"][0]["text"] == "a"


def test_arguments_that_are_not_utf8_break_the_protocol():
    """What is not opened is not checked before."""
    body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","args":{"b":"\xff"}}}]}}]}'

    with pytest.raises(UpstreamProtocolError):
        exchange().answer(body)


def partial(path: str, going: bool = False, **value: Any) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """A piece of an argument."""
    return {"jsonPath": path, "willContinue": going, **value}


def piece(*arguments: Any, going: bool = True, **members: Any) -> dict[str, Any]:
    """A part with pieces of a call."""
    return {"functionCall": {"partialArgs": arguments, "willContinue": going, **members}}


BEGUN = {"functionCall": {"name": "write", "willContinue": True}}


def test_arguments_in_pieces():
    """They are put together, and the call is made when it is whole."""
    found = content(
        BEGUN,
        piece(partial("$.items[0].a", going=True, stringValue="x")),
        piece(partial("$.items[0].a", stringValue="y"), partial("$.items[0].n", numberValue=2)),
        piece(partial("$.items[1]", numberValue=0.5), partial("$['b c']", boolValue=True), partial("$.z")),
        piece(partial("$.t", going=True, stringValue="x"), partial("$.t"), partial("$.items[1]", numberValue=3)),
        {"functionCall": {}},
        {"functionCall": {}},
    )

    assert [block["input"] for block in found] == [
        {"items": [{"a": "xy", "n": 2}, 3], "b c": True, "z": None, "t": "x"}
    ]


@pytest.mark.parametrize("following", [[], [text("a")], [called()]])
def test_a_call_whose_end_is_missing_is_made_all_the_same(following: list[Any]):
    """The answer says that it is whole."""
    found = content(BEGUN, piece(partial("$.a", going=True, stringValue="x")), *following)

    assert found[0]["input"] == {"a": "x"}
    assert len(found) == 1 + len(following)


def test_half_a_call_is_none_where_the_answer_was_cut():
    """Nobody may run it."""
    begun = generated(BEGUN, piece(partial("$.a", stringValue="x")), finish="MAX_TOKENS")

    assert answered(begun)["content"] == []


def test_a_call_may_bring_its_pieces_at_once():
    """Name and arguments in one part."""
    assert content(piece(partial("$.a", boolValue=False), going=False, name="write"))[0]["input"] == {"a": False}


@pytest.mark.parametrize(
    "paths",
    [["a"], ["$"], ["$.a["], ["$.a[5]"], ["$[0]"], ["$.a", "$.a.b"], ["$.a", "$.a[0]"], ["$" + ".a" * 99]],
)
def test_a_piece_that_belongs_nowhere_breaks_the_protocol(paths: list[str]):
    """Nor may a path make us build without end."""
    arguments = PartialArguments()

    with pytest.raises(UpstreamProtocolError):
        for path in paths:
            arguments.add(PartialArgument(path, number_value=1e300))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PART = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=4) | JSON,
        "thought": st.booleans(),
        "thoughtSignature": st.text(max_size=4),
        "functionCall": st.fixed_dictionaries(
            {},
            optional={
                "name": st.text(max_size=3),
                "args": JSON,
                "willContinue": st.booleans(),
                "partialArgs": st.lists(
                    st.fixed_dictionaries(
                        {"jsonPath": st.sampled_from(["$.a", "$.a[0]", "$.b.c", "$"])},
                        optional={"stringValue": st.text(max_size=2), "numberValue": st.floats(allow_nan=False)},
                    ),
                    max_size=3,
                ),
            },
        ),
    },
)


@given(
    st.lists(
        st.builds(generated, PART, PART, finish=st.sampled_from([None, "STOP", "SAFETY", "OTHER"])), max_size=4
    ),
    st.binary(max_size=8),
)
def test_any_bytes_give_events_or_an_error(documents: list[Any], noise: bytes):
    """Nothing else may come out of a translator."""
    body = b"".join(map(frame, documents)) + noise
    for read in (lambda: streamed(body), lambda: exchange().answer(noise or msgspec.json.encode(documents))):
        with suppress(FAILED):
            read()
