"""What a request to a provider means, read from its wire: two requests that say the same have the same meaning.

Not part of it is how text is cut into parts, the order of results behind their calls, and the ids of calls.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from conformance.derive_gemini import camel, instructions, json_schema, plain, response_text
from msgspec import Struct

Json = dict[str, Any]


class Meaning(Struct):
    """What a request means.

    Attributes:
        system: The system prompt.
        said: What was said, in order: speaker or kind, and text; neighbours of one kind are one.
        tools: Description and schema by name.
        choice: How tools may be used; `auto` where nothing is said.
        parallel: Whether several calls at once may be made.
        limit: The most tokens to answer.
        sampling: Temperature and the like.
        schema: The schema of the answer.
        effort: How much to think: an effort, `none`, a number of tokens, or `on`; empty where nothing is said.
    """

    system: str
    said: list[tuple[str, str]]
    tools: dict[str, tuple[str, Json]]
    choice: str
    parallel: bool
    limit: int | None
    sampling: Json
    schema: Any
    effort: str = ""


class _Said:
    """Collects what was said."""

    def __init__(self) -> None:
        self.system: list[str] = []
        self.said: list[tuple[str, str]] = []

    def add(self, kind: str, text: str) -> None:
        if kind == "system" and not self.said:
            self.system.append(text)
        elif self.said and self.said[-1][0] == kind and kind in {"user", "assistant", "system"}:
            self.said[-1] = kind, f"{self.said[-1][1]} {text}"
        elif text:
            self.said.append((kind, text))

    def results(self, results: list[tuple[str, str]], attached: list[str]) -> None:
        """Results of one turn's calls, of which the order says nothing, and what is attached; both are taken."""
        self.said += [(f"result of {name}", text) for name, text in sorted(results)]
        self.said += [("media", each) for each in attached]
        results.clear()
        attached.clear()

    def finished(self) -> list[tuple[str, str]]:
        """Everything, with runs of white space as one space."""
        return [(kind, _spaced(text)) for kind, text in self.said if _spaced(text)]


def _spaced(text: str) -> str:
    """With runs of white space as one space, and without the marks around a document."""
    return " ".join(re.sub(r"</?document[^>]*>", " ", text).split())


