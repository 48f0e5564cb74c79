"""Short ways to say a Gemini exchange in a test."""

from typing import Any

import msgspec
from unit.chat import events

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head
from ccproxy.providers.gemini import Gemini, GeminiExchange, GeminiStream

KEY = "key-1234567890-secret"
BASE = "https://generativelanguage.googleapis.com"
USER = {"role": "user", "content": "hi"}
TOOL = {"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}


def provider(base_url: str = BASE) -> Gemini:
    """A provider with a key that is easy to find."""
    return Gemini("gemini", base_url, KEY)


def call_of(document: dict[str, Any], version: str = "2026-10-21") -> Call:
    """A call with this request."""
    body = msgspec.json.encode(document)
    return Call(edge="http", request_id="req_1", body=body, headers={"anthropic-version": [version]})


def exchange(
    *messages: Any, model: str = "gemini-3.5-flash", version: str = "2026-10-21", **members: Any
) -> GeminiExchange:
    """An exchange for a request with these messages."""
    call = call_of(
        {"model": "claude", "max_tokens": 100, "messages": messages or (USER,), **members}, version=version
    )
    return provider().exchange(call, decode_head(call.body), Target("gemini", model, "default"))


def sent(*messages: Any, **members: Any) -> dict[str, Any]:
    """The request that goes upstream."""
    document: dict[str, Any] = msgspec.json.decode(exchange(*messages, **members).request.body or b"")
    return document


def contents(*messages: Any, **members: Any) -> list[dict[str, Any]]:
    """The contents that go upstream."""
    said: list[dict[str, Any]] = sent(*messages, **members)["contents"]
    return said


def dropped(*messages: Any, **members: Any) -> tuple[str, ...]:
    """What cannot be said upstream."""
    return exchange(*messages, **members).dropped


def generated(*parts: Any, finish: str | None = "STOP", **members: Any) -> dict[str, Any]:
    """An answer, or a chunk of one."""
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, "finishReason": finish}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 4}
    return {"candidates": [candidate], "usageMetadata": usage, "responseId": "r1", **members}


def answered(*documents: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A whole answer as the caller gets it."""
    body = documents[0] if len(documents) == 1 else documents
    document: dict[str, Any] = msgspec.json.decode(exchange(**members).answer(msgspec.json.encode(body)).body)
    return document


def frame(document: object) -> bytes:
    """A frame with a document; Gemini ends lines with CRLF."""
    return b"data: " + msgspec.json.encode(document) + b"\r\n\r\n"


def chunk(*parts: Any, finish: str | None = None, **members: Any) -> bytes:
    """A frame of the provider's stream."""
    return frame(generated(*parts, finish=finish, **members))


def streaming(**members: Any) -> GeminiStream:
    """A reader of a stream."""
    return exchange(stream=True, **members).stream()


def streamed(*pieces: bytes, **members: Any) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    stream = streaming(**members)
    for piece in pieces:
        stream.feed(piece)
    stream.close()
    return events(stream.take())


def text(value: str, **members: Any) -> dict[str, Any]:
    """A part with text."""
    return {"text": value, **members}


def called(name: str = "read", args: Any = None, **members: Any) -> dict[str, Any]:
    """A part with a call."""
    return {"functionCall": {"name": name, "args": args or {}}, **members}
