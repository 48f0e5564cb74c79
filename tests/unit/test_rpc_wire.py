"""Messages on the wire that would cost far more than they weigh, and those that would not."""

import pytest
from ccproxy_pb.v1.content_pb2 import Content, ContentBlock, ContentBlocks, InputMessage, TextBlock
from ccproxy_pb.v1.proxy_pb2 import CreateMessageRequest

from ccproxy.errors import ApiError, Reason
from ccproxy.rpc.wire import FROM_BYTES, MAX_FIELDS, check_fields

ELEMENT = b"\x12\x00"  # field 2, `messages`: one without anything in it
LARGE = CreateMessageRequest(extra_json="x" * FROM_BYTES).SerializeToString()


def nested(inner: bytes) -> bytes:
    """Bytes as the blocks of a turn."""
    blocks = ContentBlocks.FromString(inner)
    return CreateMessageRequest(messages=[InputMessage(content=Content(blocks=blocks))]).SerializeToString()


@pytest.mark.parametrize(
    "bomb",
    [ELEMENT * (MAX_FIELDS + 1), nested(b"\x0a\x00" * (MAX_FIELDS + 1)), b"\x18\x01" * (MAX_FIELDS + 1)],
    ids=["elements", "nested", "numbers"],
)
def test_many_small_fields_are_refused_before_they_are_built(bomb: bytes):
    """A few bytes each, seventy when built: gigabytes, and seconds in which nobody else is served."""
    with pytest.raises(ApiError, match="too many values") as caught:
        check_fields(CreateMessageRequest, LARGE + bomb)

    assert caught.value.reason is Reason.INVALID_REQUEST


def test_as_many_as_are_allowed_pass():
    """The large text is one field."""
    check_fields(CreateMessageRequest, LARGE + ELEMENT * (MAX_FIELDS - 1))


def test_texts_are_stepped_over():
    """What looks like fields in a text is none: a conversation with images is large, and soon walked."""
    text = "\x12\x00" * 2 * MAX_FIELDS
    message = InputMessage(content=Content(blocks=ContentBlocks(blocks=[ContentBlock(text=TextBlock(text=text))])))

    check_fields(
        CreateMessageRequest,
        CreateMessageRequest(messages=[message, message], temperature=0.5).SerializeToString(),
    )


def test_a_small_message_is_not_walked():
    """It cannot hold enough."""
    check_fields(CreateMessageRequest, ELEMENT * (FROM_BYTES // 2 - 1))


@pytest.mark.parametrize("junk", [b"\xff" * (8 << 20), b"\x12", b"\x12\xff\xff\xff\x7f", b"\x08", b"\x0b\x0c\x0d"])
def test_what_is_no_message_is_left_to_the_parser(junk: bytes):
    """It says so in its own words, and the walk ends at once."""
    check_fields(CreateMessageRequest, LARGE + junk)
