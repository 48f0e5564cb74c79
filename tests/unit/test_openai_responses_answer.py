"""The Responses API: what a whole answer becomes, and what follows a refusal."""

from typing import Any

import msgspec
import pytest
from unit.chat import TOOL
from unit.responses import (
    answered,
    body,
    cut,
    exchange,
    function,
    provider,
    reasoning,
    refusal,
    response,
    text,
)

from ccproxy import carrier
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.messages import Usage

SILENT = {"type": "disabled"}


def content(document: Any, **members: Any) -> list[dict[str, Any]]:
    """The blocks of an answer."""
    found: list[dict[str, Any]] = answered(document, **members)["content"]
    return found


def test_an_answer():
    """The whole of it, under the name by which the caller knows the model."""
    assert answered(response(text("hello"))) == {
        "type": "message",
        "id": "msg_resp_1",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 3,
            "output_tokens": 4,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, Usage()),
        ({}, Usage()),
        ({"input_tokens": 7, "output_tokens": 2}, Usage(input_tokens=7, output_tokens=2)),
    ],
)
def test_a_count_that_is_not_given_is_not_invented(usage: Any, counted: Usage):
    """Metrics would show it as a fact."""
    document = msgspec.json.encode(response(text("a"), usage=usage))

    assert exchange().answer(document).usage == counted


def test_blocks_come_in_the_order_of_the_items():
    """Messages that follow each other are one text; tools that the provider runs are not shown."""
    found = content(
        response(
            reasoning("Hm."),
            text("I "),
            {"type": "web_search_call", "arguments": {}},
            text("look"),
            function("c1", "read", '{"a":1}'),
            function("c2", "read", ""),
        )
    )

    assert [block["type"] for block in found] == ["thinking", "text", "tool_use", "tool_use"]
    assert found[1]["text"] == "I look"
    assert found[2] == {"type": "tool_use", "id": "c1", "name": "read", "input": {"a": 1}}
    assert found[3]["input"] == {}


def test_a_summary_is_shown_in_paragraphs_and_signed():
    """The signature brings the state back."""
    block = content(response(reasoning("One.", "", "Two."), text("a")))[0]
    carried = carrier.unpack(block["signature"])

    assert block["thinking"] == "One.\n\nTwo."
    assert carried is not None
    assert (carried.provider, carried.model, carried.kind) == ("openai", "gpt-5.6", "reasoning")
    assert msgspec.json.decode(carried.data) == reasoning("One.", "", "Two.")


@pytest.mark.parametrize("summary", [[], None])
def test_reasoning_of_open_models_is_shown_where_there_is_no_summary(summary: Any):
    """It is all there is."""
    parts = [{"type": "reasoning_text", "text": "hm"}, {"type": "reasoning_text", "text": "so"}]
    item = {**reasoning(content=parts), "summary": summary}

    assert content(response(item, text("a")))[0]["thinking"] == "hm\n\nso"


@pytest.mark.parametrize(
    ("item", "members", "shown"),
    [
        (reasoning("Hm."), {"thinking": {"type": "adaptive", "display": "omitted"}}, [("", True)]),
        (reasoning("Hm."), {"thinking": SILENT, "tools": [TOOL]}, [("", True)]),
        (reasoning("Hm."), {"thinking": SILENT}, []),
        (reasoning("Hm.", encrypted=None), {}, [("Hm.", False)]),
        ({**reasoning("Hm."), "id": None}, {}, [("Hm.", False)]),
        (reasoning(encrypted=None), {}, []),
        (reasoning(), {}, [("", True)]),
    ],
    ids=["omitted", "disabled with tools", "disabled", "no state", "no id", "nothing", "state alone"],
)
def test_thinking_is_shown_to_who_wants_it_and_kept_for_who_calls(item: Any, members: Any, shown: Any):
    """A caller that wants none reads the first block as its text."""
    found = content(response(item, text("a")), **members)[:-1]

    assert [(block["thinking"], bool(block["signature"])) for block in found] == shown


def test_a_refusal():
    """The provider calls it completed."""
    message = answered(response(refusal("No."), refusal("")))

    assert message["content"] == [{"type": "text", "text": "No."}]
    assert (message["stop_reason"], message["stop_details"]["type"]) == ("refusal", "refusal")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (response(function("c", "read", "{}")), "tool_use"),
        (cut(text("a")), "max_tokens"),
        (cut(text("a"), reason="content_filter"), "refusal"),
        (cut(text("a"), reason="max_messages"), "end_turn"),
        (response(text("a"), status="incomplete"), "end_turn"),
        (response(), "end_turn"),
    ],
)
def test_why_it_stopped(document: Any, reason: str):
    """In Anthropic's words."""
    assert answered(document)["stop_reason"] == reason


