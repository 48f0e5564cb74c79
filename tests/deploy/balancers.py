"""The load balancers of `examples/balancers` as they run here: with the ports of this host's services in them."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from typing import NamedTuple

from e2e.service import HOST, free_ports
from e2e.tools import PROJECT, require

EXAMPLES = PROJECT / "examples" / "balancers"
START_SECONDS = 10.0

TCP = """
global
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option redispatch 1
  option httpchk
  http-check send meth GET uri /health ver HTTP/1.1 hdr host ccproxy
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 check
frontend http
  bind :3456
  default_backend http
backend http
  server one 10.0.0.11:3456
  server two 10.0.0.12:3456
frontend grpc
  bind :3457
  default_backend grpc
backend grpc
  server one 10.0.0.11:3457 port 3456 check-proto h1
  server two 10.0.0.12:3457 port 3456 check-proto h1
"""
"""As the Service of a cluster balances: connections, not requests."""


class Ports(NamedTuple):
    """Where something serves."""

    http: int
    grpc: int


def placed(text: str, own: Ports, servers: Sequence[Ports]) -> str:
    """A configuration with the addresses of this host in the place of its own."""
    for name, port in own._asdict().items():
        number = {"http": 3456, "grpc": 3457}[name]
        text = re.sub(rf"^(\s*(?:bind|listen)) :?{number}\b", rf"\1 {HOST}:{port}", text, flags=re.MULTILINE)
    for number, server in enumerate(servers, 11):
        address = f"10.0.0.{number}"
        lines = text.splitlines()
        for at, line in enumerate(lines):
            if address in line:
                moved = line.replace(f"{address}:3456", f"{HOST}:{server.http}")
                moved = moved.replace(f"{address}:3457", f"{HOST}:{server.grpc}")
                lines[at] = moved.replace("port 3456", f"port {server.http}")
        text = "\n".join(lines) + "\n"
    return text


@contextmanager
def haproxy(folder: Path, servers: Sequence[Ports], text: str = "") -> Iterator[Ports]:
    """HAProxy with the example's configuration, or another."""
    own = Ports(*free_ports(2))
    file = folder / "haproxy.cfg"
    file.write_text(placed(text or (EXAMPLES / "haproxy.cfg").read_text(), own, servers))
    with _running([require("haproxy"), "-db", "-f", str(file)], folder / "haproxy.log", own):
        yield own


class Nginx:
    """Nginx with the example's configuration, where it serves, and who gets no more gRPC calls."""

    def __init__(self, folder: Path, servers: Sequence[Ports]) -> None:
        self.ports = Ports(*free_ports(2))
        self.file = folder / "nginx.conf"
        self.pid = folder / "nginx.pid"
        self._servers = servers
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in kinds)  # so that it needs no root
        text = placed((EXAMPLES / "nginx.conf").read_text(), self.ports, servers)
        self._text = text.replace("http {\n", f"http {{\n{paths}", 1)
        self.file.write_text(self._text)

    def reload(self, down: Ports | None) -> None:
        """Takes a server's gRPC out, as an operator does, or none."""
        text = self._text
        if down is not None:
            text = re.sub(rf"(server {HOST}:{down.grpc} [^;]*);", r"\1 down;", text)
            assert text != self._text
        self.file.write_text(text)
        os.kill(int(self.pid.read_text()), signal.SIGHUP)


@contextmanager
def nginx(folder: Path, servers: Sequence[Ports]) -> Iterator[Nginx]:
    """Nginx with the example's configuration."""
    made = Nginx(folder, servers)
    options = f"daemon off; pid {made.pid}; error_log {folder}/nginx.errors warn;"
    command = [require("nginx"), "-p", str(folder), "-c", str(made.file), "-g", options]
    with _running(command, folder / "nginx.log", made.ports):
        yield made


@contextmanager
def _running(command: Sequence[str], log: Path, ports: Ports) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        end = time.monotonic() + START_SECONDS
        while not all(_listens(port) for port in ports):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    try:
        with create_connection((HOST, port), timeout=0.1):
            return True
    except OSError:
        return False
