"""Metrics: what counts, what a scrape shows, and how right the percentiles are."""

from collections.abc import Iterable
from math import ceil, inf
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from ccproxy.errors import Reason
from ccproxy.metrics import Latency, LogBuckets, Measurement, Metrics, Spent, Totals
from ccproxy.metrics.calls import MAX_MODELS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Clock:
    """A monotonic clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Ending(Protocol):
    """One of the endings of a call."""

    def __call__(self, call: Measurement) -> None:
        """Ends it."""


@pytest.fixture
def clock() -> Clock:
    """Stands at 1000 s."""
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    """Measures by `clock`."""
    return Metrics(clock)


def families(metrics: Metrics) -> Iterable[Metric]:
    """What a scraper reads, parsed."""
    body, _ = metrics.exposition(None)
    return parser.text_string_to_metric_families(body.decode())


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The values of one sample name by label values, in the order of the label names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families(metrics)
        for sample in family.samples
        if sample.name == name
    }


def buckets(metrics: Metrics, name: str) -> list[tuple[float, float]]:
    """Upper bound and cumulative count, for a histogram with one child."""
    return [
        (float(sample.labels["le"]), sample.value)
        for family in families(metrics)
        for sample in family.samples
        if sample.name == f"{name}_bucket"
    ]


def begin(metrics: Metrics, interface: str = "http", *, stream: bool = True) -> Measurement:
    """A call that was routed."""
    call = metrics.begin(interface, stream=stream)
    call.route, call.provider, call.model = "/v1/messages", "openai", "gpt-5"
    return call


def busy(metrics: Metrics, clock: Clock) -> None:
    """Puts at least one sample into every family."""
    call = begin(metrics)
    clock.now += 0.3
    call.first_event()
    call.upstream_seconds += 0.25
    clock.now += 0.9
    call.succeed(Spent(input=7, output=10, cache_read=2, cache_write=1))
    begin(metrics, "grpc").fail("timeout", side="upstream")
    begin(metrics, stream=False).abort()
    metrics.auth_failure("http", "missing")
    metrics.rejected("grpc", "draining")
    metrics.upstream("openai", "2xx", 0.25)
    metrics.dropped("openai", 'a "name"\nwith \\ in it')
    metrics.grpc_started("ccproxy.v1.Messages", "Create", "unary")
    metrics.grpc_handled("ccproxy.v1.Messages", "Create", "unary", "OK")
    metrics.loop_lag(0.002)
    metrics.info(version="0.1.0", commit="abc", python="3.11", grpc="1.85")
    metrics.gauge("ccproxy_draining", "Whether it drains.", lambda: {(): 0.0})


# What counts as a call


def test_success_and_failure_add_up_to_the_total(metrics: Metrics):
    """An operator adds success and failed and expects the total."""
    begin(metrics).succeed()
    begin(metrics, "grpc").succeed()
    begin(metrics).fail("timeout")

    assert metrics.totals() == Totals(total=3, success=2, failed=1)


def test_totals_are_zero_before_the_first_call(metrics: Metrics):
    """The very first /health must answer."""
    assert metrics.totals() == Totals(total=0, success=0, failed=0)


def test_calls_under_way_are_not_in_the_totals(metrics: Metrics):
    """Totals are of finished calls; the others are in flight."""
    begin(metrics)

    assert metrics.totals().total == 0


@given(st.lists(st.tuples(st.sampled_from(["http", "grpc"]), st.booleans(), st.sampled_from("sfax"))))
@settings(deadline=None, max_examples=50)
def test_health_and_the_scrape_show_the_same_numbers(calls: list[tuple[str, bool, str]]):
    """Two sources would disagree one day, and nobody would know which is right."""
    metrics = Metrics()
    for interface, stream, ending in calls:
        call = metrics.begin(interface, stream=stream)
        call.provider = "" if stream else "openai"
        {
            "s": call.succeed,
            "f": lambda call=call: call.fail("internal"),
            "a": call.abort,
            "x": call.abandon,
        }[ending]()

    scraped = samples(metrics, "ccproxy_requests_total")
    by_outcome = {
        outcome: sum(value for labels, value in scraped.items() if outcome in labels)
        for outcome in ("success", "failed")
    }
    totals = metrics.totals()
    assert (totals.success, totals.failed) == (by_outcome["success"], by_outcome["failed"])


def test_a_client_that_leaves_before_the_first_byte_is_not_counted(metrics: Metrics, clock: Clock):
    """Nobody was served and nobody was refused."""
    call = begin(metrics)
    clock.now += 3.0
    call.abandon()

    assert (metrics.totals().total, metrics.latency(), metrics.in_flight("http")) == (0, Latency(), 0)


def test_a_client_that_leaves_after_the_first_byte_is_a_success(metrics: Metrics):
    """We did our part; the tokens are billed all the same."""
    begin(metrics).abort(spent=Spent(input=5))

    assert metrics.totals() == Totals(total=1, success=1, failed=0)
    assert samples(metrics, "ccproxy_stream_aborts_total") == {("http", "client"): 1}
    assert samples(metrics, "ccproxy_tokens_total")["gpt-5", "openai", "input"] == 5


def test_a_stream_the_upstream_broke_is_a_failure_and_an_abort(metrics: Metrics):
    """The client has half an answer: it is the operator's problem, unlike a client that left."""
    begin(metrics).fail("upstream_unreachable", side="upstream")

    assert metrics.totals() == Totals(total=1, success=0, failed=1)
    assert samples(metrics, "ccproxy_stream_aborts_total") == {("http", "upstream"): 1}


