"""Runs the compatibility suite and writes `docs/compatibility.md` from what it has seen; `--check` compares.

python -m tests.compatibility [--check]
"""

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compatibility.page import page

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "compatibility.md"


class Reports:
    """What the cells report, and which tests failed."""

    def __init__(self) -> None:
        self.cells: list[dict[str, Any]] = []
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest after each step of a test; the cell is there with the last."""
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when == "teardown":
            name = report.nodeid.rpartition("/")[2]
            self.cells += [{**value, "test": name} for key, value in report.user_properties if key == "cell"]


def main() -> int:
    """Returns the exit status: 1 where a test failed, or the page is not what was seen."""
    reports = Reports()
    output = io.StringIO()
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:cov", f"--ignore={HERE / 'test_page.py'}", str(HERE)]
    with contextlib.redirect_stdout(output):
        status = pytest.main(options, plugins=[reports])
    if status != pytest.ExitCode.OK:
        sys.stderr.write(output.getvalue())
        sys.stderr.write(f"{len(reports.failed)} cells are not as declared, so no page is written.\n")
        return 1
    from compatibility.cells import COLUMNS  # noqa: PLC0415  # pytest has put tests/ on the path

    made = page(reports.cells, {column.key: column.model for column in COLUMNS})
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(f"{PAGE.name} is not what the tests see: run make compatibility\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
