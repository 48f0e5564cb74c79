"""A file's JSON: what is none, with its line; keys that are there twice."""

from pathlib import Path

import pytest
from unit.configs import problems, read

NESTED = b'{"routes":{"x":{"provider":"x","parameters":{"a":' + b"[" * 100_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a configuration."""
    return tmp_path


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{\n  "port": ,\n}', "line 2, column 11"),
        (b"{\n\n\n  'port': 1}", "line 4, column 3"),
        (b'{"port": NaN}', "line 1, column 10"),
        ('{"ü": x}'.encode(), "line 1, column 7"),
        (b'{"port": 1}\n}', "line 2, column 2"),
        (b'{"port":', "line 1, column 9"),
        (b'{\n"host": "\xff"}', "line 2, column 10"),
    ],
)
def test_bad_json_is_told_with_its_line_and_column(home: Path, text: bytes, place: str):
    """Editors show lines, not bytes."""
    (problem,) = problems(home, text)

    assert problem.startswith(f"{home / '.ccproxy' / 'config.json'}: not valid JSON: {place}: ")


@pytest.mark.parametrize("text", [b"", b"{", b'{"host": "\xff"}', b"\xef\xbb\xbf{}", NESTED, b"\x00"])
def test_what_is_no_json_at_all_is_one_problem(home: Path, text: bytes):
    """Truncated, not UTF-8, nested without end: never a traceback."""
    (problem,) = problems(home, text)

    assert "not valid JSON" in problem


def test_the_environment_is_looked_at_beside_a_file_that_is_none(home: Path):
    """What is wrong there can be told at the same time."""
    assert len(problems(home, b"{", {"CCPROXY_PORT": "x"})) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"port": 1,\n"port": 2}', "$.port: is there twice; the second is on line 2"),
        (b'{"port": 1, "p\\u006frt": 2}', "$.port: is there twice; the second is on line 1"),
        (
            b'{"demo": true, "routes": {"a": {"provider": "x"}, "a": {"provider": "y"}}}',
            "$.routes.a: is there twice; the second is on line 1",
        ),
        (
            b'{"providers": [{"name": "openai"},\n {"name": "anthropic", "models": ["a", "b"],\n "models" : []}]}',
            "$.providers[1].models: is there twice; the second is on line 3",
        ),
        (
            b'{"demo": true, "routes": {"a": {"provider": "x", "parameters": {"b": [[1], {"c": 1, "c": 2}]}}}}',
            "$.routes.a.parameters.b[1].c: is there twice; the second is on line 1",
        ),
    ],
)
def test_a_key_that_is_there_twice_is_refused(home: Path, text: bytes, expected: str):
    """The first one would be lost without a word."""
    assert problems(home, text) == [expected]


def test_brackets_and_colons_in_texts_are_no_structure(home: Path):
    """A key twice in a text is none."""
    assert read(home, b'{"demo":true,"routes":{"{\\"a\\":1,":{"provider":"[}:,"}}}').demo


def test_a_file_nested_beyond_reason_is_a_problem(home: Path):
    """What walks through it is recursive."""
    text = b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"

    assert problems(home, text) == ["$: is nested deeper than 64 levels"]


@pytest.mark.parametrize("number", [b"1e999", b"1" * 5000])
def test_a_number_beyond_all_is_a_problem(home: Path, number: bytes):
    """Floats and integers end somewhere."""
    (problem,) = problems(home, b'{"port": ' + number + b"}")

    assert "out of range" in problem
