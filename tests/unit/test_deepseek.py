"""DeepSeek: text alone, and reasoning that must come back."""

import base64
from typing import Any

import msgspec
import pytest
from unit import chat
from unit.chat import DONE, TOOL, USER, blocks, call, chunk, completion, exchange, frame

from ccproxy.carrier import Carried, pack
from ccproxy.errors import ApiError, Reason
from ccproxy.providers.deepseek import DEEPSEEK

HOST = {"base_url": "https://api.deepseek.com", "dialect": DEEPSEEK, "model": "deepseek-flash"}
USE = {"type": "tool_use", "id": "t0", "name": "read", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t0", "content": "ok"}]}
SHOWN = pack(Carried("deepseek", "deepseek-flash", "reasoning_content", msgspec.Raw(b"[]")))
THOUGHT = {"type": "thinking", "thinking": "let me see", "signature": SHOWN}
DISABLED = {"type": "disabled"}


def sent(*messages: Any, **members: Any) -> dict[str, Any]:
    """The request that goes to DeepSeek."""
    return chat.sent(*messages, **HOST, **members)


def dropped(*messages: Any, **members: Any) -> tuple[str, ...]:
    """What DeepSeek cannot be told."""
    return exchange(*messages, **HOST, **members).dropped


def turns(*thoughts: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """A conversation with a tool call, thought about before."""
    return (USER, {"role": "assistant", "content": [*thoughts, USE]}, RESULT)


def content(body: bytes, **members: Any) -> list[dict[str, Any]]:
    """The content of a whole answer."""
    found: list[dict[str, Any]] = chat.answered(body, **HOST, **members)["content"]
    return found


def streamed(*chunks: bytes, **members: Any) -> list[dict[str, Any]]:
    """The content of a streamed answer."""
    return blocks(chat.streamed(*chunks, **HOST, **members))


def refused(status: int, message: str) -> ApiError:
    """What an error of DeepSeek becomes."""
    error = {"message": message, "type": "invalid_request_error", "code": "invalid_request_error"}
    return chat.provider(dialect=DEEPSEEK).error(
        status, {"x-ds-trace-id": "t-1"}, msgspec.json.encode({"error": error})
    )


def test_the_answer_is_capped_by_max_tokens():
    """Its API knows no other name."""
    assert sent()["max_tokens"] == 100
    assert "max_completion_tokens" not in sent()


def test_what_it_does_not_know_is_left_out_and_named():
    """It refuses some members, and ignores others without a word."""
    members: dict[str, Any] = {
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "top_k": 5,
        "tools": [{**TOOL, "strict": True, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }
    request = sent(**members)

    assert {"user", "safety_identifier", "service_tier", "top_k", "parallel_tool_calls"}.isdisjoint(request)
    assert request["tools"] == [
        {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}},
    ]
    assert dropped(**members) == (
        "cache_control",
        "metadata.user_id",
        "service_tier",
        "tool_choice.disable_parallel_tool_use",
        "tools.strict",
        "top_k",
    )


@pytest.mark.parametrize(
    ("members", "thinking", "effort"),
    [
        ({}, None, None),
        ({"version": "2023-06-01"}, DISABLED, None),
        ({"thinking": {"type": "disabled"}}, DISABLED, None),
        ({"thinking": {"type": "adaptive"}}, {"type": "enabled"}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"type": "enabled"}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, {"type": "enabled"}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 30000}}, {"type": "enabled"}, "high"),
        ({"output_config": {"effort": "max"}}, {"type": "enabled"}, "max"),
    ],
)
def test_thinking_is_what_the_caller_wishes(members: Any, thinking: Any, effort: str | None):
    """It is on by default, so what is not wished must be switched off."""
    request = sent(**members)

    assert (request.get("thinking"), request.get("reasoning_effort")) == (thinking, effort)


