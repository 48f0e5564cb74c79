"""DeepSeek: Chat Completions with the reasoning in the open.

Sources: https://api-docs.deepseek.com (thinking_mode, error_codes, rate_limit) and recorded answers: the first
chunk with an empty `reasoning_content`, the usage on the chunk that ends the answer, the comment that keeps the
connection open. As the real one does, it wants the reasoning of earlier calls back, takes text alone, and forces
no tool while it thinks.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from ccproxy.demo import deepseek_wire as wire
from ccproxy.demo import openai_chat_request
from ccproxy.demo.answer import Answer, Usage
from ccproxy.demo.dialect import SERVER_ERROR, Frame, Kind, Stamp, status_of
from ccproxy.demo.openai_chat import DONE, finish, frame
from ccproxy.demo.openai_chat_wire import Function, Model, ModelList, call_more, call_start
from ccproxy.demo.prompt import InvalidRequestError, Prompt
from ccproxy.demo.steps import (
    ArgumentsPiece,
    CallStart,
    TextPiece,
    ThoughtEnd,
    ThoughtPiece,
    calls_of,
    steps,
    text_of,
    thinking_of,
)

REQUEST_ID = "x-ds-trace-id"
MODELS = ("deepseek-demo-1",)

KEEP_ALIVE = Frame(b": keep-alive\n\n")

_TYPE_OF = {401: "authentication_error", 402: "unknown_error", 429: "rate_limit_error"}
"""What errors are called; all others are `invalid_request_error` or, from 500 on, `server_error`."""


class Part(Struct, frozen=True):
    """A part of a message; only text is taken."""

    type: str


class Turn(Struct, frozen=True):
    """What is read of a message besides what all Chat Completions have."""

    role: str
    content: str | list[Part] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Raw] | None = None


class Thinking(Struct, frozen=True):
    """enabled or disabled."""

    type: str


class Request(Struct, frozen=True):
    """What is read of a request besides what all Chat Completions have."""

    messages: list[Turn]
    thinking: Thinking | None = None


def read(body: bytes) -> Prompt:
    """What the demo needs of a request."""
    prompt = openai_chat_request.read(body)
    try:
        request = msgspec.json.decode(body, type=Request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"Failed to deserialize the JSON body into the target type: {error}") from error
    thinks = request.thinking is None or request.thinking.type != "disabled"
    for number, turn in enumerate(request.messages):
        _require_text(number, turn)
        if thinks and turn.tool_calls and turn.reasoning_content is None:
            raise InvalidRequestError(
                "The `reasoning_content` in the thinking mode must be passed back to the API."
            )
    if thinks and prompt.choice.kind in {"any", "tool"}:
        raise InvalidRequestError("Thinking mode does not support this tool_choice")
    recalled = sum(bool(turn.reasoning_content) for turn in request.messages)
    return msgspec.structs.replace(prompt, thinks=thinks, recalled=recalled)


def _require_text(number: int, turn: Turn) -> None:
    for part in turn.content if isinstance(turn.content, list) else ():
        if part.type != "text":
            raise InvalidRequestError(
                f"Failed to deserialize the JSON body into the target type: messages[{number}]: "
                f"unknown variant `{part.type}`, expected `text`"
            )


def whole(answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
    """The answer as one JSON document, after the empty line that keeps the connection open."""
    calls = [
        wire.ToolCall(index=number, id=_call_id(stamp, number), function=Function(call.name, call.arguments))
        for number, call in enumerate(calls_of(answer))
    ]
    message = wire.Message(
        content=text_of(answer),
        reasoning_content="".join(thinking_of(answer)) if prompt.thinks else msgspec.UNSET,
        tool_calls=calls or msgspec.UNSET,
    )
    completion = wire.Completion(
        id=_id(stamp),
        created=stamp.created,
        model=_model_name(prompt),
        choices=[wire.Choice(message=message, finish_reason=finish(answer))],
        usage=_usage(answer.usage),
    )
    return b"\n" + msgspec.json.encode(completion)


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream: one piece for every token."""
    yield KEEP_ALIVE
    silent = None if prompt.thinks else msgspec.UNSET  # who does not think has no such member
    first = None if prompt.thinks else ""
    begun = "" if prompt.thinks else msgspec.UNSET
    yield _chunk(prompt, stamp, wire.Delta(role="assistant", content=first, reasoning_content=begun))
    for step in steps(answer):
        match step:
            case TextPiece(text):
                yield _chunk(prompt, stamp, wire.Delta(content=text, reasoning_content=silent), Kind.PIECE)
            case ThoughtPiece(_, text):
                yield _chunk(prompt, stamp, wire.Delta(content=None, reasoning_content=text), Kind.PIECE)
            case CallStart(number):
                start = call_start(step, _call_id(stamp, number))
                yield _chunk(prompt, stamp, wire.Delta(tool_calls=[start]))
            case ArgumentsPiece():
                yield _chunk(prompt, stamp, wire.Delta(tool_calls=[call_more(step)]), Kind.PIECE)
            case ThoughtEnd():
                pass  # nothing tells it
    yield _end(answer, prompt, stamp, wire.Delta(content="", reasoning_content=silent))
    yield DONE


