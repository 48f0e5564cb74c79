"""One call's way to an answer: attempt after attempt, until one answers or nothing is left to try."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from ccproxy.attempts import Attempt, Attempts
from ccproxy.backend import Backend
from ccproxy.call import Call
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.hedging import Opener, race
from ccproxy.logs import LoggedRequest
from ccproxy.message_stream import MessageStream, broken
from ccproxy.metrics import Measurement, Metrics
from ccproxy.patience import Patience
from ccproxy.places import FullError
from ccproxy.provider import Answer, Exchange, UpstreamRequest, printable, redact_each
from ccproxy.spans import AttemptSpan
from ccproxy.upstream import ReadyResponse, UpstreamResponse

MAX_DROPPED_CHARS = 1_000  # of a header; proxies in between refuse long ones

T = TypeVar("T")

log = logging.getLogger(__name__)


class Journey:
    """The attempts at one call. What an attempt opens is on the caller's stack; a failed one leaves nothing."""

    def __init__(  # what a call is, and who watches it
        self,
        metrics: Metrics,
        backend: Backend,
        call: Call,
        patience: Patience,
        measurement: Measurement,
        logged: LoggedRequest,
    ) -> None:
        self._metrics = metrics
        self._backend = backend
        self._call = call
        self._patience = patience
        self._measurement = measurement
        self._logged = logged
        self._clock = asyncio.get_running_loop().time
        self._head = call.head()
        targets = backend.router.route(self._head)
        self._attempts = Attempts(targets, backend.upstreams, backend.budgets, backend.retry, self._clock)
        self._attempt: Attempt | None = None
        self._spans: dict[int, AttemptSpan] = {}  # by the attempt's number, where they are kept
        self._asked = False

    async def first(self, stack: AsyncExitStack, answer: Callable[[AsyncExitStack, Attempt], Awaitable[T]]) -> T:
        """What the first attempt that answers gives: `whole`, `stream` or `hedged`.

        Raises:
            ApiError: None answered. Its headers tell how many attempts there were.
        """
        try:
            while True:
                attempt = self._next()
                stack.callback(self._close, attempt)
                try:
                    return await answer(stack, attempt)
                except ApiError as error:
                    self._failed(attempt, error)
                    await stack.aclose()
                    pause = self._after(attempt, error)
                if pause:
                    await self._patience.wait(partial(asyncio.sleep, pause))
        except ApiError as last:
            if self._attempts.number:
                last.headers.setdefault("x-ccproxy-attempts", str(self._attempts.number))
            if isinstance(last, FullError) and not self._asked:  # that was no call
                self._metrics.rejected(self._call.edge, "provider_in_flight")
                self._measurement.abandon()
            raise

    async def whole(self, stack: AsyncExitStack, attempt: Attempt) -> tuple[Answer, dict[str, str]]:
        """One attempt at a whole answer, and the headers that go with it."""
        try:
            exchange, response = await self._send(stack, attempt, self._patience, stream=False)
            started = self._clock()
            body = await self._patience.wait(response.body)
        except ApiError as error:
            self._blame(error, attempt)
            raise
        self._measurement.upstream_seconds += self._clock() - started
        try:
            answer = exchange.answer(body)
        except UpstreamProtocolError as error:
            raise broken(error).by(attempt.target.provider, response.status) from error
        attempt.permit.succeeded(self._clock())
        if span := self._spans.get(attempt.number):
            span.answered(answer.body, answer.usage)
        return answer, {**self._headers(attempt, exchange, response), **answer.headers}

    async def stream(
        self, stack: AsyncExitStack, attempt: Attempt, patience: Patience | None = None
    ) -> MessageStream:
        """One attempt at a streamed answer: it has begun, or the gate's time is over."""
        patience = patience or self._patience
        exchange, response = await self._send(stack, attempt, patience, stream=True)
        headers = self._headers(attempt, exchange, response)
        stream = MessageStream(
            response,
            exchange.stream(),
            patience,
            headers,
            attempt.target.provider,
            self._backend.performance.silence_timeout,
        )
        if span := self._spans.get(attempt.number):
            stream.watch = span.follow(stream)
        started = self._clock()
        await stream.open()
        self._measurement.upstream_seconds += self._clock() - started
        if stream.has_content:
            attempt.permit.content(self._clock())
        return stream

    async def hedged(self, stack: AsyncExitStack, attempt: Attempt) -> MessageStream:
        """As `stream`; where it has not begun after `hedge_after`, beside another attempt."""

        async def begin(own: AsyncExitStack, attempt: Attempt) -> tuple[Attempt, MessageStream]:
            return attempt, await self.stream(own, attempt, self._patience.branch())

        def beside() -> Opener[tuple[Attempt, MessageStream]] | None:
            second = self._attempts.beside()
            return None if second is None else partial(self._apart, begin, second)

        hedge_after = self._backend.retry.hedge_after
        winner, stream = await race(stack, partial(begin, attempt=attempt), beside, hedge_after)
        if winner is not attempt:
            log.info("request %s: %s began first", self._call.request_id, winner.endpoint.label)
            self._close(attempt)
            self._goes_on_with(winner)
        return stream

    def completed(self) -> None:
        """The stream came to its end."""
        if self._attempt is not None:
            self._attempt.permit.succeeded(self._clock())
            if span := self._spans.get(self._attempt.number):
                span.completed()

    def broke(self, error: ApiError) -> None:
        """The stream failed after it had begun."""
        if self._attempt is not None:
            self._failed(self._attempt, error)
        error.headers.setdefault("x-ccproxy-attempts", str(self._attempts.number))

    def _next(self) -> Attempt:
        attempt = self._attempts.next()
        self._goes_on_with(attempt)
        return attempt

    def _goes_on_with(self, attempt: Attempt) -> None:
        self._attempt = attempt
        target = attempt.target
        self._logged.goes_to(self._head.model, target)
        self._logged.entry.attempts = attempt.number
        measurement = self._measurement
        measurement.provider, measurement.route, measurement.model = target.provider, target.route, target.model

    async def _apart(
        self,
        begin: Callable[[AsyncExitStack, Attempt], Awaitable[T]],
        attempt: Attempt,
        own: AsyncExitStack,
    ) -> T:
        """An attempt beside another: what it learns, and its end, are its own."""
        own.callback(self._close, attempt)
        try:
            return await begin(own, attempt)
        except ApiError as error:
            self._failed(attempt, error)
            raise

    def _after(self, attempt: Attempt, error: ApiError) -> float:
        """Seconds until the next attempt; else the error that ends the call."""
        pause = self._attempts.after(attempt, error)
        request_id, label = self._call.request_id, attempt.endpoint.label
        if isinstance(error, FullError):
            self._metrics.overflowed(attempt.target.provider)
            log.info("request %s: %s has no free place; trying its fallback", request_id, label)
        else:
            log.warning("request %s: %s failed (%s); trying again", request_id, label, error.reason)
        return pause

    def _blame(self, error: ApiError, attempt: Attempt) -> None:
        """Our own time for a whole answer is the provider's failure; the caller's deadline says nothing of it."""
        asked = self._call.deadline
        if error.reason is Reason.TIMEOUT and error.provider is None and (asked is None or self._clock() < asked):
            error.by(attempt.target.provider)
            error.replay = "never"  # there is no time left for another

    def _failed(self, attempt: Attempt, error: ApiError) -> None:
        attempt.permit.failed(error, self._clock())
        if span := self._spans.get(attempt.number):
            span.failed(error)

    def _close(self, attempt: Attempt) -> None:
        attempt.permit.close(self._clock())
        if span := self._spans.pop(attempt.number, None):
            span.end()

    async def _send(
        self, stack: AsyncExitStack, attempt: Attempt, patience: Patience, *, stream: bool
    ) -> tuple[Exchange, UpstreamResponse]:
        """Sends the attempt's request, and its recovery where the provider refuses and has one."""
        provider, transport = attempt.endpoint.provider, attempt.upstream.transport
        exchange = provider.exchange(self._call, self._head, attempt.target)
        self._logged.entry.dropped = len(exchange.dropped)
        for name in exchange.dropped:
            self._metrics.dropped(provider.name, name)
        if exchange.request.ready is not None:
            attempt.permit.close(self._clock())  # nobody is asked, so nothing is learned
            return exchange, ReadyResponse(exchange.request.ready)
        await self._place(stack, attempt, patience)
        self._asked = True
        self._watch(attempt, exchange.request)
        while True:
            started = self._clock()
            until = started + self._backend.performance.first_byte_timeout if stream else None
            outcome = "none"
            try:
                response = await patience.wait(
                    partial(
                        stack.enter_async_context,
                        transport.send(self._traced(attempt, exchange.request), stream=stream),
                    ),
                    until,
                )
                outcome = f"{response.status // 100}xx"
            except ApiError as error:
                outcome = error.reason.lower()
                raise
            except TimeoutError as error:
                outcome = Reason.TIMEOUT.lower()
                message = f"provider {provider.name}: no answer in time"
                raise ApiError(Reason.TIMEOUT, message).by(provider.name) from error
            finally:
                retry = attempt.number > 1
                seconds = self._clock() - started
                self._measurement.upstream_seconds += seconds
                self._metrics.upstream(provider.name, outcome, seconds, retry=retry)
            if response.status == HTTPStatus.OK:
                return exchange, response
            body = redact_each(await patience.wait(response.body), exchange.request.secrets)
            refusal = provider.error(response.status, response.headers, body)
            again = exchange.recover(refusal)
            if again is None:
                raise refusal
            exchange = again

    def _watch(self, attempt: Attempt, request: UpstreamRequest) -> None:
        """Begins the attempt's span, where spans are kept."""
        if (kept := self._call.span) is not None:
            target = attempt.target
            self._spans[attempt.number] = kept.attempt(
                target.provider, target.model, request.url, self._head, number=attempt.number
            )

    def _traced(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamRequest:
        """The request with the trace that it belongs to, where providers may know."""
        if not self._backend.propagates or (trace := self._call.trace) is None:
            return request
        span = self._spans.get(attempt.number)
        return request.traced(trace if span is None else span.trace)

    async def _place(self, stack: AsyncExitStack, attempt: Attempt, patience: Patience) -> None:
        """Waits for a place at the attempt's provider, where there are only so many."""
        places = self._backend.limits.places.get(attempt.target.provider)
        if places is not None:
            await patience.wait(partial(stack.enter_async_context, places.place()))

    def _headers(self, attempt: Attempt, exchange: Exchange, response: UpstreamResponse) -> dict[str, str]:
        headers = attempt.endpoint.provider.reply_headers(response.headers)
        headers["x-ccproxy-provider"] = attempt.target.provider
        headers["x-ccproxy-model"] = printable(attempt.target.model)
        headers["x-ccproxy-attempts"] = str(attempt.number)
        if exchange.dropped:
            headers["x-ccproxy-dropped"] = printable(", ".join(exchange.dropped))[:MAX_DROPPED_CHARS]
        return headers
