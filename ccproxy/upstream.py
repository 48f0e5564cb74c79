"""The way to a provider: one `aiohttp.ClientSession` per provider, for the life of the process.

`Transport.send` is the seam that tests replace; `client_failures` says what aiohttp's exceptions mean.

The way may lead through an HTTP proxy of the operator's network: `https` providers by CONNECT, so that the proxy
sees a host name and nothing else; `http` ones in absolute form.
"""

import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from functools import partial
from http import HTTPStatus
from typing import Protocol, Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from msgspec import Struct
from yarl import URL

from ccproxy.circuit import FAILURES_IN_A_ROW, Circuit
from ccproxy.client_failures import CONNECT_SECONDS, PROXY_CREDENTIALS, failure
from ccproxy.config import Secret, is_loopback
from ccproxy.errors import ApiError, Reason
from ccproxy.names import Names
from ccproxy.provider import Provider, UpstreamRequest, received
from ccproxy.request_body import RequestBody
from ccproxy.sent import Sent

SILENCE_SECONDS = 300.0  # between two reads of a stream; Claude Code gives up at the same point
FIRST_BYTE_SECONDS = 600.0  # of a whole answer: the SDK's own default
READ_BYTES = 64 << 10  # held per stopped reader; aiohttp's default holds four times as much
MAX_ANSWER_BYTES = 64 << 20
MAX_ERROR_BYTES = 1 << 20
_CLOSED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


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


