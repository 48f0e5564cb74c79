"""The bytes of a streamed answer: server-sent events, or a JSON document where a server refuses with 200."""

from ccproxy import sse
from ccproxy.errors import UpstreamProtocolError
from ccproxy.providers.openai_chat.failures import Failures, problem


class Body:
    """Bytes cut anywhere in, events out."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._decoder = sse.Decoder()
        self._document: bytearray | None = None  # a JSON document that came in place of a stream
        self._is_stream = False

    def feed(self, chunk: bytes) -> list[sse.ServerSentEvent]:
        """Returns the events that `chunk` completes.

        Raises:
            UpstreamProtocolError: It is no stream.
        """
        if self._is_stream or not self._is_document(chunk):
            return self._decoder.feed(chunk)
        return []

    def close(self) -> list[sse.ServerSentEvent]:
        """Returns a last event that the end completes.

        Raises:
            ApiError: An error came in place of a stream.
            UpstreamProtocolError: Another document came in place of one.
        """
        if self._document is not None:
            raise self._failure_of_document(bytes(self._document))
        return self._decoder.close()

    def _is_document(self, chunk: bytes) -> bool:
        """Keeps what comes if it is JSON: servers answer so where they refuse with status 200."""
        if self._document is None:
            start = chunk.lstrip()[:1]
            if start != b"{":
                self._is_stream = start != b""
                return False
            self._document = bytearray()
        self._document += chunk
        if len(self._document) > sse.MAX_FRAME_BYTES:
            raise UpstreamProtocolError("the answer is no stream")
        return True

    def _failure_of_document(self, document: bytes) -> Exception:
        if problem(document).message:
            return self._failures.inside(document)
        return UpstreamProtocolError("the answer is no stream")
