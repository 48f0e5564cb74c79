"""The headers of a translated exchange."""

import pytest

from ccproxy.providers.headers import for_caller, seconds_of, to_send, wait_seconds


def test_nothing_compressed_is_asked_for():
    """An event must not wait in a compressor until its block is full."""
    assert to_send(stream=True)["accept-encoding"] == "identity"
    assert (to_send(stream=True)["accept"], to_send(stream=False)["accept"]) == (
        "text/event-stream",
        "application/json",
    )


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("12ms", 0.012), ("1s", 1), ("6m0s", 360), ("1h2m3s", 3723), ("1d", 86_400), ("", None), ("1.2.3s", None)],
)
def test_a_duration_as_openai_writes_it(duration: str, seconds: float | None):
    """It is Go's notation, with days."""
    assert seconds_of(duration) == seconds


DATE = "Wed, 25 Nov 2026 03:59:58 GMT"


def test_rate_limits_are_told_in_anthropics_names_and_times():
    """Anthropic's clients wait until a moment; OpenAI names how long that is. The answer's date is the clock."""
    headers = {
        "date": DATE,
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-remaining-input-images": "9",
        "x-id": "req_1\n",
    }

    assert for_caller(headers, "x-id") == {
        "anthropic-ratelimit-requests-limit": "100",
        "anthropic-ratelimit-requests-remaining": "99",
        "anthropic-ratelimit-requests-reset": "2026-11-25T03:59:59Z",
        "anthropic-ratelimit-tokens-reset": "2026-11-25T04:05:58Z",
        "x-ccproxy-upstream-request-id": "req_1",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-reset-tokens": "1s"},
        {"x-ratelimit-reset-tokens": "1s", "date": "yesterday"},
        {"x-ratelimit-reset-tokens": "soon", "date": DATE},
        {"x-ratelimit-limit-tokens": "many"},
        {"x-ratelimit-limit-tokens": "9" * 5000},
    ],
)
def test_what_cannot_be_told_is_not_told(headers: dict[str, str]):
    """A wrong time or number is worse than none."""
    assert for_caller(headers, "x-id") == {}


def test_a_limit_that_is_whole_again_in_a_thousand_years_does_no_harm():
    """Any header may come."""
    headers = {"date": DATE, "x-ratelimit-reset-tokens": "999999999d"}

    assert for_caller(headers, "")["anthropic-ratelimit-tokens-reset"].startswith("2027")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"date": DATE, "x-ratelimit-reset": "1795579205500"}, 8),
        ({"date": DATE, "x-ratelimit-reset": "1795579000000"}, 1),
        ({"date": DATE, "x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "1795579205500"}, None),
        ({"retry-after-ms": "9" * 5000}, None),
    ],
)
def test_the_moment_that_openrouter_names_becomes_a_wait(headers: dict[str, str], seconds: int | None):
    """Clients know seconds."""
    assert wait_seconds(headers) == seconds
