"""How long a call may wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ccproxy.errors import ApiError, Reason

T = TypeVar("T")


class Patience:
    """How long one call may wait: until its deadline, or until it is interrupted.

    One alarm serves all waits of a call, and is set anew only where it would ring too late or has rung too early:
    an `asyncio.timeout` around every read of a stream costs as much as the reading.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._loop = asyncio.get_running_loop()
        self._end: ApiError | None = None
        self._until = deadline
        self._alarm: asyncio.Handle | None = None
        self._rings_at = 0.0  # uvloop's handles do not say it where that is at once
        self._waiting: asyncio.Task[object] | None = None
        self._rung = False
        self._branches: list[Patience] = []

    def branch(self) -> "Patience":
        """Another one, for what runs beside: with the same deadline, and interrupted together with this one."""
        branch = Patience(self._deadline)
        self._branches.append(branch)
        if self._end is not None:
            branch.interrupt(self._end)
        return branch

    def close(self) -> None:
        """Takes the alarm back."""
        if self._alarm is not None:
            self._alarm.cancel()
        for branch in self._branches:
            branch.close()

    def interrupt(self, error: ApiError) -> None:
        """Ends the call's waiting with `error`: now, or when it next waits."""
        self._end = error
        self._until = self._loop.time()
        self.close()
        self._ring()
        for branch in self._branches:
            branch.interrupt(error)

    async def wait(self, step: Callable[[], Awaitable[T]], until: float | None = None) -> T:
        """Awaits one step of the call.

        Raises:
            TimeoutError: `until` passed, but not the deadline.
            ApiError: The deadline passed, or the call was interrupted.
        """
        if self._end is not None:
            raise self._end
        self._until = self._deadline if until is None else min(until, self._deadline)
        if self._alarm is None or self._until < self._rings_at:
            self._set_alarm()
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call waits in a task")
        cancelled = task.cancelling()
        self._waiting = task
        try:
            return await step()
        except asyncio.CancelledError:
            if not self._rung or task.cancelling() > cancelled + 1:
                raise  # by somebody else
            raise self._verdict() from None
        finally:
            self._waiting = None
            if self._rung:
                self._rung = False
                task.uncancel()

    def _set_alarm(self) -> None:
        self.close()
        self._rings_at = self._until
        self._alarm = self._loop.call_at(self._until, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._loop.time() < self._until:
            self._set_alarm()
        elif self._waiting is not None and not self._rung:
            self._rung = True
            self._waiting.cancel()

    def _verdict(self) -> Exception:
        if self._end is not None:
            return self._end
        if self._until == self._deadline:
            return ApiError(Reason.TIMEOUT, "The answer was not complete by the deadline")
        return TimeoutError()
