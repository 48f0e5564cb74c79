"""How long calls took: log buckets (bounded error, fixed memory, mergeable) and a sliding window of them.

The idea is DDSketch's: buckets that grow by a constant factor bound the relative error of any quantile.
Source: Masson, Rim, Lee, "DDSketch" (VLDB 2019), https://arxiv.org/abs/1908.10693
"""

from array import array
from math import ceil, log

from msgspec import Struct

LOWEST_SECONDS = 1e-6  # Anything shorter is recorded as this
HIGHEST_SECONDS = 3600.0  # Anything longer is recorded as this
# The middle of a bucket is off by at most (GROWTH - 1) / (GROWTH + 1) = 0.99 %: under 1 % with room for
# what floating point rounds.
GROWTH = 1.02
_LOG_GROWTH = log(GROWTH)
_SIZE = ceil(log(HIGHEST_SECONDS / LOWEST_SECONDS) / _LOG_GROWTH) + 1

SLOT_SECONDS = 10.0
SLOTS = 30  # Times SLOT_SECONDS: five minutes


class Latency(Struct, frozen=True):
    """Whole milliseconds over the last five minutes; all 0 when no call finished in them."""

    avg_ms: int = 0
    p50_ms: int = 0
    p95_ms: int = 0
    p99_ms: int = 0


class LogBuckets:
    """Durations in buckets that grow by 2 %, between 1 µs and 1 h; 9 KiB whatever is recorded.

    Bucket `i` holds what is above `LOWEST_SECONDS * GROWTH ** (i - 1)` and at most
    `LOWEST_SECONDS * GROWTH ** i`; bucket 0 holds what was clamped to `LOWEST_SECONDS`.

    Attributes:
        count: How many durations.
        sum: Their sum in seconds, after clamping.
        counts: How many per bucket.
    """

    __slots__ = ("count", "counts", "sum")

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * _SIZE))
        self.count = 0
        self.sum = 0.0

    def record(self, seconds: float) -> None:
        """Adds a duration in seconds, clamped to 1 µs .. 1 h."""
        seconds = min(max(seconds, LOWEST_SECONDS), HIGHEST_SECONDS)
        self.counts[ceil(log(seconds / LOWEST_SECONDS) / _LOG_GROWTH)] += 1
        self.count += 1
        self.sum += seconds

    def merge(self, *others: "LogBuckets") -> None:
        """Adds what the others hold, exactly: as if it had been recorded here."""
        # All at once: a reader on the event loop merges a whole window, and one pass is five times cheaper.
        columns = zip(self.counts, *(other.counts for other in others), strict=True)
        self.counts = array("Q", map(sum, columns))
        self.count += sum(other.count for other in others)
        self.sum += sum(other.sum for other in others)

    def quantile(self, q: float) -> float:
        """The duration in seconds at the nearest rank, `ceil(q * count)`, off by at most 1 %.

        Args:
            q: From 0.0 to 1.0.

        Returns:
            0.0 when nothing was recorded.
        """
        if not self.count:
            return 0.0
        left = max(ceil(q * self.count), 1)
        index = -1
        while left > 0:
            index += 1
            left -= self.counts[index]
        if index == 0:
            return LOWEST_SECONDS
        return LOWEST_SECONDS * 2.0 * GROWTH**index / (GROWTH + 1.0)  # Equally far from both ends, relatively


class Window:
    """Durations of the last five minutes: a ring of slots, each forgotten as a whole.

    Nothing older than five minutes is ever seen; what leaves does so in steps of `SLOT_SECONDS`.
    """

    __slots__ = ("_periods", "_slots")

    def __init__(self) -> None:
        self._slots = [LogBuckets() for _ in range(SLOTS)]
        self._periods: list[int | None] = [None] * SLOTS  # Which stretch of SLOT_SECONDS a slot holds

    def record(self, seconds: float, now: float) -> None:
        """Adds a duration in seconds that ended `now` (seconds of a monotonic clock)."""
        period = int(now // SLOT_SECONDS)
        place = period % SLOTS
        if self._periods[place] != period:
            self._periods[place] = period
            self._slots[place] = LogBuckets()
        self._slots[place].record(seconds)

    def latency(self, now: float) -> Latency:
        """What the window holds `now` (seconds of the same clock)."""
        oldest = int(now // SLOT_SECONDS) - SLOTS
        merged = LogBuckets()
        merged.merge(
            *(
                slot
                for slot, period in zip(self._slots, self._periods, strict=True)
                if period is not None and period > oldest
            )
        )
        if not merged.count:
            return Latency()
        return Latency(
            avg_ms=_milliseconds(merged.sum / merged.count),
            p50_ms=_milliseconds(merged.quantile(0.50)),
            p95_ms=_milliseconds(merged.quantile(0.95)),
            p99_ms=_milliseconds(merged.quantile(0.99)),
        )


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000.0)
