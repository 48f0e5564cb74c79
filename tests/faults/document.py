"""Writes the table of `docs/reliability.md` from the table of faults: `make reference`, or `--check` for drift."""

import sys
from collections.abc import Iterable
from pathlib import Path

from faults.table import FAULTS, Fault, Outcome, Retried

from ccproxy.errors import RULES, Reason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- the table of faults: written by `make reference` -->", "<!-- end of the table of faults -->"
HEAD = (
    "| the provider | before the answer has begun | in mid-stream | another attempt | a failure to its circuit |\n"
    "|---|---|---|---|---|"
)
NOTHING = "the caller notices nothing"

RETRIED: dict[Retried, str] = {
    "never": "none",
    "once": "once more, then the fallbacks",
    "elsewhere": "the fallbacks",
    "uncertain": "the fallbacks, with `retry.uncertain`",
}


def table() -> str:
    """The table in Markdown."""
    return "\n".join((HEAD, *(_row(fault) for fault in FAULTS)))


def _row(fault: Fault) -> str:
    before = [(kind, each) for kind, each in _outcomes(fault) if not each.begun]
    after = [(kind, each) for kind, each in _outcomes(fault) if each.begun]
    everything = [each for _, each in _outcomes(fault)]
    cells = [
        fault.says,
        _either((kind, _told(each)) for kind, each in before),
        _either((kind, _told(each)) for kind, each in after),
        _either((kind, _retried(each)) for kind, each in before) if before else "none",
        _either(("", _counts(each)) for each in everything),
    ]
    return f"| {' | '.join(cells)} |"


def _outcomes(fault: Fault) -> list[tuple[str, Outcome]]:
    both = (("whole answer", fault.whole), ("stream", fault.stream))
    return [(kind, outcome) for kind, outcome in both if outcome is not None]


def _either(said: Iterable[tuple[str, str]]) -> str:
    """One text where all are the same, else each with its kind."""
    texts = list(said)
    if len({text for _, text in texts}) == 1:
        return texts[0][1]
    return "; ".join(f"{kind}: {text}" for kind, text in texts) or "-"


def _told(outcome: Outcome) -> str:
    if outcome.reason is None:
        return NOTHING
    rule = RULES[outcome.reason]
    if outcome.begun:
        return f"`error` event, `{rule.type}`"
    return f"{rule.status} `{rule.type}`"


def _retried(outcome: Outcome) -> str:
    return "-" if outcome.reason is None else RETRIED[outcome.retried]


def _counts(outcome: Outcome) -> str:
    match outcome.reason:
        case None:
            return "-"
        case Reason.RATE_LIMITED:
            return "no; others are preferred for the time that it asks for"
        case Reason.UPSTREAM_AUTHENTICATION_FAILED:
            return "no; it is `credential_refused`"
        case _:
            return "yes" if outcome.counts else "no"


def page(before: str) -> str:
    """The page with the table as it is now."""
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


def main() -> int:
    """Writes the page; with `--check` says whether it would change."""
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if "--check" in sys.argv:
        if before != after:
            sys.stderr.write("docs/reliability.md is out of date: run make reference\n")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
