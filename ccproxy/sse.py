"""Server-Sent Events, in both directions.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html (read 2026-11-22). Line ends may be
LF, CR or CRLF, and bytes may be cut anywhere, also inside a character or between CR and LF.

Inside CCProxy a stream is `bytes` that hold whole frames with LF line ends: a relay then never opens what it
need not read, and both edges see the same frames.
"""

from msgspec import Struct

from ccproxy.errors import UpstreamProtocolError

MAX_FRAME_BYTES = 8 << 20  # one event; the largest seen in practice is a few hundred KiB

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(Struct, frozen=True):
    """One event. `event` is empty where the frame names none; `data` joins its lines with LF."""

    event: str
    data: bytes


class Framer:
    """Bytes cut anywhere in, whole frames out."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        """Returns the frames that `chunk` completes, with LF line ends; empty where it completes none.

        Raises:
            UpstreamProtocolError: A frame is larger than MAX_FRAME_BYTES.
        """
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_lf(chunk)
        if not self._held and chunk.endswith(b"\n\n"):  # whole frames, as they nearly always come
            return self._start(chunk)
        joint = self._held[-1][-1:] + chunk if self._held else chunk
        end = joint.rfind(b"\n\n") + 2 - (len(joint) - len(chunk))
        if end <= 0 or b"\n\n" not in joint:  # no join until a frame ends: a dripped frame stays linear
            self._hold(chunk)
            return b""
        frames = b"".join((*self._held, chunk[:end])) if self._held else chunk[:end]
        self._held.clear()
        self._held_bytes = 0
        if end < len(chunk):
            self._hold(chunk[end:])
        return self._start(frames)

    def close(self) -> bytes:
        """Returns what is left: a last frame without its blank line, or nothing."""
        rest = b"".join(self._held)
        self._held.clear()
        return self._start(rest.rstrip(b"\n") + b"\n\n") if rest.strip() else b""

    def _with_lf(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        chunk = chunk.replace(b"\r\n", b"\n")
        return chunk.replace(b"\r", b"\n") if b"\r" in chunk else chunk

    def _hold(self, data: bytes) -> None:
        if not data:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MAX_FRAME_BYTES:
            raise UpstreamProtocolError(f"a server-sent event is larger than {MAX_FRAME_BYTES} bytes")

    def _start(self, frames: bytes) -> bytes:
        if self._begun:
            return frames
        self._begun = True
        return frames.removeprefix(_BOM)


class Decoder:
    """Bytes cut anywhere in, events out. Comments and empty frames give no event."""

    def __init__(self) -> None:
        self._framer = Framer()

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Returns the events that `chunk` completes. Raises as `Framer.feed` does."""
        return events(self._framer.feed(chunk))

    def close(self) -> list[ServerSentEvent]:
        """Returns a last event that the end of the stream completes."""
        return events(self._framer.close())


def events(frames: bytes) -> list[ServerSentEvent]:
    """The events in whole frames, in order."""
    found: list[ServerSentEvent] = []
    for frame in frames.split(b"\n\n"):
        if frame.startswith(b"data: ") and b"\n" not in frame:  # nearly every frame of a Chat Completions stream
            found.append(ServerSentEvent("", frame[6:]))
        elif frame:
            event = _event(frame)
            if event is not None:
                found.append(event)
    return found


def _event(frame: bytes) -> ServerSentEvent | None:
    name = ""
    data: list[bytes] = []
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return ServerSentEvent(name, b"\n".join(data)) if data else None


def frame(event: str, data: bytes) -> bytes:
    """One frame. `data` is one JSON document, so it holds no line end."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


KEEP_ALIVE = b": keep-alive\n\n"
"""A comment: it keeps a connection open before the first event may be sent."""
