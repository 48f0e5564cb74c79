"""Stop sequences, matched here."""

import pytest

from ccproxy.providers.stop_sequences import StopSequences


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
