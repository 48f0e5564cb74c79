"""Reads a conversation back from a provider's request, without any code of the translators.

A conversation is read as steps: what the assistant said, and all that came before it spoke again. Every text that
a test writes stands in «»; what else a reader finds must be one of the few words that translation adds.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

Json = dict[str, Any]

_MARKED = re.compile(r"«[^»]*»")
_ADDED = re.compile(
    r"\[[a-z ]*(?:omitted|interrupted|attached|begins)[a-z :]*\]|Error:|\(no output\)"
    r"|</?document[^>]*>|</?system-reminder>"
)


def exactly(text: str | bytes) -> Any:
    """A JSON value; its fractions stay as they are spelled."""
    return _EXACT.decode(text)


def marked(text: str) -> list[str]:
    """The texts of a test in a text."""
    rest = _ADDED.sub("", _MARKED.sub("", text))
    assert rest.strip() == "", f"nobody said {rest!r}"
    return _MARKED.findall(text)


_EXACT = msgspec.json.Decoder(float_hook=str)


class Result(Struct):
    """What a call gave."""

    texts: list[str]
    is_error: bool


class Step(Struct):
    """A step. `system` is what an operator says; `media` are `data:` URLs and addresses, in any order."""

    said: list[str] = []
    calls: list[tuple[str, Any]] = []
    results: list[Result] = []
    heard: list[str] = []
    system: list[str] = []
    media: list[str] = []


class Meaning(Struct):
    """A request. Tools are their name and schema by their description."""

    system: list[str]
    tools: dict[str, tuple[str, Any]]
    steps: list[Step]


class _Reader:
    """Puts steps together; the first one is the caller's."""

    def __init__(self) -> None:
        self.steps = [Step()]
        self._heard = True

    def said(self) -> Step:
        """The step that the assistant speaks in."""
        if self._heard:
            self.steps.append(Step())
        self._heard = False
        return self.steps[-1]

    def heard(self) -> Step:
        """The step that somebody else speaks in."""
        self._heard = True
        return self.steps[-1]


def _parts(content: str | Iterable[Json]) -> tuple[str, list[str]]:
    """The text of a content, and its media."""
    if isinstance(content, str):
        return content, []
    texts, media = [], []
    for part in content:
        match part:
            case {"text": str(text)}:
                texts.append(text)
            case (
                {"image_url": {"url": url}}
                | {"image_url": url}
                | {"file_url": url}
                | {"fileData": {"fileUri": url}}
            ):
                media.append(url)
            case {"file": {"file_data": data}} | {"file_data": data}:
                media.append(data)
            case {"inlineData": {"mimeType": type_, "data": data}}:
                media.append(f"data:{type_};base64,{data}")
            case _:
                raise AssertionError(f"a part that no rule here knows: {part}")
    return "\n".join(texts), media


def _result(content: Any, step: Step) -> None:
    text, media = _parts(content)
    step.results.append(Result(marked(text), text.startswith("Error:")))
    step.media += media


def _chat(body: Json) -> Meaning:
    reader = _Reader()
    messages = body["messages"]
    has_system = messages[0]["role"] in {"system", "developer"}
    for message in messages[has_system:]:
        content = message["content"]
        match message["role"]:
            case "assistant":
                step = reader.said()
                step.said += marked(_parts(content)[0])
                for call in message.get("tool_calls", ()):
                    step.calls.append((call["function"]["name"], exactly(call["function"]["arguments"])))
            case "tool":
                _result(content, reader.heard())
            case "user":
                text, media = _parts(content)
                reader.heard().heard += marked(text)
                reader.heard().media += media
            case _:
                reader.heard().system += marked(_parts(content)[0])
    system = marked(_parts(messages[0]["content"])[0]) if has_system else []
    functions = [tool["function"] for tool in body.get("tools", ())]
    return Meaning(system, {f["description"]: (f["name"], f["parameters"]) for f in functions}, reader.steps)


def _responses(body: Json) -> Meaning:
    reader = _Reader()
    for item in body["input"]:
        match item:
            case {"type": "reasoning"}:
                reader.said()
            case {"type": "function_call", "name": name, "arguments": arguments}:
                reader.said().calls.append((name, exactly(arguments)))
            case {"type": "function_call_output", "output": output}:
                _result(output, reader.heard())
            case {"role": "assistant", "content": content}:
                reader.said().said += marked(_parts(content)[0])
            case {"role": "user", "content": content}:
                text, media = _parts(content)
                reader.heard().heard += marked(text)
                reader.heard().media += media
            case {"content": content}:
                reader.heard().system += marked(_parts(content)[0])
    tools = {tool["description"]: (tool["name"], tool["parameters"]) for tool in body.get("tools", ())}
    return Meaning(marked(body.get("instructions", "")), tools, reader.steps)


def _gemini(body: Json) -> Meaning:
    reader = _Reader()
    for content in body["contents"]:
        for part in content["parts"]:
            match part:
                case {"thought": True} | {"text": ""}:
                    pass
                case {"functionCall": {"name": name, "args": arguments}}:
                    reader.said().calls.append((name, arguments))
                case {"functionResponse": {"response": response} as held}:
                    text = response.get("output", response.get("error"))
                    reader.heard().results.append(Result(marked(text), "error" in response))
                    reader.heard().media += _parts(held.get("parts", ()))[1]
                case {"text": text} if content["role"] == "model":
                    reader.said().said += marked(text)
                case {"text": text} if text.startswith("<system-reminder>\n"):
                    reader.heard().system += marked(text)
                case _:
                    text, media = _parts([part])
                    reader.heard().heard += marked(text)
                    reader.heard().media += media
    system = [
        text for part in body.get("systemInstruction", {"parts": ()})["parts"] for text in marked(part["text"])
    ]
    declared = [each for tool in body.get("tools", ()) for each in tool["functionDeclarations"]]
    tools = {each["description"]: (each["name"], each["parametersJsonSchema"]) for each in declared}
    return Meaning(system, tools, reader.steps)


_READ: Mapping[str, Callable[[Json], Meaning]] = {
    "openai_chat": _chat,
    "deepseek": _chat,
    "openrouter": _chat,
    "openrouter_claude": _chat,
    "openai_responses": _responses,
    "gemini": _gemini,
    "gemini_2": _gemini,
}


def read_back(name: str, body: bytes) -> Meaning:
    """What a body says."""
    return _READ[name](exactly(body))
