"""When a way to a provider is left alone, and when it is tried again; time is what the test says."""

import pytest

from ccproxy import circuit as module
from ccproxy.circuit import FAILURES_IN_A_ROW, MAX_OPEN_SECONDS, OPEN_SECONDS, Circuit, State
from ccproxy.errors import ApiError, Reason

DOWN = ApiError(Reason.UPSTREAM_UNREACHABLE, "down").by("openai")
OVERLOADED_BY_US = ApiError(Reason.OVERLOADED, "too many calls here")


class Bench:
    """A circuit, its time, and how often it changed."""

    def __init__(self) -> None:
        self.circuit = Circuit(jitter=lambda: 0.5)  # none
        self.now = 100.0
        self.changes: list[tuple[State, bool]] = []
        self.circuit.watch(lambda: self.changes.append((self.circuit.state, self.circuit.refused)))

    def fail(self, error: ApiError = DOWN, times: int = 1) -> None:
        """Calls that end in `error` before any content."""
        for _ in range(times):
            permit = self.circuit.begin(self.now)
            permit.failed(error, self.now)
            permit.close(self.now)

    def succeed(self) -> None:
        """A call that is answered."""
        permit = self.circuit.begin(self.now)
        permit.succeeded(self.now)
        permit.close(self.now)

    def opened(self) -> "Bench":
        """With the circuit open since now."""
        self.fail(times=FAILURES_IN_A_ROW)
        assert self.circuit.state is State.OPEN
        return self


def test_five_failures_in_a_row_open_it():
    """A provider that is down must not cost every caller a timeout."""
    bench = Bench()
    bench.fail(times=FAILURES_IN_A_ROW - 1)

    assert bench.circuit.state is State.CLOSED

    bench.fail()

    assert bench.circuit.state is State.OPEN
    assert bench.circuit.reason == "UPSTREAM_UNREACHABLE"
    assert not bench.circuit.admits(bench.now)


def test_an_answer_between_failures_starts_the_count_again():
    """Five in a row, not five."""
    bench = Bench()
    bench.fail(times=4)
    bench.succeed()
    bench.fail(times=4)

    assert bench.circuit.state is State.CLOSED


def test_half_of_twenty_within_half_a_minute_open_it():
    """One that fails every second time never fails five times in a row."""
    bench = Bench()
    for _ in range(10):
        bench.succeed()
        bench.fail()

    assert bench.circuit.state is State.OPEN


def test_failures_long_ago_say_nothing():
    """The rate is of the last thirty seconds."""
    bench = Bench()
    for _ in range(9):
        bench.succeed()
        bench.fail()
        bench.now += 4.0

    assert bench.circuit.state is State.CLOSED


@pytest.mark.parametrize(
    "error",
    [
        OVERLOADED_BY_US,
        ApiError(Reason.TIMEOUT, "the caller's deadline"),
        ApiError(Reason.SHUTTING_DOWN, "ending"),
        ApiError(Reason.RATE_LIMITED, "slow down").by("openai"),
        ApiError(Reason.INVALID_REQUEST, "no such thing").by("openai"),
    ],
    ids=lambda error: error.reason,
)
def test_what_is_not_the_providers_failure_never_counts(error: ApiError):
    """Our own limits, callers' deadlines and mistakes, and rate limits: the provider works."""
    bench = Bench()
    bench.fail(error, times=50)

    assert bench.circuit.state is State.CLOSED


def test_one_probe_at_a_time_once_the_open_time_is_over():
    """A thousand waiting callers must not fall upon a provider that has just come back."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS - 0.01

    assert not bench.circuit.admits(bench.now)

    bench.now += 0.02
    probe = bench.circuit.begin(bench.now)

    assert bench.circuit.state is State.HALF_OPEN
    assert not bench.circuit.admits(bench.now)
    with pytest.raises(RuntimeError, match="open"):
        bench.circuit.begin(bench.now)
    probe.close(bench.now)


def test_the_probes_first_content_closes_it():
    """Not its end, which may be minutes away."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    probe = bench.circuit.begin(bench.now)
    probe.content(bench.now)

    assert bench.circuit.state is State.CLOSED
    assert bench.circuit.admits(bench.now)
    probe.close(bench.now)
    assert bench.circuit.state is State.CLOSED


def test_a_refusal_that_is_no_failure_closes_it_too():
    """A 400 is an answer of a provider that works."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    bench.fail(ApiError(Reason.INVALID_REQUEST, "no").by("openai"))

    assert bench.circuit.state is State.CLOSED


def test_a_probe_that_fails_opens_it_for_twice_as_long():
    """Up to a minute."""
    bench = Bench().opened()
    waits = []
    for _ in range(6):
        waits.append(bench.circuit.wait(bench.now))
        bench.now += bench.circuit.wait(bench.now)
        bench.fail()

    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_a_probe_whose_caller_left_leaves_the_question_to_the_next():
    """It said nothing about the provider, and must not block it."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    bench.circuit.begin(bench.now).close(bench.now)

    assert bench.circuit.state is State.OPEN
    assert bench.circuit.admits(bench.now)


