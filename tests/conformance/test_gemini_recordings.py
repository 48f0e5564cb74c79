"""Gemini against recorded answers, of the Gemini API and of Vertex AI."""

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import anthropic
import httpx2
import msgspec
from anthropic.types import MessageParam
from conformance.recordings import Recording, all_recordings, each
from conformance.replies import kept
from unit.chat import blocks, events
from unit.gemini import exchange, provider

from ccproxy import sse
from ccproxy.errors import ApiError, UpstreamProtocolError

GENERATED = [r for r in all_recordings() if r.facts.provider == "gemini" and "generateContent" in r.facts.api]
STREAMS = [r for r in GENERATED if r.facts.http_status == 200 and r.is_stream]
WHOLE = [r for r in GENERATED if r.facts.http_status == 200 and not r.is_stream]
ERRORS = [r for r in all_recordings() if r.facts.provider == "gemini" and r.facts.http_status >= 400]
COUNTS = [r for r in all_recordings() if r.facts.provider == "gemini" and r.facts.api == "count_tokens"]
BYTEWISE = 20_000  # a stream up to this size is also fed byte by byte

FAILED = (ApiError, UpstreamProtocolError)
FAILURES = {"UNEXPECTED_TOOL_CALL", "MALFORMED_FUNCTION_CALL"}  # finishes whose answer must not be acted on


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
    """The documents of a recorded answer."""
    if recording.is_stream:
        decoder = sse.Decoder()
        found = decoder.feed(recording.response) + decoder.close()
        return [msgspec.json.decode(event.data) for event in found]
    body = msgspec.json.decode(recording.response)
    return body if isinstance(body, list) else [body]


def candidates(recording: Recording) -> list[dict[str, Any]]:
    """Every candidate in an answer."""
    return [each for document in documents(recording) for each in document.get("candidates", ())]


def parts(recording: Recording) -> list[dict[str, Any]]:
    """Every part in an answer."""
    return [part for each in candidates(recording) for part in each.get("content", {}).get("parts", ())]


def added_up(recording: Recording) -> dict[str, Any]:
    """The whole answer that a stream's chunks add up to: a text is one part there, with its state."""
    added: list[dict[str, Any]] = []
    for part in parts(recording):
        last = added[-1] if added else {}
        goes_on = "text" in part and "text" in last and part.get("thought") == last.get("thought")
        if goes_on and not ("thoughtSignature" in part and "thoughtSignature" in last):
            added[-1] = {**last, **part, "text": last["text"] + part["text"]}
        else:
            added.append(part)
    ends = [each for each in candidates(recording) if each.get("finishReason")]
    grounded = [each["groundingMetadata"] for each in candidates(recording) if "groundingMetadata" in each]
    grounding = {"groundingMetadata": grounded[-1]} if grounded else {}
    end = {**ends[-1], **grounding, "index": 0, "content": {"parts": added, "role": "model"}}
    return {**documents(recording)[-1], "candidates": [end]}


def has_failed(recording: Recording) -> bool:
    """Whether the answer was given up."""
    return any(each.get("finishReason") in FAILURES for each in candidates(recording))


@each(STREAMS)
def test_the_cut_of_the_bytes_does_not_matter(recording: Recording):
    """The network cuts anywhere."""
    body = recording.response
    whole = translated([body])
    chance = random.Random(recording.name)  # noqa: S311  # the same cuts each time

    for size in (1,) if len(body) <= BYTEWISE else ():
        assert translated(body[i : i + size] for i in range(0, len(body), size)) == whole
    for _ in range(3):
        places = [0, *sorted(chance.sample(range(len(body)), min(40, len(body)))), len(body)]
        assert translated(body[a:b] for a, b in pairwise(places)) == whole


@each(STREAMS)
def test_a_stream_keeps_the_grammar(recording: Recording):
    """And it is whole, unless the answer was given up."""
    frames, failure = translated([recording.response])
    kinds = [document["type"] for document in events(frames)]

    assert kinds[0] == "message_start"
    assert bool(failure) is has_failed(recording), failure
    if not failure:
        assert kinds[-2:] == ["message_delta", "message_stop"]
    blocks(events(frames))  # checks the numbers
    depth = 0
    for kind in kinds:
        depth += {"content_block_start": 1, "content_block_stop": -1}.get(kind, 0)
        assert depth == 1 if kind in {"content_block_start", "content_block_delta"} else depth == 0


@each(STREAMS)
def test_the_official_sdk_reads_the_same(recording: Recording):
    """It is what most clients are built on."""
    frames, failure = translated([recording.response])
    if failure:
        assert has_failed(recording)
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
    ours = blocks(events(frames))
    assert [block.type for block in message.content] == [block["type"] for block in ours]
    for theirs, block in zip(message.content, ours, strict=True):
        if theirs.type == "tool_use":
            assert theirs.input == msgspec.json.decode(block["input"])
        elif theirs.type == "text":
            assert theirs.text == block["text"]
        elif theirs.type == "thinking":
            assert (theirs.thinking, theirs.signature) == (block["thinking"], block["signature"])
    assert message.stop_reason == end["delta"]["stop_reason"]
    assert message.usage.output_tokens == end["usage"]["output_tokens"]


