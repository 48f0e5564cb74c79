"""Who is let in, who is refused and with which words, by a clock that stands until it is moved."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from unit.test_metrics import samples

from ccproxy.call import Call
from ccproxy.config import Config, KeyConfig, LimitsConfig, ProviderConfig, Size
from ccproxy.errors import ApiError, Reason
from ccproxy.limits import MOST_DEBT_MINUTES, Admission, Bucket, Limiter
from ccproxy.messages import Usage
from ccproxy.metrics import Metrics

NOON = 1_785_585_600.0  # 2026-08-01T12:00:00Z


class Bench:
    """A Limiter with its time, over one configuration."""

    def __init__(self, *keys: KeyConfig, **settings: Any) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        self.limiter = Limiter(self.metrics, lambda: self.now, lambda: NOON + self.now - 1000.0)
        self.configure(*keys, **settings)

    def configure(self, *keys: KeyConfig, **settings: Any) -> None:
        """Another configuration, as a reload brings it."""
        self.limits = self.limiter.limits(Config(keys=list(keys), limits=LimitsConfig(**settings)))

    def call(
        self, caller: str = "team", *, model: str = "claude", size: int = 0, message: bool = True
    ) -> Admission:
        """A call is let in."""
        body = msgspec.json.encode({"model": model})
        call = Call(edge="grpc", request_id="r", caller=caller, body=body.ljust(size))
        return self.limiter.admit(self.limits, call, message=message)

    def refusal(self, caller: str = "team", **more: Any) -> ApiError:
        """A call is refused."""
        with pytest.raises(ApiError) as caught:
            self.call(caller, **more)
        assert caught.value.provider is None  # so no circuit counts it
        return caught.value

    @property
    def rejected(self) -> Mapping[str, float]:
        """How often, by reason."""
        counted = samples(self.metrics, "ccproxy_rejected_total")
        return {reason: value for (interface, reason), value in counted.items() if interface == "grpc"}


def key(name: str = "team", **more: Any) -> KeyConfig:
    """One key of the configuration."""
    return KeyConfig(name, **more)


def spent(**counts: int) -> Usage:
    """What a call cost."""
    return Usage(**counts)


def test_calls_beyond_those_that_may_be_under_way_are_refused():
    """Each that ends makes room for one."""
    bench = Bench(max_in_flight=2)
    first = bench.call()
    bench.call(message=False)
    error = bench.refusal("other")

    assert (error.reason, error.status, error.type) == (Reason.OVERLOADED, 503, "overloaded_error")
    assert (error.retry_after, error.should_retry) == (1, True)
    assert bench.rejected == {"in_flight": 1}
    first.close()
    bench.call()
    assert bench.limiter.in_flight == 2


def test_large_requests_are_counted_together():
    """A thousand small ones are no load, ten large ones may be."""
    bench = Bench(max_body_bytes_in_flight=Size(1000))
    first = bench.call(size=600)
    second = bench.call(size=400)
    error = bench.refusal(size=101)

    assert (error.reason, error.status) == (Reason.OVERLOADED, 503)
    assert bench.rejected == {"body_bytes": 1}
    second.close()
    assert bench.call(size=400)
    first.close()
    assert bench.limiter.body_bytes == 400


def test_a_request_counts_from_its_first_byte():
    """Slow uploads would else fill the memory while none of them is a call yet."""
    bench = Bench(max_body_bytes_in_flight=Size(1000))
    with bench.limiter.arrival(bench.limits, "grpc") as arrival:
        arrival.expect(5000)  # alone
        arrival.grow(300)
        arrival.grow(300)
        assert bench.limiter.body_bytes == 600
        call = bench.call(size=400)
        assert bench.refusal(size=401).status == 503
        with pytest.raises(ApiError) as caught:
            arrival.grow(1)
    assert (caught.value.status, caught.value.retry_after) == (503, 1)
    assert bench.limiter.body_bytes == 400
    call.close()

    assert bench.rejected == {"body_bytes": 2}
    assert bench.limiter.body_bytes == 0


def test_what_a_request_says_of_its_size_keeps_no_room():
    """It may never come, and would keep others out meanwhile."""
    bench = Bench(max_body_bytes_in_flight=Size(1000))
    call = bench.call(size=400)
    with bench.limiter.arrival(bench.limits, "grpc") as one, bench.limiter.arrival(bench.limits, "grpc") as other:
        one.expect(600)
        other.expect(600)
        with pytest.raises(ApiError):
            other.expect(601)
        assert bench.limiter.body_bytes == 400
    call.close()


def test_one_request_alone_is_never_too_large():
    """Else a limit below the largest request would refuse it for ever, with the advice to try again."""
    bench = Bench(max_body_bytes_in_flight=Size(1000))

    assert bench.call(size=5000)


def test_zero_is_no_limit():
    """For each of them."""
    names = ("max_in_flight", "max_body_bytes_in_flight", "requests_per_minute", "key_max_in_flight")
    bench = Bench(**dict.fromkeys(names, 0))
    for _ in range(3000):
        bench.call(size=200_000).charge(spent(output_tokens=10**9))

    assert bench.rejected == {}


def test_a_key_without_limits_gets_no_headers():
    """There is nothing to tell."""
    bench = Bench(key("limited", requests_per_minute=5))

    assert bench.call("team").headers() == {}


def test_requests_beyond_a_keys_rate_wait_for_their_turn():
    """As many as the limit at once, then one each time another has grown back."""
    bench = Bench(key(requests_per_minute=2))
    bench.call().close()
    bench.call().close()
    error = bench.refusal()

    assert (error.reason, error.status, error.type) == (Reason.RATE_LIMITED, 429, "rate_limit_error")
    assert error.retry_after == 30
    assert "2 requests per minute" in error.message
    assert bench.rejected == {"requests_per_minute": 1}
    bench.now += 29.9
    assert bench.refusal().retry_after == 1
    bench.now += 0.1
    assert bench.call()
    assert bench.refusal().retry_after == 30


def test_who_waits_as_told_is_let_in_whatever_the_rate():
    """A retry-after that is a moment too short makes every client fail twice."""
    for rate in (1, 3, 7, 59, 61, 997):
        bench = Bench(key(requests_per_minute=rate))
        for _ in range(rate):
            bench.call().close()
        bench.now += bench.refusal().retry_after or 0

        assert bench.call()


def test_headers_tell_how_the_limits_stand():
    """In Anthropic's words; SDKs and Claude Code read them."""
    bench = Bench(key(requests_per_minute=60, tokens_per_minute=600))
    admission = bench.call()
    admission.charge(spent(input_tokens=20, output_tokens=10))

    assert admission.headers() == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-requests-reset": "2026-08-01T12:00:01Z",
        "anthropic-ratelimit-tokens-limit": "600",
        "anthropic-ratelimit-tokens-remaining": "570",
        "anthropic-ratelimit-tokens-reset": "2026-08-01T12:00:03Z",
    }


