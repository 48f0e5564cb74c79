"""What each provider answers, whole and streamed, and what of it the provider must get back in later turns.

The shapes are those of the recordings. Each answer's words and state hold its number, so that a test can tell
where every one of them ends up.
"""

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct
from unit.chat import DONE, blocks, events, frame
from unit.gemini import frame as gemini_frame
from unit.responses import event, response

from ccproxy.provider import Exchange
from ccproxy.providers.gemini.state import STAND_IN

Json = dict[str, Any]
ID = "msg_reply"


class Kind(Struct, frozen=True):
    """What an answer holds: thinking, a text, some calls."""

    thought: bool = False
    text: bool = False
    calls: int = 0

    @property
    def name(self) -> str:
        """For a test's name."""
        return "-".join(
            [*["thought"] * self.thought, *["text"] * self.text, *[f"{self.calls}calls"] * (self.calls > 0)]
        )


KINDS = (
    Kind(text=True),
    Kind(thought=True, text=True),
    Kind(calls=1),
    Kind(thought=True, calls=1),
    Kind(calls=3),
    Kind(thought=True, calls=3),
    Kind(thought=True, text=True, calls=2),
)


class Reply(Struct, frozen=True):
    """An answer.

    Attributes:
        whole: The body of a whole answer.
        stream: The body of a streamed one.
        back: What goes back to its provider in later requests, in the provider's words.
        state: The provider's own state in it: nobody else may see it.
    """

    whole: bytes
    stream: bytes
    back: Any
    state: tuple[str, ...] = ()


def thought_of(number: int) -> str:
    """The thinking of an answer."""
    return f"thought<{number}>"


def text_of(number: int) -> str:
    """The text of an answer."""
    return f"text<{number}>"


def state_of(number: int) -> str:
    """A state: base64, as all of them are."""
    return base64.b64encode(f"state of {number:06}".encode()).decode()


def input_of(number: int, call: int) -> str:
    """A call's input."""
    return f'{{"path":"file<{number}.{call}>","b":[1,2.5],"a":null}}'


def content_of(exchange: Exchange, reply: Reply, *, streamed: bool) -> list[Json]:
    """The content that a client keeps of an answer."""
    if not streamed:
        whole: list[Json] = msgspec.json.decode(exchange.answer(reply.whole).body)["content"]
        return whole
    stream = exchange.stream()
    stream.feed(reply.stream)
    stream.close()
    return kept(blocks(events(stream.take())))


def kept(content: list[Json]) -> list[Json]:
    """Blocks as a client keeps them, with all state; half a call is none: a stream cannot take it back."""
    found: list[Json] = []
    for block in content:
        if not isinstance(block.get("input"), str):
            found.append(block)
            continue
        with suppress(msgspec.DecodeError):
            found.append({**block, "input": msgspec.json.decode(block["input"] or "{}")})
    return found


def _anthropic_frames(content: list[Json], stop: str, usage: Json) -> bytes:
    start = {"id": ID, "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    documents: list[Json] = [
        {"type": "message_start", "message": {**start, "stop_sequence": None, "usage": usage}}
    ]
    for index, block in enumerate(content):
        empty = {name: "" for name in ("thinking", "signature", "text") if name in block}
        opened = {**block, **empty, **({"input": {}} if "input" in block else {})}
        deltas = [{"type": f"{name}_delta", name: block[name]} for name in empty]
        if "input" in block:
            deltas.append(
                {"type": "input_json_delta", "partial_json": msgspec.json.encode(block["input"]).decode()}
            )
        documents.append({"type": "content_block_start", "index": index, "content_block": opened})
        documents += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        documents.append({"type": "content_block_stop", "index": index})
    end = {"stop_reason": stop, "stop_sequence": None}
    documents += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
    return b"".join(f"event: {d['type']}\n".encode() + frame(d) for d in documents)


