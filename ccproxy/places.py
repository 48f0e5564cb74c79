"""Places at one provider: so many calls at once, and a short queue before them.

aiohttp's own limit would queue without end and in silence, and its timeout looks like a provider that is down.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ccproxy.errors import ApiError, Reason


class FullError(ApiError):
    """No place became free."""


class Places:
    """The places of one provider. `change` says how many there are, before the first is taken."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._most = 0
        self._queue = 0
        self._seconds = 0.0
        self._taken = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def change(self, most: int, queue: int, seconds: float) -> None:
        """So many calls may be there at once (0 for any number), so many may wait, for so long."""
        self._most, self._queue, self._seconds = most, queue, seconds
        self._call_in()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place, for as long as the context lasts.

        Raises:
            FullError: None became free in time, or too many wait already.
        """
        if self._has_room() and not self._waiting:
            self._taken += 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._leave()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._queue:
            raise self._full()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(self._seconds, self._give_up, turn)
        try:
            if not await turn:
                raise self._full()
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.result():
                self._leave()  # the place came in the same moment
            raise
        finally:
            timer.cancel()
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _give_up(self, turn: "asyncio.Future[bool]") -> None:
        if not turn.done():
            turn.set_result(False)

    def _leave(self) -> None:
        self._taken -= 1
        self._call_in()

    def _call_in(self) -> None:
        """Gives free places to those who have waited longest."""
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(True)

    def _has_room(self) -> bool:
        return not self._most or self._taken < self._most

    def _full(self) -> FullError:
        message = f"provider {self._provider}: all {self._most} places that CCProxy has for it are taken"
        return FullError(Reason.OVERLOADED, message, status=503, retry_after=1)
