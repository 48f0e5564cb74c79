"""What is wrong with a configuration: every problem with its place, told at once.

A place is a path in the file (`$.providers[1].api_base_url`, `$.routes["gpt-4.1"].provider`), the name of the
variable a value came from, or a file.
"""

import difflib
import re
from collections.abc import Iterable

import msgspec

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class ConfigError(Exception):
    """What is wrong with a configuration: one line per problem, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [_one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


class Problems:
    """Problems in the order they are found, and the places whose values mean nothing because of them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.warnings: list[str] = []
        self._failed: set[str] = set()
        self._origins: dict[str, str] = {}

    def came_from(self, place: str, variable: str) -> None:
        """Has what is wrong at `place` told with the name of a variable."""
        self._origins[place] = variable

    def origin(self, place: str) -> str:
        """Where the operator finds the value of `place`: a variable's name, else the place itself."""
        return next((self._origins[outer] for outer in _around(place) if outer in self._origins), place)

    def note(self, place: str, text: str) -> None:
        """Tells a problem; the value at `place` is usable all the same."""
        line = f"{self.origin(place)}: {text}"
        if line not in self.lines:
            self.lines.append(line)

    def warn(self, place: str, text: str) -> None:
        """Tells what works, but is probably meant otherwise."""
        self.warnings.append(_one_line(f"{self.origin(place)}: {text}"))

    def fail(self, place: str, text: str) -> None:
        """Tells a problem that leaves `place` without a value."""
        self.note(place, text)
        self.void(place)

    def void(self, place: str) -> None:
        """Marks `place` as without a value, where what is wrong was told elsewhere."""
        self._failed.add(place)

    def failed(self, place: str) -> bool:
        """Whether the value at `place`, or the one it is in, could not be read."""
        return any(outer in self._failed for outer in _around(place))

    def check(self, place: str, text: str) -> None:
        """Tells what is wrong with a value, unless it is only a stand-in for one that could not be read."""
        if not self.failed(place):
            self.note(place, text)


def member(place: str, name: str) -> str:
    """The place of an object's member."""
    plain = _PLAIN.fullmatch(name)
    return f"{place}.{name}" if plain else f"{place}[{msgspec.json.encode(name).decode()}]"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name nearest to `name`, however it is written; empty where none is near."""
    by_folded = {each.lower().replace("_", ""): each for each in known}
    near = difflib.get_close_matches(name.lower().replace("_", "").replace("-", ""), by_folded, n=1)
    return by_folded[near[0]] if near else ""


def _around(place: str) -> list[str]:
    """A place and every place it is in, the innermost first."""
    ends = [match.start() for match in re.finditer(r"\[[0-9]+\]|\[\"(?:[^\"\\]|\\.)*\"\]|\.[^.\[]+", place)]
    return [place, *(place[:end] for end in reversed(ends))]


def _one_line(problem: str) -> str:
    """A problem as a terminal and a log can show it, whatever the file's keys and names hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in problem)
