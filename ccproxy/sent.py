"""A request on its way to a provider, and the end of it: its connection serves again, or is closed."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

import aiohttp

DRAIN_SECONDS = 0.05  # to take the end of a finished stream, so that its connection can serve again

T = TypeVar("T")


class Sent(Generic[T]):
    """One request on its way, as a context. It is no generator: this is the hot path."""

    def __init__(self, send: Callable[[], Awaitable[tuple[aiohttp.ClientResponse, T]]]) -> None:
        self._send = send
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> T:
        self._response, answer = await self._send()
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        response = self._response
        if response is None:
            return
        try:
            if kind is None:
                await _drain(response)
        finally:
            response.close()  # back to the pool where the body was read to its end, else closed


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Takes what is left of a finished answer, if it comes at once."""
    if response.content.at_eof():
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await response.content.readany():
                pass
    except (aiohttp.ClientError, TimeoutError, OSError):
        return  # closed instead: costs a new connection, nothing else
