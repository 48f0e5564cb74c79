"""Which attempt follows which: the order, what may be repeated, and what it may cost."""

from collections.abc import Sequence

import pytest
from unit.fakes import ScriptedTransport

from ccproxy.attempts import BUDGET_MOST, Attempt, Attempts, Budget
from ccproxy.call import Target
from ccproxy.circuit import FAILURES_IN_A_ROW, State
from ccproxy.config import ProviderConfig, RetryConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.places import FullError
from ccproxy.providers import BY_TYPE
from ccproxy.upstream import Upstream


def failure(reason: Reason = Reason.OVERLOADED, provider: str = "a", **more) -> ApiError:
    """A provider's failure."""
    return ApiError(reason, "no", **more).by(provider)


class Bench:
    """Providers `a` and `b`, their budgets, and the time."""

    def __init__(self, *, ways: int = 1, retry: RetryConfig | None = None) -> None:
        self.retry = retry or RetryConfig()
        self.now = 1000.0
        self.upstreams = {name: self._upstream(name, ways if name == "a" else 1) for name in ("a", "b", "c")}
        self.budgets = {name: Budget(self.retry.budget_percent) for name in self.upstreams}

    def _upstream(self, name: str, ways: int) -> Upstream:
        config = ProviderConfig(name, type="openai", api_base_url="http://127.0.0.1:1")
        first, *others = [BY_TYPE["openai"](config) for _ in range(ways)]
        return Upstream(first, ScriptedTransport(), others)

    def attempts(self, *names: str) -> Attempts:
        """The attempts at a call for these providers, in order; nothing is jittered away."""
        targets = [Target(name, f"model-{name}", "default") for name in names]
        return Attempts(targets, self.upstreams, self.budgets, self.retry, lambda: self.now, lambda: 1.0)

    def run(self, attempts: Attempts, *errors: ApiError) -> tuple[list[str], list[float], ApiError | None]:
        """Fails attempt after attempt so: the ways that were taken, the pauses, and the error at the end."""
        ways, pauses = [], []
        try:
            for error in errors:
                attempt = attempts.next()
                ways.append(attempt.endpoint.label)
                self.end(attempt, error)
                pauses.append(attempts.after(attempt, error))
            attempt = attempts.next()
            ways.append(attempt.endpoint.label)
        except ApiError as last:
            return ways, pauses, last
        return ways, pauses, None

    def end(self, attempt: Attempt, error: ApiError) -> None:
        """The attempt failed."""
        attempt.permit.failed(error, self.now)
        attempt.permit.close(self.now)

    def open(self, name: str) -> None:
        """Opens every circuit of a provider."""
        for endpoint in self.upstreams[name].endpoints:
            while endpoint.circuit.state is State.CLOSED:
                permit = endpoint.circuit.begin(self.now)
                permit.failed(failure(provider=name), self.now)
                permit.close(self.now)


def test_an_overloaded_provider_is_tried_once_more_then_the_fallbacks():
    """Each fallback once, and three attempts at most."""
    ways, pauses, last = Bench().run(
        Bench().attempts("a", "b", "c"), failure(), failure(), failure(provider="b"), failure(provider="c")
    )

    assert (ways, pauses) == (["a", "a", "b"], [0.25, 0.0])
    assert last is not None


