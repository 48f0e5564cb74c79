"""Plausible answers of each provider, from one description.

The shapes are those of the providers' references and of recorded answers; nothing here is read from the code that
is tested.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

Stop = Literal["end", "limit", "calls", "refusal", "sequence"]


class Text(Struct, frozen=True):
    """Something said, in pieces where it is streamed."""

    pieces: tuple[str, ...]


class Thought(Struct, frozen=True):
    """Something thought, with the state that the provider wants back."""

    text: str
    state: str = "state-1"


class Used(Struct, frozen=True):
    """A call; `pieces` are its arguments, in pieces where they are streamed."""

    id: str
    name: str
    pieces: tuple[str, ...] = ("{}",)


Part = Text | Thought | Used


class Tokens(Struct, frozen=True):
    """What an answer cost; the prompt counts what was cached."""

    prompt: int = 100
    cached: int = 30
    written: int = 20
    said: int = 40
    thought: int = 10


TOKENS = Tokens()


def text(*pieces: str) -> Text:
    """Text in pieces."""
    return Text(pieces)


def whole(column: str, *parts: Part, stop: Stop = "end", tokens: Tokens = TOKENS) -> bytes:
    """A whole answer."""
    return msgspec.json.encode(_WHOLE[column](column, parts, stop, tokens))


def chunks(
    column: str, *parts: Part, stop: Stop = "end", tokens: Tokens = TOKENS, end: bool = True
) -> list[bytes]:
    """A streamed answer, a frame each; without its end where the connection breaks."""
    frames = _STREAM[column](column, parts, stop, tokens)
    return frames if end else frames[: -_TAIL[column]]


def frame(document: object, name: str = "") -> bytes:
    """A server-sent frame."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + msgspec.json.encode(document) + b"\n\n"


# Anthropic.

_ANTHROPIC_STOPS = {
    "end": "end_turn",
    "limit": "max_tokens",
    "calls": "tool_use",
    "refusal": "refusal",
    "sequence": "stop_sequence",
}


def _anthropic_usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": tokens.prompt - tokens.cached - tokens.written,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.said + tokens.thought,
        "output_tokens_details": {"thinking_tokens": tokens.thought},
    }


def _anthropic_block(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": "".join(part.pieces)}
        case Thought():
            return {"type": "thinking", "thinking": part.text, "signature": part.state}
        case Used():
            arguments = msgspec.json.decode("".join(part.pieces))
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}


def _anthropic_message(content: list[Any], reason: str | None, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": "END" if reason == "stop_sequence" else None,
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": None}
        if reason == "refusal"
        else None,
        "usage": usage,
    }


def _anthropic(_: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> dict[str, Any]:
    blocks = [_anthropic_block(part) for part in parts]
    return _anthropic_message(blocks, _ANTHROPIC_STOPS[stop], _anthropic_usage(tokens))


def _anthropic_stream(_: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> list[bytes]:
    start = _anthropic_message([], None, {**_anthropic_usage(tokens), "output_tokens": 1})
    documents: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, part in enumerate(parts):
        block = _anthropic_block(part)
        match part:
            case Text():
                deltas = [{"type": "text_delta", "text": piece} for piece in part.pieces]
                block["text"] = ""
            case Thought():
                deltas = [
                    {"type": "thinking_delta", "thinking": part.text},
                    {"type": "signature_delta", "signature": part.state},
                ]
                block |= {"thinking": "", "signature": ""}
            case Used():
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in part.pieces]
                block["input"] = {}
        documents.append({"type": "content_block_start", "index": index, "content_block": block})
        documents += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        documents.append({"type": "content_block_stop", "index": index})
    last = {"stop_reason": _ANTHROPIC_STOPS[stop], "stop_sequence": None}
    documents.append({"type": "message_delta", "delta": last, "usage": _anthropic_usage(tokens)})
    return [frame(document, document["type"]) for document in (*documents, {"type": "message_stop"})]


# Chat Completions, in three dialects.

_CHAT_STOPS = {
    "end": "stop",
    "limit": "length",
    "calls": "tool_calls",
    "refusal": "content_filter",
    "sequence": "stop",
}


def _chat_usage(column: str, tokens: Tokens) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.said + tokens.thought,
        "completion_tokens_details": {"reasoning_tokens": tokens.thought},
    }
    if column == "deepseek":
        hit = {"prompt_cache_hit_tokens": tokens.cached, "prompt_cache_miss_tokens": tokens.prompt - tokens.cached}
        return {**usage, **hit}
    written = {"cache_write_tokens": tokens.written} if column == "openrouter" else {}
    return {**usage, "prompt_tokens_details": {"cached_tokens": tokens.cached, **written}}


def _chat_thought(column: str, thought: Thought) -> dict[str, Any]:
    if column == "deepseek":
        return {"reasoning_content": thought.text}
    if column == "openrouter":
        detail = {"type": "reasoning.text", "text": thought.text, "signature": thought.state, "index": 0}
        return {"reasoning": thought.text, "reasoning_details": [{**detail, "format": "anthropic-claude-v1"}]}
    return {}  # OpenAI's Chat Completions shows no reasoning