class ReadyResponse:
    """A response that was known before anybody was asked."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self.headers: Mapping[str, str] = {}
        self._body = body

    async def read(self) -> bytes:
        """The whole body, then the end."""
        body, self._body = self._body, b""
        return body

    async def body(self) -> bytes:
        """The whole body."""
        return self._body


class Transport(Protocol):
    """Sends one request. Leaving the context closes the upstream, whoever leaves it and why."""

    def send(self, request: UpstreamRequest, *, stream: bool) -> AbstractAsyncContextManager[UpstreamResponse]:
        """Yields the response once its headers are here.

        Raises:
            ApiError: No answer.
        """
        ...


class Endpoint(Struct, frozen=True):
    """One way to a provider: an address and a key of it. `label` is for people, and holds neither."""

    label: str
    provider: Provider
    circuit: Circuit


class Upstream:
    """A provider: the ways to it, and the connections that they share.

    Args:
        provider: Its first way.
        transport: The connections.
        others: Its other addresses and keys.
        open_after: How many failures in a row open the circuit of a way; 0 for none.
    """

    def __init__(
        self,
        provider: Provider,
        transport: Transport,
        others: Sequence[Provider] = (),
        open_after: int = FAILURES_IN_A_ROW,
    ) -> None:
        self.provider = provider
        self.transport = transport
        several = bool(others)
        self.endpoints = tuple(
            Endpoint(f"{each.name}#{number}" if several else each.name, each, Circuit(open_after))
            for number, each in enumerate((provider, *others), 1)
        )

    def choose(self, now: float, but_not: Sequence[Endpoint] = ()) -> Endpoint | None:
        """The way for the next call: one that may be used and does not rest, with the fewest calls on it."""
        free = [each for each in self.endpoints if each not in but_not and each.circuit.admits(now)]
        if len(free) == 1:
            return free[0]
        return min(free, key=lambda each: (each.circuit.rests(now), each.circuit.running), default=None)


class HttpTransport:
    """HTTP to one provider. Use as an async context manager: it owns the connections.

    Args:
        provider: The provider's name.
        proxy_url: The HTTP proxy on the way, with its user and password where it asks for them.
        no_proxy: Hosts, `.suffixes`, addresses and networks that are reached without it.
        ca_file: Certificates that are trusted beside the system's.
        whole_seconds, silence_seconds: How long a whole answer, and a streamed one, may keep silent.

    Raises:
        OSError: The certificates cannot be read, or the proxy is none. The message names the setting.
    """

    def __init__(
        self,
        provider: str,
        *,
        proxy_url: Secret | None = None,
        no_proxy: Sequence[str] = (),
        ca_file: str = "",
        whole_seconds: float = FIRST_BYTE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._provider = provider
        self._proxy = None if proxy_url is None else _proxy(proxy_url)
        self._no_proxy = no_proxy
        self._trust: ssl.SSLContext | bool = _trust(ca_file) if ca_file else True
        self._whole_timeout = _timeout(whole_seconds)
        self._stream_timeout = _timeout(silence_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._is_new: ContextVar[bool] = ContextVar("is_new")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=_Connector(self._is_new, ssl=self._trust),
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

    def send(self, request: UpstreamRequest, *, stream: bool) -> Sent[UpstreamResponse]:
        """Sends `request`; see `Transport.send`."""
        return Sent(partial(self._send, request, stream=stream))

    async def _send(
        self, request: UpstreamRequest, *, stream: bool
    ) -> tuple[aiohttp.ClientResponse, UpstreamResponse]:
        if self._session is None:
            raise RuntimeError("the transport is not open")
        url = URL(request.url, encoded=True)
        proxy = self._proxy
        if proxy is not None and goes_direct(url.host or "", self._no_proxy):
            proxy = None
        tunnelled = url.scheme == "https"  # then the proxy has a request of its own, and its headers go there
        response = await self._connected(
            partial(
                self._session.request,
                request.method,
                url,
                headers=request.headers if proxy is None or tunnelled else {**request.headers, **proxy.headers},
                data=None if request.body is None else RequestBody(request.body),
                allow_redirects=False,  # a redirect would carry the key to another host
                timeout=self._stream_timeout if stream else self._whole_timeout,
                proxy=proxy.url if proxy else None,
                proxy_headers=proxy.headers if proxy and tunnelled else None,
            )
        )
        if proxy and response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            response.close()
            # The proxy's word, not the provider's.
            raise ApiError(Reason.UPSTREAM_UNREACHABLE, f"provider {self._provider}: {PROXY_CREDENTIALS}").by(
                self._provider
            )
        return response, HttpResponse(response, self._provider, request.headers)

    async def _connected(self, send: Callable[[], Awaitable[aiohttp.ClientResponse]]) -> aiohttp.ClientResponse:
        """Sends; once more where a connection that had served before was closed in the meantime.

        That is no failure of the provider's: it may close an idle connection at any time, also at the moment at
        which we use it. aiohttp does the same for a GET.
        """
        for last in (False, False, True):
            self._is_new.set(False)
            try:
                return await send()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reused = not self._is_new.get()
                if last or not reused or not isinstance(error, _CLOSED):
                    raise failure(error, self._provider, reused=reused) from error
        raise AssertionError("the last round returns or raises")


class _Connector(aiohttp.TCPConnector):
    """Tells the task that asks whether it got a new connection, and gives no old one that is not clean."""

    def __init__(self, is_new: ContextVar[bool], *, ssl: ssl.SSLContext | bool) -> None:
        # limit=0: aiohttp would queue the 101st stream in silence
        super().__init__(limit=0, ssl=ssl, resolver=Names())
        self._is_new = is_new

    async def _get(
        self, key: aiohttp.client_reqrep.ConnectionKey, traces: "list[aiohttp.tracing.Trace]"
    ) -> Connection | None:
        while connection := await super()._get(key, traces):
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()  # bytes came that nobody asked for: the next caller would take them for its answer
        return None

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: "list[aiohttp.tracing.Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> ResponseHandler:
        self._is_new.set(True)
        return await super()._create_connection(req, traces, timeout)


class HttpResponse:
    """aiohttp's response, with its failures mapped."""

    def __init__(self, response: aiohttp.ClientResponse, provider: str, sent: Mapping[str, str]) -> None:
        self._response = response
        self._provider = provider
        self.status = response.status
        self.headers = received(response.headers, sent)

    async def read(self) -> bytes:
        """The next bytes; see `UpstreamResponse.read`."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # aiohttp raises as soon as the connection breaks, over what it has read and nobody has taken yet.
            # That came before the break, so it goes first; the next read raises again.
            rest = self._response.content._read_nowait(-1)  # noqa: SLF001  # pinned by a contract test
            # What breaks after the end is no matter of ours: the connection is another's by then, and aiohttp may
            # tell us what is wrong with the next answer on it.
            if rest or self._response.content.is_eof():
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


def goes_direct(host: str, no_proxy: Sequence[str]) -> bool:
    """Whether `host` is reached without the proxy: this host always, others where `no_proxy` has them.

    An entry is a host's whole name, a `.suffix` of names, an address or a network; a port behind it says nothing.
    """
    host = host.lower().rstrip(".")
    return is_loopback(host) or any(_covers(entry.strip().lower(), host) for entry in no_proxy)


def _covers(entry: str, host: str) -> bool:
    network = _network(entry) or _network(_without_port(entry))
    address = _network(host)
    if network is not None and address is not None:
        return address.network_address in network
    name = _without_port(entry).rstrip(".")
    return host.endswith(name) if name.startswith(".") else host == name


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network, or the network of one address; None where it is a name."""
    try:
        return ipaddress.ip_network(text.removeprefix("[").removesuffix("]"), strict=False)
    except ValueError:
        return None


def _without_port(entry: str) -> str:
    name, colon, port = entry.rpartition(":")
    return name if colon and port.isdecimal() else entry


class _Proxy(Struct, frozen=True):
    """A proxy, and what it is shown: apart, so that no text of aiohttp's about the URL can hold the password."""

    url: URL
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return "_Proxy(…)"


def _proxy(proxy_url: Secret) -> _Proxy:
    expected = "proxy_url: expected http://[user:password@]host[:port]"
    try:
        url = URL(proxy_url.reveal())
        named = url.user is not None or url.password is not None
        user = aiohttp.encode_basic_auth(url.user or "", url.password or "", "utf-8") if named else ""
    except ValueError:
        raise OSError(expected) from None  # its text quotes the URL
    if url.scheme not in {"http", "https"} or not url.host:
        raise OSError(expected)
    return _Proxy(url.origin(), {"proxy-authorization": user} if user else {})


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=seconds)


def _trust(ca_file: str) -> ssl.SSLContext:
    """The system's certificates and those of a file."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])  # as aiohttp's own
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise OSError(f"ca_file: {ca_file}: holds no certificates in PEM form") from error
    except OSError as error:
        raise OSError(error.errno, f"ca_file: {ca_file}: {error.strerror}") from error
    return context
