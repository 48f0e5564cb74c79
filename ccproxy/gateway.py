"""The HTTP edge: aiohttp over the same `Proxy` and `Status` as gRPC.

Every error is Anthropic's envelope with a `request-id`, whoever raised it: the core, the router (404, 405), or
aiohttp's parser, whose own error page would quote the bytes it could not read. No CORS header is ever sent: a web
page has no business here.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from importlib import resources

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from ccproxy_pb.v1 import json_codec

from ccproxy import __version__
from ccproxy.access import Access, Caller, Http
from ccproxy.call import Call, Edge, Headers, deadline
from ccproxy.documents import invalid
from ccproxy.errors import ApiError, Reason, internal
from ccproxy.ids import new_request_id, request_id
from ccproxy.logs import Refusals
from ccproxy.messages import Event
from ccproxy.metrics import Metrics
from ccproxy.proxy import Proxy, Reply
from ccproxy.status import Status

MAX_BODY_BYTES = 32 << 20  # Anthropic's own limit
MAX_FIELD_BYTES = 16 << 10  # one header
KEEP_ALIVE_SECONDS = 75.0  # AppRunner's default is an hour
LINGER_SECONDS = 1.0  # for the rest of a refused body

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx in front would hold the stream back
}

EDGE: Edge = "http"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

_id = web.RequestKey("request_id", str)
_headers: web.RequestKey[Headers] = web.RequestKey("headers", dict)
_who = web.RequestKey("who", str)


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
    ) -> None:
        self._proxy = proxy
        self._status = status
        self._access = access
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._refused = Refusals(EDGE)
        openapi = resources.files("ccproxy").joinpath("openapi.json").read_text(encoding="utf-8")
        self._openapi = openapi.replace("{version}", __version__).encode()

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """Every route: HTTP method, path, the method it asks `access` for, and its handler. GET implies HEAD."""
        service = "ccproxy.v1.Status"
        proxy = "ccproxy.v1.Proxy"
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

    def runner(self) -> web.AppRunner:
        """An aiohttp runner for these routes. Its sites are the caller's to start and stop."""
        app = web.Application(client_max_size=self._max_body_bytes, middlewares=[self._boundary])
        app.on_response_prepare.append(_sign)
        for http_method, path, method, handler in self.routes():
            app.router.add_route(http_method, path, partial(self._guarded, method, handler))
            if http_method == "GET":
                app.router.add_route("HEAD", path, partial(self._guarded, method, handler))
        return _Runner(
            app,
            handle_signals=False,
            access_log=None,  # its line holds the query string
            handler_cancellation=True,  # a client that has gone must not keep a billed upstream call alive
            auto_decompress=False,  # 8 MB of gzip would cost 193 MB and a second
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_field_size=MAX_FIELD_BYTES,
            shutdown_timeout=0.5,  # the drain is done by then
        )

    @web.middleware
    async def _boundary(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Gives the request its id, and turns whatever is raised into an answer."""
        request[_headers] = headers = _lower(request)
        request[_id] = request_id(headers)
        try:
            return await handler(request)
        except ApiError as error:
            return _refusal(error, request[_id])
        except web.HTTPException as error:
            return _refusal(_from_aiohttp(error, request), request[_id])
        except ConnectionError:
            raise  # the client has gone: nobody reads an answer
        except Exception as error:  # noqa: BLE001  # the outermost line: a mistake of ours becomes an opaque id
            return _refusal(internal(error, log), request[_id])

    async def _guarded(self, method: str, handler: Handler, request: web.Request) -> web.StreamResponse:
        try:
            request[_who] = self._access.check(method, _caller(request))
        except ApiError as error:
            self._metrics.auth_failure(EDGE, error.reason.lower())
            self._refused(method, error.reason)
            raise
        return await handler(request)

    async def _info(self, _: web.Request) -> web.Response:
        return _json(json_codec.encode(self._status.info()))

    async def _health(self, request: web.Request) -> web.Response:
        detailed = self._access.sees_details(_caller(request))
        body = json_codec.encode(self._status.health(detailed=detailed))
        return _json(body, HTTPStatus.OK if self._status.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _facts(self, _: web.Request) -> web.Response:
        return _json(json_codec.encode(self._status.status()))

    async def _exposition(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.exposition(request.headers.get("accept"))
        return web.Response(body=body, headers={"content-type": content_type})

    async def _interface(self, _: web.Request) -> web.Response:
        return _json(self._openapi)

    async def _hello(self, _: web.Request) -> web.Response:
        return _json(b"{}")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        call = await self._call(request)
        if _wants_stream(call):
            return await self._stream(request, call)
        return _reply(await self._proxy.create_message(call))

    async def _stream(self, request: web.Request, call: Call) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._proxy.stream_message(call) as stream:
                response = _Streamed(headers={**stream.headers, **STREAM_HEADERS})
                await response.prepare(request)
                async for frames in stream:
                    await (response.write_eof if stream.finished else response.write)(frames)
                await response.write_eof()
        except ApiError as error:
            if response is None:
                raise
            # The status is out: the failure is the stream's last event, and never looks like an end.
            await response.write(Event("error", error.document(call.request_id)).encode())
            await response.write_eof()
        return response

    async def _count_tokens(self, request: web.Request) -> web.Response:
        return _reply(await self._proxy.count_tokens(await self._call(request)))

    async def _models(self, request: web.Request) -> web.Response:
        query = request.query
        limit = query.get("limit")
        if limit is not None and not re.fullmatch(r"[0-9]{1,6}", limit):
            raise invalid("limit: expected a whole number")
        return _reply(
            await self._proxy.list_models(
                query.get("after_id"),
                query.get("before_id"),
                None if limit is None else int(limit),
                request.headers.get("user-agent", ""),
            )
        )

    async def _model(self, request: web.Request) -> web.Response:
        return _reply(await self._proxy.get_model(request.match_info["model_id"]))

    async def _call(self, request: web.Request) -> Call:
        """Reads the request, refusing what cannot be a document of the Messages API."""
        headers = request[_headers]
        if headers.get("content-encoding", ["identity"]) != ["identity"]:
            raise ApiError(Reason.INVALID_REQUEST, "content-encoding: send the body as it is", status=415)
        if request.content_type != "application/json" and "content-type" in headers:
            # A web page can send other types to this host without asking; JSON it cannot.
            raise ApiError(Reason.INVALID_REQUEST, "content-type: expected application/json", status=415)
        if (request.content_length or 0) > self._max_body_bytes:
            raise web.HTTPRequestEntityTooLarge(self._max_body_bytes, request.content_length or 0)
        return Call(
            edge=EDGE,
            request_id=request[_id],
            body=await request.read(),
            headers=self._access.without_keys(headers),
            query=request.query_string,
            deadline=deadline(headers, asyncio.get_running_loop().time()),
            caller=request[_who],
        )


class _Streamed(web.StreamResponse):
    """A response whose headers wait for its first bytes, which are there already: one write carries both."""

    _send_headers_immediately = False


class _Connection(RequestHandler):
    """One connection, with the parser's error page replaced."""

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
        error = (
            ApiError(Reason.INVALID_REQUEST, "The request is not valid HTTP", status=status)
            if known or exc is None
            else internal(exc, log)
        )
        response = _refusal(error, new_request_id())
        response.headers["server"] = "ccproxy"
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """aiohttp's runner with our connections; it takes a subclass of its server nowhere, so one is put in here."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,  # noqa: SLF001  # the price of the hardened error path; pinned by a contract test
        )


async def _sign(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """The last touch to every answer: its request's id, and a server that names no version."""
    if isinstance(request, web.Request):
        response.headers.setdefault("request-id", request.get(_id) or new_request_id())
    response.headers["server"] = "ccproxy"


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
        ),
    )


def _json(body: bytes, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=body, status=status, headers={**(headers or {}), "content-type": "application/json"})


def _reply(reply: Reply) -> web.Response:
    return _json(reply.body, headers=reply.headers)


def _refusal(error: ApiError, request_id: str) -> web.Response:
    headers = {
        **error.headers,
        "request-id": request_id,
        "x-should-retry": "true" if error.should_retry else "false",
    }
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return _json(error.document(request_id), error.status, headers)


def _from_aiohttp(error: web.HTTPException, request: web.Request) -> ApiError:
    """What aiohttp refuses by itself, in Anthropic's words."""
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ApiError(
                Reason.INVALID_REQUEST,
                f"{request.method} is not allowed here; use {allowed}",
                status=405,
                headers={"allow": allowed},
            )
        case web.HTTPNotFound():
            return ApiError(Reason.NOT_FOUND, "There is no such path")
        case web.HTTPRequestEntityTooLarge():
            limit = request.client_max_size
            return ApiError(Reason.REQUEST_TOO_LARGE, f"The request body is larger than {limit} bytes")
        case _:
            return ApiError(Reason.INVALID_REQUEST, "The request cannot be read", status=error.status)
