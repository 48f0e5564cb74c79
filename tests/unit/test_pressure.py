"""When new calls are refused because there is too much to do, and when no longer."""

import pytest

from ccproxy.pressure import LOOKS, RELIEF, Pressure

MAX_LATE = 0.25
MAX_MEMORY = 85


def looked(*measured: tuple[float, float | None], late: float = MAX_LATE, memory: int = MAX_MEMORY) -> list[str]:
    """What each look says."""
    pressure = Pressure()
    return [pressure.look(seconds, late, percent, memory) for seconds, percent in measured]


def test_one_late_timer_is_no_load():
    """Half a second of work is over when it is noticed: to refuse calls then would help nobody."""
    assert looked(*[(0.0, None)] * LOOKS, (5.0, None), (0.0, None), (0.0, None)) == [""] * (LOOKS + 3)


def test_a_loop_that_stays_late_is():
    """Two of three looks: their median."""
    assert looked((0.3, None), (0.0, None), (0.3, None), (0.3, None), (0.0, None), (0.0, None)) == [
        "",
        "",
        "event_loop",
        "event_loop",
        "event_loop",
        "",
    ]


def test_what_was_measured_is_late_only_beyond_the_bound():
    """At the bound it is not."""
    assert looked(*[(MAX_LATE, None)] * 4)[-1] == ""


def test_memory_beyond_its_share_counts_at_once_and_until_some_is_free_again():
    """At the bound alone it would flap."""
    percents = [MAX_MEMORY, MAX_MEMORY + 1, MAX_MEMORY, MAX_MEMORY - RELIEF + 1, MAX_MEMORY - RELIEF, MAX_MEMORY]

    assert looked(*[(0.0, percent) for percent in percents]) == ["", "memory", "memory", "memory", "", ""]


def test_memory_is_told_before_the_loop():
    """It is what kills."""
    assert looked(*[(1.0, 99.0)] * LOOKS)[-1] == "memory"


@pytest.mark.parametrize(("late", "memory", "percent"), [(0.0, 0, 99.0), (0.0, MAX_MEMORY, None)])
def test_either_can_be_switched_off(late: float, memory: int, percent: float | None):
    """By 0; and where nothing limits the memory there is nothing to compare with."""
    assert looked(*[(9.0, percent)] * LOOKS, late=late, memory=memory)[-1] == ""


def test_the_last_word_is_kept():
    """For the calls that come between two looks."""
    pressure = Pressure()
    pressure.look(0.0, MAX_LATE, 99.0, MAX_MEMORY)

    assert pressure.reason == "memory"
