"""How the providers and the event loop are: one state that everything else reads.

`/health`, `/status`, grpc.health.v1, the metrics and the log follow from it and change together. `update` makes it
anew: when a circuit moved, and twice a second for what time alone changes. It learns from live calls; nothing is
ever paid for.

Source: architecture D10 and D11.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from ccproxy.circuit import Circuit, State
from ccproxy.upstream import Endpoint, Upstream

LAG_SECONDS = 0.25  # of the loop: late enough for people to notice
LAG_OVER_SECONDS = 0.1
CALM_SECONDS = 5.0  # without lag before it counts as over

log = logging.getLogger(__name__)


class Condition(StrEnum):
    """How a provider, or one way to it, is."""

    UNKNOWN = "unknown"  # not used yet
    HEALTHY = "healthy"
    RECOVERING = "recovering"  # it works again, and has not yet for as long as it did not
    DEGRADED = "degraded"  # some of its ways do not work
    FAILING = "failing"
    CREDENTIAL_REFUSED = "credential_refused"


USABLE = frozenset({Condition.UNKNOWN, Condition.HEALTHY, Condition.RECOVERING, Condition.DEGRADED})
FINE = frozenset({Condition.UNKNOWN, Condition.HEALTHY})


class ProviderHealth(Struct, frozen=True):
    """How one provider is. `reason` is a value of `errors.Reason`, empty where it is fine."""

    name: str
    condition: Condition
    reason: str
    since: datetime
    endpoints: tuple[tuple[str, Condition], ...] = ()


class Health:
    """How everything is.

    Args:
        on_change: Is called after each change.
        clock: Seconds of a monotonic clock: the one that the circuits are told.
    """

    def __init__(self, on_change: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change = on_change
        self._clock = clock
        self._upstreams: Mapping[str, Upstream] = {}
        self._providers: dict[str, ProviderHealth] = {}
        self._calm_at = 0.0
        self._lags = False
        self._shedding = ""

    @property
    def providers(self) -> Sequence[ProviderHealth]:
        """The providers, in the configuration's order."""
        return tuple(self._providers[name] for name in self._upstreams)

    @property
    def lags(self) -> bool:
        """Whether the event loop runs late."""
        return self._lags

    @property
    def shedding(self) -> str:
        """Why new calls are refused; empty where they are not."""
        return self._shedding

    @property
    def usable(self) -> bool:
        """Whether some provider can be called."""
        return any(each.condition in USABLE for each in self._providers.values())

    @property
    def fine(self) -> bool:
        """Whether nothing is known to be wrong."""
        return not (self._lags or self._shedding) and all(
            each.condition in FINE for each in self._providers.values()
        )

    def watch(self, upstreams: Mapping[str, Upstream]) -> None:
        """Speaks of these providers from now on. Those that were there before keep their past."""
        same = [name for name, upstream in upstreams.items() if self._upstreams.get(name) is upstream]
        self._providers = {name: self._providers[name] for name in same}
        self._upstreams = upstreams
        for upstream in upstreams.values():
            for endpoint in upstream.endpoints:
                endpoint.circuit.watch(self.update)
        self.update()

    def circuit_states(self) -> dict[tuple[str, ...], float]:
        """For the metric: each provider's best circuit."""
        return {
            (name,): float(min(each.circuit.state for each in upstream.endpoints))
            for name, upstream in self._upstreams.items()
        }

    def lag(self, seconds: float) -> None:
        """The event loop ran a timer this late."""
        now = self._clock()
        if seconds > LAG_SECONDS:
            self._calm_at = now + CALM_SECONDS
            self._set_lag(lags=True, why=f"a timer ran {seconds:.1f} s late")
        elif seconds > LAG_OVER_SECONDS and self._lags:
            self._calm_at = now + CALM_SECONDS
        elif now >= self._calm_at:
            self._set_lag(lags=False, why=f"no timer was late for {CALM_SECONDS:g} s")

    def shed(self, reason: str) -> None:
        """New calls are refused for `reason`; they no longer are where it is empty."""
        if reason != self._shedding:
            before, self._shedding = self._shedding, reason
            if reason:
                log.warning("new calls are refused: %s", reason)
            else:
                log.info("new calls are taken again; they were refused: %s", before)
            self._on_change()

    def update(self) -> None:
        """Reads the circuits. What differs from before is logged, with its reason, and told."""
        now = self._clock()
        changed = False
        for name, upstream in self._upstreams.items():
            known = self._providers.get(name)
            ways = tuple((each.label, _way(each, now)) for each in upstream.endpoints)
            condition = _whole([condition for _, condition in ways])
            if known is not None and known.condition is condition and known.endpoints == ways:
                continue
            changed = True
            reasons = [each.circuit.reason for each in upstream.endpoints if each.circuit.reason]
            reason = reasons[0] if reasons and condition not in FINE else ""
            same = known is not None and known.condition is condition
            since = known.since if same and known is not None else datetime.now(UTC)
            self._providers[name] = ProviderHealth(name, condition, reason, since, ways)
            if known is not None and not same:
                _tell(known, self._providers[name])
        if changed:
            self._on_change()

    def _set_lag(self, *, lags: bool, why: str) -> None:
        if lags is not self._lags:
            self._lags = lags
            (log.warning if lags else log.info)("the event loop %s: %s", "lags" if lags else "runs in time", why)
            self._on_change()


def _way(endpoint: Endpoint, now: float) -> Condition:
    """How one way to a provider is."""
    circuit: Circuit = endpoint.circuit
    if circuit.refused:
        return Condition.CREDENTIAL_REFUSED
    if circuit.state is not State.CLOSED:
        return Condition.FAILING
    if not circuit.used:
        return Condition.UNKNOWN
    return Condition.HEALTHY if circuit.steady(now) else Condition.RECOVERING


def _whole(ways: Sequence[Condition]) -> Condition:
    """How a provider is whose ways are so."""
    first = ways[0]
    if all(way is first for way in ways):
        return first
    if all(way in FINE for way in ways):
        return Condition.HEALTHY
    if any(way in USABLE for way in ways):
        return Condition.DEGRADED
    return Condition.FAILING


def _tell(before: ProviderHealth, now: ProviderHealth) -> None:
    better = now.condition in FINE or (now.condition in USABLE and before.condition not in USABLE)
    why = f" ({now.reason})" if now.reason else ""
    (log.info if better else log.warning)(
        "provider %s: %s, was %s%s", now.name, now.condition, before.condition, why
    )
