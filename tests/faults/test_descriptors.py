"""A process that may open no more files: it serves those who are in, says little, and recovers at once."""

import asyncio
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from integration.process import Process, process

FILES = 80
MOST_LINES = 10  # a second


@contextmanager
def crowd(ports: tuple[int, ...], count: int) -> Iterator[None]:
    """So many connections to each port, of which many are never accepted."""
    with ExitStack() as stack:
        for port in ports:
            for _ in range(count):
                client = stack.enter_context(socket.socket())
                client.settimeout(0.5)
                try:
                    client.connect(("127.0.0.1", port))
                except OSError:
                    break
        yield


def opened(service: Process) -> int:
    """How many files it has open."""
    return len(list(Path(f"/proc/{service.popen.pid}/fd").iterdir()))


async def until_served(service: Process) -> float:
    """The seconds until a new connection is served."""
    started = time.monotonic()
    async with asyncio.timeout(10):
        while True:
            try:
                async with httpx.AsyncClient(base_url=service.url, timeout=1) as http:
                    await http.get("/")
            except httpx.TransportError:
                await asyncio.sleep(0.01)
            else:
                return time.monotonic() - started


@pytest.mark.skipif(sys.platform != "linux", reason="nowhere else can the limit of another process be set")
async def test_a_process_without_files_recovers_at_once(tmp_path: Path):
    """Who was in is served all the time; the log is not flooded; nothing is left behind."""
    with process(tmp_path / "home", {"demo": True}) as service:
        await asyncio.to_thread(service.until_ready)
        resource.prlimit(service.popen.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        async with httpx.AsyncClient(base_url=service.url, timeout=5) as inside:
            await inside.get("/")
            before = opened(service)
            said = len(service.stderr.splitlines())
            started = time.monotonic()
            with crowd((service.http_port, service.grpc_port), 2 * FILES):
                await asyncio.sleep(2)
                assert opened(service) > FILES - 5
                assert (await inside.get("/health")).status_code == 200
                lines = len(service.stderr.splitlines()) - said
                seconds = time.monotonic() - started
            recovered = await until_served(service)
            await asyncio.sleep(1)
            after = opened(service)
        service.terminate()
        code = await asyncio.to_thread(service.exit_code)
    print(f"served again after {recovered:.2f} s, {lines} lines")  # noqa: T201  # a figure, for `pytest -rP`

    assert recovered <= 1
    assert lines <= MOST_LINES * seconds
    assert after <= before + 2
    assert code == 0