def _anthropic(kind: Kind, number: int) -> Reply:
    content: list[Json] = []
    if kind.thought:
        content.append({"type": "thinking", "thinking": thought_of(number), "signature": state_of(number)})
    if kind.text:
        content.append({"type": "text", "text": text_of(number)})
    for call in range(kind.calls):
        given = msgspec.json.decode(input_of(number, call))
        content.append({"type": "tool_use", "id": f"toolu_{number}_{call}", "name": "Read", "input": given})
    stop, usage = "tool_use" if kind.calls else "end_turn", {"input_tokens": 9, "output_tokens": 5}
    message = {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": stop,
    }
    whole = msgspec.json.encode({**message, "stop_sequence": None, "usage": usage})
    return Reply(whole, _anthropic_frames(content, stop, usage), content, (state_of(number),))


def _chat_reply(
    kind: Kind, number: int, thinking: Json, pieces: list[Json], back: Json, state: tuple[str, ...]
) -> Reply:
    said = {"content": text_of(number) if kind.text else None}
    calls = [
        {
            "id": f"call_{number}_{call}",
            "type": "function",
            "function": {"name": "Read", "arguments": input_of(number, call)},
        }
        for call in range(kind.calls)
    ]
    finish = "tool_calls" if calls else "stop"
    message = {"role": "assistant", **said, **thinking, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    whole = msgspec.json.encode({"id": ID, "choices": [choice], "usage": usage})
    deltas = [{"role": "assistant", "content": ""}, *pieces, *[said] * kind.text]
    for index, call in enumerate(calls):
        deltas.append({"tool_calls": [{"index": index, **call, "function": {"name": "Read", "arguments": ""}}]})
        arguments = input_of(number, index)
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in (arguments[:9], arguments[9:])
        ]
    frames = [{"id": ID, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    frames += [{"id": ID, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]
    frames += [{"id": ID, "choices": [], "usage": usage}]
    sent = {
        "role": "assistant",
        "content": said["content"] or "",
        **({"tool_calls": calls} if calls else {}),
        **back,
    }
    return Reply(whole, b"".join(map(frame, frames)) + DONE, sent, state)


def _chat(kind: Kind, number: int) -> Reply:
    thinking = {"reasoning_content": thought_of(number)} if kind.thought else {}
    return _chat_reply(kind, number, thinking, [thinking] if thinking else [], {}, ())


def _deepseek(kind: Kind, number: int) -> Reply:
    thinking = {"reasoning_content": thought_of(number)} if kind.thought else {}
    pieces = [{"reasoning_content": ""}, {"reasoning_content": "thought"}, {"reasoning_content": f"<{number}>"}]
    back = thinking or ({"reasoning_content": ""} if kind.calls else {})  # beside calls it has to be there
    return _chat_reply(kind, number, thinking, pieces if kind.thought else [], back, ())


def _openrouter(kind: Kind, number: int) -> Reply:
    if not kind.thought:
        return _chat_reply(kind, number, {}, [], {}, ())
    shown, hidden = state_of(number), state_of(number + 500_000)
    whole = {
        "type": "reasoning.text",
        "text": thought_of(number),
        "signature": shown,
        "format": "unknown",
        "index": 0,
    }
    secret = {"type": "reasoning.encrypted", "data": hidden, "format": "unknown", "index": 1}
    same = {"type": "reasoning.text", "format": "unknown", "index": 0}
    pieces = [
        {"reasoning": "thought", "reasoning_details": [{**same, "text": "thought"}]},
        {"reasoning": f"<{number}>", "reasoning_details": [{**same, "text": f"<{number}>"}]},
        {"reasoning_details": [{**same, "signature": shown}]},
        {"reasoning_details": [secret]},
    ]
    details = {"reasoning_details": [whole, secret]}
    return _chat_reply(
        kind, number, {"reasoning": thought_of(number), **details}, pieces, details, (shown, hidden)
    )


def _responses(kind: Kind, number: int) -> Reply:
    output: list[Json] = []
    back: list[Json] = []
    if kind.thought:
        summary = [{"type": "summary_text", "text": thought_of(number)}]
        item = {
            "type": "reasoning",
            "id": f"rs_{number:06}",
            "summary": summary,
            "encrypted_content": state_of(number),
        }
        output.append(item)
        back.append(item)
    if kind.text:
        part = {"type": "output_text", "text": text_of(number)}
        output.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "content": [{**part, "annotations": []}],
            }
        )
        back.append({"type": "message", "role": "assistant", "content": [part]})
    for call in range(kind.calls):
        made = {
            "type": "function_call",
            "call_id": f"call_{number}_{call}",
            "name": "Read",
            "arguments": input_of(number, call),
        }
        output.append({**made, "id": f"fc_{number}_{call}", "status": "completed"})
        back.append(made)
    frames = event("created", response=response(status="in_progress"))
    for index, item in enumerate(output):
        at: Mapping[str, Any] = {"output_index": index}
        if item["type"] == "function_call":
            frames += event("output_item.added", item={**item, "arguments": ""}, **at)
            frames += event("function_call_arguments.delta", delta=item["arguments"], **at)
        elif item["type"] == "reasoning":
            frames += event("output_item.added", item={**item, "summary": [], "encrypted_content": ""}, **at)
            frames += event("reasoning_summary_text.delta", delta=thought_of(number), summary_index=0, **at)
        else:
            frames += event("output_item.added", item={**item, "content": []}, **at)
            frames += event("output_text.delta", delta=text_of(number), content_index=0, **at)
        frames += event("output_item.done", item=item, **at)
    whole = response(*output)
    frames += event("completed", response=whole)
    return Reply(msgspec.json.encode(whole), frames, back, (state_of(number), f"rs_{number:06}"))


def _gemini(kind: Kind, number: int, *, third: bool = True) -> Reply:
    parts: list[Json] = []
    if kind.thought:
        parts.append({"text": thought_of(number), "thought": True})
    signed = {"thoughtSignature": state_of(number)} if kind.thought else {}
    if kind.text:
        parts.append({"text": text_of(number), **(signed if third and not kind.calls else {})})
        parts += [{"text": "", **signed}] if signed and not third and not kind.calls else []  # as 2.5 does it
    for call in range(kind.calls):
        made = {"functionCall": {"name": "Read", "args": msgspec.json.decode(input_of(number, call))}}
        parts.append({**made, **(signed if call == 0 else {})})
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 5}
    documents = [
        {
            "candidates": [
                {
                    "content": {"role": "model", "parts": [part]},
                    "index": 0,
                    **({"finishReason": "STOP"} if last else {}),
                }
            ],
            "usageMetadata": usage,
            "responseId": f"r{number}",
        }
        for part, last in ((part, part is parts[-1]) for part in parts)
    ]
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": "STOP"}
    whole = msgspec.json.encode({"candidates": [candidate], "usageMetadata": usage, "responseId": f"r{number}"})
    back = [part for part in parts if part.get("text") != "" and not part.get("thought")]
    if not kind.calls:  # behind a last text there is no place for its state
        back, signed = [{name: part[name] for name in part if name != "thoughtSignature"} for part in back], {}
    unsigned = next((part for part in back if "functionCall" in part), {})
    if third and unsigned and not kind.thought:
        back = [{**part, "thoughtSignature": STAND_IN} if part is unsigned else part for part in back]
    return Reply(whole, b"".join(map(gemini_frame, documents)), back, (state_of(number),) if signed else ())


MADE_BY: Mapping[str, Callable[[Kind, int], Reply]] = {
    "anthropic": _anthropic,
    "openai_chat": _chat,
    "openai_responses": _responses,
    "gemini": _gemini,
    "gemini_2": partial(_gemini, third=False),
    "deepseek": _deepseek,
    "openrouter": _openrouter,
    "openrouter_claude": _openrouter,
}
"""Makes an answer of a wire."""
