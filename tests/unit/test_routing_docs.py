"""The page about routing: its configurations load, and its requests go where it says."""

import re
from pathlib import Path

import msgspec
import pytest

from ccproxy.config import Config, load
from ccproxy.explain import explain

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "routing.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| `([^`]+)`( with thinking)? \| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)


def loaded(folder: Path, example: str) -> Config:
    """The configuration as the service reads it."""
    file = folder / "config.json"
    file.write_text(example, encoding="utf-8")
    file.chmod(0o600)
    return load(file, {}, folder)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_configuration(tmp_path: Path, example: str):
    """It is copied as it stands."""
    assert loaded(tmp_path, example).active


@pytest.mark.parametrize(("model", "thinking", "target", "rule"), ROWS)
def test_a_request_goes_where_the_page_says(tmp_path: Path, model: str, thinking: str, target: str, rule: str):
    """By the rule it says."""
    turns = [{"role": "user", "content": "hi"}]
    members = {"thinking": {"type": "adaptive"}} if thinking else {}
    body = msgspec.json.encode({"model": model, "max_tokens": 5, "messages": turns, **members})
    told = explain(loaded(tmp_path, EXAMPLES[0]), body)

    assert (f"{told.provider},{told.model}", told.rule) == (target, rule)


def test_the_page_has_requests():
    """Else the test above is true of none."""
    assert len(ROWS) == 6


def test_an_explanation_is_what_the_page_shows(tmp_path: Path):
    """Line by line."""
    asked = re.search(r'`({"model": "claude-haiku.*?})` and', PAGE, re.DOTALL)
    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert asked is not None
    assert shown is not None

    body = asked[1].replace("\n", " ").encode()

    assert explain(loaded(tmp_path, EXAMPLES[0]), body).lines() == shown[1].splitlines()
