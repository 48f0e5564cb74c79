"""The HTTP edge: aiohttp over the same `Proxy` and `Status` as gRPC.

Every error is Anthropic's envelope with a `request-id`, whoever raised it: the core, the router (404, 405), or
aiohttp's parser, whose own error page would quote the bytes it could not read. No CORS header is ever sent: a web
page has no business here.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from importlib import resources

from aiohttp import HttpVersion, HttpVersion10, HttpVersion11, web
from ccproxy_pb.v1 import json_codec

from ccproxy import __version__
from ccproxy.access import Access, Caller, Http
from ccproxy.call import Call, Edge, Headers, deadline
from ccproxy.config import ConnectionsConfig
from ccproxy.documents import invalid
from ccproxy.errors import ApiError, Reason, internal
from ccproxy.gateway.answers import ENDS_CONNECTION, from_aiohttp, json, refusal, reply
from ccproxy.gateway.body import read
from ccproxy.gateway.connections import Gate, Runner, Terms
from ccproxy.gateway.listener import Listener
from ccproxy.ids import new_request_id, request_id
from ccproxy.logs import Rate, Refusals
from ccproxy.messages import Event
from ccproxy.metrics import Metrics
from ccproxy.proxy import Proxy
from ccproxy.spans import RequestSpan, Telemetry
from ccproxy.status import Status
from ccproxy.tracing import incoming

MAX_BODY_BYTES = 32 << 20  # Anthropic's own limit
MAX_FIELD_BYTES = 16 << 10  # one header
MAX_HEADERS = 100
LINGER_SECONDS = 1.0  # for the rest of a refused body

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx in front would hold the stream back
}

EDGE: Edge = "http"

__all__ = ["Gateway", "Listener", "Runner"]

PROXY = "ccproxy.v1.Proxy"
STATUS = "ccproxy.v1.Status"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

_id = web.RequestKey("request_id", str)
_headers: web.RequestKey[Headers] = web.RequestKey("headers", dict)
_who = web.RequestKey("who", str)
_span: web.RequestKey[RequestSpan] = web.RequestKey("span", RequestSpan)


class Gateway:
    """The routes and what they do. `runner` serves them."""

    def __init__(
        self,
        proxy: Proxy,
        status: Status,
        access: Access,
        metrics: Metrics,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        connections: ConnectionsConfig = ConnectionsConfig(),  # noqa: B008  # it is frozen
        telemetry: Telemetry | None = None,
    ) -> None:
        self._proxy = proxy
        self._status = status
        self._access = access
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._connections = connections
        self._telemetry = telemetry
        self.gate = Gate(connections)
        self._refused = Refusals(EDGE)
        self._full = Rate(1)
        openapi = resources.files("ccproxy").joinpath("openapi.json").read_text(encoding="utf-8")
        self._openapi = openapi.replace("{version}", __version__).encode()

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """Every route: HTTP method, path, the method it asks `access` for, and its handler. GET implies HEAD."""
        service, proxy = STATUS, PROXY
        return [
            ("GET", "/", f"{service}.GetInfo", self._info),
            ("GET", "/livez", f"{service}.GetInfo", self._info),
            ("GET", "/health", f"{service}.GetHealth", self._health),
            ("GET", "/healthz", f"{service}.GetHealth", self._health),
            ("GET", "/readyz", f"{service}.GetHealth", self._health),
            ("GET", "/status", f"{service}.GetStatus", self._facts),
            ("POST", "/v1/messages", f"{proxy}.CreateMessage", self._messages),
            ("POST", "/v1/messages/count_tokens", f"{proxy}.CountTokens", self._count_tokens),
            ("GET", "/v1/models", f"{proxy}.ListModels", self._models),
            ("GET", "/v1/models/{model_id:.+}", f"{proxy}.GetModel", self._model),
            ("GET", "/api/hello", "hello", self._hello),
            ("GET", "/metrics", "metrics", self._exposition),
            ("GET", "/openapi.json", "openapi", self._interface),
        ]

    def runner(self) -> Runner:
        """An aiohttp runner for these routes. Its sites are the caller's to start and stop."""
        app = web.Application(client_max_size=self._max_body_bytes)
        app.on_response_prepare.append(self._sign)
        for http_method, path, method, handler in self.routes():
            guarded = partial(self._guarded, method, handler)
            if self._telemetry is not None and method.startswith(PROXY):
                guarded = partial(self._told, self._telemetry, path, guarded)
            for name in ("GET", "HEAD") if http_method == "GET" else (http_method,):
                app.router.add_route(name, path, guarded, expect_handler=_answer_later)
        return Runner(
            app,
            Terms(self._boundary, self._connections, self.gate, self._rejected),
            handle_signals=False,
            access_log=None,  # its line holds the query string
            handler_cancellation=True,  # a client that has gone must not keep a billed upstream call alive
            auto_decompress=False,  # 8 MB of gzip would cost 193 MB and a second
            keepalive_timeout=self._connections.idle_timeout,
            lingering_time=LINGER_SECONDS,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_HEADERS,
            shutdown_timeout=0.5,  # the drain is done by then
        )

    def _rejected(self, reason: str) -> None:
        self._metrics.rejected(EDGE, reason)
        if reason == "connections" and self._full.passes():
            log.warning(
                "too many connections: %d are open", self.gate.open, extra={"fields": {"more": self._full.held()}}
            )

    async def _boundary(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        """Gives the request its id, and turns whatever is raised into an answer."""
        request[_headers] = headers = _lower(request)
        request[_id] = request_id(headers)
        try:
            if request.version != HttpVersion11:
                _check_version(request.version, headers)
            response = await handler(request)
        except ApiError as error:
            if error.status in ENDS_CONNECTION:
                self._metrics.rejected(EDGE, HTTPStatus(error.status).name.lower())
            response = refusal(error, request[_id])
            if request.version != HttpVersion11:
                response.force_close()
            return response
        except web.HTTPException as error:
            return refusal(from_aiohttp(error, request), request[_id])
        except ConnectionError:
            raise  # the client has gone: nobody reads an answer
        except Exception as error:  # noqa: BLE001  # the outermost line: a mistake of ours becomes an opaque id
            return refusal(internal(error, log), request[_id])
        if not self._status.serving.accepting:  # there is no next call, whatever its headers said before the end
            response.force_close()
        return response

    async def _sign(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The last touch to every answer: id, a server without a version, whether more may come."""
        if isinstance(request, web.Request):
            named = request.get(_id) or new_request_id()
            response.headers.setdefault("request-id", named)
            response.headers["x-request-id"] = named
        response.headers["server"] = "ccproxy"
        if not self._status.serving.ready:  # the next request belongs elsewhere
            response.headers["connection"] = "close"
            response.force_close()

    async def _guarded(self, method: str, handler: Handler, request: web.Request) -> web.StreamResponse:
        try:
            request[_who] = self._access.check(method, _caller(request))
        except ApiError as error:
            self._metrics.auth_failure(EDGE, error.reason.lower())
            self._refused(method, error.reason)
            raise
        return await handler(request)

    async def _told(
        self, telemetry: Telemetry, path: str, handler: Handler, request: web.Request
    ) -> web.StreamResponse:
        """Answers, and tells of it."""
        route = path.replace(":.+}", "}")
        span = telemetry.http(request.method, route, request[_id], incoming(request[_headers]))
        request[_span] = span
        status: int | None = None
        try:
            response = await handler(request)
            status = response.status
        except ApiError as error:
            span.failed(error)
            status = error.status
            raise
        except Exception as error:
            if not isinstance(error, ConnectionError):
                status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            span.end(status)
        return response

    async def _info(self, _: web.Request) -> web.Response:
        return json(json_codec.encode(self._status.info()))

    async def _health(self, request: web.Request) -> web.Response:
        detailed = self._access.sees_details(_caller(request))
        body = json_codec.encode(self._status.health(detailed=detailed))
        return json(body, HTTPStatus.OK if self._status.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _facts(self, _: web.Request) -> web.Response:
        return json(json_codec.encode(self._status.status()))

    async def _exposition(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition(request.headers.get("accept"))
        return web.Response(body=body, headers={"content-type": content_type})

    async def _interface(self, _: web.Request) -> web.Response:
        return json(self._openapi)

    async def _hello(self, _: web.Request) -> web.Response:
        return json(b"{}")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        call = await self._call(request)
        if _wants_stream(call):
            return await self._stream(request, call)
        return reply(await self._proxy.create_message(call))

    async def _stream(self, request: web.Request, call: Call) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._proxy.stream_message(call) as stream:
                response = _Streamed(headers={**stream.headers, **STREAM_HEADERS})
                await response.prepare(request)
                async for frames in stream:
                    await (response.write_eof if stream.finished else response.write)(frames)
                await response.write_eof()
        except ConnectionError:
            raise  # the client has gone: nobody reads an end
        except Exception as error:
            if response is None:
                raise
            # The status is out: the failure is the stream's last event, and never looks like an end.
            failure = error if isinstance(error, ApiError) else internal(error, log)
            if call.span is not None:
                call.span.failed(failure)
            await response.write(Event("error", failure.document(call.request_id)).encode())
            await response.write_eof()
        return response

    async def _count_tokens(self, request: web.Request) -> web.Response:
        return reply(await self._proxy.count_tokens(await self._call(request)))

    async def _models(self, request: web.Request) -> web.Response:
        query = request.query
        limit = query.get("limit")
        if limit is not None and not re.fullmatch(r"[0-9]{1,6}", limit):
            raise invalid("limit: expected a whole number")
        return reply(
            await self._proxy.list_models(
                query.get("after_id"),
                query.get("before_id"),
                None if limit is None else int(limit),
                request.headers.get("user-agent", ""),
                request[_who],
            )
        )

    async def _model(self, request: web.Request) -> web.Response:
        return reply(await self._proxy.get_model(request.match_info["model_id"], request[_who]))

    async def _call(self, request: web.Request) -> Call:
        """Reads the request, refusing what cannot be a document of the Messages API."""
        headers = request[_headers]
        span = request.get(_span)
        if headers.get("content-encoding", ["identity"]) != ["identity"]:
            raise ApiError(Reason.INVALID_REQUEST, "content-encoding: send the body as it is", status=415)
        if request.content_type != "application/json" and "content-type" in headers:
            # A web page can send other types to this host without asking; JSON it cannot.
            raise ApiError(Reason.INVALID_REQUEST, "content-type: expected application/json", status=415)
        return Call(
            edge=EDGE,
            request_id=request[_id],
            body=await self._body(request),
            headers=self._access.without_keys(_spelled(headers)),
            query=request.query_string,
            deadline=deadline(headers, asyncio.get_running_loop().time()),
            caller=request[_who],
            trace=incoming(headers) if span is None else span.trace,
            span=span,
        )

    async def _body(self, request: web.Request) -> bytes:
        with self._proxy.arrival(EDGE) as arrival:
            return await read(request, self._max_body_bytes, self._connections.body_timeout, arrival)


class _Streamed(web.StreamResponse):
    """A response whose headers wait for its first bytes, which are there already: one write carries both."""

    _send_headers_immediately = False


async def _answer_later(_: web.Request) -> None:
    """In the place of aiohttp's `100 Continue`, which it sends before anybody has looked at the request."""


def _check_version(version: HttpVersion, headers: Headers) -> None:
    """Refuses what is no HTTP/1; and chunks in HTTP/1.0, which does not know them.

    Whoever stands in between may see another end of such a request than we do: it is also the connection's last.
    """
    if version != HttpVersion10:
        raise invalid("This is not HTTP/1.1")
    if "transfer-encoding" in headers:
        raise invalid("transfer-encoding: HTTP/1.0 does not know it")


def _spelled(headers: Headers) -> Headers:
    """Headers without names that hold `_`: to some programs they are the same names as those with `-`."""
    return {name: values for name, values in headers.items() if "_" not in name}


def _wants_stream(call: Call) -> bool:
    """Whether a stream is asked for. An unreadable request is no stream: the core then says what is wrong."""
    try:
        return call.head().stream
    except ApiError:
        return False


def _lower(request: web.BaseRequest) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return headers


def _caller(request: web.Request) -> Caller:
    transport = request.transport
    peer = transport.get_extra_info("peername") if transport else None
    local = transport.get_extra_info("sockname") if transport else None
    return Caller(
        peer=peer[0] if isinstance(peer, tuple) else "",
        local=local[0] if isinstance(local, tuple) else "",
        headers=request[_headers],
        http=Http(
            hosts=request[_headers].get("host", []),
            version=(request.version.major, request.version.minor),
            origin_form=request.raw_path.startswith("/"),
            port=local[1] if isinstance(local, tuple) else 0,
            scheme="https" if transport and transport.get_extra_info("sslcontext") else "http",
        ),
    )
