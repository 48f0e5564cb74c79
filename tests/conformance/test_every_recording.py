"""No recording is passed over."""

import pytest
from conformance.claims import claims, kind_of
from conformance.nearest import not_derivable
from conformance.recordings import ABSENT, all_recordings

NOT_EXERCISED: dict[str, str] = {}
"""Recordings that no suite can use, and why."""

pytestmark = pytest.mark.skipif(not all_recordings(), reason=ABSENT)


def test_every_recording_is_exercised_or_its_reason_is_given():
    """What is left out without a word looks as if it passed."""
    claimed = claims()
    left_out = [f"{r.name} ({kind_of(r)})" for r in all_recordings() if not claimed[r.name]]

    assert [name for name in left_out if name.partition(" ")[0] not in NOT_EXERCISED] == []
    assert [name for name in NOT_EXERCISED if claimed[name]] == []


def test_every_recorded_request_is_exercised_too():
    """An answer alone says nothing about what was asked. A request that was refused is no model to follow."""
    claimed = claims()
    requests = ("_requests", "_relay", "_service")

    assert [
        r.name
        for r in all_recordings()
        if r.request is not None
        and r.facts.http_status == 200
        and r.name not in not_derivable()
        and not any(suite in test for test in claimed[r.name] for suite in requests)
    ] == []
