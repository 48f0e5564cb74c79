"""Stop sequences, matched here."""

import pytest

from ccproxy.messages import EstimatedUsage, Request, Turn, Usage
from ccproxy.providers.stop_sequences import Estimates, StopSequences


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_the_cut_of_the_text_does_not_matter(size: int):
    """The sequence that is complete first counts."""
    stops = StopSequences(["END", "STOP", ""])
    text = "one EN two STOP three END"
    out = "".join(stops.feed(text[i : i + size]) for i in range(0, len(text), size)) + stops.flush()

    assert (out, stops.matched) == ("one EN two ", "STOP")


def test_what_was_held_back_is_not_lost():
    """It was no stop sequence after all."""
    stops = StopSequences(["END"])

    assert (stops.feed("an EN"), stops.flush(), stops.flush()) == ("an ", "EN", "")


def test_without_sequences_nothing_is_held_back():
    """It is the rule."""
    assert StopSequences([]).feed("END") == "END"


def test_what_was_said_is_remembered_while_sequences_are_looked_for():
    """The tokens of an answer that was stopped are estimated from it."""
    stops = StopSequences(["END"])
    stops.feed("one ")
    stops.feed("two END")

    assert stops.said == "one two END"


ESTIMATES = Estimates(Request("m", [Turn("user", "What is the time in Paris?")], 100), "gpt-4o")


def test_usage_that_did_not_come_is_estimated():
    """Claude Code shows the context by it, and makes room by it."""
    usage = ESTIMATES.fill(Usage(), "It is noon in Paris.")

    assert isinstance(usage, EstimatedUsage)
    assert 12 <= (usage.input_tokens or 0) <= 18
    assert 5 <= (usage.output_tokens or 0) <= 9


@pytest.mark.parametrize("known", [{"input_tokens": 7}, {"input_tokens": 0, "cache_read_input_tokens": 9}])
def test_what_the_provider_counted_stands(known: dict[str, int]):
    """A count is better than a guess; what was read from a cache is no other input."""
    usage = ESTIMATES.fill(Usage(**known), "noon")

    assert isinstance(usage, EstimatedUsage)
    assert (usage.input_tokens or 0) == known["input_tokens"]
    assert (usage.cache_read_input_tokens or 0) == known.get("cache_read_input_tokens", 0)
    assert usage.output_tokens


def test_whole_usage_is_no_estimate():
    """Gemini counts with every chunk."""
    usage = Usage(input_tokens=7, output_tokens=3)

    assert ESTIMATES.fill(usage, "noon") is usage
