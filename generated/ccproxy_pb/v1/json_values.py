# Copied from ccproxy/json_values.py by proto/generate.py. DO NOT EDIT.
"""How many values a JSON text holds, told before any of them is built.

A few megabytes of brackets become gigabytes of objects, and nobody else is served meanwhile. So brackets and
commas are counted first: wherever they stand, at 0.8 ms for a megabyte; and only where that is too many, again
outside of strings, at 3 ms. A table or a program in a string is one value, however many commas it has.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

MAX_CONTAINERS: Final = 500_000  # objects and arrays: 40 ms and 42 MB to build, measured
MAX_SEPARATORS: Final = 750_000  # commas: an object of so many members takes 0.4 s to split
MAX_QUOTES: Final = 4 * (MAX_CONTAINERS + MAX_SEPARATORS)  # no more strings stand between so few
PART_BYTES: Final = 1 << 20  # counted in one go: a bomb is known by its first part

_BACKSLASHES: Final = re.compile(rb"\\*.?", re.DOTALL)


def too_many_values(text: bytes) -> bool:
    """Whether `text` holds more values than may be built. What is no JSON is left to the parser."""
    return (
        len(text) > MAX_CONTAINERS
        and _too_many(_anywhere(text))
        and (_too_many_strings(text) or _too_many(_outside_strings(text)))
    )


def _too_many(parts: Iterable[bytes]) -> bool:
    containers = separators = 0
    for part in parts:
        containers += part.count(b"[") + part.count(b"{")
        separators += part.count(b",")
        if containers > MAX_CONTAINERS or separators > MAX_SEPARATORS:
            return True
    return False


def _too_many_strings(text: bytes) -> bool:
    """Counted before they are taken apart, which takes ten times as long. It may miss some."""
    quotes = text.count(b'"')
    return quotes > MAX_QUOTES and quotes - text.count(b'\\"') > MAX_QUOTES


def _anywhere(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text), PART_BYTES):
        yield text[start : start + PART_BYTES]


def _outside_strings(text: bytes) -> Iterator[bytes]:
    inside = False
    for part in _without_escapes(text):
        pieces = part.split(b'"')
        yield b"".join(pieces[inside::2])
        inside ^= len(pieces) % 2 == 0


def _without_escapes(text: bytes) -> Iterator[bytes]:
    """The text in parts, without what could be taken for the end of a string."""
    start = 0
    while start < len(text):
        end = _behind_escapes(text, start + PART_BYTES)
        yield text[start:end].replace(b"\\\\", b"").replace(b'\\"', b"")
        start = end


def _behind_escapes(text: bytes, end: int) -> int:
    """Where to cut `text`, at `end` or a little later, so that no escape sequence is cut."""
    rest = _BACKSLASHES.match(text, end) if text[end - 1 : end] == b"\\" else None
    return end if rest is None else rest.end()
