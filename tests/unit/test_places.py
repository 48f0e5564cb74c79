"""Places at a provider: who goes in, who waits, who is sent away, and that no place is lost."""

import asyncio
import contextlib
from contextlib import AsyncExitStack

import pytest

from ccproxy.errors import Reason
from ccproxy.places import FullError, Places


def places(most: int = 1, queue: int = 2, seconds: float = 30.0) -> Places:
    """Places at the provider `a`."""
    made = Places("a")
    made.change(most, queue, seconds)
    return made


class Visitors:
    """Tasks that each want a place and keep it until they are told to leave."""

    def __init__(self, where: Places) -> None:
        self._where = where
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self._leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.ensure_future(self._visit(name))
            await asyncio.sleep(0)

    async def go(self, *names: str) -> None:
        for name in names:
            self._leave[name].set()
        for _ in range(4):
            await asyncio.sleep(0)

    async def _visit(self, name: str) -> None:
        async with self._where.place():
            self.inside.append(name)
            await self._leave[name].wait()
            self.inside.remove(name)


async def test_calls_beyond_the_places_wait_in_their_order():
    """Who came first goes in first, and nobody passes those who wait."""
    visitors = Visitors(places(most=2))
    await visitors.come("a", "b", "c", "d")
    seen = [list(visitors.inside)]
    for name in "bac":
        await visitors.go(name)
        seen.append(list(visitors.inside))
    await visitors.go("d")

    assert seen == [["a", "b"], ["a", "c"], ["c", "d"], ["d"]]
    assert visitors.inside == []


async def test_a_full_queue_refuses_at_once():
    """More would only wait in vain. The refusal names no failure of the provider."""
    where = places(queue=1)
    visitors = Visitors(where)
    await visitors.come("a", "b")
    with pytest.raises(FullError) as caught:
        async with where.place():
            raise AssertionError
    await visitors.go("a", "b")

    error = caught.value
    assert (error.reason, error.status, error.retry_after, error.provider) == (Reason.OVERLOADED, 503, 1, None)
    assert "provider a: all 1 places" in error.message


async def test_who_waited_for_too_long_is_refused_and_leaves_the_queue():
    """Then its place in the queue is somebody else's."""
    where = places(queue=1, seconds=0.01)
    async with where.place():
        with pytest.raises(FullError):
            async with where.place():
                raise AssertionError
        left = where.waiting

    assert left == 0
    async with where.place():
        pass


async def test_who_goes_away_while_waiting_leaves_the_queue():
    """A caller that has gone must not be given a place."""
    where = places()
    visitors = Visitors(where)
    await visitors.come("a", "b", "c")
    visitors.tasks["b"].cancel()
    await asyncio.sleep(0)
    await visitors.go("a")

    assert visitors.inside == ["c"]
    await visitors.go("c")


async def test_a_place_that_comes_as_its_caller_goes_is_given_on():
    """Both in the same moment: the place must not be lost."""
    where = places()
    visitors = Visitors(where)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(where.place())
        await visitors.come("b", "c")
        await stack.aclose()  # b is called in ...
        visitors.tasks["b"].cancel()  # ... and goes before it has heard
        with contextlib.suppress(asyncio.CancelledError):
            await visitors.tasks["b"]
        await visitors.go()

    assert visitors.inside == ["c"]
    await visitors.go("c")


async def test_a_refusal_that_comes_as_its_caller_goes_gives_nothing_back():
    """There was no place: to give one back would let in one too many."""
    where = places(seconds=0.0)
    visitors = Visitors(where)
    await visitors.come("a", "b")
    turn = where._waiting[0]
    where._give_up(turn)
    where._give_up(turn)  # its timer, too late
    visitors.tasks["b"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await visitors.tasks["b"]
    await visitors.come("c")

    assert visitors.inside == ["a"]
    await visitors.go("a", "c")


async def test_a_caller_who_has_gone_is_passed_over():
    """Its turn is cancelled before it has left the queue."""
    where = places()
    visitors = Visitors(where)
    await visitors.come("a", "b", "c")
    visitors._leave["a"].set()
    visitors.tasks["b"].cancel()  # a leaves before b has heard
    for _ in range(4):
        await asyncio.sleep(0)

    assert visitors.tasks["b"].cancelled()
    assert visitors.inside == ["c"]
    await visitors.go("c")


@pytest.mark.parametrize(("most", "inside"), [(3, ["a", "b", "c"]), (0, ["a", "b", "c"]), (2, ["a", "b"])])
async def test_another_limit_counts_at_once(most: int, inside: list[str]):
    """Also for those who wait: a reload must not leave them in a queue that is no more."""
    where = places()
    visitors = Visitors(where)
    await visitors.come("a", "b", "c")
    where.change(most, 2, 30.0)
    await visitors.go()
    seen = list(visitors.inside)
    await visitors.go("a", "b", "c")

    assert seen == inside
    assert visitors.inside == []
