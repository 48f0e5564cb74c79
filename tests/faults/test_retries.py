"""What follows a failed attempt: never a second answer, never a multiplied load; a fallback where one may be."""

import asyncio
from email.utils import formatdate

import msgspec
import pytest
from faults.behaviours import BEHAVIOURS, answers
from faults.bench import PATIENCE, PROMPT, SILENCE, Bench, provider, serving, shorten, with_fallback
from faults.faultd import Faultd, Turn
from faults.table import FAULTS, Fault
from faults.wires import WIRES

from ccproxy import circuit
from ccproxy.call import Call
from ccproxy.circuit import State
from ccproxy.config import RetryConfig
from ccproxy.errors import ApiError, Reason

FAILING = [
    pytest.param(fault, stream, id=f"{fault.number}-{fault.name}-{mode}")
    for fault in FAULTS
    for mode, stream in (("whole", False), ("stream", True))
    if (outcome := fault.outcome("anthropic", stream=stream)) is not None and outcome.reason is not None
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for minutes here."""
    shorten(monkeypatch)


@pytest.mark.parametrize("uncertain", [False, True])
@pytest.mark.parametrize(("fault", "stream"), FAILING)
async def test_a_fallback_answers_where_the_table_says_so(
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    stream: bool,  # noqa: FBT001
    uncertain: bool,  # noqa: FBT001
):
    """And nowhere else: what may have been billed is asked again only where the operator accepts that."""
    shorten(monkeypatch, fault.waits)
    timeout = SILENCE if fault.waits == "bytes" and not stream else PATIENCE
    outcome = fault.outcome("anthropic", stream=stream)
    assert outcome is not None
    follows = outcome.retried in {"once", "elsewhere"} or (outcome.retried == "uncertain" and uncertain)
    retry = RetryConfig(uncertain=uncertain)
    async with with_fallback(fault.name, where=fault.place, retry=retry, request_timeout=timeout) as bench:
        seen = await bench.ask("http", "claude-x", stream=stream)

        asked = [turn.wire.name for turn in bench.faultd.seen]
    assert asked.count("openai_chat") == (1 if follows else 0)
    if not fault.place:
        assert asked.count("anthropic") == len(outcome.classes)
    if follows:
        assert seen.failure is None
        assert seen.headers["x-ccproxy-provider"] == "openai_chat"
        assert seen.headers["x-ccproxy-attempts"] == str(len(outcome.classes) + 1)
        assert {event["type"] for event in seen.events} >= ({"message_stop"} if stream else set())
    elif outcome.begun:
        assert [event["type"] for event in seen.events if event["type"] == "message_start"] == ["message_start"]
        assert seen.events[-1]["type"] == "error"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_idle_connection_that_the_provider_closed_is_noticed_by_nobody(wire: str, stream: bool):  # noqa: FBT001
    """Providers close idle connections when they like, also while a request is on its way."""
    async with Faultd.serve(BEHAVIOURS) as faultd:
        providers = [provider(WIRES[wire], faultd.url(WIRES[wire]))]
        async with serving(providers, faultd, retry=RetryConfig(attempts=1)) as bench:
            for _ in range(40):
                seen = await bench.ask("http", f"{wire},closes_reused", stream=stream)
                assert (seen.status, seen.failure) == (200, None)
                assert seen.headers["x-ccproxy-attempts"] == "1"

            assert bench.circuit(wire).state is State.CLOSED
            assert bench.circuit(wire)._in_a_row == 0
            assert len(faultd.seen) == 40 + 39
            assert faultd.connections == 40


NOW = 1_800_000_000
SPELLINGS = {
    "seconds": ("30", 30),
    "fraction": ("2.5", 3),
    "spaces": ("  30 ", 30),
    "zero": ("0", None),
    "negative": ("-5", None),
    "huge": ("1e9", 3600),
    "beyond numbers": ("9" * 400, 3600),
    "not a number": ("NaN", None),
    "infinite": ("inf", 3600),
    "words": ("soon", None),
    "empty": ("", None),
    "date": (formatdate(NOW + 90, usegmt=True), 90),
    "date in the past": (formatdate(NOW - 90, usegmt=True), None),
    "date far off": (formatdate(NOW + 10**7, usegmt=True), 3600),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_every_spelling_of_retry_after_becomes_whole_seconds_or_nothing(wire: str, spelling: str):
    """Claude Code waits as long as it says, so it must be a number that can be waited for."""
    told, expected = SPELLINGS[spelling]
    limited = answers(429, retry_after=told, date=formatdate(NOW, usegmt=True))
    async with Faultd.serve({"limited": limited}) as faultd:
        providers = [provider(WIRES[wire], faultd.url(WIRES[wire]))]
        async with serving(providers, faultd) as bench:
            for edge in ("http", "grpc"):
                seen = await bench.ask(edge, f"{wire},limited", stream=False)
                assert seen.failure is not None
                assert (seen.failure.http_status, seen.failure.retry_after) == (429, expected)
            assert len(faultd.seen) == 2


async def test_a_rate_limit_of_a_second_is_waited_for():
    """A fallback, and a failure, would be worse."""

    async def limited(turn: Turn) -> None:
        await (answers(429, retry_after="1") if turn.nth == 1 else BEHAVIOURS["good"])(turn)

    async with Faultd.serve({"limited": limited}) as faultd:
        wire = WIRES["anthropic"]
        async with serving([provider(wire, faultd.url(wire))], faultd) as bench:
            seen = await bench.ask("http", "anthropic,limited", stream=False)

    assert seen.failure is None
    assert seen.headers["x-ccproxy-attempts"] == "2"


def _call(model: str) -> Call:
    document = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": PROMPT}]}
    return Call(edge="http", request_id="req_1", body=msgspec.json.encode(document))


async def _asked(bench: Bench, model: str) -> Reason | None:
    """What one call comes to, without the cost of an edge."""
    try:
        await bench.service.proxy.create_message(_call(model))
    except ApiError as error:
        return error.reason
    return None


@pytest.mark.parametrize("recovers", [True, False])
async def test_a_thousand_callers_make_one_probe(recovers: bool):  # noqa: FBT001
    """A provider that comes back must not be met by everyone who waited for it."""
    answering = asyncio.Event()

    async def probed(turn: Turn) -> None:
        await answering.wait()
        await (BEHAVIOURS["good"] if recovers else BEHAVIOURS["failed_500"])(turn)

    async with Faultd.serve({**BEHAVIOURS, "probed": probed}) as faultd:
        wire = WIRES["anthropic"]
        once = RetryConfig(attempts=1)
        async with serving([provider(wire, faultd.url(wire))], faultd, retry=once) as bench:
            for _ in range(circuit.FAILURES_IN_A_ROW):
                assert await _asked(bench, "anthropic,failed_500") is Reason.INTERNAL
            known = bench.circuit("anthropic")
            assert known.state is State.OPEN
            assert await _asked(bench, "anthropic,good") is Reason.OVERLOADED
            before = len(faultd.seen)
            assert before == circuit.FAILURES_IN_A_ROW

            known._until = asyncio.get_running_loop().time()  # its time is over
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_asked(bench, "anthropic,probed")) for _ in range(1000)]
                await asyncio.wait(tasks, timeout=20, return_when=asyncio.FIRST_COMPLETED)
                assert known.state is State.HALF_OPEN
                await asyncio.wait(tasks[1:], timeout=20)
                answering.set()

            outcomes = [task.result() for task in tasks]
            assert len(faultd.seen) == before + 1
            assert outcomes.count(Reason.OVERLOADED) == 999
            assert outcomes[0] is (None if recovers else Reason.INTERNAL)
            assert known.state is (State.CLOSED if recovers else State.OPEN)
            assert await _asked(bench, "anthropic,good") is (None if recovers else Reason.OVERLOADED)


@pytest.mark.parametrize("fault", ["overloaded_529", "reset_before_answer", "error_in_answer"])
async def test_a_provider_that_fails_is_not_asked_more_often_than_the_budget_allows(fault: str):
    """A fifth more than its calls, the ten that are saved up, and one a second: also where no circuit opens."""
    calls, without_circuit = 400, RetryConfig(open_after=0)
    async with Faultd.serve(BEHAVIOURS) as faultd:
        wire = WIRES["anthropic"]
        async with serving([provider(wire, faultd.url(wire))], faultd, retry=without_circuit) as bench:
            started = asyncio.get_running_loop().time()
            for _ in range(0, calls, 20):
                await asyncio.gather(*(_asked(bench, f"anthropic,{fault}") for _ in range(20)))
            took = asyncio.get_running_loop().time() - started

    assert calls <= len(faultd.seen) <= calls * 1.2 + 10 + took + 1


async def test_a_provider_that_fails_is_soon_not_asked_at_all():
    """With its circuit, as it is for an operator: five failures, and then nothing but refusals of ours."""
    async with Faultd.serve(BEHAVIOURS) as faultd:
        wire = WIRES["anthropic"]
        async with serving([provider(wire, faultd.url(wire))], faultd) as bench:
            reasons = [await _asked(bench, "anthropic,failed_500") for _ in range(200)]

    assert len(faultd.seen) == circuit.FAILURES_IN_A_ROW
    assert reasons == [Reason.INTERNAL] * 5 + [Reason.OVERLOADED] * 195


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.stream and fault.stream.begun], ids=lambda f: f.name
)
async def test_an_answer_that_has_begun_is_never_begun_again(monkeypatch: pytest.MonkeyPatch, fault: Fault):
    """Not even with everything allowed, and however many fail at once: two beginnings are one corrupted answer."""
    shorten(monkeypatch, fault.waits)
    bold = RetryConfig(attempts=10, budget_percent=100, uncertain=True, open_after=0)
    async with with_fallback(fault.name, retry=bold) as bench:
        answers_ = await asyncio.gather(*(bench.ask("http", "claude-x", stream=True) for _ in range(20)))

        assert [turn.wire.name for turn in bench.faultd.seen] == ["anthropic"] * 20
    for seen in answers_:
        kinds = [event["type"] for event in seen.events]
        assert kinds.count("message_start") == 1
        assert kinds.count("error") == 1
        assert kinds[-1] == "error"
