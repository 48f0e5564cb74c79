"""What every translated stream has: bytes that may turn out to be a document, and events on the way out."""

from ccproxy import sse
from ccproxy.blocks import BlockWriter
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import encode_events


class Body:
    """The bytes of a streamed answer, cut anywhere: server-sent events, or a JSON document in place of them.

    Servers answer so where they refuse with status 200, and some where they know no event streams.

    Args:
        opening: The characters that a document may begin with.
    """

    def __init__(self, opening: bytes = b"{") -> None:
        self._opening = opening
        self._decoder = sse.Decoder()
        self._document: bytearray | None = None
        self._is_stream = False

    @property
    def document(self) -> bytes | None:
        """What has come of a document; None where events come."""
        return None if self._document is None else bytes(self._document)

    def feed(self, chunk: bytes) -> list[sse.ServerSentEvent]:
        """Returns the events that `chunk` completes.

        Raises:
            UpstreamProtocolError: It is no stream.
        """
        if self._is_stream or not self._is_document(chunk):
            return self._decoder.feed(chunk)
        return []

    def close(self) -> list[sse.ServerSentEvent]:
        """Returns a last event that the end completes."""
        return self._decoder.close()

    def _is_document(self, chunk: bytes) -> bool:
        if self._document is None:
            start = chunk.lstrip()[:1]
            if not start or start not in self._opening:
                self._is_stream = start != b""
                return False
            self._document = bytearray()
        self._document += chunk
        if len(self._document) > sse.MAX_FRAME_BYTES:
            raise UpstreamProtocolError("the answer is no stream")
        return True


class WrittenStream:
    """The half of a `Stream` that faces the caller: what a `BlockWriter` has written."""

    def __init__(self, writer: BlockWriter) -> None:
        self._writer = writer

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
