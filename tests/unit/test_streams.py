"""What every translated stream has."""

import pytest

from ccproxy import sse
from ccproxy.blocks import BlockWriter
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Usage
from ccproxy.providers.streams import Body, WrittenStream


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_document_in_place_of_a_stream_is_kept_whole(size: int):
    """It says why there is no stream, however the network cuts it."""
    body, document = Body(b"{["), b'  [{"error": 1}]'
    events = [event for i in range(0, len(document), size) for event in body.feed(document[i : i + size])]

    assert (events, body.document and body.document.strip()) == ([], document.strip())


def test_braces_inside_a_stream_are_no_document():
    """Every event's data is one."""
    body = Body()
    events = [*body.feed(b"\n"), *body.feed(b"data: {}\n\n"), *body.feed(b"{\n\n"), *body.feed(b"data: 1")]

    assert [event.data for event in [*events, *body.close()]] == [b"{}", b"1"]
    assert body.document is None


def test_a_document_without_end_is_given_up():
    """It would fill the memory."""
    body = Body()
    body.feed(b"{" + b" " * (sse.MAX_FRAME_BYTES - 1))

    with pytest.raises(UpstreamProtocolError, match="no stream"):
        body.feed(b" ")


def test_an_answer_without_content_counts_once_it_is_whole():
    """Else the gate would wait for content that never comes."""
    writer = BlockWriter()
    stream = WrittenStream(writer)
    writer.start("msg_1", "m")

    assert (stream.has_content, stream.finished, stream.take().count(b"event:")) == (False, False, 1)

    writer.finish("end_turn", Usage())

    assert (stream.has_content, stream.finished, stream.take().count(b"event:")) == (True, True, 2)
    assert stream.take() == b""
