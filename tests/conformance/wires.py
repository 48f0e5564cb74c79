"""The six wires that a conversation may go out on, and how to look at what goes out.

A body is looked at as the pieces that its provider renders into a prompt, in that order and byte for byte: prompt
caches keep the longest run of equal pieces from the start.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct
from unit.chat import KEY

from ccproxy.call import Call, Target
from ccproxy.provider import Exchange, Provider
from ccproxy.providers import deepseek, openrouter
from ccproxy.providers.anthropic import Anthropic
from ccproxy.providers.gemini import Gemini
from ccproxy.providers.openai import OpenAI

VERSION = "2026-10-21"
CALLERS_MODEL = "claude-opus-5-5"

Request = Mapping[str, Any]
"""An Anthropic request, but for what `asked` adds. Values may be Raw."""


class Wire(Struct, frozen=True):
    """A provider with one of its models.

    Attributes:
        name: How tests call it.
        provider: It.
        model: The model there.
        pieces: Takes a body apart.
    """

    name: str
    provider: Provider
    model: str
    pieces: Callable[[bytes], list[bytes]]

    def exchange(self, request: Request, **headers: str) -> Exchange:
        """One attempt with a request."""
        call = asked(request, **headers)
        return self.provider.exchange(call, call.head(), Target(self.name, self.model, "default"))

    def body(self, request: Request, **headers: str) -> bytes:
        """What goes upstream for a request."""
        return self.exchange(request, **headers).request.body or b""


def asked(request: Request, *, request_id: str = "req_1", **headers: str) -> Call:
    """A caller's call; in names of headers `_` stands for `-`."""
    document = {"model": CALLERS_MODEL, "max_tokens": 4096, **request}
    named = {"anthropic-version": VERSION, **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = msgspec.json.encode(document)
    return Call(edge="http", request_id=request_id, body=body, headers={k: [v] for k, v in named.items()})


def _members(raw: Raw | bytes) -> dict[str, Raw]:
    return msgspec.json.decode(raw, type=dict[str, Raw])


def _items(raw: Raw | bytes) -> list[Raw]:
    return msgspec.json.decode(raw, type=list[Raw])


def unmarked(raw: Raw) -> bytes:
    """An object without its cache mark, which is advice to the cache and no part of the prompt."""
    members = _members(raw)
    members.pop("cache_control", None)  # where to cache is no part of what is cached, and it moves
    members.pop("prompt_cache_breakpoint", None)
    return msgspec.json.encode(members)


def _content(raw: Raw) -> list[bytes]:
    """The parts of a content; a text alone is one."""
    if bytes(raw)[:1] == b'"':
        return [b'{"type":"text","text":' + bytes(raw) + b"}"]
    return [unmarked(part) for part in _items(raw)]


def _said(members: dict[str, Raw], first: Iterable[str]) -> list[bytes]:
    """A message: what it is, its content, then whatever else it has, in order."""
    label = b" ".join(bytes(members.pop(name)) for name in first if name in members)
    pieces = [label, *(_content(members.pop("content")) if "content" in members else ())]
    return pieces + [name.encode() + b" " + bytes(value) for name, value in members.items()]


def _joined(messages: Iterable[list[bytes]]) -> list[bytes]:
    """The pieces of all messages; a message with the label of the one before is more of that one."""
    pieces: list[bytes] = []
    label = b""
    for message in messages:
        pieces += message[1:] if message[0] == label else message
        label = message[0]
    return pieces


def _anthropic(body: bytes) -> list[bytes]:
    members = _members(body)
    tools = [unmarked(tool) for tool in _items(members.get("tools", b"[]"))]
    system = _content(members["system"]) if "system" in members else []
    return tools + system + _joined(_said(_members(each), ["role"]) for each in _items(members["messages"]))


def _chat(body: bytes) -> list[bytes]:
    members = _members(body)
    tools = [unmarked(tool) for tool in _items(members.get("tools", b"[]"))]
    messages = (_said(_members(each), ["role", "tool_call_id"]) for each in _items(members["messages"]))
    return [*tools, *(piece for message in messages for piece in message)]


def _responses(body: bytes) -> list[bytes]:
    members = _members(body)
    tools = [bytes(tool) for tool in _items(members.get("tools", b"[]"))]
    pieces = [*tools, bytes(members.get("instructions", b""))]
    for item in _items(members["input"]):
        parts = _members(item)
        if "role" in parts:
            pieces += _said(parts, ["type", "role"])
        elif bytes(parts.get("output", b""))[:1] == b"[":
            output = [Raw(unmarked(part)) for part in _items(parts["output"])]
            pieces.append(msgspec.json.encode({**parts, "output": output}))
        else:
            pieces.append(bytes(item))
    return pieces


def _gemini(body: bytes) -> list[bytes]:
    members = _members(body)
    pieces = [bytes(members.get("systemInstruction", b"")), bytes(members.get("tools", b""))]
    for each in _items(members["contents"]):
        content = _members(each)
        pieces += [bytes(content["role"]), *map(bytes, _items(content["parts"]))]
    return pieces


OPENAI = "https://api.openai.com"

ANTHROPIC = Wire("anthropic", Anthropic("a", "https://api.anthropic.com", KEY), "claude-sonnet-5-5", _anthropic)
CHAT = Wire("openai_chat", OpenAI("c", OPENAI, KEY, "chat"), "gpt-4.1", _chat)
RESPONSES = Wire("openai_responses", OpenAI("r", OPENAI, KEY, "responses"), "gpt-5.6-sol", _responses)
GEMINI = Wire("gemini", Gemini("g", "https://generativelanguage.googleapis.com", KEY), "gemini-3.5-flash", _gemini)
DEEPSEEK = Wire("deepseek", deepseek.provider("d", "https://api.deepseek.com", KEY), "deepseek-flash", _chat)
OPENROUTER = Wire("openrouter", openrouter.provider("o", "https://openrouter.ai/api/v1", KEY), "z-ai/glm-5", _chat)
CLAUDE_BY_OPENROUTER = msgspec.structs.replace(
    OPENROUTER, name="openrouter_claude", model="anthropic/claude-sonnet-5-5"
)
GEMINI_2 = msgspec.structs.replace(GEMINI, name="gemini_2", model="gemini-2.5-pro")

WIRES = (ANTHROPIC, CHAT, RESPONSES, GEMINI, DEEPSEEK, OPENROUTER)
TRANSLATED = (*WIRES[1:], CLAUDE_BY_OPENROUTER, GEMINI_2)
ALL = (*WIRES, CLAUDE_BY_OPENROUTER, GEMINI_2)


def named(wire: Wire) -> str:
    """The name of a wire, for a parametrized test."""
    return wire.name