def test_a_forced_tool_ends_thinking():
    """`Thinking mode does not support this tool_choice`."""
    members: dict[str, Any] = {
        "tools": [TOOL],
        "tool_choice": {"type": "any"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
    }

    assert sent(**members)["thinking"] == DISABLED
    assert sent(**members)["tool_choice"] == "required"
    assert "reasoning_effort" not in sent(**members)
    assert dropped(**members) == ("output_config.effort", "thinking")


def test_who_is_silent_about_thinking_is_told_nothing_of_it():
    """A forced tool ends it, but nobody asked for it."""
    forced = {"tools": [TOOL], "tool_choice": {"type": "any"}}

    assert (sent(**forced)["thinking"], dropped(**forced)) == (DISABLED, ())


def test_reasoning_goes_back_with_its_calls():
    """Without it DeepSeek answers 400."""
    request = sent(*turns(THOUGHT), tools=[TOOL], thinking={"type": "adaptive"})

    assert request["messages"][1]["reasoning_content"] == "let me see"
    assert request["messages"][1]["content"] == ""
    assert request["thinking"] == {"type": "enabled"}
    assert dropped(*turns(THOUGHT), tools=[TOOL]) == ()


@pytest.mark.parametrize("signature", ["", "EpAC-anthropic", "ccp1.broken", SHOWN.replace("ccp1.", "ccp1.x")])
def test_without_its_reasoning_a_conversation_goes_on_thinking(signature: str):
    """Another provider's thinking is none of DeepSeek's; calls without a thought are what it makes itself, too."""
    messages = turns({**THOUGHT, "signature": signature})
    request = sent(*messages, tools=[TOOL], thinking={"type": "adaptive"})

    assert request["messages"][1]["reasoning_content"] == ""
    assert request["thinking"] == {"type": "enabled"}
    assert dropped(*messages, tools=[TOOL], thinking={"type": "adaptive"}) == ("messages.content.thinking",)


def test_where_deepseek_insists_it_goes_on_unthinking():
    """A 400 would end the conversation: no later request could mend it."""
    first = exchange(*turns(), tools=[TOOL], output_config={"effort": "high"}, dialect=DEEPSEEK)
    words = "The `reasoning_content` in the thinking mode must be passed back to the API."
    second = first.recover(ApiError(Reason.INVALID_REQUEST, words))

    assert second is not None
    request = msgspec.json.decode(second.request.body or b"")
    assert (request["thinking"], "reasoning_effort" in request) == (DISABLED, False)
    assert (first.dropped, second.dropped) == ((), ("thinking",))
    assert second.recover(ApiError(Reason.INVALID_REQUEST, words)) is None


def test_an_answer_without_calls_needs_no_reasoning():
    """DeepSeek reads it only where tools were called."""
    assert "reasoning_content" not in sent(USER, {"role": "assistant", "content": "a"}, USER)["messages"][1]


def test_redacted_thinking_is_not_deepseeks():
    """It is Anthropic's alone."""
    assert dropped(*turns(THOUGHT, {"type": "redacted_thinking", "data": "x"})) == (
        "messages.content.redacted_thinking",
    )


@pytest.mark.parametrize(
    "data", [b'{"text":1}', b"[1]", b'["' + b"\xff" + b'"]'], ids=["object", "number", "no UTF-8"]
)
def test_a_forged_signature_is_a_lost_one(data: bytes):
    """Callers may write what they like."""
    carried = b'{"p":"deepseek","m":"m","t":"reasoning_content","d":' + data + b"}"
    signature = "ccp1." + base64.urlsafe_b64encode(carried).rstrip(b"=").decode()

    assert sent(*turns({**THOUGHT, "signature": signature}))["messages"][1]["reasoning_content"] == ""


def test_an_answer_is_signed_and_its_reasoning_comes_back():
    """Whole or streamed."""
    pieces = [
        chunk(role="assistant", content=None, reasoning_content=""),
        chunk(reasoning_content="let "),
        chunk(reasoning_content="me see"),
        chunk(tool_calls=[call("t0", "read", "{}")]),
        chunk("tool_calls"),
        DONE,
    ]
    body = completion(
        "tool_calls", reasoning_content="let me see", content="", tool_calls=[call("t0", "read", "{}")]
    )
    whole, stream = content(body), streamed(*pieces)

    assert [b["type"] for b in whole] == [b["type"] for b in stream] == ["thinking", "tool_use"]
    assert whole[0] == stream[0] == THOUGHT
    assert sent(*turns(whole[0]))["messages"][1]["reasoning_content"] == "let me see"


@pytest.mark.parametrize("thinking", [{"type": "adaptive", "display": "omitted"}, {"type": "disabled"}])
def test_reasoning_that_is_not_shown_is_carried(thinking: Any):
    """The caller does not see it; DeepSeek must."""
    (thought,) = content(completion(reasoning_content="secret"), thinking=thinking)

    assert thought["thinking"] == ""
    assert sent(*turns(thought))["messages"][1]["reasoning_content"] == "secret"


def test_the_empty_first_piece_opens_no_block():
    """Every stream begins with it."""
    pieces = [chunk(content=None, reasoning_content=""), chunk(content="hi"), chunk("stop"), DONE]

    assert streamed(*pieces) == [{"type": "text", "text": "hi"}]


def test_a_call_without_a_thought_needs_no_empty_one():
    """It goes back with an empty text whether a block says so or not."""
    calls = [call("t0", "read", "{}")]
    (made,) = content(completion("tool_calls", reasoning_content="", tool_calls=calls))

    assert made["type"] == "tool_use"


def test_images_and_documents_become_words():
    """`unknown variant image_url, expected text` is a 400 for the whole request."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    ask = {"role": "user", "content": [image, {"type": "text", "text": "what?"}, pdf, text]}

    (message,) = sent(ask)["messages"]

    assert message["content"] == (
        "[image omitted: this model takes text only]\n\nwhat?\n\n"
        "[document omitted: this model takes text only]\n\n<document>words</document>"
    )
    assert dropped(ask) == ("messages.content.document", "messages.content.image")


def test_an_image_in_a_tool_result_becomes_words():
    """The content of a tool message is a string."""
    image = {"type": "image", "source": {"type": "url", "url": "https://host/a.png"}}
    result = {"role": "user", "content": [{**RESULT["content"][0], "content": [image]}]}  # type: ignore[dict-item]

    messages = sent(USER, {"role": "assistant", "content": [USE]}, result)["messages"]

    assert messages[2]["content"] == "[image omitted: this model takes text only]"
    assert len(messages) == 3


@pytest.mark.parametrize(("system", "before"), [({}, ""), ({"system": "Be brief."}, "Be brief.\n\n")])
def test_a_schema_is_told_in_the_system_prompt(system: Any, before: str):
    """Its API knows no schema, and demands the word JSON."""
    format_ = {"type": "json_schema", "schema": {"type": "object"}}
    request = sent(output_config={"format": format_}, **system)

    assert request["response_format"] == {"type": "json_object"}
    assert request["messages"][0] == {
        "role": "system",
        "content": f"{before}Answer with one JSON object that satisfies this JSON schema, and nothing else:\n"
        '{"type":"object"}',
    }


def test_usage_is_read_from_its_caches_hits_and_misses():
    """They are what DeepSeek bills."""
    usage = {
        "prompt_tokens": 110,
        "completion_tokens": 4,
        "prompt_cache_hit_tokens": 100,
        "prompt_cache_miss_tokens": 10,
    }
    choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
    found = exchange(**HOST).answer(msgspec.json.encode({"choices": [choice], "usage": usage})).usage

    assert (found.input_tokens, found.cache_read_input_tokens, found.output_tokens) == (10, 100, 4)


def test_an_answer_given_up_for_lack_of_room_is_overload():
    """Another try makes sense."""
    with pytest.raises(ApiError) as failure:
        content(completion("insufficient_system_resource", content="half"))

    assert failure.value.reason is Reason.OVERLOADED


def test_keep_alive_comments_are_nothing():
    """It sends them while a request waits for its turn."""
    pieces = [b": keep-alive\n\n", chunk(content="hi"), b": keep-alive\n\n", chunk("stop"), DONE]

    assert streamed(*pieces) == [{"type": "text", "text": "hi"}]


def test_empty_lines_before_a_whole_answer_are_nothing():
    """The same, where nothing is streamed."""
    assert content(b"\n\n\n" + completion(content="hi")) == [{"type": "text", "text": "hi"}]


@pytest.mark.parametrize(
    ("status", "message", "reason", "ours"),
    [
        (
            400,
            "Thinking mode does not support this",
            Reason.INVALID_REQUEST,
            "Thinking mode does not support this",
        ),
        (422, "bad", Reason.INVALID_REQUEST, "bad"),
        (402, "Insufficient Balance", Reason.BILLING, "provider openai has no credit or quota left"),
        (
            400,
            "The supported API model names are deepseek-v4-pro or deepseek-flash, but you passed deepseek-v9.1.",
            Reason.NOT_FOUND,
            "model: deepseek-v9.1",
        ),
        (
            400,
            "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens.",
            Reason.INVALID_REQUEST,
            "prompt is too long: 140000 tokens > 131072 maximum",
        ),
        (503, "busy", Reason.OVERLOADED, "provider openai is overloaded"),
    ],
)
def test_errors_are_read_by_status_and_words(status: int, message: str, reason: Reason, ours: str):
    """Its codes say `invalid_request_error` nearly always."""
    failure = refused(status, message)

    assert (failure.reason, failure.message, failure.upstream_request_id) == (reason, ours, "t-1")


def test_an_error_inside_a_stream_is_read_in_the_same_way():
    """It may come after status 200."""
    message = "The supported API model names are a or b, but you passed c."
    with pytest.raises(ApiError) as failure:
        streamed(frame({"error": {"message": message, "type": "invalid_request_error"}}))

    assert failure.value.reason is Reason.NOT_FOUND
