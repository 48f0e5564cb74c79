"""Serves in this process, until SIGTERM or SIGINT."""

import asyncio
import atexit
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from msgspec import structs

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else gRPC adds lines of its own to what is reported here

from ccproxy import __version__, daemon
from ccproxy.app import Service
from ccproxy.app import serve as serve_until_asked
from ccproxy.cli.place import EXIT_ADDRESS, fail, state_folder
from ccproxy.config import Loaded
from ccproxy.config.certificate import fingerprint
from ccproxy.reload import Load
from ccproxy.systemd import Systemd

log = logging.getLogger(__name__)


def serve(loaded: Loaded, named: Path | None, *, demo: bool, owner: daemon.Owner, load: Load) -> None:
    """Serves. This process has the port's lock for that time, so that `status` and `stop` find it."""
    asked = Systemd.taken_from(os.environ)
    systemd = asked if owner == "foreground" else None  # one in the background is nobody's main process
    try:
        with ExitStack() as stack:
            on_ready = _enter(stack, loaded, named, demo=demo, owner=owner)
            runner = asyncio.Runner(loop_factory=_loop_factory())  # nobody closes it: see _exit
            runner.run(serve_until_asked(loaded, on_ready, load, systemd))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # the interpreter's end would restore the default: death
    except daemon.AlreadyRunningError as error:
        fail(str(error), EXIT_ADDRESS)
    except OSError as error:
        fail(error.strerror or str(error), EXIT_ADDRESS)
    _exit()


def _enter(
    stack: ExitStack, loaded: Loaded, named: Path | None, *, demo: bool, owner: daemon.Owner
) -> Callable[[Service], None]:
    """Takes the lock, and returns what completes it once the ports are bound."""
    config = loaded.config
    notes = [(logging.WARNING, warning) for warning in loaded.warnings]
    held: daemon.Held | None = None
    state = daemon.State(state_folder(), config.port)
    log_file = config.log_file or (None if owner == "foreground" else str(state.log))
    info = daemon.describe(
        state,
        daemon.Plan(
            host=config.host,
            grpc_port=config.grpc_port,
            version=__version__,
            health_port=config.health_port,
            certificate=fingerprint(config.tls) if config.tls.on else "",
            config=named,
            demo=demo,
            owner=owner,
            log=log_file,
        ),
    )
    if config.port != 0:  # else nobody can look for it
        try:
            held = stack.enter_context(daemon.hold(state, info))
        except (OSError, daemon.NotProvenError) as error:
            # A container may have no place to write to, and needs none.
            notes.append((logging.INFO, f"without a lock file, status and stop do not find this process: {error}"))

    def on_ready(service: Service) -> None:
        for level, note in notes:
            log.log(level, "%s", note)
        if held is None:
            return
        ready = structs.replace(info, grpc_port=service.grpc_port, ready=True)
        _write(held, ready)
        if service.tls is not None:
            service.tls.watch(lambda now: _write(held, structs.replace(ready, certificate=now.fingerprint)))

    return on_ready


def _write(held: daemon.Held, info: daemon.Info) -> None:
    with contextlib.suppress(OSError):  # the disk is full: it serves, but `start` will not believe it
        held.write(info)


def _exit() -> NoReturn:
    """Ends the process. To close the loop waits for names that are looked up: 10 s where no resolver answers."""
    atexit._run_exitfuncs()  # noqa: SLF001  # the next line does not
    os._exit(0)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed: 12 % less CPU on gRPC."""
    try:
        import uvloop  # noqa: PLC0415  # not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
