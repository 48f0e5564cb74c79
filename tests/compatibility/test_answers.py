"""Whole answers: content, stop reasons, usage."""

from typing import Any

import msgspec
import pytest
from compatibility.cells import CALLER_MODEL, Cell, does, each, feature, none, same
from compatibility.wires import Thought, Used, text, whole

from ccproxy.errors import ApiError, UpstreamProtocolError

HEADING = "Answers"
STOPS = "Stop reasons"
USAGE = "Usage"

TOOLS = [{"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]


def kinds(answer: dict[str, Any]) -> list[str]:
    """The types of its blocks."""
    return [block["type"] for block in answer["content"]]


@feature(HEADING, "text", each(does()))
def test_text(cell: Cell):
    """What the model says."""
    answer = cell.answered(whole(cell.column.key, text("It ", "rains.")))
    cell.shows(told=[(block["type"], block["text"]) for block in answer["content"]] == [("text", "It rains.")])


@feature(HEADING, "a call of a tool, with its input", each(does()))
def test_call(cell: Cell):
    """What the model wants done."""
    cell.ask(tools=TOOLS)
    answer = cell.answered(whole(cell.column.key, Used("call_1", "read", ('{"path":', '"a.txt"}')), stop="calls"))
    call = answer["content"][-1]
    cell.shows(told=(call["type"], call["name"], call["input"]) == ("tool_use", "read", {"path": "a.txt"}))


@feature(HEADING, "several calls at once", each(does()))
def test_parallel_calls(cell: Cell):
    """Each with an id of its own, also where a provider gives none."""
    cell.ask(tools=TOOLS)
    answer = cell.answered(whole(cell.column.key, Used("a", "read"), Used("b", "read"), stop="calls"))
    cell.shows(
        told=kinds(answer)[-2:] == ["tool_use"] * 2 and len({block["id"] for block in answer["content"]}) == 2
    )


@feature(HEADING, "thinking before text", each(does(), chat=none("OpenAI's Chat Completions shows none")))
def test_thinking(cell: Cell):
    """In the order in which it came."""
    answer = cell.answered(whole(cell.column.key, Thought("Hm."), text("Yes.")))
    cell.shows(told=kinds(answer) == ["thinking", "text"])


@feature(
    HEADING,
    "a call cut off at the limit",
    each(does("never told half")),
    "A call whose input is not whole is left out, so that no client runs half of one.",
)
def test_half_a_call(cell: Cell):
    """No client is to run half a command."""
    cell.ask(tools=TOOLS)
    if cell.column.key in {"anthropic", "gemini"}:  # they send an object, which cannot be half
        answer = cell.answered(whole(cell.column.key, text("Let me see."), stop="limit"))
    else:
        cut = whole(cell.column.key, text("Let me see."), Used("a", "read", ('{"path":"a.t',)), stop="limit")
        answer = cell.answered(cut)
    cell.shows(told=kinds(answer) == ["text"] and answer["stop_reason"] == "max_tokens")


@feature(
    HEADING,
    "a call whose input is no JSON",
    each(does("an error")),
    "A broken call is a 502 worth another try, never an empty end.",
)
def test_broken_call(cell: Cell):
    """An agent that gets an empty end stops working, and nobody knows why."""
    cell.ask(tools=TOOLS)
    bodies = {
        "anthropic": b'{"type":"message","content":[{"type":"tool_use","input":{"path":}]}',
        "gemini": b'{"candidates":[{"index":0,"finishReason":"MALFORMED_FUNCTION_CALL","content":{}}]}',
    }
    body = bodies.get(cell.column.key) or b""
    if not body:
        body = whole(cell.column.key, Used("a", "read", ('{"path":"a.t',)), stop="calls")
    with pytest.raises((ApiError, UpstreamProtocolError)) as raised:
        cell.answered(body)
    error = raised.value
    cell.shows(told=isinstance(error, UpstreamProtocolError) or (error.status, error.should_retry) == (502, True))


CITATION = {"type": "char_location", "cited_text": "It rains", "document_index": 0}
URL_CITATION = {
    "type": "url_citation",
    "url": "https://example.com",
    "title": "t",
    "start_index": 0,
    "end_index": 4,
}


@feature(
    HEADING,
    "`citations` of a text",
    each(none()),
    "Citations are asked for by `document.citations` or web search, which only Anthropic is asked for.",
)
def test_citations(cell: Cell):
    """Nobody else quotes place by place."""
    body = msgspec.json.decode(whole(cell.column.key, text("It rains.")))
    match cell.column.key:
        case "anthropic":
            body["content"][0]["citations"] = [CITATION]
        case "responses":
            body["output"][0]["content"][0]["annotations"] = [URL_CITATION]
        case "chat" | "openrouter":
            body["choices"][0]["message"]["annotations"] = [{"type": "url_citation", "url_citation": URL_CITATION}]
    answer = cell.answered(msgspec.json.encode(body))
    cell.shows(told=bool(answer["content"][0].get("citations")))


@feature(HEADING, "members that are not known", each(none()))
def test_unknown_members(cell: Cell):
    """What Anthropic adds next year reaches the caller; another provider's members mean nothing to it."""
    body = {**msgspec.json.decode(whole(cell.column.key, text("hi"))), "next_years_member": 1}
    cell.shows(told="next_years_member" in cell.answered(msgspec.json.encode(body)))


@feature(
    HEADING,
    "`model`",
    each(does("the name that the caller asked for")),
    "The model that answered is in the header `x-ccproxy-model`.",
)
def test_model(cell: Cell):
    """Clients look their own settings up by it."""
    cell.shows(told=cell.answered(whole(cell.column.key, text("hi")))["model"] == CALLER_MODEL)


@feature(HEADING, "`id`", each(does("from the provider's own")))
def test_id(cell: Cell):
    """A message can be found again in the provider's log."""
    answer = cell.answered(whole(cell.column.key, text("hi")))
    own = {"anthropic": "msg_1", "responses": "resp_1", "gemini": "r1"}.get(cell.column.key, "chatcmpl-1")
    cell.shows(told=own in answer["id"] and answer["id"].startswith("msg_"))


@feature(STOPS, "`end_turn`", each(does()))
def test_end_turn(cell: Cell):
    """The model has said it all."""
    cell.shows(told=cell.answered(whole(cell.column.key, text("hi")))["stop_reason"] == "end_turn")


@feature(
    STOPS,
    "`tool_use`",
    each(does()),
    "Gemini, and OpenAI with a forced tool, say `stop` although they call: the calls count.",
)
def test_tool_use(cell: Cell):
    """An agent goes on by it; Gemini says STOP."""
    cell.ask(tools=TOOLS)
    answer = cell.answered(whole(cell.column.key, Used("a", "read"), stop="calls"))
    cell.shows(told=answer["stop_reason"] == "tool_use")


@feature(STOPS, "`max_tokens`", each(does()))
def test_max_tokens(cell: Cell):
    """The answer is not whole."""
    answer = cell.answered(whole(cell.column.key, text("It r"), stop="limit"))
    cell.shows(told=answer["stop_reason"] == "max_tokens")


@feature(
    STOPS,
    "`stop_sequence`, with the one that was met",
    each(does("matched by CCProxy"), anthropic=same()),
    "No other provider tells which sequence it met, and reasoning models take none: CCProxy matches.",
)
def test_stop_sequence(cell: Cell):
    """Claude Code's classifiers need the exact one."""
    if cell.is_relay:
        cell.says(mark="END", stop_sequences=["END"])
        return
    exchange = cell.ask(stop_sequences=["END", "STOP"])
    answer = cell.answered(whole(cell.column.key, text("one END two")))
    assert b"END" not in (exchange.request.body or b"")
    told = (answer["stop_reason"], answer["stop_sequence"], answer["content"][0]["text"])
    cell.shows(told=told == ("stop_sequence", "END", "one "))


@feature(
    STOPS,
    "`refusal`",
    each(does()),
    "A provider's content filter is a refusal; only Anthropic names a `category`.",
)
def test_refusal(cell: Cell):
    """An application must not take a refusal for an answer."""
    answer = cell.answered(whole(cell.column.key, text("I "), stop="refusal"))
    cell.shows(told=answer["stop_reason"] == "refusal" and answer["stop_details"]["type"] == "refusal")


REFUSALS = {
    "chat": {"choices": [{"index": 0, "message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]},
    "responses": {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}],
    },
    "gemini": {"promptFeedback": {"blockReason": "SAFETY"}},
}


@feature(
    STOPS,
    "`refusal` told in other ways",
    each(does()),
    "OpenAI's `refusal` text, and Gemini's `blockReason` without any candidate.",
)
def test_refusal_by_other_words(cell: Cell):
    """OpenAI's models refuse in a member of its own, Gemini blocks prompts."""
    own = REFUSALS.get(cell.column.key, REFUSALS["chat"])
    body = whole("anthropic", stop="refusal") if cell.is_relay else msgspec.json.encode(own)
    cell.shows(told=cell.answered(body)["stop_reason"] == "refusal")


def declared_stop(cell: Cell, reason: str, words: dict[str, list[str]]) -> None:
    """Reports whether any of a provider's words for the end becomes `reason`."""
    if cell.is_relay:
        body = msgspec.json.decode(whole("anthropic", text("hi")))
        answer = cell.answered(msgspec.json.encode({**body, "stop_reason": reason}))
        cell.shows(told=answer["stop_reason"] == reason)
        return
    found = set()
    for word in words[cell.column.key]:
        template = whole(cell.column.key, text("hi")).decode()
        own = {"responses": '"completed"', "gemini": '"STOP"'}.get(cell.column.key, '"stop"')
        assert own in template
        found.add(cell.answered(template.replace(own, f'"{word}"').encode())["stop_reason"])
    cell.shows(told=reason in found)


CHAT_WORDS = ["stop", "length", "tool_calls", "content_filter", "function_call", "model_length"]
WORDS = {
    "chat": CHAT_WORDS,
    "responses": ["completed", "incomplete"],
    "gemini": ["STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "CONTINUATION"],
    "deepseek": CHAT_WORDS,
    "openrouter": CHAT_WORDS,
}


@feature(STOPS, "`pause_turn`", each(none()), "Only Anthropic's server tools pause a turn.")
def test_pause_turn(cell: Cell):
    """A client would ask again and again."""
    declared_stop(cell, "pause_turn", WORDS)


@feature(
    STOPS,
    "`model_context_window_exceeded`",
    each(none()),
    "Others answer 400 for a conversation that is too long; see Errors.",
)
def test_context_window(cell: Cell):
    """It is an error elsewhere."""
    declared_stop(cell, "model_context_window_exceeded", WORDS)


def counted(cell: Cell, name: str) -> Any:
    """A count of an answer's usage."""
    usage: dict[str, Any] = cell.answered(whole(cell.column.key, text("hi")))["usage"]
    return usage.get(name)


@feature(
    USAGE,
    "`input_tokens`, without those of a cache",
    each(does()),
    "Other providers count cached tokens as part of the prompt: they are taken out, as Anthropic counts.",
)
def test_input_tokens(cell: Cell):
    """Anthropic's total is the sum of three counts, others' holds the cached ones."""
    writes = cell.column.key in {"anthropic", "responses", "openrouter"}
    cell.shows(told=counted(cell, "input_tokens") == (50 if writes else 70))


@feature(USAGE, "`output_tokens`, with what was thought", each(does()))
def test_output_tokens(cell: Cell):
    """What is billed; Gemini counts thoughts apart."""
    cell.shows(told=counted(cell, "output_tokens") == 50)


@feature(USAGE, "`cache_read_input_tokens`", each(does()))
def test_cache_read(cell: Cell):
    """Whether a cache works is seen by it."""
    cell.shows(told=counted(cell, "cache_read_input_tokens") == 30)


@feature(
    USAGE,
    "`cache_creation_input_tokens`",
    each(does(), chat=none(), gemini=none(), deepseek=none()),
    "Who caches by itself counts no writes; where a provider tells none, none is invented. OpenAI's gpt-5.6 and "
    "later tell them on Chat Completions too.",
)
def test_cache_written(cell: Cell):
    """Writes cost more than reads."""
    cell.shows(told=counted(cell, "cache_creation_input_tokens") == 20)


@feature(USAGE, "`output_tokens_details.thinking_tokens`", each(does()))
def test_thinking_tokens(cell: Cell):
    """How much of the bill was thought."""
    cell.shows(told=counted(cell, "output_tokens_details") == {"thinking_tokens": 10})


@feature(
    USAGE,
    "`service_tier`",
    each(does(), deepseek=none("it has but one")),
    "Tiers that Anthropic does not have, such as `flex`, are not told.",
)
def test_service_tier(cell: Cell):
    """Priority costs more: who paid for it sees whether it was had."""
    body = msgspec.json.decode(whole(cell.column.key, text("hi")))
    if cell.column.key == "gemini":
        body["usageMetadata"]["serviceTier"] = "priority"
    elif cell.is_relay:
        body["usage"]["service_tier"] = "priority"
    elif cell.column.key != "deepseek":
        body["service_tier"] = "priority"
    usage = cell.answered(msgspec.json.encode(body))["usage"]
    cell.shows(told=usage.get("service_tier") == "priority")


@feature(USAGE, "`server_tool_use` and what else there is", each(none()))
def test_other_usage(cell: Cell):
    """Anthropic's own counts."""
    body = msgspec.json.decode(whole(cell.column.key, text("hi")))
    if cell.is_relay:
        body["usage"]["server_tool_use"] = {"web_search_requests": 1}
    answer = cell.answered(msgspec.json.encode(body))
    cell.shows(told="server_tool_use" in answer["usage"])
