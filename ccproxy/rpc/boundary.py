"""The line between grpc.aio and our handlers: who calls, may they, and how failures leave.

Handlers take and give bytes. A request is read and decoded only after its caller has been let in: to grpc every
request is a stream, for it reads the message of one that is none before any of our code runs. Every failure leaves
as a status with details. With grpc's own decoding an unreadable request is answered before any of our code runs,
and an exception with its own text.

A client that has gone shows as grpc's own `InternalError` in whatever is sent to it, at times before the handler
is cancelled. That is no mistake of anybody's, so it becomes the same cancellation.
"""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import NoReturn, TypeAlias, TypeVar
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError, Message
from msgspec import Struct, structs

from ccproxy.access import Access, Caller
from ccproxy.call import Call, Edge, Headers, deadline
from ccproxy.documents import invalid
from ccproxy.errors import ApiError, Reason, internal
from ccproxy.ids import request_id
from ccproxy.logs import Refusals
from ccproxy.metrics import Metrics
from ccproxy.rpc import details
from ccproxy.rpc.wire import check_fields
from ccproxy.spans import RequestSpan, Telemetry
from ccproxy.tracing import incoming

EDGE: Edge = "grpc"
PROXY = "ccproxy.v1.Proxy"
ABORT_SECONDS = 1.0
DEADLINE_MARGIN_SECONDS = 0.25  # our own timeout should reach the caller before grpc's, which says nothing

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[bytes, bytes]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"  # generic in its stubs only
Request = TypeVar("Request", bound=Message)


class Rpc(Struct, frozen=True):
    """One RPC as a handler sees it."""

    caller: Caller
    request_id: str
    context: Context
    who: str = ""  # as `access` names the caller
    headers: Headers = {}  # the caller's, without a key of ours
    span: RequestSpan | None = None

    def call(self, body: bytes = b"") -> Call:
        """The core's view of it."""
        now = asyncio.get_running_loop().time()
        wanted = deadline(self.caller.headers, now)
        remaining = self.context.time_remaining()
        if remaining is not None:
            ours = now + max(remaining - DEADLINE_MARGIN_SECONDS, remaining / 2)
            wanted = ours if wanted is None else min(wanted, ours)
        return Call(
            edge=EDGE,
            request_id=self.request_id,
            body=body,
            headers=self.headers,
            deadline=wanted,
            caller=self.who,
            trace=incoming(self.headers) if self.span is None else self.span.trace,
            span=self.span,
        )

    async def announce(self, headers: Mapping[str, str]) -> None:
        """Sends initial metadata: the request's id, and `headers`."""
        with _present():
            await self.context.send_initial_metadata(
                (*details.identity(self.request_id), *details.initial(headers))
            )


Unary = Callable[[bytes, Rpc], Awaitable[bytes]]
Streaming = Callable[[bytes, Rpc], AsyncGenerator[bytes, None]]
Bidirectional = Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]


