"""`logs`: the log of the service in the background."""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import click

from ccproxy.cli.options import config_option, example, port_option
from ccproxy.cli.place import fail, find_service, state_folder

LINES = 50
POLL_SECONDS = 0.2
CHUNK_BYTES = 1 << 16


@click.command(epilog=example("ccproxy logs", "ccproxy logs -f -n 100"))
@config_option
@port_option
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(0), default=LINES, show_default=True, help="How many lines.")
def logs(file: Path | None, port: int | None, *, follow: bool, lines: int) -> None:
    """Print the last lines of the log."""
    log = _log(file, port)
    try:
        with log.open("rb") as stream:
            last = deque(stream, maxlen=lines)
            position = stream.tell()
    except FileNotFoundError:
        fail(f"there is no log yet: {log}")
    for line in last:
        click.echo(line, nl=False)
    if follow:
        for part in _following(log, position):
            click.echo(part, nl=False)


def _log(option: Path | None, port: int | None) -> Path:
    """Where the running service says that it logs to, else the configuration, else a service in the background."""
    place = find_service(option, port)
    if place.info is not None:
        if place.info.log is None:
            fail(f"process {place.info.pid} serves in the foreground, and logs to its standard error")
        return Path(place.info.log)
    configured = place.config.log_file if place.config is not None else ""
    return Path(configured) if configured else state_folder() / "ccproxy.log"


def _following(log: Path, position: int) -> Iterator[bytes]:
    """What is written behind `position`, also into a new file of that name and one that was emptied."""
    stream = log.open("rb")
    try:
        stream.seek(position)
        while True:
            chunk = stream.read(CHUNK_BYTES)
            if chunk:
                yield chunk
                continue
            Event().wait(POLL_SECONDS)
            here = os.fstat(stream.fileno())
            if here.st_size < stream.tell():
                stream.seek(0)
            elif _is_another(log, here):
                rest = stream.read()
                stream.close()
                stream = log.open("rb")
                yield rest
    finally:
        stream.close()


def _is_another(log: Path, here: os.stat_result) -> bool:
    try:
        there = log.stat()
    except FileNotFoundError:  # it was moved away; the new one comes
        return False
    return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
