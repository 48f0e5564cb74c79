"""How long a call may wait: one alarm for all its waits, and no cancellation left behind."""

import asyncio

import pytest

from ccproxy.errors import ApiError, Reason
from ccproxy.patience import Patience

END = ApiError(Reason.SHUTTING_DOWN, "the end")


def patience(seconds: float = 5) -> Patience:
    """A call's patience from now on."""
    return Patience(asyncio.get_running_loop().time() + seconds)


async def value() -> str:
    """A step that is done at once."""
    return "done"


async def for_ever() -> None:
    """A step that never ends."""
    await asyncio.Event().wait()


async def test_a_step_that_ends_in_time_gives_its_value():
    """Nothing else may come of waiting."""
    assert await patience().wait(value) == "done"


async def test_a_wait_that_is_too_long_is_a_timeout_and_the_call_goes_on():
    """A stream pings then, and waits again."""
    call = patience()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await call.wait(for_ever, asyncio.get_running_loop().time() + 0.01)

    assert await call.wait(value) == "done"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_deadline_is_an_answer():
    """The caller named it."""
    with pytest.raises(ApiError) as caught:
        await patience(0.01).wait(for_ever)

    assert caught.value.reason is Reason.TIMEOUT


async def test_a_later_wait_moves_the_alarm_and_an_earlier_one_too():
    """One alarm serves waits of any order."""
    call = patience()
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(TimeoutError):
        await call.wait(for_ever, started + 0.02)
    with pytest.raises(TimeoutError):
        await call.wait(for_ever, started + 0.06)

    assert 0.06 <= loop.time() - started < 1


async def test_an_interruption_ends_the_wait_with_its_error():
    """The caller hears why."""
    call = patience()
    asyncio.get_running_loop().call_soon(call.interrupt, END)
    with pytest.raises(ApiError) as caught:
        await call.wait(for_ever)

    assert caught.value is END


async def test_an_interruption_between_waits_is_heard_at_the_next():
    """A call that is busy writing has no wait to end."""
    call = patience()
    call.interrupt(END)
    with pytest.raises(ApiError) as caught:
        await call.wait(value)

    assert caught.value is END


async def test_a_cancellation_by_somebody_else_stays_one():
    """The client has gone: that is no timeout."""
    call = patience()
    task = asyncio.ensure_future(call.wait(for_ever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_beside_the_alarm_is_not_swallowed():
    """Both at once: the client's going wins, or its task would live on."""
    call = patience()
    task = asyncio.ensure_future(call.wait(for_ever))
    await asyncio.sleep(0)
    call.interrupt(END)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_alarm_that_is_taken_back_does_not_ring():
    """The task goes on with another request."""
    call = patience(0.01)
    await call.wait(value)
    call.close()
    await asyncio.sleep(0.03)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_alarm_between_waits_harms_nobody():
    """It rings while the call writes; the next wait sets it anew."""
    call = patience()
    await call.wait(value, asyncio.get_running_loop().time() + 0.01)
    await asyncio.sleep(0.03)

    assert await call.wait(value) == "done"


def test_a_deadline_within_the_clocks_grain_is_one():
    """uvloop counts milliseconds: where less is left it makes no timer, and its handle knows no time."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        call = patience(0.0002)
        assert [await call.wait(value), await call.wait(value)] == ["done", "done"]
        with pytest.raises(ApiError):
            await call.wait(for_ever)

    uvloop.run(main())
