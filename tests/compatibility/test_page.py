"""The page is what the suite sees."""

import subprocess
import sys
from pathlib import Path

import pytest
from compatibility.page import TITLES, page

PROJECT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_cells_have_seen():
    """People choose by it, so it must not be older than the code."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.compatibility", "--check"],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def cell(column: str, kind: str = "yes", heading: str = "Turns") -> dict[str, object]:
    """A report."""
    row = {"heading": heading, "label": "a row", "note": "", "place": "test_x.py#L1"}
    seen = {"kind": kind, "detail": "", "dropped": [], "status": 0, "message": ""}
    return {
        "row": row,
        "column": column,
        "model": "",
        "relayed": {},
        "seen": seen,
        "test": f"test_x.py::test[{column}]",
    }


def test_a_cell_shows_what_was_seen_and_leads_to_its_test():
    """A page that shows declarations would show wishes."""
    made = page([cell(column, "dropped" if column == "chat" else "yes") for column in TITLES], {})

    assert '| a row | [yes](../tests/compatibility/test_x.py#L1 "test_x.py::test[anthropic]") | [dropped](' in made


@pytest.mark.parametrize(
    "cells", [[cell("chat")], [cell(column, heading="Elsewhere") for column in TITLES]], ids=["cell", "heading"]
)
def test_what_is_missing_is_not_passed_over(cells: list[dict[str, object]]):
    """A row with a hole, or a row that no section shows, is a feature that nobody finds."""
    with pytest.raises(ValueError, match=r"missing|not known"):
        page(cells, {})
