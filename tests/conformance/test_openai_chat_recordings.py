"""Chat Completions against recorded answers of OpenAI, DeepSeek and OpenRouter, each in its own dialect."""

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
from unit.chat import blocks, events, exchange, provider

from ccproxy import sse
from ccproxy.errors import ApiError, UpstreamProtocolError
from ccproxy.providers.deepseek import DEEPSEEK
from ccproxy.providers.openai_chat import OPENAI, Dialect
from ccproxy.providers.openrouter import OPENROUTER

DIALECTS = {"openai": OPENAI, "deepseek": DEEPSEEK, "openrouter": OPENROUTER}
PROVIDERS = tuple(DIALECTS)
CHAT = recordings(*PROVIDERS, api="chat.completions")
STREAMS = [r for r in CHAT if r.facts.http_status == 200 and r.is_stream]
WHOLE = [r for r in CHAT if r.facts.http_status == 200 and not r.is_stream]
ERRORS = [r for r in CHAT if r.facts.http_status >= 400]
BYTEWISE = 20_000  # a stream up to this size is also fed byte by byte

FAILED = (ApiError, UpstreamProtocolError)


def dialect_of(recording: Recording) -> Dialect:
    """The dialect of a recording's provider."""
    return DIALECTS[recording.facts.provider]


def translated(pieces: Iterable[bytes], dialect: Dialect) -> tuple[bytes, str]:
    """The frames that a stream gives, and how it fails if it does."""
    stream = exchange(stream=True, dialect=dialect).stream()
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


def is_failure(document: dict[str, Any]) -> bool:
    """Whether it holds an error."""
    return bool(document.get("error"))


