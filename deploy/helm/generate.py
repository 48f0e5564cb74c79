"""Writes what is made from the chart's values: the table in its README, and the renders that its tests compare.

    python deploy/helm/generate.py            writes them
    python deploy/helm/generate.py --check    tells whether the table is up to date, by its exit code

The renders need helm (make tools). A row of the table is a key of values.yaml that holds no further keys, or that
has a comment; the comment above it is what it means.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CHART = Path(__file__).resolve().parent / "ccproxy"
README = CHART / "README.md"
MARK = re.compile(r"(?s)(<!-- values -->\n).*(<!-- end of values -->)")

_LINE = re.compile(r"(?P<indent> *)(?:# (?P<comment>.*)|(?P<key>[A-Za-z]+):(?: (?P<value>.+))?)")
_INDENT = 2


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    """The key, the default and the meaning of each value, in the order of values.yaml."""
    lines = text.splitlines()
    path: list[str] = []
    comment: list[str] = []
    covered = -1  # the depth of a key whose comment speaks for all below it
    for number, line in enumerate(lines):
        found = _LINE.fullmatch(line)
        if found is None:
            comment = []
            continue
        depth = len(found["indent"]) // _INDENT
        if found["comment"] is not None:
            comment.append(found["comment"])
            continue
        path[depth:] = [found["key"]]
        said, comment = " ".join(comment), []
        if 0 <= covered < depth:
            continue
        covered = -1
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if found["value"] is None and not said:
            continue
        if found["value"] is None and not below.lstrip().startswith("#"):
            covered = depth
        elif found["value"] is None:
            yield ".".join(path), "", said
            continue
        yield ".".join(path), found["value"] or "see values.yaml", said


def table() -> str:
    """The table of values, in Markdown."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for key, default, meaning in rows((CHART / "values.yaml").read_text()):
        shown = default if default.startswith("see ") or not default else f"`{default}`"
        lines.append(f"| `{key}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def readme() -> str:
    """README.md with the table of today's values."""
    return MARK.sub(lambda found: f"{found[1]}{table()}{found[2]}", README.read_text())


def write_renders() -> None:
    """Renders the chart for each feature."""
    sys.path.insert(0, str(PROJECT / "tests"))
    from deploy import chart  # noqa: PLC0415  # tests' own, and they need helm

    chart.GOLDEN.mkdir(exist_ok=True)
    for feature in chart.FEATURES:
        (chart.GOLDEN / feature.name).write_text(chart.golden(chart.render(file=feature)))


def main() -> int:
    """0 where all is written, or up to date."""
    if "--check" in sys.argv[1:]:
        if readme() == README.read_text():
            return 0
        sys.stderr.write(f"{README} is not that of values.yaml: run make chart\n")
        return 1
    README.write_text(readme())
    write_renders()
    return 0


if __name__ == "__main__":
    sys.exit(main())
