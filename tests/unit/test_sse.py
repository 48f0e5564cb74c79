"""Server-Sent Events: what the standard says, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccproxy import sse
from ccproxy.errors import UpstreamProtocolError
from ccproxy.sse import Decoder, Framer, ServerSentEvent


def decoded(*chunks: bytes) -> list[ServerSentEvent]:
    """All events of a stream."""
    decoder = Decoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return events + decoder.close()


def named(event: str, data: str) -> ServerSentEvent:
    """An event."""
    return ServerSentEvent(event, data.encode())


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\n", [named("", "a")]),
        (b"data:a\n\n", [named("", "a")]),
        (b"data:  a\n\n", [named("", " a")]),
        (b"event: e\ndata: a\n\n", [named("e", "a")]),
        (b"data: a\nevent: e\n\n", [named("e", "a")]),
        (b"event:e\ndata:a\n\n", [named("e", "a")]),
        (b"data: a\ndata: b\n\n", [named("", "a\nb")]),
        (b"data\n\n", [named("", "")]),
        (b"data: \n\n", [named("", "")]),
        (b"id: 1\nretry: 5\ndata: a\n\n", [named("", "a")]),
        (b": comment\n\n", []),
        (b": comment\ndata: a\n\n", [named("", "a")]),
        (b"event: e\n\n", []),
        (b"\n\n\n\ndata: a\n\n\n\n", [named("", "a")]),
        (b"\ndata: a\n\n", [named("", "a")]),
        (b"data: a\n\n\ndata: b\n\n", [named("", "a"), named("", "b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [named("", "a")]),
        (b"\xef\xbb\xbf\n\ndata: a\n\n", [named("", "a")]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [named("", "a")]),
        (b"data: a", [named("", "a")]),
        (b"data: a\n", [named("", "a")]),
        (b"data: a\n\ndata: b\n", [named("", "a"), named("", "b")]),
        (b"event: \xff\ndata: a\n\n", [named("\ufffd", "a")]),
        (b"", []),
        (b"\n", []),
    ],
)
def test_what_the_standard_says(body: bytes, events: list[ServerSentEvent]):
    """Servers use all of it; whole, or a byte at a time."""
    for ends in (b"\n", b"\r\n", b"\r"):
        bytes_ = body.replace(b"\n", ends)

        assert decoded(bytes_) == events
        assert decoded(*(bytes_[i : i + 1] for i in range(len(bytes_)))) == events


LINES = st.sampled_from(["data: a", "data:€", "data", "event: e", ": c", "id: 1", "", "x"])
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(LINES, ENDS), max_size=20), st.lists(st.integers(0, 120), max_size=20), st.booleans())
def test_the_cut_of_the_bytes_does_not_matter(lines: list[tuple[str, str]], cuts: list[int], bom: bool):  # noqa: FBT001
    """The network cuts anywhere, also between CR and LF and inside a character."""
    body = (("\ufeff" if bom else "") + "".join(line + end for line, end in lines)).encode()
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(places)]

    assert decoded(*chunks) == decoded(body)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_framed_or_not(chunks: list[bytes]):
    """Nothing but what was sent comes out, and it ends where a frame ends."""
    framer = Framer()
    frames = b"".join(framer.feed(chunk) for chunk in chunks) + framer.close()

    assert b"\r" not in frames
    assert frames == b"" or frames.endswith(b"\n\n")


def test_a_frame_comes_out_when_it_is_whole():
    """A stream is only alive if each event goes on at once."""
    framer = Framer()

    assert framer.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert framer.feed(b"\n") == b""
    assert framer.feed(b"\n") == b"data: b\n\n"


def test_a_frame_has_a_limit():
    """A server that never ends an event would fill the memory."""
    framer = Framer()
    framer.feed(b"data: " + b"x" * (sse.MAX_FRAME_BYTES - 6))

    with pytest.raises(UpstreamProtocolError):
        framer.feed(b"x")


def test_many_frames_have_none():
    """The limit is of one event, not of a read."""
    assert len(Decoder().feed(b"data: x\n\n" * (sse.MAX_FRAME_BYTES // 8))) == sse.MAX_FRAME_BYTES // 8


def test_nothing_is_left_after_the_end():
    """A stream ends once."""
    framer = Framer()
    framer.feed(b"data: a")

    assert framer.close() == b"data: a\n\n"
    assert framer.close() == b""


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(alphabet="ab_", min_size=1), st.binary().filter(lambda data: not set(b"\r\n") & set(data)))
def test_what_is_framed_is_read_back(event: str, data: bytes):
    """Our own frames are read by the same rules."""
    assert decoded(sse.frame(event, data)) == [ServerSentEvent(event, data)]


def test_a_comment_keeps_a_connection_alive():
    """It is no event to anyone."""
    assert decoded(sse.KEEP_ALIVE) == []