def test_a_refused_key_is_no_call(metrics: Metrics):
    """Whoever scans for keys must not move the error rate of those who have one."""
    metrics.auth_failure("http", "wrong")

    assert metrics.totals().total == 0
    assert samples(metrics, "ccproxy_auth_failures_total") == {("http", "wrong"): 1}


def test_a_rejected_request_is_no_call(metrics: Metrics):
    """What a limit refused at the door never became a call."""
    metrics.rejected("grpc", "overloaded")

    assert metrics.totals().total == 0
    assert samples(metrics, "ccproxy_rejected_total") == {("grpc", "overloaded"): 1}


def succeed(call: Measurement) -> None:
    """An answer."""
    call.succeed(Spent(input=1))


def fail(call: Measurement) -> None:
    """A stream that broke."""
    call.fail("internal", side="proxy")


def abort(call: Measurement) -> None:
    """A client that left late."""
    call.abort()


def abandon(call: Measurement) -> None:
    """A client that left early."""
    call.abandon()


@pytest.mark.parametrize("second", [succeed, fail, abort, abandon])
@pytest.mark.parametrize("first", [succeed, fail, abort, abandon])
def test_only_the_first_ending_takes_effect(clock: Clock, first: Ending, second: Ending):
    """An owner ends in a `finally` what nobody ended; that must neither count twice nor raise."""
    once, twice = Metrics(clock), Metrics(clock)
    first(begin(once))
    call = begin(twice)
    first(call)
    second(call)

    def ours(metrics: Metrics) -> list[Metric]:
        return [family for family in families(metrics) if family.name.startswith("ccproxy_")]

    assert ours(twice) == ours(once)
    assert twice.in_flight("http") == 0


# What is under way


def test_a_stream_is_in_flight_and_active_until_it_ends(metrics: Metrics):
    """An autoscaler and a drain both wait for this number to fall."""
    call = begin(metrics, "grpc")
    assert (metrics.in_flight("grpc"), metrics.streams_active("grpc")) == (1, 1)

    call.succeed()
    assert (metrics.in_flight("grpc"), metrics.streams_active("grpc")) == (0, 0)


def test_a_whole_answer_is_no_active_stream(metrics: Metrics):
    """A drain gives streams more time than whole answers."""
    begin(metrics, stream=False)

    assert (metrics.in_flight("http"), metrics.streams_active("http")) == (1, 0)