def folded(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole answer that a stream's chunks add up to."""
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    finish = None
    for choice in (choice for chunk in chunks for choice in chunk["choices"] or () if choice["index"] == 0):
        finish = choice.get("finish_reason") or finish
        for name, value in (choice.get("delta") or {}).items():
            if name == "tool_calls":
                for piece in value or ():
                    known = calls.setdefault(piece["index"], {"id": piece.get("id"), "function": {}})
                    for member, text in piece.get("function", {}).items():
                        known["function"][member] = known["function"].get(member, "") + (text or "")
            elif name == "reasoning_details":
                message[name] = message.get(name, []) + (value or [])
            elif name != "role" and isinstance(value, str):
                message[name] = message.get(name, "") + value
    message["tool_calls"] = list(calls.values())
    told = [chunk for chunk in chunks if chunk.get("usage")]
    counted = {name: told[-1].get(name) for name in ("usage", "service_tier")} if told else {}
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return {"id": chunks[0]["id"], "choices": choices, **counted}


def is_whole(call: dict[str, Any]) -> bool:
    """Whether a call's arguments are one JSON object."""
    try:
        return isinstance(msgspec.json.decode(call["function"].get("arguments") or "{}"), dict)
    except msgspec.DecodeError:
        return False


@each(STREAMS)
def test_the_cut_of_the_bytes_does_not_matter(recording: Recording):
    """The network cuts anywhere."""
    body = recording.response
    whole = translated([body], dialect_of(recording))
    chance = random.Random(recording.name)  # noqa: S311  # the same cuts each time

    for size in (1,) if len(body) <= BYTEWISE else ():
        assert translated((body[i : i + size] for i in range(0, len(body), size)), dialect_of(recording)) == whole
    for _ in range(3):
        places = [0, *sorted(chance.sample(range(len(body)), min(40, len(body)))), len(body)]
        assert translated((body[a:b] for a, b in pairwise(places)), dialect_of(recording)) == whole


@each(STREAMS)
def test_a_stream_keeps_the_grammar(recording: Recording):
    """And it is whole, unless the provider itself reported a failure."""
    frames, failure = translated([recording.response], dialect_of(recording))
    kinds = [document["type"] for document in events(frames)]

    assert kinds[0] == "message_start"
    assert bool(failure) is any(map(is_failure, documents(recording)))
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
    frames, failure = translated([recording.response], dialect_of(recording))
    if failure:
        assert any(map(is_failure, documents(recording)))
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
            assert end["delta"]["stop_reason"] == "max_tokens" or theirs.input == msgspec.json.decode(
                block["input"] or "{}"
            )
        elif theirs.type == "text":
            assert theirs.text == block["text"]
    assert message.stop_reason == end["delta"]["stop_reason"]
    assert message.usage.output_tokens == end["usage"]["output_tokens"]


@each(STREAMS)
def test_a_stream_is_its_whole_answer(recording: Recording):
    """A client gets the same either way."""
    chunks = documents(recording)
    if any(map(is_failure, chunks)):
        assert translated([recording.response], dialect_of(recording))[1]
        return
    completion = folded(chunks)
    written = events(translated([recording.response], dialect_of(recording))[0])
    answer = exchange(dialect=dialect_of(recording)).answer(msgspec.json.encode(completion))
    whole = msgspec.json.decode(answer.body)

    assert kept(blocks(written)) == kept(whole["content"])
    assert written[0]["message"]["id"] == whole["id"]
    assert written[-2]["delta"]["stop_reason"] == whole["stop_reason"]
    assert written[-2]["usage"] == whole["usage"]


@each(WHOLE)
def test_a_whole_answer_is_read(recording: Recording):
    """Unless it is an error, a kind of tool never asked for, or a call cut short that claims to be whole."""
    document = msgspec.json.decode(recording.response)
    try:
        message = msgspec.json.decode(exchange(dialect=dialect_of(recording)).answer(recording.response).body)
    except FAILED as failure:
        calls = [] if is_failure(document) else document["choices"][0]["message"].get("tool_calls") or []
        broken = any("function" not in call or not is_whole(call) for call in calls)
        assert broken if isinstance(failure, UpstreamProtocolError) else is_failure(document)  # noqa: PT017
        return

    said = document["choices"][0]["message"]
    content = message["content"]
    texts = "".join(block.get("text", "") for block in content)
    made = sum(block["type"] == "tool_use" for block in content)
    assert texts == (said["content"] or "") + (said.get("refusal") or "")
    assert made <= len(said.get("tool_calls") or said.get("function_call") or [])
    assert message["stop_reason"] in {"end_turn", "max_tokens", "tool_use", "refusal"}
    assert bool(made) is (message["stop_reason"] == "tool_use") or message["stop_reason"] == "max_tokens"


@each([*STREAMS, *WHOLE])
def test_usage_adds_up(recording: Recording):
    """The caller is billed by it: no token is lost or counted twice."""
    if recording.is_stream:
        stream = exchange(stream=True, dialect=dialect_of(recording)).stream()
        found = documents(recording)
        if any(map(is_failure, found)):
            return  # there is no answer to pay for
        stream.feed(recording.response)
        usage, counts = stream.usage, [d["usage"] for d in found if d.get("usage")]
    else:
        counts = [msgspec.json.decode(recording.response).get("usage")]
        try:
            usage = exchange(dialect=dialect_of(recording)).answer(recording.response).usage
        except FAILED:
            return  # the same; `test_a_whole_answer_is_read` says which these may be
    if not counts:
        assert usage.input_tokens is msgspec.UNSET
        return

    total = sum(
        count or 0
        for count in (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    )
    assert total >= counts[-1]["prompt_tokens"]
    if usage.input_tokens:
        assert total == counts[-1]["prompt_tokens"]
    assert usage.output_tokens == counts[-1]["completion_tokens"]


@each(ERRORS)
def test_an_error_keeps_its_class(recording: Recording):
    """Clients retry a 5xx and mend a 4xx; only a refused key is ours, and only then 502."""
    status = recording.facts.http_status
    failure = provider(dialect=dialect_of(recording)).error(
        status, recording.facts.response_headers, recording.response
    )

    assert failure.status // 100 == (5 if status in {401, 403} else status // 100)
    assert failure.upstream_status == status
    assert failure.message


@each([r for r in recordings(*PROVIDERS, api="models") if r.facts.http_status == 200])
def test_models_are_listed(recording: Recording):
    """Every provider's list has this shape."""
    ids = [model["id"] for model in msgspec.json.decode(recording.response)["data"]]

    assert [model.id for model in provider(dialect=dialect_of(recording)).models(recording.response).models] == ids


def reasoned(content: list[dict[str, Any]], recording: Recording) -> dict[str, Any]:
    """The message that goes back upstream for an answer with this content."""
    answer = [{**b, "input": {}} if b["type"] == "tool_use" else b for b in content]
    model = msgspec.json.decode(recording.request or b"{}").get("model", "unknown")
    turns = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "go"},
    )
    body = exchange(*turns, model=model, dialect=dialect_of(recording)).request.body or b""
    found: dict[str, Any] = msgspec.json.decode(body)["messages"][1]
    return found


@each([r for r in [*STREAMS, *WHOLE] if r.facts.provider != "openai"])
def test_reasoning_goes_back_as_it_came(recording: Recording):
    """The provider refuses tool results without it, or thinks anew."""
    found = documents(recording) if recording.is_stream else [msgspec.json.decode(recording.response)]
    if any(map(is_failure, found)):
        return
    model = msgspec.json.decode(recording.request or b"{}").get("model", "unknown")
    dialect = dialect_of(recording)
    if recording.is_stream:
        said = folded(found)["choices"][0]["message"]
        stream = exchange(stream=True, model=model, dialect=dialect).stream()
        stream.feed(recording.response)
        content = blocks(events(stream.take()))
    else:
        said = found[0]["choices"][0]["message"]
        try:
            content = msgspec.json.decode(exchange(model=model, dialect=dialect).answer(recording.response).body)[
                "content"
            ]
        except FAILED:
            return
    if not any(block["type"] in {"text", "tool_use"} for block in content):
        return  # an answer cut in its reasoning is no message

    back = reasoned(content, recording)
    if recording.facts.provider == "deepseek":
        assert back.get("reasoning_content", "") == (said.get("reasoning_content") or "")
        return
    ours, theirs = back.get("reasoning_details") or [], said.get("reasoning_details") or []
    for member in ("text", "summary", "signature", "data"):
        assert "".join(d.get(member) or "" for d in ours) == "".join(d.get(member) or "" for d in theirs)
