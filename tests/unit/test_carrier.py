"""Reasoning state in a signature: it comes back as it went, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy.carrier import PREFIX, Carried, pack, unpack

STATE = Carried("gemini", "gemini-3", "thought", Raw(b'{"a": 1e5, "b":"x"}'))


def test_state_comes_back_byte_for_byte():
    """Providers sign it."""
    back = unpack(pack(STATE))

    assert back is not None
    assert (back.provider, back.model, back.kind) == ("gemini", "gemini-3", "thought")
    assert bytes(back.data) == bytes(STATE.data)


def test_a_carrier_is_plain_text():
    """It passes through headers, logs and JSON of any client unchanged."""
    assert pack(STATE).isascii()
    assert not set(pack(STATE)) & set('+/= \n"\\')


@pytest.mark.parametrize(
    "signature",
    ["", "EqQBCkgIBRABGAIiQ", PREFIX, PREFIX + "!!!", PREFIX + "e30", pack(STATE)[:-3], pack(STATE) + "é"],
)
def test_what_is_not_ours_carries_nothing(signature: str):
    """Anthropic's own signatures, and what somebody has cut."""
    assert unpack(signature) is None


@given(st.text())
def test_any_text_is_read_or_not(text: str):
    """Never an exception: it came from a client."""
    found = unpack(PREFIX + text)

    assert found is None or isinstance(found, Carried)
