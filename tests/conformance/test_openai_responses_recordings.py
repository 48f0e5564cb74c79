"""The Responses API against recorded answers of OpenAI, DeepSeek and OpenRouter.

The two others speak the same in all that is tested here; OpenRouter once left out an answer's status.
"""

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import anthropic
import httpx2
import msgspec
from anthropic.types import MessageParam
from conformance.recordings import Recording, each, recordings
from conformance.replies import kept
from unit.chat import blocks, events
from unit.responses import exchange, provider

from ccproxy import sse
from ccproxy.errors import ApiError, UpstreamProtocolError

RESPONSES = recordings("openai", "deepseek", "openrouter", api="responses")
STREAMS = [r for r in RESPONSES if r.facts.http_status == 200 and r.is_stream]
WHOLE = [r for r in RESPONSES if r.facts.http_status == 200 and not r.is_stream]
ERRORS = [r for r in RESPONSES if r.facts.http_status >= 400]
BYTEWISE = 20_000  # a stream up to this size is also fed byte by byte

FAILED = (ApiError, UpstreamProtocolError)


def translated(pieces: Iterable[bytes]) -> tuple[bytes, str]:
    """The frames that a stream gives, and how it fails if it does."""
    stream = exchange(stream=True).stream()
    frames = b""
    try:
        for piece in pieces:
            stream.feed(piece)
            frames += stream.take()
        stream.close()
    except FAILED as failure:
        return frames + stream.take(), repr(failure)
    return frames + stream.take(), ""


def documents(recording: Recording) -> list[dict[str, Any]]:
    """The documents of a recorded stream."""
    decoder = sse.Decoder()
    found = decoder.feed(recording.response) + decoder.close()
    return [msgspec.json.decode(event.data) for event in found if event.data.strip() != b"[DONE]"]


def last(recording: Recording) -> dict[str, Any] | None:
    """The whole answer that a stream ends with; None where it fails."""
    ends = [d for d in documents(recording) if d["type"] in {"response.completed", "response.incomplete"}]
    return ends[-1]["response"] if ends else None


@each(STREAMS)
def test_where_the_network_cuts_does_not_matter(recording: Recording):
    """Neither in what is sent nor in how it fails."""
    body = recording.response
    whole = translated([body])
    if len(body) <= BYTEWISE:
        assert translated(bytes([byte]) for byte in body) == whole
    generator = random.Random(recording.name)  # noqa: S311  # repeatable, not secret
    for _ in range(8):
        cuts = sorted(generator.randrange(len(body)) for _ in range(12))
        assert translated(body[a:b] for a, b in pairwise([0, *cuts, len(body)])) == whole


@each(STREAMS)
def test_a_stream_cut_short_is_never_whole(recording: Recording):
    """Truncation must not look like success."""
    body = recording.response
    ends = [body.find(f'"type":"response.{end}"'.encode()) for end in ("completed", "incomplete", "failed")]
    frames, failure = translated([body[: max(ends)].rpartition(b"\n\n")[0]])

    assert failure
    assert b"message_stop" not in frames


@each(STREAMS)
def test_the_official_sdk_accepts_it(recording: Recording):
    """It is what most callers read a stream with."""
    frames, failure = translated([recording.response])
    if failure:
        assert last(recording) is None
        return
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=frames))
    turn: MessageParam = {"role": "user", "content": "hi"}
    with (
        httpx2.Client(transport=transport) as http,
        anthropic.Anthropic(api_key="none", http_client=http, max_retries=0) as client,
        client.messages.stream(model="claude", max_tokens=1, messages=[turn]) as stream,
    ):
        message = stream.get_final_message()

    end = events(frames)[-2]
    assert [block.type for block in message.content] == [block["type"] for block in blocks(events(frames))]
    assert message.stop_reason == end["delta"]["stop_reason"]
    assert message.usage.output_tokens == end["usage"]["output_tokens"]


@each(STREAMS)
def test_a_stream_is_its_whole_answer(recording: Recording):
    """A client gets the same either way; the last event holds the whole answer."""
    written = events(translated([recording.response])[0])
    document = last(recording)
    if document is None:
        assert translated([recording.response])[1]
        return
    items = [d["item"] for d in documents(recording) if d["type"] == "response.output_item.done"]
    whole = msgspec.json.decode(exchange().answer(msgspec.json.encode({**document, "output": items})).body)

    assert kept(blocks(written)) == kept(whole["content"])
    assert written[0]["message"]["id"] == whole["id"]
    assert written[-2]["delta"]["stop_reason"] == whole["stop_reason"]
    assert written[-2]["usage"] == whole["usage"]


@each(WHOLE)
def test_a_whole_answer_is_read(recording: Recording):
    """Unless it does not say that it is ended."""
    document = msgspec.json.decode(recording.response)
    try:
        message = msgspec.json.decode(exchange().answer(recording.response).body)
    except FAILED:
        assert document.get("status") not in {"completed", "incomplete"}
        return

    parts = [part for item in document["output"] if item["type"] == "message" for part in item["content"]]
    said = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
    calls = [item["call_id"] for item in document["output"] if item["type"] == "function_call"]
    content = message["content"]
    assert "".join(block.get("text", "") for block in content) == said
    assert [block["id"] for block in content if block["type"] == "tool_use"] == calls
    assert bool(calls) is (message["stop_reason"] == "tool_use")
    assert message["stop_reason"] in {"end_turn", "max_tokens", "tool_use", "refusal"}


@each([*STREAMS, *WHOLE])
def test_usage_adds_up(recording: Recording):
    """The caller is billed by it: no token is lost or counted twice."""
    if recording.is_stream:
        stream = exchange(stream=True).stream()
        document = last(recording)
        if document is None:
            return  # there is no answer to pay for
        stream.feed(recording.response)
        usage = stream.usage
    else:
        document = msgspec.json.decode(recording.response)
        try:
            usage = exchange().answer(recording.response).usage
        except FAILED:
            return  # there is no answer to pay for
    counts = document.get("usage")
    if not counts:
        assert usage.input_tokens is msgspec.UNSET
        return

    total = sum(
        count or 0
        for count in (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    )
    assert total == counts["input_tokens"]
    assert usage.output_tokens == counts["output_tokens"]


@each(ERRORS)
def test_an_error_keeps_its_class(recording: Recording):
    """Clients retry a 5xx and mend a 4xx; only a refused key is ours, and only then 502."""
    status = recording.facts.http_status
    failure = provider().error(status, recording.facts.response_headers, recording.response)

    assert failure.status // 100 == (5 if status in {401, 403} else status // 100)
    assert failure.upstream_status == status
    assert failure.message


@each([r for r in recordings("openai", api="count_tokens") if r.facts.http_status == 200])
def test_a_count_is_read(recording: Recording):
    """It is the provider's own."""
    assert provider().count(recording.response) == msgspec.json.decode(recording.response)["input_tokens"]
