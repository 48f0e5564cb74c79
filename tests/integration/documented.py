"""The health endpoints' documentation as a text where it is at hand, and the structure of its documents."""

import os
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT = PROJECT.parent / "shared" / "spec" / "health-endpoints.txt"

Shape: TypeAlias = "str | list[tuple[str, Shape]] | list[str]"

NUMBERS = [("total", "int"), ("success", "int"), ("failed", "int")]
LATENCIES = [("avg_ms", "int"), ("p50_ms", "int"), ("p95_ms", "int"), ("p99_ms", "int")]

INFO: Shape = [("message", "str"), ("version", "str")]
BASIC_HEALTH: Shape = [("status", "str")]
HEALTH: Shape = [
    ("status", "str"),
    ("timestamp", "str"),
    ("uptime", "int"),
    ("version", "str"),
    (
        "config",
        [("host", "str"), ("port", "int"), ("providers", "int"), ("api_key_configured", "bool")],
    ),
    (
        "performance",
        [("memory_mb", "float"), ("goroutines", "int"), ("requests", NUMBERS), ("latency", LATENCIES)],
    ),
]
STATUS: Shape = [
    ("service", "str"),
    ("version", "str"),
    ("status", "str"),
    ("uptime", "str"),
    ("pid", "int"),
    ("host", "str"),
    ("port", "int"),
    ("api_key_configured", "bool"),
    ("providers", [("count", "int"), ("active", ["str"])]),
    ("build", [("version", "str"), ("commit", "str"), ("date", "str")]),
]
SHAPES = (INFO, BASIC_HEALTH, HEALTH, STATUS)
"""The documented documents in the order of the text."""


def text() -> str:
    """The documentation; skips where it is not at hand.

    `CCPROXY_SPEC` names the file; without it, it is looked for beside the project.
    """
    file = Path(os.environ.get("CCPROXY_SPEC") or DEFAULT)
    if not file.is_file():
        pytest.skip(f"the documentation's text is not at hand ({file}); CCPROXY_SPEC names it")
    return file.read_text(encoding="utf-8")


def json_blocks() -> list[Any]:
    """The JSON documents in the text, in order: each stands under a line that says `json`."""
    blocks = []
    lines = text().splitlines()
    for start in (number + 1 for number, line in enumerate(lines) if line == "json"):
        end = next(number for number in range(start, len(lines)) if lines[number] == "}")
        blocks.append(msgspec.json.decode("\n".join(lines[start : end + 1])))
    return blocks


def script(first: str, last: str) -> str:
    """The lines of the text from the one that is `first` to the next that begins with `last`."""
    lines = text().splitlines()
    start = lines.index(first)
    end = next(number for number in range(start, len(lines)) if lines[number].startswith(last))
    return "\n".join(lines[start : end + 1]) + "\n"


def shape(value: Any) -> Shape:
    """Keys in their order, and the type of each value. An integer is no float: scripts can tell them apart."""
    if isinstance(value, dict):
        return [(key, shape(member)) for key, member in value.items()]
    if isinstance(value, list):
        return sorted({type(member).__name__ for member in value})
    return type(value).__name__
