"""The prompt cache's guardian: a conversation that grows keeps its beginning, byte for byte, on every wire.

Providers cache by the exact prefix of the prompt. A translator that spells one earlier piece anew makes each turn
of a long session pay for the whole conversation again, and nobody sees it but on the bill.
"""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conformance.conversations import (
    CLAUDE_CODE,
    CLAUDE_CODE_SYSTEM,
    LONG,
    SIGNATURES,
    TOOLS,
    Turn,
    conversations,
    grown,
    systems,
)
from conformance.recordings import Recording, asked_of_claude, each
from conformance.wires import ALL, ANTHROPIC, OPENROUTER, RESPONSES, TRANSLATED, Request, Wire, asked, named
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy.providers.conversation import BILLING_HEADER

MARK = {"cache_control": {"type": "ephemeral"}}
REMINDER = {"type": "text", "text": "<system-reminder>\nThe time is 12:03.\n</system-reminder>"}

every_wire = pytest.mark.parametrize("wire", ALL, ids=named)
translating = pytest.mark.parametrize("wire", TRANSLATED, ids=named)


def assert_begins(later: list[bytes], earlier: list[bytes]) -> None:
    """Each piece of `earlier` comes first in `later`, unchanged."""
    assert later[: len(earlier)] == earlier
    assert earlier


def assert_grows(wire: Wire, requests: list[Request]) -> None:
    """Each request begins as the one before."""
    all_pieces = [wire.pieces(wire.body(request)) for request in requests]
    for earlier, later in pairwise(all_pieces):
        assert_begins(later, earlier)
        assert len(later) > len(earlier)


def requests_of(rounds: list[list[Turn]], **members: Any) -> list[Request]:
    """The requests of a growing conversation."""
    return [{**members, "messages": turns} for turns in grown(rounds)]


@every_wire
@settings(max_examples=60, deadline=None)
@given(rounds=conversations(), system=systems)
def test_a_growing_conversation_keeps_its_beginning(wire: Wire, rounds: list[list[Turn]], system: Any):
    """Whatever is in it: the next turn is read from the cache, and only what is new is paid for."""
    assert_grows(wire, requests_of(rounds, system=system, tools=TOOLS))


@every_wire
def test_a_session_of_claude_code_keeps_its_beginning(wire: Wire):
    """It is the longest conversation there is, with errors, pictures and interrupted calls."""
    assert_grows(wire, requests_of(CLAUDE_CODE, system=CLAUDE_CODE_SYSTEM, tools=TOOLS))


def prefixes(recording: Recording) -> list[Request]:
    """The requests of a recorded conversation, from the first to the one that was recorded."""
    request: dict[str, Any] = msgspec.json.decode(recording.request or b"", type=dict[str, Raw])
    turns = msgspec.json.decode(request["messages"], type=list[dict[str, Raw]])
    ends = [index + 1 for index, turn in enumerate(turns) if bytes(turn["role"]) == b'"user"']
    ends = [end for end in ends if end == len(turns) or bytes(turns[end]["role"]) == b'"assistant"']
    return [{**request, "messages": turns[:end]} for end in ends]


@every_wire
@each([r for r in asked_of_claude() if len(prefixes(r)) > 1])
def test_a_recorded_conversation_keeps_its_beginning(recording: Recording, wire: Wire):
    """As real clients send it, blocks that are not modelled included."""
    assert_grows(wire, prefixes(recording))


