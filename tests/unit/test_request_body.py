"""The body of a request to a provider."""

from typing import Any

import pytest

from ccproxy.request_body import PART_BYTES, RequestBody


class Line:
    """A connection that remembers what it was given."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    async def write(self, part: bytes) -> None:
        """Takes a part."""
        self.parts.append(bytes(part))


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES])
async def test_a_body_goes_out_in_parts_as_often_as_it_is_asked_for(size: int):
    """Nothing waits for a provider that reads slowly but the part that it reads; a retry sends it all again."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    payload = RequestBody(body)
    for _ in range(2):
        line: Any = Line()
        await payload.write_with_length(line, size)

        assert b"".join(line.parts) == body
        assert max(map(len, line.parts)) <= PART_BYTES

    assert payload.size == size


def test_the_body_can_be_shown():
    """aiohttp asks for its text where it tells of a request."""
    assert RequestBody(b'{"a":"\xc3\xa9"}').decode() == '{"a":"é"}'
