"""Addresses of providers, when the resolver fails: a minute without it must not be a minute without providers."""

import asyncio
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from ccproxy import names
from ccproxy.names import Names


class Scripted(AbstractResolver):
    """Answers with the next of these: addresses, a failure, or never."""

    def __init__(self, *answers: list[Any] | OSError | None) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[Any]:
        assert (host, port, family) == ("api.test", 443, socket.AF_INET)
        self.asked += 1
        answer = self._answers.pop(0)
        if answer is None:
            await asyncio.sleep(60)
        if isinstance(answer, OSError):
            raise answer
        return answer or []

    async def close(self) -> None:
        raise AssertionError("nobody closes it")


FIRST, SECOND = [{"host": "192.0.2.1"}], [{"host": "192.0.2.2"}]
DOWN = socket.gaierror(socket.EAI_AGAIN, "down")


async def test_the_newest_answer_is_the_one_that_counts():
    """Providers move."""
    found = Names(Scripted(FIRST, SECOND))

    assert [await found.resolve("api.test", 443) for _ in range(2)] == [FIRST, SECOND]


async def test_a_resolver_that_fails_does_not_take_the_provider_with_it():
    """And a later answer counts again."""
    found = Names(Scripted(FIRST, DOWN, SECOND))

    assert [await found.resolve("api.test", 443) for _ in range(3)] == [FIRST, FIRST, SECOND]


async def test_a_resolver_that_stalls_is_not_waited_for_where_an_address_is_known(monkeypatch: pytest.MonkeyPatch):
    """The call has its time for the connection, and needs it."""
    monkeypatch.setattr(names, "PATIENCE_SECONDS", 0.02)
    found = Names(Scripted(FIRST, None))
    await found.resolve("api.test", 443)

    async with asyncio.timeout(5):
        assert await found.resolve("api.test", 443) == FIRST


async def test_an_address_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch):
    """It may be somebody else's by then."""
    monkeypatch.setattr(names, "STALE_SECONDS", 0.0)
    found = Names(Scripted(FIRST, DOWN))
    await found.resolve("api.test", 443)

    with pytest.raises(socket.gaierror):
        await found.resolve("api.test", 443)


async def test_a_name_that_was_never_known_fails():
    """Nothing is made up."""
    with pytest.raises(socket.gaierror):
        await Names(Scripted(DOWN)).resolve("api.test", 443)
