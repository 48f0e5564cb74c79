"""The Anthropic request nearest to one that was recorded at Gemini; see `derive`."""

import itertools
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from conformance.derive import (
    MAX_TOKENS,
    Derived,
    Json,
    NotDerivableError,
    Turns,
    at_url,
    base64,
    said_members,
    text_block,
    thinking_of,
    tool_of,
    with_members,
)

_GEMINI = frozenset(["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"])
_GENERATION = frozenset(
    [
        "maxOutputTokens",
        "temperature",
        "topP",
        "topK",
        "stopSequences",
        "responseMimeType",
        "responseJsonSchema",
        "responseSchema",
        "thinkingConfig",
    ]
)
_CHOICES = {"AUTO": {"type": "auto"}, "ANY": {"type": "any"}, "NONE": {"type": "none"}}


def camel(document: Mapping[str, Any]) -> Json:
    """The members of an object by the names that they have in JSON; Gemini takes those of protobuf too."""
    made = {}
    for name, value in document.items():
        first, *others = name.split("_")
        made[first + "".join(word.capitalize() for word in others)] = value
    return made


def of_gemini(body: Json, model: str, *, stream: bool) -> Derived:
    """From a request to `generateContent`."""
    body = camel(body)
    if body.get("cachedContent"):
        raise NotDerivableError("state that the provider keeps")
    turns, ids = Turns(), _Ids()
    turns.add("system", [text_block(text) for text in instructions(body)])
    for content in body["contents"]:
        blocks = [block for part in content["parts"] for block in _gemini_part(camel(part), ids, turns)]
        turns.add("assistant" if content.get("role") == "model" else "user", blocks)
    config = camel(body.get("generationConfig") or {})
    if {"IMAGE", "AUDIO"} & {*(config.get("responseModalities") or ())}:
        raise NotDerivableError("an answer in images or audio")
    thinking = camel(config.get("thinkingConfig") or {})
    schema = config.get("responseJsonSchema") or json_schema(config.get("responseSchema"))
    made = with_members(
        turns.request(model),
        {
            "max_tokens": config.get("maxOutputTokens") or MAX_TOKENS,
            "temperature": config.get("temperature"),
            "top_p": config.get("topP"),
            "top_k": config.get("topK"),
            "stop_sequences": config.get("stopSequences"),
            "stream": stream or None,
            "tools": _declared(body.get("tools") or []) or None,
            "tool_choice": _gemini_choice(camel(body.get("toolConfig") or {})),
        },
    )
    unsaid = said_members(body) - _GEMINI
    unsaid |= {f"generationConfig.{name}" for name in said_members(config) - _GENERATION}
    if turns.has_reasoning:
        unsaid.add("reasoning of earlier turns")
    effort = str(thinking.get("thinkingLevel") or "").lower() or None
    budget = thinking.get("thinkingBudget")
    thinks = thinking.get("includeThoughts") is True
    made |= thinking_of("none" if budget == 0 else effort, schema, thinks=thinks, budget=budget)
    return Derived(made, tuple(sorted(unsaid)))


def instructions(body: Json) -> list[str]:
    """The texts of the system instruction: a list of parts, one part, or a text."""
    given = body.get("systemInstruction") or {}
    parts = given.get("parts", []) if isinstance(given, dict) else [{"text": given}]
    texts = [part.get("text") for part in (parts if isinstance(parts, list) else [parts])]
    return [text for text in texts if text]


class _Ids:
    """Ids for calls, which Gemini answers by name and order."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._open: list[tuple[str, str]] = []

    def call(self, name: str) -> str:
        made = f"toolu_{next(self._numbers)}"
        self._open.append((name, made))
        return made

    def answered(self, name: str) -> str:
        for opened in self._open:
            if opened[0] == name:
                self._open.remove(opened)
                return opened[1]
        raise NotDerivableError("a result without its call")


def _gemini_part(part: Json, ids: _Ids, turns: Turns) -> Iterable[Json]:
    if part.get("thoughtSignature") or part.get("thought"):
        turns.has_reasoning = True
    match part:
        case {"thought": True}:
            return []
        case {"text": text}:
            return [text_block(text)] if text else []
        case {"functionCall": call}:
            name = call["name"]
            return [{"type": "tool_use", "id": ids.call(name), "name": name, "input": call.get("args") or {}}]
        case {"functionResponse": response}:
            content = [text_block(told)] if (told := response_text(response["response"])) else []
            result = {"type": "tool_result", "tool_use_id": ids.answered(response["name"]), "content": content}
            return [{**result, "is_error": True} if "error" in response["response"] else result]
        case {"inlineData": data}:
            data = camel(data)
            if data["mimeType"] == "text/plain":
                source = {"type": "text", "media_type": "text/plain", "data": plain(data["data"])}
                return [{"type": "document", "source": source}]
            return [base64(_media(data["mimeType"]), data["mimeType"], data["data"])]
        case {"fileData": data}:
            data = camel(data)
            return [at_url(_media(data.get("mimeType") or ""), data["fileUri"])]
        case _:
            raise NotDerivableError("an item of a tool that the provider runs")


def plain(data: str) -> str:
    """The text in base64."""
    return b64decode(data).decode()


def _media(mime_type: str) -> str:
    if mime_type.startswith("image/"):
        return "image"
    if mime_type in {"application/pdf", "text/plain"}:
        return "document"
    raise NotDerivableError("audio or video" if mime_type else "a file of a kind that is not named")


def response_text(response: Json) -> str:
    """A result as text: its only text, or its JSON."""
    values = [*response.values()]
    if len(values) == 1 and {*response} <= {"output", "error", "result"} and isinstance(values[0], str):
        return values[0]
    return msgspec.json.encode(response).decode()


def _declared(tools: Any) -> list[Json]:
    found = []
    for tool in map(camel, tools if isinstance(tools, list) else [tools]):
        if {*tool} - {"functionDeclarations"}:
            raise NotDerivableError("a tool that the provider defines")
        for function in map(camel, tool["functionDeclarations"]):
            schema = function.get("parametersJsonSchema") or json_schema(function.get("parameters"))
            found.append(tool_of(function["name"], function.get("description"), schema))
    return found


def _gemini_choice(config: Json) -> Json | None:
    calling = camel(config.get("functionCallingConfig") or {})
    if names := calling.get("allowedFunctionNames"):
        if len(names) > 1:
            raise NotDerivableError("a choice among some tools")
        return {"type": "tool", "name": names[0]}
    return _CHOICES.get(calling.get("mode", ""))


def json_schema(schema: Any) -> Any:
    """A schema in the words of JSON Schema: Gemini's own has types in capitals."""
    if isinstance(schema, list):
        return [json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: json_schema(value) for name, value in schema.items()}
    if isinstance(made.get("type"), str):
        made["type"] = made["type"].lower()
    return made
