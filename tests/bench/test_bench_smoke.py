"""The benchmark itself works: every row is measured and every answer is right. No time is judged here."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

RUN = Path(__file__).parent / "run.py"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])  # Debian keeps nginx off the path of users
SECONDS = 100
DIALECTS = ("Chat", "Responses", "Gemini", "DeepSeek", "OpenRouter", "relay")


@pytest.fixture
def tools() -> None:
    """Skips where the floor or the load cannot run; in CI that is a failure."""
    missing = [tool for tool in ("nginx", "h2load") if which(tool, path=PATH) is None]
    if missing and os.environ.get("CCPROXY_REQUIRE_TOOLS") == "1":
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.mark.usefixtures("tools")
def test_a_quick_run_measures_every_row():
    """A row that is missing or a wrong byte count would make the published table wrong."""
    done = subprocess.run(
        [sys.executable, str(RUN), "--quick"], capture_output=True, text=True, timeout=SECONDS, check=False
    )

    tables = [
        line
        for line in done.stdout.splitlines()
        if line.startswith(("nginx", "ccproxy", "echo", "multiple", *DIALECTS))
    ]
    assert (done.returncode, len(tables), [line for line in tables if " - " in line]) == (0, 17, []), (
        done.stdout + done.stderr
    )


def test_streams_are_measured_on_every_way():
    """The table of docs/operations/sizing.md comes from it; a stream that is refused must not count as cheap."""
    command = [sys.executable, str(RUN.with_name("streams.py")), "--seconds", "0.5", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    rows = [line.split(" | ")[:2] for line in done.stdout.splitlines()[2:]]

    assert done.returncode == 0, done.stderr
    assert rows == [["| HTTP, relay", "3"], ["| HTTP, to OpenAI", "3"], ["| gRPC, relay", "3"]]