class Boundary:
    """Makes grpc's handlers of ours."""

    def __init__(
        self, access: Access, metrics: Metrics, write_seconds: float, telemetry: Telemetry | None = None
    ) -> None:
        self._access = access
        self._telemetry = telemetry
        self._metrics = metrics
        self._write_seconds = write_seconds
        self._refused = Refusals(EDGE)

    def unary(self, method: str, handler: Unary) -> Handler:
        """A handler that answers once. `method` is the full name that `access` and the metrics know."""

        async def behaviour(_: AsyncIterator[bytes], context: Context) -> bytes:
            async with self._guarded(method, "unary", context) as rpc:
                return await handler(await _only_message(context), rpc)

        return grpc.stream_unary_rpc_method_handler(behaviour)

    def streaming(self, method: str, handler: Streaming) -> Handler:
        """A handler that answers with a stream. A caller that takes no message for too long loses it."""

        async def behaviour(_: AsyncIterator[bytes], context: Context) -> None:
            async with (
                self._guarded(method, "server_stream", context) as rpc,
                aclosing(handler(await _only_message(context), rpc)) as messages,
            ):
                async for message in messages:
                    await self._write(context, message)

        return grpc.stream_stream_rpc_method_handler(behaviour)

    def bidirectional(self, method: str, handler: Bidirectional) -> Handler:
        """A handler that takes and answers with a stream."""

        async def behaviour(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            async with self._guarded(method, "bidi_stream", context):
                async for message in handler(requests, context):
                    yield message

        return grpc.stream_stream_rpc_method_handler(behaviour)

    @asynccontextmanager
    async def _guarded(self, method: str, kind: str, context: Context) -> AsyncIterator[Rpc]:
        service, _, name = method.rpartition(".")
        self._metrics.grpc_started(service, name, kind)
        outcome = grpc.StatusCode.CANCELLED  # what stays where the caller leaves
        headers = _headers(context)
        rpc = Rpc(Caller(peer=_address(context.peer()), local=None, headers=headers), request_id(headers), context)
        span = None
        if self._telemetry is not None and service == PROXY:
            span = self._telemetry.rpc(service, name, rpc.request_id, incoming(headers))
        try:
            who = self._check(method, rpc.caller)
            yield structs.replace(rpc, who=who, headers=self._access.without_keys(headers), span=span)
            outcome = grpc.StatusCode.OK
        except ApiError as error:
            outcome = details.code(error)
            if span is not None:
                span.failed(error)
            await _abort(error, rpc)
        except (grpc.aio.AbortError, asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:  # noqa: BLE001  # the outermost line: a mistake of ours becomes an opaque id
            outcome = grpc.StatusCode.INTERNAL
            await _abort(internal(error, log), rpc)
        finally:
            self._metrics.grpc_handled(service, name, kind, outcome.name)
            if span is not None:
                span.end(None if outcome is grpc.StatusCode.CANCELLED else outcome.name)

    async def _write(self, context: Context, message: bytes) -> None:
        try:
            with _present():
                async with asyncio.timeout(self._write_seconds):
                    await context.write(message)
        except TimeoutError as error:
            text = f"The stream was not read for {self._write_seconds:g} s"
            raise ApiError(Reason.TIMEOUT, text, should_retry=False) from error

    def _check(self, method: str, caller: Caller) -> str:
        try:
            return self._access.check(method, caller)
        except ApiError as error:
            self._metrics.auth_failure(EDGE, error.reason.lower())
            self._refused(method, error.reason)
            raise


def parse(message_class: type[Request], data: bytes) -> Request:
    """The request's message.

    Raises:
        ApiError: INVALID_REQUEST.
    """
    check_fields(message_class, data)
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        raise invalid(f"The request is not a valid {message_class.DESCRIPTOR.full_name}") from error


async def _only_message(context: Context) -> bytes:
    """The message of a request that has one.

    Raises:
        ApiError: INVALID_REQUEST, where it has none.
    """
    message = await context.read()
    if not isinstance(message, bytes):
        raise invalid("The request has no message")
    return message


@contextmanager
def _present() -> Iterator[None]:
    """Whoever sends to a client that has gone is cancelled."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


async def _abort(error: ApiError, rpc: Rpc) -> NoReturn:
    """Ends the RPC. A client that reads nothing is not waited for: the status lies ready until it does."""
    with _present():
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await rpc.context.abort(
                    details.code(error),
                    details.message(error),
                    details.trailers(error, rpc.request_id),
                )
        except TimeoutError as unread:
            raise asyncio.CancelledError from unread
    raise AssertionError("abort returns never")  # pragma: no cover


def _headers(context: Context) -> Headers:
    headers: dict[str, list[str]] = {}
    for name, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            headers.setdefault(name, []).append(value)
    return headers


def _address(peer: str) -> str:
    """The address in grpc's `ipv4:127.0.0.1:46920` or `ipv6:%5B::1%5D:56078`; empty where there is none."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return ""
    host = unquote(rest).rpartition(":")[0].strip("[]")
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return ""
