"""A loop that stands still is noticed from outside it."""

import logging
import time

import pytest

from ccproxy import watchdog as module
from ccproxy.watchdog import Watchdog


def test_a_standstill_is_told_once_with_its_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """By functions and lines, so that nothing of a request is in the log."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with caplog.at_level(logging.ERROR), Watchdog(still_seconds=0.05) as watchdog:
        _stand_still(0.3, "a secret")
        watchdog.beat()
        time.sleep(0.03)  # noqa: TID251  # the thread under test looks meanwhile

    assert len(caplog.records) == 1
    assert "_stand_still" in caplog.text
    assert "a secret" not in caplog.text


def test_a_loop_that_runs_is_not_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """However often it is looked at."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with caplog.at_level(logging.ERROR), Watchdog(still_seconds=5.0) as watchdog:
        for _ in range(5):
            watchdog.beat()
            time.sleep(0.01)  # noqa: TID251  # the thread under test looks meanwhile

    assert caplog.records == []


def _stand_still(seconds: float, _secret: str) -> None:
    time.sleep(seconds)  # noqa: TID251  # that is the point
