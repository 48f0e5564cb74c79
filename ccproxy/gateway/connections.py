"""Connections of HTTP callers: how many there may be, how long their peers may take, and what these are told.

aiohttp has no limit for any of it: a peer that sends half a header, or takes nothing of its answer, is waited for
as long as it likes. Its error page and its log quote the bytes it could not read. Both is mended here, by
overriding what aiohttp's `RequestHandler` does. `tests/abuse` shows on the wire that its internals still do what
this leans on.
"""

import asyncio
import fcntl
import logging
import socket
import struct
import sys
import termios
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from msgspec import Struct

from ccproxy.config import ConnectionsConfig, is_loopback
from ccproxy.descriptors import most_connections
from ccproxy.errors import ApiError, Reason, internal
from ccproxy.gateway.answers import last_words, refusal, too_slow
from ccproxy.ids import new_request_id

SEND_BUFFER_BYTES = 128 << 10  # in the kernel, which otherwise takes 4 MB for a peer that does not read
DEAD_AFTER = 2 / 3  # of the write timeout: the kernel gives up a peer that confirms nothing or has no room
LOCAL_RESERVE = 64  # connections beyond the limit, so that this host can still ask how the service is

_INT = struct.Struct("i")  # what the kernel answers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


class Gate:
    """Counts open connections, all and by address, and says whether one more may be."""

    def __init__(self, limits: ConnectionsConfig) -> None:
        self.limit = most_connections(limits)
        self.open = 0
        self._max_per_address = limits.max_per_address
        self._by_address: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Lets a connection in; whether that may be. Who is let in must `leave`."""
        local = is_loopback(address.partition("%")[0])
        if self.open >= self.limit + (LOCAL_RESERVE if local else 0):
            return False
        if not local and self._by_address[address] >= self._max_per_address:
            return False
        self.open += 1
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was let in has ended."""
        self.open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class Terms(Struct, frozen=True):
    """What holds for every connection.

    Attributes:
        boundary: Answers a request by aiohttp's own handler for it, whatever that raises.
        limits: The operator's.
        gate: Who may come in.
        count: Is told why a request or connection was refused: `connections`, `slow_headers`, `malformed`.
    """

    boundary: Callable[[Handler, web.Request], Awaitable[web.StreamResponse]]
    limits: ConnectionsConfig
    gate: Gate
    count: Callable[[str], None]