def test_both_interfaces_are_there_before_the_first_call(metrics: Metrics):
    """An autoscaler takes a missing series for a failed query, not for 0."""
    begin(metrics)

    assert samples(metrics, "ccproxy_requests_in_flight") == {("http",): 1, ("grpc",): 0}
    assert samples(metrics, "ccproxy_streams_active") == {("http",): 1, ("grpc",): 0}


# Series of a call


def test_a_call_is_labelled_by_what_was_known_at_its_end(metrics: Metrics):
    """The provider is known only after routing, the model perhaps only after the answer."""
    begin(metrics).succeed()

    assert samples(metrics, "ccproxy_requests_total") == {
        ("http", "success", "openai", "/v1/messages", "true"): 1,
        ("http", "failed", "openai", "/v1/messages", "true"): 0,
    }


def test_what_never_became_known_is_none(metrics: Metrics):
    """An empty label is a missing label to Prometheus."""
    call = metrics.begin("http", stream=False)
    call.route = call.provider = call.model = ""
    call.succeed(Spent(input=1))
    metrics.begin("http", stream=False).fail("invalid_request")

    assert samples(metrics, "ccproxy_requests_total") == {
        ("http", "success", "none", "none", "false"): 1,
        ("http", "failed", "none", "none", "false"): 1,
    }
    assert samples(metrics, "ccproxy_tokens_total")["none", "none", "input"] == 1


def test_an_error_is_counted_by_its_reason_in_lower_case(metrics: Metrics):
    """Label values are lower case; the reasons of the protocol are not."""
    begin(metrics).fail(Reason.RATE_LIMITED)

    assert samples(metrics, "ccproxy_request_errors_total") == {("rate_limited", "http", "openai"): 1}


def test_duration_lies_in_the_bucket_whose_bound_it_equals(metrics: Metrics, clock: Clock):
    """`le` means less or equal."""
    call = begin(metrics)
    clock.now += 0.5
    call.succeed()

    cumulative = dict(buckets(metrics, "ccproxy_request_duration_seconds"))
    assert (cumulative[0.25], cumulative[0.5], cumulative[inf]) == (0, 1, 1)


def test_time_to_first_token_ends_at_the_first_of_the_events(metrics: Metrics, clock: Clock):
    """Later events belong to the pace of the stream."""
    call = begin(metrics)
    clock.now += 2.0
    call.first_event()
    clock.now += 5.0
    call.first_event()
    call.succeed()

    assert samples(metrics, "ccproxy_time_to_first_token_seconds_sum") == {("http", "openai"): 2.0}


def test_time_per_output_token_is_of_the_tokens_after_the_first(metrics: Metrics, clock: Clock):
    """The first one's wait has a metric of its own."""
    call = begin(metrics)
    clock.now += 2.0
    call.first_event()
    clock.now += 10.0
    call.succeed(Spent(output=101))

    assert samples(metrics, "ccproxy_time_per_output_token_seconds_sum") == {("openai",): 0.1}


@pytest.mark.parametrize(("stream", "tokens"), [(True, 0), (True, 1), (False, 10), (True, 10**400)])
def test_there_is_no_pace_without_a_stream_of_tokens(metrics: Metrics, *, stream: bool, tokens: int):
    """A division by zero tokens, or a whole answer that arrives at once, would be a made-up number."""
    call = begin(metrics, stream=stream)
    call.first_event()
    call.succeed(Spent(output=tokens))

    assert samples(metrics, "ccproxy_time_per_output_token_seconds_count") == {("openai",): 0}


def test_overhead_is_what_the_provider_did_not_take(metrics: Metrics, clock: Clock):
    """The gateway's own cost, whatever the provider does."""
    call = begin(metrics)
    call.upstream_seconds += 0.5
    call.upstream_seconds += 0.25
    clock.now += 1.0
    call.succeed()

    assert samples(metrics, "ccproxy_overhead_seconds_sum") == {("http", "true"): 0.25}


