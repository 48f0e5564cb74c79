"""OpenAI Responses API: answers, streams and failures. HTTP errors and models are those of Chat Completions.

Sources: https://platform.openai.com/docs/api-reference/responses-streaming and recorded streams: every item is
added, filled and done; an answer ends with `response.completed`, `response.incomplete` or `response.failed`, and
no `[DONE]`.
"""

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from ccproxy.demo import openai_responses_wire as wire
from ccproxy.demo import seal, tokens
from ccproxy.demo.answer import Answer, Usage
from ccproxy.demo.dialect import SERVER_ERROR, Frame, Kind, Stamp, status_of
from ccproxy.demo.openai_chat import MODELS, REQUEST_ID, error, model, models
from ccproxy.demo.openai_responses_request import count_tokens, read
from ccproxy.demo.prompt import Prompt
from ccproxy.demo.script import Call, Part, Text, Think

__all__ = ["REQUEST_ID", "count", "error", "failure", "frames", "model", "models", "read", "whole"]

MODEL = MODELS[-1]

_COMPLETED = frozenset({"end_turn", "stop_sequence", "pause_turn", "tool_use"})

_INCOMPLETE = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}

_FAILED = {429: "rate_limit_exceeded", 400: "invalid_prompt"}
"""The codes of failures that Anthropic's words stand for; all others are `server_error`."""


def count(body: bytes) -> bytes:
    """The answer to `/responses/input_tokens`."""
    return msgspec.json.encode(wire.TokenCount(count_tokens(body)))


def whole(answer: Answer, prompt: Prompt, stamp: Stamp) -> bytes:
    """The answer as one JSON document."""
    return msgspec.json.encode(_ended(answer, prompt, stamp))


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream: one piece for every token, but for reasoning that is not to be told."""
    for number, (event, kind) in enumerate(_events(answer, prompt, stamp)):
        event.sequence_number = number
        yield _frame(event.type, msgspec.json.encode(event), kind)


def failure(kind: str, message: str, request_id: str) -> Frame:
    """A failure in mid-stream: an `error` for Anthropic's words, a failed answer for OpenAI's codes."""
    status = status_of(kind)
    if status == SERVER_ERROR and kind != "api_error":
        failed = wire.Response(
            id=f"resp_demo_{request_id.removeprefix('req_demo_')}",
            created_at=0,
            status="failed",
            error=wire.Failed(kind, message),
            model=MODEL,
            output=[],
        )
        event = wire.Event(type="response.failed", sequence_number=0, response=failed)
        return _frame(event.type, msgspec.json.encode(event), Kind.END)
    told = wire.ErrorEvent(code=_FAILED.get(status, "server_error"), message=message)
    return _frame("error", msgspec.json.encode(told), Kind.END)


def _events(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[tuple[wire.Event, Kind]]:
    begun = _response(prompt, stamp)
    yield wire.Event(type="response.created", response=begun), Kind.FRAME
    yield wire.Event(type="response.in_progress", response=begun), Kind.FRAME
    for index, part in enumerate(answer.parts):
        item = _item(part, prompt, stamp, index)
        yield wire.Event(type="response.output_item.added", output_index=index, item=_empty(item)), Kind.FRAME
        for event, kind in _filling(item):
            event.item_id, event.output_index = item.id, index
            yield event, kind
        yield wire.Event(type="response.output_item.done", output_index=index, item=item), Kind.FRAME
    ended = _ended(answer, prompt, stamp)
    yield wire.Event(type=f"response.{ended.status}", response=ended), Kind.END


def _filling(item: wire.Item) -> Iterator[tuple[wire.Event, Kind]]:
    """What comes between an item's beginning and its end; whose it is is told by who calls."""
    match item:
        case wire.Message():
            yield from _text_events(item.content[0])
        case wire.Reasoning():
            for number, part in enumerate(item.summary):
                yield from _summary_events(part, number)
        case wire.FunctionCall():
            start = "response.function_call_arguments"
            for piece in tokens.split(item.arguments):
                yield wire.Event(type=f"{start}.delta", delta=piece), Kind.PIECE
            yield wire.Event(type=f"{start}.done", name=item.name, arguments=item.arguments), Kind.FRAME