class Connection(RequestHandler):
    """One connection.

    `_slow` ends it where the headers of a request take too long, `_stalled` where the peer takes nothing more of
    an answer. A connection without an `_address` was not let in.
    """

    __slots__ = ("_address", "_heard", "_slow", "_stalled", "_terms")

    def __init__(self, server: "Server", terms: Terms) -> None:
        super().__init__(server, loop=server.loop, **server.options)
        self._terms = terms
        self._address: str | None = None
        self._heard = False
        self._slow: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def expects(self) -> bool:
        """Whether a request is on its way: the connection is new, or has brought a part of one."""
        return self._slow is not None

    @property
    def idle(self) -> bool:
        """Whether it has answered all that came, and nothing comes."""
        return self._waiter is not None and self._slow is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A peer has connected. It is let in, or told that there are too many."""
        transport = cast(asyncio.Transport, transport)  # as aiohttp does; uvloop's is none by name
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        if not self._terms.gate.enter(address):
            self._terms.count("connections")
            self._force_close = True
            error = ApiError(Reason.OVERLOADED, "Too many connections", status=503, retry_after=1)
            transport.write(last_words(error))
            transport.close()
            return
        self._address = address
        _bound_buffers(transport, self._terms.limits.write_timeout)
        super().connection_made(transport)
        self._slow = self._loop.call_later(self._terms.limits.header_timeout, self._end_slow)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended, whoever ended it."""
        self._rest()
        if self._stalled is not None:
            self._stalled.cancel()
        super().connection_lost(exc)
        if self._address is not None:
            self._terms.gate.leave(self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        """Bytes have come: a whole request's headers end the wait for them, a part of them begins it."""
        before = self._request_count
        super().data_received(data)
        self._heard = True
        if self._request_count != before:
            self._rest()
        elif self._slow is None and self._waiter is not None and not self._waiter.done():
            self._slow = self._loop.call_later(self._terms.limits.header_timeout, self._end_slow)

    def pause_writing(self) -> None:
        """The peer takes less than it is sent."""
        super().pause_writing()
        self._watch_stall()

    def resume_writing(self) -> None:
        """The peer has taken what waited for it."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _watch_stall(self) -> None:
        """Looks again after the time in which the peer must have taken something."""
        if self.transport is not None:
            wait, left = self._terms.limits.write_timeout, _left(self.transport)
            self._stalled = self._loop.call_later(wait, self._end_stalled, left)

    def _end_stalled(self, before: int) -> None:
        """Ends what has taken nothing since `before` bytes were left. What is slow goes on."""
        if self.transport is None:
            return
        if _left(self.transport) < before:
            self._watch_stall()
        else:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # it quotes the request
    ) -> web.StreamResponse:
        """What aiohttp could not read, or could not answer. Neither is quoted, here or in the log."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        known = status < HTTPStatus.INTERNAL_SERVER_ERROR
        if known:
            self._terms.count("malformed")
        error = (
            ApiError(Reason.INVALID_REQUEST, "The request is not valid HTTP", status=status)
            if known or exc is None
            else internal(exc, log)
        )
        response = refusal(error, new_request_id())
        response.headers["server"] = "ccproxy"
        response.force_close()
        return response

    def _end_slow(self) -> None:
        """The headers took too long. A peer that never said a word is not answered."""
        self._slow = None
        if self.transport is not None and self._heard:
            self._terms.count("slow_headers")
            self.transport.write(last_words(too_slow("headers", self._terms.limits.header_timeout)))
        self.force_close()

    def _rest(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None


class Server(web.Server):
    """Makes connections."""

    def __init__(self, made: web.Server, terms: Terms) -> None:
        self.loop = asyncio.get_running_loop()
        self.options = made._kwargs  # noqa: SLF001  # the price of the hardened connection
        self._terms = terms
        super().__init__(
            partial(terms.boundary, made.request_handler),
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=self.loop,
            **self.options,
        )

    def __call__(self) -> RequestHandler:
        """A connection that has not been made yet."""
        return Connection(self, self._terms)


class Runner(web.AppRunner):
    """aiohttp's runner with our connections; it takes a subclass of its server nowhere, so one is put in here."""

    __slots__ = ("_terms",)

    def __init__(self, app: web.Application, terms: Terms, **options: Any) -> None:
        super().__init__(app, **options)
        self._terms = terms

    def protocol(self) -> RequestHandler:
        """What speaks on a connection; for `asyncio` to make one."""
        return cast(web.Server, self.server)()  # there is one after `setup`

    @property
    def expects(self) -> bool:
        """Whether a request is on its way on one of the connections."""
        return any(each.expects for each in self._open())

    def close_idle(self) -> None:
        """Closes the connections that are kept for a next request."""
        for each in self._open():
            if each.idle:
                each.force_close()

    def _open(self) -> list[Connection]:
        server = self.server
        return [] if server is None else [each for each in server.connections if isinstance(each, Connection)]

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self._terms)


def _left(transport: asyncio.Transport) -> int:
    """Bytes that the peer has not taken: those here and, on Linux, those in the kernel."""
    left = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None or sys.platform != "linux":
        return left
    queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    number: int = _INT.unpack(queued)[0]
    return left + number


def _bound_buffers(transport: asyncio.Transport, write_timeout: float) -> None:
    """Bounds what the kernel holds for the peer, and how long it waits for one that is gone without a word."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            milliseconds = max(1, round(write_timeout * DEAD_AFTER * 1000))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    except OSError:
        return  # it has gone already