def test_overhead_of_a_stream_ends_with_its_first_content(metrics: Metrics, clock: Clock):
    """After it the provider's pace counts, and the reader's."""
    call = begin(metrics)
    call.upstream_seconds += 0.5
    clock.now += 0.75
    call.first_event()
    clock.now += 60.0
    call.succeed()

    assert samples(metrics, "ccproxy_overhead_seconds_sum") == {("http", "true"): 0.25}


def test_overhead_is_never_negative(metrics: Metrics):
    """Two attempts that overlap take longer together than the call."""
    call = begin(metrics)
    call.upstream_seconds = 3.0
    call.succeed()

    assert samples(metrics, "ccproxy_overhead_seconds_sum") == {("http", "true"): 0.0}


def test_a_call_that_reached_no_provider_has_no_overhead(metrics: Metrics):
    """Refusals take microseconds and would hide what real calls cost."""
    begin(metrics).fail("invalid_request")

    assert samples(metrics, "ccproxy_overhead_seconds_count") == {("http", "true"): 0}


def test_tokens_are_counted_by_type(metrics: Metrics):
    """They have four prices; reasoning is part of what is put out, and often most of it."""
    begin(metrics).succeed(Spent(input=1, output=9, cache_read=3, cache_write=4, reasoning=5))

    assert samples(metrics, "ccproxy_tokens_total") == {
        ("gpt-5", "openai", "input"): 1,
        ("gpt-5", "openai", "output"): 9,
        ("gpt-5", "openai", "cache_read"): 3,
        ("gpt-5", "openai", "cache_write"): 4,
        ("gpt-5", "openai", "reasoning"): 5,
    }


@pytest.mark.parametrize("tokens", [-5, 10**9 + 1, 10**400])
def test_a_number_of_tokens_no_call_can_use_is_not_counted(metrics: Metrics, tokens: int):
    """A counter that falls is a restart to Prometheus; one beyond a float would end every later scrape."""
    begin(metrics).succeed(Spent(input=tokens))

    assert samples(metrics, "ccproxy_tokens_total")["gpt-5", "openai", "input"] == 0


def test_models_beyond_the_limit_are_one_series(metrics: Metrics):
    """Clients choose the names: without a limit they choose how much memory we use."""
    for number in range(MAX_MODELS + 2):
        call = begin(metrics)
        call.model = f"m{number}"
        call.succeed(Spent(input=1))
    begin(metrics).succeed(Spent(input=1))
    call = begin(metrics)
    call.model = "m0"
    call.succeed(Spent(input=1))

    scraped = samples(metrics, "ccproxy_tokens_total")
    assert len(scraped) == (MAX_MODELS + 1) * 5
    assert (scraped["other", "openai", "input"], scraped["m0", "openai", "input"]) == (3, 2)


def test_a_configured_model_keeps_its_name_whatever_callers_send(metrics: Metrics):
    """Else whoever uses up the names takes the operator's dashboard away."""
    for number in range(MAX_MODELS + 1):
        call = begin(metrics)
        call.model = f"m{number}"
        call.succeed(Spent(input=1))
    metrics.expect("gemini", "configured")
    call = begin(metrics)
    call.provider, call.model = "gemini", "configured"
    call.succeed(Spent(input=7))

    assert samples(metrics, "ccproxy_tokens_total")["configured", "gemini", "input"] == 7


def test_one_model_at_many_providers_has_a_limit_too(metrics: Metrics):
    """The same names at each provider would be series of their own again."""
    for provider in ("a", "b", "c"):
        for number in range(MAX_MODELS):
            call = begin(metrics)
            call.provider, call.model = provider, f"m{number}"
            call.succeed(Spent(input=1))

    scraped = samples(metrics, "ccproxy_tokens_total")
    assert len(scraped) == (MAX_MODELS + 2) * 5
    assert scraped["other", "b", "input"] == scraped["other", "c", "input"] == MAX_MODELS


# Everything else that is counted


