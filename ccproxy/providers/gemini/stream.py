"""A streamed answer: chunks in, Anthropic's events out.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent (read 2026-11-22). The
stream ends where the connection does, so only `close` writes the end: an end without a finish reason was cut.
"""

from ccproxy import sse
from ccproxy.blocks import BlockWriter
from ccproxy.messages import Usage
from ccproxy.providers.gemini.answer import Expected
from ccproxy.providers.gemini.reader import Reader, documents
from ccproxy.providers.streams import Body, WrittenStream


class GeminiStream(WrittenStream):
    """One streamed answer; see `Stream`."""

    def __init__(self, want: Expected) -> None:
        super().__init__(BlockWriter(want.names))
        self._reader = Reader(want, self._writer)
        self._body = Body(b"{[")  # servers that know no `alt=sse` send a list

    @property
    def usage(self) -> Usage:
        """The tokens known so far."""
        return self._reader.usage

    def feed(self, chunk: bytes) -> None:
        """Takes bytes cut anywhere; see `Stream.feed`."""
        self._read(self._body.feed(chunk))

    def close(self) -> None:
        """Takes note that the upstream has ended; see `Stream.close`."""
        if self._body.document is not None:
            for document in documents(self._body.document):
                self._reader.chunk(document)
        self._read(self._body.close())
        self._reader.end()

    def _read(self, events: list[sse.ServerSentEvent]) -> None:
        for event in events:
            if event.data.strip() != b"[DONE]":  # servers in between may add it
                self._reader.chunk(event.data)
