"""Requests of OpenAI's Chat Completions, as far as the demo looks at them.

Source: https://platform.openai.com/docs/api-reference/chat/create. Unknown fields and parts are no error.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from ccproxy.demo import tokens
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


class ImageUrl(Struct, frozen=True):
    """Where an image is: a URL, often one of `data:`."""

    url: str


class File(Struct, frozen=True):
    """A document."""

    file_data: str = ""
    filename: str = ""
    file_id: str = ""


class Part(Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    file: File | None = None


Content = str | list[Part] | None


class Function(Struct, frozen=True):
    """A function: what is called, or what may be."""

    name: str
    arguments: str = ""
    parameters: Raw = Raw(b"{}")


class ToolCall(Struct, frozen=True):
    """A call in the history."""

    id: str
    function: Function | None = None


class Message(Struct, frozen=True):
    """A message of the conversation."""

    role: str
    content: Content = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class ToolDefinition(Struct, frozen=True):
    """A tool."""

    type: str
    function: Function | None = None


class NamedFunction(Struct, frozen=True):
    """Which function must be called."""

    name: str


class NamedChoice(Struct, frozen=True):
    """A function that must be called."""

    function: NamedFunction


class JsonSchema(Struct, frozen=True):
    """The schema that the answer's text must have."""

    schema: Raw = Raw(b"{}")


class ResponseFormat(Struct, frozen=True):
    """text, json_object or json_schema."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, frozen=True):
    """Whether the stream brings its usage."""

    include_usage: bool | None = None


class Request(Struct, frozen=True):
    """Body of POST /v1/chat/completions."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Raw] | None = None
    tool_choice: str | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None


_ANY_OBJECT = Raw(b'{"type": "object"}')


def read(body: bytes) -> Prompt:
    """What the demo needs of a Chat Completions request."""
    try:
        return _prompt(msgspec.json.decode(body, type=Request))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(str(error)) from error


def _prompt(request: Request) -> Prompt:
    names = {
        call.id: call.function.name
        for message in request.messages
        for call in message.tool_calls or ()
        if call.function
    }
    turn = _last_turn(request.messages)
    texts = [_text(message) for message in turn if message.role == "user"]
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    return Prompt(
        model=request.model,
        text="\n".join(filter(None, texts)),
        results=tuple(_result(message, names) for message in turn if message.role == "tool"),
        input_tokens=sum(map(_tokens, request.messages)) + sum(map(json_tokens, request.tools or [])),
        stream=bool(request.stream),
        stream_usage=bool(request.stream_options and request.stream_options.include_usage),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        stop_sequences=tuple(stop or ()),
        tools=_tools(request),
        choice=_choice(request),
        schema=_schema(request.response_format),
    )


def _last_turn(messages: list[Message]) -> list[Message]:
    """What follows the last answer."""
    answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    return messages[answers[-1] + 1 :] if answers else messages


def _parts(content: Content) -> list[Part]:
    if isinstance(content, str):
        return [Part("text", text=content)]
    return content or []


def _text(message: Message) -> str:
    return "\n".join(filter(None, map(_shown, _parts(message.content))))


def _shown(part: Part) -> str:
    """A part as the echo shows it."""
    if part.type == "text":
        return without_reminders(part.text or "")
    if part.image_url:
        return _located("image", part.image_url.url)
    if part.file:
        kind = f"document {part.file.filename}" if part.file.filename else "document"
        return _located(kind, part.file.file_data or part.file.file_id)
    return f"[{part.type}]"


def _located(kind: str, url: str) -> str:
    head, comma, data = url.partition(";base64,")
    return media(kind, head.removeprefix("data:"), data) if comma else f"[{kind} {url}]"


def _result(message: Message, names: dict[str, str]) -> Result:
    called = message.tool_call_id or ""
    return Result(names.get(called, called), _text(message))


def _tools(request: Request) -> tuple[Tool, ...]:
    definitions = [msgspec.json.decode(tool, type=ToolDefinition) for tool in request.tools or []]
    return tuple(Tool(tool.function.name, tool.function.parameters) for tool in definitions if tool.function)


def _choice(request: Request) -> Choice:
    parallel = request.parallel_tool_calls is not False
    match request.tool_choice:
        case None | "auto":
            return Choice("auto", parallel=parallel)
        case "none":
            return Choice("none", parallel=parallel)
        case "required":
            return Choice("any", parallel=parallel)
        case NamedChoice(function):
            return Choice("tool", function.name, parallel)
        case unknown:
            raise InvalidRequestError(f"tool_choice: '{unknown}' is not one of none, auto, required")


def _schema(wanted: ResponseFormat | None) -> Raw | None:
    if wanted is None:
        return None
    if wanted.json_schema is not None:
        return wanted.json_schema.schema
    return _ANY_OBJECT if wanted.type == "json_object" else None


def _tokens(message: Message) -> int:
    parts = sum(tokens.count(part.text) if part.text else MEDIA_TOKENS for part in _parts(message.content))
    calls = [call.function for call in message.tool_calls or () if call.function]
    return MESSAGE_TOKENS + parts + sum(tokens.count(call.name) + tokens.count(call.arguments) for call in calls)
