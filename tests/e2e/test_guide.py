"""What the README and the guide show is what a newcomer sees: their commands run, their outputs are real."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest
from e2e.service import Service

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [
    PROJECT / "README.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "docs" / "operations").glob("*.md")),
    *sorted((PROJECT / "deploy").rglob("*.md")),
    *sorted(each for each in (PROJECT / "examples").rglob("*.md") if "node_modules" not in each.parts),
]
COMMANDS = [
    pytest.param(command, shown, id=f"{page.name}: {command[:60]}")
    for page in PAGES
    for command, shown in re.findall(
        r"```console\n\$ (.*?)\n(.*?)\n```", page.read_text(encoding="utf-8"), re.DOTALL
    )
]

VOLATILE = {"timestamp", "uptime", "memory_mb", "goroutines", "pid", "port", "total", "success", "failed"}
VOLATILE |= {"avg_ms", "p50_ms", "p95_ms", "p99_ms", "condition", "since", "loaded_at"}


@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_a_command_prints_what_its_page_shows(service: Service, command: str, shown: str):
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path):
    """A guide with a missing page is worse than none."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []
