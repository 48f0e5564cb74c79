"""The demo's server: aiohttp on loopback, its pace, and the faults that need a connection."""

import asyncio
import ipaddress
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import chain
from typing import Self

import msgspec
from aiohttp import web
from msgspec import Struct

from ccproxy.demo import (
    anthropic,
    deepseek,
    directives,
    gemini,
    openai_chat,
    openai_responses,
    openrouter,
    openrouter_messages,
)
from ccproxy.demo.answer import compose
from ccproxy.demo.dialect import Dialect, Frame, Kind, Stamp, UrlDialect, Wire, status_of, until
from ccproxy.demo.prompt import InvalidRequestError, Prompt
from ccproxy.demo.script import Script

MAX_BODY = 32 * 1024 * 1024  # bytes; Anthropic's own limit
SHUTDOWN_SECONDS = 0.1  # for answers under way when the demo ends; nobody depends on them

ANTHROPIC = "/anthropic"
OPENAI = "/openai/v1"
DEEPSEEK = "/deepseek"
OPENROUTER = "/openrouter/api/v1"
GEMINI = "/gemini/v1beta"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ANSWERED: Mapping[str, Dialect] = {
    f"{ANTHROPIC}/v1/messages": anthropic,
    f"{OPENAI}/chat/completions": openai_chat,
    f"{OPENAI}/responses": openai_responses,
    f"{DEEPSEEK}/chat/completions": deepseek,
    f"{DEEPSEEK}/v1/chat/completions": deepseek,
    f"{DEEPSEEK}/anthropic/v1/messages": anthropic,
    f"{OPENROUTER}/chat/completions": openrouter,
    f"{OPENROUTER}/messages": openrouter_messages,
}
"""The paths where an answer is asked for."""

GENERATED: Mapping[str, tuple[UrlDialect, bool]] = {
    f"{GEMINI}/models/{{model}}:generateContent": (gemini, False),
    f"{GEMINI}/models/{{model}}:streamGenerateContent": (gemini, True),
}
"""The same where the path names the model, and tells whether the answer is a stream."""

COUNTED: Mapping[str, Callable[[bytes], bytes]] = {
    f"{ANTHROPIC}/v1/messages/count_tokens": anthropic.count,
    f"{OPENAI}/responses/input_tokens": openai_responses.count,
    f"{GEMINI}/models/{{model}}:countTokens": gemini.count,
}
"""The paths where tokens are counted."""

LISTED: Mapping[str, Wire] = {
    f"{ANTHROPIC}/v1/models": anthropic,
    f"{OPENAI}/models": openai_chat,
    f"{DEEPSEEK}/models": deepseek,
    f"{DEEPSEEK}/v1/models": deepseek,
    f"{OPENROUTER}/models": openrouter,
    f"{GEMINI}/models": gemini,
}
"""The paths of lists of models."""

REFUSING: Mapping[str, Wire] = {
    f"{DEEPSEEK}/anthropic": anthropic,
    f"{OPENROUTER}/messages": openrouter_messages,
    OPENAI: openai_chat,
    DEEPSEEK: deepseek,
    OPENROUTER: openrouter,
    GEMINI: gemini,
    "": anthropic,
}
"""Who words a refusal, by the beginning of the path; the first that fits."""


class Facts(Struct):
    """What `GET /` tells."""

    service: str
    requests: int
    open_streams: int
    aborted: int
    recalled: int


class Demo:
    """A running demo upstream. `requests`, `aborted` and `recalled` only grow.

    `requests` counts those in a provider's dialect, `open_streams` the streams being answered, `aborted` the
    requests whose client went away before its answer was complete, `recalled` the pieces of thinking that came
    back.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests = 0
        self.open_streams = 0
        self.aborted = 0
        self.recalled = 0

    @property
    def anthropic_url(self) -> str:
        """The base URL for a client of the Anthropic API; it adds `/v1/messages`."""
        return self.url + ANTHROPIC

    @property
    def openai_url(self) -> str:
        """The base URL for a client of OpenAI's API; it adds `/chat/completions`."""
        return self.url + OPENAI

    @classmethod
    @asynccontextmanager
    async def serve(cls, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Self]:
        """Serves on `host`, which must be a loopback address, until the block is left.

        Raises:
            ValueError: `host` is no loopback address.
            OSError: the port is taken.
        """
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"The demo upstream serves on loopback only, not on {host}")
        shown = f"[{host}]" if ":" in host else host
        demo = cls("")
        runner = web.AppRunner(
            demo.application(), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            demo.url = f"http://{shown}:{runner.addresses[0][1]}"
            yield demo
        finally:
            await runner.cleanup()

    def application(self) -> web.Application:
        """All routes: every dialect under its own prefix, since two of them share a path."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[_in_dialect])
        app.router.add_get("/", self._facts)
        for path, dialect in ANSWERED.items():
            app.router.add_post(path, self._answers(dialect))
        for path, (url_dialect, is_stream) in GENERATED.items():
            app.router.add_post(path, self._generates(url_dialect, is_stream=is_stream))
        for path, count in COUNTED.items():
            app.router.add_post(path, self._counts(count))
        for path, wire in LISTED.items():
            app.router.add_get(path, self._models(wire))
            app.router.add_get(f"{path}/{{name:.+}}", self._model(wire))
        return app

    async def _facts(self, _: web.Request) -> web.Response:
        facts = Facts("ccproxy demo upstream", self.requests, self.open_streams, self.aborted, self.recalled)
        return _json(msgspec.json.encode(facts))

    def _answers(self, dialect: Dialect) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            return await self._answer(request, dialect, dialect.read(await _body(request)))

        return handler

    def _generates(self, dialect: UrlDialect, *, is_stream: bool) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            if is_stream and request.query.get("alt") != "sse":
                raise InvalidRequestError("The demo streams server-sent events alone: add alt=sse to the query")
            body = await _body(request)
            return await self._answer(
                request, dialect, dialect.read(body, request.match_info["model"], stream=is_stream)
            )

        return handler

    async def _answer(self, request: web.Request, wire: Wire, prompt: Prompt) -> web.StreamResponse:
        self.recalled += prompt.recalled
        script = directives.parse(prompt.text)
        with self._under_way(is_stream=prompt.stream):
            return await _perform(request, wire, prompt, script)

    def _models(self, wire: Wire) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            return _json(wire.models(request.query))

        return handler

    def _model(self, wire: Wire) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            name = request.match_info["name"]
            model = wire.model(name)
            return _error(wire, 404, message=f"model: {name}") if model is None else _json(model)

        return handler

    def _counts(self, count: Callable[[bytes], bytes]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.requests += 1
            return _json(count(await _body(request)))

        return handler

    @contextmanager
    def _under_way(self, *, is_stream: bool) -> Generator[None]:
        """Counts an answer while it is given, and whether its client went away."""
        self.open_streams += is_stream
        try:
            yield
        except (asyncio.CancelledError, ConnectionError) as error:
            self.aborted += 1
            raise asyncio.CancelledError from error  # aiohttp would log the other as a mistake of ours
        finally:
            self.open_streams -= is_stream


async def _body(request: web.Request) -> bytes:
    body = await request.read()
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError("The request body is not valid JSON: it is not UTF-8") from error
    return body


async def _perform(request: web.Request, wire: Wire, prompt: Prompt, script: Script) -> web.StreamResponse:
    """Gives the answer that the script asks for."""
    stamp = _stamp()
    answer = compose(prompt, script)
    await asyncio.sleep(script.wait_ms / 1000)
    if script.cut and script.cut.after is None:
        return _hang_up(request, web.Response())
    if script.error:
        return _error(wire, script.error.status, script.error.type, script.error.message, script.error.headers)
    if prompt.stream:
        return await _stream(request, wire, wire.frames(answer, prompt, stamp), script, stamp)
    if script.fail:  # an answer in one piece has no middle
        return _error(wire, status_of(script.fail.type), script.fail.type, script.fail.message)
    whole = _json(wire.whole(answer, prompt, stamp), {wire.REQUEST_ID: _request_id(stamp)})
    return await _half(request, whole) if script.cut else whole


async def _stream(
    request: web.Request, wire: Wire, frames: Iterable[Frame], script: Script, stamp: Stamp
) -> web.StreamResponse:
    request_id = _request_id(stamp)
    headers = {"cache-control": "no-cache", wire.REQUEST_ID: request_id}
    response = web.StreamResponse(headers=headers)
    response.content_type, response.charset = "text/event-stream", "utf-8"
    if script.fail:
        failure = wire.failure(script.fail.type, script.fail.message, request_id)
        frames = chain(until(frames, script.fail.after), [failure])
    if script.cut and script.cut.after is not None:
        frames = until(frames, script.cut.after)
    await response.prepare(request)
    for frame in frames:
        if frame.kind is Kind.PIECE:  # also at pace 0: others in this loop shall have their turn
            await asyncio.sleep(script.pace_ms / 1000)
        await response.write(frame.data)
    if script.cut:
        return _hang_up(request, response)
    await response.write_eof()
    return response


async def _half(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Sends half of the body that the headers promise."""
    body = whole.body
    data = body if isinstance(body, bytes) else b""
    response = web.StreamResponse(headers=whole.headers)
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    return _hang_up(request, response)


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Closes the connection after what was written; `response` is for aiohttp, which finds it closed."""
    if request.transport:
        request.transport.close()
    return response


def _json(body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"content-type": "application/json", **(headers or {})})


def _error(
    wire: Wire,
    status: int,
    kind: str | None = None,
    message: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """An HTTP error. With a content-type of another kind its body is the bare message, like that of a gateway."""
    request_id = _request_id(_stamp())
    own = {name.lower(): value for name, value in (headers or {}).items()}
    if "json" in own.get("content-type", "json"):
        body = wire.error(status, kind, message, request_id)
    else:
        body = (message or "").encode()
    return _json(body, {wire.REQUEST_ID: request_id, **own}, status)


def _stamp() -> Stamp:
    return Stamp(secrets.token_hex(8), int(time.time()))


def _request_id(stamp: Stamp) -> str:
    """The id of a request; it shares its word with the ids in the answer."""
    return f"req_demo_{stamp.word}"


@web.middleware
async def _in_dialect(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Words every refusal as the provider would whose prefix was called."""
    wire = next(each for start, each in REFUSING.items() if request.path.startswith(start))
    try:
        return await handler(request)
    except InvalidRequestError as error:
        return _error(wire, 400, error.kind, str(error))
    except web.HTTPRequestEntityTooLarge:
        return _error(wire, 413, message=f"Request exceeds the maximum size of {MAX_BODY} bytes")
    except web.HTTPException as error:
        return _error(wire, error.status, message=f"{request.method} {request.path}: {error.reason}")
