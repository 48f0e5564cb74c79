"""The way to a provider, against a raw socket that can lie: what breaks, and what the caller is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from ccproxy import upstream as module
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import UpstreamRequest
from ccproxy.upstream import HttpTransport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """A raw server that reads one request's head and lets `answer` do the rest."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"


@asynccontextmanager
async def asked(url: str, *, stream: bool = True, **settings):
    """The response to one request."""
    request = UpstreamRequest("POST", url, {"x-api-key": "secret"}, b"{}")
    async with HttpTransport("test", **settings) as transport, transport.send(request, stream=stream) as response:
        yield response


async def sent(data: bytes) -> Answer:
    """An answer that is `data`, whatever was asked."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return answer


async def failing(data: bytes, *, stream: bool = True) -> ApiError:
    """The failure of reading an answer that is `data`."""
    async with listening(await sent(data)) as url:
        with pytest.raises(ApiError) as caught:
            async with asked(url, stream=stream) as response:
                await response.body()
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.provider == "test"
    return caught.value


async def test_a_refused_connection_is_an_unreachable_provider():
    """Safe to try elsewhere: nothing was sent."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ApiError) as caught:
            async with asked(f"http://127.0.0.1:{taken.getsockname()[1]}/"):
                pass

    assert (caught.value.reason, caught.value.status) == (Reason.UPSTREAM_UNREACHABLE, 502)
    assert "refused" in caught.value.message


async def test_an_unknown_name_is_an_unreachable_provider():
    """The message says what to look at, and not the URL."""
    with pytest.raises(ApiError) as caught:
        async with asked("http://no-such-host.invalid/"):
            pass

    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE
    assert "resolved" in caught.value.message


async def test_plain_http_where_tls_is_expected_says_so():
    """A wrong scheme in a base URL is a common mistake."""

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ApiError) as caught:
            async with asked(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"):
                pass

    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE
    assert "TLS" in caught.value.message


async def test_a_handshake_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """The time to connect holds TLS, too."""
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.1)
    async with listening(await sent(b"")) as url:
        with pytest.raises(ApiError) as caught:
            async with asked(url.replace("http:", "https:")):
                pass

    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE
    assert "no connection within" in caught.value.message


async def test_a_connection_closed_without_an_answer_is_an_unreachable_provider():
    """No byte came back."""
    assert (await failing(b"")).reason is Reason.UPSTREAM_UNREACHABLE


@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"\x16\x03\x01\x02\x00" * 20])
async def test_garbage_is_an_invalid_answer_and_never_the_callers_mistake(data: bytes):
    """aiohttp calls it a status 400, which must not be believed."""
    error = await failing(data)

    assert error.status == 502
    assert error.reason in {Reason.UPSTREAM_INVALID_RESPONSE, Reason.UPSTREAM_UNREACHABLE}


async def test_what_came_before_a_break_is_read_before_the_break_is_told():
    """Pins aiohttp's `StreamReader._read_nowait`: a slow reader must not lose what has arrived."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"6\r\nsecond\r\n")
        await writer.drain()

    async with listening(answer) as url, asked(url) as response:
        assert await response.read() == b"first"
        await asyncio.sleep(0.1)  # the second chunk and the break are here by now
        assert await response.read() == b"second"
        with pytest.raises(ApiError) as caught:
            await response.read()

    assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE


async def test_silence_is_a_timeout():
    """A stream that says nothing for minutes is dead."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\nhello")
        await writer.drain()
        await asyncio.sleep(1)

    async with listening(answer) as url:
        with pytest.raises(ApiError) as caught:
            async with asked(url, silence_seconds=0.05) as response:
                await response.body()

    assert (caught.value.reason, caught.value.status) == (Reason.TIMEOUT, 504)


async def test_a_redirect_is_not_followed():
    """The key would travel with it to another host."""
    seen: list[bytes] = []

    async def canary(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1))

    async with listening(canary) as target:
        redirect = f"HTTP/1.1 307 Moved\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n".encode()
        async with listening(await sent(redirect)) as url, asked(url) as response:
            assert response.status == 307

    assert seen == []


async def test_an_endless_body_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    """Memory is ours, whatever a provider sends."""
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 1000)

    error = await failing(HEAD + b"\r\n" + b"x" * 5000)

    assert error.reason is Reason.UPSTREAM_INVALID_RESPONSE


