"""Starting and ending a service in the background, for one who asks or for as long as it is used.

Source: pidfd_send_signal(2).
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from msgspec import Struct

from ccproxy.daemon.lock import Info, Owner, State, find, is_held, lock, opened, pause, read, started

CHILD_END_SECONDS = 5.0  # for a child that came up too late, before it is killed
KILL_SECONDS = 5.0  # until the kernel has taken down a process that it was told to kill
STOPPED = (0, -signal.SIGTERM, -signal.SIGINT)  # how a service ends that was asked to, early or late
TAIL_LINES = 20
TAIL_BYTES = 16_384


class StartError(Exception):
    """The service did not come up. `code` is the child's exit code, `lines` the last that it wrote."""

    def __init__(self, reason: str, code: int = 1, lines: Sequence[str] = ()) -> None:
        self.code = code
        self.lines = lines
        super().__init__(reason)


# Its end.


def stop(state: State, info: Info, seconds: float, *, force: bool = False, ends: bool = False) -> bool:
    """Ends the service `info` and waits for that; whether it is gone.

    Args:
        state: Its files.
        info: Who it is.
        seconds: How long it may take.
        force: Whether it is killed after that.
        ends: Whether it ends already. To ask it again would cut its running calls; that is for `force`.

    Raises:
        PermissionError: It belongs to another user.
    """
    if force or not ends:
        _send(info, signal.SIGTERM)
    if _gone(state, info, seconds):
        return True
    if not force:
        return False
    _send(info, signal.SIGKILL)
    return _gone(state, info, KILL_SECONDS)


def reload(info: Info) -> None:
    """Has the service `info`, which is ready, load its configuration again.

    Raises:
        PermissionError: It belongs to another user.
    """
    _send(info, signal.SIGHUP)


def _send(info: Info, number: signal.Signals) -> None:
    """Signals the process that `info` means, and no other that has its number by now."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "linux":
            try:
                handle = os.pidfd_open(info.pid)  # it stays this process, whatever becomes of the number
            except ProcessLookupError:
                return
            except OSError:  # before Linux 5.3, or a sandbox has none: then as elsewhere
                pass
            else:
                try:
                    if started(info.pid) == info.started:
                        signal.pidfd_send_signal(handle, number)
                finally:
                    os.close(handle)
                return
        if started(info.pid) == info.started:
            os.kill(info.pid, number)


def _gone(state: State, info: Info, seconds: float) -> bool:
    """Whether the lock is free, or another service's, within `seconds`."""
    end = time.monotonic() + seconds
    while is_held(state):
        now = read(state)
        if now is not None and now.token != info.token:
            return True
        if time.monotonic() > end:
            return False
        pause()
    return True


# Its start.


class Start(Struct, frozen=True):
    """How a service is started in the background.

    Attributes:
        state: Whose it is.
        command: What to run.
        owner: Who asks for it.
        seconds: How long it may take.
        answers: Whether a service answers where it says that it does.
    """

    state: State
    command: Sequence[str]
    owner: Owner
    seconds: float
    answers: Callable[[Info], bool]


def start(asked: Start) -> tuple[Info, bool]:
    """Starts the service, unless it runs: what it is, and whether it is new. It answers when this returns.

    Raises:
        StartError: It ended, or did not answer in time. No child is left then.
        NotProvenError: The lock is held by who knows whom.
        OSError: The state directory cannot be written.
    """
    end = time.monotonic() + asked.seconds
    with _alone(asked.state, end):
        running = _running(asked, end)
        if running is not None:
            if asked.owner == "start":
                keep(asked.state, running)
            return running, False
        return _spawned(asked, end), True


def keep(state: State, info: Info) -> None:
    """Lets a service stay that `ccproxy code` started: somebody else has asked for it since."""
    if info.owner == "code":
        state.file("keep").write_text(info.token)


@contextmanager
def _alone(state: State, end: float) -> Iterator[None]:
    """Lets one start at a time."""
    with opened(state.file("starting")) as descriptor:
        while not lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > end:
                raise StartError("another start or stop is still under way")
            pause()
        yield


def _running(asked: Start, end: float) -> Info | None:
    """The service, if one runs already; one that is about to end or to serve is waited for."""
    while (info := find(asked.state)) is not None:
        if info.ready and asked.answers(info):
            return info
        if time.monotonic() > end:
            raise StartError(f"process {info.pid} has the lock, but does not answer on {info.url}")
        pause()
    return None


def _spawned(asked: Start, end: float) -> Info:
    log = asked.state.log
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        offset = output.seek(0, os.SEEK_END)
        with _born(asked.command, output) as child:
            info = _until_it_answers(asked, child, offset, end)
    child.returncode = 0  # it lives on, on purpose; nobody here waits for it
    return info


@contextmanager
def _born(command: Sequence[str], output: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """A child in a session of its own; whatever is raised inside ends it, an impatient ^C included."""
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))  # none while it is born
    try:
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            signal.signal(signal.SIGINT, before)
            if interrupts:
                signal.raise_signal(signal.SIGINT)
            yield child
        except BaseException:
            child.terminate()
            try:
                child.wait(CHILD_END_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            raise
    finally:
        signal.signal(signal.SIGINT, before)


def _until_it_answers(asked: Start, child: "subprocess.Popen[bytes]", offset: int, end: float) -> Info:
    while True:
        code = child.poll()
        if code is not None:
            lines = tail(asked.state.log, offset)
            if code in STOPPED:
                raise StartError("the service was stopped while it started", lines=lines)
            raise StartError("the service did not start", 128 - code if code < 0 else code, lines)
        info = read(asked.state)
        if info is not None and info.pid == child.pid and info.ready and asked.answers(info):
            return info
        if time.monotonic() > end:
            lines = tail(asked.state.log, offset)
            raise StartError(f"the service did not answer within {asked.seconds:g} s", lines=lines)
        pause()


def tail(log: Path, offset: int = 0, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of a log, from `offset` on."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(offset, size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-lines:]


# Its users.


@contextmanager
def using(state: State, seconds: float) -> Iterator[None]:
    """Uses the service that `ccproxy code` starts; the last user who leaves ends it.

    Users are counted by shared locks, which no crash can leave behind.
    """
    with opened(state.file("users")) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while the last user before ends the service
        try:
            yield
        finally:
            if lock(descriptor, fcntl.LOCK_EX):
                _leave(state, seconds)


def _leave(state: State, seconds: float) -> None:
    with _alone(state, time.monotonic() + seconds):
        info = find(state)
        if info is not None and info.owner == "code" and not _is_kept(state, info):
            stop(state, info, seconds)


def _is_kept(state: State, info: Info) -> bool:
    try:
        return state.file("keep").read_text() == info.token
    except FileNotFoundError:
        return False