def test_requests_to_providers_are_counted_by_answer_and_attempt(metrics: Metrics):
    """Retries hide failures from clients; the operator must see them."""
    metrics.upstream("openai", "5xx", 0.5)
    metrics.upstream("openai", "2xx", 1.5, retry=True)

    assert samples(metrics, "ccproxy_upstream_requests_total") == {
        ("first", "5xx", "openai"): 1,
        ("retry", "2xx", "openai"): 1,
    }
    assert samples(metrics, "ccproxy_upstream_request_duration_seconds_sum") == {("openai",): 2.0}


def test_what_translators_drop_is_counted_by_name(metrics: Metrics):
    """Silence about a dropped field is how users lose trust."""
    metrics.dropped("gemini", "top_k")
    metrics.dropped("gemini", "top_k")

    assert samples(metrics, "ccproxy_dropped_total") == {("top_k", "gemini"): 2}


def test_dropped_names_beyond_the_limit_are_one_series(metrics: Metrics):
    """Some of these names are fields a client made up, and each provider drops them."""
    for provider in ("gemini", "openai"):
        for number in range(203):
            metrics.dropped(provider, f"field{number}")
    metrics.dropped("gemini", "field0")

    scraped = samples(metrics, "ccproxy_dropped_total")
    assert (len(scraped), scraped["other", "gemini"], scraped["other", "openai"]) == (202, 3, 203)
    assert scraped["field0", "gemini"] == 2


@pytest.mark.parametrize("name", ["x" * 201, "\ud800", "a\x00b", "a\rb"])
def test_what_is_no_name_is_other(metrics: Metrics, name: str):
    """A lone surrogate in a label would make every later scrape fail to encode."""
    metrics.dropped("gemini", name)

    assert samples(metrics, "ccproxy_dropped_total") == {("other", "gemini"): 1}


def test_rpcs_are_counted_at_start_and_end(metrics: Metrics):
    """The difference is what hangs; existing dashboards plot it by these names."""
    metrics.grpc_started("ccproxy.v1.Messages", "Stream", "server_stream")
    metrics.grpc_handled("ccproxy.v1.Messages", "Stream", "server_stream", "OK")

    assert samples(metrics, "grpc_server_started_total") == {("Stream", "ccproxy.v1.Messages", "server_stream"): 1}
    assert samples(metrics, "grpc_server_handled_total") == {
        ("OK", "Stream", "ccproxy.v1.Messages", "server_stream"): 1
    }


def test_rpcs_beyond_the_limit_are_one_series(metrics: Metrics):
    """Anyone can ask for methods that do not exist, a new one each time."""
    for number in range(202):
        metrics.grpc_started("s", f"m{number}", "unary")

    scraped = samples(metrics, "grpc_server_started_total")
    assert (len(scraped), scraped["other", "other", "unary"]) == (201, 2)


def test_loop_lag_is_there_before_the_first_measurement(metrics: Metrics):
    """An alert on a missing series stays silent."""
    assert samples(metrics, "ccproxy_event_loop_lag_seconds_count") == {(): 0}


def test_loop_lag_is_a_histogram(metrics: Metrics):
    """One late timer among thousands is what a client feels."""
    metrics.loop_lag(0.02)

    assert samples(metrics, "ccproxy_event_loop_lag_seconds_sum") == {(): 0.02}


def test_a_gauge_is_read_at_each_scrape(metrics: Metrics):
    """Its owner keeps the one copy of the number."""
    states = {("openai",): 0.0}
    metrics.gauge("ccproxy_upstream_circuit_state", "0, 1, 2.", lambda: states, labels=("provider",))
    states["gemini",] = 2.0

    assert samples(metrics, "ccproxy_upstream_circuit_state") == {("openai",): 0, ("gemini",): 2}


def test_a_counter_may_be_kept_by_its_owner(metrics: Metrics):
    """Lines lost by the log are counted where there is no event loop."""
    metrics.counter("ccproxy_log_dropped_total", "Lost lines.", lambda: 3)

    assert b"ccproxy_log_dropped_total 3.0" in metrics.exposition(None)[0]