def test_a_refusal_has_the_headers_too():
    """They say which of the limits it was."""
    bench = Bench(key(requests_per_minute=60, tokens_per_minute=10))
    bench.call().charge(spent(output_tokens=25))
    error = bench.refusal()

    assert error.headers["anthropic-ratelimit-requests-remaining"] == "59"
    assert error.headers["anthropic-ratelimit-tokens-remaining"] == "0"
    assert error.headers["anthropic-ratelimit-tokens-reset"] == "2026-08-01T12:02:30Z"
    assert error.retry_after == 96  # until one token of the debt of 15 is there again
    assert bench.rejected == {"tokens_per_minute": 1}


def test_tokens_are_what_an_answer_cost():
    """What came out of a cache is not counted, what went into one is. A provider may say nothing."""
    bench = Bench(key(tokens_per_minute=1000))
    admission = bench.call()
    admission.charge(
        spent(input_tokens=1, cache_creation_input_tokens=20, output_tokens=300, cache_read_input_tokens=99_000)
    )
    admission.charge(Usage())

    assert admission.headers()["anthropic-ratelimit-tokens-remaining"] == "679"


def test_a_count_that_no_call_can_have_cost_locks_nobody_out_for_good():
    """A provider's slip is over after an hour; a negative one gives nothing back."""
    bench = Bench(key(tokens_per_minute=100))
    admission = bench.call()
    admission.charge(spent(output_tokens=-(10**12)))
    assert admission.headers()["anthropic-ratelimit-tokens-remaining"] == "100"
    admission.charge(spent(output_tokens=10**12))

    assert bench.refusal().retry_after == MOST_DEBT_MINUTES * 60 + 1


def test_what_is_refused_costs_nothing():
    """A client that tries too often must not be punished for each try."""
    bench = Bench(key(requests_per_minute=2, tokens_per_minute=10))
    bench.call().charge(spent(output_tokens=10))
    for _ in range(5):
        bench.refusal()
    bench.now += 6

    assert bench.call().headers()["anthropic-ratelimit-requests-remaining"] == "0"


def test_only_messages_count_for_what_is_allowed_in_a_minute():
    """Counting tokens is free, as at Anthropic; but it holds a place while it runs."""
    bench = Bench(key(requests_per_minute=1, max_in_flight=2))
    for _ in range(5):
        counting = bench.call(message=False)
        counting.charge(spent(output_tokens=9))
        assert counting.headers() == {}
        counting.close()
    bench.call()

    assert bench.refusal().retry_after == 60
    assert bench.call(message=False)
    assert bench.refusal(message=False).retry_after == 1


