"""Anthropic Messages API: answers, streams, errors and models.

Source: https://platform.claude.com/docs/en/api/messages and recorded streams: the `ping` after the first
`content_block_start`, the first empty `input_json_delta`, the signature at the end of the thinking.
"""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Raw

from ccproxy.demo import anthropic_wire as wire
from ccproxy.demo import seal, tokens
from ccproxy.demo.answer import Answer, Usage, piece_text
from ccproxy.demo.anthropic_request import count_tokens, read
from ccproxy.demo.dialect import Frame, Kind, Stamp, type_of
from ccproxy.demo.prompt import InvalidRequestError, Prompt
from ccproxy.demo.script import Call, Part, Text, Think

__all__ = ["MODELS", "REQUEST_ID", "count", "error", "failure", "frames", "model", "models", "read", "whole"]

REQUEST_ID = "request-id"
MODELS = ("claude-demo-1", "claude-demo-1-mini", "claude-demo-0")
PAGE, MAX_PAGE = 20, 1000  # the API's own limits


def count(body: bytes) -> bytes:
    """The answer to count_tokens."""
    return msgspec.json.encode(wire.TokenCount(count_tokens(body)))


def whole(answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
    """The answer as one JSON document."""
    message = _message(prompt, stamp, _usage(answer.usage))
    message.usage.cache_creation = wire.CacheCreation(answer.usage.cache_creation_input_tokens)
    message.usage.service_tier = "standard"
    message.content = [_block(part, number, stamp) for number, part in enumerate(answer.parts)]
    message.stop_reason = answer.stop_reason
    message.stop_sequence = answer.stop_sequence
    message.stop_details = _details(answer)
    return msgspec.json.encode(message)


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream: one piece for every token."""
    yield _frame(wire.MessageStart(_message(prompt, stamp, _first_usage(answer.usage))))
    for index, part in enumerate(answer.parts):
        yield _frame(wire.BlockStart(index, _empty(_block(part, index, stamp))))
        if index == 0:
            yield _frame(wire.Ping())
        if isinstance(part, Call):
            yield _frame(wire.BlockDelta(index, wire.InputJsonDelta("")))
        for piece in tokens.split(piece_text(part)):
            yield _frame(wire.BlockDelta(index, _delta(part, piece)), Kind.PIECE)
        if isinstance(part, Think):
            yield _frame(wire.BlockDelta(index, wire.SignatureDelta(seal.sign(part.text))))
        yield _frame(wire.BlockStop(index))
    stop = wire.Stop(answer.stop_reason, answer.stop_sequence, _details(answer))
    yield _frame(wire.MessageDelta(stop, _usage(answer.usage)), Kind.END)
    yield _frame(wire.MessageStop(), Kind.END)


def error(status: int, kind: str | None, message: str | None, request_id: str) -> bytes:
    """The body of an HTTP error."""
    text = f"Demo error {status}" if message is None else message
    return msgspec.json.encode(wire.ErrorBody(wire.ErrorDetails(kind or type_of(status), text), request_id))


def failure(kind: str, message: str, request_id: str) -> Frame:
    """An error in the middle of a stream."""
    return _frame(wire.ErrorBody(wire.ErrorDetails(kind, message), request_id), Kind.END)


def models(query: Mapping[str, str]) -> bytes:
    """A page of the list of models; `query` may hold limit, after_id and before_id."""
    limit = query.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= MAX_PAGE):
        raise InvalidRequestError(f"limit: must be a number between 1 and {MAX_PAGE}")
    found, has_more = _page(int(limit[:5]), query.get("after_id"), query.get("before_id"))
    page = wire.Page(
        [_model(name) for name in found], has_more, next(iter(found), None), next(reversed(found), None)
    )
    return msgspec.json.encode(page)


def model(name: str) -> bytes | None:
    """One model."""
    return msgspec.json.encode(_model(name)) if name in MODELS else None


def _page(limit: int, after: str | None, before: str | None) -> tuple[tuple[str, ...], bool]:
    """The ids of a page, and whether there are more in its direction."""
    for field, cursor in (("after_id", after), ("before_id", before)):
        if cursor is not None and cursor not in MODELS:
            raise InvalidRequestError(f"{field}: there is no model '{cursor}'")
    if before is not None:
        left = MODELS[: MODELS.index(before)]
        return left[-limit:], len(left) > limit
    left = MODELS[MODELS.index(after) + 1 :] if after is not None else MODELS
    return left[:limit], len(left) > limit


def _model(name: str) -> wire.Model:
    return wire.Model(name, name.replace("-", " ").title() + " (demo upstream, no model)")


def _message(prompt: Prompt, stamp: Stamp, usage: wire.WireUsage) -> wire.Message:
    """An answer without content. It never claims to come from a model that the demo is not."""
    name = prompt.model if prompt.model in MODELS else MODELS[0]
    return wire.Message(model=name, id=f"msg_demo_{stamp.word}", content=[], usage=usage)


def _block(part: Part, number: int, stamp: Stamp) -> wire.Block:
    match part:
        case Text():
            return wire.TextBlock(part.text)
        case Think():
            return wire.ThinkingBlock(part.text, seal.sign(part.text))
        case Call():
            return wire.ToolUseBlock(f"toolu_demo_{stamp.word}_{number}", part.name, _input(part.arguments))


def _input(arguments: str) -> Raw:
    """The arguments, or no argument where they were cut and are no JSON any more."""
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return Raw(b"{}")
    return Raw(arguments.encode())


def _empty(block: wire.Block) -> wire.Block:
    """A block as it starts in a stream."""
    match block:
        case wire.TextBlock():
            return wire.TextBlock("")
        case wire.ThinkingBlock():
            return wire.ThinkingBlock("", "")
        case wire.ToolUseBlock():
            return wire.ToolUseBlock(block.id, block.name)


def _delta(part: Part, piece: str) -> wire.Delta:
    match part:
        case Text():
            return wire.TextDelta(piece)
        case Think():
            return wire.ThinkingDelta(piece)
        case Call():
            return wire.InputJsonDelta(piece)


def _details(answer: Answer) -> wire.StopDetails | None:
    return wire.StopDetails() if answer.stop_reason == "refusal" else None


def _usage(usage: Usage) -> wire.WireUsage:
    return wire.WireUsage(
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        output_tokens=usage.output_tokens,
        output_tokens_details=wire.OutputDetails(usage.thinking_tokens),
    )


def _first_usage(usage: Usage) -> wire.WireUsage:
    """What is known when an answer begins: the input, and a token that is already there."""
    return wire.WireUsage(
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        output_tokens=min(1, usage.output_tokens),
        cache_creation=wire.CacheCreation(usage.cache_creation_input_tokens),
        service_tier="standard",
    )


def _frame(event: wire.Event, kind: Kind = Kind.FRAME) -> Frame:
    data = msgspec.json.encode(event)
    name = event.__struct_config__.tag
    return Frame(b"event: %b\ndata: %b\n\n" % (str(name).encode(), data), kind)