def marked(content: Any) -> list[dict[str, Any]]:
    """Content with a cache mark on its last block, as Claude Code moves it along."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
    if blocks[-1]["type"] not in {"thinking", "redacted_thinking"}:  # these take none
        blocks[-1] = {**blocks[-1], **MARK}
    return blocks


def noisy(request: Request, number: int) -> Request:
    """The request as Claude Code sends it: attribution, marks on the last turns, a reminder in the newest."""
    system = request["system"]
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    attribution = {"type": "text", "text": f"{BILLING_HEADER}: cc_version=2.1.{number}; cch={number * 7919:x}"}
    turns = [*request["messages"]]
    newest = turns[-1]["content"]
    said = [{"type": "text", "text": newest}] if isinstance(newest, str) else newest
    if turns[-1]["role"] == "user":
        said = [*said, REMINDER]
    turns[-1] = {**turns[-1], "content": said}
    for index in range(max(0, len(turns) - 5), len(turns)):
        if turns[index]["role"] != "system":
            turns[index] = {**turns[index], "content": marked(turns[index]["content"])}
    return {**request, "system": [attribution, *marked(blocks)], "messages": turns}


def assert_noise_is_unheard(wire: Wire, requests: list[Request]) -> None:
    """What stood in the last request without its noise begins the next with all of it."""
    for number, request in enumerate(requests[1:], 1):
        assert_begins(wire.pieces(wire.body(noisy(request, number))), wire.pieces(wire.body(requests[number - 1])))


@translating
def test_the_noise_of_claude_code_leaves_the_beginning_alone(wire: Wire):
    """Marks move, the attribution and the reminders change: no earlier piece may change with them."""
    assert_noise_is_unheard(wire, requests_of(CLAUDE_CODE, system=marked(CLAUDE_CODE_SYSTEM), tools=TOOLS))


@translating
@settings(max_examples=60, deadline=None)
@given(rounds=conversations(), system=st.lists(st.just(CLAUDE_CODE_SYSTEM[0]), min_size=1, max_size=2))
def test_noise_in_any_conversation_leaves_the_beginning_alone(wire: Wire, rounds: list[list[Turn]], system: Any):
    """A mark may be on any block of any turn."""
    assert_noise_is_unheard(wire, requests_of(rounds, system=marked(system), tools=TOOLS))


@translating
def test_no_trace_of_the_attribution_goes_to_another_provider(wire: Wire):
    """It changes from request to request, and tells what it is not for."""
    request = {"messages": grown(CLAUDE_CODE)[-1], "system": CLAUDE_CODE_SYSTEM, "tools": TOOLS}

    assert BILLING_HEADER.encode() not in wire.body(noisy(request, 1))


@translating
def test_a_tool_keeps_its_name_upstream(wire: Wire):
    """A name that is too long is changed, in the same way in each request, where it is declared and called."""
    requests = requests_of(CLAUDE_CODE, tools=TOOLS)
    reversed_tools = [{**request, "tools": TOOLS[::-1]} for request in requests]

    declared = wire.body(requests[0]), wire.body(reversed_tools[0])
    names = {
        word
        for body in declared
        for word in body.decode().split('"')
        if word.startswith(LONG[:30]) and " " not in word
    }
    assert len(names) == 1
    assert wire.body(requests[1]).count(f'"{names.pop()}"'.encode()) >= 2


@every_wire
def test_a_prompt_depends_on_nothing_but_the_request(wire: Wire):
    """Neither on its id, nor on the session it is said to belong to, nor on what was asked before."""
    request = {"messages": grown(CLAUDE_CODE)[-1], "system": CLAUDE_CODE_SYSTEM, "tools": TOOLS}
    first = wire.body(request, request_id="req_1", x_claude_code_session_id="one", x_request_id="a")
    wire.body({"messages": [{"role": "user", "content": "something else"}]})
    second = wire.body(request, request_id="req_2", x_claude_code_session_id="two", x_request_id="b")

    assert wire.pieces(first) == wire.pieces(second)
    assert wire.body(request, request_id="req_3") == wire.body(request, request_id="req_4")


def printed() -> bytes:
    """All that goes out for the session of Claude Code, on every wire."""
    requests = requests_of(CLAUDE_CODE, system=CLAUDE_CODE_SYSTEM, tools=TOOLS, metadata={"user_id": "u"})
    exchanges = [wire.exchange(request) for wire in ALL for request in requests]
    return b"\n".join((each.request.body or b"") + " ".join(each.dropped).encode() for each in exchanges)


def test_every_process_writes_the_same_bytes():
    """Replicas share the provider's cache, and a restart must not empty it."""
    tests = Path(__file__).resolve().parents[1]
    script = "import sys; from conformance.test_prompt_cache import printed; sys.stdout.buffer.write(printed())"
    written = []
    for seed in ("0", "1", "4242"):
        paths = os.pathsep.join([str(tests), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        written.append(
            subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True)
        )

    assert [each.stdout for each in written] == [printed()] * 3


@settings(max_examples=100, deadline=None)
@given(rounds=conversations(), system=systems)
def test_the_relay_changes_no_byte_but_the_model(rounds: list[list[Turn]], system: Any):
    """Signatures of later models are bound to the bytes before them; attribution and marks are Anthropic's own."""
    kept = without_foreign_thinking(rounds)
    request = noisy({"messages": grown(kept)[-1], "system": system, "tools": TOOLS}, 1)
    came = asked(request).body

    assert ANTHROPIC.body(request) == came.replace(b'"model":"claude-opus-5-5"', b'"model":"claude-sonnet-5-5"', 1)


@settings(max_examples=100, deadline=None)
@given(rounds=conversations(), system=systems)
def test_the_relay_takes_out_foreign_thinking_and_nothing_else(rounds: list[list[Turn]], system: Any):
    """All other blocks keep their bytes."""
    request = {"messages": grown(rounds)[-1], "system": system, "tools": TOOLS}
    expected = {**request, "messages": grown(without_foreign_thinking(rounds))[-1]}

    assert ANTHROPIC.pieces(ANTHROPIC.body(request)) == ANTHROPIC.pieces(asked(expected).body)


def without_foreign_thinking(rounds: list[list[Turn]]) -> list[list[Turn]]:
    """The conversation with Anthropic's own thinking alone."""

    def is_own(block: dict[str, Any]) -> bool:
        return block["type"] != "thinking" or block["signature"] == SIGNATURES[0]

    return [
        [
            turn
            if isinstance(turn["content"], str)
            else {**turn, "content": [block for block in turn["content"] if is_own(block)]}
            for turn in turns
        ]
        for turns in rounds
    ]


AFFINE = {"openai_responses": (RESPONSES, "prompt_cache_key"), "openrouter": (OPENROUTER, "session_id")}
SESSIONS = ("0b5e2f6e-8f5a-4a7b-9d0c-3a5a8f1f3f10", "0b5e2f6e-8f5a-4a7b-9d0c-3a5a8f1f3f11")


@pytest.mark.parametrize("name", AFFINE)
def test_a_session_keeps_its_key_and_shares_it_with_none(name: str):
    """The key leads a session's requests to the machine that has its cache; it stays as the conversation grows."""
    wire, member = AFFINE[name]
    requests = requests_of(CLAUDE_CODE, system=CLAUDE_CODE_SYSTEM, tools=TOOLS)
    keys = [
        {msgspec.json.decode(wire.body(each, x_claude_code_session_id=session))[member] for each in requests}
        for session in SESSIONS
    ]

    assert [len(found) for found in keys] == [1, 1]
    assert keys[0] != keys[1]
    assert member not in msgspec.json.decode(wire.body(requests[0]))


@translating
def test_who_asks_is_told_to_nobody(wire: Wire):
    """The user's id names a person's account. Where a provider wants one, it gets the same hash each time."""
    ids = [f"user_{'ab' * 32}_account_{session}_session_{session}" for session in SESSIONS]
    requests = [{"messages": [{"role": "user", "content": "hi"}], "metadata": {"user_id": id_}} for id_ in ids]
    bodies = [wire.body(request) for request in requests]

    for body in bodies:
        assert all(part not in body for part in (b"abab", b"account", SESSIONS[0].encode(), SESSIONS[1].encode()))
    assert bodies[0] == wire.body(requests[0])
    told = [msgspec.json.decode(body).keys() & {"user", "safety_identifier"} for body in bodies]
    assert (bodies[0] == bodies[1]) is not any(told)