def test_the_error_that_ends_it_is_the_first():
    """It is of the provider that the caller chose; the fallbacks' own troubles are in the log."""
    bench = Bench()
    first = failure(Reason.UPSTREAM_AUTHENTICATION_FAILED)
    _, _, last = bench.run(bench.attempts("a", "b"), first, failure(Reason.INTERNAL, "b"))

    assert last is first


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (failure(Reason.UPSTREAM_UNREACHABLE), ["a", "a"]),
        (failure(Reason.OVERLOADED), ["a", "a"]),
        (failure(Reason.RATE_LIMITED, retry_after=2), ["a", "a"]),
        (failure(Reason.RATE_LIMITED, retry_after=3), ["a", "b"]),
        (failure(Reason.RATE_LIMITED), ["a", "b"]),
        (failure(Reason.UPSTREAM_AUTHENTICATION_FAILED), ["a", "b"]),
        (failure(Reason.BILLING), ["a", "b"]),
        (failure(Reason.TIMEOUT), ["a"]),
        (failure(Reason.INTERNAL), ["a"]),
        (failure(Reason.UPSTREAM_UNREACHABLE, replay="uncertain"), ["a"]),
        (failure(Reason.UPSTREAM_UNREACHABLE, replay="never"), ["a"]),
        (failure(Reason.UPSTREAM_INVALID_RESPONSE), ["a"]),
        (failure(Reason.INVALID_REQUEST), ["a"]),
        (failure(Reason.NOT_FOUND), ["a"]),
    ],
    ids=lambda value: f"{value.reason}-{value.retry_after}-{value.replay}" if isinstance(value, ApiError) else "",
)
def test_what_may_have_been_billed_is_not_repeated(error: ApiError, expected: Sequence[str]):
    """The same call must not be paid twice unless the operator accepts it."""
    bench = Bench()

    assert bench.run(bench.attempts("a", "b"), error)[0] == expected


def test_an_uncertain_failure_goes_to_a_fallback_where_the_operator_wants_that():
    """And never to the same provider again."""
    bench = Bench(ways=2, retry=RetryConfig(uncertain=True))

    assert bench.run(bench.attempts("a", "b"), failure(Reason.TIMEOUT))[0] == ["a#1", "b"]


def test_another_way_to_the_same_provider_comes_first_and_at_once():
    """Another key has a limit of its own, and another address may be up."""
    bench = Bench(ways=3)
    refused = failure(Reason.UPSTREAM_AUTHENTICATION_FAILED)
    ways, pauses, _ = bench.run(bench.attempts("a", "b"), refused, refused)

    assert (ways, pauses) == (["a#1", "a#2", "b"], [0.0, 0.0])


def test_ways_that_rest_are_not_chosen_while_others_do_not():
    """A key that asked for time gets it."""
    bench = Bench(ways=2)
    bench.run(bench.attempts("a"), failure(Reason.RATE_LIMITED, retry_after=30))

    assert bench.run(bench.attempts("a"))[0] == ["a#2"]


def test_the_way_with_the_fewest_calls_is_chosen():
    """Long streams pile up on one otherwise."""
    bench = Bench(ways=2)
    chosen = [bench.attempts("a").next().endpoint.label for _ in range(4)]

    assert chosen == ["a#1", "a#2", "a#1", "a#2"]


def test_an_open_circuit_is_passed_over_without_an_attempt():
    """It costs no time, and no attempt of the three."""
    bench = Bench()
    bench.open("a")
    attempts = bench.attempts("a", "b")
    attempt = attempts.next()

    assert (attempt.target.provider, attempt.number) == ("b", 1)


def test_where_every_circuit_is_open_the_caller_hears_when_to_come_again():
    """503, and never a wait for something known to fail."""
    bench = Bench()
    bench.open("a")
    bench.now += 2.0
    bench.open("b")
    ways, _, last = bench.run(bench.attempts("a", "b"))

    assert ways == []
    assert last is not None
    assert (last.status, last.reason, last.provider) == (503, Reason.OVERLOADED, None)
    assert 1 <= (last.retry_after or 0) <= 4
    assert "a, b" in last.message


def test_a_provider_that_rests_is_passed_over_where_a_fallback_does_not():
    """What would be refused is not even sent; without a fallback it is, for the provider's own word."""
    bench = Bench()
    bench.run(bench.attempts("a"), failure(Reason.RATE_LIMITED, retry_after=60))

    assert bench.run(bench.attempts("a", "b"))[0] == ["b"]
    assert bench.run(bench.attempts("a"))[0] == ["a"]