async def test_header_names_are_lower_case():
    """Translators look them up by one spelling."""
    async with (
        listening(await sent(b"HTTP/1.1 200 OK\r\nX-Request-ID: 7\r\ncontent-length: 0\r\n\r\n")) as url,
        asked(url) as response,
    ):
        assert response.headers["x-request-id"] == "7"
        assert await response.body() == b""


async def test_leaving_in_mid_stream_closes_the_connection():
    """Whoever leaves and why: nobody pays for tokens that nobody reads."""
    closed = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await reader.read()
        closed.set()

    async with listening(answer) as url:
        with pytest.raises(ZeroDivisionError):
            async with asked(url) as response:
                await response.read()
                raise ZeroDivisionError
        await asyncio.wait_for(closed.wait(), 1)


async def test_a_finished_stream_gives_its_connection_back():
    """A stream is over at its last event; the end of the body may be in the next packet."""
    connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, HttpTransport("test") as transport:
        for _ in range(2):
            async with transport.send(UpstreamRequest("POST", url, {}, b"{}"), stream=True) as response:
                assert await response.read() == b"first"

    assert connections == 1


async def test_a_transport_that_is_not_open_is_a_mistake_of_ours():
    """It must not be answered as the provider's failure."""
    with pytest.raises(RuntimeError):
        async with HttpTransport("test").send(UpstreamRequest("GET", "http://127.0.0.1/", {}), stream=False):
            pass


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_an_idle_connection_that_was_closed_meanwhile_is_replaced(times: int):
    """It is nobody's failure: the request goes over another one, and the caller hears nothing. Not for ever."""
    served, broken = 0, 0
    all_there = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served, broken
        while await reader.readuntil(b"\r\n\r\n{}"):
            if served >= times and broken < times:
                broken += 1
                break
            served += 1
            if served == times:
                all_there.set()
            await all_there.wait()  # so that each of the first requests has a connection of its own
            writer.write(HEAD + b"content-length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    request = UpstreamRequest(
        "POST", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {"x-api-key": "k"}, b"{}"
    )
    async with server, HttpTransport("test") as transport:

        async def ask() -> bytes:
            async with transport.send(request, stream=False) as response:
                return await response.body()

        async with asyncio.TaskGroup() as group:
            first = [group.create_task(ask()) for _ in range(times)]
        if times < 3:
            assert await ask() == b"ok"
        else:
            with pytest.raises(ApiError) as caught:
                await ask()
            assert (caught.value.reason, caught.value.replay) == (Reason.UPSTREAM_UNREACHABLE, "safe")

    assert [task.result() for task in first] == [b"ok"] * times
    assert broken == times


@pytest.mark.parametrize("size", [1, 256 << 10, (256 << 10) + 1, 5_000_000])
async def test_a_request_goes_out_whole_however_large_it_is(size: int):
    """Each time anew: the connection that it goes over first may have been closed. Nobody warns of its size."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    got: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                assert f"content-length: {size}\r\n".encode() in head.lower()
                got.append(await reader.readexactly(size))
                if len(got) == 2:
                    break  # it knew this connection, and is not answered
                writer.write(HEAD + b"content-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    request = UpstreamRequest("POST", url, {"x-api-key": "k"}, body)
    async with server, HttpTransport("test") as transport:
        for _ in range(2):
            async with transport.send(request, stream=False) as response:
                assert await response.body() == b"ok"

    assert got == [body] * 3


async def test_a_new_connection_that_breaks_is_not_replaced():
    """The request may have been read, and billed."""
    connections = 0

    async def answer(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    async with listening(answer) as url:
        with pytest.raises(ApiError) as caught:
            async with asked(url):
                pass

    assert caught.value.replay == "uncertain"
    assert connections == 1


@pytest.mark.parametrize("shown", [{"x-api-key": "secret"}, {"authorization": "Bearer secret"}])
async def test_our_key_is_taken_out_of_a_header_that_quotes_it(shown: dict[str, str]):
    """Some of a provider's headers are passed on."""
    data = b"HTTP/1.1 200 OK\r\nx-request-id: req-secret\r\nx-other: fine\r\ncontent-length: 0\r\n\r\n"
    async with (
        listening(await sent(data)) as url,
        HttpTransport("test") as transport,
        transport.send(UpstreamRequest("POST", url, shown, b"{}"), stream=False) as response,
    ):
        assert response.headers["x-request-id"] == "req-[redacted]"
        assert response.headers["x-other"] == "fine"
