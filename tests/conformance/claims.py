"""Which recordings the suites of this folder exercise: read from the tests themselves, not kept beside them."""

import importlib
from collections import defaultdict
from pathlib import Path

from conformance.recordings import Recording

KINDS = {
    "chat.completions": "answer",
    "responses": "answer",
    "messages": "answer",
    "generateContent": "answer",
    "generateContent (Vertex AI)": "answer",
    "models": "list of models",
    "count_tokens": "count of tokens",
}
"""What is answered, by the API."""


def kind_of(recording: Recording) -> str:
    """Its provider, API and kind, such as `openai chat.completions: stream`."""
    facts = recording.facts
    kind = KINDS[facts.api]
    if facts.http_status >= 400:
        kind = f"error ({kind})" if kind != "answer" else "error"
    elif recording.is_stream:
        kind = "stream"
    elif kind == "answer":
        kind = "whole answer"
    return f"{facts.provider} {facts.api}: {kind}"


def claims() -> dict[str, set[str]]:
    """Recording -> the tests (`suite::test`) that it is a case of."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if file.stem == "test_every_recording":
            continue
        suite = importlib.import_module(f"conformance.{file.stem}")
        for name, test in vars(suite).items():
            if name.startswith("test_"):
                for recording in _cases(test):
                    found[recording.name].add(f"{file.stem}::{name}")
    return found


def _cases(test: object) -> list[Recording]:
    """The recordings that a test is parametrised with."""
    cases: list[Recording] = []
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize" and mark.args[0] == "recording":
            cases += [value for value in (_value(case) for case in mark.args[1]) if isinstance(value, Recording)]
    return cases


def _value(case: object) -> object:
    values = getattr(case, "values", None)
    return values[0] if isinstance(values, tuple) else case
