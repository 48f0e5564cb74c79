"""The page about the demo says what the demo does."""

import re
from pathlib import Path

import pytest

from ccproxy.demo.directives import GRAMMAR, parse

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\|[^|]*\| `(\[\[.*\]\])` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_directive(example: str):
    """People copy examples, and a wrong one is answered with an error."""
    assert parse(example).said == ""


def test_every_directive_has_an_example():
    """A directive that is not on the page does not exist for its reader."""
    shown = {re.match(r"\[\[(\w+)", example)[1] for example in EXAMPLES}

    assert shown == set(GRAMMAR)


def test_the_json_string_of_the_page_is_one():
    """It is the way out for text that holds the closing brackets."""
    assert parse('[[say "one\\ntwo ]] three"]]').parts[0].text == "one\ntwo ]] three"
