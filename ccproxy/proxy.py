"""The Proxy service, implemented once: both edges call it, and it knows neither.

A stream's HTTP 200 (or first gRPC message) is held until the upstream's content begins (decision D9): before
that a failure is a real status, after it one terminal error. What counts as a request is counted here.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus
from types import TracebackType

import msgspec
from msgspec import Struct

from ccproxy.backend import Backend
from ccproxy.call import Call, Edge
from ccproxy.documents import decode_request, replace_members
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.journey import Journey
from ccproxy.limits import Admission, Arrival, Limiter
from ccproxy.logs import LoggedRequest, RequestLog
from ccproxy.message_stream import MessageStream, broken
from ccproxy.messages import Usage
from ccproxy.metrics import Measurement, Metrics, Spent
from ccproxy.patience import Patience
from ccproxy.provider import redact_each
from ccproxy.serving import Serving
from ccproxy.tokens import estimate, family_of


class Reply(Struct, frozen=True):
    """A whole answer: a JSON document, and headers for the caller."""

    body: bytes
    headers: Mapping[str, str]


class Proxy:
    """The Anthropic Messages API over the configured providers."""

    def __init__(
        self,
        backend: Backend,
        metrics: Metrics,
        serving: Serving,
        *,
        request_log: RequestLog | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        self._backend = backend
        self._metrics = metrics
        self._serving = serving
        self._request_log = request_log
        self._limiter = Limiter(metrics) if limiter is None else limiter
        self._running: set[Patience] = set()

    @property
    def backend(self) -> Backend:
        """What calls that come now use."""
        return self._backend

    def use(self, backend: Backend) -> Backend:
        """Serves calls that come now from `backend`. Returns the one before."""
        before, self._backend = self._backend, backend
        return before

    @property
    def running(self) -> int:
        """How many calls are being answered."""
        return len(self._running)

    def interrupt(self, error: ApiError) -> None:
        """Ends every running call with `error`."""
        for patience in tuple(self._running):
            patience.interrupt(error)

    def arrival(self, edge: Edge) -> Arrival:
        """The room for a request that an edge begins to read."""
        return self._limiter.arrival(self._backend.limits, edge)

    async def create_message(self, call: Call) -> Reply:
        """Creates one message and returns it whole.

        Raises:
            ApiError: For every failure.
        """
        with (
            LoggedRequest(self._request_log, call, "create_message") as logged,
            self._accepted(call) as (backend, patience, admission),
            _Counted(self._metrics.begin(call.edge, stream=False)) as measurement,
        ):
            async with AsyncExitStack() as stack:
                journey = Journey(self._metrics, backend, call, patience, measurement, logged)
                answer, headers = await journey.first(stack, journey.whole)
                admission.charge(answer.usage)
                headers |= admission.headers()
                measurement.succeed(_spent(answer.usage))
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
            self._accepted(call, stream=True) as (backend, patience, admission),
            _Counted(self._metrics.begin(call.edge, stream=True)) as measurement,
        ):
            async with AsyncExitStack() as stack:
                journey = Journey(self._metrics, backend, call, patience, measurement, logged)
                hedges = bool(backend.retry.hedge_after)
                stream = await journey.first(stack, journey.hedged if hedges else journey.stream)
                stream.headers = {**stream.headers, **admission.headers()}
                measurement.first_event()
                logged.first_event()
                try:
                    yield stream
                except ApiError as error:
                    journey.broke(error)
                    side = "drain" if error.reason is Reason.SHUTTING_DOWN else "upstream"
                    measurement.fail(error.reason, side=side)
                    raise
                except (asyncio.CancelledError, ConnectionError, GeneratorExit):
                    measurement.abort("client", _spent(stream.usage))
                    raise
                finally:
                    admission.charge(stream.usage)
                    logged.answered(stream.headers, stream.usage)
                journey.completed()
                measurement.succeed(_spent(stream.usage))
                logged.succeed(stream.headers, stream.usage)

    async def count_tokens(self, call: Call) -> Reply:
        """Counts a request's input tokens: the provider's own count where it has one, else an estimate.

        Raises:
            ApiError: For every failure.
        """
        with (
            LoggedRequest(self._request_log, call, "count_tokens") as logged,
            self._accepted(call, message=False) as (backend, patience, _),
        ):
            head = call.head()
            target = backend.router.route(head)[0]
            logged.goes_to(head.model, target)
            upstream = backend.upstreams[target.provider]
            request = upstream.provider.count_request(call, head, target)
            if request is None:
                countable = replace_members(head.fields, {"max_tokens": 1})  # the typed view asks for it
                return _count_reply(estimate(decode_request(countable), family_of(target.model)), {})
            if backend.propagates and call.trace is not None:
                request = request.traced(call.trace)
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
                    raise broken(error).by(target.provider, response.status) from error
                headers = upstream.provider.reply_headers(response.headers)
                logged.entry.upstream_request_id = headers.get("x-ccproxy-upstream-request-id", "")
                return _count_reply(count, headers)

    def learn_models(self) -> None:
        """Asks every provider what it lists, so that the first caller need not wait. It does not wait either."""
        self._backend.catalogue.refresh()

    async def close(self) -> None:
        """Gives up what nobody waits for."""
        await self._backend.catalogue.close()

    async def list_models(
        self,
        after_id: str | None,
        before_id: str | None,
        limit: int | None,
        user_agent: str = "",
        caller: str = "",
    ) -> Reply:
        """Lists the models of every provider that the caller may ask for, a page at a time.

        Args:
            after_id: The last one of the page before.
            before_id: The first one of the page after.
            limit: How many to a page.
            user_agent: The caller's.
            caller: Who was let in, as in `Call`.

        Raises:
            ApiError: INVALID_REQUEST, for an impossible page.
        """
        self._require_accepting()
        backend = self._backend
        covers = backend.limits.of(caller).covers
        return Reply(await backend.catalogue.page(after_id, before_id, limit, user_agent, covers), {})

    async def get_model(self, model_id: str, caller: str = "") -> Reply:
        """Gets one model, where the caller may ask for it.

        Raises:
            ApiError: NOT_FOUND.
        """
        self._require_accepting()
        backend = self._backend
        return Reply(await backend.catalogue.get(model_id, backend.limits.of(caller).covers), {})

    def _require_accepting(self) -> None:
        if not self._serving.accepting:
            raise shutting_down(self._serving.reason)

    @contextmanager
    def _accepted(
        self, call: Call, *, stream: bool = False, message: bool = True
    ) -> Iterator[tuple[Backend, Patience, Admission]]:
        """Takes the call: it keeps the backend of this moment, and may be waited for until its deadline.

        Raises:
            ApiError: It is refused: no call is counted.
        """
        self._require_accepting()
        backend = self._backend
        admission = self._limiter.admit(backend.limits, call, message=message)
        times = backend.performance
        deadline = asyncio.get_running_loop().time() + (times.stream_timeout if stream else times.request_timeout)
        patience = Patience(deadline if call.deadline is None else min(deadline, call.deadline))
        self._running.add(patience)
        backend.calls += 1
        try:
            yield backend, patience, admission
        except ApiError as error:
            error.headers = {**admission.headers(), **error.headers}  # a provider's own say why it refused
            raise
        finally:
            backend.left()
            self._running.discard(patience)
            patience.close()
            admission.close()


class _Counted:
    """Counts a call. The first ending counts, so the last line is for a mistake of ours."""

    __slots__ = ("_measurement",)

    def __init__(self, measurement: Measurement) -> None:
        self._measurement = measurement

    def __enter__(self) -> Measurement:
        return self._measurement

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, ApiError):
            self._measurement.fail(error.reason)
        elif isinstance(error, asyncio.CancelledError | ConnectionError | GeneratorExit):
            self._measurement.abandon()
        self._measurement.fail(Reason.INTERNAL)


def shutting_down(reason: str) -> ApiError:
    """The answer to a call that comes, or still runs, when the service ends."""
    return ApiError(Reason.SHUTTING_DOWN, f"CCProxy is {reason}", retry_after=1)


def _spent(usage: Usage) -> Spent:
    details = usage.output_tokens_details or {}
    return Spent(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        usage.cache_read_input_tokens or 0,
        usage.cache_creation_input_tokens or 0,
        details.get("thinking_tokens", 0),
    )


def _count_reply(count: int, headers: Mapping[str, str]) -> Reply:
    return Reply(msgspec.json.encode({"input_tokens": count}), headers)