@each(STREAMS)
def test_a_stream_is_its_whole_answer(recording: Recording):
    """A client gets the same either way: the chunks as a list are one body, and so is what they add up to."""
    frames, failure = translated([recording.response])
    if failure:
        assert has_failed(recording)
        return
    written = events(frames)
    whole = msgspec.json.decode(exchange().answer(msgspec.json.encode(documents(recording))).body)
    folded = msgspec.json.decode(exchange().answer(msgspec.json.encode(added_up(recording))).body)

    assert whole["content"] == folded["content"] == kept(blocks(written))
    assert whole["stop_reason"] == written[-2]["delta"]["stop_reason"]
    assert whole["usage"] == written[-2]["usage"]


@each(WHOLE)
def test_a_whole_answer_is_read(recording: Recording):
    """Every text and every call, unless the answer was given up."""
    try:
        message = msgspec.json.decode(exchange().answer(recording.response).body)
    except ApiError:
        assert has_failed(recording)
        return

    said = parts(recording)
    texts = "".join(part.get("text", "") for part in said if not part.get("thought"))
    if not any("executableCode" in part or "codeExecutionResult" in part for part in said):
        assert "".join(block.get("text", "") for block in message["content"]) == texts
    calls = [part["functionCall"] for part in said if "functionCall" in part]
    read = [block for block in message["content"] if block["type"] == "tool_use"]
    assert [(c["name"], c.get("args", {})) for c in calls] == [(b["name"], b["input"]) for b in read]
    assert len({block["id"] for block in read}) == len(read)
    assert message["stop_reason"] in {"end_turn", "max_tokens", "tool_use", "refusal"}
    assert bool(read) is (message["stop_reason"] == "tool_use")


@each([*STREAMS, *WHOLE])
def test_every_signature_comes_back_on_its_part(recording: Recording):
    """A call without its own state is refused, and so is one with another's. A last text has no place for one."""
    body = msgspec.json.encode(documents(recording))
    if has_failed(recording) or any("willContinue" in p.get("functionCall", {}) for p in parts(recording)):
        return
    content = msgspec.json.decode(exchange().answer(body).body)["content"]
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]
    sent = msgspec.json.decode(exchange(*turns, {"role": "user", "content": "on"}).request.body or b"")
    returned = [part for each in sent["contents"] if each["role"] == "model" for part in each["parts"]]

    def signed(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [
            (part["functionCall"]["name"] if "functionCall" in part else "", part["thoughtSignature"])
            for part in found
            if part.get("thoughtSignature") and ("functionCall" in part or "text" in part)
        ]

    stand_in = "skip_thought_signature_validator"
    expected = signed(parts(recording))
    said = [part for part in parts(recording) if "functionCall" in part or "text" in part]
    if expected and not expected[-1][0] and "functionCall" not in said[-1]:
        expected.pop()
    assert [pair for pair in signed(returned) if pair[1] != stand_in] == expected


@each([*STREAMS, *WHOLE])
def test_usage_adds_up(recording: Recording):
    """The caller is billed by it: no token is lost or counted twice."""
    counts = [d["usageMetadata"] for d in documents(recording) if "promptTokenCount" in d.get("usageMetadata", {})]
    if has_failed(recording) or not counts:
        return
    if recording.is_stream:
        stream = exchange(stream=True).stream()
        stream.feed(recording.response)
        stream.close()
        usage = stream.usage
    else:
        usage = exchange().answer(recording.response).usage

    last = counts[-1]
    total = (usage.input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    assert total == last["promptTokenCount"] + last.get("toolUsePromptTokenCount", 0)
    assert (usage.output_tokens or 0) == last.get("candidatesTokenCount", 0) + last.get("thoughtsTokenCount", 0)


@each(ERRORS)
def test_an_error_keeps_its_class(recording: Recording):
    """Clients retry a 5xx and mend a 4xx; only a refused key is ours, and only then 502."""
    status = recording.facts.http_status
    failure = provider().error(status, recording.facts.response_headers, recording.response)

    refused = status in {401, 403} or b"API_KEY_INVALID" in recording.response
    assert failure.status // 100 == (5 if refused else status // 100)
    assert failure.upstream_status == status
    assert failure.message


@each(COUNTS)
def test_tokens_are_counted(recording: Recording):
    """By Gemini itself."""
    assert provider().count(recording.response) == msgspec.json.decode(recording.response)["totalTokens"]