def test_half_a_call_is_not_handed_over():
    """The client would run it."""
    message = answered(cut(function("c1", "read", "{}"), function("c2", "read", '{"a":')))

    assert [block["id"] for block in message["content"]] == ["c1"]
    assert message["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    "document",
    [
        response(function("c", "read", '{"a":')),
        response(function("c", "read", "1")),
        response(function("c", None, "{}")),
        response(text("a"), status="in_progress"),
        response(text("a"), status="cancelled"),
        {},
        response({}),
        response({"type": "message", "content": 1}),
        response({**reasoning(), "summary": 1}),
        [],
    ],
    ids=range(10),
)
def test_what_is_no_answer_breaks_the_protocol(document: Any):
    """And no other failure."""
    with pytest.raises(UpstreamProtocolError):
        answered(document)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("rate_limit_exceeded", Reason.RATE_LIMITED),
        ("insufficient_quota", Reason.BILLING),
        ("server_error", Reason.INTERNAL),
        ("invalid_prompt", Reason.INVALID_REQUEST),
        ("image_too_large", Reason.INVALID_REQUEST),
        ("bio_policy", Reason.INVALID_REQUEST),
    ],
)
def test_a_failed_answer_is_a_failure(code: str, reason: Reason):
    """With the class that its code says."""
    with pytest.raises(ApiError) as failure:
        answered(response(status="failed", error={"code": code, "message": "no"}))

    assert failure.value.reason is reason


def test_a_failed_answer_without_a_reason_is_a_failure_too():
    """And none of the caller's."""
    with pytest.raises(ApiError) as failure:
        answered(response(status="failed"))

    assert failure.value.reason is Reason.INTERNAL


def test_a_stop_sequence_ends_the_answer():
    """What follows it was not asked for."""
    message = answered(
        response(text("one E"), text("ND two"), function("c", "read", "{}")), stop_sequences=["END"]
    )

    assert message["content"] == [{"type": "text", "text": "one "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_nothing_of_a_message_is_shown_after_a_stop_sequence():
    """Also no refusal."""
    said = {"type": "message", "content": [*text("a END")["content"], *refusal("no")["content"]]}

    assert content(response(said), stop_sequences=["END"]) == [{"type": "text", "text": "a "}]


@pytest.mark.parametrize("then", [function("c", "read", "{}"), reasoning("Hm."), refusal("No."), {"type": "x"}])
def test_text_that_began_like_a_stop_sequence_stays_in_its_place(then: Any):
    """A sequence does not reach over another block."""
    assert content(response(text("one EN"), then), stop_sequences=["END"])[0]["text"].startswith("one EN")


def test_a_renamed_tool_gets_its_name_back():
    """The caller knows no other."""
    tools = [{**TOOL, "name": "mcp.read"}]
    upstream = body(exchange(tools=tools))["tools"][0]["name"]

    assert content(response(function("c", upstream, "{}")), tools=tools)[0]["name"] == "mcp.read"


def test_other_types_of_parts_say_nothing():
    """They are for what was never asked for."""
    assert content(response({"type": "message", "content": [{"type": "new"}]})) == []


# What is refused, and said again without it.


def refused(message: str, status: int = 400) -> ApiError:
    """An error of the provider."""
    return provider().error(status, {}, msgspec.json.encode({"error": {"message": message}}))


STATE_REFUSED = "The encrypted content gAAA... could not be verified."
SUMMARY_REFUSED = "Your organization must be verified to generate reasoning summaries."


def test_a_conversation_goes_on_without_state_that_is_refused():
    """It was made with another account's key, which the carrier does not name."""
    answer = content(response(reasoning("Hm."), text("hello")))
    turns = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": answer})
    first = exchange(*turns, {"role": "user", "content": "and?"})
    again = first.recover(refused(STATE_REFUSED))

    assert [item["type"] for item in body(first)["input"]] == ["message", "reasoning", "message", "message"]
    assert again is not None
    assert [item["type"] for item in body(again)["input"]] == ["message"] * 3
    assert again.dropped == ("messages.content.thinking",)
    assert again.recover(refused(STATE_REFUSED)) is None


def test_thinking_goes_on_without_a_summary_that_is_refused():
    """OpenAI gives them to verified organisations only."""
    first = exchange(output_config={"effort": "low"})
    again = first.recover(refused(SUMMARY_REFUSED))

    assert again is not None
    assert body(again)["reasoning"] == {"effort": "low"}
    assert again.dropped == ("thinking.display",)
    assert again.recover(refused(SUMMARY_REFUSED)) is None


@pytest.mark.parametrize("failure", [refused("no"), refused(SUMMARY_REFUSED, 500), refused(STATE_REFUSED)])
def test_another_refusal_is_one(failure: ApiError):
    """There is nothing to leave out."""
    assert exchange().recover(failure) is None
