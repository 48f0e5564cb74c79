"""The one state of health: what it is made of, when it changes, and who hears of it."""

import logging

import pytest
from unit.fakes import ScriptedTransport

from ccproxy.circuit import FAILURES_IN_A_ROW, OPEN_SECONDS
from ccproxy.config import ProviderConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.health import CALM_SECONDS, Condition, Health
from ccproxy.providers import BY_TYPE
from ccproxy.upstream import Endpoint, Upstream

DOWN = ApiError(Reason.UPSTREAM_UNREACHABLE, "down").by("a")
REFUSED = ApiError(Reason.UPSTREAM_AUTHENTICATION_FAILED, "refused").by("a")


class Bench:
    """A provider `a` with some ways, a provider `b`, and the time."""

    def __init__(self, ways: int = 1) -> None:
        self.now = 50.0
        self.changes = 0
        self.health = Health(self._changed, lambda: self.now)
        self.upstreams = {"a": upstream("a", ways), "b": upstream("b", 1)}
        self.health.watch(self.upstreams)
        self.changes = 0

    def _changed(self) -> None:
        self.changes += 1

    def way(self, name: str = "a", place: int = 0) -> Endpoint:
        """One way to a provider."""
        return self.upstreams[name].endpoints[place]

    def call(self, error: ApiError | None = None, name: str = "a", place: int = 0) -> None:
        """A call that is answered, or fails."""
        permit = self.way(name, place).circuit.begin(self.now)
        if error is None:
            permit.succeeded(self.now)
        else:
            permit.failed(error, self.now)
        permit.close(self.now)

    def down(self, name: str = "a", place: int = 0) -> None:
        """As many failures as open the circuit."""
        for _ in range(FAILURES_IN_A_ROW):
            self.call(DOWN, name, place)

    def condition(self, name: str = "a") -> Condition:
        """How a provider is."""
        return next(each.condition for each in self.health.providers if each.name == name)


def upstream(name: str, ways: int) -> Upstream:
    """A provider with so many ways to it."""
    first, *others = [BY_TYPE["openai"](ProviderConfig(name, type="openai")) for _ in range(ways)]
    return Upstream(first, ScriptedTransport(), others)


def test_a_provider_that_nobody_used_is_unknown_and_nothing_is_wrong():
    """A fresh start is healthy."""
    bench = Bench()

    assert bench.condition() is Condition.UNKNOWN
    assert bench.health.fine
    assert bench.health.usable


def test_an_answer_makes_it_healthy_and_a_failing_one_is_told_at_once():
    """Each change is one; five failures are one change."""
    bench = Bench()
    bench.call()
    bench.down()

    assert bench.condition() is Condition.FAILING
    assert bench.changes == 2
    assert not bench.health.fine
    assert bench.health.usable  # by b


def test_no_provider_is_usable_when_all_fail_or_refuse():
    """Then the whole is unhealthy."""
    bench = Bench()
    bench.down()
    bench.call(REFUSED, "b")

    assert bench.condition("b") is Condition.CREDENTIAL_REFUSED
    assert not bench.health.usable


def test_a_provider_recovers_before_it_is_healthy():
    """For as long as it was away: only then does the whole say so."""
    bench = Bench()
    bench.down()
    bench.now += OPEN_SECONDS * 2
    bench.call()
    seen = [bench.condition()]
    bench.now += OPEN_SECONDS * 2
    bench.health.update()
    seen.append(bench.condition())

    assert seen == [Condition.RECOVERING, Condition.HEALTHY]


def test_a_flapping_provider_does_not_flap_in_the_health():
    """Up and down twice a minute for ten minutes: it is never called healthy in between."""
    bench = Bench()
    bench.call()
    fine = 0
    for _ in range(1200):
        bench.now += 0.5
        works = int(bench.now) // 15 % 2 == 0
        if bench.way().circuit.admits(bench.now):
            bench.call(None if works else DOWN)
        bench.health.update()
        fine += bench.health.fine

    words = bench.changes
    assert fine < 1200 * 0.1
    assert words < 80


def test_some_ways_that_fail_degrade_a_provider():
    """The others still answer."""
    bench = Bench(ways=2)
    bench.call(place=1)
    bench.down(place=0)

    assert bench.condition() is Condition.DEGRADED
    assert bench.health.providers[0].endpoints == (("a#1", Condition.FAILING), ("a#2", Condition.HEALTHY))

    bench.call(REFUSED, place=1)

    assert bench.condition() is Condition.FAILING


def test_one_way_that_was_not_used_yet_is_no_fault():
    """The first call makes the provider healthy, whichever way it took."""
    bench = Bench(ways=2)
    bench.call()

    assert bench.condition() is Condition.HEALTHY


def test_each_change_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture):
    """An operator reads what and why, without the provider's text."""
    bench = Bench()
    with caplog.at_level(logging.INFO, "ccproxy.health"):
        bench.call()
        bench.down()
        bench.now += OPEN_SECONDS * 2
        bench.call()

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "provider a: healthy, was unknown"),
        ("WARNING", "provider a: failing, was healthy (UPSTREAM_UNREACHABLE)"),
        ("INFO", "provider a: recovering, was failing (UPSTREAM_UNREACHABLE)"),
    ]


def test_a_late_loop_degrades_until_it_was_in_time_for_a_while(caplog: pytest.LogCaptureFixture):
    """One late timer shows, and one timely timer does not hide it."""
    bench = Bench()
    seen = []
    with caplog.at_level(logging.INFO, "ccproxy.health"):
        for late, wait in ((0.01, 0.5), (0.9, 0.5), (0.01, 0.5), (0.2, CALM_SECONDS), (0.01, 0.5)):
            bench.health.lag(late)
            seen.append(bench.health.lags)
            bench.now += wait

    assert seen == [False, True, True, True, False]
    assert bench.changes == 2
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_refused_calls_degrade_and_are_told_once_each_way(caplog: pytest.LogCaptureFixture):
    """Whoever reads `degraded` finds the reason beside it, and in the log."""
    bench = Bench()
    seen = []
    with caplog.at_level(logging.INFO, "ccproxy.health"):
        for reason in ("memory", "memory", "event_loop", "", ""):
            bench.health.shed(reason)
            seen.append((bench.health.shedding, bench.health.fine))

    assert seen == [("memory", False), ("memory", False), ("event_loop", False), ("", True), ("", True)]
    assert bench.changes == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]


def test_providers_that_stay_keep_their_past_over_a_new_configuration():
    """A reload must not call a failing provider unknown; one that is new is."""
    bench = Bench()
    bench.down()
    bench.call(name="b")
    bench.health.watch({"a": bench.upstreams["a"], "b": upstream("b", 1)})

    assert [each.condition for each in bench.health.providers] == [Condition.FAILING, Condition.UNKNOWN]


def test_the_circuits_are_a_metric():
    """0 closed, 1 half-open, 2 open: the best of a provider's ways."""
    bench = Bench(ways=2)
    bench.down("b")
    bench.down("a", 0)

    assert bench.health.circuit_states() == {("a",): 0.0, ("b",): 2.0}
