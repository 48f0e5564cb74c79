"""The tables: minimum, median and maximum of the runs, beside what must be and what is the goal."""

from collections.abc import Mapping, Sequence
from statistics import median

import dialects
import msgspec

CPU = ("small", "large", "burst", "paced")
RSS, START = "RSS MiB", "start s"
COLUMNS = (*CPU, RSS, START)
WIDTH = 23

Row = dict[str, float]
"""A subject's measurements of one run, by column."""

MUST: dict[str, Row] = {
    "ccproxy relay": {"small": 10, "large": 6, "burst": 7, "paced": 2.5, RSS: 90, START: 1.5},
    "ccproxy to OpenAI": {"small": 13, "large": 10, "burst": 12, "paced": 3, RSS: 90, START: 1.5},
}
GOAL: dict[str, Row] = {
    "ccproxy relay": {"small": 4, "large": 4, "burst": 2, "paced": 1.5, RSS: 60, START: 0.7},
    "ccproxy to OpenAI": {"small": 5, "large": 7, "burst": 6, "paced": 1.8, RSS: 60, START: 0.7},
}
GRPC_GOAL: Row = {"CreateMessage": 1.5, "StreamMessage": 1.2}


class Run(msgspec.Struct):
    """What one run measured. A subject's name is its row; latencies are milliseconds, sorted."""

    rows: dict[str, Row] = {}
    grpc: dict[str, Row] = {}
    latencies: dict[str, dict[str, list[float]]] = {}


def http_table(runs: Sequence[Run]) -> str:
    """CPU, memory and start, and the ratios to nginx."""
    subjects = list(runs[0].rows)
    lines = [
        "CPU microseconds a request (the process tree's), memory and start: min / median / max",
        _line("", COLUMNS),
    ]
    lines += [_line(name, [_cell([run.rows[name].get(c) for run in runs]) for c in COLUMNS]) for name in subjects]
    if "nginx" not in subjects:
        return "\n".join(lines)
    lines += ["", "the same as a multiple of nginx in the same run; memory and start as they are"]
    for name in MUST:
        cells = [_cell([_ratio(run, name, column) for run in runs]) for column in COLUMNS]
        lines.append(_line(name, cells))
        lines.append(_line("  must / goal", [f"{MUST[name][c]:g} / {GOAL[name][c]:g}" for c in COLUMNS]))
    return "\n".join(lines)


def grpc_table(runs: Sequence[Run]) -> str:
    """CPU of the calls beside a bare echo of the same bytes."""
    columns = list(GRPC_GOAL)
    lines = ["gRPC: CPU microseconds a call: min / median / max", _line("", columns)]
    lines += [
        _line(name, [_cell([run.grpc[name][column] for run in runs]) for column in columns])
        for name in runs[0].grpc
    ]
    ratios = [[run.grpc["ccproxy"][column] / run.grpc["echo"][column] for run in runs] for column in columns]
    lines.append(_line("multiple of the echo", [_cell(ratio) for ratio in ratios]))
    lines.append(_line("  goal", [f"{goal:g}" for goal in GRPC_GOAL.values()]))
    return "\n".join(lines)


def latency_table(runs: Sequence[Run]) -> str:
    """What a request takes longer than straight to the upstream, one at a time."""
    lines = ["added latency in ms, one request at a time, p50 / p99 of all runs (goal: under 1 / under 5)"]
    kinds = list(runs[0].latencies)
    lines.append(_line("", kinds))
    names = [name for name in runs[0].latencies[kinds[0]] if name != "direct"]
    for name in names:
        cells = []
        for kind in kinds:
            base = sorted(ms for run in runs for ms in run.latencies[kind]["direct"])
            taken = sorted(ms for run in runs for ms in run.latencies[kind][name])
            added = [_quantile(taken, q) - _quantile(base, q) for q in (0.5, 0.99)]
            cells.append(f"{added[0]:.2f} / {added[1]:.2f}")
        lines.append(_line(name, cells))
    return "\n".join(lines)


def dialect_table(costs: Mapping[str, dialects.Micros]) -> str:
    """The dialects, each beside Chat Completions."""
    first = costs[dialects.FIRST]
    lines = [
        f"translators alone: CPU microseconds, and the multiple of {dialects.FIRST} (must: {dialects.MOST:g})",
        _line("", dialects.COLUMNS),
    ]
    for name, micros in costs.items():
        cells = [f"{_number(micros[c])} / {micros[c] / first[c]:.2f}" for c in dialects.COLUMNS]
        lines.append(_line(name, cells))
    return "\n".join(lines)


def _ratio(run: Run, name: str, column: str) -> float | None:
    value = run.rows[name].get(column)
    if value is None or column not in CPU:
        return value
    return value / run.rows["nginx"][column]


def _quantile(ordered: Sequence[float], q: float) -> float:
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)]


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<21}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    return " / ".join(_number(value) for value in (min(known), median(known), max(known)))


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
