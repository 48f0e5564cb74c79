"""One switch that only moves forward, and wakes who waits for it."""

import asyncio

import pytest

from ccproxy.serving import Phase, Serving


def at(phase: Phase) -> Serving:
    """A switch moved to `phase`."""
    serving = Serving()
    serving.move(phase, phase.name.lower())
    return serving


@pytest.mark.parametrize(
    ("phase", "ready", "accepting"),
    [
        (Phase.STARTING, False, False),
        (Phase.SERVING, True, True),
        (Phase.DRAINING, False, True),  # load balancers have not heard yet
        (Phase.STOPPING, False, False),
    ],
)
def test_each_phase_says_what_it_takes(phase: Phase, ready: bool, accepting: bool):  # noqa: FBT001  # a table
    """Ready is for load balancers, accepting for the calls that still come."""
    serving = at(phase)

    assert (serving.ready, serving.accepting) == (ready, accepting)


def test_it_starts_with_a_reason():
    """A refusal before the start says why, too."""
    assert Serving().reason == "starting"


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("back", Phase)
def test_it_never_moves_back(phase: Phase, back: Phase):
    """A late "serving" must not revive a process that is ending."""
    serving = at(phase)
    serving.move(back, "later")

    assert serving.phase == max(phase, back)


def test_the_first_reason_of_a_phase_stays():
    """The second SIGTERM is not why it ends."""
    serving = at(Phase.DRAINING)
    serving.move(Phase.DRAINING, "another")

    assert serving.reason == "draining"


async def test_a_change_wakes_everybody_who_waits():
    """Every open health watch must hear of a drain at once."""
    serving = Serving()
    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(serving.changed())
        await asyncio.sleep(0)
        serving.move(Phase.SERVING, "serving")

    assert serving.ready


async def test_a_change_is_told_once():
    """Who waits again waits for the next one."""
    serving = at(Phase.SERVING)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await serving.changed()


async def test_no_change_wakes_nobody():
    """Moving to where it is already would make watches spin."""
    serving = at(Phase.SERVING)
    asyncio.get_running_loop().call_soon(serving.move, Phase.SERVING, "again")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await serving.changed()
