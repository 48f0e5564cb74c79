"""What each provider demands of a request: a 400 for the whole of it otherwise.

Sources: the rules quoted in `ccproxy/providers`, and the types of the official SDKs where these are installed.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

import msgspec

from ccproxy.providers.gemini.state import STAND_IN

Json = dict[str, Any]

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OWN_MEMBERS = {
    "reasoning",
    "reasoning_details",
    "reasoning_content",
    "thinking",
    "provider",
    "session_id",
    "top_k",
}
"""Of DeepSeek and OpenRouter, beyond the types of OpenAI's SDK; these have `cache_control` too."""


def steps(name: str, body: Json) -> list[Any]:
    """What the model said, turn by turn, in the provider's words."""
    match name:
        case "anthropic":
            return [turn["content"] for turn in body["messages"] if turn["role"] == "assistant"]
        case "gemini" | "gemini_2":
            return [content["parts"] for content in body["contents"] if content["role"] == "model"]
        case "openai_responses":
            return _runs(body["input"])
        case _:
            return [message for message in body["messages"] if message["role"] == "assistant"]


def _is_said(item: Json) -> bool:
    return item["type"] in {"reasoning", "function_call"} or item.get("role") == "assistant"


def _runs(items: list[Json]) -> list[list[Json]]:
    runs: list[list[Json]] = []
    following = False
    for item in items:
        if _is_said(item) and following:
            runs[-1].append(item)
        elif _is_said(item):
            runs.append([item])
        following = _is_said(item)
    return runs


def calls_in(step: Any) -> Iterator[tuple[str, Json]]:
    """The calls of a step: name and input."""
    for part in step.get("tool_calls", ()) if isinstance(step, dict) else step:
        if "functionCall" in part:
            yield part["functionCall"]["name"], part["functionCall"]["args"]
        elif "function" in part:
            yield part["function"]["name"], msgspec.json.decode(part["function"]["arguments"])
        elif part.get("type") == "function_call":
            yield part["name"], msgspec.json.decode(part["arguments"])
        elif part.get("type") == "tool_use":
            yield part["name"], part["input"]


def texts_in(step: Any) -> str:
    """The text of a step."""
    if isinstance(step, str):
        return step
    if isinstance(step, dict):
        return texts_in(step["content"])
    texts = [part.get("text") or texts_in(part.get("content", ())) for part in step]
    return "\n\n".join(text for text in texts if text)


def check(name: str, raw: bytes) -> Json:
    """Returns the body, once it proves to be one that the provider accepts."""
    body: Json = msgspec.json.decode(raw)
    assert b"ccp1." not in raw  # a carrier is for the caller to keep; what it carries goes upstream unpacked
    _RULES[name](body)
    return body


def _anthropic(body: Json) -> None:
    turns = body["messages"]
    assert turns[0]["role"] == "user"
    assert turns[-1]["role"] == "user"
    expected: list[str] = []
    for turn in turns:
        content = (
            [{"type": "text", "text": turn["content"]}] if isinstance(turn["content"], str) else turn["content"]
        )
        assert content
        results = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
        assert sorted(results) == sorted(expected)
        assert all(block["type"] == "tool_result" for block in content[: len(results)])
        expected = [block["id"] for block in content if block["type"] == "tool_use"]
        assert all(_ID.fullmatch(id_) for id_ in expected)
        assert len({*expected}) == len(expected)
        signatures = [block["signature"] for block in content if block["type"] == "thinking"]
        assert not any(not signature or signature.startswith("ccp1.") for signature in signatures)
        assert content[-1]["type"] != "thinking"


def _chat(body: Json) -> None:
    expected: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == expected.pop(0)
            assert message["content"]
            continue
        assert expected == []
        calls = message.get("tool_calls", ())
        expected = [call["id"] for call in calls]
        assert all(len(id_) <= 40 for id_ in expected)
        assert len({*expected}) == len(expected)
        assert all(_NAME.fullmatch(call["function"]["name"]) for call in calls)
        assert all(isinstance(msgspec.json.decode(call["function"]["arguments"]), dict) for call in calls)
        assert message["content"] or calls
    assert expected == []
    assert body["messages"][-1]["role"] != "assistant"
    _check_chat_types(body)


def _openai_chat(body: Json) -> None:
    assert not any(message.keys() & _OWN_MEMBERS for message in body["messages"])
    _chat(body)


def _deepseek(body: Json) -> None:
    _chat(body)
    messages = body["messages"]
    assert all(isinstance(message["content"], str) for message in messages)
    assert not any("reasoning_details" in message for message in messages)
    if body.get("thinking") != {"type": "disabled"}:
        assert all("reasoning_content" in message for message in messages if "tool_calls" in message)
    assert all(message["role"] == "assistant" for message in messages if "reasoning_content" in message)


def _openrouter(body: Json) -> None:
    _chat(body)
    assert not any("reasoning_content" in message for message in body["messages"])
    assert all(
        m["role"] == "assistant" and m["reasoning_details"] for m in body["messages"] if "reasoning_details" in m
    )


