"""What is refused before it becomes a call: limits, and load that the process cannot bear.

    Limits    what a configuration says; a reload brings new ones
    Limiter   what has been used, for the life of the process: a reload takes nothing back
    Arrival   a request that is still being read: its bytes count from the first
    Admission one call's leave: headers for the caller, its tokens, its end

A refusal is ours, so it names no provider: no circuit counts it. Everything is for this process; replicas each
have their own.
"""

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Self

from msgspec import Struct

from ccproxy.call import Call
from ccproxy.config import Config, KeyConfig, LimitsConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.messages import Usage
from ccproxy.metrics import Metrics
from ccproxy.places import Places
from ccproxy.pressure import Pressure

SOON_SECONDS = 1  # until a place may be free: most calls end within seconds
SHED_SECONDS = 2  # until the load has been looked at a few times more
MOST_DEBT_MINUTES = 60  # a count that a provider got wrong must not lock a caller out for good
TOO_LARGE_TOGETHER = "Too many large requests are under way"
_ALMOST_ONE = 1 - 1e-9  # what floats make of one


class Allowance(Struct, frozen=True):
    """What one caller may; 0 for any number, no models for all."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_in_flight: int = 0
    models: tuple[str, ...] = ()

    def covers(self, model: str) -> bool:
        """Whether it may ask for a model, by this name."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


class Limits(Struct, frozen=True):
    """What a configuration limits.

    Attributes:
        settings: The operator's numbers.
        everybody: What a caller may who has nothing of its own.
        keys: What single keys may, by name.
        places: Where calls to a provider wait, by its name; only for providers with a limit.
    """

    settings: LimitsConfig = LimitsConfig()
    everybody: Allowance = Allowance()
    keys: Mapping[str, Allowance] = {}
    places: Mapping[str, Places] = {}

    def of(self, caller: str) -> Allowance:
        """What a caller may."""
        return self.keys.get(caller, self.everybody)


