"""What hostile and broken HTTP clients send: never a 5xx, never a foreign body, never their words back."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from abuse.cases import CASES, CLOSED, OK, SMUGGLING
from abuse.wire import CANARY, Wire, post, request

from ccproxy.app import Service, running
from ccproxy.config import Config

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service() -> AsyncIterator[Service]:
    """One service for all of it: what one client does must not harm the next."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def wire(service: Service) -> AsyncIterator[Wire]:
    """A connection to the service."""
    wire = await Wire.open(service.http_port)
    yield wire
    await wire.close()


async def test_there_are_many_cases():
    """The figure is a promise."""
    assert len(CASES) >= 120


@pytest.mark.parametrize("name", CASES)
async def test_it_is_refused_in_our_words(
    service: Service, wire: Wire, caplog: pytest.LogCaptureFixture, name: str
):
    """The error is Anthropic's envelope; neither it nor the log quotes the request; the next client is served."""
    caplog.set_level(logging.DEBUG)
    data, statuses = CASES[name]
    await wire.send(data)
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    answer = await wire.answer(method)

    assert (CLOSED if answer is None else answer.status) in statuses
    if answer is not None and answer.status >= 400 and method != "HEAD":
        assert answer.error.endswith(("_error", "request_too_large"))
    assert CANARY.encode() not in wire.received
    assert CANARY not in caplog.text
    assert "Traceback" not in caplog.text
    other = await Wire.open(service.http_port)
    await other.send(request())
    assert (await other.answer()).status == 200
    await other.close()


@pytest.mark.parametrize("name", SMUGGLING)
async def test_nothing_behind_a_request_of_unclear_length_is_read(wire: Wire, name: str):
    """It would be a second request, to one of the two readers: the connection must end here."""
    data, _ = SMUGGLING[name]
    await wire.send(data + request("GET", "/api/hello"))
    answers = [await wire.answer()]
    rest = await wire.end()

    assert answers[0].status == 400
    assert b"HTTP/1." not in rest


async def test_two_hundred_requests_at_once_are_answered_in_order(wire: Wire):
    """HTTP pipelining."""
    await wire.send(b"".join(request("GET", f"/v1/models/m{n}", f"x-request-id: r{n}") for n in range(200)))
    ids = [(await wire.answer()).headers["request-id"] for _ in range(200)]

    assert ids == [f"r{n}" for n in range(200)]


@pytest.mark.parametrize("length", ["content-length: 1099511627776", "content-length: 33554433"])
async def test_what_is_refused_is_not_asked_for(wire: Wire, length: str):
    """A client that waits for `100 Continue` sends nothing of what would be thrown away."""
    await wire.send(
        request("POST", "/v1/messages", "content-type: application/json", "expect: 100-continue", length)
    )
    answer = await wire.answer()

    assert (answer.status, answer.error, answer.closes) == (413, "request_too_large", True)
    assert b"100 Continue" not in wire.received


async def test_what_is_fit_is_asked_for(wire: Wire):
    """curl waits a second for it where a body is large."""
    whole = post(OK, "expect: 100-continue")
    await wire.send(whole[: -len(OK)])
    await asyncio.sleep(0.1)
    await wire.send(OK)
    answer = await wire.answer()

    assert wire.received.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert answer.status == 200


async def test_a_body_without_end_is_refused_where_it_passes_the_limit(wire: Wire):
    """Its length is not told; what lies beyond the limit is not kept."""
    await wire.send(request("POST", "/v1/messages", "transfer-encoding: chunked"))
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    for _ in range(40):
        await wire.send(chunk)
    answer = await wire.answer()

    assert (answer.status, answer.error, answer.closes) == (413, "request_too_large", True)


async def test_trailers_change_nothing(wire: Wire):
    """They come when the headers have been judged."""
    body = b"%x\r\n%s\r\n0\r\nx-forwarded-for: 1.2.3.4\r\nhost: evil\r\n\r\n" % (len(OK), OK)
    await wire.send(
        request("POST", "/v1/messages", "content-type: application/json", "transfer-encoding: chunked") + body
    )

    assert (await wire.answer()).status == 200


async def test_a_client_that_closes_its_side_gets_no_answer(service: Service, wire: Wire):
    """It looks like one that has gone, and an answer nobody reads is billed all the same."""
    await wire.send(post(OK.replace(b"hi", b"[[wait 5000]]")))
    await asyncio.sleep(0.2)
    wire._writer.write_eof()

    assert await wire.end(2) == b""
    assert service.proxy.running == 0


async def test_every_refusal_before_a_call_is_counted(service: Service, wire: Wire):
    """Who attacks shows in `/metrics`."""
    await wire.send(b"garbage\r\n\r\n")
    await wire.answer()
    text = service.metrics.exposition(None)[0].decode()

    assert 'ccproxy_rejected_total{interface="http",reason="malformed"}' in text
