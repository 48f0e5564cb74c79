"""Recorded requests of every provider, as the Anthropic request that would have been said so.

What a derivation cannot know, it refuses: files and images (the recordings hold stand-ins), tools that the
provider runs and fills the prompt with, and state that it keeps.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

Document = dict[str, Any]


class Unknowable(Exception):  # noqa: N818  # no failure: a recording that tells nothing
    """The request holds what its text does not tell."""


def derived(api: str, document: Document) -> Document:
    """The Anthropic request behind a recorded one.

    Raises:
        Unknowable: There is none.
    """
    try:
        if api.startswith("generateContent"):
            request = _of_gemini(document)
        elif "contents" in document or "generateContentRequest" in document:
            request = _of_gemini(document.get("generateContentRequest", document))
        elif "input" in document:
            request = _of_responses(document)
        elif api == "chat.completions":
            request = _of_chat(document)
        else:
            request = _of_anthropic(document)
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError) as error:
        raise Unknowable from error  # some recordings are of requests that are not quite the API's
    return {"model": "m", "max_tokens": 1, **request}


def _only(item: Document, *members: str) -> None:
    """Refuses what has members beside `members`: they say more than is read."""
    if any(value for name, value in item.items() if name not in members):
        raise Unknowable


def _texts(content: Any) -> list[Document]:
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    found: list[Document] = []
    for part in content:
        if isinstance(part, str):
            found.append({"type": "text", "text": part})
        elif part.get("type") in {"text", "input_text", "output_text", "refusal"}:
            found.append({"type": "text", "text": part.get("text") or part.get("refusal") or ""})
        else:
            raise Unknowable
    return found


def _of_anthropic(document: Document) -> Document:
    if any(document.get(name) for name in ("mcp_servers", "container", "context_management")):
        raise Unknowable
    for tool in document.get("tools") or ():
        if tool.get("type", "custom") != "custom" or tool.get("defer_loading"):
            raise Unknowable
    for block in _blocks(document["messages"]):
        kinds = {"text", "thinking", "redacted_thinking", "tool_use", "tool_result"}
        if block["type"] not in kinds or block["type"] == "redacted_thinking" or block.get("thinking") == "":
            raise Unknowable  # what is encrypted was shortened in the recordings
    members = ("messages", "system", "tools", "thinking", "output_config", "tool_choice")
    request = {name: document[name] for name in members if document.get(name) is not None}
    if document.get("output_format"):
        request["output_config"] = {"format": document["output_format"]}
    return request


def _blocks(messages: list[Document]) -> Iterator[Document]:
    for message in messages:
        for block in message["content"] if isinstance(message["content"], list) else ():
            yield block
            if block["type"] == "tool_result" and isinstance(block.get("content"), list):
                yield from block["content"]


def _tool(function: Document) -> Document:
    return {
        "name": function["name"],
        "description": function.get("description") or "",
        "input_schema": function.get("parameters") or {},
    }


def _format(schema: Any) -> Document:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}} if schema else {}


def _of_chat(document: Document) -> Document:
    if any(document.get(name) for name in ("plugins", "web_search_options", "transforms", "prediction")):
        raise Unknowable
    system: list[Document] = []
    messages: list[Document] = []
    for message in document["messages"]:
        role = message["role"]
        _only(
            message,
            *("role", "content", "tool_calls", "tool_call_id", "name", "refusal"),
            *("reasoning_content", "function_call"),
        )
        if role in {"system", "developer"}:
            system += _texts(message["content"])
        elif role in {"tool", "function"}:
            result = {"type": "tool_result", "tool_use_id": "t", "content": _texts(message["content"])}
            messages.append({"role": "user", "content": [result]})
        else:
            content = []
            if message.get("reasoning_content"):
                content.append({"type": "thinking", "thinking": message["reasoning_content"]})
            content += _texts(message.get("content"))
            calls = [call["function"] for call in message.get("tool_calls") or ()]
            calls += [message["function_call"]] if message.get("function_call") else []
            content += [_call(call["name"], call["arguments"]) for call in calls]
            messages.append({"role": role, "content": content})
    tools = [_tool(tool["function"]) for tool in document.get("tools") or ()]
    tools += [_tool(function) for function in document.get("functions") or ()]
    schema = (document.get("response_format") or {}).get("json_schema", {}).get("schema")
    return {"system": system, "messages": messages, "tools": tools, **_format(schema)}


def _call(name: str, arguments: str) -> Document:
    return {"type": "tool_use", "id": "t", "name": name, "input": msgspec.json.decode(arguments or "{}")}


def _of_responses(document: Document) -> Document:
    if document.get("previous_response_id") or document.get("context_management"):
        raise Unknowable
    if (document.get("reasoning") or {}).get("mode"):
        raise Unknowable  # the provider asks the model in words of its own
    system = _texts(document.get("instructions"))
    messages: list[Document] = []
    items = document["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        match item.get("type", "message"):
            case "message" if item["role"] in {"system", "developer"}:
                system += _texts(item["content"])
            case "message":
                messages.append({"role": item["role"], "content": _texts(item["content"])})
            case "function_call":
                messages.append({"role": "assistant", "content": [_call(item["name"], item["arguments"])]})
            case "function_call_output":
                result = {"type": "tool_result", "tool_use_id": "t", "content": _texts(item["output"])}
                messages.append({"role": "user", "content": [result]})
            case _:
                raise Unknowable
    if any(tool["type"] != "function" for tool in document.get("tools") or ()):
        raise Unknowable
    schema = (document.get("text") or {}).get("format", {}).get("schema")
    return {
        "system": system,
        "messages": messages,
        "tools": [_tool(tool) for tool in document.get("tools") or ()],
        **_format(schema),
    }


def _of_gemini(document: Document) -> Document:
    if document.get("cachedContent"):
        raise Unknowable
    system = document.get("systemInstruction") or {}
    contents = document["contents"]
    messages = [
        {
            "role": "user" if content.get("role", "user") == "user" else "assistant",
            "content": [_part(part) for part in content["parts"]],
        }
        for content in (contents if isinstance(contents, list) else [contents])
    ]
    tools = []
    for tool in document.get("tools") or ():
        _only(tool, "functionDeclarations", "function_declarations")
        for function in tool.get("functionDeclarations") or tool["function_declarations"]:
            schema = function.get("parametersJsonSchema") or function.get("parameters")
            tools.append(_tool({**function, "parameters": schema}))
    config = document.get("generationConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    return {
        "system": [{"type": "text", "text": part["text"]} for part in system.get("parts", ())],
        "messages": messages,
        "tools": tools,
        **_format(schema),
    }


def _part(part: Document) -> Document:
    said = {name: value for name, value in part.items() if name != "thoughtSignature" and value is not None}
    match said:
        case {"text": str(text), "thought": True}:
            return {"type": "thinking", "thinking": text}
        case {"text": str(text)}:
            return {"type": "text", "text": text}
        case {"functionCall": {"name": name, **rest}}:
            return {"type": "tool_use", "id": "t", "name": name, "input": rest.get("args") or {}}
        case {"functionResponse": {"response": response, **rest}} if not rest.get("parts"):
            told = msgspec.json.encode(response).decode()
            return {"type": "tool_result", "tool_use_id": "t", "content": told}
        case _:
            raise Unknowable
