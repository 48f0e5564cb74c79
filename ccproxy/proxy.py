"""The Proxy service, implemented once: both edges call it, and it knows neither.

A stream's HTTP 200 (or first gRPC message) is held until the upstream's content begins (decision D9): before
that a failure is a real status, after it one terminal error. What counts as a request is counted here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus

import msgspec
from msgspec import Struct

from ccproxy.call import Call, Target
from ccproxy.documents import Head, decode_request, replace_members
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.logs import LoggedRequest, RequestLog
from ccproxy.messages import PING, Usage
from ccproxy.metrics import Measurement, Metrics
from ccproxy.models import Catalogue, Listings
from ccproxy.patience import Patience
from ccproxy.provider import Exchange, Stream, printable, redact_each
from ccproxy.routing import Router
from ccproxy.serving import Serving
from ccproxy.sse import KEEP_ALIVE
from ccproxy.tokens import estimate
from ccproxy.upstream import Upstream, UpstreamResponse

GATE_SECONDS = 20.0  # then the 200 goes out with a comment, so that the connection stays open
PING_SECONDS = 15.0  # of silence; Claude Code gives a stream up after 300
WHOLE_SECONDS = 600.0  # for a whole answer: the SDK's own default
STREAM_SECONDS = 3600.0
MAX_DROPPED_CHARS = 1_000  # of a header; proxies in between refuse long ones


class Reply(Struct, frozen=True):
    """A whole answer: a JSON document, and headers for the caller."""

    body: bytes
    headers: Mapping[str, str]


class MessageStream:
    """A streamed answer. Iterate it for whole frames of server-sent events, as they come.

    Iteration raises ApiError where the answer fails after it has begun.
    """

    def __init__(
        self, response: UpstreamResponse, stream: Stream, patience: Patience, headers: Mapping[str, str]
    ) -> None:
        self.headers = headers
        self._response = response
        self._stream = stream
        self._patience = patience
        self._held = b""
        self._failure: ApiError | None = None
        self._begun = False  # a ping is an event: not before message_start is out

    @property
    def usage(self) -> Usage:
        """The tokens known so far."""
        return self._stream.usage

    @property
    def finished(self) -> bool:
        """Whether the frames handed over last were the last."""
        return self._stream.finished and self._failure is None and not self._held

    async def open(self) -> None:
        """Waits until content has begun, or for GATE_SECONDS.

        Raises:
            ApiError: The answer failed before it began.
        """
        gate = asyncio.get_running_loop().time() + GATE_SECONDS
        while not (self._stream.has_content or self._stream.finished):
            try:
                chunk = await self._patience.wait(self._response.read, gate)
            except TimeoutError:
                self._held = self._held or KEEP_ALIVE
                return
            self._held += self._take(chunk)
            if self._failure is not None and not self._stream.has_content:
                raise self._failure

    def __aiter__(self) -> "MessageStream":
        return self

    async def __anext__(self) -> bytes:
        if self._held:
            frames, self._held = self._held, b""
            self._begun = frames is not KEEP_ALIVE
            return frames
        loop = asyncio.get_running_loop()
        while self._failure is None:
            if self._stream.finished:
                raise StopAsyncIteration
            try:
                chunk = await self._patience.wait(self._response.read, loop.time() + PING_SECONDS)
            except TimeoutError:
                return PING if self._begun else KEEP_ALIVE
            frames = self._take(chunk)
            if frames:
                self._begun = True
                return frames
        raise self._failure

    def _take(self, chunk: bytes) -> bytes:
        """The frames that `chunk` completes; a failure behind them waits until they are out."""
        try:
            if chunk:
                self._stream.feed(chunk)
            else:
                self._stream.close()
        except ApiError as error:
            self._failure = error
        except UpstreamProtocolError as error:
            self._failure = _broken(error)
        return self._stream.take()


class Proxy:
    """The Anthropic Messages API over the configured providers."""

    def __init__(
        self,
        router: Router,
        upstreams: Mapping[str, Upstream],
        metrics: Metrics,
        serving: Serving,
        *,
        whole_seconds: float = WHOLE_SECONDS,
        request_log: RequestLog | None = None,
        listings: Listings | None = None,
    ) -> None:
        self._router = router
        self._upstreams = upstreams
        self._metrics = metrics
        self._serving = serving
        self._whole_seconds = whole_seconds
        self._request_log = request_log
        self._catalogue = Catalogue(router, upstreams, listings)
        self._running: set[Patience] = set()

    @property
    def running(self) -> int:
        """How many calls are being answered."""
        return len(self._running)

    def interrupt(self, error: ApiError) -> None:
        """Ends every running call with `error`."""
        for patience in tuple(self._running):
            patience.interrupt(error)

    async def create_message(self, call: Call) -> Reply:
        """Creates one message and returns it whole.

        Raises:
            ApiError: For every failure.
        """
        with (
            LoggedRequest(self._request_log, call, "create_message") as logged,
            self._patience(call, self._whole_seconds) as patience,
            self._counted(call, stream=False) as measurement,
        ):
            async with AsyncExitStack() as stack:
                head = call.head()
                target, exchange = self._prepare(call, head, measurement, logged)
                started = asyncio.get_running_loop().time()
                exchange, response = await self._send(stack, target, exchange, patience, stream=False)
                body = await patience.wait(response.body)
                measurement.upstream_seconds = asyncio.get_running_loop().time() - started
                try:
                    answer = exchange.answer(body)
                except UpstreamProtocolError as error:
                    raise _broken(error).by(target.provider, response.status) from error
                measurement.succeed(**_counts(answer.usage))
                headers = {**self._headers(target, exchange, response), **answer.headers}
                logged.succeed(headers, answer.usage)
                return Reply(answer.body, headers)

    @asynccontextmanager
    async def stream_message(self, call: Call) -> AsyncIterator[MessageStream]:
        """Creates one message and streams it. Leaving the context closes the upstream, whoever leaves it.

        Raises:
            ApiError: On entry, where the answer fails before it begins; from the iteration, after that.
        """
        with (
            LoggedRequest(self._request_log, call, "stream_message") as logged,
            self._patience(call, STREAM_SECONDS) as patience,
            self._counted(call, stream=True) as measurement,
        ):
            async with AsyncExitStack() as stack:
                head = call.head()
                target, exchange = self._prepare(call, head, measurement, logged)
                exchange, response = await self._send(stack, target, exchange, patience, stream=True)
                headers = self._headers(target, exchange, response)
                stream = MessageStream(response, exchange.stream(), patience, headers)
                await stream.open()
                measurement.first_event()
                logged.first_event()
                try:
                    yield stream
                except ApiError as error:
                    side = "drain" if error.reason is Reason.SHUTTING_DOWN else "upstream"
                    measurement.fail(error.reason, side=side)
                    raise
                except (asyncio.CancelledError, ConnectionError, GeneratorExit):
                    measurement.abort("client", **_counts(stream.usage))
                    raise
                finally:
                    logged.answered(headers, stream.usage)
                measurement.succeed(**_counts(stream.usage))
                logged.succeed(headers, stream.usage)

    async def count_tokens(self, call: Call) -> Reply:
        """Counts a request's input tokens: the provider's own count where it has one, else an estimate.

        Raises:
            ApiError: For every failure.
        """
        with (
            LoggedRequest(self._request_log, call, "count_tokens") as logged,
            self._patience(call, self._whole_seconds) as patience,
        ):
            head = call.head()
            target = self._router.route(head)[0]
            logged.goes_to(head.model, target)
            upstream = self._upstreams[target.provider]
            request = upstream.provider.count_request(call, head, target)
            if request is None:
                countable = replace_members(head.fields, {"max_tokens": 1})  # the typed view asks for it
                return _count_reply(estimate(decode_request(countable)), {})
            async with AsyncExitStack() as stack:
                response = await patience.wait(
                    partial(stack.enter_async_context, upstream.transport.send(request, stream=False))
                )
                body = await patience.wait(response.body)
                if response.status != HTTPStatus.OK:
                    body = redact_each(body, request.secrets)
                    raise upstream.provider.error(response.status, response.headers, body)
                try:
                    count = upstream.provider.count(body)
                except UpstreamProtocolError as error:
                    raise _broken(error).by(target.provider, response.status) from error
                return _count_reply(count, upstream.provider.reply_headers(response.headers))

    def learn_models(self) -> None:
        """Asks every provider what it lists, so that the first caller need not wait. It does not wait either."""
        self._catalogue.refresh()

    async def close(self) -> None:
        """Gives up what nobody waits for."""
        await self._catalogue.close()

    async def list_models(
        self, after_id: str | None, before_id: str | None, limit: int | None, user_agent: str = ""
    ) -> Reply:
        """Lists the models of every provider, a page at a time; `user_agent` is the caller's.

        Raises:
            ApiError: INVALID_REQUEST, for an impossible page.
        """
        self._require_accepting()
        return Reply(await self._catalogue.page(after_id, before_id, limit, user_agent), {})

    async def get_model(self, model_id: str) -> Reply:
        """Gets one model.

        Raises:
            ApiError: NOT_FOUND.
        """
        self._require_accepting()
        return Reply(await self._catalogue.get(model_id), {})

    def _require_accepting(self) -> None:
        if not self._serving.accepting:
            raise shutting_down(self._serving.reason)

    @contextmanager
    def _patience(self, call: Call, seconds: float) -> Iterator[Patience]:
        self._require_accepting()
        deadline = asyncio.get_running_loop().time() + seconds
        patience = Patience(deadline if call.deadline is None else min(deadline, call.deadline))
        self._running.add(patience)
        try:
            yield patience
        finally:
            self._running.discard(patience)
            patience.close()

    @contextmanager
    def _counted(self, call: Call, *, stream: bool) -> Iterator[Measurement]:
        """Counts the call. The first ending counts, so the last line is for a mistake of ours."""
        measurement = self._metrics.begin(call.edge, stream=stream)
        try:
            yield measurement
        except ApiError as error:
            measurement.fail(error.reason)
            raise
        except (asyncio.CancelledError, ConnectionError, GeneratorExit):
            measurement.abandon()
            raise
        finally:
            measurement.fail(Reason.INTERNAL)

    def _prepare(
        self, call: Call, head: Head, measurement: Measurement, logged: LoggedRequest
    ) -> tuple[Target, Exchange]:
        target = self._router.route(head)[0]
        logged.goes_to(head.model, target)
        measurement.provider, measurement.route, measurement.model = target.provider, target.route, target.model
        exchange = self._upstreams[target.provider].provider.exchange(call, head, target)
        logged.entry.dropped = len(exchange.dropped)
        for name in exchange.dropped:
            self._metrics.dropped(target.provider, name)
        return target, exchange

    async def _send(
        self, stack: AsyncExitStack, target: Target, exchange: Exchange, patience: Patience, *, stream: bool
    ) -> tuple[Exchange, UpstreamResponse]:
        """Sends the exchange's request, and its recovery where the provider refuses and has one."""
        upstream = self._upstreams[target.provider]
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            response = await patience.wait(
                partial(stack.enter_async_context, upstream.transport.send(exchange.request, stream=stream))
            )
            self._metrics.upstream(target.provider, f"{response.status // 100}xx", loop.time() - started)
            if response.status == HTTPStatus.OK:
                return exchange, response
            body = redact_each(await patience.wait(response.body), exchange.request.secrets)
            error = upstream.provider.error(response.status, response.headers, body)
            again = exchange.recover(error)
            if again is None:
                raise error
            exchange = again

    def _headers(self, target: Target, exchange: Exchange, response: UpstreamResponse) -> dict[str, str]:
        headers = self._upstreams[target.provider].provider.reply_headers(response.headers)
        headers["x-ccproxy-provider"] = target.provider
        headers["x-ccproxy-model"] = printable(target.model)
        if exchange.dropped:
            headers["x-ccproxy-dropped"] = printable(", ".join(exchange.dropped))[:MAX_DROPPED_CHARS]
        return headers


def shutting_down(reason: str) -> ApiError:
    """The answer to a call that comes, or still runs, when the service ends."""
    return ApiError(Reason.SHUTTING_DOWN, f"CCProxy is {reason}", retry_after=1)


def _broken(error: UpstreamProtocolError) -> ApiError:
    return ApiError(Reason.UPSTREAM_INVALID_RESPONSE, f"The provider's answer cannot be used: {error}")


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "cache_read": usage.cache_read_input_tokens or 0,
        "cache_write": usage.cache_creation_input_tokens or 0,
    }


def _count_reply(count: int, headers: Mapping[str, str]) -> Reply:
    return Reply(msgspec.json.encode({"input_tokens": count}), headers)
