"""OpenAI Chat Completions: answers, streams, errors and models.

Source: https://platform.openai.com/docs/api-reference/chat and recorded streams: the chunk with the role first, a
call's id and name before its arguments, the usage in a chunk without choices, `[DONE]`. Thinking has no place on
this wire; its tokens are counted as reasoning.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from ccproxy.demo import openai_chat_request
from ccproxy.demo import openai_chat_wire as wire
from ccproxy.demo.answer import Answer, Usage
from ccproxy.demo.dialect import SERVER_ERROR, Frame, Kind, Stamp, status_of
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
)

REQUEST_ID = "x-request-id"
MODELS = ("gpt-demo-1", "gpt-demo-1-mini", "gpt-5-demo")

_RESPONSES_ONLY = re.compile(r"o\d|codex|gpt-(?:[5-9]|1\d)")
"""The models that the demo serves on the Responses API alone, as OpenAI does with some of them."""

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_USUAL: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def read(body: bytes) -> Prompt:
    """What the demo needs of a request; a model of the Responses API is sent there."""
    prompt = openai_chat_request.read(body)
    if _RESPONSES_ONLY.match(prompt.model):
        raise InvalidRequestError("This model is only supported in v1/responses and not in v1/chat/completions.")
    return prompt


def whole(answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
    """The answer as one JSON document."""
    calls = [
        wire.ToolCall(id=_call_id(stamp, number), function=wire.Function(call.name, call.arguments))
        for number, call in enumerate(calls_of(answer))
    ]
    message = wire.Message(content=text_of(answer) or None, tool_calls=calls or msgspec.UNSET)
    return msgspec.json.encode(
        wire.Completion(
            id=_id(stamp),
            created=stamp.created,
            model=_model_name(prompt),
            choices=[wire.Choice(message=message, finish_reason=finish(answer))],
            usage=_usage(answer.usage),
        )
    )


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream: one piece for every token that is no thinking."""
    yield _chunk(
        prompt, stamp, wire.Delta(role="assistant", content="" if text_of(answer) else None, refusal=None)
    )
    for step in steps(answer):
        match step:
            case TextPiece(text):
                yield _chunk(prompt, stamp, wire.Delta(content=text), Kind.PIECE)
            case CallStart(number):
                start = wire.call_start(step, _call_id(stamp, number))
                yield _chunk(prompt, stamp, wire.Delta(tool_calls=[start]))
            case ArgumentsPiece():
                yield _chunk(prompt, stamp, wire.Delta(tool_calls=[wire.call_more(step)]), Kind.PIECE)
            case ThoughtPiece() | ThoughtEnd():
                pass  # it is counted, and that is all
    yield _chunk(prompt, stamp, wire.Delta(), Kind.END, finish(answer))
    if prompt.stream_usage:
        last = _empty_chunk(prompt, stamp)
        last.usage = _usage(answer.usage)
        yield frame(msgspec.json.encode(last), Kind.END)
    yield DONE


def finish(answer: Answer) -> str:
    """Why the answer ended, in the words of Chat Completions."""
    return _FINISH.get(answer.stop_reason, answer.stop_reason)


def frame(data: bytes, kind: Kind) -> Frame:
    """A chunk of a stream."""
    return Frame(b"data: %b\n\n" % data, kind)


DONE = frame(b"[DONE]", Kind.END)


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
    return msgspec.json.encode(wire.ModelList(data=[wire.Model(name) for name in MODELS]))


def model(name: str) -> bytes | None:
    """One model."""
    return msgspec.json.encode(wire.Model(name)) if name in MODELS else None


def _error(status: int, kind: str | None, message: str) -> wire.ErrorBody:
    """An error whose `kind` is Anthropic's word (then the status says the rest) or else OpenAI's code."""
    usual = "invalid_request_error" if status < SERVER_ERROR else "server_error"
    kind_on_wire, code = _USUAL.get(status, (usual, None))
    if kind and status_of(kind) == SERVER_ERROR and kind != "api_error":
        code = kind
        if kind in {"server_error", "insufficient_quota"}:  # these are types, too
            kind_on_wire = kind
    return wire.ErrorBody(wire.Error(message, kind_on_wire, None, code))


def _id(stamp: Stamp) -> str:
    return f"chatcmpl-demo-{stamp.word}"


def _call_id(stamp: Stamp, number: int) -> str:
    return f"call_demo_{stamp.word}_{number}"


def _model_name(prompt: Prompt) -> str:
    """The answer never claims to come from a model that the demo is not."""
    return prompt.model if prompt.model in MODELS else MODELS[0]


def _usage(usage: Usage) -> wire.WireUsage:
    """OpenAI counts cached tokens as part of the prompt."""
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    prompt = usage.input_tokens + cached + written
    return wire.WireUsage(
        prompt_tokens=prompt,
        completion_tokens=usage.output_tokens,
        total_tokens=prompt + usage.output_tokens,
        prompt_tokens_details=wire.PromptDetails(cached, written or msgspec.UNSET),
        completion_tokens_details=wire.CompletionDetails(usage.thinking_tokens),
    )


def _empty_chunk(prompt: Prompt, stamp: Stamp) -> wire.Chunk:
    usage = None if prompt.stream_usage else msgspec.UNSET
    return wire.Chunk(id=_id(stamp), created=stamp.created, model=_model_name(prompt), choices=[], usage=usage)


def _chunk(
    prompt: Prompt, stamp: Stamp, delta: wire.Delta, kind: Kind = Kind.FRAME, finish: str | None = None
) -> Frame:
    chunk = _empty_chunk(prompt, stamp)
    chunk.choices = [wire.ChunkChoice(delta=delta, finish_reason=finish)]
    return frame(msgspec.json.encode(chunk), kind)