def test_a_gauge_may_have_no_labels(metrics: Metrics):
    """Draining is about the whole process."""
    metrics.gauge("ccproxy_draining", "Whether it drains.", lambda: {(): 1.0})

    assert samples(metrics, "ccproxy_draining") == {(): 1}


def test_a_name_that_is_taken_is_refused(metrics: Metrics):
    """Prometheus refuses a scrape with both as a whole: better to fail at start."""
    with pytest.raises(ValueError, match="ccproxy_requests_in_flight"):
        metrics.gauge("ccproxy_requests_in_flight", "Again.", dict)


def test_a_label_value_too_many_is_refused(metrics: Metrics):
    """A sample with the wrong labels would be a different series without anyone noticing."""
    with pytest.raises(ValueError, match="interface"):
        metrics._rejected.child("http")


def test_build_info_says_what_runs(metrics: Metrics):
    """A join on it tells which version a regression began with."""
    metrics.info(version="0.1.0", commit="abc", python="3.11.7", grpc="1.85.1")

    assert samples(metrics, "ccproxy_build_info") == {("abc", "1.85.1", "3.11.7", "0.1.0"): 1}


def test_two_gateways_share_nothing(clock: Clock):
    """No global registry: tests, and two gateways in one process, see their own numbers."""
    one, other = Metrics(clock), Metrics(clock)
    begin(one).succeed()

    assert (one.totals().total, other.totals().total) == (1, 0)


# Exposition


def test_every_histogram_of_a_scrape_is_valid(metrics: Metrics, clock: Clock):
    """Buckets that do not add up give quantiles that are nonsense, silently."""
    busy(metrics, clock)

    seen = 0
    for family in families(metrics):
        if family.type != "histogram":
            continue
        children: dict[tuple[tuple[str, str], ...], dict[str, list[float]]] = {}
        for sample in family.samples:
            key = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
            suffix = sample.name.removeprefix(family.name)
            children.setdefault(key, {}).setdefault(suffix, []).append(sample.value)
            if suffix == "_bucket":
                children[key].setdefault("le", []).append(float(sample.labels["le"]))
        for child in children.values():
            seen += 1
            assert child["le"] == sorted(set(child["le"]))
            assert child["le"][-1] == inf
            assert child["_bucket"] == sorted(child["_bucket"])
            assert child["_count"] == [child["_bucket"][-1]]
            assert len(child["_sum"]) == 1
    assert seen >= 6


def test_a_strict_openmetrics_parser_accepts_everything(metrics: Metrics, clock: Clock):
    """It checks what Prometheus checks: one family at a time, bounds in order, +Inf, count, escapes."""
    busy(metrics, clock)
    body, content_type = metrics.exposition(OPENMETRICS)

    parsed = {family.name for family in openmetrics.text_string_to_metric_families(body.decode())}
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert parsed >= {"ccproxy_requests", "ccproxy_request_duration_seconds", "ccproxy_build_info"}


def test_both_formats_carry_the_same_samples(metrics: Metrics, clock: Clock):
    """Which one a scraper asks for must not change a graph."""
    busy(metrics, clock)
    body, _ = metrics.exposition(OPENMETRICS)

    def ours(parsed: Iterable[Metric]) -> list[tuple[str, list[tuple[str, str]], float]]:
        return [
            (sample.name, sorted(sample.labels.items()), sample.value)
            for family in parsed
            for sample in family.samples
            if sample.name.startswith(("ccproxy_", "grpc_"))
        ]

    assert ours(openmetrics.text_string_to_metric_families(body.decode())) == ours(families(metrics))


def test_a_label_survives_escaping(metrics: Metrics):
    """A quote in a name must not end the label and begin another."""
    name = 'top",evil="1\\'
    metrics.dropped("gemini", name)

    assert samples(metrics, "ccproxy_dropped_total") == {(name, "gemini"): 1}


