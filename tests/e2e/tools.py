"""The client programs that these tests run, and how they are run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / ".tools"
MODULES = TOOLS / "node_modules"
TREE = os.pathsep.join([str(PROJECT), str(PROJECT / "generated")])
PLACES = (TOOLS / "bin", MODULES / ".bin", Path(sys.executable).parent)

REQUIRE = "CCPROXY_REQUIRE_TOOLS"
"""With this variable at 1, a missing tool is a failure: CI must not skip what it is there to prove."""


def require(tool: str) -> str:
    """The path of `tool`: the pinned one, else one in PATH. Without any, the test is skipped."""
    path = os.pathsep.join([*map(str, PLACES), os.environ.get("PATH", "")])
    found = shutil.which(tool, path=path)
    if found is None:
        missing(f"{tool} is not installed: run tests/e2e/install-tools.sh")
    return found


def require_module(name: str) -> Path:
    """The folder of a Node package; only the pinned one will do."""
    folder = MODULES / name
    if not folder.is_dir():
        missing(f"{name} is not installed: run tests/e2e/install-tools.sh")
    return folder


def missing(reason: str) -> None:
    """Skips the test for want of a tool; fails it where all are required."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path = PROJECT, seconds: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, with no input. Its exit code is the test's to judge."""
    return subprocess.run(
        command,
        env=dict(clean_environment(TOOLS) if env is None else env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def clean_environment(home: Path) -> dict[str, str]:
    """An environment with nobody's keys, settings or HTTP proxies in it, where `ccproxy` is this tree's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": TREE}
