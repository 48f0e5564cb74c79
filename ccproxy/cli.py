"""The command line.

Exit codes: 0 done; 2 a mistake on the command line; 78 a mistake in the configuration (EX_CONFIG); 98 an address
that cannot be bound.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from ccproxy import __version__
from ccproxy.config import ConfigError, load

EXIT_CONFIG = 78
EXIT_ADDRESS = 98


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ccproxy", message="%(prog)s %(version)s")
def main() -> None:
    """CCProxy lets any Claude client use any model, over HTTP and gRPC."""


@main.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), help="The configuration file.")
@click.option("-f", "--foreground", is_flag=True, help="Serve in the foreground (as it does without, too).")
@click.option("--demo", is_flag=True, help="Let the built-in demo upstream answer, whatever is configured.")
def start(file: Path | None, *, foreground: bool, demo: bool) -> None:  # noqa: ARG001  # the habit is kept
    """Serve until interrupted."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else it adds lines of its own to what is reported here
    from ccproxy.app import serve  # noqa: PLC0415  # help and version need no server; gRPC reads the variable

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        config = load(file, os.environ, _home(), demo=demo)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"ccproxy: {problem}", err=True)
        sys.exit(EXIT_CONFIG)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(config))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the end of the interpreter would restore the default: death
    except OSError as error:
        click.echo(f"ccproxy: {error.strerror or error}", err=True)
        sys.exit(EXIT_ADDRESS)


def _home() -> Path:
    """The operator's home directory; a user id without a name and without HOME has none, and no file in it."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: 12 % less CPU on gRPC."""
    try:
        import uvloop  # noqa: PLC0415  # not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
