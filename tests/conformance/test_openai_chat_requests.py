"""Recorded requests to Anthropic, said to servers that speak Chat Completions."""

from typing import Any

import msgspec
import pytest
from conformance.recordings import Recording, asked_of_claude, each, is_anthropics_alone, recordings
from unit.chat import provider

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head, decode_request
from ccproxy.errors import ApiError
from ccproxy.messages import Block, Request, Text, ToolResult
from ccproxy.providers.caller_request import MCP, PREFILL
from ccproxy.providers.deepseek import DEEPSEEK
from ccproxy.providers.openai_chat import OPENAI
from ccproxy.providers.openrouter import OPENROUTER

REQUESTS = asked_of_claude()
DIALECTS = {
    "gpt-4.1": OPENAI,
    "gpt-6-sol": OPENAI,
    "deepseek-flash": DEEPSEEK,
    "anthropic/claude-sonnet-4.5": OPENROUTER,
    "openai/gpt-6-sol": OPENROUTER,
}
MODELS = tuple(DIALECTS)


def said(body: bytes, model: str) -> dict[str, Any]:
    """What goes upstream."""
    call = Call(edge="http", request_id="req_1", body=body)
    exchange = provider(dialect=DIALECTS[model]).exchange(
        call, decode_head(body), Target("openai", model, "default")
    )
    document: dict[str, Any] = msgspec.json.decode(exchange.request.body or b"")
    assert exchange.dropped == tuple(sorted(set(exchange.dropped)))
    return document


def texts(request: Request) -> list[str]:
    """Every text of the conversation."""
    found: list[str] = []
    for turn in request.messages:
        found += _texts([Text(turn.content)] if isinstance(turn.content, str) else turn.content)
    return [text for text in found if text]


def _texts(blocks: list[Block]) -> list[str]:
    found = []
    for block in blocks:
        if isinstance(block, Text):
            found.append(block.text)
        elif isinstance(block, ToolResult):
            content = block.content or ""
            found += [content] if isinstance(content, str) else _texts(content)
    return found


@each([r for r in recordings("anthropic", api="messages") if is_anthropics_alone(r)])
def test_what_nobody_else_can_answer_is_refused(recording: Recording):
    """Without a word the answer would be another one."""
    with pytest.raises(ApiError) as refusal:
        said(recording.request or b"", "gpt-4.1")

    assert refusal.value.message in {MCP, PREFILL}


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_results_directly_follow_their_calls(recording: Recording, model: str):
    """The provider refuses the conversation where anything is between them, or one is missing."""
    messages = said(recording.request or b"", model)["messages"]
    expected: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] == expected.pop(0)
        else:
            assert expected == []
            expected = [call["id"] for call in message.get("tool_calls", ())]
    assert expected == []


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_no_text_is_lost(recording: Recording, model: str):
    """Whatever else cannot be said."""
    body = recording.request or b""
    messages = said(body, model)["messages"]
    parts = [p for m in messages for p in ([m] if isinstance(m["content"], str) else m["content"])]
    all_text = "\n".join(part.get("content") or part.get("text") or "" for part in parts)

    assert [text for text in texts(decode_request(body)) if text not in all_text] == []


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_names_are_ones_that_are_accepted(recording: Recording, model: str):
    """One bad name is a 400 for the whole request."""
    request = said(recording.request or b"", model)
    names = [tool["function"]["name"] for tool in request.get("tools", ()) if tool["type"] == "function"]
    names += [call["function"]["name"] for m in request["messages"] for call in m.get("tool_calls", ())]

    assert all(len(name) <= 64 and name.replace("-", "_").isidentifier() | name[0].isdigit() for name in names)
    assert ("tool_choice" in request) <= bool(request.get("tools"))
