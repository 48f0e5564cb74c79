"""Documents of the Messages API, each with its message class: some written by hand, and the recorded ones."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from ccproxy_pb.v1 import proxy_pb2

PROJECT = Path(__file__).resolve().parents[2]
RECORDINGS = Path(os.environ.get("CCPROXY_RECORDINGS", PROJECT.parent / "shared" / "recordings"))
EVENTS_OF_A_RECORDING = 12  # Those that follow are alike.

TOOL_USE: dict[str, Any] = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "read",
    "input": {"path": "/etc/hosts", "limit": 5, "ratio": 1.50, "big": 2**70, "nothing": None},
}
REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-5",
    "max_tokens": 1024,
    "temperature": 1,
    "top_p": 0.95,
    "top_k": 40,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": "What is in the file?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I must read it.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                TOOL_USE,
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "hosts"}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": False,
                    "content": [{"type": "text", "text": "127.0.0.1 localhost"}],
                },
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "document",
                    "title": "Notes",
                    "context": None,
                    "source": {"type": "text", "media_type": "text/plain", "data": "one\ntwo"},
                    "citations": {"enabled": True},
                },
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "document", "source": {"type": "content", "content": "inline"}},
                {
                    "type": "search_result",
                    "source": "https://example.com",
                    "title": "Example",
                    "content": [{"type": "text", "text": "Found."}],
                },
            ],
        },
    ],
    "tools": [
        {
            "name": "read",
            "description": "Reads a file",
            "input_schema": {"type": "object", "properties": {"z": {}, "a": {"minimum": 0}}, "required": ["z"]},
            "strict": True,
        },
        {"type": "web_search_20260209", "name": "web_search", "max_uses": 3},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stop_sequences": ["END", ""],
    "metadata": {"user_id": "user-1"},
    "service_tier": "auto",
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
}
COUNT_REQUEST: dict[str, Any] = {
    name: value for name, value in REQUEST.items() if name in {"model", "system", "messages", "tools", "thinking"}
}
ANSWER: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [
        {
            "type": "text",
            "text": "See [1].",
            "citations": [{"type": "char_location", "cited_text": "one", "start_char_index": 0}],
        },
        TOOL_USE,
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0},
        "service_tier": "standard",
    },
}
EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": {**ANSWER, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"pa'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_delta", "index": 3, "delta": {"type": "citations_delta", "citation": {"title": None}}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
    {"type": "ping"},
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
)
MODEL: dict[str, Any] = {
    "type": "model",
    "id": "claude-sonnet-5",
    "display_name": "Claude Sonnet 5",
    "created_at": "2026-02-01T00:00:00Z",
    "max_input_tokens": 1_000_000,
    "max_tokens": 64_000,
    "capabilities": {"thinking": {"supported": True}},
}
MODELS: dict[str, Any] = {"data": [MODEL], "first_id": MODEL["id"], "last_id": MODEL["id"], "has_more": False}
NO_MODELS: dict[str, Any] = {"data": [], "first_id": None, "last_id": None, "has_more": False}
HAND_WRITTEN: tuple[tuple[Any, dict[str, Any]], ...] = (
    (proxy_pb2.CreateMessageRequest, REQUEST),
    (proxy_pb2.CountTokensRequest, COUNT_REQUEST),
    (proxy_pb2.CountTokensResponse, {"input_tokens": 403}),
    (proxy_pb2.Message, ANSWER),
    *((proxy_pb2.MessageStreamEvent, event) for event in EVENTS),
    (proxy_pb2.ListModelsResponse, MODELS),
    (proxy_pb2.ListModelsResponse, NO_MODELS),
    (proxy_pb2.Model, MODEL),
)


def recorded() -> Iterator[tuple[Any, Any]]:
    """Every recorded Anthropic document with its message class; none where the recordings are absent."""
    folder = RECORDINGS / "anthropic"
    for meta_file in sorted(folder.glob("*.meta.json")):
        meta = msgspec.json.decode(meta_file.read_bytes())
        stem = meta_file.name.removesuffix(".meta.json")
        counts, lists = meta["api"] == "count_tokens", meta["api"] == "models"
        asked = folder / f"{stem}.request.json"
        if asked.exists() and not lists:
            body = msgspec.json.decode(asked.read_bytes())
            body.pop("stream", None)
            yield proxy_pb2.CountTokensRequest if counts else proxy_pb2.CreateMessageRequest, body
        answered = folder / f"{stem}.response.json"
        if answered.exists() and counts:
            yield proxy_pb2.CountTokensResponse, msgspec.json.decode(answered.read_bytes())
        elif answered.exists():
            answer = msgspec.json.decode(answered.read_bytes())
            listed = proxy_pb2.ListModelsResponse if "data" in answer else proxy_pb2.Model
            yield listed if lists else proxy_pb2.Message, answer
        streamed = folder / f"{stem}.response.sse"
        if streamed.exists():
            data = [line[5:] for line in streamed.read_bytes().splitlines() if line.startswith(b"data:")]
            for event in data[:EVENTS_OF_A_RECORDING] + data[-2:]:
                yield proxy_pb2.MessageStreamEvent, msgspec.json.decode(event)
