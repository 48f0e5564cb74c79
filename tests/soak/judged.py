"""What a soak found: figures beside their bounds, and the lines of the log that nobody asked for."""

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import msgspec
from msgspec import Struct

WARM_UP = 0.2  # of the requests

EXPECTED = re.compile(
    r"request(?: \S+: \S+ failed \([A-Z_]+\); trying again)?"
    r"|CCProxy \S+ serves .+|providers: .+|route .+"
    r"|the configuration was loaded again"
    r"|the configuration was not loaded again, the one before stays: .*nobody.*"
    r"|provider \S+: \w+, was \w+.*"
    r"|the event loop (?:lags|runs in time): .+"  # the machine is busy
    r"|\S+ccproxy.json: holds keys that others may read; .+"  # ours: it lies in a folder of its own
    r"|shutting down: .+|stopped",
    re.DOTALL,
)


class Row(Struct, frozen=True):
    """A line of the report.

    Attributes:
        what: What was measured.
        figure: What it came to.
        most: The most that it may be; None where nothing is judged.
        least: The least that it must be.
        unit: Of both.
    """

    what: str
    figure: float
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is within its bound."""
        return (self.most is None or self.figure <= self.most) and (
            self.least is None or self.figure >= self.least
        )


def table(rows: Sequence[Row]) -> str:
    """All rows, in columns."""
    lines = [("measured", "figure", "bound", "")]
    for row in rows:
        bound = (
            f"<= {row.most:,g}" if row.most is not None else f">= {row.least:,g}" if row.least is not None else "-"
        )
        lines.append((row.what, f"{row.figure:,.10g} {row.unit}".rstrip(), bound, "" if row.holds else "EXCEEDED"))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        f"{what:<{widths[0]}}  {figure:>{widths[1]}}  {bound:>{widths[2]}}  {word}".rstrip()
        for what, figure, bound, word in lines
    )


def slope(samples: Sequence[tuple[int, float]]) -> float:
    """Growth per 1,000 requests after the warm-up: the median of the slopes between any two samples.

    A leak grows between all of them. The allocator's steps, and a moment with much to hold, do so between few.

    Args:
        samples: Requests so far, and what was measured then.
    """
    warm = _warm(samples)
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) * 1000 for a, b in combinations(warm, 2) if b[0] > a[0])


def growth(samples: Sequence[tuple[int, float]]) -> float:
    """Per cent by which the last quarter after the warm-up is above the first; of both the median."""
    warm = [value for _, value in _warm(samples)]
    quarter = max(1, len(warm) // 4)
    first, last = statistics.median(warm[:quarter]), statistics.median(warm[-quarter:])
    return (last / first - 1) * 100


def _warm(samples: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [sample for sample in samples if sample[0] >= samples[-1][0] * WARM_UP]


def unexpected(log: Path) -> Counter[str]:
    """The lines that a soak does not explain, mistakes of ours among them, each with how often it came."""
    found: Counter[str] = Counter()
    with log.open("rb") as lines:
        for raw in lines:
            try:
                line = msgspec.json.decode(raw)
            except msgspec.DecodeError:
                found[raw.decode(errors="replace").rstrip()] += 1
                continue
            message = line["msg"]
            mistake = message == "request" and line["level"] == "error"
            if mistake or EXPECTED.fullmatch(message) is None:
                found[f"{line['level']} {line['logger']}: {message} {line.get('reason', '')}".rstrip()] += 1
    return found
