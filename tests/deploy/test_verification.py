"""The page that says which test verifies what (docs/operations/verification.md)."""

import re

from e2e.tools import PROJECT

PAGE = (PROJECT / "docs" / "operations" / "verification.md").read_text()


def test_every_test_that_the_page_names_exists():
    """A promise that rests on a test which was renamed rests on nothing."""
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE))
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if not re.search(rf"(?m)^(async )?def {name}\(", (PROJECT / file).read_text())
    ]

    assert missing == []
    assert len(named) > 40


def test_every_command_that_the_page_names_exists():
    """They are make's."""
    targets = set(re.findall(r"(?m)^([a-z]+):", (PROJECT / "Makefile").read_text()))
    named = set(re.findall(r"`make ([a-z]+)", PAGE))

    assert named <= targets
    assert named >= {"test", "tools", "soak"}


def test_every_line_names_something_that_can_be_run():
    """A line without is an opinion."""
    lines = re.findall(r"(?m)^\| (?!what |---)(.*) \|$", PAGE)

    assert [line for line in lines if not re.search(r"`(tests/|make )", line.rpartition(" | ")[2])] == []
    assert len(lines) > 30
