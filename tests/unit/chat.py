"""Short ways to say a Chat Completions exchange in a test."""

from typing import Any

import msgspec

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head
from ccproxy.providers.openai_chat import ChatExchange, ChatStream, Dialect, OpenAIChat

KEY = "key-1234567890-secret"
USER = {"role": "user", "content": "hi"}
TOOL = {"name": "read", "input_schema": {"type": "object"}}


def provider(base_url: str = "https://api.openai.com", dialect: Dialect | None = None) -> OpenAIChat:
    """A provider with a key that is easy to find."""
    return OpenAIChat("openai", base_url, KEY, dialect)


def exchange(
    *messages: Any,
    model: str = "gpt-4.1",
    base_url: str = "https://api.openai.com",
    parameters: dict[str, Any] | None = None,
    version: str = "2026-10-21",
    dialect: Dialect | None = None,
    session: str = "",
    **members: Any,
) -> ChatExchange:
    """An exchange for a request with these messages."""
    document = {"model": "claude", "max_tokens": 100, "messages": messages or (USER,), **members}
    body = msgspec.json.encode({k: v for k, v in document.items() if v is not msgspec.UNSET})
    headers = {"anthropic-version": [version], **({"x-claude-code-session-id": [session]} if session else {})}
    call = Call(edge="http", request_id="req_1", body=body, headers=headers)
    target = Target("openai", model, "default", parameters or {})
    return provider(base_url, dialect).exchange(call, decode_head(body), target)


def sent(*messages: Any, **members: Any) -> dict[str, Any]:
    """The request that goes upstream."""
    document: dict[str, Any] = msgspec.json.decode(exchange(*messages, **members).request.body or b"")
    return document


def sent_messages(*messages: Any, **members: Any) -> list[dict[str, Any]]:
    """The messages that go upstream."""
    said: list[dict[str, Any]] = sent(*messages, **members)["messages"]
    return said


def dropped(*messages: Any, **members: Any) -> tuple[str, ...]:
    """What cannot be said upstream."""
    return exchange(*messages, **members).dropped


def completion(finish: str | None = "stop", **message: Any) -> bytes:
    """A whole answer of the provider."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 10, "completion_tokens": 4}
    return msgspec.json.encode({"id": "chatcmpl-1", "choices": [choice], "usage": usage})


def call(id: str | None, name: str | None, arguments: str | None, index: int | None = 0) -> dict[str, Any]:  # noqa: A002
    """A tool call, or a piece of one."""
    piece = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {k: v for k, v in piece.items() if v is not None}


def answered(body: bytes, **members: Any) -> dict[str, Any]:
    """A whole answer as the caller gets it."""
    document: dict[str, Any] = msgspec.json.decode(exchange(**members).answer(body).body)
    return document


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """A frame of the provider's stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return frame({"id": "chatcmpl-1", "choices": [choice]})


def frame(document: object) -> bytes:
    """A frame with a document."""
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


USAGE = frame({"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 4}})
DONE = b"data: [DONE]\n\n"


def streaming(**members: Any) -> ChatStream:
    """A reader of a stream."""
    return exchange(stream=True, **members).stream()


def events(frames: bytes) -> list[dict[str, Any]]:
    """The documents of Anthropic's events; each event is named as its document says."""
    documents = []
    for text in frames.decode().split("\n\n")[:-1]:
        name, data = text.split("\n")
        document = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {document['type']}"
        documents.append(document)
    return documents


def streamed(*chunks: bytes, **members: Any) -> list[dict[str, Any]]:
    """The events of a whole stream."""
    stream = streaming(**members)
    for piece in chunks:
        stream.feed(piece)
    stream.close()
    return events(stream.take())


def blocks(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content that a client puts together from events; a call's input as the text it came in."""
    content: list[dict[str, Any]] = []
    for document in documents:
        if document["type"] == "content_block_start":
            assert document["index"] == len(content)
            content.append(dict(document["content_block"]))
            if content[-1]["type"] == "tool_use":
                content[-1]["input"] = ""
        elif document["type"] == "content_block_delta":
            assert document["index"] == len(content) - 1
            _, (name, text) = document["delta"].items()
            content[-1]["input" if name == "partial_json" else name] += text
    return content
