"""The fault matrix: every fault of a provider, on every wire, whole and streamed, over HTTP and over gRPC.

Each cell checks the same nine things: what the caller is told; that a stream has one end that the SDK understands;
how often the provider was asked; the metrics; that neither key nor prompt is told to anyone; that nothing stays
open; how long it took; what the circuit learned; and the one line in the log.
"""

import asyncio
import time

import anthropic
import grpc
import httpx2
import msgspec
import pytest
from faults import document
from faults.behaviours import BEHAVIOURS, DRIP
from faults.bench import CANARIES, PATIENCE, SILENCE, Bench, Level, Seen, faulty, level, provider, serving, shorten
from faults.faultd import Faultd
from faults.table import FAULTS, Fault, Outcome
from faults.wires import TEXT, WIRES

from ccproxy import message_stream
from ccproxy.call import Call, Target
from ccproxy.circuit import State
from ccproxy.config import RetryConfig
from ccproxy.errors import RULES, ApiError, Reason, UpstreamProtocolError
from ccproxy.provider import UpstreamRequest
from ccproxy.providers import BY_TYPE
from ccproxy.upstream import HttpTransport

SECONDS = 5.0  # the longest that a cell may take; none waits for a whole second, but machines are busy
SETTLED_SECONDS = 2.0
COUNTED = (
    "ccproxy_requests_total",
    "ccproxy_request_errors_total",
    "ccproxy_stream_aborts_total",
    "ccproxy_upstream_requests_total",
    "ccproxy_requests_in_flight",
    "ccproxy_streams_active",
)
CELLS = [
    pytest.param(fault, wire, stream, edge, id=f"{fault.number}-{fault.name}-{wire}-{mode}-{edge}")
    for fault in FAULTS
    for wire in WIRES
    for mode, stream in (("whole", False), ("stream", True))
    for edge in ("http", "grpc")
    if fault.outcome(wire, stream=stream) is not None
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for minutes here."""
    shorten(monkeypatch)


def test_the_matrix_is_large():
    """A row that is lost, or a wire, would be missed by nobody."""
    assert len(CELLS) >= 500
    assert {fault.name for fault in FAULTS if not fault.place} <= set(BEHAVIOURS)


@pytest.mark.parametrize(("fault", "wire", "stream", "edge"), CELLS)
async def test_a_fault_comes_to_what_the_table_says(
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    wire: str,
    stream: bool,  # noqa: FBT001
    edge: str,
):
    """The table is what operators read, and what callers build upon."""
    shorten(monkeypatch, fault.waits)
    outcome = fault.outcome(wire, stream=stream)
    assert outcome is not None
    timeout = SILENCE if fault.waits == "bytes" else PATIENCE
    async with faulty(wire, fault.place, request_timeout=timeout) as bench, canary(bench) as followed:
        before = level()
        started = time.monotonic()
        seen = await bench.ask(edge, f"{wire},{fault.name}", stream=stream)
        took = time.monotonic() - started

        check_what_is_told(seen, outcome, edge, stream=stream)
        if edge == "http" and seen.status == 200 and stream:
            check_by_the_sdk(seen.body, outcome)
        assert len(bench.faultd.seen) == (0 if fault.place else len(outcome.classes))
        assert {turn.headers["accept-encoding"] for turn in bench.faultd.seen} <= {"identity"}
        check_metrics(bench, outcome, wire, edge, stream=stream)
        await check_nothing_is_open(bench, before)
        assert took < SECONDS
        check_circuit(bench, outcome, wire)
        told = seen.raw + await bench.texts()
        assert followed == []
    told += bench.log.getvalue().encode()
    for canary_ in CANARIES:
        assert canary_.encode() not in told
    check_log(bench, seen, outcome, edge)


class canary:  # noqa: N801  # reads as a verb
    """An address that the provider redirects to. What reaches it is kept."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    async def __aenter__(self) -> list[bytes]:
        followed: list[bytes] = []

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            followed.append(b"connected " + await reader.read(1000))
            writer.close()

        self._server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self._bench.faultd.canary = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/x"
        return followed

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


def check_what_is_told(seen: Seen, outcome: Outcome, edge: str, *, stream: bool) -> None:
    """Status, type, code, advice; and that a stream has one end."""
    ends = [event["type"] for event in seen.events if event["type"] in {"message_stop", "error"}]
    if outcome.reason is None:
        assert seen.failure is None
        assert seen.status == (200 if edge == "http" else 0)
        content = _folded(seen) if stream else seen.document["content"][0]["text"]
        assert content == TEXT
        assert ends == (["message_stop"] if stream else [])
        assert all(value.isascii() and value.isprintable() for value in seen.headers.values())
        return
    rule = RULES[outcome.reason]
    if outcome.begun and edge == "http":
        assert seen.status == 200
        assert ends == ["error"]
        assert seen.events[-1]["type"] == "error"
        assert seen.events[-1]["error"]["type"] == rule.type
        return
    assert seen.failure is not None
    assert ends == []
    assert seen.failure.type == rule.type
    assert seen.failure.has_request_id
    if edge == "grpc":
        assert seen.status == grpc.StatusCode[rule.grpc].value[0]
    assert seen.failure.http_status == (outcome.status or rule.status)
    if not outcome.begun:
        wanted = rule.retry if outcome.should_retry is None else outcome.should_retry
        assert seen.failure.should_retry == wanted
        assert seen.failure.retry_after == outcome.retry_after
        assert seen.headers["x-ccproxy-attempts"] == str(len(outcome.classes))


def _folded(seen: Seen) -> str:
    return "".join(
        event["delta"].get("text", "") for event in seen.events if event["type"] == "content_block_delta"
    )


def check_by_the_sdk(body: bytes, outcome: Outcome) -> None:
    """The official SDK reads the stream to its end: a message, or an error it knows."""
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    )
    with (
        httpx2.Client(transport=transport) as http,
        anthropic.Anthropic(api_key="x", http_client=http, max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        if outcome.reason is None:
            assert stream.get_final_text() == TEXT
            assert stream.get_final_message().usage.output_tokens == 4
        else:
            with pytest.raises(anthropic.APIStatusError) as caught:
                stream.until_done()
            assert caught.value.body["error"]["type"] == RULES[outcome.reason].type


def check_metrics(bench: Bench, outcome: Outcome, wire: str, edge: str, *, stream: bool) -> None:
    """Each number is exactly what happened, and none is anything else."""
    streams = "true" if stream else "false"
    ended = "success" if outcome.reason is None else "failed"
    expected: dict[tuple[str, ...], float] = {
        ("ccproxy_requests_total", edge, ended, wire, "provider,model", streams): 1,
    }
    for number, code_class in enumerate(outcome.classes):
        name = ("ccproxy_upstream_requests_total", "retry" if number else "first", code_class, wire)
        expected[name] = expected.get(name, 0) + 1
    if outcome.reason is not None:
        expected["ccproxy_request_errors_total", outcome.reason.lower(), edge, wire] = 1
    if outcome.begun:
        expected["ccproxy_stream_aborts_total", edge, "upstream"] = 1
    assert bench.metrics(*COUNTED) == expected


async def check_nothing_is_open(bench: Bench, before: Level) -> None:
    """Connections are back in their pool or closed; no task, no file is left. What is pooled has two ends here."""
    end = time.monotonic() + SETTLED_SECONDS
    while True:
        used, kept = bench.pooled()
        now = level()
        if (
            used == 0
            and bench.faultd.open == kept
            and now.files <= before.files + 2 * kept
            and (now.tasks <= before.tasks + kept)
        ):
            return
        if time.monotonic() > end:
            raise AssertionError(f"{before} became {now}; {used} used, {kept} kept, {bench.faultd.open} open")
        await asyncio.sleep(0.01)


def check_circuit(bench: Bench, outcome: Outcome, wire: str) -> None:
    """The circuit counts what the provider is to blame for, and nothing else."""
    circuit = bench.circuit(wire)
    now = asyncio.get_running_loop().time()
    assert circuit.state is State.CLOSED
    assert circuit.running == 0
    assert circuit._in_a_row == (len(outcome.classes) if outcome.counts else 0)
    assert circuit.refused == (outcome.reason is Reason.UPSTREAM_AUTHENTICATION_FAILED)
    assert circuit.rests(now) == (outcome.reason in {Reason.RATE_LIMITED, Reason.UPSTREAM_AUTHENTICATION_FAILED})


def check_log(bench: Bench, seen: Seen, outcome: Outcome, edge: str) -> None:
    """One line for the request, by the id that the caller has; and no mistake of ours among the others."""
    lines = bench.lines()
    [line] = [each for each in lines if each["logger"] == "ccproxy.requests"]
    assert line["request_id"] == seen.headers["request-id"]
    assert (line["edge"], line["attempts"]) == (edge, len(outcome.classes))
    assert line.get("reason", "") == (outcome.reason or "")
    assert line["outcome"] == ("success" if outcome.reason is None else "failed")
    assert not [each for each in lines if each["level"].lower() in {"error", "critical"}]
    again = [each for each in lines if "trying again" in each["msg"]]
    assert len(again) == len(outcome.classes) - 1


@pytest.mark.parametrize("wire", WIRES)
def test_an_answer_cut_anywhere_is_no_answer(wire: str):
    """Half a document must never become a shorter one."""
    whole = WIRES[wire].whole
    config = provider(WIRES[wire], "http://127.0.0.1:1")
    document = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    call = Call(edge="http", request_id="req_1", body=msgspec.json.encode(document))
    exchange = BY_TYPE[config.kind](config).exchange(call, call.head(), Target(wire, "m", "default"))

    assert msgspec.json.decode(exchange.answer(whole).body)["content"][0]["text"] == TEXT
    for at in range(len(whole)):
        with pytest.raises(UpstreamProtocolError):
            exchange.answer(whole[:at])


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("second", "wait"), [("second_response", 0.0), ("late_second_response", 5 * DRIP)])
async def test_a_second_answer_poisons_nobody(wire: str, second: str, wait: float):
    """Whoever comes next would get the answer that nobody asked for."""
    async with faulty(wire) as bench:
        for stream in (False, True):
            for model in (second, "good", "good"):
                await asyncio.sleep(wait)  # the second answer has come
                seen = await bench.ask("http", f"{wire},{model}", stream=stream)
                assert (_folded(seen) if stream else seen.document["content"][0]["text"]) == TEXT
        assert bench.faultd.connections == 3


@pytest.mark.parametrize("wire", WIRES)
async def test_no_fault_is_felt_by_the_next_request(wire: str):
    """It comes at once, and on the same connection where that is still open."""
    quick = [fault for fault in FAULTS if not fault.place and not fault.waits]
    no_circuit = RetryConfig(open_after=0)
    async with (
        Faultd.serve(BEHAVIOURS) as faultd,
        serving([provider(WIRES[wire], faultd.url(WIRES[wire]))], faultd, retry=no_circuit) as bench,
    ):
        for fault in quick:
            for stream in (False, True):
                if fault.outcome(wire, stream=stream) is not None:
                    await bench.ask("http", f"{wire},{fault.name}", stream=stream)
                    seen = await bench.ask("http", f"{wire},good", stream=stream)
                    assert seen.failure is None, f"{fault.name}: {bench.faultd.seen[-1].before}"
                    assert (_folded(seen) if stream else seen.document["content"][0]["text"]) == TEXT


@pytest.mark.parametrize("fault", ["nul_in_header", "not_http", "reset_before_answer", "fin_mid_head"])
async def test_the_next_answer_on_a_connection_spoils_none_before_it(fault: str):
    """An answer that came whole is whole, however late it is read, and whatever its connection serves by then."""
    wire = WIRES["gemini"]  # its streams end where the body does
    async with Faultd.serve(BEHAVIOURS) as faultd, HttpTransport(wire.name) as transport:

        def asked(model: str) -> UpstreamRequest:
            body = b'{"model":"%b","stream":true}' % model.encode()
            return UpstreamRequest("POST", faultd.url(wire), {}, body)

        async with transport.send(asked("good"), stream=True) as answer:
            await asyncio.sleep(SETTLED_SECONDS / 20)  # all of it has come, and the connection is free again
            with pytest.raises(ApiError):
                async with transport.send(asked(fault), stream=True) as next_answer:
                    await next_answer.body()
            body = await answer.body()
        assert faultd.seen[1].nth_on_connection == 2

    assert body == wire.frames


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("edge", ["http", "grpc"])
async def test_a_refusal_that_comes_before_the_request_is_sent_is_heard(wire: str, edge: str):
    """A provider need not take twenty megabytes to say that they are too many."""
    async with Faultd.serve(BEHAVIOURS) as faultd:
        url = f"http://127.0.0.1:{faultd.port}/{wire}/early{WIRES[wire].path}"
        async with serving([provider(WIRES[wire], url)], faultd, request_timeout=20) as bench:
            seen = await bench.ask(edge, f"{wire},too_large", stream=False, system="x" * (8 << 20))

    assert seen.failure is not None
    assert (seen.failure.type, seen.failure.http_status) == ("request_too_large", 413)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("edge", ["http", "grpc"])
async def test_a_stream_that_is_late_begins_without_content(monkeypatch: pytest.MonkeyPatch, wire: str, edge: str):
    """After the gate's time the status is out, so that nothing in between gives up: a failure is then an event."""
    shorten(monkeypatch, "bytes")
    monkeypatch.setattr(message_stream, "GATE_SECONDS", SILENCE / 5)
    async with faulty(wire) as bench:
        seen = await bench.ask(edge, f"{wire},silent_after_head", stream=True)

    if edge == "http":
        assert seen.status == 200
        assert seen.body.startswith(b": keep-alive\n\n")
        assert [event["type"] for event in seen.events] == ["error"]
        assert seen.events[0]["error"]["type"] == "timeout_error"
    else:
        assert seen.failure is not None
        assert seen.failure.type == "timeout_error"


def test_the_page_says_what_the_table_says():
    """Operators read the page."""
    written = document.PAGE.read_text(encoding="utf-8")

    assert document.page(written) == written