def test_the_first_failure_after_a_recovery_opens_it_again():
    """One that begins to answer and then always breaks off would otherwise get five callers each time."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    probe = bench.circuit.begin(bench.now)
    probe.content(bench.now)
    probe.failed(DOWN, bench.now)
    probe.close(bench.now)

    assert bench.circuit.state is State.OPEN
    assert bench.circuit.wait(bench.now) == 2 * OPEN_SECONDS


def test_a_complete_answer_ends_the_trial():
    """After it, five failures are needed again."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    bench.succeed()
    bench.fail(times=4)

    assert bench.circuit.state is State.CLOSED


def test_it_is_steady_once_it_was_closed_for_as_long_as_it_was_open():
    """Health speaks of that, so a flapping provider does not flap in it."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    bench.succeed()

    assert not bench.circuit.steady(bench.now)
    assert bench.circuit.steady(bench.now + OPEN_SECONDS)


def test_an_old_opening_is_forgotten():
    """Only one that comes soon after the last is longer."""
    bench = Bench().opened()
    bench.now += OPEN_SECONDS
    bench.succeed()
    bench.now += MAX_OPEN_SECONDS * 10
    bench.opened()

    assert bench.circuit.wait(bench.now) == OPEN_SECONDS


def test_one_that_nothing_opens_still_knows():
    """The operator switched it off; a refused credential is told all the same."""
    bench = Bench()
    bench.circuit = Circuit(open_after=0)
    bench.fail(times=100)
    bench.fail(ApiError(Reason.UPSTREAM_AUTHENTICATION_FAILED, "refused").by("openai"))

    assert (bench.circuit.state, bench.circuit.refused) == (State.CLOSED, True)


def test_the_open_time_is_jittered():
    """Replicas that fell out together must not come back in step."""
    spread = set()
    for share in (0.0, 0.5, 1.0):
        circuit = Circuit(jitter=lambda share=share: share)
        for _ in range(FAILURES_IN_A_ROW):
            permit = circuit.begin(0.0)
            permit.failed(DOWN, 0.0)
            permit.close(0.0)
        spread.add(circuit.wait(0.0))

    assert spread == {4.0, 5.0, 6.0}


def test_a_rate_limit_makes_it_rest_and_nothing_else():
    """Others are preferred for as long as it asked, and it stays usable."""
    bench = Bench()
    bench.fail(ApiError(Reason.RATE_LIMITED, "slow down", retry_after=7).by("openai"))

    assert bench.circuit.admits(bench.now)
    assert bench.circuit.rests(bench.now + 6.9)
    assert not bench.circuit.rests(bench.now + 7.0)


@pytest.mark.parametrize(("asked", "rests"), [(None, module.REST_SECONDS), (86_400, module.MAX_REST_SECONDS)])
def test_a_rest_has_bounds(asked: int | None, rests: float):
    """No time is a short one; a day is not believed."""
    bench = Bench()
    bench.fail(ApiError(Reason.RATE_LIMITED, "slow down", retry_after=asked).by("openai"))

    assert bench.circuit.rests(bench.now + rests - 0.1)
    assert not bench.circuit.rests(bench.now + rests)


def test_a_refused_credential_is_a_state_of_its_own():
    """It opens nothing: only an operator can mend it, and the next answer shows that."""
    bench = Bench()
    bench.fail(ApiError(Reason.UPSTREAM_AUTHENTICATION_FAILED, "refused").by("openai"), times=20)

    assert (bench.circuit.state, bench.circuit.refused) == (State.CLOSED, True)
    assert not bench.circuit.steady(bench.now)
    assert bench.circuit.rests(bench.now)

    bench.succeed()

    assert not bench.circuit.refused
    assert bench.changes == [(State.CLOSED, True), (State.CLOSED, False)]


def test_a_permits_first_verdict_counts():
    """A call is one answer, whatever is told of it afterwards."""
    bench = Bench()
    for _ in range(FAILURES_IN_A_ROW):
        permit = bench.circuit.begin(bench.now)
        permit.succeeded(bench.now)
        permit.failed(DOWN, bench.now)
        permit.succeeded(bench.now)
        permit.close(bench.now)
        permit.close(bench.now)

    assert bench.circuit.state is State.CLOSED
    assert bench.circuit.running == 0


def test_after_its_end_a_permit_says_nothing_more():
    """An answer of our own is no news of the provider."""
    bench = Bench()
    permit = bench.circuit.begin(bench.now)
    permit.close(bench.now)
    permit.content(bench.now)
    permit.succeeded(bench.now)
    permit.failed(DOWN, bench.now)

    assert not bench.circuit.used


def test_calls_under_way_are_counted():
    """The way with the fewest gets the next."""
    bench = Bench()
    first, second = bench.circuit.begin(bench.now), bench.circuit.begin(bench.now)

    assert bench.circuit.running == 2

    first.close(bench.now)
    second.close(bench.now)

    assert bench.circuit.running == 0
    assert bench.circuit.called_at == bench.now


def test_late_failures_of_calls_that_began_before_do_not_open_it_anew():
    """They tell of the same outage."""
    bench = Bench()
    permits = [bench.circuit.begin(bench.now) for _ in range(50)]
    for permit in permits:
        permit.failed(DOWN, bench.now)
        permit.close(bench.now)

    assert bench.circuit.wait(bench.now) == OPEN_SECONDS
    assert bench.changes == [(State.OPEN, False)]