def test_the_names_are_the_documented_ones(metrics: Metrics, clock: Clock):
    """Dashboards and alerts are written against these; a renamed series is absent, not zero."""
    busy(metrics, clock)

    names = {family.name for family in families(metrics) if not family.name.startswith(("process_", "python_"))}
    assert names == {
        "ccproxy_auth_failures",
        "ccproxy_build_info",
        "ccproxy_config_reloads",
        "ccproxy_draining",
        "ccproxy_dropped",
        "ccproxy_event_loop_lag_seconds",
        "ccproxy_overhead_seconds",
        "ccproxy_provider_overflows",
        "ccproxy_rejected",
        "ccproxy_request_duration_seconds",
        "ccproxy_request_errors",
        "ccproxy_requests",
        "ccproxy_requests_in_flight",
        "ccproxy_stream_aborts",
        "ccproxy_streams_active",
        "ccproxy_time_per_output_token_seconds",
        "ccproxy_time_to_first_token_seconds",
        "ccproxy_tokens",
        "ccproxy_upstream_request_duration_seconds",
        "ccproxy_upstream_requests",
        "grpc_server_handled",
        "grpc_server_started",
    }


def test_garbage_collection_is_part_of_a_scrape(metrics: Metrics):
    """A pause of the collector is the first suspect for a late event loop."""
    assert samples(metrics, "python_gc_collections_total").keys() == {("0",), ("1",), ("2",)}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="prometheus_client reads /proc")
def test_the_process_is_part_of_a_scrape(metrics: Metrics):
    """Memory and file descriptors are what a gateway runs out of."""
    assert samples(metrics, "process_resident_memory_bytes")[()] > 0


@pytest.mark.parametrize(
    "accept",
    [None, "", "*/*", "text/html", 'application/openmetrics-text; version="1.0.0"', "text/plain;version=a.b"],
)
def test_whoever_does_not_ask_for_openmetrics_gets_text(metrics: Metrics, accept: str | None):
    """A browser, and a header the library cannot read, still get an answer."""
    _, content_type = metrics.exposition(accept)

    assert content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("extra", ["é", "\udcff", "\r\nSet-Cookie: a=b"])
def test_nothing_but_plain_ascii_comes_back_in_the_content_type(metrics: Metrics, extra: str):
    """The library repeats the version it was asked for; a header must not carry more than that."""
    _, content_type = metrics.exposition(f"application/openmetrics-text; version=2.{extra}")

    assert content_type.startswith("text/plain; version=0.0.4")


# Percentiles


def exact(seconds: list[float], q: float) -> float:
    """The nearest-rank quantile of durations clamped as LogBuckets clamps them."""
    clamped = sorted(min(max(value, 1e-6), 3600.0) for value in seconds)
    return clamped[max(ceil(q * len(clamped)), 1) - 1]


def recorded(seconds: Iterable[float]) -> LogBuckets:
    """Buckets that hold these durations."""
    found = LogBuckets()
    for value in seconds:
        found.record(value)
    return found


durations = st.one_of(
    st.floats(min_value=-1.0, max_value=10_000.0),
    st.floats(min_value=-7.0, max_value=4.0).map(lambda exponent: 10.0**exponent),
)
quantiles = st.floats(min_value=0.0, max_value=1.0)


@given(st.lists(durations, min_size=1), quantiles)
@settings(deadline=None)
def test_a_quantile_is_off_by_one_percent_at_most(seconds: list[float], q: float):
    """The promise of /health, for any durations, from 1 µs to 1 h and clamped beyond."""
    expected = exact(seconds, q)

    assert abs(recorded(seconds).quantile(q) - expected) <= 0.01 * expected


@given(st.integers(min_value=0, max_value=1112))
def test_a_quantile_is_right_at_the_edge_of_every_bucket(index: int):
    """Rounding may put an edge into either neighbour, and both must keep the promise."""
    seconds = min(1e-6 * 1.02**index, 3600.0)

    assert abs(recorded([seconds]).quantile(0.5) - seconds) <= 0.01 * seconds