class Bucket:
    """So many a minute, and as many at once after a minute of rest. What is taken beyond that grows back, too."""

    __slots__ = ("_at", "_left", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at = now

    def change(self, per_minute: int, now: float) -> None:
        """Another limit counts from now on. What has been taken stays taken."""
        self._grow(now)
        self.per_minute = per_minute
        self._left = min(self._left, per_minute)

    def wait(self, now: float) -> float:
        """Seconds until one may be taken."""
        self._grow(now)
        return 0.0 if self._left >= _ALMOST_ONE else self._seconds(1 - self._left)

    def take(self, count: int, now: float) -> None:
        """Takes `count`, whether they are there or not."""
        self._grow(now)
        self._left = max(self._left - max(count, 0), -self.per_minute * MOST_DEBT_MINUTES)

    def state(self, now: float) -> tuple[int, float]:
        """How many may be taken, and seconds until all of them may again."""
        self._grow(now)
        return max(0, math.floor(self._left + 1 - _ALMOST_ONE)), self._seconds(self.per_minute - self._left)

    def _grow(self, now: float) -> None:
        self._left = min(self._left + (now - self._at) * self.per_minute / 60, self.per_minute)
        self._at = now

    def _seconds(self, count: float) -> float:
        return count * 60 / self.per_minute


class _Used:
    """What one caller has used."""

    __slots__ = ("buckets", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self.buckets: dict[str, Bucket] = {}

    def bucket(self, name: str, per_minute: int, now: float) -> Bucket | None:
        """The bucket of a limit; None where there is no limit."""
        if not per_minute:
            return None
        bucket = self.buckets.get(name)
        if bucket is None:
            bucket = self.buckets[name] = Bucket(per_minute, now)
        elif bucket.per_minute != per_minute:
            bucket.change(per_minute, now)
        return bucket


class Arrival:
    """A request that is being read, as a context. Once it is there, the call that it becomes counts its bytes."""

    __slots__ = ("_edge", "_limiter", "_most", "_size")

    def __init__(self, limiter: "Limiter", edge: str, most: int) -> None:
        self._limiter = limiter
        self._edge = edge
        self._most = most
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._limiter.body_bytes -= self._size

    def expect(self, size: int) -> None:
        """It will have so many bytes, it says. They are not kept free for it: it may never send them.

        Raises:
            ApiError: They do not fit beside the others.
        """
        others = self._limiter.body_bytes - self._size
        if self._most and others and others + size > self._most:  # one alone fits always
            self._limiter.metrics.rejected(self._edge, "body_bytes")
            raise _busy(TOO_LARGE_TOGETHER, SOON_SECONDS)

    def grow(self, size: int) -> None:
        """So many more bytes have come.

        Raises:
            ApiError: As `expect`.
        """
        self.expect(self._size + size)
        self._size += size
        self._limiter.body_bytes += size


class Admission:
    """One call's leave. It must be closed."""

    __slots__ = ("_buckets", "_limiter", "_size", "_used")

    def __init__(self, limiter: "Limiter", size: int, used: _Used | None, buckets: Mapping[str, Bucket]) -> None:
        self._limiter = limiter
        self._size = size
        self._used = used
        self._buckets = buckets
        limiter.in_flight += 1
        limiter.body_bytes += size
        if used is not None:
            used.in_flight += 1

    def close(self) -> None:
        """The call is over."""
        self._limiter.in_flight -= 1
        self._limiter.body_bytes -= self._size
        if self._used is not None:
            self._used.in_flight -= 1

    def charge(self, usage: Usage) -> None:
        """The call cost this much. What came out of a cache is free, as at Anthropic."""
        bucket = self._buckets.get("tokens")
        if bucket is not None:
            counts = (usage.input_tokens, usage.cache_creation_input_tokens, usage.output_tokens)
            bucket.take(sum(count or 0 for count in counts), self._limiter.clock())

    def headers(self) -> dict[str, str]:
        """How the caller's limits stand, in Anthropic's words; empty for a caller without."""
        return self._limiter.headers(self._buckets) if self._buckets else {}


class Limiter:
    """Lets calls in, or says why not.

    Args:
        metrics: Counts what is refused.
        clock: Seconds of a monotonic clock.
        wall: Seconds since 1970, for what callers read.

    Attributes:
        in_flight: Calls under way.
        body_bytes: The size of their requests, and of what has come of requests that are being read.
        pressure: Whether the process has too much to do.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.clock = clock
        self.in_flight = 0
        self.body_bytes = 0
        self.pressure = Pressure()
        self.metrics = metrics
        self._wall = wall
        self._used: dict[str, _Used] = {}
        self._places: dict[str, Places] = {}

    def limits(self, config: Config) -> Limits:
        """What `config` limits. Calls that wait for a provider go by it at once."""
        settings = config.limits
        places: dict[str, Places] = {}
        for provider in config.active:
            known = self._places.setdefault(provider.name, Places(provider.name))
            known.change(provider.max_in_flight, settings.provider_queue, settings.provider_wait)
            if provider.max_in_flight:
                places[provider.name] = known
        everybody = Allowance(settings.requests_per_minute, settings.tokens_per_minute, settings.key_max_in_flight)
        return Limits(settings, everybody, {key.name: _allowance(key, everybody) for key in config.keys}, places)

    def arrival(self, limits: Limits, edge: str) -> Arrival:
        """A request that begins to come in by this edge."""
        return Arrival(self, edge, limits.settings.max_body_bytes_in_flight)

    def admit(self, limits: Limits, call: Call, *, message: bool) -> Admission:
        """Lets `call` in.

        Args:
            limits: Those of this moment.
            call: The call.
            message: Whether it asks for a message: other calls do not count for what is allowed in a minute.

        Raises:
            ApiError: It is refused, for now or for good.
        """
        settings = limits.settings
        size = len(call.body)
        shed = self.pressure.reason
        if shed and (self.in_flight or shed != "memory"):  # memory may never come back: one call at a time tells
            raise self._refuse(call, shed, _busy(f"CCProxy has too much to do ({shed})", SHED_SECONDS))
        if settings.max_in_flight and self.in_flight >= settings.max_in_flight:
            raise self._refuse(call, "in_flight", _busy("Too many calls are under way", SOON_SECONDS))
        most = settings.max_body_bytes_in_flight
        if most and self.body_bytes and self.body_bytes + size > most:  # one alone fits always
            raise self._refuse(call, "body_bytes", _busy(TOO_LARGE_TOGETHER, SOON_SECONDS))
        allowance = limits.of(call.caller)
        if allowance == _ANYTHING:
            return Admission(self, size, None, _NO_BUCKETS)
        return self._admit(allowance, call, size, message=message)

    def headers(self, buckets: Mapping[str, Bucket]) -> dict[str, str]:
        """How these buckets stand."""
        headers: dict[str, str] = {}
        for name, bucket in buckets.items():
            remaining, seconds = bucket.state(self.clock())
            full = datetime.fromtimestamp(math.ceil(self._wall() + seconds), UTC)
            headers[f"anthropic-ratelimit-{name}-limit"] = str(bucket.per_minute)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(remaining)
            headers[f"anthropic-ratelimit-{name}-reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers

    def _admit(self, allowance: Allowance, call: Call, size: int, *, message: bool) -> Admission:
        """Lets a call of a limited caller in. Nothing is taken where it is refused."""
        if allowance.models and not _asks_within(allowance, call):
            error = ApiError(Reason.PERMISSION_DENIED, "This key is not for the model that the request asks for")
            raise self._refuse(call, "model", error)
        used = self._used.setdefault(call.caller, _Used())
        if allowance.max_in_flight and used.in_flight >= allowance.max_in_flight:
            text = f"This key's limit of {allowance.max_in_flight} calls at once is reached"
            raise self._refuse(call, "key_in_flight", _limited(text, SOON_SECONDS))
        if not message:
            return Admission(self, size, used, _NO_BUCKETS)
        now = self.clock()
        rates = {"requests": allowance.requests_per_minute, "tokens": allowance.tokens_per_minute}
        made = {name: used.bucket(name, per_minute, now) for name, per_minute in rates.items()}
        buckets = {name: bucket for name, bucket in made.items() if bucket is not None}
        for name, bucket in buckets.items():
            if wait := bucket.wait(now):
                text = f"This key's limit of {bucket.per_minute} {name} per minute is reached"
                error = _limited(text, math.ceil(wait), self.headers(buckets))
                raise self._refuse(call, f"{name}_per_minute", error)
        if "requests" in buckets:
            buckets["requests"].take(1, now)
        return Admission(self, size, used, buckets)

    def _refuse(self, call: Call, reason: str, error: ApiError) -> ApiError:
        self.metrics.rejected(call.edge, reason)
        return error


_ANYTHING = Allowance()
_NO_BUCKETS: Mapping[str, Bucket] = {}


def _allowance(key: KeyConfig, everybody: Allowance) -> Allowance:
    """What a key may: its own numbers where it has them."""
    return Allowance(
        _first(key.requests_per_minute, everybody.requests_per_minute),
        _first(key.tokens_per_minute, everybody.tokens_per_minute),
        _first(key.max_in_flight, everybody.max_in_flight),
        tuple(key.models),
    )


def _first(own: int | None, others: int) -> int:
    return others if own is None else own


def _asks_within(allowance: Allowance, call: Call) -> bool:
    """Whether a call asks for what it may. One that cannot be read asks for nothing, and is told so later."""
    try:
        return allowance.covers(call.head().model)
    except ApiError:
        return True


def _busy(what: str, seconds: int) -> ApiError:
    return ApiError(Reason.OVERLOADED, what, status=503, retry_after=seconds)


def _limited(what: str, seconds: int, headers: Mapping[str, str] | None = None) -> ApiError:
    return ApiError(Reason.RATE_LIMITED, what, retry_after=seconds, headers=headers)