def test_a_fallback_that_cannot_say_the_request_is_passed_over():
    """The caller's request was fine where it was meant to go."""
    bench = Bench()
    unsayable = ApiError(Reason.INVALID_REQUEST, "prefill")
    ways, _, last = bench.run(
        bench.attempts("a", "b", "c"), failure(Reason.BILLING), unsayable, failure(Reason.BILLING, "c")
    )

    assert ways == ["a", "b", "c"]
    assert last is not None
    assert last.provider == "a"


def full(provider: str = "a") -> FullError:
    """No place became free at a provider."""
    return FullError(Reason.OVERLOADED, f"{provider} is full", status=503, retry_after=1)


def test_a_provider_without_a_free_place_is_passed_over_at_once():
    """Nothing was sent, so nothing is risked; and nobody is asked more often for it, so no budget is spent."""
    bench = Bench(ways=2)
    while bench.budgets["a"].take(bench.now):
        pass

    assert bench.run(bench.attempts("a", "b"), full()) == (["a#1", "b"], [0.0], None)


def test_where_every_provider_is_full_the_caller_hears_of_the_first():
    """And of its time to wait."""
    bench = Bench()
    first = full()
    ways, _, last = bench.run(bench.attempts("a", "b"), first, full("b"))

    assert (ways, last) == (["a", "b"], first)


def test_an_overflow_is_an_attempt_like_any_other():
    """Who wants one attempt gets one."""
    bench = Bench(retry=RetryConfig(attempts=1))
    first = full()

    assert bench.run(bench.attempts("a", "b"), first) == (["a"], [], first)


def test_a_request_that_its_own_target_cannot_say_is_the_callers_mistake():
    """A fallback does not hide it."""
    bench = Bench()
    unsayable = ApiError(Reason.INVALID_REQUEST, "prefill")

    assert bench.run(bench.attempts("a", "b"), unsayable) == (["a"], [], unsayable)


def test_an_end_of_the_service_or_of_the_callers_time_ends_the_attempts():
    """In whatever attempt it comes."""
    bench = Bench()
    ending = ApiError(Reason.SHUTTING_DOWN, "ending")

    assert bench.run(bench.attempts("a", "b"), failure(Reason.BILLING), ending) == (["a", "b"], [0.0], ending)


def test_the_budget_bounds_what_an_outage_costs():
    """All attempts fail, many callers come: the provider sees a fifth more, and one a second."""
    bench = Bench(retry=RetryConfig(budget_percent=20))
    sent = 0
    for _ in range(1000):
        ways, _, _ = bench.run(bench.attempts("a", "b"), failure(Reason.BILLING), failure(Reason.BILLING, "b"))
        sent += len(ways)
        bench.now += 0.001

    assert 1200 <= sent <= 1200 + BUDGET_MOST + 2


def test_budget_is_saved_up_to_a_bound():
    """A quiet night must not pay for a storm."""
    budget = Budget(20)
    for _ in range(1000):
        budget.called()

    assert sum(budget.take(5000.0) for _ in range(100)) == 10
    assert not budget.take(5000.5)
    assert budget.take(5001.0)


def test_one_attempt_is_all_where_the_operator_wants_no_other():
    """`retry.attempts: 1`."""
    bench = Bench(retry=RetryConfig(attempts=1))

    assert bench.run(bench.attempts("a", "b"), failure())[0] == ["a"]


def test_the_same_way_is_not_repeated_once_its_circuit_opened():
    """This failure was the one too many."""
    bench = Bench()
    for _ in range(FAILURES_IN_A_ROW - 1):
        bench.end(bench.attempts("a").next(), failure())

    assert bench.run(bench.attempts("a", "b"), failure())[0] == ["a", "b"]


def test_a_way_that_opened_during_the_pause_is_left_for_the_next_target():
    """Other callers may have found out more meanwhile."""
    bench = Bench()
    attempts = bench.attempts("a", "b")
    attempt = attempts.next()
    bench.end(attempt, failure())
    attempts.after(attempt, failure())
    bench.open("a")

    assert attempts.next().endpoint.label == "b"
