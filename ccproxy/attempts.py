"""Which attempt at a call comes next, and when there is none.

An attempt may follow another only before anything went to the caller, only where the failed one was surely not
billed (or `retry.uncertain` says that this does not matter), and only within the budget:

    first attempt ── another way to the same provider, or the same way once more ── the route's fallbacks, in order

What is known to fail or to rest is skipped without an attempt. A provider without a free place was not asked: the
fallbacks are, out of nobody's budget. Three attempts at most: the callers retry as well.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from ccproxy.call import Target
from ccproxy.circuit import Permit
from ccproxy.config import RetryConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.places import FullError
from ccproxy.upstream import Endpoint, Upstream

BACKOFF_SECONDS = 0.25  # doubled with each attempt; a random part of it is waited
MAX_BACKOFF_SECONDS = 8.0
SOON_SECONDS = 2  # a provider that asks for more than this is not waited for
BUDGET_PER_SECOND = 1.0
BUDGET_MOST = 10.0  # saved up at most, and at the start: who calls rarely gets every attempt

_OTHERS_ONLY = frozenset({Reason.UPSTREAM_AUTHENTICATION_FAILED, Reason.BILLING})
"""What the same way will answer again."""


_UNSAYABLE = frozenset({Reason.INVALID_REQUEST, Reason.UNSUPPORTED})


class Budget:
    """How many further attempts a provider may cost: a share of its calls, and one a second.

    Without it, callers and this service together would multiply the load on a provider that is down.
    """

    def __init__(self, percent: int) -> None:
        self._share = percent / 100
        self._saved = BUDGET_MOST
        self._at = 0.0

    def called(self) -> None:
        """A call came for this provider."""
        self._saved = min(self._saved + self._share, BUDGET_MOST)

    def take(self, now: float) -> bool:
        """Takes one further attempt, where there is one left."""
        self._saved = min(self._saved + (now - self._at) * BUDGET_PER_SECOND, BUDGET_MOST)
        self._at = now
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True


class Attempt(Struct, frozen=True):
    """One attempt: where it goes, over which way. `number` counts from 1. Its permit must be closed."""

    number: int
    target: Target
    upstream: Upstream
    endpoint: Endpoint
    permit: Permit


class Attempts:
    """The attempts at one call.

    Args:
        targets: Where it may go, in order.
        upstreams: The providers by name.
        budgets: Their budgets by name.
        retry: What the operator allows.
        clock: Seconds of a monotonic clock.
        jitter: 0 to 1.
    """

    def __init__(  # three facts, three collaborators
        self,
        targets: Sequence[Target],
        upstreams: Mapping[str, Upstream],
        budgets: Mapping[str, Budget],
        retry: RetryConfig,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._targets = targets
        self._upstreams = upstreams
        self._budgets = budgets
        self._retry = retry
        self._clock = clock
        self._jitter = jitter
        self._left = list(targets)
        self._tried: list[Endpoint] = []
        self._planned: Endpoint | None = None
        self._repeated = False
        self._first: ApiError | None = None
        self.number = 0

    def next(self) -> Attempt:
        """The next attempt.

        Raises:
            ApiError: Nothing is left to try: the first failure, or that every provider is known to fail.
        """
        now = self._clock()
        endpoint, self._planned = self._planned, None
        if endpoint is None or not endpoint.circuit.admits(now):
            endpoint = self._choose(now)
        target = self._left[0]
        self.number += 1
        self._tried.append(endpoint)
        if self.number == 1:
            self._budgets[target.provider].called()
        return Attempt(
            self.number, target, self._upstreams[target.provider], endpoint, endpoint.circuit.begin(now)
        )

    def beside(self) -> Attempt | None:
        """One more attempt while the last has nothing to say; None where there is nowhere to go, or no budget."""
        now = self._clock()
        offers = ((target, self._upstreams[target.provider].choose(now, self._tried)) for target in self._left)
        target, offer = next(((t, each) for t, each in offers if not _rests(each, now)), (self._left[0], None))
        if offer is None or self.number >= self._retry.attempts:
            return None
        if not self._budgets[self._left[0].provider].take(now):
            return None
        self.number += 1
        self._tried.append(offer)
        return Attempt(self.number, target, self._upstreams[target.provider], offer, offer.circuit.begin(now))

    def after(self, attempt: Attempt, error: ApiError) -> float:
        """Plans what follows a failed attempt.

        Returns:
            Seconds to wait before `next`.

        Raises:
            ApiError: Nothing follows: the first failure, which is the one the caller asked for.
        """
        if error.provider is None:
            return self._pass_over(error)
        first = self._first = self._first or error
        if error.replay == "never" or self.number >= self._retry.attempts:
            raise first
        if error.replay == "uncertain" and not self._retry.uncertain:
            raise first
        now = self._clock()
        pause = self._again(attempt, error, now) if error.replay == "safe" else None
        if pause is None:
            self._give_up_target()
            if not self._left:
                raise first
            pause = 0.0
        if not self._budgets[attempt.target.provider].take(now):
            raise first
        return pause

    def _pass_over(self, error: ApiError) -> float:
        """Nobody was asked: what has no free place is passed over, and a fallback that cannot say the request."""
        is_full = isinstance(error, FullError)
        if not is_full and (self._first is None or error.reason not in _UNSAYABLE):
            raise error
        first = self._first = self._first or error
        self._give_up_target()
        if not self._left or (is_full and self.number >= self._retry.attempts):
            raise first
        return 0.0

    def _again(self, attempt: Attempt, error: ApiError, now: float) -> float | None:
        """Plans another attempt at the same provider. Seconds to wait; None where there shall be none."""
        if self._repeated:
            return None
        another = attempt.upstream.choose(now, self._tried)
        if another is not None and not another.circuit.rests(now):
            self._repeated, self._planned = True, another
            return 0.0
        wait = error.retry_after or 0
        if error.reason in _OTHERS_ONLY or wait > SOON_SECONDS or attempt.endpoint.circuit.wait(now):
            return None
        if error.reason is Reason.RATE_LIMITED and not wait:
            return None  # it says no time: the next moment is the worst
        self._repeated, self._planned = True, attempt.endpoint
        longest: float = min(BACKOFF_SECONDS * 2 ** (self.number - 1), MAX_BACKOFF_SECONDS)
        return wait + self._jitter() * longest

    def _choose(self, now: float) -> Endpoint:
        """The way of the first target that has one to offer; the targets before it are given up."""
        first = self._upstreams[self._left[0].provider].choose(now, self._tried)
        if first is not None and not first.circuit.rests(now):
            return first  # as nearly always
        offers = [self._upstreams[target.provider].choose(now, self._tried) for target in self._left]
        usable = [place for place, offer in enumerate(offers) if offer is not None]
        fresh = [place for place in usable if not _rests(offers[place], now)]
        for place in fresh or usable:
            offer = offers[place]
            if offer is not None:
                del self._left[:place]
                return offer
        raise self._first or self._all_open(now)

    def _give_up_target(self) -> None:
        del self._left[0]
        self._repeated = False

    def _all_open(self, now: float) -> ApiError:
        names = [target.provider for target in self._targets]
        waits = [each.circuit.wait(now) for name in names for each in self._upstreams[name].endpoints]
        several = "s" if len(set(names)) > 1 else ""
        return ApiError(
            Reason.OVERLOADED,
            f"provider{several} {', '.join(dict.fromkeys(names))}: too many failures; it is asked again soon",
            status=503,
            retry_after=max(1, math.ceil(min(waits))),
        )


def _rests(offer: Endpoint | None, now: float) -> bool:
    return offer is None or offer.circuit.rests(now)