def test_each_key_has_its_own():
    """One that is used up says nothing about the others."""
    bench = Bench(key("a", requests_per_minute=1), key("b"), requests_per_minute=2)
    bench.call("a")
    bench.refusal("a")
    for caller in ("b", "b", "apikey", "apikey", "local", "local"):
        bench.call(caller)

    assert [bench.refusal(caller).retry_after for caller in ("b", "apikey", "local")] == [30, 30, 30]


def test_a_key_can_be_free_of_the_limits_of_all():
    """Its own 0 counts."""
    bench = Bench(key(requests_per_minute=0), requests_per_minute=1)
    bench.call()

    assert bench.call()


def test_calls_of_one_key_at_once_are_limited():
    """It is 429, the caller's own doing, not 503."""
    bench = Bench(key(max_in_flight=1))
    first = bench.call()
    error = bench.refusal()

    assert (error.reason, error.status, error.retry_after) == (Reason.RATE_LIMITED, 429, 1)
    assert bench.rejected == {"key_in_flight": 1}
    assert bench.call("other")
    first.close()
    assert bench.call()


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        ("claude-haiku-4-5", True),
        ("claude-haiku-9", True),
        ("claude-opus-5", False),
        ("openai,gpt-6", True),
        ("openai,gpt-6-pro", False),
        ("CLAUDE-HAIKU-9", False),
    ],
)
def test_a_key_for_some_models_is_refused_others(model: str, allowed: bool):  # noqa: FBT001
    """By the name that is asked for, for messages and counts alike; `*` is any text."""
    bench = Bench(key(models=["claude-haiku-*", "openai,gpt-6"]))
    if allowed:
        assert bench.call(model=model)
        assert bench.call(model=model, message=False)
        return
    errors = [bench.refusal(model=model), bench.refusal(model=model, message=False)]

    assert [(each.reason, each.status, each.should_retry) for each in errors] == [
        (Reason.PERMISSION_DENIED, 403, False)
    ] * 2
    assert model not in errors[0].message
    assert bench.rejected == {"model": 2}
    assert bench.call("other", model=model)


def test_a_request_that_cannot_be_read_is_told_so_later():
    """It is the caller's mistake, and counted as a failed call."""
    bench = Bench(key(models=["claude"]))
    call = Call(edge="grpc", request_id="r", caller="team", body=b"{")

    assert bench.limiter.admit(bench.limits, call, message=True)


def test_a_reload_takes_nothing_back_and_gives_nothing_back():
    """What a key has used stays used, and what runs still runs; a changed limit counts at once."""
    bench = Bench(key(requests_per_minute=2, max_in_flight=3))
    bench.call()
    bench.call()
    bench.configure(key(requests_per_minute=2, max_in_flight=3), key("new"))
    assert bench.refusal().retry_after == 30
    bench.configure(key(requests_per_minute=60, max_in_flight=3))
    assert bench.refusal().retry_after == 1
    bench.now += 1
    bench.call()
    bench.now += 10
    assert "3 calls at once" in bench.refusal().message


def test_a_lower_limit_counts_at_once():
    """What was saved up under the old one is gone."""
    bench = Bench(key(requests_per_minute=100))
    bench.call().close()
    bench.configure(key(requests_per_minute=2))
    bench.call().close()
    bench.call().close()

    assert bench.refusal().retry_after == 30


def test_nobody_gains_by_rest():
    """A minute's worth is the most there is."""
    bucket = Bucket(10, 0.0)
    bucket.take(10, 0.0)

    assert bucket.state(6.0) == (1, 54.0)
    assert bucket.state(6000.0) == (10, 0.0)
    assert bucket.wait(6000.0) == 0.0


def test_a_late_loop_refuses_every_new_call():
    """Those that run are slow enough."""
    bench = Bench()
    bench.limiter.pressure.reason = "event_loop"
    errors = [bench.refusal(), bench.refusal(message=False)]

    assert [(each.reason, each.status, each.retry_after) for each in errors] == [(Reason.OVERLOADED, 503, 2)] * 2
    assert bench.rejected == {"event_loop": 2}
    bench.limiter.pressure.reason = ""
    assert bench.call()


def test_scarce_memory_lets_one_call_in_at_a_time():
    """An allocator may never give memory back: to refuse all calls then would be an outage without end."""
    bench = Bench()
    bench.limiter.pressure.reason = "memory"
    first = bench.call()
    assert bench.refusal().status == 503
    first.close()

    assert bench.call()
    assert bench.rejected == {"memory": 1}


def test_only_providers_with_a_limit_have_places():
    """Others cost nothing; one that gets a limit keeps its places over further reloads."""
    limiter = Limiter(Metrics())
    providers = [ProviderConfig("openai", max_in_flight=2), ProviderConfig("anthropic")]
    first = limiter.limits(Config(providers=providers)).places
    second = limiter.limits(Config(providers=providers)).places

    assert list(first) == ["openai"]
    assert first["openai"] is second["openai"]
