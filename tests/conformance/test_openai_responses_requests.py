"""Recorded requests to Anthropic, said to the Responses API."""

from typing import Any

import msgspec
from conformance.recordings import Recording, asked_of_claude, each
from unit.responses import provider

from ccproxy.call import Call, Target
from ccproxy.documents import decode_request
from ccproxy.messages import Block, Request, Text, ToolResult

REQUESTS = asked_of_claude()


def said(body: bytes) -> dict[str, Any]:
    """What goes upstream."""
    call = Call(edge="http", request_id="req_1", body=body)
    exchange = provider(api="responses").exchange(call, call.head(), Target("openai", "gpt-6-sol", "default"))
    document: dict[str, Any] = msgspec.json.decode(exchange.request.body or b"")
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


@each(REQUESTS)
def test_each_call_has_its_output(recording: Recording):
    """The provider refuses the conversation where one is missing, or answers nothing."""
    open_calls: list[str] = []
    for item in said(recording.request or b"")["input"]:
        if item["type"] == "function_call":
            open_calls.append(item["call_id"])
        elif item["type"] == "function_call_output":
            open_calls.remove(item["call_id"])
        elif item["type"] == "message" and item["role"] == "user":
            assert open_calls == []
    assert open_calls == []


@each(REQUESTS)
def test_no_text_is_lost(recording: Recording):
    """Whatever else cannot be said."""
    body = recording.request or b""
    parts: list[Any] = []
    for item in said(body)["input"]:
        held = item.get("content") or item.get("output") or []
        parts += [{"text": held}] if isinstance(held, str) else held
    all_text = "\n".join(part.get("text") or "" for part in parts)

    assert [text for text in texts(decode_request(body)) if text not in all_text] == []


@each(REQUESTS)
def test_no_reasoning_of_another_provider_goes_there(recording: Recording):
    """It would be refused."""
    assert "reasoning" not in {item["type"] for item in said(recording.request or b"")["input"]}


@each(REQUESTS)
def test_names_are_ones_that_are_accepted(recording: Recording):
    """One bad name is a 400 for the whole request."""
    request = said(recording.request or b"")
    names = [tool["name"] for tool in request.get("tools", ()) if tool["type"] == "function"]
    names += [item["name"] for item in request["input"] if item["type"] == "function_call"]

    assert all(0 < len(name) <= 64 and name.replace("-", "_").replace("_", "a").isalnum() for name in names)
    assert ("tool_choice" in request) <= bool(request.get("tools"))
