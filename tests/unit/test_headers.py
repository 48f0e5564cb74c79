"""The headers of a translated exchange."""

import pytest

from ccproxy.providers.headers import seconds_of, to_send


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
