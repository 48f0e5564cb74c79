"""A streamed answer: chunks in, Anthropic's events out.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent (read 2026-11-22). The
stream ends where the connection does, so only `close` writes the end: an end without a finish reason was cut.
"""

from ccproxy import sse
from ccproxy.blocks import BlockWriter
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Usage, encode_events
from ccproxy.providers.gemini.answer import Expected
from ccproxy.providers.gemini.reader import Reader, documents


class GeminiStream:
    """One streamed answer; see `Stream`."""

    def __init__(self, want: Expected) -> None:
        self._decoder = sse.Decoder()
        self._writer = BlockWriter(want.names)
        self._reader = Reader(want, self._writer)
        self._document: bytearray | None = None  # a JSON document that came in place of a stream
        self._is_stream = False

    @property
    def usage(self) -> Usage:
        """The tokens known so far."""
        return self._reader.usage

    @property
    def has_content(self) -> bool:
        """Whether content has begun, or the answer is whole without any."""
        return self._writer.has_content or self._writer.finished

    @property
    def finished(self) -> bool:
        """Whether the last event has been written: nothing more is to be read."""
        return self._writer.finished

    def take(self) -> bytes:
        """Returns the frames written since the last call."""
        events = self._writer.take()
        return encode_events(events) if events else b""

    def feed(self, chunk: bytes) -> None:
        """Takes bytes cut anywhere; see `Stream.feed`."""
        if self._is_stream or not self._is_document(chunk):
            self._read(self._decoder.feed(chunk))

    def close(self) -> None:
        """Takes note that the upstream has ended; see `Stream.close`."""
        if self._document is not None:
            for document in documents(bytes(self._document)):
                self._reader.chunk(document)
        self._read(self._decoder.close())
        self._reader.end()

    def _is_document(self, chunk: bytes) -> bool:
        """Keeps what comes if it is JSON: errors come so, and streams from servers that know no `alt=sse`."""
        if self._document is None:
            start = chunk.lstrip()[:1]
            if start not in {b"{", b"["}:
                self._is_stream = start != b""
                return False
            self._document = bytearray()
        self._document += chunk
        if len(self._document) > sse.MAX_FRAME_BYTES:
            raise UpstreamProtocolError("the answer is no stream")
        return True

    def _read(self, events: list[sse.ServerSentEvent]) -> None:
        for event in events:
            if event.data.strip() != b"[DONE]":  # servers in between may add it
                self._reader.chunk(event.data)
