"""What is sent and what is answered: the same bytes for every subject.

The large request is the shape of a Claude Code turn: two system blocks, twenty tools, sixty messages of tool calls
and their results. Everything is made here, and the same in every run.
"""

from itertools import cycle, islice
from typing import Any, Literal

import msgspec

Kind = Literal["small", "large", "burst", "paced"]

KINDS: tuple[Kind, ...] = ("small", "large", "burst", "paced")

ANTHROPIC_MODEL = "claude-sonnet-4-5"
OPENAI_MODEL = "gpt-4o"
PACED = "-paced"
"""At the end of a model's name: the upstream is to pace its stream."""

SMALL_BYTES = 285
LARGE_BYTES = 129 << 10
DELTAS = 200
PACE_SECONDS = 0.005

_WORDS = (
    *("the", "file", "reads", "its", "settings", "before", "it", "opens", "the", "socket", "and", "returns", "a"),
    *("tuple", "of", "host,", "port", "and", "error;", "def", "main(argv):", "parser", "=", "build(argv)", "#"),
    *("see", "docs/usage.md,", "line", "42:", '"quoted"', "'text'", "{x:", "[1,", "2]}", "\n", "naïve", "✓"),
)


def request(kind: Kind, model: str) -> bytes:
    """The Messages API request of one kind, for a model as the caller writes it."""
    body = {"model": model + (PACED if kind == "paced" else ""), "max_tokens": 1024}
    if kind == "large":
        body |= _turn()
    else:
        body["messages"] = [{"role": "user", "content": ""}]
        body["stream"] = kind in {"burst", "paced"}
    missing = (LARGE_BYTES if kind == "large" else SMALL_BYTES) - len(msgspec.json.encode(body))
    body["messages"][-1]["content"] = "Explain it once more.".ljust(missing, ".")
    return msgspec.json.encode(body)


def text() -> str:
    """What every answer says."""
    return "".join(_deltas())


def anthropic_answer() -> bytes:
    """A whole answer of the Messages API."""
    return msgspec.json.encode(
        {
            "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
            "type": "message",
            "role": "assistant",
            "model": ANTHROPIC_MODEL,
            "content": [{"type": "text", "text": _prose(180)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 2095, "output_tokens": 53},
        }
    )


def anthropic_stream() -> list[bytes]:
    """The frames of a streamed answer: what precedes the text, each delta, what follows it."""
    start = {
        **msgspec.json.decode(anthropic_answer()),
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 2095, "output_tokens": 1},
    }
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 203},
    }
    return [
        _frame({"type": "message_start", "message": start}) + _frame(block),
        *(
            _frame(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}},
            )
            for piece in _deltas()
        ),
        _frame({"type": "content_block_stop", "index": 0}) + _frame(end) + _frame({"type": "message_stop"}),
    ]


def openai_answer() -> bytes:
    """A whole answer of Chat Completions."""
    message = {"role": "assistant", "content": _prose(180), "refusal": None}
    return msgspec.json.encode(
        {
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "object": "chat.completion",
            "created": 1741569952,
            "model": OPENAI_MODEL,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 2095, "completion_tokens": 53, "total_tokens": 2148},
        }
    )


def openai_stream() -> list[bytes]:
    """As `anthropic_stream`, in Chat Completions' chunks."""
    usage = {"prompt_tokens": 2095, "completion_tokens": 203, "total_tokens": 2298}
    return [
        _chunk({"role": "assistant", "content": "", "refusal": None}),
        *(_chunk({"content": piece}) for piece in _deltas()),
        _chunk({}, finish_reason="stop") + _chunk(None, usage=usage) + b"data: [DONE]\n\n",
    ]


def _chunk(delta: Any, finish_reason: str | None = None, usage: Any = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": OPENAI_MODEL,
        "system_fingerprint": "fp_b376dfbbd5",
        "choices": [] if delta is None else [choice],
        "usage": usage,
    }
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _frame(event: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def _deltas() -> list[str]:
    return [f" {word}" for word in islice(cycle(_WORDS), DELTAS)]


def _prose(size: int) -> str:
    return " ".join(islice(cycle(_WORDS), size // 3))[:size]


def _turn() -> dict[str, Any]:
    messages: list[Any] = [{"role": "user", "content": "Find out why the server forgets its settings."}]
    for number in range(29):
        call = {
            "type": "tool_use",
            "id": f"toolu_{number:024}",
            "name": f"tool_{number % 20}",
            "input": {"file_path": f"/srv/app/module_{number}.py", "offset": number, "limit": 200},
        }
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": _prose(2200)}
        messages += [
            {"role": "assistant", "content": [{"type": "text", "text": _prose(160)}, call]},
            {"role": "user", "content": [result]},
        ]
    messages += [
        {"role": "assistant", "content": [{"type": "text", "text": _prose(200)}]},
        {"role": "user", "content": ""},
    ]
    return {
        "system": [
            {
                "type": "text",
                "text": "You are an agent for software work.",
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "text", "text": _prose(12_000), "cache_control": {"type": "ephemeral"}},
        ],
        "tools": [_tool(number) for number in range(20)],
        "messages": messages,
    }


def _tool(number: int) -> dict[str, Any]:
    properties = {
        f"option_{i}": {"type": "string", "description": _prose(90), "enum": ["one", "two", "three"]}
        for i in range(6)
    }
    schema = {"type": "object", "properties": properties, "required": ["option_0"], "additionalProperties": False}
    return {"name": f"tool_{number}", "description": _prose(700), "input_schema": schema}
