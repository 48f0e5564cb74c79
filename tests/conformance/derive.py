"""The Anthropic request nearest to one that was recorded at another provider.

What has no counterpart and changes what the conversation means (audio, files by id, tools that the provider
runs, state that it keeps) makes a request not derivable, by a reason. Members that leave the conversation as it
is, such as `seed`, are left out and named in `unsaid`. Reasoning of earlier turns is left out too: that it goes
back is tested with recorded answers, which alone have its whole state.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

MAX_TOKENS = 4096  # where nothing was said; Anthropic asks for it

EFFORTS = ("low", "medium", "high", "xhigh", "max")

Json = dict[str, Any]


class NotDerivableError(Exception):
    """There is no such request. The message is the reason, the same for all of its kind."""


class Derived(Struct, frozen=True):
    """A request, and the members of the recorded one that it does not say."""

    request: Json
    unsaid: tuple[str, ...]


class Turns:
    """Collects turns: neighbours of one role are one, and what opens the conversation as system is the prompt."""

    def __init__(self) -> None:
        self.system: list[str] = []
        self.turns: list[Json] = []
        self.has_reasoning = False

    def add(self, role: str, blocks: list[Json]) -> None:
        if role == "system" and not self.turns:
            self.system += [block["text"] for block in blocks]
        elif self.turns and self.turns[-1]["role"] == role != "system":
            self.turns[-1]["content"] += blocks
        elif blocks:
            self.turns.append({"role": role, "content": blocks})

    def request(self, model: str) -> Json:
        if not any(turn["role"] == "user" for turn in self.turns):
            raise NotDerivableError("nothing is said by the user")
        if self.turns[-1]["role"] == "assistant":
            raise NotDerivableError("the last turn is the assistant's")
        made: Json = {"model": model, "messages": self.turns}
        if self.system:
            made["system"] = "\n\n".join(self.system)
        return made


def text_block(text: str) -> Json:
    """A text block."""
    return {"type": "text", "text": text}


def base64(kind: str, media_type: str, data: str) -> Json:
    """An image or a document, inline."""
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}


def at_url(kind: str, url: str) -> Json:
    """An image or a document, by its address."""
    return {"type": kind, "source": {"type": "url", "url": url}}


def _data(kind: str, url: str) -> Json:
    """A block for an address, or a `data:` URL."""
    if not url.startswith("data:"):
        return at_url(kind, url)
    media_type, _, data = url.removeprefix("data:").partition(";base64,")
    if kind == "document" and media_type != "application/pdf":
        raise NotDerivableError("a file that is no PDF")
    return base64(kind, media_type, data)


def _object(arguments: str) -> Json:
    try:
        return msgspec.json.decode(arguments or "{}", type=dict)
    except msgspec.DecodeError as error:
        raise NotDerivableError("arguments that are no object") from error


def tool_of(name: str, description: str | None, schema: Json | None) -> Json:
    """A tool."""
    tool: Json = {"name": name, "input_schema": {"type": "object", "properties": {}, **(schema or {})}}
    return {**tool, "description": description} if description else tool


def said_members(body: Json) -> set[str]:
    """The members that say something."""
    return {name for name, value in body.items() if value not in (None, False, [], {})}


def with_members(made: Json, members: Mapping[str, Any]) -> Json:
    """A request with those of `members` that are something."""
    return {**made, **{name: value for name, value in members.items() if value is not None}}


def _choice(wanted: Any, *, parallel: bool | None) -> Json | None:
    choice: Json | None
    match wanted:
        case None:
            choice = None
        case "auto" | "none":
            choice = {"type": wanted}
        case "required":
            choice = {"type": "any"}
        case {"type": "function", "function": {"name": name}} | {"type": "function", "name": name}:
            choice = {"type": "tool", "name": name}
        case _:
            raise NotDerivableError("a choice among some tools")
    if parallel is False:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return choice


def thinking_of(
    effort: str | None, schema: Json | None, *, thinks: bool = False, budget: int | None = None
) -> Json:
    """Thinking, effort and the format of the answer."""
    config: Json = {}
    if effort in EFFORTS:
        config["effort"] = effort
    if schema is not None:
        config["format"] = {"type": "json_schema", "schema": schema}
    made: Json = {"output_config": config} if config else {}
    if effort == "none":
        return {**made, "thinking": {"type": "disabled"}}
    if budget is not None:
        return {**made, "thinking": {"type": "enabled", "budget_tokens": budget}}
    return {**made, "thinking": {"type": "adaptive"}} if thinks else made


# Chat Completions.

_CHAT = frozenset(
    [
        "model",
        "messages",
        "tools",
        "tool_choice",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stream",
        "stream_options",
        "response_format",
        "parallel_tool_calls",
        "reasoning_effort",
        "reasoning",
        "thinking",
        "stop",
    ]
)


def of_chat(body: Json, model: str) -> Derived:
    """From a request to Chat Completions, in any dialect."""
    if body.get("functions") or body.get("function_call"):
        raise NotDerivableError("the older `functions`")
    if body.get("web_search_options") or body.get("plugins"):
        raise NotDerivableError("a tool that the provider defines")
    turns = Turns()
    for message in body["messages"]:
        _chat_message(message, turns)
    format = body.get("response_format") or {}  # noqa: A001  # the API's word
    schema = format["json_schema"]["schema"] if format.get("type") == "json_schema" else None
    stop = body.get("stop")
    tools = [_function(tool, tool.get("function") or {}) for tool in body.get("tools") or ()]
    made = with_members(
        turns.request(model),
        {
            "max_tokens": body.get("max_completion_tokens") or body.get("max_tokens") or MAX_TOKENS,
            "temperature": body.get("temperature"),
            "top_p": body.get("top_p"),
            "top_k": body.get("top_k"),
            "stream": body.get("stream"),
            "stop_sequences": [stop] if isinstance(stop, str) else stop,
            "tools": tools or None,
            "tool_choice": _choice(body.get("tool_choice"), parallel=body.get("parallel_tool_calls")),
        },
    )
    unsaid = said_members(body) - _CHAT
    if format.get("type") == "json_object":
        unsaid.add("response_format json_object")
    if turns.has_reasoning:
        unsaid.add("reasoning of earlier turns")
    return Derived({**made, **_chat_thinking(body, schema)}, tuple(sorted(unsaid)))


def _chat_thinking(body: Json, schema: Json | None) -> Json:
    """In the words of OpenAI, DeepSeek (`thinking`) or OpenRouter (`reasoning`)."""
    kind, reasoning = (body.get("thinking") or {}).get("type"), body.get("reasoning") or {}
    effort = "none" if kind == "disabled" else body.get("reasoning_effort") or reasoning.get("effort")
    thinks = kind == "enabled" or reasoning.get("enabled") is True
    return thinking_of(effort, schema, thinks=thinks, budget=reasoning.get("max_tokens"))


def _function(tool: Json, function: Json) -> Json:
    if tool.get("type") != "function":
        raise NotDerivableError("a tool that the provider defines")
    return tool_of(function["name"], function.get("description"), function.get("parameters"))


def _chat_message(message: Json, turns: Turns) -> None:
    role = message["role"]
    if message.get("audio") or message.get("function_call"):
        raise NotDerivableError("audio" if message.get("audio") else "the older `functions`")
    turns.has_reasoning |= any(
        message.get(name) for name in ("reasoning", "reasoning_content", "reasoning_details")
    )
    blocks = [_chat_part(part) for part in _parts(message.get("content"))]
    if role == "tool":
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": blocks}
        turns.add("user", [result])
        return
    for call in message.get("tool_calls") or ():
        function = call["function"]
        arguments = _object(function["arguments"])
        blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": arguments})
    turns.add("system" if role == "developer" else role, blocks)


def _parts(content: Any) -> list[Any]:
    if not content:
        return []
    parts = content if isinstance(content, list) else [content]
    return [part for part in parts if part and not (isinstance(part, dict) and part.get("text") == "")]


def _chat_part(part: Any) -> Json:
    match part:
        case str():
            return text_block(part)
        case {"type": "text", "text": text}:
            return text_block(text)
        case {"type": "image_url", "image_url": {"url": url}}:
            return _data("image", url)
        case {"type": "file", "file": {"file_data": str(data)}}:
            return _data("document", data)
        case {"type": "file"}:
            raise NotDerivableError("a file by its id")
        case _:
            raise NotDerivableError("audio")


# The Responses API.

_RESPONSES = frozenset(
    [
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "max_output_tokens",
        "temperature",
        "top_p",
        "stream",
        "text",
        "parallel_tool_calls",
        "reasoning",
    ]
)


def of_responses(body: Json, model: str) -> Derived:
    """From a request to the Responses API."""
    if body.get("previous_response_id") or body.get("context_management"):
        raise NotDerivableError("state that the provider keeps")
    turns = Turns()
    if body.get("instructions"):
        turns.add("system", [text_block(body["instructions"])])
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        _item(item, turns)
    format = (body.get("text") or {}).get("format") or {}  # noqa: A001  # the API's word
    schema = format["schema"] if format.get("type") == "json_schema" else None
    made = with_members(
        turns.request(model),
        {
            "max_tokens": body.get("max_output_tokens") or MAX_TOKENS,
            "temperature": body.get("temperature"),
            "top_p": body.get("top_p"),
            "stream": body.get("stream"),
            "tools": [_function(tool, tool) for tool in body.get("tools") or ()] or None,
            "tool_choice": _choice(body.get("tool_choice"), parallel=body.get("parallel_tool_calls")),
        },
    )
    unsaid = said_members(body) - _RESPONSES
    if turns.has_reasoning:
        unsaid.add("reasoning of earlier turns")
    effort = (body.get("reasoning") or {}).get("effort")
    return Derived({**made, **thinking_of(effort, schema)}, tuple(sorted(unsaid)))


def _item(item: Json, turns: Turns) -> None:
    match item.get("type", "message"):
        case "message":
            role = "system" if item["role"] == "developer" else item["role"]
            turns.add(role, [_response_part(part) for part in _parts(item.get("content"))])
        case "function_call":
            call = {"type": "tool_use", "id": item["call_id"], "name": item["name"]}
            turns.add("assistant", [{**call, "input": _object(item["arguments"])}])
        case "function_call_output":
            content = [_response_part(part) for part in _parts(item["output"])]
            turns.add("user", [{"type": "tool_result", "tool_use_id": item["call_id"], "content": content}])
        case "reasoning":
            turns.has_reasoning = True
        case _:
            raise NotDerivableError("an item of a tool that the provider runs")


def _response_part(part: Any) -> Json:
    match part:
        case str():
            return text_block(part)
        case {"type": "input_text" | "output_text", "text": text}:
            return text_block(text)
        case {"type": "input_image", "image_url": str(url)}:
            return _data("image", url)
        case {"type": "input_file", "file_data": str(data)}:
            return _data("document", data)
        case {"type": "input_file", "file_url": str(url)}:
            return at_url("document", url)
        case _:
            raise NotDerivableError("a file by its id")
