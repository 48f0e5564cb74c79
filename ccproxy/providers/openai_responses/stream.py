"""A streamed answer: the API's events in, Anthropic's out.

Source: https://platform.openai.com/docs/api-reference/responses-streaming (read 2026-11-22). The answer ends with
`response.completed`, `response.incomplete` or `response.failed`, which carries the usage; without one of them it
was cut. Events of types that are not read here say nothing that the caller could be told.
"""

import msgspec
from msgspec import Raw

from ccproxy import sse
from ccproxy.blocks import BlockWriter
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import ABSENT, StopDetails, Usage
from ccproxy.providers.answers import CallIds, counted, decode, message_id
from ccproxy.providers.openai_responses.answer import (
    PARAGRAPH,
    Expected,
    item_of,
    phase_of,
    require_ended,
    signature_of,
    stop_reason,
    thought_of,
    usage_in,
)
from ccproxy.providers.openai_responses.wire import (
    OutputCall,
    OutputMessage,
    OutputReasoning,
    Response,
    StreamEvent,
)
from ccproxy.providers.stop_sequences import StopSequences
from ccproxy.providers.streams import Body, WrittenStream

_event = msgspec.json.Decoder(StreamEvent)
_text = msgspec.json.Decoder(str)

_NEW_PART = -1


class ResponsesStream(WrittenStream):
    """One streamed answer; see `Stream`."""

    def __init__(self, want: Expected) -> None:
        super().__init__(BlockWriter(want.names))
        self._want = want
        self._body = Body()
        self._stops = StopSequences(want.stop_sequences)
        self._begun = False
        self._ids = CallIds("")
        self._calls: dict[int, tuple[str, str]] = {}  # by output index: the call's id and its name
        self._argued: set[int] = set()  # calls whose arguments have begun
        self._thought = False  # whether the reasoning at hand has shown text
        self._part: int | None = _NEW_PART  # which of its parts that was
        self._refused = False
        self.usage = Usage()

    def feed(self, chunk: bytes) -> None:
        """Takes bytes cut anywhere; see `Stream.feed`."""
        self._read(self._body.feed(chunk))

    def close(self) -> None:
        """Takes note that the upstream has ended; see `Stream.close`."""
        if self._body.document is not None:
            raise self._want.failures.in_place_of_stream(self._body.document)
        self._read(self._body.close())
        if not self._writer.finished:
            raise UpstreamProtocolError("the stream ended early")

    def _read(self, events: list[sse.ServerSentEvent]) -> None:
        for event in events:
            if self._writer.finished:
                return
            if event.data.strip() != b"[DONE]":  # some servers send it; it tells nothing
                self._document(event.data)

    def _document(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamProtocolError("an event is not what the API documents") from error
        if event.type == "error":
            raise self._want.failures.inside(data)
        if not self._begun:
            self._begin(event, data)
        self._event(event)

    def _begin(self, event: StreamEvent, data: bytes) -> None:
        self._begun = True
        named = None if event.response == ABSENT else decode(bytes(event.response), Response, "a response").id
        id = message_id(named, data)  # noqa: A001  # the API's word
        self._ids = CallIds(id)
        self._writer.start(id, self._want.model)

    def _event(self, event: StreamEvent) -> None:
        match event.type:
            case "response.output_text.delta":
                self._say(_string(event.delta))
            case "response.refusal.delta":
                self._refused = True
                self._writer.text(self._stops.flush() + _string(event.delta))
            case "response.function_call_arguments.delta":
                self._arguments(event, _string(event.delta))
            case "response.reasoning_summary_text.delta":
                self._think(_string(event.delta), event.summary_index)
            case "response.reasoning_text.delta":
                self._think(_string(event.delta), event.content_index)
            case _:
                self._step(event)

    def _step(self, event: StreamEvent) -> None:
        """What begins and ends."""
        match event.type:
            case "response.output_item.added":
                self._added(event)
            case "response.output_item.done":
                self._done(event)
            case "response.reasoning_summary_part.added":
                self._part = _NEW_PART
            case "response.completed" | "response.incomplete" | "response.failed":
                self._end(event.response)
            case _:
                pass  # progress, and tools that the provider runs

    def _say(self, text: str) -> None:
        self._writer.text(self._stops.feed(text))
        if self._stops.matched is not None:
            stop = self._stops.matched
            self.usage = self._want.estimates.fill(self.usage, self._stops.said)
            self._writer.finish("stop_sequence", counted(self.usage), stop_sequence=stop)

    def _think(self, text: str, part: int | None) -> None:
        if not (text and self._want.shows_thinking):
            return
        self._writer.text(self._stops.flush())
        self._writer.thinking(PARAGRAPH + text if self._thought and part != self._part else text)
        self._thought = True
        self._part = part

    def _added(self, event: StreamEvent) -> None:
        item = item_of(event.item)
        if isinstance(item, OutputCall):
            self._call(event, item)
        elif isinstance(item, OutputReasoning):
            self._thought = False
        elif isinstance(item, OutputMessage) and (phase := phase_of(item, self._want)):
            self._writer.text(self._stops.flush())
            self._writer.signature(phase)

    def _done(self, event: StreamEvent) -> None:
        """The whole item: what has not come in pieces is taken from it."""
        item = item_of(event.item)
        if isinstance(item, OutputCall):
            index = self._call(event, item)
            if index not in self._argued and item.arguments:
                self._arguments(event, item.arguments)
        elif isinstance(item, OutputReasoning):
            if not self._thought:
                self._think(thought_of(item), None)
            self._thought = False
            if signed := signature_of(item, self._want):
                self._writer.text(self._stops.flush())
                self._writer.signature(signed)

    def _call(self, event: StreamEvent, call: OutputCall) -> int:
        """Begins a call, once."""
        index = _index(event)
        if index not in self._calls:
            self._writer.text(self._stops.flush())
            self._calls[index] = (self._ids.make(call.call_id), call.name or "")
            self._writer.tool(index, *self._calls[index], "")
        return index

    def _arguments(self, event: StreamEvent, piece: str) -> None:
        index = _index(event)
        if index not in self._calls:
            raise UpstreamProtocolError("arguments came for a call that has not begun")
        if piece:
            self._argued.add(index)
        self._writer.tool(index, self._calls[index][0], "", piece)

    def _end(self, document: Raw) -> None:
        response = decode(bytes(document), Response, "the response at the end")
        self.usage = usage_in(response)
        require_ended(response, bytes(document), self._want)
        self._writer.text(self._stops.flush())
        reason = stop_reason(response, called=bool(self._calls), refused=self._refused)
        details = StopDetails() if reason == "refusal" else None
        self._writer.finish(reason, counted(self.usage), stop_details=details)


def _index(event: StreamEvent) -> int:
    if event.output_index is None:
        raise UpstreamProtocolError("an event of a call does not say which")
    return event.output_index


def _string(raw: Raw) -> str:
    try:
        return _text.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UpstreamProtocolError("a piece of text is none") from error
