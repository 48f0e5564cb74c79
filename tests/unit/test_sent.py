"""A request on its way: what becomes of its connection, whoever leaves it and why."""

from typing import Any, cast

import aiohttp
import pytest

from ccproxy.sent import Sent


class Response:
    """An answer of aiohttp's, as far as its end goes."""

    def __init__(self, *left: bytes) -> None:
        self.content = self
        self.left = list(left)
        self.closed = False

    def at_eof(self) -> bool:
        return not self.left

    async def readany(self) -> bytes:
        return self.left.pop(0) if self.left else b""

    def close(self) -> None:
        self.closed = True


class Broken(Response):
    """One whose connection breaks where it is read."""

    async def readany(self) -> bytes:
        raise aiohttp.ClientPayloadError


def sent(response: Response) -> Sent[str]:
    """A request that gets `response`."""

    async def send() -> tuple[aiohttp.ClientResponse, str]:
        return cast(Any, response), "answer"

    return Sent(send)


async def test_the_rest_of_a_finished_answer_is_taken_before_it_is_closed():
    """Else its connection could not serve again, and each stream would cost a new one."""
    response = Response(b"0\r\n", b"\r\n")
    async with sent(response) as answer:
        assert not response.closed

    assert (answer, response.left, response.closed) == ("answer", [], True)


async def test_an_answer_that_is_left_with_a_failure_is_closed_as_it_is():
    """Nobody pays for what nobody reads."""
    response = Response(b"more")
    with pytest.raises(ConnectionError):
        async with sent(response):
            raise ConnectionError

    assert (response.left, response.closed) == ([b"more"], True)


async def test_an_answer_that_breaks_at_its_end_is_no_failure():
    """It was whole."""
    response = Broken(b"rest")
    async with sent(response):
        pass

    assert response.closed


async def test_a_request_that_fails_is_the_callers_to_hear_of():
    """There is nothing to close then."""

    async def send() -> tuple[aiohttp.ClientResponse, str]:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        async with Sent(send):
            pytest.fail("it was not sent")
