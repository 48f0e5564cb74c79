"""The page `docs/compatibility.md`, from what the cells have seen."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HEADINGS = (
    "Request members",
    "Turns",
    "Images and documents",
    "Tool calls and results in the conversation",
    "Reasoning in the conversation",
    "Thinking and effort",
    "Tools",
    "Tools that Anthropic defines",
    "Structured output",
    "Answers",
    "Stop reasons",
    "Usage",
    "Streams",
    "Errors",
    "Headers of an answer",
    "Counting tokens",
    "Models",
    "Prompt caches",
)
TITLES = {
    "anthropic": "Anthropic",
    "chat": "OpenAI Chat",
    "responses": "OpenAI Responses",
    "gemini": "Gemini",
    "deepseek": "DeepSeek",
    "openrouter": "OpenRouter",
}
KINDS = ("yes", "translated", "dropped", "left out", "refused", "none")
WORDS = {"none": "-"}

TOP = """\
# Compatibility

What becomes of each feature of the Anthropic Messages API at each provider. Every cell is a test that ran: its
word is what the test saw, and it links to that test. `make compatibility` writes the page, and nobody else;
`make check` fails where it differs from what the tests see.

| word | what it means |
|---|---|
| **yes** | it passes as it is, byte for byte |
| **translated** | it is said in other words of the same or nearest meaning; *without* names what is dropped |
| **dropped** | the provider has no word for it; the caller is told its name in the header `x-ccproxy-dropped` |
| **left out** | it is left out on purpose and not named in a header; the cell or a note says why |
| **refused** | the request is an error, because to go on would change its meaning without anyone noticing |
| **-** | the provider has nothing of the kind, and nothing is invented |

"""
LIMITS = """\
The tests run CCProxy's own translators: a request goes in, and what would be sent is looked at; a provider's
answer goes in, and what the caller would get is looked at. **No live provider is called.** The answers are
written after the providers' references and recorded traffic. So a cell says what CCProxy does, not that a
provider does its part. Some features depend on the model; where a cell names no other, these were asked:

"""


def page(cells: Sequence[Mapping[str, Any]], models: Mapping[str, str]) -> str:
    """The page.

    Args:
        cells: What each cell reported; see `conftest`.
        models: The model asked, by column.

    Raises:
        ValueError: A row lacks a cell, or stands under a heading that is not known.
    """
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for cell in cells:
        rows.setdefault(cell["row"]["place"], {})[cell["column"]] = cell
    for place, row in rows.items():
        if set(row) != set(TITLES):
            raise ValueError(f"{place}: a cell is missing")
    unknown = {cell["row"]["heading"] for cell in cells} - set(HEADINGS)
    if unknown:
        raise ValueError(f"headings that are not known: {sorted(unknown)}")
    asked = "".join(f"| {TITLES[key]} | `{model}` |\n" for key, model in models.items())
    text = TOP + LIMITS + f"| provider | model |\n|---|---|\n{asked}\n" + _summary(list(rows.values()))
    for heading in HEADINGS:
        text += _section(heading, [row for row in rows.values() if row["anthropic"]["row"]["heading"] == heading])
    return text + _relayed([row["anthropic"] for row in rows.values()])


RELAYED = """\
## DeepSeek and OpenRouter by Anthropic's API

The columns above are for requests that are translated. With `"api": "anthropic"` both are asked by their
endpoints for Anthropic's API instead ([providers.md](providers.md)): the request passes as it does to
Anthropic, and what the endpoint does not know it refuses or ignores by itself. Of the features of requests on
this page there pass as they are:

"""


def _relayed(cells: Iterable[Mapping[str, Any]]) -> str:
    asked = [cell for cell in cells if cell["relayed"]]
    text = RELAYED + "| | pass | but for |\n|---|--:|---|\n"
    for key in sorted({key for cell in asked for key in cell["relayed"]}):
        others = [cell for cell in asked if not cell["relayed"][key]]
        links = [f"[{cell['row']['label']}](../tests/compatibility/{cell['row']['place']})" for cell in others]
        text += f"| {TITLES[key]} | {len(asked) - len(others)} of {len(asked)} | {'; '.join(links)} |\n"
    return text


def _summary(rows: Iterable[Mapping[str, Mapping[str, Any]]]) -> str:
    found = [(key, cell["seen"]["kind"]) for row in rows for key, cell in row.items()]
    lines = "".join(
        f"| {title} | " + " | ".join(str(found.count((key, kind)) or "") for kind in KINDS) + " |\n"
        for key, title in TITLES.items()
    )
    names = " | ".join(WORDS.get(kind, kind) for kind in KINDS)
    total = len(found) // len(TITLES)
    return f"{total} features, {len(found)} cells:\n\n| | {names} |\n|---|{'--:|' * len(KINDS)}\n{lines}\n"


def _section(heading: str, rows: Sequence[Mapping[str, Mapping[str, Any]]]) -> str:
    text = f"## {heading}\n\n| | {' | '.join(TITLES.values())} |\n|---|{'---|' * len(TITLES)}\n"
    notes: list[str] = []
    for row in rows:
        first = row["anthropic"]["row"]
        mark = ""
        if first["note"]:
            notes.append(first["note"])
            mark = f" <sup>{len(notes)}</sup>"
        text += f"| {first['label']}{mark} | " + " | ".join(_cell(row[key]) for key in TITLES) + " |\n"
    numbered = "".join(f"{number}. {note}\n" for number, note in enumerate(notes, 1))
    return text + (f"\n{numbered}\n" if notes else "\n")


def _cell(cell: Mapping[str, Any]) -> str:
    seen, row = cell["seen"], cell["row"]
    kind = seen["kind"]
    details = [seen["detail"]] if seen["detail"] else []
    if seen["dropped"]:
        names = ", ".join(f"`{name}`" for name in seen["dropped"])
        details.append(names if kind == "dropped" else f"without {names}")
    if seen["status"]:
        details.append(f"{seen['status']}")
    if cell["model"]:
        details.append(f"(`{cell['model']}`)")
    link = f'[{WORDS.get(kind, kind)}](../tests/compatibility/{row["place"]} "{cell["test"]}")'
    return "<br>".join([link, *details])
