"""The shape of the source: every module has its tests, nothing grows beyond what is read in one sitting."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "ccproxy"
MODULES = sorted(PACKAGE.rglob("*.py"))

MAX_LINES = 400
MAX_FUNCTION_LINES = 60

TESTED_ELSEWHERE = {
    "app": "test_lifecycle.py",  # a composition root is tested whole, as a process
    "cli": "test_lifecycle.py",
    "drain": "test_lifecycle.py",  # what matters is what callers see of it
    "gauges": "test_metrics_under_load.py",  # what is scraped of a whole service
    "gateway": "test_gateway.py",  # an edge is tested on the wire
    "rpc": "test_rpc.py",
    "spans": "test_telemetry.py",  # what is to be implemented, and no code
    "telemetry": "test_telemetry.py",  # its spans are read where they arrive: at a collector
    "upstream": "test_upstream.py",  # the client's failures are made by sockets
}
"""Modules without a unit test of their own: the file in tests/integration that has their tests, and why."""

LONGER_FUNCTIONS = {
    "metrics.__init__",  # one series after the other
    "metrics.calls.__init__",
}
"""Functions over the limit, each with the reason."""


def parsed(module: Path) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(module.read_text(encoding="utf-8"))


def name(module: Path) -> str:
    """A module's name below the package, as in `metrics.calls`."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def has_code(module: Path) -> bool:
    """Whether there is more than words, imports and names in it."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(parsed(module))
    )


def names_of_tests(module: Path) -> list[str]:
    """The names that a module's unit tests may have: its own, or its package's; files may be split by topic."""
    parts = name(module).split(".")
    if parts[0] == "providers":
        parts = parts[1:] or parts
    return ["_".join(parts[:count]) for count in range(len(parts), 0, -1)]


def is_tested(module: Path) -> bool:
    """Whether `test_<module>.py`, or one that begins so, is there."""
    return any(
        any(PROJECT.glob(f"tests/unit/test_{stem}.py")) or any(PROJECT.glob(f"tests/unit/test_{stem}_*.py"))
        for stem in names_of_tests(module)
    )


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports(module: Path) -> set[str]:
    """The names of everything a module imports."""
    names: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_there_are_modules():
    """Every test below is true of none."""
    assert len(MODULES) > 20


@pytest.mark.parametrize("module", [m for m in MODULES if has_code(m)], ids=name)
def test_a_module_has_tests_of_its_own(module: Path):
    """The next reader looks for them under its name."""
    elsewhere = name(module).split(".")[0] in TESTED_ELSEWHERE

    assert is_tested(module) or elsewhere, f"no tests/unit/test_{names_of_tests(module)[0]}.py, and no reason here"


@pytest.mark.parametrize("listed", TESTED_ELSEWHERE)
def test_a_reason_is_for_a_module_that_is_there(listed: str):
    """A stale one would excuse the next module of that name."""
    assert (PACKAGE / f"{listed}.py").is_file() or (PACKAGE / listed).is_dir()
    assert (PROJECT / "tests" / "integration" / TESTED_ELSEWHERE[listed]).is_file()


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_file_is_read_in_one_sitting(module: Path):
    """Four hundred lines."""
    lines = len(module.read_text(encoding="utf-8").splitlines())

    assert lines <= MAX_LINES


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_function_fits_on_half_a_screen(module: Path):
    """Sixty lines."""
    sizes = {f"{name(module)}.{f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions(module)}

    assert {f for f, size in sizes.items() if size > MAX_FUNCTION_LINES} <= LONGER_FUNCTIONS


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_there_is_one_json_library(module: Path):
    """Two differ in big integers, NaN and surrogates: msgspec is the one."""
    assert {"json", "orjson", "simplejson", "ujson", "google.protobuf.json_format"}.isdisjoint(imports(module))


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_says_what_it_is(module: Path):
    """The first line of a file is for who opens it the first time."""
    assert ast.get_docstring(parsed(module))
