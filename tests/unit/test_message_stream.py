"""The bounds of a streamed answer; its gate and its pings are told in test_proxy."""

import asyncio

import pytest
from unit.fakes import Step, answer
from unit.test_proxy import BLOCK, DELTA, START

from ccproxy import message_stream as module
from ccproxy.errors import ApiError, Reason
from ccproxy.message_stream import MessageStream
from ccproxy.patience import Patience
from ccproxy.providers.anthropic.stream import RelayStream


def streamed(*steps: Step, silence: float = 60) -> MessageStream:
    """A relayed stream."""
    patience = Patience(asyncio.get_running_loop().time() + 60)
    return MessageStream(answer(*steps), RelayStream("anthropic"), patience, {}, "anthropic", silence)


async def ending(stream: MessageStream) -> tuple[bytes, ApiError]:
    """What came, and the error behind it."""
    frames = b""
    with pytest.raises(ApiError) as caught:
        await stream.open()
        async for each in stream:
            frames += each
    return frames, caught.value


async def test_bytes_without_an_event_are_no_progress():
    """A byte a second keeps every read alive, and the caller waiting for ever."""
    drip = [step for _ in range(50) for step in (b":", 0.01)]
    frames, error = await ending(streamed(START + BLOCK, *drip, silence=0.05))

    assert frames == START + BLOCK
    assert (error.reason, error.provider) == (Reason.TIMEOUT, "anthropic")


@pytest.mark.parametrize("before", [b"", START, START + BLOCK])
async def test_silence_ends_a_stream_before_and_after_it_has_begun(before: bytes):
    """Shorter than the time until a ping, and until the gate opens by itself: the operator's word counts."""
    frames, error = await ending(streamed(*[before] * bool(before), 5.0, DELTA, silence=0.05))

    assert frames == (before if BLOCK in before else b"")
    assert (error.reason, error.provider) == (Reason.TIMEOUT, "anthropic")
    assert "no event for 0.05 s" in error.message


async def test_an_answer_without_end_is_ended(monkeypatch: pytest.MonkeyPatch):
    """It is our bound: the provider's health does not hear of it."""
    monkeypatch.setattr(module, "MAX_STREAM_BYTES", 2000)
    frames, error = await ending(streamed(START + BLOCK, *[DELTA] * 100))

    assert len(frames) < 2000 + len(DELTA)
    assert (error.reason, error.provider) == (Reason.UPSTREAM_INVALID_RESPONSE, None)


async def test_what_breaks_the_protocol_names_the_provider():
    """Its health hears of that."""
    _, error = await ending(streamed(START + BLOCK, b"data: nonsense\n\n"))

    assert (error.reason, error.provider) == (Reason.UPSTREAM_INVALID_RESPONSE, "anthropic")
