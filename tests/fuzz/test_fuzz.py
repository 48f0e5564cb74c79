"""Bytes from outside give a result or a failure that somebody planned, never another exception.

`make test` replays the corpus and changes it some hundred times; `make fuzz` many thousand times. What breaks a
target is written into its corpus, so that it is replayed from then on.
"""

import hashlib
import os
from random import Random

import pytest
from fuzz.bytes import mutated
from fuzz.targets import ALLOWED, CORPUS, TARGETS, corpus

CASES = int(os.environ.get("CCPROXY_FUZZ_CASES", "2000")) // 10
SEED = os.environ.get("CCPROXY_FUZZ_SEED", "hostile")


def run(target: str, data: bytes) -> None:
    """Gives `data` to a target, and lets through what it may not raise."""
    try:
        TARGETS[target](data)
    except ALLOWED:
        return


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_corpus(target: str):
    """Random bytes alone never come past the first check."""
    assert len(corpus(target)) >= 2


@pytest.mark.parametrize("target", TARGETS)
def test_what_once_broke_it_breaks_it_no_more(target: str):
    """And what is right is read."""
    for data in (b"", *corpus(target)):
        run(target, data)


@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_break_it(target: str):
    """Whatever is cut, flipped, doubled or mixed."""
    random = Random(f"{SEED} {target}")  # noqa: S311  # for a test
    seeds = corpus(target)
    for _ in range(CASES):
        data = mutated(seeds, random)
        try:
            run(target, data)
        except BaseException:
            (CORPUS / target / f"crash-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            raise
