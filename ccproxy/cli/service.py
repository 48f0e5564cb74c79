"""`start`, `stop`, `restart`, `reload`: the service's life."""

import os
import signal
import sys
import time
from pathlib import Path
from threading import Event

import click
import msgspec
from msgspec import Struct

from ccproxy import daemon
from ccproxy.cli import ask
from ccproxy.cli.options import config_option, example, port_option, seconds
from ccproxy.cli.place import (
    EXIT_NOT_RUNNING,
    Place,
    fail,
    find_service,
    key_of,
    load_config,
    named_config,
    read_config,
    state_folder,
    warn,
)
from ccproxy.config import Config

START_SECONDS = 30.0
STOP_SECONDS = 40.0  # more than the 30 s that running calls get
RELOAD_SECONDS = 10.0
POLL_SECONDS = 0.05
OK = 200


@click.command(
    epilog=example("ccproxy start", "ccproxy start --config ./config.json", "ccproxy start --foreground --demo")
)
@config_option
@click.option("-f", "--foreground", is_flag=True, help="Serve here, until interrupted; log to standard error.")
@click.option("--demo", is_flag=True, help="Let the built-in demo upstream answer, whatever is configured.")
@click.option(
    "-t", "--timeout", type=seconds, default=START_SECONDS, show_default=True, help="How long it may take."
)
@click.option("--owner", type=click.Choice(["foreground", "start", "code"]), default="foreground", hidden=True)
def start(file: Path | None, *, foreground: bool, demo: bool, timeout: float, owner: daemon.Owner) -> None:
    """Start the service in the background.

    It is up when this command ends with 0. When it does not start, the last lines of its log are shown, and the
    exit code is its own: 78 for the configuration, 98 for an address.
    """
    if os.getpid() == 1:  # of a container: no signal ends it by default, and importing the server takes a while
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    loaded = load_config(file, demo=demo)
    if foreground:
        from ccproxy.cli.foreground import serve  # noqa: PLC0415  # the whole server

        serve(loaded, named_config(file), demo=demo, owner=owner, load=lambda: read_config(file, demo=demo))
    else:
        warn(loaded)
        info, new = start_in_background(loaded.config, named_config(file), demo=demo, seconds=timeout)
        click.echo(f"{'CCProxy serves' if new else 'CCProxy is already running:'} {_where(info)}")


@click.command(epilog=example("ccproxy stop", "ccproxy stop --timeout 5s --force"))
@config_option
@port_option
@click.option(
    "-t",
    "--timeout",
    type=seconds,
    default=STOP_SECONDS,
    show_default=True,
    help="How long it may take. Running calls get 30 s, if not configured otherwise.",
)
@click.option("--force", is_flag=True, help="Kill it after that time.")
def stop(file: Path | None, port: int | None, *, timeout: float, force: bool) -> None:
    """End the service. Running calls may end first.

    Only CCProxy's own process is signalled, never another one that has its number by now.
    """
    place = find_service(file, port)
    if place.info is None:
        click.echo(f"CCProxy is not running on port {place.state.port}.{_others(place.state)}")
        return
    _end(place.state, place.info, timeout, force=force)
    click.echo(f"CCProxy has ended: {place.info.url}")


@click.command(epilog=example("ccproxy restart", "ccproxy restart --no-demo"))
@config_option
@port_option
@click.option("--demo/--no-demo", default=None, help="As with start; by default as it was started.")
@click.option(
    "-t", "--timeout", type=seconds, default=STOP_SECONDS, show_default=True, help="How long each half may take."
)
@click.option("--force", is_flag=True, help="Kill it after that time.")
def restart(file: Path | None, port: int | None, *, demo: bool | None, timeout: float, force: bool) -> None:
    """End the service and start it again, with the options it was started with.

    Its environment is that of this command. A mistake in the configuration is told before anything ends.
    """
    place = find_service(file, port)
    info = place.info or daemon.last(place.state)
    if place.info is not None and place.info.owner == "foreground":
        fail(f"process {place.info.pid} serves in the foreground: restart it where it was started")
    named = named_config(file)
    if named is None and info is not None and info.config is not None:
        named = Path(info.config)
    demo = (info is not None and info.demo) if demo is None else demo
    loaded = load_config(named, demo=demo)
    warn(loaded)
    if place.info is not None:
        _end(place.state, place.info, timeout, force=force)
    started, _ = start_in_background(loaded.config, named, demo=demo, seconds=timeout)
    click.echo(f"CCProxy serves {_where(started)}")


