"""The program on the demo's page."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")


def test_the_program_of_the_page_runs(capsys: pytest.CaptureFixture[str]):
    """It is copied, too."""
    program = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "Demo.serve" in code)

    exec(compile(program, "docs/demo.md", "exec"), {})  # noqa: S102

    assert capsys.readouterr().out == "1\n0 1\n"