def _responses(body: Json) -> None:
    waiting: list[str] = []
    for item, following in zip(body["input"], [*body["input"][1:], {"type": "end"}], strict=True):
        match item["type"]:
            case "reasoning":
                assert following["type"] in {"reasoning", "function_call"} or following.get("role") == "assistant"
                assert item["encrypted_content"]
            case "function_call":
                assert item["call_id"] not in waiting
                assert _NAME.fullmatch(item["name"])
                assert isinstance(msgspec.json.decode(item["arguments"]), dict)
                waiting.append(item["call_id"])
            case "function_call_output":
                waiting.remove(item["call_id"])
                assert item["output"]
            case _:
                assert item["role"] == "assistant" or waiting == []
                assert item["content"]
    assert waiting == []
    assert not _is_said(body["input"][-1])
    assert body["store"] is False
    _check_responses_types(body)


def _gemini(body: Json) -> None:
    contents = body["contents"]
    assert [content["role"] for content in contents] == (["user", "model"] * len(contents))[: len(contents)]
    assert contents[-1]["role"] == "user"
    calls: list[str] = []
    for content in contents:
        parts = content["parts"]
        assert parts
        assert [part.get("functionResponse", {}).get("name") for part in parts[: len(calls)]] == calls
        assert not any("functionResponse" in part for part in parts[len(calls) :])
        assert content["role"] == "model" or not any("thoughtSignature" in part for part in parts)
        calls = [part["functionCall"]["name"] for part in parts if "functionCall" in part]
        assert all(isinstance(part["functionCall"]["args"], dict) for part in parts if "functionCall" in part)
    assert calls == []
    _check_gemini_types(body)


def _gemini_3(body: Json) -> None:
    _gemini(body)
    for content in body["contents"]:
        calls = [part for part in content["parts"] if "functionCall" in part]
        assert all(call["thoughtSignature"] for call in calls[:1])
        assert not any(call.get("thoughtSignature") == STAND_IN for call in calls[1:])


def _gemini_2(body: Json) -> None:
    _gemini(body)
    parts = [part for content in body["contents"] for part in content["parts"]]
    assert not any(part.get("thoughtSignature") == STAND_IN for part in parts)


_RULES: Mapping[str, Callable[[Json], None]] = {
    "anthropic": _anthropic,
    "openai_chat": _openai_chat,
    "openai_responses": _responses,
    "gemini": _gemini_3,
    "gemini_2": _gemini_2,
    "deepseek": _deepseek,
    "openrouter": _openrouter,
    "openrouter_claude": _openrouter,
}


def _has(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package's parent
        return False


HAS_OPENAI, HAS_GOOGLE = _has("openai"), _has("google.genai")


def _read(value: Any) -> Any:
    """A validated value with its lazy lists read: only then are these validated."""
    if isinstance(value, dict):
        return {name: _read(each) for name, each in value.items()}
    if isinstance(value, str | bytes | int | float | None):
        return value
    return [_read(each) for each in value]


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(each, names) for name, each in value.items() if name not in names}
    return [_without(each, names) for each in value] if isinstance(value, list) else value


@cache
def _adapter(type_: Any) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415  # comes with the SDKs

    return TypeAdapter(type_)


def _check_type(document: Json, type_: Any) -> None:
    """It is of the type, and holds nothing that the type does not know."""
    assert _read(_adapter(type_).validate_python(document)) == document


def _spelled_out(item: Json) -> Json:
    """An item with what the types demand and the API does not, as its own Codex and recorded requests show."""
    if item.get("role") == "user":
        parts = [{**part, "detail": "auto"} if part["type"] == "input_image" else part for part in item["content"]]
        return {**item, "content": parts}
    if item.get("role") != "assistant":
        return item
    content = [{**part, "annotations": []} for part in item["content"]]
    return {**item, "id": "msg_1", "status": "completed", "content": content}


def _check_chat_types(body: Json) -> None:
    if HAS_OPENAI:
        from openai.types.chat import completion_create_params as params  # noqa: PLC0415

        streamed = params.CompletionCreateParamsStreaming
        type_ = streamed if body.get("stream") else params.CompletionCreateParamsNonStreaming
        _check_type(_without(body, {*_OWN_MEMBERS, "cache_control"}), type_)


def _check_responses_types(body: Json) -> None:
    if HAS_OPENAI:
        from openai.types.responses import response_create_params as params  # noqa: PLC0415

        streamed = params.ResponseCreateParamsStreaming
        document = {**body, "input": [_spelled_out(item) for item in body["input"]]}
        _check_type(document, streamed if body.get("stream") else params.ResponseCreateParamsNonStreaming)


def _check_gemini_types(body: Json) -> None:
    if HAS_GOOGLE:
        from google.genai import types  # noqa: PLC0415

        for content in [*body["contents"], *([body["systemInstruction"]] if "systemInstruction" in body else [])]:
            types.Content.model_validate_json(msgspec.json.encode(content))
        for tool in body.get("tools", ()):
            types.Tool.model_validate_json(msgspec.json.encode(tool))
        types.GenerationConfig.model_validate_json(msgspec.json.encode(body["generationConfig"]))
