"""Gemini's `generateContent`: answers, streams, errors, models and counts.

Source: https://ai.google.dev/api/generate-content and recorded streams: lines that end with CRLF, usage on every
chunk, whole calls, the reason in a last chunk, the state of a text in an empty text after it, no `[DONE]`.
"""

from collections.abc import Iterator, Mapping
from typing import assert_never

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccproxy.demo import gemini_wire as wire
from ccproxy.demo import tokens
from ccproxy.demo.answer import Answer, Usage, piece_text
from ccproxy.demo.dialect import SERVER_ERROR, Frame, Kind, Stamp, status_of
from ccproxy.demo.gemini_fields import violations
from ccproxy.demo.gemini_request import count_tokens, read
from ccproxy.demo.gemini_state import is_third, signature
from ccproxy.demo.prompt import InvalidRequestError, Prompt
from ccproxy.demo.script import Call, Text, Think

__all__ = ["MODELS", "REQUEST_ID", "count", "error", "failure", "frames", "model", "models", "read", "whole"]

REQUEST_ID = "x-demo-request-id"  # Gemini names no id
MODELS = ("gemini-3-demo", "gemini-3-demo-lite", "gemini-2.5-demo")
EMBEDDING = "gemini-embedding-demo"  # listed, and no model for a conversation: clients must tell them apart
BLOCKED = "prompt_blocked"  # as a stop reason: the prompt is refused, not the answer
PAGE, MAX_PAGE = 50, 1000  # the API's own limits; more than that is cut to it
RETRY = "1s"

_FINISH = {
    "end_turn": "STOP",
    "stop_sequence": "STOP",
    "pause_turn": "STOP",
    "tool_use": "STOP",
    "max_tokens": "MAX_TOKENS",
    "model_context_window_exceeded": "MAX_TOKENS",
    "refusal": "SAFETY",
}
_CODES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "FAILED_PRECONDITION": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_RATE_LIMITED = 429
_FOREIGN = {402: "FAILED_PRECONDITION", 529: "UNAVAILABLE"}  # what Gemini says in other codes
_TOKEN_CHARACTERS = 6  # of a number in a query


def count(body: bytes) -> bytes:
    """The answer to countTokens."""
    total = count_tokens(body)
    return msgspec.json.encode(wire.TokenCount(total, [wire.ModalityTokens(token_count=total)]))


