"""Requests of OpenAI's Responses API, as far as the demo looks at them.

Sources: https://platform.openai.com/docs/api-reference/responses/create, and for what is refused the guides on
reasoning and on function calling, and recorded errors. Unknown fields and items are no error.
"""

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

ENCRYPTED = "reasoning.encrypted_content"
MIN_OUTPUT_TOKENS = 16


class Part(Struct, frozen=True):
    """A part of a message or of a call's output."""

    type: str
    text: str | None = None
    image_url: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None


Content = str | list[Part] | None


class Item(Struct, frozen=True):
    """Any input item; a message may come without its type."""

    type: str = "message"
    id: str | None = None
    role: str | None = None
    content: Content = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: Content = None
    encrypted_content: str | None = None


class ToolDefinition(Struct, frozen=True):
    """A tool; those that OpenAI runs have no name."""

    type: str
    name: str = ""
    parameters: Raw = Raw(b"{}")


class NamedChoice(Struct, frozen=True):
    """A function that must be called."""

    type: str
    name: str = ""


class Format(Struct, frozen=True):
    """text, json_object or json_schema."""

    type: str
    schema: Raw = Raw(b'{"type": "object"}')


class TextConfig(Struct, frozen=True):
    """The form of the text."""

    format: Format | None = None


class ReasoningConfig(Struct, frozen=True):
    """How much the model reasons, and whether it tells."""

    effort: str | None = None
    summary: str | None = None


class Request(Struct, frozen=True):
    """Body of POST /v1/responses and of POST /v1/responses/input_tokens."""

    model: str
    input: str | Annotated[list[Item], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=MIN_OUTPUT_TOKENS)] | None = None
    stream: bool | None = None
    tools: list[Raw] | None = None
    tool_choice: str | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = None

    @property
    def items(self) -> list[Item]:
        """The conversation; a string is one message."""
        return [Item(role="user", content=self.input)] if isinstance(self.input, str) else self.input


def read(body: bytes) -> Prompt:
    """What the demo needs of a Responses request."""
    try:
        return _prompt(msgspec.json.decode(body, type=Request))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(str(error)) from error


def count_tokens(body: bytes) -> int:
    """The `input_tokens` that the same request would have in its usage."""
    try:
        request = msgspec.json.decode(body, type=Request)
        return _input_tokens(request, sum(map(tokens.count, _recalled(request.items))))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(str(error)) from error


def _prompt(request: Request) -> Prompt:
    items = request.items
    thoughts = _recalled(items)
    _require_outputs(items)
    names = {item.call_id: item.name for item in items if item.type == "function_call" and item.call_id}
    turn = _last_turn(items)
    texts = [_text(item.content) for item in turn if item.type == "message" and item.role == "user"]
    config = request.reasoning or ReasoningConfig()
    wanted = request.text.format if request.text else None
    return Prompt(
        model=request.model,
        text="\n".join(filter(None, texts)),
        results=tuple(
            Result(names.get(item.call_id or "") or item.call_id or "", _text(item.output))
            for item in turn
            if item.type == "function_call_output"
        ),
        input_tokens=_input_tokens(request, sum(map(tokens.count, thoughts))),
        stream=bool(request.stream),
        stream_usage=True,
        max_tokens=request.max_output_tokens,
        tools=_tools(request),
        choice=_choice(request),
        schema=wanted.schema if wanted and wanted.type != "text" else None,
        thinks=config.effort != "none",
        shows_thinking=config.summary is not None,
        keeps_thinking=ENCRYPTED in (request.include or ()),
        recalled=len(thoughts),
    )


def _is_answer(item: Item) -> bool:
    return item.type in {"reasoning", "function_call"} or (item.type == "message" and item.role == "assistant")


def _last_turn(items: list[Item]) -> list[Item]:
    """What follows the last answer."""
    answers = [number for number, item in enumerate(items) if _is_answer(item)]
    return items[answers[-1] + 1 :] if answers else items


