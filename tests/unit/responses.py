"""Short ways to say an exchange with the Responses API in a test."""

from typing import Any

import msgspec
from unit.chat import KEY, USER, blocks, events

from ccproxy.call import Call, Target
from ccproxy.config import Api
from ccproxy.provider import Exchange, Stream
from ccproxy.providers.openai import OpenAI

OWN = "https://api.openai.com"
ASKED = {"type": "adaptive"}


def provider(base_url: str = OWN, api: Api = "auto") -> OpenAI:
    """A provider with a key that is easy to find."""
    return OpenAI("openai", base_url, KEY, api)


def call(*messages: Any, headers: dict[str, str] | None = None, **members: Any) -> Call:
    """A caller's request with these messages."""
    document = {"model": "claude", "max_tokens": 100, "messages": messages or (USER,), **members}
    named = {"anthropic-version": "2026-10-21", **(headers or {})}
    return Call(
        edge="http",
        request_id="req_1",
        body=msgspec.json.encode({k: v for k, v in document.items() if v is not msgspec.UNSET}),
        headers={name: [value] for name, value in named.items()},
    )


def exchange(
    *messages: Any, model: str = "gpt-5.6", base_url: str = OWN, api: Api = "responses", **members: Any
) -> Exchange:
    """An exchange for a request with these messages."""
    asked = call(*messages, **members)
    return provider(base_url, api).exchange(asked, asked.head(), Target("openai", model, "default"))


def body(made: Exchange) -> dict[str, Any]:
    """The request that an exchange sends."""
    document: dict[str, Any] = msgspec.json.decode(made.request.body or b"")
    return document


def sent(*messages: Any, **members: Any) -> dict[str, Any]:
    """The request that goes upstream."""
    return body(exchange(*messages, **members))


def items(*messages: Any, **members: Any) -> list[dict[str, Any]]:
    """The items that go upstream."""
    found: list[dict[str, Any]] = sent(*messages, **members)["input"]
    return found


def dropped(*messages: Any, **members: Any) -> tuple[str, ...]:
    """What cannot be said upstream."""
    return exchange(*messages, **members).dropped


USAGE = {
    "input_tokens": 10,
    "output_tokens": 4,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens_details": {"reasoning_tokens": 1},
}


def text(text: str) -> dict[str, Any]:
    """A message."""
    return {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": text}]}


def refusal(text: str) -> dict[str, Any]:
    """A refusal."""
    return {"type": "message", "id": "msg_1", "content": [{"type": "refusal", "refusal": text}]}


def function(id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:  # noqa: A002
    """A call."""
    return {"type": "function_call", "id": "fc_1", "call_id": id, "name": name, "arguments": arguments}


def reasoning(*summary: str, encrypted: str | None = "secret", **members: Any) -> dict[str, Any]:
    """Reasoning."""
    parts = [{"type": "summary_text", "text": text} for text in summary]
    return {"type": "reasoning", "id": "rs_1", "summary": parts, "encrypted_content": encrypted, **members}


def response(*output: Any, status: str = "completed", **members: Any) -> dict[str, Any]:
    """A whole answer."""
    return {"id": "resp_1", "status": status, "error": None, "output": output, "usage": USAGE, **members}


def cut(*output: Any, reason: str = "max_output_tokens") -> dict[str, Any]:
    """An answer that is not whole."""
    return response(*output, status="incomplete", incomplete_details={"reason": reason})


def answered(document: Any, **members: Any) -> dict[str, Any]:
    """A whole answer as the caller gets it."""
    read: dict[str, Any] = msgspec.json.decode(exchange(**members).answer(msgspec.json.encode(document)).body)
    return read


def event(type: str, **members: Any) -> bytes:  # noqa: A002
    """A frame of the provider's stream."""
    name = type if type == "error" else f"response.{type}"
    return f"event: {name}\n".encode() + b"data: " + msgspec.json.encode({"type": name, **members}) + b"\n\n"


FIRST = event("created", response=response(status="in_progress")) + event("in_progress", response=response())
END = event("completed", response=response())


def streaming(**members: Any) -> Stream:
    """A reader of a stream."""
    return exchange(stream=True, **members).stream()


def streamed(*chunks: bytes, **members: Any) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    stream = streaming(**members)
    for piece in (FIRST, *chunks):
        stream.feed(piece)
    stream.close()
    return events(stream.take())


def told(*chunks: bytes, **members: Any) -> list[dict[str, Any]]:
    """The content that a client puts together from a stream."""
    return blocks(streamed(*chunks, **members))
