"""The page about security: its commands run in order, and do what the page says."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import msgspec
import pytest
from integration.process import PROJECT, Process, process

PAGE = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
MAKE, HASH, TRY, ROTATE = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
CONFIG = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]

Shell = Callable[[str], list[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs commands of the page in a home of their own, with this Python; the lines that they print."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)

    def run(commands: str) -> list[str]:
        return subprocess.run(
            ["sh", "-ec", commands],
            env={"HOME": str(tmp_path), "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.splitlines()

    return run


@pytest.fixture
def keys(shell: Shell, tmp_path: Path) -> Path:
    """The folder of the keys that the page makes."""
    shell(MAKE)
    return tmp_path / ".ccproxy"


@pytest.fixture
def service(keys: Path, tmp_path: Path) -> Iterator[Process]:
    """A service with the page's configuration; on this host alone, because a test serves nobody else."""
    assert keys.is_dir()
    with process(tmp_path, {**msgspec.json.decode(CONFIG), "host": "127.0.0.1", "demo": True}) as started:
        started.until_ready()
        yield started


def test_a_key_is_made_for_its_owner_alone(keys: Path):
    """32 random bytes, in a file that nobody else can read."""
    assert [len((keys / name).read_text().strip()) for name in ("team.key", "grafana.key")] == [43, 43]
    assert {file.stat().st_mode & 0o777 for file in keys.iterdir()} == {0o600}


def test_the_hash_is_that_of_the_key(shell: Shell, keys: Path):
    """Without the line's end, which is no part of it."""
    assert shell(HASH) == [sha256((keys / "team.key").read_bytes().strip()).hexdigest()]


def test_the_configuration_of_the_page_is_one(service: Process, keys: Path):
    """With the team's key, messages; with none, not even on this host."""
    key = (keys / "team.key").read_text().strip()
    headers = {"x-api-key": key}
    seen = [httpx.get(f"{service.url}/v1/models", headers=each).status_code for each in (headers, {})]

    assert seen == [200, 401]


def test_a_monitor_gets_what_the_page_says(service: Process, shell: Shell):
    """The two numbers under the commands."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    printed = shell(TRY.replace("localhost:3456", f"localhost:{service.http_port}"))

    assert printed == ["200", "403"]
    assert f"These print {' and '.join(printed)}." in PAGE


def test_a_rotated_key_counts_without_a_restart(service: Process, shell: Shell, keys: Path):
    """And the old one no longer does."""
    old = (keys / "team.key").read_text().strip()
    shell(ROTATE)
    new = (keys / "team.key").read_text().strip()
    end = time.monotonic() + 5
    while status(service, new) != httpx.codes.OK and time.monotonic() < end:
        service.pause()

    assert old != new
    assert (status(service, new), status(service, old)) == (200, 401)
    assert old not in service.stderr
    assert new not in service.stderr


def status(service: Process, key: str) -> int:
    """How a key is received."""
    return httpx.get(f"{service.url}/v1/models", headers={"x-api-key": key}).status_code
