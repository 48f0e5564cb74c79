"""A streamed answer: chunks in, Anthropic's events out.

Source: https://platform.openai.com/docs/api-reference/chat-streaming (read 2026-11-22). The end is `[DONE]`; usage
comes in a chunk after `finish_reason`, so reading goes on until then. Some compatible servers just close: an end
without `[DONE]` counts where a `finish_reason` was seen, and else the answer was cut and must not look whole.
"""

import msgspec
from msgspec import UNSET

from ccproxy import sse
from ccproxy.blocks import BlockWriter
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import StopDetails, Usage
from ccproxy.providers.answers import CallIds, counted, is_error, message_id
from ccproxy.providers.openai_chat.answer import CITING, Expected, finish_of, stop_reason, usage_of
from ccproxy.providers.openai_chat.wire import CallPiece, Chunk, Delta, StreamChoice
from ccproxy.providers.stop_sequences import StopSequences
from ccproxy.providers.streams import Body, WrittenStream
from ccproxy.providers.web_search import Sources

_chunk = msgspec.json.Decoder(Chunk)


class ChatStream(WrittenStream):
    """One streamed answer; see `Stream`."""

    def __init__(self, want: Expected) -> None:
        super().__init__(BlockWriter(want.names))
        self._want = want
        self._body = Body()
        self._stops = StopSequences(want.stop_sequences)
        self._begun = False
        self._ids = CallIds("")
        self._keys: dict[int, int] = {}  # the provider's index -> the key of its newest call
        self._calls: list[tuple[str, str]] = []  # by key: the call's id as the provider gave it, and as we do
        self._thoughts = want.thoughts()
        self._sources = Sources(shown=want.cites)
        self._finish: str | None = None
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
        if self._writer.finished:
            return
        if self._finish is None:
            raise UpstreamProtocolError("the stream ended early")
        self._end()

    def _read(self, events: list[sse.ServerSentEvent]) -> None:
        for event in events:
            if self._writer.finished:
                return
            if event.data.strip() == b"[DONE]":
                self._end()
            else:
                self._chunk(event.data)

    def _chunk(self, data: bytes) -> None:
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamProtocolError("a chunk is not what the API documents") from error
        if chunk.error is not UNSET and is_error(chunk.error):
            raise self._want.failures.inside(data)
        if not self._begun:
            self._begin(chunk, data)
        if chunk.usage is not None:
            self.usage = usage_of(chunk.usage, chunk.service_tier)
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choice(choice)

    def _begin(self, chunk: Chunk, data: bytes) -> None:
        self._begun = True
        id = message_id(chunk.id, data)  # noqa: A001  # the API's word
        self._ids = CallIds(id)
        self._writer.start(id, self._want.model)

    def _choice(self, choice: StreamChoice) -> None:
        if choice.delta is not None:
            self._delta(choice.delta)
        self._finish = finish_of(choice) or self._finish

    def _delta(self, delta: Delta) -> None:
        writer = self._writer
        if delta.annotations is not UNSET:
            self._sources.cite(delta.annotations)
        thought = self._thoughts.feed(delta)
        if thought and self._want.shows_thinking:
            writer.text(self._stops.flush())
            writer.thinking(thought)
        if delta.content:
            self._sign()
            writer.text(self._stops.feed(delta.content))
            if self._stops.matched is not None:
                self._stop()
                return
        if delta.refusal:
            self._refused = True
            self._sign()
            writer.text(self._stops.flush() + delta.refusal)
        if delta.tool_calls:
            self._sign()
            for piece in delta.tool_calls:
                self._call(piece)
        elif delta.function_call is not None:
            self._call(CallPiece(index=0, function=delta.function_call))

    def _sign(self) -> None:
        """Signs the reasoning so far, where its provider wants it back; later reasoning is signed by itself."""
        signature = self._thoughts.sign(shown=self._want.shows_thinking)
        if signature:
            self._writer.text(self._stops.flush())
            self._writer.signature(signature)

    def _call(self, piece: CallPiece) -> None:
        self._writer.text(self._stops.flush())
        key = self._key(piece)
        function = piece.function
        name, arguments = (function.name, function.arguments) if function else (None, None)
        self._writer.tool(key, self._calls[key][1], name or "", arguments or "")

    def _key(self, piece: CallPiece) -> int:
        """Which call a piece belongs to: its index tells.

        Some servers give every call the same index, or none: there another id with a name begins another call.
        """
        index = piece.index or 0
        key = self._keys.get(index)
        if key is not None:
            given = self._calls[key][0]
            named = piece.function is not None and piece.function.name
            if not (given and named and piece.id and piece.id != given):
                return key
        self._keys[index] = key = len(self._calls)
        self._calls.append((piece.id or "", self._ids.make(piece.id)))
        return key

    def _stop(self) -> None:
        self.usage = self._want.estimates.fill(self.usage, self._stops.said)
        self._writer.finish("stop_sequence", counted(self.usage), stop_sequence=self._stops.matched)

    def _end(self) -> None:
        if self._finish is None:
            raise UpstreamProtocolError("the stream ended without a finish_reason")
        self._sign()
        self._writer.text(self._stops.flush())
        reason = stop_reason(self._finish, self._want, called=bool(self._keys), refused=self._refused)
        if reason in CITING:
            self._writer.text(self._sources.text)
        details = StopDetails() if reason == "refusal" else None
        self._writer.finish(reason, counted(self.usage), stop_details=details)
