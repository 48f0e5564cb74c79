"""The benchmark: what a request costs CCProxy, beside nginx that only passes the bytes on.

    python tests/bench/run.py [--quick] [--runs N]

Each run starts everything afresh and measures the subjects in turn, kind by kind, so that a noisy minute hits them
all. It fails where something broke (a status, a byte count), never on a time.
"""

import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import bodies
import click
import dialects
import drive
import drive_grpc
import processes
import report
from bodies import KINDS, Kind
from drive import Route
from drive_grpc import Rpc
from processes import BrokenError, Child

COUNTS: dict[Kind, int] = {"small": 6000, "large": 2000, "burst": 1500, "paced": 96}
CHEAP = 4
"""How many times as many requests the cheap subjects get, so that theirs take as long."""
CALLS: dict[Rpc, int] = {"CreateMessage": 3000, "StreamMessage": 200}
LATENCY_KINDS: tuple[Kind, ...] = ("small", "large")
LATENCY_REQUESTS = 400
WARM_UP = 10
"""One part in so many of a measurement goes before it, uncounted."""
QUICK = 60
"""What --quick divides every count by."""


class Subject:
    """A row of the table: the process that pays, and the way through it."""

    def __init__(self, name: str, child: Child, route: Route, *, cheap: bool = False) -> None:
        self.name = name
        self.child = child
        self.route = route
        self.cheap = cheap

    def count(self, kind: Kind, divisor: int) -> int:
        """How many requests a measurement takes."""
        factor = CHEAP if self.cheap and kind != "paced" else 1
        return max(COUNTS[kind] * factor // divisor, 2)


def one_run(folder: Path, divisor: int) -> report.Run:
    """Starts everything, measures everything, ends everything."""
    run = report.Run()
    with ExitStack() as stack:
        upstream = stack.enter_context(processes.upstream(folder))
        subjects = [Subject("the upstream itself", upstream, Route(upstream.port), cheap=True)]
        has_nginx = processes.nginx_binary() is not None
        if has_nginx:
            nginx = stack.enter_context(processes.nginx(folder, upstream.port))
            subjects.append(Subject("nginx", nginx, Route(nginx.port), cheap=True))
        ccproxy, grpc_port = processes.ccproxy(folder, upstream.port)
        stack.enter_context(ccproxy)
        subjects += [
            Subject("ccproxy relay", ccproxy, Route(ccproxy.port)),
            Subject("ccproxy to OpenAI", ccproxy, Route(ccproxy.port, model=f"openai,{bodies.OPENAI_MODEL}")),
        ]
        run.rows = {subject.name: {report.START: subject.child.started} for subject in subjects}
        _http(run, subjects, folder, divisor)
        _latency(run, subjects, divisor)
        asyncio.run(_grpc(run, ccproxy, grpc_port, folder, divisor))
        for subject in subjects:
            run.rows[subject.name][report.RSS] = subject.child.rss()
    return run


def _http(run: report.Run, subjects: list[Subject], folder: Path, divisor: int) -> None:
    has_h2load = drive.h2load_binary() is not None
    for kind in KINDS:
        relayed = b"".join(bodies.anthropic_stream()) if kind in {"burst", "paced"} else bodies.anthropic_answer()
        for subject in subjects:
            answer = drive.probe(subject.route, kind)
            if "OpenAI" not in subject.name and answer != relayed:
                raise BrokenError(f"{subject.name} {kind}: the bytes were changed on their way")
            if has_h2load:
                micros = _cost(subject, kind, divisor, len(answer), folder)
                run.rows[subject.name][kind] = micros


def _cost(subject: Subject, kind: Kind, divisor: int, answer_bytes: int, folder: Path) -> float:
    """CPU microseconds a request."""
    count = subject.count(kind, divisor)
    if count >= WARM_UP:
        drive.load(subject.route, kind, count // WARM_UP, answer_bytes, folder)
    before = subject.child.cpu()
    drive.load(subject.route, kind, count, answer_bytes, folder)
    return (subject.child.cpu() - before) / count * 1e6


def _latency(run: report.Run, subjects: list[Subject], divisor: int) -> None:
    routes = [subject.route for subject in subjects]
    names = ["direct", *(subject.name for subject in subjects[1:])]
    for kind in LATENCY_KINDS:
        seconds = drive.latencies(routes, kind, max(LATENCY_REQUESTS // divisor, 2))
        run.latencies[kind] = {name: [s * 1000 for s in taken] for name, taken in zip(names, seconds, strict=True)}


async def _grpc(run: report.Run, ccproxy: Child, port: int, folder: Path, divisor: int) -> None:
    expected = await drive_grpc.answers(port)
    with processes.echo(folder, expected) as echo:
        run.grpc = {"echo": {}, "ccproxy": {}}
        for rpc in drive_grpc.RPCS:
            messages = expected[drive_grpc.path(rpc)]
            count = max(CALLS[rpc] // divisor, 2)
            for name, child, its_port in (("echo", echo, echo.port), ("ccproxy", ccproxy, port)):
                await drive_grpc.load(its_port, rpc, count // WARM_UP, messages)
                before = child.cpu()
                await drive_grpc.load(its_port, rpc, count, messages)
                run.grpc[name][rpc] = (child.cpu() - before) / count * 1e6


def missing() -> list[str]:
    """What is not installed, and what that costs."""
    tools: list[tuple[str, Callable[[], str | None], str]] = [
        ("nginx", processes.nginx_binary, "no floor, so no ratios (Debian: nginx)"),
        ("h2load", drive.h2load_binary, "no CPU costs over HTTP (Debian: nghttp2-client)"),
    ]
    return [f"skipped: {name} is not installed: {loss}" for name, find, loss in tools if find() is None]


@click.command()
@click.option("--quick", is_flag=True, help="A smoke: one run of few requests; its times mean nothing.")
@click.option("--runs", default=3, show_default=True, help="How many interleaved runs.")
def main(*, quick: bool, runs: int) -> None:
    """Measures what a request costs CCProxy, beside nginx in the same run."""
    load = os.getloadavg()[0]
    click.echo(
        f"{platform.machine()}, {os.cpu_count()} cores, load {load:.2f}, Python {platform.python_version()}"
    )
    for line in missing():
        click.echo(line)
    results = []
    try:
        for number in range(1 if quick else runs):
            click.echo(f"run {number + 1}", err=True)
            with tempfile.TemporaryDirectory() as folder:
                results.append(one_run(Path(folder), QUICK if quick else 1))
    except BrokenError as error:
        click.echo(f"broken: {error}", err=True)
        sys.exit(1)
    for table in (report.http_table, report.grpc_table, report.latency_table):
        click.echo(f"\n{table(results)}")
    click.echo(f"\n{report.dialect_table(dialects.measure(dialects.ROUND_SECONDS / (QUICK if quick else 1)))}")


if __name__ == "__main__":
    main()
