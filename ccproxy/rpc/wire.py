"""How many values a message on the wire holds, told before it is built.

Two bytes are an empty message of seventy: 31 MiB of them took 1.2 GB and eight seconds to parse. So a large
message is walked first, from field to field, by its descriptor; texts and bytes are stepped over.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Mapping

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ccproxy.documents import invalid

FROM_BYTES = 1 << 20  # what a smaller message can hold is soon built
MAX_FIELDS = 250_000  # 0.1 s to walk; as many values as the JSON codec writes

VARINT_BYTES = 10  # at most

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


Messages = Mapping[int, Descriptor]
"""The messages in the fields of a message, by the fields' numbers."""


def check_fields(message_class: type[Message], data: bytes) -> None:
    """Refuses a message of too many fields. One that is no message is left to the parser.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    if len(data) < FROM_BYTES:
        return
    descriptor = descriptor_pool.Default().FindMessageTypeByName(message_class.DESCRIPTOR.full_name)
    for count, _ in enumerate(_fields(_messages(descriptor), data), 1):
        if count > MAX_FIELDS:
            raise invalid("The request holds too many values")


def _fields(messages: Messages, data: bytes) -> Iterator[None]:
    """Each field of a message and of those in it."""
    left = [(0, len(data), messages)]
    known: dict[str, Messages] = {}
    while left:
        at, end, inner = left.pop()
        while at < end:
            yield
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == _LENGTH:
                size, at = _varint(data, at)
                message = inner.get(tag >> 3)
                if message is not None and size:
                    if message.full_name not in known:
                        known[message.full_name] = _messages(message)
                    left.append((at, min(at + size, end), known[message.full_name]))
                at += size
            elif kind == _VARINT:
                _, at = _varint(data, at)
            else:
                at += _FIXED.get(kind, 0)


def _messages(descriptor: Descriptor) -> Messages:
    found = {field.number: field.message_type for field in descriptor.fields}
    return {number: message for number, message in found.items() if message is not None}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends. What is none ends the data: the parser will say so."""
    value = 0
    for place, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004  # the bit that says "more follows"
            return value, at + place + 1
    return value, len(data)
