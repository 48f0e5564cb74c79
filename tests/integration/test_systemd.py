"""What systemd hears from the process that it started: a real socket, a real process."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from integration.process import Process, process

DEMO = {"demo": True}
WATCHED = {"WATCHDOG_USEC": "400000"}  # a beat every 0.2 s
SECONDS = 10.0


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(SECONDS)
        self.environ = {"NOTIFY_SOCKET": address}

    def heard(self) -> dict[str, str]:
        """The next message."""
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def next(self) -> dict[str, str]:
        """The next message that is no beat of the watchdog."""
        while (message := self.heard()) == {"WATCHDOG": "1"}:
            pass
        return message

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(SECONDS)
        return False

    def close(self) -> None:
        """Listens no more."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """One on each kind of address."""
    manager = Manager(f"@ccproxy-test-{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield manager
    manager.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """One on a path."""
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


def end(service: Process) -> int:
    """Ends it."""
    service.terminate()
    return service.exit_code()


def test_it_says_ready_when_it_is_and_stopping_when_it_stops(anywhere: Manager, tmp_path: Path):
    """`systemctl start` returns, and what depends on it starts, at READY=1: not a moment before it serves."""
    with process(tmp_path / "home", {**DEMO, "shutdown_timeout": 5}, anywhere.environ) as service:
        ready = anywhere.heard()
        answer = httpx.get(f"{service.url}/health", trust_env=False)
        service.terminate()
        stopping = anywhere.heard()
        code = service.exit_code()

    assert answer.status_code == 200
    assert ready == {
        "READY": "1",
        "STATUS": f"Serves http://127.0.0.1:{service.http_port}, gRPC on 127.0.0.1:{service.grpc_port}"
        "; the demo upstream answers",
    }
    assert stopping == {
        "STOPPING": "1",
        "EXTEND_TIMEOUT_USEC": "15000000",
        "STATUS": "Ending; 0 calls run, and get 5 s",
    }
    assert code == 0
    assert anywhere.is_silent(0.2)


def test_without_a_manager_nothing_is_said(manager: Manager, tmp_path: Path):
    """Most processes are started by nobody who listens."""
    with process(tmp_path / "home", DEMO, WATCHED) as service:
        service.until_ready()
        assert end(service) == 0
    assert manager.is_silent(0.2)


def test_a_socket_that_is_gone_is_no_obstacle(tmp_path: Path):
    """systemd restarts, too; and a variable may be left over from somewhere."""
    for address in (str(tmp_path / "nobody"), "vsock:2:1234", "nonsense"):
        with process(tmp_path / "home", DEMO, {"NOTIFY_SOCKET": address, **WATCHED}) as service:
            service.until_ready()
            assert end(service) == 0
            assert "Traceback" not in service.stderr


def test_a_reload_is_told_from_its_beginning_to_its_end(manager: Manager, tmp_path: Path):
    """`Type=notify-reload` waits for both, and takes a RELOADING=1 from before its signal for an earlier one."""
    with process(tmp_path / "home", DEMO, manager.environ) as service:
        manager.heard()
        asked = time.monotonic_ns() // 1000
        service.popen.send_signal(signal.SIGHUP)
        reloading, ready = manager.heard(), manager.heard()
        service.file.write_text("{")
        service.popen.send_signal(signal.SIGHUP)
        manager.heard()
        refused = manager.heard()
        end(service)

    assert reloading["RELOADING"] == "1"
    assert asked <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert (ready["READY"], "loaded again" in ready["STATUS"]) == ("1", False)
    assert (refused["READY"], refused["STATUS"].endswith("; the configuration was not loaded again")) == (
        "1",
        True,
    )


def test_the_watchdog_hears_of_the_loop_twice_in_its_time(manager: Manager, tmp_path: Path):
    """Once would be too late when the machine is busy for a moment."""
    with process(tmp_path / "home", DEMO, {**manager.environ, **WATCHED}) as service:
        assert "READY" in manager.heard()
        begun = time.monotonic()
        beats = [manager.heard() for _ in range(6)]
        took = time.monotonic() - begun
        end(service)

    assert beats == [{"WATCHDOG": "1"}] * 6
    assert 0.9 < took < 2.0  # five pauses of 0.2 s


def test_a_loop_that_stands_still_is_silent_and_one_that_goes_on_is_not(manager: Manager, tmp_path: Path):
    """A process is alive, and serves nobody: that is what a watchdog is for. Here it is stopped as a whole."""
    with process(tmp_path / "home", DEMO, {**manager.environ, **WATCHED}) as service:
        manager.heard()
        manager.heard()
        service.popen.send_signal(signal.SIGSTOP)
        while not manager.is_silent(0.1):  # what was sent before
            pass
        silent = manager.is_silent(0.8)
        service.popen.send_signal(signal.SIGCONT)
        heard = manager.heard()
        end(service)

    assert silent
    assert heard == {"WATCHDOG": "1"}


def test_a_blocked_loop_beats_no_more(manager: Manager, tmp_path: Path):
    """The beat comes from the loop itself: a thread that went on beating would hide that it hangs."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(BLOCKS)
    environ: dict[str, Any] = {**manager.environ, **WATCHED, "PYTHONPATH": f"{hook}:{_path()}"}
    with process(tmp_path / "home", DEMO, environ) as service:
        manager.heard()
        manager.heard()
        service.popen.send_signal(signal.SIGUSR1)
        while not manager.is_silent(0.15):
            pass
        assert manager.is_silent(1.0)
        assert service.popen.poll() is None


def test_the_watchdog_of_another_process_is_not_ours(manager: Manager, tmp_path: Path):
    """A wrapper that is watched itself may have left its variables in the environment."""
    with process(tmp_path / "home", DEMO, {**manager.environ, **WATCHED, "WATCHDOG_PID": "1"}) as service:
        assert "READY" in manager.heard()
        assert manager.is_silent(0.6)
        end(service)


def test_what_it_starts_cannot_speak_for_it(manager: Manager, tmp_path: Path):
    """A child with NOTIFY_SOCKET could tell systemd that it, or another one, is the main process."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(SHOWS)
    environ = {**manager.environ, **WATCHED, "SHOWN": str(tmp_path), "PYTHONPATH": f"{hook}:{_path()}"}
    with process(tmp_path / "home", DEMO, environ) as service:
        manager.heard()
        service.popen.send_signal(signal.SIGUSR1)
        shown = tmp_path / "shown"
        service.until_said("shown")
        end(service)

    assert "HOME=" in shown.read_text()
    assert not re.search(r"NOTIFY_SOCKET|WATCHDOG_", shown.read_text())


BLOCKS = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(30))
"""

SHOWS = """
import os, signal, subprocess, sys
def show(*_):
    with open(os.environ["SHOWN"] + "/shown", "wb") as file:
        subprocess.run(["env"], stdout=file, check=True)
    print("shown", file=sys.stderr)
signal.signal(signal.SIGUSR1, show)
"""


def _path() -> str:
    project = Path(__file__).resolve().parents[2]
    return f"{project}:{project / 'generated'}"