@click.command(epilog=example("ccproxy reload", "ccproxy reload --port 3456"))
@config_option
@port_option
@click.option(
    "-t", "--timeout", type=seconds, default=RELOAD_SECONDS, show_default=True, help="How long it may take."
)
def reload(file: Path | None, port: int | None, *, timeout: float) -> None:
    """Have the service load its configuration again, without an interruption.

    Calls that come now are served by it; running ones end as they began. With a mistake in it, the one before
    stays in use, and the exit code is 1.
    """
    place = find_service(file, port)
    if place.info is None or not place.info.ready:
        fail(f"CCProxy is not running on port {place.state.port}.{_others(place.state)}", EXIT_NOT_RUNNING)
    before = _loads(place)
    try:
        daemon.reload(place.info)
    except PermissionError:
        fail(f"process {place.info.pid} belongs to another user")
    if before is None:
        fail(f"process {place.info.pid} was asked, and does not say here how it went; its log does")
    end = time.monotonic() + timeout
    while (now := _loads(place)) is None or (now.reloads, now.failures) == (before.reloads, before.failures):
        if time.monotonic() > end:
            fail(f"process {place.info.pid} has not loaded its configuration after {timeout:g} s; see its log")
        Event().wait(POLL_SECONDS)
    if now.reloads == before.reloads:
        for problem in now.error.splitlines():
            click.echo(f"ccproxy: {ask.printable(problem)}", err=True)
        fail("the configuration was not loaded again; the one before stays in use")
    click.echo(f"CCProxy has loaded its configuration again: {place.info.url}")


class _Loads(Struct, frozen=True):
    """What a service says about its configuration."""

    reloads: int
    failures: int
    error: str = ""


class _Status(Struct, frozen=True):
    configuration: _Loads


def _loads(place: Place) -> _Loads | None:
    """How often the service has loaded its configuration; None where it does not say."""
    info = daemon.find(place.state)  # its certificate may be another one by now
    try:
        certificate = "" if info is None else info.certificate
        answer = ask.get(place.url, "/status", key_of(place), certificate=certificate)
        return msgspec.json.decode(answer.body, type=_Status).configuration if answer.status == OK else None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def start_in_background(
    config: Config, named: Path | None, *, demo: bool, seconds: float, owner: daemon.Owner = "start"
) -> tuple[daemon.Info, bool]:
    """Starts the service, or ends the command: what it is, and whether it is new."""
    if config.port == 0:
        fail("port 0 is for --foreground only: a service in the background is found by its port")
    command = [sys.executable, "-P", "-m", "ccproxy", "start", "--foreground", "--owner", owner]
    if named is not None:
        command += ["--config", str(named.absolute())]
    if demo:
        command.append("--demo")
    state = daemon.State(state_folder(), config.port)
    try:
        return daemon.start(daemon.Start(state, command, owner, seconds, ask.answers))
    except daemon.NotProvenError as error:
        fail(str(error))
    except daemon.StartError as error:
        for line in error.lines:
            click.echo(line, err=True)
        fail(f"{error}; its log is {state.log}", error.code)


def _end(state: daemon.State, info: daemon.Info, seconds: float, *, force: bool) -> None:
    try:
        gone = daemon.stop(state, info, seconds, force=force, ends=ask.ends(info))
    except PermissionError:
        fail(f"process {info.pid} belongs to another user")
    if not gone:
        more = "" if force else "; --force kills it"
        fail(f"process {info.pid} has not ended after {seconds:g} s{more}")


def _where(info: daemon.Info) -> str:
    grpc = f", gRPC on {info.grpc}" if info.grpc else ""
    log = f"; log: {info.log}" if info.log else ""
    where = f"; in the foreground, process {info.pid}" if info.owner == "foreground" else ""
    return f"{info.url}{grpc}{where}{log}"


def _others(state: daemon.State) -> str:
    """The services that were not meant, and how they are."""
    ports = [info.port for info in daemon.find_all(state.folder) if info.port != state.port]
    return "".join(f"\nIt is on port {port}: ccproxy stop --port {port}" for port in ports)