@given(st.lists(st.lists(durations), min_size=1, max_size=5), quantiles)
@settings(deadline=None)
def test_merging_is_the_same_as_recording_in_one_place(parts: list[list[float]], q: float):
    """Percentiles cannot be averaged; buckets can be added without loss."""
    merged = LogBuckets()
    merged.merge(*(recorded(part) for part in parts))
    whole = recorded(value for part in parts for value in part)

    assert (merged.count, merged.quantile(q)) == (whole.count, whole.quantile(q))
    assert merged.sum == pytest.approx(whole.sum)


def test_memory_does_not_depend_on_what_is_recorded():
    """A gateway runs for months."""
    found = recorded([0.0, 1e-9, 1e9, inf])

    assert len(found.counts) == len(LogBuckets().counts)
    assert (found.quantile(0.0), found.quantile(1.0)) == (1e-6, pytest.approx(3600.0, rel=0.01))


def test_the_quantile_of_nothing_is_zero():
    """The specification asks for 0 where there were no calls."""
    assert LogBuckets().quantile(0.5) == 0.0


def test_latency_is_zero_without_calls(metrics: Metrics):
    """The very first /health must answer."""
    assert metrics.latency() == Latency(avg_ms=0, p50_ms=0, p95_ms=0, p99_ms=0)


def test_latency_is_of_whole_calls_that_finished(metrics: Metrics, clock: Clock):
    """What the client waited, not what the first token took; failures wait too."""
    for milliseconds in range(1, 101):
        call = begin(metrics)
        call.first_event()
        clock.now += milliseconds / 1000
        if milliseconds % 2:
            call.succeed()
        else:
            call.fail("timeout")

    latency = metrics.latency()
    # One per cent, and half a millisecond for the integer
    wanted = pytest.approx((50.5, 50, 95, 99), rel=0.01, abs=1.5)
    assert (latency.avg_ms, latency.p50_ms, latency.p95_ms, latency.p99_ms) == wanted


def call_of(metrics: Metrics, clock: Clock, seconds: float) -> None:
    """A call that took so long and ends now."""
    call = begin(metrics)
    clock.now += seconds
    call.succeed()


def test_latency_forgets_what_is_older_than_five_minutes(metrics: Metrics, clock: Clock):
    """A regression must show now, not drown in a good week."""
    call_of(metrics, clock, 1.0)
    clock.now += 300.0

    assert metrics.latency() == Latency()


def test_latency_remembers_four_and_a_half_minutes(metrics: Metrics, clock: Clock):
    """The window moves by ten seconds at a time and is never shorter than 290."""
    call_of(metrics, clock, 1.0)
    clock.now += 285.0

    assert metrics.latency().avg_ms == 1000


def test_the_place_of_an_old_slot_is_used_again(metrics: Metrics, clock: Clock):
    """The ring is full after five minutes; what it held must not leak into what comes."""
    call_of(metrics, clock, 1.0)
    clock.now += 299.0
    call_of(metrics, clock, 3.0)

    assert metrics.latency().avg_ms == 3000


@given(st.lists(st.tuples(st.floats(0.0, 400.0), st.floats(0.0, 5.0)), max_size=40))
@settings(deadline=None)
def test_the_window_holds_what_is_young_and_nothing_old(calls: list[tuple[float, float]]):
    """For any rhythm of calls: all of the last 290 s, none older than 300 s."""
    clock = Clock()
    metrics = Metrics(clock)
    ended: list[tuple[float, float]] = []
    for pause, seconds in calls:
        clock.now += pause
        call_of(metrics, clock, seconds)
        ended.append((clock.now, seconds))

    young = [seconds for end, seconds in ended if end > clock.now - 290.0]
    alive = [seconds for end, seconds in ended if end > clock.now - 300.0]
    found = metrics.latency()
    least = sum(young) / max(len(alive), 1)
    most = sum(alive) / max(len(young), 1)
    assert round(least * 1000) - 1 <= found.avg_ms <= round(most * 1000) + 1


def test_totals_outlive_the_window(metrics: Metrics, clock: Clock):
    """Counters are for the life of the process."""
    call_of(metrics, clock, 1.0)
    clock.now += 3600.0

    assert metrics.totals().total == 1
