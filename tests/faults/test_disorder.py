"""A provider whose events come twice, in another order, with gaps, or not at all: never an answer out of order.

The wires that are translated. Of an Anthropic wire the relay passes on what comes, in the order in which it comes.
"""

import re
from random import Random
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from fuzz.targets import RELAYED, WIRES, corpus, exchange

from ccproxy import sse
from ccproxy.errors import ApiError, UpstreamProtocolError

CASES = 2000  # for each wire
BY_THE_SDK = 20  # one in so many is also read by the SDK, which takes its time
SEED = 29
_FRAME = re.compile(rb"\r?\n\r?\n")
_PLACE = re.compile(rb'("(?:index|output_index|content_index)"\s*:\s*)\d+')
_ARGUMENTS = re.compile(rb'("(?:arguments|delta|partial_json)"\s*:\s*")((?:[^"\\]|\\.)+)"')


def samples(wire: str) -> list[list[bytes]]:
    """The frames of whole answers: text, thinking, a tool."""
    framed = [[frame for frame in _FRAME.split(sample) if frame] for sample in corpus(f"stream-{wire}")]
    return [frames for frames in framed if read(wire, frames)[1]]


def disordered(frames: list[bytes], random: Random) -> list[bytes]:
    """The frames after one to three accidents."""
    frames = list(frames)
    for _ in range(random.randint(1, 3)):
        at, other = random.randrange(len(frames)), random.randrange(len(frames))
        match random.randrange(6):
            case 0:
                frames.insert(other, frames[at])
            case 1:
                frames[at], frames[other] = frames[other], frames[at]
            case 2:
                frames.insert(other, frames.pop(at))
            case 3 if len(frames) > 1:
                del frames[at]
            case 4:
                frames[at] = _PLACE.sub(lambda found: found[1] + b"%d" % random.choice((0, 1, 2, 7)), frames[at])
            case _:
                frames[at] = _ARGUMENTS.sub(
                    lambda found: found[1] + found[2][: len(found[2]) // 2] + b'"', frames[at]
                )
    return frames


def read(wire: str, frames: list[bytes]) -> tuple[bytes, bool]:
    """What the caller gets, and whether it is a whole answer."""
    stream = exchange(wire)[1].stream()
    out = b""
    try:
        for frame in frames:
            stream.feed(frame + b"\n\n")
            out += stream.take()
        stream.close()
    except (ApiError, UpstreamProtocolError):
        return out + stream.take(), False
    return out + stream.take(), True


def check_order(out: bytes, *, whole: bool) -> None:
    """The order that Anthropic's API documents; a beginning of it, where the answer is not whole.

    Source: https://platform.claude.com/docs/en/build-with-claude/streaming
    """
    events = [msgspec.json.decode(event.data) for event in sse.events(out)]
    types = [event["type"] for event in events if event["type"] != "ping"]
    assert types[:1] in ([], ["message_start"])
    block: dict[str, Any] | None = None
    count = 0
    said = ""
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert block is None
                assert event["index"] == count
                block, said = event["content_block"], ""
            case "content_block_delta":
                assert block is not None
                assert event["index"] == count
                said += event["delta"].get("partial_json", "")
            case "content_block_stop":
                assert block is not None
                assert event["index"] == count
                if block["type"] == "tool_use" and said:
                    assert isinstance(msgspec.json.decode(said), dict)
                block = None
                count += 1
            case "message_delta" | "message_stop":
                assert block is None
            case other:
                assert other == "ping"
    if whole:
        assert types[-2:] == ["message_delta", "message_stop"]
    assert types.count("message_delta") == types.count("message_stop") == int(whole)


def check_by_the_sdk(out: bytes) -> None:
    """The official SDK reads it to its end."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=out)
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as http,
        anthropic.Anthropic(api_key="x", http_client=http, max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        assert stream.get_final_message().stop_reason is not None


@pytest.mark.parametrize("wire", sorted(WIRES.keys() - RELAYED))
def test_disorder_becomes_a_whole_answer_or_a_failure(wire: str):
    """A client may act on each block that ends, and on the end itself: neither may be made of a mistake."""
    random = Random(SEED)  # noqa: S311  # for a test
    answers = samples(wire)
    wholes = 0
    for number in range(CASES):
        frames = disordered(random.choice(answers), random)
        out, whole = read(wire, frames)
        check_order(out, whole=whole)
        wholes += whole
        if whole and number % BY_THE_SDK == 0:
            check_by_the_sdk(out)

    assert CASES > wholes > 0


@pytest.mark.parametrize("wire", sorted(WIRES.keys() - RELAYED))
def test_order_is_what_the_check_finds(wire: str):
    """Else it would find nothing wrong above."""
    answers = samples(wire)
    assert len(answers) >= 3
    for frames in answers:
        out, _ = read(wire, frames)
        check_order(out, whole=True)
        told = out.split(b"\n\n")
        for at in range(len(told) - 1):
            if b'"content_block_delta"' not in told[at] and b"event: ping" not in told[at]:
                with pytest.raises(AssertionError):
                    check_order(b"\n\n".join(told[:at] + told[at + 1 :]), whole=True)
