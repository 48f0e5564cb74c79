"""Two openers side by side: one wins, and nothing of the other stays."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ccproxy.hedging import Opener, race


class Bench:
    """Openers with names, and what is open."""

    def __init__(self) -> None:
        self.open: list[str] = []

    def opener(self, name: str, seconds: float, error: Exception | None = None) -> Opener[str]:
        """Opens after some time, or fails then."""

        async def opened(own: AsyncExitStack) -> str:
            self.open.append(name)
            own.callback(self.open.remove, name)
            await asyncio.sleep(seconds)
            if error is not None:
                raise error
            return name

        return opened


async def raced(bench: Bench, first: Opener[str], second: Opener[str] | None, after: float = 0.01) -> str:
    """Who won; what it opened is open until the end, and nothing else."""
    asked = []
    async with AsyncExitStack() as stack:
        winner = await race(stack, first, lambda: asked.append(1) or second, after)
        assert bench.open == [winner]
    assert bench.open == []
    return f"{winner}, {len(asked)}"


async def test_a_first_that_is_quick_has_no_second():
    """The usual case costs nothing more."""
    bench = Bench()

    assert await raced(bench, bench.opener("a", 0), bench.opener("b", 0), after=5) == "a, 0"


async def test_the_second_wins_where_the_first_takes_long():
    """And the first is closed at once."""
    bench = Bench()

    assert await raced(bench, bench.opener("a", 5), bench.opener("b", 0)) == "b, 1"


async def test_the_first_wins_where_it_is_still_the_quicker_one():
    """And the second is closed at once."""
    bench = Bench()

    assert await raced(bench, bench.opener("a", 0.05), bench.opener("b", 5)) == "a, 1"


async def test_where_there_is_no_second_the_first_is_waited_for():
    """No budget, or nowhere to go."""
    bench = Bench()

    assert await raced(bench, bench.opener("a", 0.05), None) == "a, 1"


async def test_one_failure_leaves_the_other():
    """Whichever it was."""
    bench = Bench()

    assert await raced(bench, bench.opener("a", 0.03, OSError("a")), bench.opener("b", 0.06)) == "b, 1"
    assert await raced(bench, bench.opener("a", 0.06), bench.opener("b", 0, OSError("b"))) == "a, 1"


async def test_two_failures_are_the_firsts():
    """It is what was asked for."""
    bench = Bench()
    with pytest.raises(OSError, match="a"):
        await raced(bench, bench.opener("a", 0.05, OSError("a")), bench.opener("b", 0, OSError("b")))

    assert bench.open == []


async def test_both_open_at_once_leave_one():
    """The other is closed although it is done."""
    bench = Bench()

    assert await raced(bench, bench.opener("a", 0.02), bench.opener("b", 0.01)) in {"a, 1", "b, 1"}


async def test_who_gives_up_leaves_nothing():
    """A client that has gone must not keep two calls alive."""
    bench = Bench()
    task = asyncio.ensure_future(raced(bench, bench.opener("a", 5), bench.opener("b", 5)))
    await asyncio.sleep(0.05)
    both = list(bench.open)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (both, bench.open) == (["a", "b"], [])
