"""Requests of the Anthropic Messages API, as far as the demo looks at them.

Source: https://platform.claude.com/docs/en/api/messages. Unknown fields and blocks are no error.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from ccproxy.demo import seal, tokens
from ccproxy.demo.prompt import (
    MEDIA_TOKENS,
    MESSAGE_TOKENS,
    Choice,
    InvalidRequestError,
    Prompt,
    Result,
    Tool,
    json_tokens,
    media,
    without_reminders,
)


class Block(Struct, frozen=True):
    """Any content block. What has another shape in another block stays Raw."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"")
    tool_use_id: str | None = None
    content: Raw = Raw(b"")
    is_error: bool | None = None
    source: Raw = Raw(b"")
    title: str | None = None


Content = str | list[Block]


class Source(Struct, frozen=True):
    """Where an image or a document is: base64, text, url, content or file."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""


class Message(Struct, frozen=True):
    """A message of the conversation."""

    role: str
    content: Content


class ToolDefinition(Struct, frozen=True):
    """A tool; those that the provider runs have no schema, toolsets not even a name."""

    name: str = ""
    input_schema: Raw = Raw(b"{}")


class ToolChoice(Struct, frozen=True):
    """auto, any, tool (with its name) or none."""

    type: str
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class OutputFormat(Struct, frozen=True):
    """The schema that the answer's text must have."""

    schema: Raw = Raw(b"{}")


class OutputConfig(Struct, frozen=True):
    """What the answer shall look like."""

    format: OutputFormat | None = None


class Request(Struct, frozen=True):
    """Body of POST /v1/messages and of POST /v1/messages/count_tokens."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    system: Content | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[Raw] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None


def read(body: bytes) -> Prompt:
    """What the demo needs of a Messages request."""
    with _refused():
        return _prompt(msgspec.json.decode(body, type=Request))


def count_tokens(body: bytes) -> int:
    """The `input_tokens` that the same request would have in its usage."""
    with _refused():
        return _input_tokens(msgspec.json.decode(body, type=Request))


@contextmanager
def _refused() -> Generator[None]:
    """Whatever is wrong with the JSON inside is the request's fault."""
    try:
        yield
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(str(error)) from error


def _input_tokens(request: Request) -> int:
    """Tokens of system prompt, messages and tool definitions."""
    messages = sum(MESSAGE_TOKENS + _tokens(message.content) for message in request.messages)
    return messages + _tokens(request.system or "") + sum(json_tokens(tool) for tool in request.tools or [])


def _prompt(request: Request) -> Prompt:
    if request.max_tokens is None:
        raise InvalidRequestError("max_tokens: Field required")
    turn = _last_turn(request.messages)
    names = {
        block.id: block.name
        for message in request.messages
        for block in _blocks(message.content)
        if block.type == "tool_use" and block.id and block.name
    }
    blocks = [block for message in turn for block in _blocks(message.content)]
    output = request.output_config.format if request.output_config else None
    return Prompt(
        model=request.model,
        text="\n".join(filter(None, map(_shown, (block for block in blocks if block.type != "tool_result")))),
        results=tuple(_result(block, names) for block in blocks if block.type == "tool_result"),
        input_tokens=_input_tokens(request),
        stream=bool(request.stream),
        stream_usage=True,
        max_tokens=request.max_tokens,
        stop_sequences=tuple(request.stop_sequences or ()),
        tools=tuple(_tool(tool) for tool in request.tools or []),
        choice=_choice(request.tool_choice),
        schema=output.schema if output else None,
        recalled=_recalled(request.messages),
    )


def _recalled(messages: list[Message]) -> int:
    """How much thinking comes back. All of it must be signed by the demo, as it came."""
    found = 0
    for number, message in enumerate(messages):
        for place, block in enumerate(_blocks(message.content)):
            if block.type != "thinking":
                continue
            if block.signature != seal.sign(block.thinking or ""):
                text = f"messages.{number}.content.{place}: Invalid `signature` in `thinking` block"
                raise InvalidRequestError(text)
            found += 1
    return found


def _last_turn(messages: list[Message]) -> list[Message]:
    """The user's messages after the last answer; the operator's (role `system`) are left out."""
    if messages[-1].role == "assistant":
        raise InvalidRequestError(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    start = answers[-1] + 1 if answers else 0
    return [message for message in messages[start:] if message.role == "user"]


def _blocks(content: Content) -> list[Block]:
    return [Block("text", text=content)] if isinstance(content, str) else content


def _inner(block: Block) -> list[Block]:
    """Blocks inside a tool result."""
    content = bytes(block.content)
    return _blocks(msgspec.json.decode(content, type=Content | None) or "") if content else []


def _shown(block: Block) -> str:
    """A block as the echo shows it."""
    if block.type == "text":
        return without_reminders(block.text or "")
    if block.type not in {"image", "document"}:
        return f"[{block.type}]"
    source = msgspec.json.decode(block.source, type=Source)
    kind = f"{block.type} {block.title}" if block.title else block.type
    match source.type:
        case "base64":
            return media(kind, source.media_type, source.data)
        case "text":
            return f"[{kind} {source.media_type}, {len(source.data.encode())} bytes]"
        case _:
            return f"[{kind} {source.url or source.file_id or source.type}]"


def _result(block: Block, names: dict[str, str]) -> Result:
    called = block.tool_use_id or ""
    text = "\n".join(_shown(inner) for inner in _inner(block))
    return Result(names.get(called, called), text, is_error=bool(block.is_error))


def _tool(definition: Raw) -> Tool:
    tool = msgspec.json.decode(definition, type=ToolDefinition)
    return Tool(tool.name, tool.input_schema)


def _choice(choice: ToolChoice | None) -> Choice:
    if choice is None:
        return Choice()
    parallel = not choice.disable_parallel_tool_use
    match choice.type:
        case "auto" | "none" | "any" | "tool" as kind:
            return Choice(kind, choice.name, parallel)
        case _:
            raise InvalidRequestError(f"tool_choice.type: '{choice.type}' is not one of auto, any, tool, none")


def _tokens(content: Content) -> int:
    return sum(map(_block_tokens, _blocks(content)))


def _block_tokens(block: Block) -> int:
    match block.type:
        case "text":
            return tokens.count(block.text or "")
        case "thinking":
            return tokens.count(block.thinking or "")
        case "tool_use":
            return tokens.count(block.name or "") + json_tokens(block.input)
        case "tool_result":
            return sum(map(_block_tokens, _inner(block)))
        case _:
            return MEDIA_TOKENS
