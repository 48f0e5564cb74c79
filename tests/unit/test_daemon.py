"""Who is the service of a port: a held lock, and a process that is what the file says. No other is signalled."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from ccproxy import daemon

HOLD = """
import signal, sys
from pathlib import Path
from ccproxy import daemon
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
state = daemon.State(Path(sys.argv[1]), 4711)
info = daemon.describe(state, daemon.Plan("0.0.0.0", 4712, "1"))
with daemon.hold(state, info) as held:
    held.write(daemon.Info(**{name: getattr(info, name) for name in info.__struct_fields__} | {"ready": True}))
    print("held", flush=True)
    signal.pause()
"""

FAIL = "import sys; print('out of luck'); sys.exit(5)"


@pytest.fixture
def state(tmp_path: Path) -> daemon.State:
    """A port's files in a fresh folder."""
    return daemon.State(tmp_path / "state", 4711)


@pytest.fixture
def service(state: daemon.State) -> Iterator["subprocess.Popen[str]"]:
    """A process that is the service, as far as its files tell."""
    yield from holding(state)


@pytest.fixture
def deaf(state: daemon.State) -> Iterator["subprocess.Popen[str]"]:
    """One that does not end when it is asked to."""
    yield from holding(state, "deaf")


def holding(state: daemon.State, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Starts one, and waits until it has the lock."""
    command = [sys.executable, "-c", HOLD, str(state.folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def own(state: daemon.State, **changes: object) -> daemon.Info:
    """What this process would say of itself."""
    return structs.replace(daemon.describe(state, daemon.Plan("127.0.0.1", 0, "1")), **changes)


def paper(state: daemon.State, info: daemon.Info) -> Path:
    """A lock file that nobody holds."""
    file = state.file("lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(info))
    return file


# Who it is.


def test_the_holder_of_the_lock_is_found(state: daemon.State, service: "subprocess.Popen[str]"):
    """With everything that it says of itself."""
    info = daemon.find(state)

    assert info is not None
    assert (info.pid, info.port, info.ready) == (service.pid, 4711, True)
    assert (info.url, info.grpc) == ("http://127.0.0.1:4711", "127.0.0.1:4712")
    assert daemon.find_all(state.folder) == [info]


def test_without_a_file_there_is_no_service(state: daemon.State):
    """And none is made by looking."""
    assert daemon.find(state) is None
    assert daemon.find_all(state.folder) == []
    assert not state.folder.exists()


def test_a_file_without_a_lock_is_only_paper(state: daemon.State):
    """Whatever it says: this process lives."""
    info = own(state)
    paper(state, info)

    assert daemon.find(state) is None
    assert daemon.find_all(state.folder) == []
    assert daemon.last(state) == info


def test_a_killed_service_is_gone(state: daemon.State, service: "subprocess.Popen[str]"):
    """The kernel lets go of the lock; nothing has to be cleaned up."""
    service.kill()
    service.wait()

    assert daemon.find(state) is None
    with daemon.hold(state, own(state)):
        pass


@pytest.mark.parametrize("text", [b"", b"{", b'{"pid": 1}', b"\xff"])
def test_a_lock_that_says_nothing_is_held_by_nobody_known(state: daemon.State, text: bytes):
    """Half of a file for a moment is waited for; for longer it is a case for a person."""
    file = paper(state, own(state))
    file.write_bytes(text)
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(daemon.NotProvenError):
            daemon.find(state)


def test_a_number_with_another_start_is_another_process(state: daemon.State):
    """It was recycled."""
    file = paper(state, own(state, started="1"))
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(daemon.NotProvenError):
            daemon.find(state)


def test_there_is_one_service_for_a_port(state: daemon.State, service: "subprocess.Popen[str]"):
    """The second one is told who has it."""
    with pytest.raises(daemon.AlreadyRunningError, match=f"process {service.pid}"), daemon.hold(state, own(state)):
        pass


def test_who_looks_is_in_nobodys_way(state: daemon.State):
    """Looking takes a shared lock for a moment; a service that starts just then tries again."""
    file = paper(state, own(state, started="1"))
    with file.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(state.folder)], stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.3)  # noqa: TID251  # no loop here
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        child.kill()


def test_a_process_that_is_gone_has_no_start():
    """Not even where its exit code is still there for its parent."""
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert daemon.started(child.pid) is None

    assert daemon.started(child.pid) is None
    assert daemon.started(os.getpid())


@pytest.mark.parametrize(
    ("host", "seen"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("box", "box")],
)
def test_a_bound_address_is_reached_by_one(host: str, seen: str):
    """Nobody can connect to "any"."""
    assert daemon.reachable(host) == seen


# Its end.


def test_stop_ends_the_service(state: daemon.State, service: "subprocess.Popen[str]"):
    """By SIGTERM, and it is gone when that is said."""
    info = daemon.find(state)
    assert info is not None

    assert daemon.stop(state, info, 5)
    assert service.wait(5) == -signal.SIGTERM


def test_stop_works_where_the_kernel_has_no_handles(
    state: daemon.State, service: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
):
    """Old kernels, and sandboxes."""

    def missing(_: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", missing, raising=False)
    info = daemon.find(state)
    assert info is not None

    assert not daemon.stop(state, structs.replace(info, started="1"), 0.1)
    assert daemon.stop(state, info, 5)
    assert service.wait(5) == -signal.SIGTERM


def test_stop_gives_up_or_kills(state: daemon.State, deaf: "subprocess.Popen[str]"):
    """As it was asked."""
    info = daemon.find(state)
    assert info is not None

    assert not daemon.stop(state, info, 0.2)
    assert daemon.stop(state, info, 0.2, force=True)
    assert deaf.wait(5) == -signal.SIGKILL


def test_a_service_that_ends_is_not_asked_twice(state: daemon.State, service: "subprocess.Popen[str]"):
    """A second SIGTERM cuts running calls."""
    info = daemon.find(state)
    assert info is not None

    assert not daemon.stop(state, info, 0.2, ends=True)
    assert service.poll() is None


def test_stop_signals_no_process_with_another_start(state: daemon.State, service: "subprocess.Popen[str]"):
    """The proof is made again, with the process in hand."""
    info = daemon.find(state)
    assert info is not None

    assert not daemon.stop(state, structs.replace(info, started="1"), 0.2, force=True)
    assert service.poll() is None


def test_a_later_service_is_not_waited_for(state: daemon.State, service: "subprocess.Popen[str]"):
    """The one that was meant is gone; another start was quicker than this look."""
    info = daemon.find(state)
    assert info is not None

    assert daemon.stop(state, structs.replace(info, token="before", started="1"), 5)
    assert service.poll() is None


# Its start.


def started_by(state: daemon.State, code: str, seconds: float = 10.0) -> daemon.Start:
    """A start of some Python code."""
    command = [sys.executable, "-c", code, str(state.folder)]
    return daemon.Start(state, command, "start", seconds, lambda info: info.ready)


def test_a_start_is_new_once(state: daemon.State):
    """The second one finds the first."""
    info, new = daemon.start(started_by(state, HOLD))
    again, newer = daemon.start(started_by(state, HOLD))
    daemon.stop(state, info, 5)

    assert (new, newer, again) == (True, False, info)
    assert state.log.read_text() == "held\n"


def test_a_child_that_fails_is_told_with_its_code_and_its_lines(state: daemon.State):
    """Of this start, not of earlier ones."""
    state.folder.mkdir()
    state.log.write_text("old\n")

    with pytest.raises(daemon.StartError) as caught:
        daemon.start(started_by(state, FAIL))

    assert (caught.value.code, caught.value.lines) == (5, ["out of luck"])


def test_a_child_that_was_stopped_is_no_success(state: daemon.State):
    """It ended well, and does not serve."""
    with pytest.raises(daemon.StartError, match="stopped while it started") as caught:
        daemon.start(started_by(state, "pass"))

    assert caught.value.code == 1


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", HOLD])
def test_a_child_that_is_late_is_ended(state: daemon.State, code: str):
    """Whether it does not come up, or does not answer."""
    late = structs.replace(started_by(state, code, 1.0), answers=lambda _: False)

    with pytest.raises(daemon.StartError, match="did not answer within 1 s"):
        daemon.start(late)

    assert daemon.find(state) is None


def test_a_service_that_never_answers_is_told(state: daemon.State, service: "subprocess.Popen[str]"):
    """It has the lock; a second one could not start."""
    mute = structs.replace(started_by(state, HOLD, 0.2), answers=lambda _: False)

    with pytest.raises(daemon.StartError, match=f"process {service.pid} has the lock"):
        daemon.start(mute)


def test_one_starts_at_a_time(state: daemon.State):
    """The others wait, and then find it running."""
    file = state.file("starting")
    file.parent.mkdir(parents=True)
    with file.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(daemon.StartError, match="under way"):
            daemon.start(started_by(state, HOLD, 0.1))


def test_the_tail_of_a_log_is_short(tmp_path: Path):
    """It goes to a terminal."""
    log = tmp_path / "log"
    log.write_bytes(b"\xff\n" + b"line\n" * 10_000)

    assert daemon.tail(log) == ["line"] * 20
    assert daemon.tail(log, offset=2 + 5 * 9_999) == ["line"]


# Its users.


def code_start(state: daemon.State) -> daemon.Info:
    """A service that `ccproxy code` has started."""
    code = HOLD.replace('"1")', '"1", owner="code")')
    info, _ = daemon.start(structs.replace(started_by(state, code), owner="code"))
    return info


def test_the_last_user_ends_the_service(state: daemon.State):
    """Not the first who leaves."""
    with daemon.using(state, 5):
        with daemon.using(state, 5):
            info = code_start(state)
        while_used = daemon.find(state)

    assert while_used == info
    assert daemon.find(state) is None


def test_a_service_that_was_started_otherwise_stays(state: daemon.State, service: "subprocess.Popen[str]"):
    """Users do not end what they have not begun."""
    with daemon.using(state, 5):
        pass

    assert service.poll() is None


def test_a_service_that_is_kept_stays(state: daemon.State):
    """Somebody has said `start` since; the mark is for this service and no later one."""
    with daemon.using(state, 5):
        info = code_start(state)
        daemon.start(started_by(state, HOLD))
    kept = daemon.find(state)
    daemon.stop(state, info, 5)
    with daemon.using(state, 5):
        code_start(state)

    assert kept == info
    assert daemon.find(state) is None
