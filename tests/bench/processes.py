"""The processes under measurement: started, found ready, read from /proc, and ended."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import clock_gettime, perf_counter
from typing import Self

import msgspec

HERE = Path(__file__).parent
START_SECONDS = 30.0
POLL_SECONDS = 0.005
KEY = "bench-key"

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CCPROXY_")}
"""Without the operator's own settings, which would win over the benchmark's."""

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_max_body_size 32m;
  client_body_buffer_size 256k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


class BrokenError(Exception):
    """Something did not work as it must; the benchmark has no result."""


class Child:
    """A process of the benchmark, with its children. `started` is how many seconds it took to serve."""

    def __init__(self, command: list[str], log: Path, port: int, path: str | None = None) -> None:
        self._log = log
        self._output = log.open("ab")
        self.port = port
        before = perf_counter()
        self._process = subprocess.Popen(command, stdout=self._output, stderr=self._output, env=ENVIRONMENT)
        while not _serves(port, path):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)
            if self._process.returncode is not None or perf_counter() - before > START_SECONDS:
                self.stop()
                raise BrokenError(f"{command} does not serve:\n{log.read_text()[-2000:]}")
        self.started = perf_counter() - before

    def stop(self) -> None:
        """Ends it: politely, then not."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cpu(self) -> float:
        """Seconds of user and system time of the process tree so far: /proc's utime + stime, but not in ticks."""
        return sum(clock_gettime(_cpu_clock(pid)) for pid in self._tree())

    def rss(self) -> float:
        """Resident MiB of the process tree."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._tree())
        return sum(pages) * os.sysconf("SC_PAGESIZE") / (1 << 20)

    def files(self) -> int:
        """Open files of the process tree, sockets among them."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._tree())

    def _tree(self) -> list[int]:
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
        tree = [self._process.pid]
        for pid in tree:
            tree += children.get(pid, [])
        return tree


def _cpu_clock(pid: int) -> int:
    """The clock of all CPU time of a process, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _serves(port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def upstream(folder: Path) -> Child:
    """The cheap upstream."""
    port = free_port()
    return Child([sys.executable, str(HERE / "upstream.py"), str(port)], folder / "upstream.log", port)


def nginx_binary() -> str | None:
    """Where nginx is; Debian keeps it off the path of ordinary users."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def nginx(folder: Path, upstream_port: int) -> Child:
    """The floor: nginx that passes to the upstream."""
    binary = nginx_binary()
    if binary is None:
        raise BrokenError("nginx is not installed")
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, port=port, upstream=upstream_port))
    return Child(
        [binary, "-c", str(file), "-p", str(folder), "-e", str(folder / "nginx.log")], folder / "nginx.log", port
    )


def ccproxy(folder: Path, upstream_port: int) -> tuple[Child, int]:
    """CCProxy as its users start it, with a key; and its gRPC port."""
    port, grpc_port = free_port(), free_port()
    address = f"http://127.0.0.1:{upstream_port}"
    config = {
        "host": "127.0.0.1",
        "port": port,
        "grpc_port": grpc_port,
        "apikey": KEY,
        "providers": [
            {"name": "anthropic", "api_base_url": address, "api_key": "x"},
            {"name": "openai", "api_base_url": f"{address}/v1", "api_key": "x"},
        ],
        "routes": {"default": {"provider": "anthropic"}},
    }
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    command = [sys.executable, "-m", "ccproxy", "start", "--foreground", "--config", str(file)]
    return Child(command, folder / "ccproxy.log", port, "/health"), grpc_port


@contextmanager
def echo(folder: Path, answers: dict[str, list[bytes]]) -> Iterator[Child]:
    """The floor of gRPC, answering with these bytes."""
    port = free_port()
    file = folder / "answers.msgpack"
    file.write_bytes(msgspec.msgpack.encode(answers))
    with Child([sys.executable, str(HERE / "echo.py"), str(port), str(file)], folder / "echo.log", port) as child:
        yield child


def free_port() -> int:
    """A port of this host that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