def _chat(column: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls = []
    for part in parts:
        match part:
            case Text():
                message["content"] = (message["content"] or "") + "".join(part.pieces)
            case Thought():
                message |= _chat_thought(column, part)
            case Used():
                function = {"name": part.name, "arguments": "".join(part.pieces)}
                calls.append({"id": part.id, "type": "function", "function": function})
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": _CHAT_STOPS[stop]}
    return {"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": _chat_usage(column, tokens)}


def _chat_stream(column: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> list[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    index = 0
    for part in parts:
        match part:
            case Text():
                deltas += [{"content": piece} for piece in part.pieces]
            case Thought():
                deltas.append(_chat_thought(column, part))
            case Used():
                first = {"index": index, "id": part.id, "type": "function"}
                deltas.append({"tool_calls": [{**first, "function": {"name": part.name, "arguments": ""}}]})
                deltas += [
                    {"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in part.pieces
                ]
                index += 1
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": d, "finish_reason": None}] for d in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": _CHAT_STOPS[stop]}])
    documents: list[dict[str, Any]] = [{"id": "chatcmpl-1", "choices": each} for each in choices]
    documents.append({"id": "chatcmpl-1", "choices": [], "usage": _chat_usage(column, tokens)})
    return [*(frame(document) for document in documents), b"data: [DONE]\n\n"]


# The Responses API.


def _response_item(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            content = [{"type": "output_text", "text": "".join(part.pieces)}]
            return {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
        case Thought():
            summary = [{"type": "summary_text", "text": part.text}]
            return {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": part.state}
        case Used():
            call = {"call_id": part.id, "name": part.name, "arguments": "".join(part.pieces)}
            return {"type": "function_call", "id": "fc_1", **call}


def _response(_: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> dict[str, Any]:
    why = {"limit": "max_output_tokens", "refusal": "content_filter"}.get(stop)
    return {
        "id": "resp_1",
        "status": "incomplete" if why else "completed",
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "output": [_response_item(part) for part in parts],
        "usage": {
            "input_tokens": tokens.prompt,
            "output_tokens": tokens.said + tokens.thought,
            "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
            "output_tokens_details": {"reasoning_tokens": tokens.thought},
        },
    }


def _response_stream(_: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> list[bytes]:
    whole = _response("", parts, stop, tokens)
    documents: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}}
    ]
    for index, part in enumerate(parts):
        item = _response_item(part)
        at = {"output_index": index, "item_id": item["id"]}
        match part:
            case Text():
                begun = {**item, "content": []}
                deltas = [
                    {"type": "response.output_text.delta", "content_index": 0, "delta": d} for d in part.pieces
                ]
            case Thought():
                begun = {**item, "summary": [], "encrypted_content": None}
                summary = {"summary_index": 0, "delta": part.text}
                deltas = [{"type": "response.reasoning_summary_text.delta", **summary}]
            case Used():
                begun = {**item, "arguments": ""}
                deltas = [{"type": "response.function_call_arguments.delta", "delta": d} for d in part.pieces]
        documents.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        documents += [{**delta, **at} for delta in deltas]
        documents.append({"type": "response.output_item.done", "output_index": index, "item": item})
    documents.append({"type": f"response.{whole['status']}", "response": whole})
    return [frame(document, document["type"]) for document in documents]


# Gemini.

_GEMINI_STOPS = {"end": "STOP", "limit": "MAX_TOKENS", "calls": "STOP", "refusal": "SAFETY", "sequence": "STOP"}


def _gemini_parts(parts: Sequence[Part]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    state = ""
    for part in parts:
        match part:
            case Text():
                made += [{"text": piece} for piece in part.pieces]
            case Thought():
                made.append({"text": part.text, "thought": True})
                state = part.state
            case Used():
                call = {"name": part.name, "args": msgspec.json.decode("".join(part.pieces))}
                made.append({"functionCall": call, **({"thoughtSignature": state} if state else {})})
                state = ""
    return made


def _gemini_document(parts: list[dict[str, Any]], tokens: Tokens, finish: str | None) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": finish}],
        "usageMetadata": {
            "promptTokenCount": tokens.prompt,
            "cachedContentTokenCount": tokens.cached,
            "candidatesTokenCount": tokens.said,
            "thoughtsTokenCount": tokens.thought,
        },
        "responseId": "r1",
    }


def _gemini(_: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> dict[str, Any]:
    return _gemini_document(_gemini_parts(parts), tokens, _GEMINI_STOPS[stop])


def _gemini_stream(_: str, parts: Sequence[Part], stop: Stop, tokens: Tokens) -> list[bytes]:
    documents = [_gemini_document([part], tokens, None) for part in _gemini_parts(parts)]
    documents.append(_gemini_document([], tokens, _GEMINI_STOPS[stop]))
    return [frame(document) for document in documents]


_WHOLE = {
    "anthropic": _anthropic,
    "chat": _chat,
    "responses": _response,
    "gemini": _gemini,
    "deepseek": _chat,
    "openrouter": _chat,
}
_STREAM = {
    "anthropic": _anthropic_stream,
    "chat": _chat_stream,
    "responses": _response_stream,
    "gemini": _gemini_stream,
    "deepseek": _chat_stream,
    "openrouter": _chat_stream,
}
_TAIL = {"anthropic": 2, "chat": 3, "responses": 1, "gemini": 1, "deepseek": 3, "openrouter": 3}
"""How many frames tell that an answer is whole."""