def _text_events(part: wire.OutputText) -> Iterator[tuple[wire.Event, Kind]]:
    added = wire.Event(type="response.content_part.added", content_index=0, part=wire.OutputText(text=""))
    yield added, Kind.FRAME
    start = "response.output_text"
    for piece in tokens.split(part.text):
        yield wire.Event(type=f"{start}.delta", content_index=0, delta=piece, logprobs=[]), Kind.PIECE
    yield wire.Event(type=f"{start}.done", content_index=0, text=part.text, logprobs=[]), Kind.FRAME
    yield wire.Event(type="response.content_part.done", content_index=0, part=part), Kind.FRAME


def _summary_events(part: wire.SummaryText, number: int) -> Iterator[tuple[wire.Event, Kind]]:
    start = "response.reasoning_summary"
    added = wire.Event(type=f"{start}_part.added", summary_index=number, part=wire.SummaryText(""))
    yield added, Kind.FRAME
    for piece in tokens.split(part.text):
        yield wire.Event(type=f"{start}_text.delta", summary_index=number, delta=piece), Kind.PIECE
    yield wire.Event(type=f"{start}_text.done", summary_index=number, text=part.text), Kind.FRAME
    yield wire.Event(type=f"{start}_part.done", summary_index=number, part=part), Kind.FRAME


def _item(part: Part, prompt: Prompt, stamp: Stamp, number: int) -> wire.Item:
    match part:
        case Text(text):
            content = [wire.OutputText(text=text)]
            return wire.Message(id=f"msg_demo_{stamp.word}_{number}", status="completed", content=content)
        case Think(text):
            own = f"rs_demo_{stamp.word}_{number}"
            summary = [wire.SummaryText(text)] if prompt.shows_thinking else []
            state = seal.encrypt(own, text) if prompt.keeps_thinking else UNSET
            return wire.Reasoning(id=own, summary=summary, encrypted_content=state)
        case Call(name, arguments):
            return wire.FunctionCall(
                id=f"fc_demo_{stamp.word}_{number}",
                status="completed",
                arguments=arguments,
                call_id=f"call_demo_{stamp.word}_{number}",
                name=name,
            )


def _empty(item: wire.Item) -> wire.Item:
    """An item as it is added."""
    match item:
        case wire.Message():
            return wire.Message(id=item.id, status="in_progress", content=[])
        case wire.Reasoning():
            return wire.Reasoning(id=item.id, summary=[], encrypted_content=UNSET)
        case wire.FunctionCall():
            return msgspec.structs.replace(item, status="in_progress", arguments="")


def _response(prompt: Prompt, stamp: Stamp) -> wire.Response:
    """An answer that has just begun. It never claims to come from a model that the demo is not."""
    choice = prompt.choice
    forced = {"any": "required"}.get(choice.kind, choice.kind)
    return wire.Response(
        id=f"resp_demo_{stamp.word}",
        created_at=stamp.created,
        status="in_progress",
        max_output_tokens=prompt.max_tokens,
        model=prompt.model if prompt.model in MODELS else MODEL,
        output=[],
        parallel_tool_calls=choice.parallel,
        tool_choice=wire.NamedTool(choice.name) if choice.kind == "tool" else forced,
        tools=[wire.FunctionTool(name=tool.name, parameters=tool.schema) for tool in prompt.tools],
    )


def _ended(answer: Answer, prompt: Prompt, stamp: Stamp) -> wire.Response:
    """The whole answer. A reason to stop that is not Anthropic's makes it incomplete for that reason."""
    response = _response(prompt, stamp)
    response.output = [_item(part, prompt, stamp, number) for number, part in enumerate(answer.parts)]
    response.usage = _usage(answer.usage)
    response.status = "completed"
    if answer.stop_reason not in _COMPLETED:
        response.status = "incomplete"
        response.incomplete_details = wire.Incomplete(_INCOMPLETE.get(answer.stop_reason, answer.stop_reason))
    return response


def _usage(usage: Usage) -> wire.WireUsage:
    """OpenAI counts cached tokens as part of the input."""
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    given = usage.input_tokens + cached + written
    return wire.WireUsage(
        input_tokens=given,
        input_tokens_details=wire.InputDetails(cached, written),
        output_tokens=usage.output_tokens,
        output_tokens_details=wire.OutputDetails(usage.thinking_tokens),
        total_tokens=given + usage.output_tokens,
    )


def _frame(name: str, data: bytes, kind: Kind) -> Frame:
    return Frame(b"event: %b\ndata: %b\n\n" % (name.encode(), data), kind)
