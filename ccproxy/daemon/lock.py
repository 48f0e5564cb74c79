"""Who is the service of a port: the lock, what it says, and whether that is true.

Sources: flock(2); proc_pid_stat(5), field 22; ps(1) on macOS.
"""

import fcntl
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Literal

import msgspec
from msgspec import Struct

POLL_SECONDS = 0.02
SETTLE_SECONDS = 1.0  # for a lock that is taken and not yet written, or is being looked at by others
LOCK_BYTES = 16_384

Owner = Literal["foreground", "start", "code"]


class Info(Struct, frozen=True):
    """What a service writes about itself into its lock file.

    Attributes:
        pid: Its process.
        started: When that process started, in the kernel's words: tells it from a later one of the same number.
        token: Tells this service from every other, also from a later one of the same process.
        version: CCProxy's version.
        host: The address that it binds.
        port: The HTTP port.
        grpc_port: The gRPC port; 0 where there is none.
        health_port: The port for probes, without TLS; 0 where there is none.
        certificate: The SHA-256 of the certificate that both ports show; empty where they speak no TLS.
        config: The configuration file that was named at its start.
        demo: Whether the demo upstream was asked for at its start.
        owner: Who started it: a person or service manager in the foreground, `ccproxy start`, `ccproxy code`.
        log: The file that it logs to; None for standard error.
        ready: Whether both ports are bound.
    """

    pid: int
    started: str
    token: str
    version: str
    host: str
    port: int
    grpc_port: int
    health_port: int = 0
    certificate: str = ""
    config: str | None = None
    demo: bool = False
    owner: Owner = "foreground"
    log: str | None = None
    ready: bool = False

    @property
    def url(self) -> str:
        """Where this host reaches it over HTTP."""
        return f"{'https' if self.certificate else 'http'}://{reachable(self.host)}:{self.port}"

    @property
    def grpc(self) -> str:
        """`host:port` of gRPC, or nothing."""
        return f"{reachable(self.host)}:{self.grpc_port}" if self.grpc_port else ""

    @property
    def health(self) -> str:
        """`host:port` of the port for probes, or nothing."""
        return f"{reachable(self.host)}:{self.health_port}" if self.health_port else ""


class State(Struct, frozen=True):
    """The files of one service: those of `port` in the state directory `folder`."""

    folder: Path
    port: int

    def file(self, kind: Literal["lock", "starting", "users", "keep"]) -> Path:
        """One of the files above."""
        return self.folder / "run" / f"{self.port}.{kind}"

    @property
    def log(self) -> Path:
        """Where services in the background write to."""
        return self.folder / "ccproxy.log"


class AlreadyRunningError(Exception):
    """Another process is the service of this port."""

    def __init__(self, info: Info) -> None:
        self.info = info
        super().__init__(f"{info.host}:{info.port} is in use by CCProxy, process {info.pid}")


class NotProvenError(Exception):
    """The lock is held, and by whom cannot be told: nobody may be signalled."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} is held by a process that cannot be seen from here (of another container or host?)"
        )


def reachable(host: str) -> str:
    """The host of a URL by which this host reaches a service that binds `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


# Who holds the lock.


def started(pid: int) -> str | None:
    """When the process began, in the kernel's words; None where there is none, or only its exit code is left."""
    if sys.platform == "linux":
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        state, *fields = text.rpartition(")")[2].split()  # the name before may hold anything
        return None if state in "ZX" else fields[18]
    else:  # noqa: RET505  # mypy takes the rest for unreachable otherwise
        done = subprocess.run(  # noqa: S603  # a number
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, start = done.stdout.strip().partition(" ")
        return None if done.returncode or state.startswith("Z") else start.strip()


class Plan(Struct, frozen=True):
    """How a service was asked to be, in the words of `Info`."""

    host: str
    grpc_port: int
    version: str
    health_port: int = 0
    certificate: str = ""
    config: Path | None = None
    demo: bool = False
    owner: Owner = "foreground"
    log: str | None = None


def describe(state: State, plan: Plan) -> Info:
    """What this process says about itself before its ports are bound."""
    pid = os.getpid()
    return Info(
        pid=pid,
        started=started(pid) or "",
        token=secrets.token_hex(8),
        version=plan.version,
        host=plan.host,
        port=state.port,
        grpc_port=plan.grpc_port,
        health_port=plan.health_port,
        certificate=plan.certificate,
        config=None if plan.config is None else str(plan.config.absolute()),
        demo=plan.demo,
        owner=plan.owner,
        log=plan.log,
    )


class Held:
    """The lock, while this process is the service."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, info: Info) -> None:
        """Says who holds it. Readers may see half of it, and look again."""
        data = msgspec.json.encode(info)
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))


@contextmanager
def hold(state: State, info: Info) -> Iterator[Held]:
    """Makes this process the service of the port.

    Raises:
        AlreadyRunningError: Another one is.
        NotProvenError: Another one seems to be.
        OSError: The state directory cannot be written.
    """
    with opened(state.file("lock")) as descriptor:
        end = time.monotonic() + SETTLE_SECONDS
        while not lock(descriptor, fcntl.LOCK_EX):
            other = read(state)
            if other is not None:
                raise AlreadyRunningError(other)
            if time.monotonic() > end:
                raise NotProvenError(state.file("lock"))
            pause()
        held = Held(descriptor)
        held.write(info)
        yield held


def find(state: State) -> Info | None:
    """The running service of the port, or None.

    Raises:
        NotProvenError: The lock is held by who knows whom.
    """
    end = time.monotonic() + SETTLE_SECONDS
    while is_held(state):
        info = read(state)
        if info is not None:
            return info
        if time.monotonic() > end:
            raise NotProvenError(state.file("lock"))
        pause()
    return None


def find_all(folder: Path) -> list[Info]:
    """Every running service of a state directory that can be told."""
    ports = sorted(int(file.stem) for file in folder.glob("run/*.lock") if file.stem.isdigit())
    states = [State(folder, port) for port in ports]
    return [info for state in states if is_held(state) and (info := read(state)) is not None]


def read(state: State) -> Info | None:
    """What the lock file says, if it is true of a living process. Whether that holds the lock is not asked."""
    try:
        with state.file("lock").open("rb") as file:
            info = msgspec.json.decode(file.read(LOCK_BYTES), type=Info)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return info if info.started and started(info.pid) == info.started else None


def last(state: State) -> Info | None:
    """What the lock file says of the latest service, whether it lives or not."""
    try:
        return msgspec.json.decode(state.file("lock").read_bytes(), type=Info)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_held(state: State) -> bool:
    """Whether some process is the service of the port, or about to be."""
    try:
        descriptor = os.open(state.file("lock"), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


@contextmanager
def opened(file: Path) -> Iterator[int]:
    """A file to lock, made where it is not there; others than its owner see nothing of it."""
    file.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def lock(descriptor: int, kind: int) -> bool:
    """Takes a lock, or tells that somebody else has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def pause() -> None:
    """Lets others do something, where there is no event loop."""
    Event().wait(POLL_SECONDS)
