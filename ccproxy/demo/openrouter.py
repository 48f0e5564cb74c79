"""OpenRouter: Chat Completions in front of a Claude model, with its reasoning signed.

Sources: the OpenAPI document of OpenRouterTeam/typescript-sdk, https://openrouter.ai/docs (errors, streaming,
reasoning tokens), recorded answers: comments before the first chunk, the signature in a chunk of its own, the end
told once more with the usage, errors with numbers, and an error in mid-stream as a chunk of its own.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ccproxy.demo import openai_chat_request, seal
from ccproxy.demo import openrouter_wire as wire
from ccproxy.demo.answer import Answer, Usage
from ccproxy.demo.dialect import SERVER_ERROR, Frame, Kind, Stamp, status_of, type_of
from ccproxy.demo.openai_chat import DONE, finish, frame
from ccproxy.demo.openai_chat_wire import Function, ToolCall, call_more, call_start
from ccproxy.demo.prompt import InvalidRequestError, Prompt
from ccproxy.demo.steps import (
    ArgumentsPiece,
    CallStart,
    Step,
    TextPiece,
    ThoughtEnd,
    ThoughtPiece,
    calls_of,
    steps,
    text_of,
    thinking_of,
)

REQUEST_ID = "x-generation-id"
MODELS = ("demo/openrouter-demo-1",)

PROCESSING = Frame(b": OPENROUTER PROCESSING\n\n")
BEHIND = "provider_error"  # an error of the provider behind, which it quotes

_ERROR_TYPES = {
    401: "authentication",
    402: "payment_required",
    403: "permission_denied",
    404: "not_found",
    413: "payload_too_large",
    429: "rate_limit_exceeded",
    502: "provider_unavailable",
    503: "provider_overloaded",
    504: "timeout",
    529: "provider_overloaded",
}
"""What `metadata` calls the errors of a status."""


class Returned(Struct, frozen=True):
    """A detail of reasoning that comes back."""

    type: str
    text: str | None = None
    signature: str | None = None
    format: str | None = None


class Turn(Struct, frozen=True):
    """What is read of a message besides what all Chat Completions have."""

    reasoning_details: list[Returned] | None = None


class Reasoning(Struct, frozen=True):
    """Whether the model reasons, and whether it tells."""

    effort: str | None = None
    enabled: bool | None = None
    exclude: bool | None = None


class Request(Struct, frozen=True):
    """What is read of a request besides what all Chat Completions have."""

    messages: list[Turn]
    reasoning: Reasoning | None = None


def read(body: bytes) -> Prompt:
    """What the demo needs of a request."""
    prompt = openai_chat_request.read(body)
    try:
        request = msgspec.json.decode(body, type=Request)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(str(error)) from error
    recalled = 0
    for number, turn in enumerate(request.messages):
        for place, detail in enumerate(turn.reasoning_details or ()):
            if detail.type != "reasoning.text" or detail.format != wire.FORMAT:
                continue  # of another provider; the model does not look at it
            if detail.signature != seal.sign(detail.text or ""):
                text = f"messages.{number}.content.{place}: Invalid `signature` in `thinking` block"
                raise InvalidRequestError(text, BEHIND)
            recalled += 1
    wish = request.reasoning or Reasoning()
    thinks = wish.effort != "none" and wish.enabled is not False
    return msgspec.structs.replace(prompt, thinks=thinks, shows_thinking=not wish.exclude, recalled=recalled)


def whole(answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
    """The answer as one JSON document, after the blanks that keep the connection open."""
    calls = [
        ToolCall(id=_call_id(stamp, number), function=Function(call.name, call.arguments))
        for number, call in enumerate(calls_of(answer))
    ]
    told = thinking_of(answer) if prompt.shows_thinking else []
    details = [wire.Detail(index=at, text=text, signature=seal.sign(text)) for at, text in enumerate(told)]
    message = wire.Message(
        content=text_of(answer) or None,
        reasoning="".join(told) or None,
        reasoning_details=details or UNSET,
        tool_calls=calls or UNSET,
    )
    completion = wire.Completion(
        id=_id(stamp),
        created=stamp.created,
        model=_model_name(prompt),
        choices=[
            wire.Choice(message=message, finish_reason=finish(answer), native_finish_reason=answer.stop_reason)
        ],
        usage=_usage(answer.usage),
    )
    return b"\n         \n" + msgspec.json.encode(completion)


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream: one piece for every token, but for reasoning that is not to be told."""
    yield PROCESSING
    yield _chunk(prompt, stamp, wire.Delta(content=""))
    for step in steps(answer):
        delta = _delta(step, stamp)
        if isinstance(step, ThoughtPiece | ThoughtEnd) and not prompt.shows_thinking:
            continue
        kind = Kind.FRAME if isinstance(step, ThoughtEnd | CallStart) else Kind.PIECE
        yield _chunk(prompt, stamp, delta, kind)
    ended = wire.ChunkChoice(
        delta=wire.Delta(content=""), finish_reason=finish(answer), native_finish_reason=answer.stop_reason
    )
    yield _framed(prompt, stamp, ended, UNSET)
    yield _framed(prompt, stamp, ended, _usage(answer.usage))
    yield DONE


