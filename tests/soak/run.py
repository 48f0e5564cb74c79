"""The soak: many requests of every kind, faults and reloads, and then the question what is left of them.

    PYTHONPATH=tests python -m soak.run [--requests N] [--seconds S]

One service as a process; providers that lie, and the demo, in this one. It ends by itself, and with 1 where a
bound is exceeded. Linux alone: memory and files are read from /proc.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click
from soak.asked import SEED, Ask, mixture
from soak.callers import Callers
from soak.judged import Row, growth, slope, table, unexpected
from soak.service import Level, Memory, Observed, observed

REQUESTS, SECONDS = 100_000, 520.0
ROUNDS = 50  # at most
CALLERS = 32
SETTLED_SECONDS = 20.0
# What is held may not grow: 1 KiB per 1,000 requests, of each kind. Ten of Python's blocks are about that (16 to
# 512 bytes each). Resident memory cannot be judged so finely: with nothing more held it still grows by 4 to 15 KiB
# per 1,000 requests, slower and slower, as the most that was ever held at once and the holes of the allocators do;
# and from one round to the next it moves by 1 MiB, which is 13 KiB for each 1,000 of the 80,000 after the warm-up.
MOST_KIB, MOST_BLOCKS = 1.0, 10.0  # per 1,000 requests
# grpc.aio never frees a batch whose caller left while it was being sent (https://github.com/grpc/grpc/issues/43360,
# open). A bare server that does nothing but write loses up to 190 bytes for each such stream, ours 160 to 275; the
# size of the messages makes no difference. Only so much is allowed, and only for the streams that were left.
LOST_KIB = 0.3
MOST_GROWTH = 5.0  # per cent of resident memory
JUDGED_FROM = 50_000  # requests: fewer say nothing about so small a slope
SHOWN = 20
RELOADS = 200  # at most: one after each such part of the time


class Soak:
    """One soak. `rows` are its figures, `problems` what was wrong with answers, `lines` the log's surprises.

    `seen` is what the lying provider saw of each request with a problem.
    """

    def __init__(self, requests: int, seconds: float) -> None:
        self._wanted = requests
        self._seconds = seconds
        self._made = 0
        self._left_over_grpc = 0
        self._took = 0.0
        self.samples: list[tuple[int, Memory]] = []
        self.problems: Counter[str] = Counter()
        self.seen: list[str] = []
        self.lines: Counter[str] = Counter()
        self.rows: list[Row] = []

    @property
    def holds(self) -> bool:
        """Whether every figure is within its bound."""
        return all(row.holds for row in self.rows)

    async def run(self, home: Path) -> None:
        """Starts everything, asks, and looks what is left."""
        async with observed(home) as service:
            await asyncio.sleep(1)  # it asks for the models; each provider has its connection now
            before = await service.level()
            async with Callers(service.service) as callers:
                await self._rounds(service, callers)
            await service.reload(valid=True)  # whatever was used until now is closed
            after = await self._settled(service, before)
            service.service.terminate()
            code = await asyncio.to_thread(service.service.exit_code)
        self.lines = unexpected(home / "stderr")
        self.rows = [*self._figures(service), *_left(before, after), Row("exit code", code, 0)]

    async def _rounds(self, service: Observed, callers: Callers) -> None:
        """Asks in rounds: between them nobody waits for an answer, and the memory is read."""
        started = time.monotonic()
        asks = mixture()
        size = max(2 * CALLERS, self._wanted // ROUNDS)
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as reloading:
            reloading.create_task(service.keep_reloading(self._seconds / RELOADS, enough))
            while self._made < self._wanted and time.monotonic() < started + self._seconds:
                # those first that wait for a silent provider, so that the others need not wait for them
                asked = sorted(islice(asks, size), key=lambda ask: not ask.waits)
                await self._round(service, callers, iter(asked))
                service.faultd.seen.clear()
                service.faultd.closed_at.clear()
                memory = await service.memory()
                self.samples.append((self._made, memory))
                click.echo(
                    f"{self._made} requests, {memory.resident} KiB resident; {memory.malloc:.0f} KiB of malloc, "
                    f"{memory.blocks} blocks",
                    err=True,
                )
            enough.set()
        self._took = time.monotonic() - started

    async def _round(self, service: Observed, callers: Callers, asks: Iterator[Ask]) -> None:
        async def caller() -> None:
            for ask in asks:
                problem = await callers.ask(ask)
                self._made += 1
                self._left_over_grpc += ask.kind == "leave" and ask.edge == "grpc" and ask.stream
                if problem:
                    way = "stream" if ask.stream else "whole"
                    self.problems[f"{ask.kind} {ask.edge} {way} {ask.model}: {problem}"] += 1
                    self.seen += [f"request {ask.number}: {line}" for line in service.providers_side(ask)]

        async with asyncio.TaskGroup() as all_:
            for _ in range(CALLERS):
                all_.create_task(caller())

    async def _settled(self, service: Observed, before: Level) -> Level:
        """What is held when everything has ended, or when that takes too long."""
        ends = time.monotonic() + SETTLED_SECONDS
        while True:
            now = await service.level()
            if now.within(before) or time.monotonic() > ends:
                return now
            await asyncio.sleep(0.2)

    def _figures(self, service: Observed) -> list[Row]:
        judged = self._made >= JUDGED_FROM
        most_kib = MOST_KIB + LOST_KIB * self._left_over_grpc / self._made * 1000
        resident, malloc, blocks = (
            [(made, getattr(memory, what)) for made, memory in self.samples]
            for what in ("resident", "malloc", "blocks")
        )
        return [
            Row("requests", self._made, least=self._wanted / 2),
            Row("requests a second", round(self._made / self._took)),
            Row("reloads that worked", service.reloads[True], least=1),
            Row("reloads that were refused", service.reloads[False]),
            Row(
                "held in malloc, more per 1,000 requests",
                round(slope(malloc), 2),
                round(most_kib, 2) if judged else None,
                unit="KiB",
            ),
            Row(
                "held by Python, more per 1,000 requests",
                round(slope(blocks), 1),
                MOST_BLOCKS if judged else None,
                unit="blocks",
            ),
            Row("resident memory at the end", resident[-1][1], unit="KiB"),
            Row("resident, more per 1,000 requests", round(slope(resident), 1), unit="KiB"),
            Row(
                "resident, more since the warm-up",
                round(growth(resident), 1),
                MOST_GROWTH if judged else None,
                unit="%",
            ),
            Row("failures that nobody asked for", self.problems.total(), 0),
            Row("log lines that nobody expects", self.lines.total(), 0),
        ]


def _left(before: Level, after: Level) -> list[Row]:
    """What is left, beside what there was before the first request."""
    return [
        Row("open files", after.files, before.files),
        Row("tasks and threads", after.tasks, before.tasks),
        Row("callers' connections", after.connections, before.connections),
        Row("calls under way", after.in_flight, before.in_flight),
        Row("connections to the provider", after.pooled, before.pooled),
    ]


@click.command()
@click.option("--requests", default=REQUESTS, show_default=True, help="How many.")
@click.option("--seconds", default=SECONDS, show_default=True, help="The longest that they may take.")
def main(*, requests: int, seconds: float) -> None:
    """Asks a service everything for long, and looks what is left."""
    soak = Soak(requests, seconds)
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(soak.run(Path(home)))
    for found in (soak.problems, soak.lines):
        for what, times in found.most_common(SHOWN):
            click.echo(f"{times} x {what}")
    for line in soak.seen[:SHOWN]:
        click.echo(line)
    click.echo(f"seed {SEED}")
    click.echo(table(soak.rows))
    sys.exit(not soak.holds)


if __name__ == "__main__":
    main()
