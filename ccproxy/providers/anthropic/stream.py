"""A streamed answer on its way through: frames, opened only where usage, the end or a failure may be inside.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11-22).
"""

import msgspec

from ccproxy import sse
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Usage
from ccproxy.providers.anthropic.failures import Failures
from ccproxy.providers.anthropic.wire import Named, newer_usage

_named = msgspec.json.Decoder(Named)

_BLOCK = b"event: content_block_"


class RelayStream:
    """One streamed answer; see `provider.Stream`."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._framer = sse.Framer()
        self._frames: list[bytes] = []
        self.has_content = False
        self.finished = False
        self.usage = Usage()

    def feed(self, chunk: bytes) -> None:
        """Takes bytes cut anywhere; see `Stream.feed`."""
        self._read(self._framer.feed(chunk))

    def close(self) -> None:
        """The upstream has ended; see `Stream.close`."""
        self._read(self._framer.close())
        if not self.finished:
            raise UpstreamProtocolError("the stream ended without message_stop")

    def take(self) -> bytes:
        """Returns the frames read since the last call."""
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames

    def _read(self, frames: bytes) -> None:
        if not frames or self.finished:
            return
        if self.has_content and _only_blocks(frames):
            self._frames.append(frames)
            return
        for frame in frames.split(b"\n\n"):
            if frame.startswith(_BLOCK) and not self.finished:
                self.has_content = True
                self._frames.append(frame + b"\n\n")
            elif frame:
                self._frame(frame + b"\n\n")

    def _frame(self, frame: bytes) -> None:
        found = sse.events(frame)
        if not found:  # a comment: keeps the connection alive
            self._frames.append(frame)
            return
        (event,) = found
        if self.finished or event.data == b"[DONE]":  # OpenRouter's endpoint adds it; SDKs choke on it
            return
        self._open(event)
        self._frames.append(frame)

    def _open(self, event: sse.ServerSentEvent) -> None:
        try:
            named = _named.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamProtocolError("an event is not a JSON object with a type") from error
        match named.type:
            case "error":
                raise self._failures.streamed(event.data)
            case "message_start":
                self.usage = newer_usage(named.message.usage, self.usage)
            case "message_delta":
                self.usage = newer_usage(named.usage, self.usage)
                self.has_content = True
            case "message_stop":
                self.has_content = True
                self.finished = True
            case _:  # ping, and whatever comes next year
                self.has_content = self.has_content or named.type.startswith("content_block_")


def _only_blocks(frames: bytes) -> bool:
    """Whether every frame is a named content block event, told without opening any.

    JSON holds no raw line end, so a name at the start of a line is a name.
    """
    return frames.startswith(_BLOCK) and frames.count(b"\n\n" + _BLOCK) + 1 == frames.count(b"\n\n")
