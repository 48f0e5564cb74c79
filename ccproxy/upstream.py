"""The way to a provider: one `aiohttp.ClientSession` per provider, for the life of the process.

`Transport.send` is the seam that tests replace. What aiohttp raises is mapped here, by class and never by
`.status`: a provider's garbage must not read as the caller's bad request.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, Self

import aiohttp
from msgspec import Struct
from yarl import URL

from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Provider, UpstreamRequest

CONNECT_SECONDS = 10.0  # TCP and TLS only; the answer itself may take minutes
SILENCE_SECONDS = 300.0  # between two reads of a stream; Claude Code gives up at the same point
FIRST_BYTE_SECONDS = 600.0  # of a whole answer: the SDK's own default
READ_BYTES = 64 << 10  # held per stopped reader; aiohttp's default holds four times as much
MAX_ANSWER_BYTES = 64 << 20
MAX_ERROR_BYTES = 1 << 20
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
WHOLE_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=FIRST_BYTE_SECONDS)
DRAIN_SECONDS = 0.05  # to take the end of a finished stream, so that its connection can serve again


class UpstreamResponse(Protocol):
    """What came back. Header names are lower case."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The HTTP headers."""
        ...

    async def read(self) -> bytes:
        """The next bytes as they came; empty at the end.

        Raises:
            ApiError: The connection failed or fell silent.
        """
        ...

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ApiError: As `read`; also where the body is larger than any answer can be.
        """
        ...


class Transport(Protocol):
    """Sends one request. Leaving the context closes the upstream, whoever leaves it and why."""

    def send(self, request: UpstreamRequest, *, stream: bool) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Yields the response once its headers are here.

        Raises:
            ApiError: No answer.
        """
        ...


class Upstream(Struct, frozen=True):
    """A provider and the way to it."""

    provider: Provider
    transport: Transport


class HttpTransport:
    """HTTP to one provider. Use as an async context manager: it owns the connections."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # 0: aiohttp would queue the 101st stream in silence
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BYTES,
            auto_decompress=True,
            trust_env=False,  # a proxy or netrc of the environment would get the keys
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def send(self, request: UpstreamRequest, *, stream: bool) -> AsyncIterator[UpstreamResponse]:
        """Sends `request`; see `Transport.send`."""
        if self._session is None:
            raise RuntimeError("the transport is not open")
        try:
            response = await self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,  # a redirect would carry the key to another host
                timeout=STREAM_TIMEOUT if stream else WHOLE_TIMEOUT,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise failure(error, self._provider) from error
        try:
            yield HttpResponse(response, self._provider)
            await _drain(response)
        finally:
            response.close()  # back to the pool where the body was read to its end, else closed


class HttpResponse:
    """aiohttp's response, with its failures mapped."""

    def __init__(self, response: aiohttp.ClientResponse, provider: str) -> None:
        self._response = response
        self._provider = provider
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.headers.items()}

    async def read(self) -> bytes:
        """The next bytes; see `UpstreamResponse.read`."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # aiohttp raises as soon as the connection breaks, over what it has read and nobody has taken yet.
            # That came before the break, so it goes first; the next read raises again.
            rest = self._response.content._read_nowait(-1)  # noqa: SLF001  # pinned by a contract test
            if rest:
                return rest
            raise failure(error, self._provider) from error

    async def body(self) -> bytes:
        """The whole body; see `UpstreamResponse.body`."""
        limit = MAX_ANSWER_BYTES if self.status == 200 else MAX_ERROR_BYTES  # noqa: PLR2004
        chunks: list[bytes] = []
        size = 0
        while chunk := await self.read():
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise ApiError(
                    Reason.UPSTREAM_INVALID_RESPONSE, f"provider {self._provider} sent more than {limit} bytes"
                ).by(self._provider, self.status)
        return b"".join(chunks)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Takes what is left of a finished answer, if it comes at once."""
    if response.content.at_eof():
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await response.content.readany():
                pass
    except (aiohttp.ClientError, TimeoutError, OSError):
        return  # closed instead: costs a new connection, nothing else


def failure(error: Exception, provider: str) -> ApiError:
    """What an exception of the client means. The text never holds a URL, a header or bytes of the answer."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, f"no connection within {CONNECT_SECONDS:g} s"
        case TimeoutError():  # also aiohttp.SocketTimeoutError
            reason, what = Reason.TIMEOUT, "no answer in time"
        case aiohttp.ClientSSLError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "TLS verification failed"
        case aiohttp.ClientConnectorDNSError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "its name cannot be resolved"
        case aiohttp.ClientConnectorError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "the connection was refused"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "the connection broke"
        case aiohttp.ClientPayloadError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "the answer was cut off"
        case _:
            reason, what = Reason.UPSTREAM_INVALID_RESPONSE, "the answer is not HTTP as documented"
    return ApiError(reason, f"provider {provider}: {what}").by(provider)
