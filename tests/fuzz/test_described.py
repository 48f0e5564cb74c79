"""Requests made from `/openapi.json`, right ones and wrong ones: each answer is one that the document describes.

Its status, headers, media type and schema; what is missing; methods that there are not; and no failure of ours.
`make test` makes about a thousand in some ten seconds, `make fuzz` many more.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from integration.process import process

EXAMPLES = int(os.environ.get("CCPROXY_FUZZ_CASES", "2000")) // 40  # for each operation
LEAST_CASES = 10 * EXAMPLES  # of all twelve: some have little that can vary
SEED = "4711"
CONFIG = Path(__file__).parent / "schemathesis.toml"


def test_every_answer_is_as_described(tmp_path: Path):
    """Clients are generated from the document: what it does not say, they do not understand."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    options = ["--seed", SEED, "--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-color"]
    report = tmp_path / "report.json"
    with process(tmp_path / "home", {"demo": True}) as service:
        service.until_ready()
        ran = subprocess.run(
            [*command, f"{service.url}/openapi.json", *options, "--report-json-path", str(report)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [msgspec.json.decode(line) for line in service.stderr.splitlines()]

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert msgspec.json.decode(report.read_bytes())["test_cases"]["generated"] >= LEAST_CASES
    assert not [line for line in lines if line["level"] == "error"]