def _recalled(items: list[Item]) -> list[str]:
    """The reasoning that comes back. It must be the demo's own, whole, and before what it led to."""
    found = []
    for number, item in enumerate(items):
        if item.type != "reasoning":
            continue
        if not item.encrypted_content:
            raise InvalidRequestError(
                f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false. "
                "Try again with `store` set to true, or remove this item from your input."
            )
        thinking = seal.decrypt(item.id or "", item.encrypted_content)
        if thinking is None:
            raise InvalidRequestError(
                f"The encrypted content for item {item.id} could not be verified. "
                "Reason: Encrypted content could not be decrypted or parsed.",
                "invalid_encrypted_content",
            )
        if not (number + 1 < len(items) and _is_answer(items[number + 1])):
            raise InvalidRequestError(
                f"Item '{item.id}' of type 'reasoning' was provided without its required following item."
            )
        found.append(thinking)
    return found


def _require_outputs(items: list[Item]) -> None:
    """Every call needs its output, and every output its call."""
    calls = {item.call_id for item in items if item.type == "function_call"}
    outputs = {item.call_id for item in items if item.type == "function_call_output"}
    for call in calls - outputs:
        raise InvalidRequestError(f"No tool output found for function call {call}.")
    for output in outputs - calls:
        raise InvalidRequestError(f"No tool call found for function call output with call_id {output}.")


def _parts(content: Content) -> list[Part]:
    if isinstance(content, str):
        return [Part("input_text", text=content)]
    return content or []


def _text(content: Content) -> str:
    return "\n".join(filter(None, map(_shown, _parts(content))))


def _shown(part: Part) -> str:
    """A part as the echo shows it."""
    if part.type in {"input_text", "output_text"}:
        return without_reminders(part.text or "")
    if part.type == "input_image":
        return _located("image", part.image_url or part.file_id or "")
    if part.type == "input_file":
        kind = f"document {part.filename}" if part.filename else "document"
        return _located(kind, part.file_data or part.file_url or part.file_id or "")
    return f"[{part.type}]"


def _located(kind: str, url: str) -> str:
    head, comma, data = url.partition(";base64,")
    return media(kind, head.removeprefix("data:"), data) if comma else f"[{kind} {url}]"


def _tools(request: Request) -> tuple[Tool, ...]:
    definitions = [msgspec.json.decode(tool, type=ToolDefinition) for tool in request.tools or []]
    return tuple(Tool(tool.name, tool.parameters) for tool in definitions if tool.name)


def _choice(request: Request) -> Choice:
    parallel = request.parallel_tool_calls is not False
    match request.tool_choice:
        case None | "auto":
            return Choice("auto", parallel=parallel)
        case "none":
            return Choice("none", parallel=parallel)
        case "required":
            return Choice("any", parallel=parallel)
        case NamedChoice("function", name):
            return Choice("tool", name, parallel)
        case unknown:
            raise InvalidRequestError(f"tool_choice: {unknown} is not one of none, auto, required")


def _input_tokens(request: Request, thinking: int) -> int:
    """Tokens of instructions, items and tool definitions."""
    items = sum(map(_item_tokens, request.items))
    return items + thinking + tokens.count(request.instructions or "") + sum(map(json_tokens, request.tools or []))


def _item_tokens(item: Item) -> int:
    match item.type:
        case "reasoning":
            return 0  # what it holds is counted where it is opened
        case "function_call":
            return MESSAGE_TOKENS + tokens.count(item.name or "") + tokens.count(item.arguments or "")
        case "function_call_output":
            return MESSAGE_TOKENS + _content_tokens(item.output)
        case _:
            return MESSAGE_TOKENS + _content_tokens(item.content)


def _content_tokens(content: Content) -> int:
    return sum(MEDIA_TOKENS if part.text is None else tokens.count(part.text) for part in _parts(content))
