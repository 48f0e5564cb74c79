"""Counts, at the end of a run, which recordings passed which suites."""

from collections import Counter, defaultdict
from collections.abc import Generator

import pytest
from conformance.claims import kind_of
from conformance.nearest import ASKED, not_derivable, unsaid
from conformance.recordings import Recording, all_recordings

Outcomes = dict[str, dict[str, set[str]]]
"""Recording -> suite -> the outcomes of its tests: passed, skipped, failed."""

OUTCOMES = pytest.StashKey[Outcomes]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Takes note of what a recording's test came to."""
    report = yield
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    recording = params.get("recording")
    if isinstance(recording, Recording) and (report.when == "call" or report.outcome != "passed"):
        outcomes = item.config.stash.setdefault(OUTCOMES, defaultdict(lambda: defaultdict(set)))
        outcomes[recording.name][item.path.stem.removeprefix("test_")].add(report.outcome)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A line for each kind of recording: how many there are, and how many passed each suite."""
    outcomes = config.stash.get(OUTCOMES, {})
    if not outcomes:
        return
    terminalreporter.section("recordings")
    totals, asked, suites = Counter[str](), Counter[str](), defaultdict[str, Counter[str]](Counter)
    for recording in all_recordings():
        kind = kind_of(recording)
        totals[kind] += 1
        asked[kind] += recording.request is not None
        for suite, seen in outcomes.get(recording.name, {}).items():
            suites[kind][f"{suite}{' FAILED' if 'failed' in seen else ''}"] += "passed" in seen or "failed" in seen
    for kind, total in sorted(totals.items()):
        passed = ", ".join(f"{suite} {count}" for suite, count in sorted(suites[kind].items()) if count)
        terminalreporter.line(f"{kind:50} {total:3} ({asked[kind]:2} with request): {passed or 'not run'}")
    run = sum(recording.name in outcomes for recording in all_recordings())
    terminalreporter.line(f"{run} of {totals.total()} recordings exercised")
    if any("derived_requests" in seen for seen in outcomes.values()):
        reasons = Counter(not_derivable().values()).most_common()
        told = ", ".join(f"{reason} {count}" for reason, count in reasons)
        terminalreporter.line(f"{len(ASKED)} requests, of which {len(not_derivable())} have no near one: {told}")
        members = ", ".join(f"{name} {count}" for name, count in unsaid().most_common())
        terminalreporter.line(f"members that the others leave out: {members}")
