"""How many values a JSON text holds."""

import msgspec
import pytest

from ccproxy.json_values import MAX_CONTAINERS, MAX_SEPARATORS, PART_BYTES, too_many_values

MANY = 1_000_000


@pytest.mark.parametrize("text", ["1,2\n", "[](){}", '"a","b"\n', "\\,", '\\"{,'], ids=repr)
def test_what_stands_in_a_string_is_one_value(text: str):
    """A result of a tool may be a table of a million cells, or a program: the caller's work, and no bomb."""
    document = msgspec.json.encode({"content": text * MANY, "more": [1, 2, 3]})

    assert not too_many_values(document)


@pytest.mark.parametrize(
    "end",
    ["," * MAX_SEPARATORS + ",", "[" * MAX_CONTAINERS + "{", '"a",' * MAX_SEPARATORS + '"a",'],
    ids=["separators", "containers", "strings"],
)
@pytest.mark.parametrize("before", ["", "\\", 'an end \\" that is none', "\\\\"], ids=repr)
def test_what_stands_behind_a_string_counts(before: str, end: str):
    """A string before it must not hide a bomb, however it ends."""
    string = msgspec.json.encode("," * MANY + before).decode()

    assert too_many_values(f"[{string},{end}".encode())


@pytest.mark.parametrize("shift", range(6))
@pytest.mark.parametrize("inside", ["\\", '"', '\\"', 'a"\\'], ids=repr)
def test_a_text_is_cut_between_escapes(inside: str, shift: int):
    """Where a part ends must not decide whether a quote ends a string: all that follows would count wrong."""
    escaped = msgspec.json.encode(inside).decode()[1:-1]
    string = '"' + "," * shift + escaped * (3 * PART_BYTES // 2 // len(escaped)) + "," * MANY + '"'

    assert not too_many_values(f"[{string}]".encode())
    assert too_many_values(f"[{string}{',1' * MANY}]".encode())


def test_a_string_that_never_ends_is_left_to_the_parser():
    """It builds nothing: the parser refuses it."""
    assert not too_many_values(b'["' + b"," * MANY + b"\\")


def test_quotes_alone_are_too_many():
    """Millions of strings without a comma between them are no JSON, but to cut them out takes long, too."""
    assert too_many_values(b'["' + b"," * MANY + b'"' + b'""' * (5 * MANY))


def test_a_bomb_is_known_by_its_first_part():
    """Its end is not looked at: to count all of 32 MiB is a stall of its own."""
    bomb = Watched(b"[" * (2 * PART_BYTES) + b" " * (30 * PART_BYTES))

    assert too_many_values(bomb)
    assert bomb.seen <= 2 * PART_BYTES


class Watched(bytes):
    """Bytes that remember how far they were looked at."""

    seen = 0

    def __getitem__(self, which: object) -> bytes:  # type: ignore[override]
        assert isinstance(which, slice)
        self.seen = max(self.seen, min(which.stop, len(self)))
        return super().__getitem__(which)
