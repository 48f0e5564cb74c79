"""What each provider's wire carries: one good answer, whole and in pieces, and how errors look.

Every wire says the same: `Hello wörld`, ten tokens in, four out. Written by hand in the documented formats, so
that the faults cannot share a mistake with the demo upstream.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

TEXT = "Hello wörld"
_WORDS = ("Hello ", "wö", "rld")

KINDS = {
    400: ("invalid_request_error", "INVALID_ARGUMENT"),
    401: ("authentication_error", "UNAUTHENTICATED"),
    403: ("permission_error", "PERMISSION_DENIED"),
    413: ("request_too_large", "INVALID_ARGUMENT"),
    429: ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    500: ("api_error", "INTERNAL"),
    503: ("overloaded_error", "UNAVAILABLE"),
    529: ("overloaded_error", "UNAVAILABLE"),
}
"""A status, as Anthropic and OpenAI call it, and as Gemini does."""


class Wire(Struct, frozen=True):
    """One provider's wire.

    Attributes:
        name: The provider's name in the configuration, and the first part of its path here.
        type: Its type in the configuration.
        api: By which of its APIs it is asked.
        path: What follows the name in its base URL.
        whole: A whole answer.
        opening: Frames before any content.
        pieces: Frames with content.
        ending: Frames that end the answer; without them it was cut.
        failed: The frame of an error in the middle of a stream: the provider is overloaded.
    """

    name: str
    type: str
    api: str
    path: str
    whole: bytes
    opening: bytes
    pieces: tuple[bytes, ...]
    ending: bytes
    failed: bytes

    @property
    def frames(self) -> bytes:
        """A whole stream."""
        return self.opening + b"".join(self.pieces) + self.ending

    def error(self, status: int, message: str = "no") -> bytes:
        """An error document."""
        return msgspec.json.encode(_error(self.type, status, message))


def _error(type_: str, status: int, message: str) -> dict[str, Any]:
    kind, code = KINDS[status]
    if type_ == "anthropic":
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_upstream"}
    if type_ == "gemini":
        return {"error": {"code": status, "message": message, "status": code}}
    return {"error": {"message": message, "type": kind, "code": None, "param": None}}


def _data(document: object) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _event(type_: str, **members: Any) -> bytes:
    return f"event: {type_}\n".encode() + _data({"type": type_, **members})


def _anthropic() -> Wire:
    usage = {"input_tokens": 10, "output_tokens": 1}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    whole = {
        **message,
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "usage": {**usage, "output_tokens": 4},
    }
    block = {"type": "text", "text": ""}
    deltas = [
        _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in _WORDS
    ]
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    return Wire(
        "anthropic",
        "anthropic",
        "auto",
        "",
        msgspec.json.encode(whole),
        _event("message_start", message=message) + _event("ping"),
        (_event("content_block_start", index=0, content_block=block) + deltas[0], *deltas[1:]),
        _event("content_block_stop", index=0)
        + _event("message_delta", delta=ended, usage={"output_tokens": 4})
        + _event("message_stop"),
        _event("error", error=_error("anthropic", 529, "busy")["error"]),
    )


def _chat(name: str, type_: str) -> Wire:
    common = {"id": "chatcmpl-1", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}

    def chunk(delta: Mapping[str, str], finish: str | None = None) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return _data({**common, "object": "chat.completion.chunk", "choices": choices})

    return Wire(
        name,
        type_,
        "chat",
        "/v1",
        msgspec.json.encode({**common, "object": "chat.completion", "choices": [choice], "usage": usage}),
        chunk({"role": "assistant", "content": ""}),
        tuple(chunk({"content": word}) for word in _WORDS),
        chunk({}, "stop")
        + _data({**common, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        + b"data: [DONE]\n\n",
        _data(_error(type_, 529, "busy")),
    )


def _responses() -> Wire:
    usage = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14}
    part = {"type": "output_text", "text": TEXT, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    response = {"id": "resp_1", "object": "response", "status": "completed", "error": None, "output": [item]}
    whole = {**response, "usage": usage}
    begun = {**response, "status": "in_progress", "output": []}
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    return Wire(
        "openai_responses",
        "openai",
        "responses",
        "/v1",
        msgspec.json.encode(whole),
        _event("response.created", response=begun) + _event("response.in_progress", response=begun),
        tuple(_event("response.output_text.delta", delta=word, **place) for word in _WORDS),
        _event("response.output_text.done", text=TEXT, **place)
        + _event("response.output_item.done", output_index=0, item=item)
        + _event("response.completed", response=whole),
        _event("error", code="overloaded_error", message="busy", param=None),
    )


def _gemini() -> Wire:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}

    def chunk(text: str, **members: Any) -> dict[str, Any]:
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "index": 0, **members}], "responseId": "r1"}

    whole = {**chunk(TEXT, finishReason="STOP"), "usageMetadata": usage}
    return Wire(
        "gemini",
        "gemini",
        "auto",
        "",
        msgspec.json.encode(whole),
        _data(chunk("")),
        tuple(_data(chunk(word)) for word in _WORDS),
        _data({**chunk("", finishReason="STOP"), "usageMetadata": usage}),
        _data(_error("gemini", 503, "busy")),
    )


WIRES = {
    wire.name: wire
    for wire in (
        _anthropic(),
        _chat("openai_chat", "openai"),
        _responses(),
        _gemini(),
        _chat("deepseek", "deepseek"),
        _chat("openrouter", "openrouter"),
    )
}
