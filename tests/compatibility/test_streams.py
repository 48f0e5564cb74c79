"""Streamed answers."""

import asyncio
from typing import Any

import pytest
from compatibility.cells import Cell, does, each, events, feature, none
from compatibility.wires import Thought, Used, chunks, frame, text
from unit.fakes import ScriptedTransport, answer

from ccproxy import message_stream
from ccproxy.backend import Backend
from ccproxy.config import Config, ProviderConfig, RetryConfig, RouteConfig
from ccproxy.errors import ApiError, UpstreamProtocolError
from ccproxy.metrics import Metrics
from ccproxy.proxy import Proxy
from ccproxy.routing import Router
from ccproxy.serving import Phase, Serving
from ccproxy.upstream import Upstream

HEADING = "Streams"

TOOLS = [{"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]


def deltas(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The deltas of a type."""
    found = [each["delta"] for each in documents if each["type"] == "content_block_delta"]
    return [delta for delta in found if delta["type"] == kind]


@feature(HEADING, "text, piece by piece", each(does()))
def test_text(cell: Cell):
    """A user reads along."""
    cell.ask(stream=True)
    told = cell.streamed(*chunks(cell.column.key, text("It ", "rains.")))
    cell.shows(told=[delta["text"] for delta in deltas(told, "text_delta")] == ["It ", "rains."])


@feature(
    HEADING,
    "Anthropic's order of events",
    each(does()),
    "`message_start`, blocks one after another, one `message_delta`, `message_stop`.",
)
def test_grammar(cell: Cell):
    """The SDKs' accumulators fail at any other."""
    cell.ask(stream=True, tools=TOOLS)
    parts = (Thought("Hm."), text("Let me see."), Used("a", "read"), Used("b", "read"))
    names = [each["type"] for each in cell.streamed(*chunks(cell.column.key, *parts, stop="calls"))]
    blocks = [name for name in names if name.startswith("content_block") and name != "content_block_delta"]
    assert set(blocks[::2]) == {"content_block_start"}
    assert set(blocks[1::2]) == {"content_block_stop"}
    cell.shows(told=names[0] == "message_start" and names[-2:] == ["message_delta", "message_stop"])


@feature(
    HEADING,
    "a tool's input, as it comes",
    each(does(), gemini=does("whole: Gemini sends it so")),
)
def test_live_input(cell: Cell):
    """Claude Code shows a file as it is written."""
    cell.ask(stream=True, tools=TOOLS)
    told = cell.streamed(*chunks(cell.column.key, Used("a", "read", ('{"path":', '"a.txt"}')), stop="calls"))
    pieces = [delta["partial_json"] for delta in deltas(told, "input_json_delta") if delta["partial_json"]]
    assert "".join(pieces) == '{"path":"a.txt"}'
    cell.shows(told=len(pieces) == (1 if cell.column.key == "gemini" else 2))


@feature(
    HEADING,
    "a tool's start, before its input is there",
    each(does(), gemini=none("a call comes whole")),
)
def test_early_start(cell: Cell):
    """A client can show which tool it is."""
    cell.ask(stream=True, tools=TOOLS)
    frames = chunks(cell.column.key, Used("a", "read", ('{"path":', '"a.txt"}')), stop="calls")
    stream = cell.exchange.stream()
    seen = []
    for piece in frames:
        stream.feed(piece)
        seen.append(stream.take())
    starts = next(i for i, taken in enumerate(seen) if b"content_block_start" in taken)
    last = max(i for i, taken in enumerate(seen) if b"input_json_delta" in taken)
    cell.shows(told=starts < last)


@feature(HEADING, "thinking, with its signature", each(does(), chat=none("OpenAI's Chat Completions shows none")))
def test_thinking(cell: Cell):
    """The signature ends the block, so that the block can come back."""
    cell.ask(stream=True, tools=TOOLS)
    told = cell.streamed(*chunks(cell.column.key, Thought("Hm."), Used("a", "read"), stop="calls"))
    signed = deltas(told, "signature_delta")
    cell.shows(told="".join(d["thinking"] for d in deltas(told, "thinking_delta")) == "Hm." and len(signed) >= 1)


@feature(HEADING, "usage in `message_delta`", each(does()))
def test_usage(cell: Cell):
    """Claude Code shows what was used."""
    cell.ask(stream=True)
    told = cell.streamed(*chunks(cell.column.key, text("hi")))
    last = next(each for each in told if each["type"] == "message_delta")
    cell.shows(told=last["usage"]["output_tokens"] == 50 and last["usage"]["cache_read_input_tokens"] == 30)


@feature(HEADING, "a stop sequence over several pieces", each(does("matched by CCProxy")))
def test_stop_sequence(cell: Cell):
    """The sequence is never shown, however the text is cut."""
    cell.ask(stream=True, stop_sequences=["END"])
    if cell.is_relay:
        told = cell.streamed(*chunks("anthropic", text("one "), stop="sequence"))
    else:
        stream = cell.exchange.stream()
        for piece in chunks(cell.column.key, text("one E", "ND two")):
            stream.feed(piece)
        stream.close()
        told = events(stream.take())
    last = next(each for each in told if each["type"] == "message_delta")
    said = "".join(delta["text"] for delta in deltas(told, "text_delta"))
    cell.shows(told=(said, last["delta"]["stop_reason"]) == ("one ", "stop_sequence"))


@feature(
    HEADING,
    "bytes cut anywhere",
    each(does()),
)
def test_cut_anywhere(cell: Cell):
    """The network cuts inside characters."""
    cell.ask(stream=True)
    data = b"".join(chunks(cell.column.key, text("Grüße ", "aus Köln")))
    whole = cell.streamed(data)
    cell.shows(told=cell.streamed(*(data[i : i + 1] for i in range(len(data)))) == whole)


def proxied(cell: Cell, *steps: bytes | float) -> Proxy:
    """The service's core over this provider, which sends `steps`."""
    name = cell.column.key
    config = Config(
        providers=[ProviderConfig(name, type=cell.column.type, models=["m"])],
        routes={"default": RouteConfig(name, cell.model)},
    )
    serving = Serving()
    serving.move(Phase.SERVING, "serving")
    upstream = Upstream(cell.provider, ScriptedTransport(answer(*steps)))
    backend = Backend(Router(config), {name: upstream}, retry=RetryConfig(attempts=1))
    return Proxy(backend, Metrics(), serving)


@feature(
    HEADING,
    "`ping` in silence",
    each(does("by CCProxy")),
    "After 15 silent seconds CCProxy sends a `ping` of its own, also in Anthropic's streams.",
)
def test_pings(cell: Cell, monkeypatch: pytest.MonkeyPatch):
    """Claude Code gives a stream up after 300 silent seconds."""
    monkeypatch.setattr(message_stream, "PING_SECONDS", 0.01)
    first, *rest = _around_text(cell)

    async def run() -> list[bytes]:
        async with proxied(cell, first, 0.04, *rest).stream_message(cell.call(stream=True)) as stream:
            return [frames async for frames in stream]

    frames = asyncio.run(run())
    cell.shows(told=any(frame == b'event: ping\ndata: {"type":"ping"}\n\n' for frame in frames[1:-1]))


def _around_text(cell: Cell) -> list[bytes]:
    """A stream in two: up to its first text, and the rest."""
    frames = chunks(cell.column.key, text("It ", "rains."))
    first = next(i for i, piece in enumerate(frames) if b"It " in piece)
    return [b"".join(frames[: first + 1]), b"".join(frames[first + 1 :])]


ERRORS = {
    "anthropic": frame({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, "error"),
    "chat": frame({"error": {"message": "busy", "type": "overloaded_error", "code": "overloaded_error"}}),
    "responses": frame({"type": "error", "code": "overloaded_error", "message": "busy"}, "error"),
    "gemini": frame({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}),
    "deepseek": frame({"error": {"message": "busy", "type": "overloaded_error", "code": "overloaded_error"}}),
    "openrouter": frame({"error": {"code": 503, "message": "busy"}, "choices": []}),
}


@feature(
    HEADING,
    "an error in mid-stream",
    each(does("`overloaded_error`")),
    "What came before reaches the caller, then one `event: error` with Anthropic's type.",
)
def test_error(cell: Cell):
    """A client tries again by its type."""
    cell.ask(stream=True)
    stream = cell.exchange.stream()
    stream.feed(_around_text(cell)[0])
    with pytest.raises(ApiError) as raised:
        stream.feed(ERRORS[cell.column.key])
    assert b'"It "' in stream.take()
    cell.shows(told=raised.value.type == "overloaded_error" and stream.has_content)


@feature(
    HEADING,
    "an error before any content",
    each(does("a real status")),
    "An error as the first event of a stream is answered with its HTTP status, as if there had been no stream.",
)
def test_error_first(cell: Cell):
    """Clients try again by the status."""
    cell.ask(stream=True)

    async def run() -> int:
        core = proxied(cell, ERRORS[cell.column.key])
        with pytest.raises(ApiError) as raised:
            async with core.stream_message(cell.call(stream=True)):
                pass
        return raised.value.status

    cell.shows(told=asyncio.run(run()) == 529)


@feature(
    HEADING,
    "a stream that breaks off",
    each(does("an error")),
    "A stream without its provider's end is an error, never an `end_turn`.",
)
def test_broken_stream(cell: Cell):
    """An agent would take half an answer for a whole one."""
    cell.ask(stream=True)
    with pytest.raises(UpstreamProtocolError):
        cell.streamed(*chunks(cell.column.key, text("It ", "rains."), end=False))
    cell.shows(told=True)


@feature(
    HEADING,
    "comments and other noise of the provider",
    each(does("left out")),
)
def test_noise(cell: Cell):
    """OpenRouter and DeepSeek keep the connection alive by comments."""
    cell.ask(stream=True)
    frames = chunks(cell.column.key, text("It rains."))
    noisy = [piece for frame in frames for piece in (b": keep-alive\n\n", frame)]
    quiet = [each for each in cell.streamed(*frames) if each["type"] != "ping"]
    stream = cell.exchange.stream()
    for piece in noisy:
        stream.feed(piece)
    stream.close()
    told = b"".join(part + b"\n\n" for part in stream.take().split(b"\n\n") if part and not part.startswith(b":"))
    cell.shows(told=[each for each in events(told) if each["type"] != "ping"] == quiet)
