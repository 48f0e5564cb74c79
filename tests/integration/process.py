"""A service as a process of its own, with a home and ports of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

READY_SECONDS = 10.0
SAID_SECONDS = 5.0
PROJECT = Path(__file__).resolve().parents[2]


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Process:
    """`python -m ccproxy start --foreground --config FILE`; `started` is in `time.monotonic` seconds."""

    def __init__(self, home: Path, config: Mapping[str, Any] | str, environ: Mapping[str, str]) -> None:
        self.http_port, self.grpc_port = free_ports(2)
        home.mkdir(exist_ok=True)
        self.file = home / "ccproxy.json"
        self.file.write_text(self.text(config))
        self._log = home / "stderr"
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"PATH", "LANG", "PYTHONPATH", "COVERAGE_PROCESS_START"}
        }
        with self._log.open("wb") as log:
            self.started = time.monotonic()
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "ccproxy", "start", "--foreground", "--config", str(self.file)],
                env={**kept, "HOME": str(home), **environ},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def text(self, config: Mapping[str, Any] | str) -> str:
        """A configuration as it stands in the file, with the ports of this process."""
        ports = {"port": self.http_port, "grpc_port": self.grpc_port}
        return config if isinstance(config, str) else msgspec.json.encode({**ports, **config}).decode()

    @property
    def url(self) -> str:
        """Where HTTP is."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    def until_said(self, text: str) -> None:
        """Waits for words in its log, which is written behind its work."""
        end = time.monotonic() + SAID_SECONDS
        while text not in self.stderr:
            assert time.monotonic() < end, f"{text!r} was not said: {self.stderr}"
            self.pause()

    def until_ready(self, path: str = "/health") -> float:
        """Waits until `path` is answered with 200; the seconds that took."""
        end = self.started + READY_SECONDS
        while time.monotonic() < end and self.popen.poll() is None:
            try:
                if httpx.get(self.url + path, timeout=1).status_code == httpx.codes.OK:
                    return time.monotonic() - self.started
            except httpx.TransportError:
                pass
            self.pause()
        raise AssertionError(f"not ready within {READY_SECONDS} s: {self.stderr}")

    def terminate(self) -> float:
        """Asks it to end; when it was asked, in `time.monotonic` seconds."""
        self.popen.send_signal(signal.SIGTERM)
        return time.monotonic()

    def exit_code(self, seconds: float = 20.0) -> int:
        """Waits for its end."""
        return self.popen.wait(seconds)

    def pause(self) -> None:
        """Lets it do something, in a place where there is no event loop."""
        time.sleep(0.02)  # noqa: TID251


@contextmanager
def process(
    home: Path, config: Mapping[str, Any] | str, environ: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A process that is gone when the context ends, whatever happened in it."""
    started = Process(home, config, environ or {})
    try:
        yield started
    finally:
        if started.popen.poll() is None:
            started.popen.kill()
        started.popen.wait(10)