def error(status: int, kind: str | None, message: str | None, request_id: str) -> bytes:
    """The body of an HTTP error. `request_id` is in the header alone."""
    del request_id
    text = f"Demo error {status}" if message is None else message
    return msgspec.json.encode(wire.ErrorBody(_error(status, kind, text), "user_demo"))


def failure(kind: str, message: str, request_id: str) -> Frame:
    """An error in the middle of a stream: a chunk, and then the usual end."""
    own = f"gen-demo-{request_id.removeprefix('req_demo_')}"
    error = _error(status_of(kind), kind, message)
    data = msgspec.json.encode(wire.FailedChunk(id=own, model=MODELS[0], error=error))
    return Frame(frame(data, Kind.END).data + DONE.data, Kind.END)


def models(query: Mapping[str, str]) -> bytes:
    """The list of models; it has no pages."""
    del query
    return msgspec.json.encode(wire.ModelList([_model(name) for name in MODELS]))


def model(name: str) -> bytes | None:
    """One model."""
    return msgspec.json.encode(_model(name)) if name in MODELS else None


def _model(name: str) -> wire.Model:
    return wire.Model(id=name, canonical_slug=name, name="Demo: OpenRouter Demo 1 (demo upstream, no model)")


def _error(status: int, kind: str | None, message: str) -> wire.Error:
    """An error whose `kind` is Anthropic's word (then the status says the rest) or else `metadata.error_type`."""
    if kind == BEHIND:
        quoted = msgspec.json.encode(wire.Quoted(wire.QuotedError(type_of(status), message))).decode()
        metadata = wire.Metadata(provider_name=wire.PROVIDER, raw=quoted)
        return wire.Error("Provider returned error", status, metadata)
    own = kind if kind and status_of(kind) == SERVER_ERROR and kind != "api_error" else None
    known = own or _ERROR_TYPES.get(status)
    return wire.Error(message, status, wire.Metadata(error_type=known) if known else UNSET)


def _id(stamp: Stamp) -> str:
    return f"gen-demo-{stamp.word}"


def _call_id(stamp: Stamp, number: int) -> str:
    return f"toolu_demo_{stamp.word}_{number}"


def _model_name(prompt: Prompt) -> str:
    """The answer never claims to come from a model that the demo is not."""
    return prompt.model if prompt.model in MODELS else MODELS[0]


def _usage(usage: Usage) -> wire.WireUsage:
    """Cached tokens are part of the prompt. Nothing costs anything here."""
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    prompt = usage.input_tokens + cached + written
    return wire.WireUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output_tokens,
        total_tokens=prompt + usage.output_tokens,
        prompt_tokens_details=wire.PromptDetails(cached, written),
        completion_tokens_details=wire.CompletionDetails(usage.thinking_tokens),
    )


def _delta(step: Step, stamp: Stamp) -> wire.Delta:
    match step:
        case TextPiece(text):
            return wire.Delta(content=text)
        case ThoughtPiece(number, text):
            return wire.Delta(content="", reasoning=text, reasoning_details=[wire.Detail(index=number, text=text)])
        case ThoughtEnd(number, text):
            return wire.Delta(content="", reasoning_details=[wire.Detail(index=number, signature=seal.sign(text))])
        case CallStart(number):
            return wire.Delta(content=None, tool_calls=[call_start(step, _call_id(stamp, number))])
        case ArgumentsPiece():
            return wire.Delta(content=None, tool_calls=[call_more(step)])


def _chunk(prompt: Prompt, stamp: Stamp, delta: wire.Delta, kind: Kind = Kind.FRAME) -> Frame:
    choice = wire.ChunkChoice(delta=delta, finish_reason=None, native_finish_reason=None)
    return _framed(prompt, stamp, choice, UNSET, kind)


def _framed(
    prompt: Prompt,
    stamp: Stamp,
    choice: wire.ChunkChoice,
    usage: wire.WireUsage | UnsetType,
    kind: Kind = Kind.END,
) -> Frame:
    chunk = wire.Chunk(
        id=_id(stamp), created=stamp.created, model=_model_name(prompt), choices=[choice], usage=usage
    )
    return frame(msgspec.json.encode(chunk), kind)
