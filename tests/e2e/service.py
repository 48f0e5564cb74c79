"""The real thing: `ccproxy start` as a process of its own, started, asked and ended like an operator's."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import msgspec
from e2e.tools import clean_environment

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 40.0  # more than the grace that running calls get
POLL_SECONDS = 0.05


class Service:
    """A running process.

    Attributes:
        url: Where it serves HTTP.
        grpc: `host:port` of gRPC.
        process: The process itself.
        log: The file that holds what it wrote.
    """

    def __init__(self, url: str, grpc: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self.grpc = grpc
        self.process = process
        self.log = log

    @property
    def port(self) -> int:
        """The HTTP port."""
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> httpx.Response:
        """Asks over HTTP, without a key."""
        return httpx.get(self.url + path, trust_env=False, timeout=10)

    def counts(self) -> tuple[int, int]:
        """How many calls it has answered: successes, failures."""
        requests = self.get("/health").json()["performance"]["requests"]
        return requests["success"], requests["failed"]

    def served_by(self, provider: str, route: str | None = None) -> int:
        """How many calls `provider` has answered well, over one route or all."""
        total = 0.0
        for line in self.get("/metrics").text.splitlines():
            found = re.fullmatch(r"ccproxy_requests_total\{(.*)\} (\S+)", line)
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1])) if found else {}
            right = labels.get("provider") == provider and labels.get("outcome") == "success"
            if found and right and route in {None, labels.get("route")}:
                total += float(found[2])
        return int(total)

    def end(self) -> int:
        """Asks it to end, as service managers do, and tells its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running(
    folder: Path, ports: tuple[int, int] | None = None, host: str = HOST, **settings: Any
) -> Iterator[Service]:
    """Starts `ccproxy` in `folder` with these settings, and proves at the end that it goes well.

    Its ports, for HTTP and gRPC, are `ports` or any two.
    """
    port, grpc_port = ports or free_ports(2)
    config = folder / "config.json"
    config.write_bytes(msgspec.json.encode({"host": host, "port": port, "grpc_port": grpc_port, **settings}))
    log = folder / "ccproxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ccproxy", "start", "--foreground", "--config", str(config)],
            cwd=folder,
            env=clean_environment(folder) | _coverage(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    service = Service(f"http://{host}:{port}", f"{host}:{grpc_port}", process, log)
    try:
        _wait_until_it_answers(service)
        yield service
        code = service.end() if process.poll() is None else process.returncode
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    written = log.read_text()
    assert code == 0, written
    assert not re.search(r" ERROR | CRITICAL |\"level\":\"(error|critical)\"|Traceback", written), written


def _coverage() -> dict[str, str]:
    """What makes a child process take part in the measurement of coverage, where there is one."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def _wait_until_it_answers(service: Service) -> None:
    ended = Event()
    for _ in range(int(START_SECONDS / POLL_SECONDS)):
        if service.process.poll() is not None:
            break
        try:
            if service.get("/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            ended.wait(POLL_SECONDS)
    raise AssertionError(f"the service does not answer:\n{service.log.read_text()}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
