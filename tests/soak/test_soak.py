"""A short soak: that nothing is left of hundreds of requests, and that the long one would say so if it were."""

import sys
from pathlib import Path

import msgspec
import pytest
from soak import crowd
from soak.asked import FAULTY, mixture
from soak.judged import Row, growth, slope, table, unexpected
from soak.run import Soak

from ccproxy.errors import Reason

REQUESTS, SECONDS = 300, 12.0
SAMPLES = [(number * 1000, 60_000 + number % 3) for number in range(1, 51)]


@pytest.mark.skipif(sys.platform != "linux", reason="memory and files are read from /proc")
async def test_nothing_is_left_of_hundreds_of_requests(tmp_path: Path):
    """Of every kind, with faults, callers who leave and reloads. How memory goes takes `make soak`."""
    soak = Soak(REQUESTS, SECONDS)

    await soak.run(tmp_path / "home")

    assert soak.holds, f"{soak.problems}\n{soak.lines}\n{table(soak.rows)}"


@pytest.mark.skipif(sys.platform != "linux", reason="memory and files are read from /proc")
async def test_small_crowds_are_borne(tmp_path: Path):
    """The command is only believed where it runs. How large crowds do takes `make crowd`."""
    rows = await crowd.all_of_them(tmp_path, 0.02)

    assert all(row.holds for row in rows), table(rows)


def test_the_mixture_has_everything():
    """A kind that is lost would be missed by nobody."""
    asks = mixture()
    seen = [next(asks) for _ in range(5000)]

    assert {(ask.kind, ask.edge) for ask in seen} == {
        (kind, edge) for kind in ("message", "leave", "count", "models", "health") for edge in ("http", "grpc")
    }
    faulty = [ask for ask in seen if not ask.model.startswith("demo-") and not ask.model.endswith(",good")]
    faulty = [ask for ask in faulty if ask.kind == "message"]
    assert abs(len(faulty) / len(seen) - FAULTY) < 0.03
    assert {ask.outcome.reason for ask in seen} >= {
        None,
        Reason.TIMEOUT,
        Reason.OVERLOADED,
        Reason.RATE_LIMITED,
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_INVALID_RESPONSE,
    }
    assert len({ask.model for ask in faulty}) > 100


def test_a_leak_has_a_slope_and_a_step_has_none():
    """The allocator takes memory in steps; a leak takes some of it each time."""
    leaking = [(made, kib + made * 2 // 1000) for made, kib in SAMPLES]
    stepping = [(made, kib + 4000 * (made > 45_000)) for made, kib in SAMPLES]
    warming = [(made, kib - 9000 * (made < 10_000)) for made, kib in SAMPLES]

    assert abs(slope(SAMPLES)) < 0.1
    assert abs(slope(leaking) - 2) < 0.1
    assert abs(slope(stepping)) < 0.1
    assert abs(slope(warming)) < 0.1
    assert abs(growth(SAMPLES)) < 0.1
    assert growth([(made, kib * (1 + made / 1_000_000)) for made, kib in SAMPLES]) > 2


def test_a_bound_that_is_exceeded_is_shown():
    """Whoever reads the table must see at once which one it was."""
    rows = [Row("files", 36, 35), Row("tasks", 10, 10), Row("reloads", 0, least=1), Row("memory", 9e9, unit="KiB")]

    assert [row.holds for row in rows] == [False, True, False, True]
    assert [line.endswith("EXCEEDED") for line in table(rows).splitlines()[1:]] == [True, False, True, False]


def test_a_line_that_nobody_expects_is_found(tmp_path: Path):
    """Mistakes of ours are lines of the log before they are anything else."""
    log = tmp_path / "log"
    lines = [
        {"level": "info", "msg": "request", "logger": "ccproxy.requests"},
        {"level": "error", "msg": "request", "logger": "ccproxy.requests", "reason": "INTERNAL"},
        {"level": "warning", "msg": "request req_1: openai failed (OVERLOADED); trying again", "logger": "x"},
        {"level": "error", "msg": "internal error 1: KeyError in x.py:1", "logger": "ccproxy.errors"},
    ]
    log.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines) + b"\nTraceback\n")

    assert unexpected(log) == {
        "error ccproxy.requests: request INTERNAL": 1,
        "error ccproxy.errors: internal error 1: KeyError in x.py:1": 1,
        "Traceback": 1,
    }
