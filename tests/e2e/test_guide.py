"""What the README shows is what a newcomer sees: its commands run, its outputs are real."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from e2e.service import Service

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS = re.findall(r"```console\n\$ (.*?)\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)

VOLATILE = {"timestamp", "uptime", "memory_mb", "goroutines", "pid", "port", "total", "success", "failed"}
VOLATILE |= {"avg_ms", "p50_ms", "p95_ms", "p99_ms"}


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command[:60] for command, _ in COMMANDS])
def test_a_command_of_the_readme_prints_what_the_readme_shows(service: Service, command: str, shown: str):
    """The first minute decides whether somebody trusts the rest."""
    printed = subprocess.run(
        ["bash", "-c", command.replace("http://localhost:3456", service.url)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout

    assert documents(printed) == documents(shown)


def documents(output: str) -> list[object]:
    """The JSON in an output, line by line, without what differs from run to run; other lines as they are."""
    lines = []
    for line in output.strip().splitlines():
        prefix, brace, rest = line.partition("{")
        lines.append((prefix, steady(msgspec.json.decode(brace + rest))) if brace else line)
    return lines


def steady(value: object) -> object:
    """A document with its volatile values replaced by their types, and its random ids by a constant."""
    if isinstance(value, dict):
        return {k: type(v).__name__ if k in VOLATILE else steady(v) for k, v in value.items()}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return re.sub(r"demo[-_][0-9a-f]{16}", "demo", value) if isinstance(value, str) else value