def error(status: int, kind: str | None, message: str | None, request_id: str) -> bytes:
    """The body of an HTTP error. `request_id` is in the header alone."""
    del request_id
    return msgspec.json.encode(_error(status, kind, f"Demo error {status}" if message is None else message))


def failure(kind: str, message: str, request_id: str) -> Frame:
    """An error in the middle of a stream."""
    del request_id
    return frame(msgspec.json.encode(_error(status_of(kind), kind, message)), Kind.END)


def models(query: Mapping[str, str]) -> bytes:
    """The list of models; it has no pages."""
    del query
    return msgspec.json.encode(ModelList(data=[Model(name) for name in MODELS]))


def model(name: str) -> bytes | None:
    """One model."""
    return msgspec.json.encode(Model(name)) if name in MODELS else None


def _error(status: int, kind: str | None, message: str) -> wire.ErrorBody:
    """An error. `kind` counts where it is no word of Anthropic's."""
    usual = "invalid_request_error" if status < SERVER_ERROR else "server_error"
    own = kind if kind and status_of(kind) == SERVER_ERROR and kind != "api_error" else None
    code = own or ("invalid_request_error" if status < SERVER_ERROR else "server_error")
    return wire.ErrorBody(wire.Error(message, own or _TYPE_OF.get(status, usual), code))


def _id(stamp: Stamp) -> str:
    return f"demo-{stamp.word}"


def _call_id(stamp: Stamp, number: int) -> str:
    return f"call_{number:02}_demo_{stamp.word}"


def _model_name(prompt: Prompt) -> str:
    """The answer never claims to come from a model that the demo is not."""
    return prompt.model if prompt.model in MODELS else MODELS[0]


def _usage(usage: Usage) -> wire.WireUsage:
    """Cached tokens are part of the prompt; what is written into the cache is a miss."""
    hit = usage.cache_read_input_tokens
    miss = usage.input_tokens + usage.cache_creation_input_tokens
    return wire.WireUsage(
        prompt_tokens=hit + miss,
        completion_tokens=usage.output_tokens,
        total_tokens=hit + miss + usage.output_tokens,
        prompt_tokens_details=wire.PromptDetails(hit),
        completion_tokens_details=wire.CompletionDetails(usage.thinking_tokens),
        prompt_cache_hit_tokens=hit,
        prompt_cache_miss_tokens=miss,
    )


def _chunk(prompt: Prompt, stamp: Stamp, delta: wire.Delta, kind: Kind = Kind.FRAME) -> Frame:
    choice = wire.ChunkChoice(delta=delta, finish_reason=None)
    return _framed(prompt, stamp, choice, None, kind)


def _end(answer: Answer, prompt: Prompt, stamp: Stamp, delta: wire.Delta) -> Frame:
    choice = wire.ChunkChoice(delta=delta, finish_reason=finish(answer))
    return _framed(prompt, stamp, choice, _usage(answer.usage), Kind.END)


def _framed(
    prompt: Prompt, stamp: Stamp, choice: wire.ChunkChoice, usage: wire.WireUsage | None, kind: Kind
) -> Frame:
    chunk = wire.Chunk(
        id=_id(stamp), created=stamp.created, model=_model_name(prompt), choices=[choice], usage=usage
    )
    return frame(msgspec.json.encode(chunk), kind)
