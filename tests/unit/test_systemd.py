"""What the environment says of systemd; what it hears is in tests/integration."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from ccproxy.systemd import Systemd


def test_what_the_environment_says_is_taken_out_of_it():
    """A process that is started from here must not speak for this one."""
    environ = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1", "HOME": "/x"}
    Systemd.taken_from(environ)
    assert environ == {"HOME": "/x"}


@pytest.mark.parametrize(
    ("usec", "pid", "beats"),
    [
        ("20000", "", True),
        ("20000", str(os.getpid()), True),
        ("20000", "1", False),
        ("soon", "", False),
        ("", "", False),
    ],
)
async def test_the_watchdog_is_for_the_process_that_it_names(tmp_path: Path, usec: str, pid: str, beats: bool):  # noqa: FBT001
    """A wrapper's variables are left over in the environment of what it starts; a broken one is none."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.setblocking(False)  # noqa: FBT003
        systemd = Systemd.taken_from({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
        with systemd.watching():
            await asyncio.sleep(0.1)
        heard = _all(manager)
        await asyncio.sleep(0.05)

        assert set(heard) == ({b"WATCHDOG=1"} if beats else set())
        assert _all(manager) == []  # none after the context


def test_a_load_that_is_cut_off_by_the_end_says_ready_no_more(tmp_path: Path):
    """READY=1 after STOPPING=1 would be a lie."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.setblocking(False)  # noqa: FBT003
        systemd = Systemd(address)
        systemd.ready(lambda: "Serves")
        with systemd.reloading():
            systemd.stopping(2, 30.0)

        first = [message.split(b"\n")[0] for message in _all(manager)]
    assert first == [b"READY=1", b"RELOADING=1", b"STOPPING=1"]


def _all(manager: socket.socket) -> list[bytes]:
    """Every message that has come."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096))
        except BlockingIOError:
            return messages
