"""Two openers side by side, the second where the first takes long: the one that is open first wins.

Source: Dean and Barroso, "The Tail at Scale" (2013): a second request after the usual time cuts the slowest
answers, for a few per cent more requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

T = TypeVar("T")

Opener = Callable[[AsyncExitStack], Awaitable[T]]
"""Opens something that lives on the stack."""


async def race(stack: AsyncExitStack, first: Opener[T], beside: Callable[[], Opener[T] | None], after: float) -> T:
    """What is open first. It lives on `stack`; the other is closed, however far it has come.

    Args:
        stack: The caller's.
        first: Begins at once.
        beside: Gives the second, `after` seconds later, where there is to be one.
        after: Seconds.

    Raises:
        Exception: What `first` raised, where none came to be open.
    """
    runs = [asyncio.ensure_future(_open(first))]
    try:
        done, _ = await asyncio.wait(runs, timeout=after)
        if not done and (second := beside()) is not None:
            runs.append(asyncio.ensure_future(_open(second)))
        pending = set(runs)
        while pending:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for run in runs:
                if run.done() and run.exception() is None:
                    runs.remove(run)
                    opened, own = run.result()
                    stack.push_async_exit(own)
                    return opened
        return runs[0].result()[0]  # raises
    finally:
        await _give_up(runs)


async def _open(opener: Opener[T]) -> tuple[T, AsyncExitStack]:
    async with AsyncExitStack() as own:
        opened = await opener(own)
        return opened, own.pop_all()


async def _give_up(runs: "Sequence[asyncio.Future[tuple[T, AsyncExitStack]]]") -> None:
    for run in runs:
        run.cancel()
    for ended in await asyncio.gather(*runs, return_exceptions=True):
        if not isinstance(ended, BaseException):
            await ended[1].aclose()
