"""Durations and sizes as people write them."""

import pytest

from ccproxy.config import Duration, Size, units


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (30, 30),
        (1.5, 1.5),
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h1m1s1ms", 3661.001),
        ("1.5h", 5400),
        ("45", 45),
        ("0.25", 0.25),
    ],
)
def test_a_duration_is_seconds(value: object, seconds: float):
    """A float, so that everything can count with it."""
    found = units.duration(value)

    assert isinstance(found, Duration)
    assert found == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "s", "1d", "30 s", "30S", "1m1h", "1s1s", "-1s", "1e3", "٣s", ".5s", None])
def test_other_durations_are_none(value: object):
    """What could be meant differently is not guessed."""
    assert units.duration(value) is None


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("10B", 10),
        ("512KiB", 512 << 10),
        ("32MiB", 32 << 20),
        ("1GiB", 1 << 30),
        ("10KB", 10_000),
        ("10MB", 10_000_000),
        ("1GB", 1_000_000_000),
    ],
)
def test_a_size_is_bytes(value: object, size: int):
    """An int."""
    found = units.size(value)

    assert isinstance(found, Size)
    assert found == size


@pytest.mark.parametrize(
    "value", ["", "MiB", "1M", "1mb", "1.5MiB", "1 MiB", "-1", "٣", 1.0, True, None, "1" * 50]
)
def test_other_sizes_are_none(value: object):
    """1M is 1000000 here and 1048576 there."""
    assert units.size(value) is None