def whole(answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
    """The answer as one JSON document: the state of a text is on the last part of it."""
    chunk = _chunk(answer, prompt, stamp, answer.usage.output_tokens)
    parts = [
        part for number, each in enumerate(answer.parts) for part in _parts(each, number, answer, prompt, stamp)
    ]
    if parts and parts[-1].text and not parts[-1].thought:
        parts[-1].thought_signature = _text_signature(answer, prompt, stamp)
    _finish(chunk, answer, parts)
    return msgspec.json.encode(chunk)


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream: a piece for every token of text and of shown thinking, and for every call."""
    said = 0
    for number, part in enumerate(answer.parts if answer.stop_reason != BLOCKED else ()):
        for piece in (piece for each in _parts(part, number, answer, prompt, stamp) for piece in _split(each)):
            said += tokens.count(piece_text(part)) if isinstance(part, Call) else isinstance(part, Text)
            chunk = _chunk(answer, prompt, stamp, said)
            chunk.candidates = [wire.Candidate(wire.Content([piece], "model"))]
            yield _frame(chunk, Kind.PIECE)
    last = _chunk(answer, prompt, stamp, answer.usage.output_tokens)
    has_text = any(isinstance(part, Text) for part in answer.parts)
    state = _text_signature(answer, prompt, stamp) if has_text else UNSET
    _finish(last, answer, [wire.Part(text="", thought_signature=state)])
    yield _frame(last, Kind.END)


def error(status: int, kind: str | None, message: str | None, request_id: str) -> bytes:
    """The body of an HTTP error; it has no place for an id."""
    del request_id
    return msgspec.json.encode(_error(status, kind, f"Demo error {status}" if message is None else message))


def failure(kind: str, message: str, request_id: str) -> Frame:
    """An error in the middle of a stream."""
    del request_id
    document = _error(status_of(kind), kind, message)
    document.error.code = _CODES[document.error.status]  # the HTTP status was 200
    return _frame(document, Kind.END)


def models(query: Mapping[str, str]) -> bytes:
    """A page of the list of models; `query` may hold pageSize and pageToken."""
    size = _number(query, "pageSize", PAGE) or PAGE
    start = _number(query, "pageToken", 0)
    names = (*MODELS, EMBEDDING)
    end = start + min(size, MAX_PAGE)
    page = [_model(name) for name in names[start:end]]
    return msgspec.json.encode(wire.ModelList(page, str(end) if end < len(names) else UNSET))


def model(name: str) -> bytes | None:
    """One model, with or without `models/` before its name."""
    bare = name.removeprefix("models/")
    return msgspec.json.encode(_model(bare)) if bare in {*MODELS, EMBEDDING} else None


def _number(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name) or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) <= _TOKEN_CHARACTERS):
        raise InvalidRequestError(f"Invalid value at '{name}', \"{text}\"")
    return int(text)


def _model(name: str) -> wire.Model:
    does = ["embedContent"] if name == EMBEDDING else ["generateContent", "countTokens"]
    return wire.Model(
        name=f"models/{name}",
        display_name=name.replace("-", " ").title() + " (demo upstream, no model)",
        input_token_limit=1_048_576,
        output_token_limit=65_536,
        supported_generation_methods=does,
    )


def _parts(
    part: Text | Think | Call, number: int, answer: Answer, prompt: Prompt, stamp: Stamp
) -> list[wire.Part]:
    """A part as it is sent, if it is: thinking is shown on demand, and a call only where it is whole."""
    match part:
        case Text():
            return [wire.Part(text=part.text)]
        case Think():
            return [wire.Part(text=part.text, thought=True)] if prompt.shows_thinking else []
        case Call():
            arguments = _arguments(part)
            if arguments is None:
                return []
            is_first = not any(isinstance(each, Call) for each in answer.parts[:number])
            called = wire.FunctionCall(part.name, arguments)
            if is_third(prompt.model):
                called.id = f"demo_{stamp.word}_{number}"
            state = _signature(f"call {part.name}", answer, prompt, stamp) if is_first else UNSET
            return [wire.Part(function_call=called, thought_signature=state)]
        case _:
            assert_never(part)


def _arguments(call: Call) -> Raw | None:
    """The arguments on one line, as a frame needs it, or None where tokens ran out in the middle of them."""
    try:
        msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return None
    return Raw(msgspec.json.format(call.arguments, indent=-1).encode())


def _split(part: wire.Part) -> list[wire.Part]:
    """The pieces of a part; a call has but one."""
    if part.function_call:
        return [part]
    return [wire.Part(text=text, thought=part.thought) for text in tokens.split(part.text or "")]


def _signature(place: str, answer: Answer, prompt: Prompt, stamp: Stamp) -> str | UnsetType:
    """State, from a model that has any: older ones have it where they thought."""
    thought = any(isinstance(part, Think) for part in answer.parts)
    return signature(prompt.model, place, stamp.word) if thought or is_third(prompt.model) else UNSET


def _text_signature(answer: Answer, prompt: Prompt, stamp: Stamp) -> str | UnsetType:
    """The state of a text: of an answer that is whole, and has no call to carry it."""
    called = any(isinstance(part, Call) for part in answer.parts)
    return UNSET if called or _reason(answer) != "STOP" else _signature("text", answer, prompt, stamp)


def _reason(answer: Answer) -> str:
    return _FINISH.get(answer.stop_reason, answer.stop_reason.upper())


def _finish(chunk: wire.Generated, answer: Answer, parts: list[wire.Part]) -> None:
    """Writes how the answer ended."""
    if answer.stop_reason == BLOCKED:
        chunk.prompt_feedback = wire.PromptFeedback("PROHIBITED_CONTENT")
        chunk.usage_metadata = _usage(answer.usage, 0)
        return
    reason = _reason(answer)
    is_empty = all(part.text == "" for part in parts)
    content = wire.Content() if is_empty and reason == "SAFETY" else wire.Content(parts or UNSET, "model")
    candidate = wire.Candidate(content, reason)
    if reason == "SAFETY":
        candidate.safety_ratings = [wire.SafetyRating("HARM_CATEGORY_DANGEROUS_CONTENT", "HIGH", blocked=True)]
    if reason == "STOP" and any(isinstance(part, Call) for part in answer.parts):
        candidate.finish_message = "Model generated function call(s)."
    chunk.candidates = [candidate]


def _chunk(answer: Answer, prompt: Prompt, stamp: Stamp, said: int) -> wire.Generated:
    """A chunk without candidates. The answer never claims to come from a model that the demo is not."""
    return wire.Generated(
        usage_metadata=_usage(answer.usage, said),
        model_version=prompt.model if prompt.model in MODELS else MODELS[0],
        response_id=f"demo-{stamp.word}",
    )


def _usage(usage: Usage, said: int) -> wire.UsageMetadata:
    """What is used when `said` tokens are out; thoughts are counted from the first token of the answer on."""
    cached = usage.cache_read_input_tokens
    prompt = usage.input_tokens + cached + usage.cache_creation_input_tokens
    thoughts = usage.thinking_tokens if said else 0
    candidates = min(said, max(usage.output_tokens - usage.thinking_tokens, 0))
    return wire.UsageMetadata(
        prompt_token_count=prompt,
        candidates_token_count=candidates or UNSET,
        total_token_count=prompt + candidates + thoughts,
        cached_content_token_count=cached or UNSET,
        prompt_tokens_details=[wire.ModalityTokens(token_count=prompt)],
        thoughts_token_count=thoughts or UNSET,
    )


def _error(status: int, kind: str | None, message: str) -> wire.ErrorBody:
    """An error. `kind` is Anthropic's word (then the status says the rest), a gRPC status, or else a reason."""
    word = (kind or "").upper()
    usual = _FOREIGN.get(status, "INVALID_ARGUMENT" if status < SERVER_ERROR else "INTERNAL")
    name = next((name for name, code in _CODES.items() if code == status), usual)
    details: list[wire.BadRequest | wire.ErrorInfo | wire.QuotaFailure | wire.RetryInfo] = []
    if word in _CODES:
        name = word
    elif kind and status_of(kind) == SERVER_ERROR and kind != "api_error":
        details.append(wire.ErrorInfo(word))
    if found := [wire.FieldViolation(field, text) for field, text in violations(message)]:
        details.append(wire.BadRequest(found))
    if status == _RATE_LIMITED:
        quota = wire.QuotaViolation("DemoRequestsPerMinute", "ccproxy.demo/requests")
        details += [wire.QuotaFailure([quota]), wire.RetryInfo(RETRY)]
    return wire.ErrorBody(wire.Error(status, message, name, details or UNSET))


def _frame(document: wire.Generated | wire.ErrorBody, kind: Kind) -> Frame:
    return Frame(b"data: %b\r\n\r\n" % msgspec.json.encode(document), kind)
