"""A file's JSON as plain values, with the lines of what is no JSON and of keys that are there twice."""

import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from ccproxy.config.problems import Problems, member

MAX_DEPTH = 64  # far more than a configuration has; what is made of it is walked recursively

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')
_COLON = re.compile(r"[ \t\r\n]*:")


def read(file: Path, problems: Problems, *, required: bool) -> Any:
    """The file's value; an empty object where it is absent and need not be there, or cannot be read."""
    try:
        text = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if required or not isinstance(error, FileNotFoundError | NotADirectoryError):
            problems.note(str(file), str(reason))
            problems.void("$")
        return {}
    return parse(text, str(file), problems)


def parse(text: bytes, file: str, problems: Problems) -> Any:
    """The value of JSON text; an empty object where it is none."""
    try:
        decoded = text.decode()
        value = msgspec.json.decode(text)
    except msgspec.ValidationError as error:  # a number beyond what computers count
        what, _, place = str(error).partition(" - at ")
        problems.fail("$", f"{what}{' at ' if place else ''}{place}")
        return {}
    except UnicodeDecodeError as error:
        return _no_json(file, f"{where(text, error.start)}: a byte that is not UTF-8", problems)
    except RecursionError:
        return _no_json(file, "nested too deeply", problems)
    except msgspec.DecodeError as error:
        match = re.fullmatch(r"JSON is malformed: (.*) \(byte ([0-9]+)\)", str(error))
        what = match[1] if match else "the file ends too early, or a text in it is broken"
        return _no_json(file, f"{where(text, int(match[2]) if match else len(text))}: {what}", problems)
    _look_at_keys(decoded, problems)
    return {} if problems.failed("$") else value


def where(text: bytes, offset: int) -> str:
    """A position as editors show it: lines and columns from 1, in characters."""
    before = text[:offset].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _no_json(file: str, what: str, problems: Problems) -> Any:
    problems.note(file, f"not valid JSON: {what}")
    problems.void("$")
    return {}


class _Level(Struct):
    """An open bracket: its place; the keys so far of an object; how many items of an array came before."""

    place: str
    keys: set[str] | None = None
    items: int = 0


def _look_at_keys(text: str, problems: Problems) -> None:
    """Tells keys that an object has twice: a decoder keeps the last one and says nothing. `text` is valid JSON."""
    levels: list[_Level] = []
    place = "$"
    for found in _TOKEN.finditer(text):
        mark = found[0]
        if mark in "{[":
            levels.append(_Level(place, set() if mark == "{" else None))
            if len(levels) > MAX_DEPTH:
                problems.fail("$", f"is nested deeper than {MAX_DEPTH} levels")
                return
            place = f"{place}[0]"  # where it is an object, its first key says better
        elif mark in "}]":
            levels.pop()
        elif mark == "," and levels[-1].keys is None:
            levels[-1].items += 1
            place = f"{levels[-1].place}[{levels[-1].items}]"
        elif levels and levels[-1].keys is not None and _is_key(text, found):
            key = msgspec.json.decode(mark, type=str)
            place = member(levels[-1].place, key)
            if key in levels[-1].keys:
                line = text.count("\n", 0, found.start()) + 1
                problems.note(place, f"is there twice; the second is on line {line}")
            levels[-1].keys.add(key)


def _is_key(text: str, token: re.Match[str]) -> bool:
    """Whether a token is a string with a colon behind it."""
    return token[0][0] == '"' and _COLON.match(text, token.end()) is not None
