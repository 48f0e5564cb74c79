"""The command line as a process, in a home of its own; nothing that it started is left when a test ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import msgspec
from e2e.service import HOST, free_ports
from e2e.tools import clean_environment

from ccproxy import daemon

COMMAND = str(Path(sys.executable).with_name("ccproxy"))
SECONDS = 60.0

Done = subprocess.CompletedProcess[str]


class Cli:
    """`ccproxy` for a user whose home is `home`, with ports that nobody else has."""

    def __init__(self, home: Path, **settings: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.state = home / ".ccproxy"
        self.port, self.grpc_port = free_ports(2)
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Writes the configuration anew."""
        self.state.mkdir(mode=0o700, exist_ok=True)
        ports = {"host": HOST, "port": self.port, "grpc_port": self.grpc_port}
        (self.state / "config.json").write_bytes(msgspec.json.encode({**ports, **settings}))

    @property
    def url(self) -> str:
        """Where the service is."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Where the service in the background writes to."""
        return self.state / "ccproxy.log"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What a command of this user has in its environment."""
        coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        return {**clean_environment(self.home), **coverage, **(more or {})}

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, text: str = "") -> Done:
        """Runs a command to its end. None may ever show a traceback."""
        done = subprocess.run(
            [COMMAND, *arguments],
            env=self.environment(env),
            cwd=self.home,
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def begin(self, *arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Starts a command, in a process group of its own."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            env=self.environment(env),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def answers(self) -> bool:
        """Whether the service is there."""
        try:
            return httpx.get(self.url, trust_env=False, timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def info(self) -> daemon.Info | None:
        """What the running service says about itself."""
        return daemon.find(daemon.State(self.state, self.port))

    def processes(self) -> list[int]:
        """Every living process of this user: those with this home in their environment."""
        mine = f"HOME={self.home}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                theirs = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mine in theirs and daemon.started(int(folder.name)) is not None:
                found.append(int(folder.name))
        return found

    def end(self) -> None:
        """Ends what is still there, each by its number."""
        pids = set(self.processes()) | {info.pid for info in daemon.find_all(self.state)}
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        until(lambda: not any(daemon.started(pid) for pid in pids))


def until(holds: Any, seconds: float = 20.0) -> None:
    """Waits until something holds, and fails where it never does."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"it did not hold within {seconds:g} s"
        Event().wait(0.02)