def _canonical(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _named(kind: str, name: str, arguments: Any) -> tuple[str, str]:
    return kind, f"{name} {_canonical(arguments)}"


def _arguments(text: str) -> Any:
    return msgspec.json.decode(text or "{}")


def _choice(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return f"tool {(wanted.get('function') or wanted)['name']}"
    return {"required": "any"}.get(wanted, wanted or "auto")


NO_OUTPUT, ATTACHED = "(no output)", "[attached to the next message]"
"""What stands for a result without text."""

NO_SCHEMA: Json = {"type": "object", "properties": {}}


def _function(function: Json) -> tuple[str, Json]:
    return _spaced(function.get("description") or ""), {**NO_SCHEMA, **(function.get("parameters") or {})}


def of_chat(body: Json) -> Meaning:
    """Of a request to Chat Completions. A result's media stand in it, or in the next message."""
    said, names = _Said(), dict[str, str]()
    results: list[tuple[str, str]] = []
    attached: list[str] = []
    for message in body["messages"]:
        role = "system" if message["role"] == "developer" else message["role"]
        parts = [_chat_part(part) for part in _parts(message.get("content"))]
        if role == "tool":
            texts = [text.replace(ATTACHED, "") for kind, text in parts if not kind and text != NO_OUTPUT]
            results.append((names.get(message["tool_call_id"], "?"), " ".join(texts)))
            attached += [text for kind, text in parts if kind]
            continue
        said.results(results, attached)
        for kind, text in parts:
            said.add(kind or role, text)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            names[call["id"]] = function["name"]
            said.add(*_named("call", function["name"], _arguments(function["arguments"])))
    said.results(results, attached)
    format = body.get("response_format") or {}  # noqa: A001  # the API's word
    tools = [tool["function"] for tool in body.get("tools") or ()]
    return Meaning(
        _spaced(" ".join(said.system)),
        said.finished(),
        {function["name"]: _function(function) for function in tools},
        _choice(body.get("tool_choice")),
        body.get("parallel_tool_calls") is not False,
        body.get("max_completion_tokens") or body.get("max_tokens"),
        {name: body[name] for name in ("temperature", "top_p", "top_k") if body.get(name) is not None},
        format.get("json_schema", {}).get("schema"),
        _chat_effort(body),
    )


def _chat_effort(body: Json) -> str:
    kind, reasoning = (body.get("thinking") or {}).get("type"), body.get("reasoning") or {}
    if kind == "disabled":
        return "none"
    effort = body.get("reasoning_effort") or reasoning.get("effort") or reasoning.get("max_tokens")
    return str(effort or ("on" if kind or reasoning.get("enabled") else ""))


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content] if content else []


def _chat_part(part: Any) -> tuple[str, str]:
    match part:
        case str():
            return "", part
        case {"image_url": {"url": url}}:
            return "media", url
        case {"file": {"file_data": data}}:
            return "media", data
        case _:
            return "", part["text"]


def of_responses(body: Json) -> Meaning:
    """Of a request to the Responses API."""
    said, names = _Said(), dict[str, str]()
    results: list[tuple[str, str]] = []
    if body.get("instructions"):
        said.add("system", body["instructions"])
    given = body["input"]
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        if item.get("type") == "function_call_output":
            parts = [_response_part(part) for part in _parts(item["output"])]
            results.append((names[item["call_id"]], " ".join(text for _, text in parts if text != NO_OUTPUT)))
            continue
        if item.get("type") == "reasoning":
            continue
        said.results(results, [])
        if item.get("type") == "function_call":
            names[item["call_id"]] = item["name"]
            said.add(*_named("call", item["name"], _arguments(item["arguments"])))
            continue
        role = "system" if item["role"] == "developer" else item["role"]
        for kind, text in (_response_part(part) for part in _parts(item.get("content"))):
            said.add(kind or role, text)
    said.results(results, [])
    format = (body.get("text") or {}).get("format") or {}  # noqa: A001  # the API's word
    return Meaning(
        _spaced(" ".join(said.system)),
        said.finished(),
        {tool["name"]: _function(tool) for tool in body.get("tools") or ()},
        _choice(body.get("tool_choice")),
        body.get("parallel_tool_calls") is not False,
        body.get("max_output_tokens"),
        {name: body[name] for name in ("temperature", "top_p") if body.get(name) is not None},
        format.get("schema"),
        (body.get("reasoning") or {}).get("effort") or "",
    )


def _response_part(part: Any) -> tuple[str, str]:
    match part:
        case str():
            return "", part
        case {"image_url": str(at)} | {"file_data": str(at)} | {"file_url": str(at)}:
            return "media", at
        case _:
            return "", part["text"]


_SAID_IN_SCHEMAS = ("type", "properties", "required", "items", "enum", "anyOf", "description")


def of_gemini(body: Json) -> Meaning:
    """Of a request to `generateContent`."""
    body, said = camel(body), _Said()
    for text in instructions(body):
        said.add("system", text)
    for content in body["contents"]:
        results = []
        for part in map(camel, content["parts"]):
            if "functionResponse" in part:
                response = part["functionResponse"]
                results.append((response["name"], response_text(response["response"])))
                continue
            said.results(results, [])
            if not part.get("thought"):
                role = "assistant" if content.get("role") == "model" else "user"
                said.add(*_gemini_part(part, role))
        said.results(results, [])
    config = camel(body.get("generationConfig") or {})
    calling = camel(camel(body.get("toolConfig") or {}).get("functionCallingConfig") or {})
    mode = {"ANY": "any", "NONE": "none"}.get(calling.get("mode", ""), "auto")
    tools = body.get("tools") or []
    declared = [f for tool in map(camel, tools if isinstance(tools, list) else [tools]) for f in _functions(tool)]
    sampling = {"temperature": "temperature", "topP": "top_p", "topK": "top_k"}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return Meaning(
        _spaced(" ".join(said.system)),
        said.finished(),
        dict(declared),
        f"tool {calling['allowedFunctionNames'][0]}" if calling.get("allowedFunctionNames") else mode,
        parallel=True,
        limit=config.get("maxOutputTokens"),
        sampling={ours: config[theirs] for theirs, ours in sampling.items() if config.get(theirs) is not None},
        schema=None if schema is None else said_in(schema),
        effort=_gemini_effort(camel(config.get("thinkingConfig") or {})),
    )


def _gemini_effort(thinking: Json) -> str:
    if thinking.get("thinkingBudget") is not None:
        return str(thinking["thinkingBudget"] or "none")
    return str(thinking.get("thinkingLevel") or "").lower()


def _gemini_part(part: Json, role: str) -> tuple[str, str]:
    match part:
        case {"functionCall": call}:
            return _named("call", call["name"], call.get("args") or {})
        case {"inlineData": {"mimeType": "text/plain", "data": data} | {"mime_type": "text/plain", "data": data}}:
            return role, plain(data)
        case {"inlineData": data}:
            return "media", camel(data)["data"]
        case {"fileData": data}:
            return "media", camel(data)["fileUri"]
        case _:
            return role, part["text"]


def _functions(tool: Json) -> Iterable[tuple[str, tuple[str, Json]]]:
    for function in map(camel, tool["functionDeclarations"]):
        schema = function.get("parametersJsonSchema") or function.get("parameters") or {}
        described = _spaced(function.get("description") or "")
        yield function["name"], (described, said_in({**NO_SCHEMA, **schema}))


def said_in(schema: Any) -> Any:
    """What a schema says in words that both of Gemini's ways to write one have."""
    if not isinstance(schema, dict):
        return schema
    made = {}
    for name, value in json_schema(schema).items():
        if name == "properties":
            made[name] = {key: said_in(inner) for key, inner in value.items()}
        elif name == "anyOf":
            made[name] = [said_in(inner) for inner in value]
        elif name in _SAID_IN_SCHEMAS and value != []:
            made[name] = said_in(value)
    return made
