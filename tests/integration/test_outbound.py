"""The way out: through the operator's proxy or past it, and whom TLS trusts.

The proxy here is a small one that writes down what it is asked, and leads every name to one upstream on loopback.
"""

import asyncio
import os
import shutil
import ssl
import subprocess
import traceback
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import httpx
import pytest

from ccproxy import upstream as module
from ccproxy.app import running
from ccproxy.config import Config, ProviderConfig, RouteConfig, Secret
from ccproxy.demo import Demo
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import UpstreamRequest
from ccproxy.upstream import HttpTransport, goes_direct

NAME = "provider.example"
KEY = "the-providers-key"
USER, PASSWORD = "gate", "p:ss wörd"
CREDENTIALS = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
ANSWER = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
HELLO = {"model": "claude-opus-5", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}


class Recorder:
    """A server on loopback that writes down what it reads. Its `port` is there while it serves."""

    def __init__(self) -> None:
        self.seen = b""
        self.port = 0

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self.talk(reader, writer)

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen += head
        return head

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Origin(Recorder):
    """A provider that answers everything with `ok`."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(ANSWER)
        await writer.drain()
        await reader.read()


class Proxy(Recorder):
    """A proxy that leads everything to `target`; or says `answer` to everything; or says nothing at all."""

    def __init__(self, target: int = 0, answer: bytes | None = None) -> None:
        super().__init__()
        self._target = target
        self._answer = answer

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await self.head(reader)
        if self._answer is not None:
            writer.write(self._answer)
            await writer.drain()
            return
        if not self._target:
            await reader.read()
            return
        onwards, target = await asyncio.open_connection("127.0.0.1", self._target)
        if head.startswith(b"CONNECT "):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            target.write(head.replace(f"http://{NAME}".encode(), b"", 1))
        async with asyncio.TaskGroup() as both:
            both.create_task(self._copy(reader, target, keep=True))
            both.create_task(self._copy(onwards, writer, keep=False))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool) -> None:
        with closing(writer):
            while data := await reader.read(1 << 16):
                self.seen += data if keep else b""
                writer.write(data)
                await writer.drain()


def url_of(proxy: Proxy, *, user: bool = False) -> Secret:
    """The proxy as the operator writes it."""
    return Secret(f"http://{f'{USER}:p%3Ass%20w%C3%B6rd@' if user else ''}127.0.0.1:{proxy.port}")


async def fetched(url: str, *, stream: bool = False, **settings) -> bytes:
    """The body of the answer to one request."""
    request = UpstreamRequest("POST", url, {"x-api-key": KEY}, b"{}")
    async with (
        HttpTransport("test", **settings) as transport,
        transport.send(request, stream=stream) as response,
    ):
        return await response.body()


async def failing(url: str, **settings) -> ApiError:
    """Why one request failed."""
    with pytest.raises(ApiError) as raised:
        await fetched(url, **settings)
    return raised.value


# Through the proxy.


async def test_a_plain_provider_is_asked_for_in_absolute_form():
    """The proxy is told the whole URL, and passes the request on."""
    origin = Origin()
    async with origin.serve():
        proxy = Proxy(origin.port)
        async with proxy.serve():
            body = await fetched(f"http://{NAME}/v1/messages?beta=true", proxy_url=url_of(proxy))

    assert body == b"ok"
    assert proxy.seen.startswith(f"POST http://{NAME}/v1/messages?beta=true HTTP/1.1\r\n".encode())


async def test_a_provider_over_tls_is_reached_by_connect(trusted: "Trusted"):
    """The proxy learns the name, and nothing of what is said: no path, no key, no prompt."""
    origin = Origin()
    async with origin.serve(trusted.context):
        proxy = Proxy(origin.port)
        async with proxy.serve():
            body = await fetched(
                f"https://{NAME}/v1/messages", proxy_url=url_of(proxy), ca_file=str(trusted.authority)
            )

    assert body == b"ok"
    assert proxy.seen.startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\n".encode())
    assert b"/v1/messages" not in proxy.seen
    assert KEY.encode() not in proxy.seen
    assert KEY.encode() in origin.seen


async def test_the_proxy_is_shown_its_password(trusted: "Trusted"):
    """Percent-encoded in the URL, as UTF-8 on the wire; and the provider is not shown it."""
    origin = Origin()
    async with origin.serve(trusted.context):
        proxy = Proxy(origin.port)
        async with proxy.serve():
            await fetched(f"https://{NAME}/", proxy_url=url_of(proxy, user=True), ca_file=str(trusted.authority))

    assert f"proxy-authorization: Basic {CREDENTIALS}\r\n".encode() in proxy.seen
    assert CREDENTIALS.encode() not in origin.seen
    assert b"proxy-auth" not in origin.seen.lower()


async def test_the_proxy_is_shown_its_password_in_absolute_form():
    """The same without TLS."""
    proxy = Proxy(answer=ANSWER)
    async with proxy.serve():
        await fetched(f"http://{NAME}/", proxy_url=url_of(proxy, user=True))

    assert f"proxy-authorization: Basic {CREDENTIALS}\r\n".encode() in proxy.seen


async def test_a_service_asks_its_providers_through_the_proxy():
    """`proxy_url` of the configuration, whole answers and streams."""
    async with Demo.serve() as demo:
        proxy = Proxy(httpx.URL(demo.anthropic_url).port or 0)
        async with proxy.serve():
            config = Config(
                port=0,
                grpc_port=0,
                proxy_url=url_of(proxy),
                providers=[
                    ProviderConfig("anthropic", api_base_url=f"http://{NAME}/anthropic", api_key=Secret(KEY))
                ],
                routes={"default": RouteConfig("anthropic")},
            )
            async with running(config, {}) as service, httpx.AsyncClient() as client:
                url = f"http://127.0.0.1:{service.http_port}/v1/messages"
                whole = await client.post(url, json=HELLO)
                streamed = await client.post(url, json={**HELLO, "stream": True})

    assert (whole.status_code, streamed.status_code) == (200, 200)
    assert streamed.text.rstrip().endswith('{"type":"message_stop"}')
    assert proxy.seen.count(b"/v1/messages HTTP/1.1\r\n") == 2


# Past the proxy.


@pytest.mark.parametrize(
    ("host", "no_proxy", "expected"),
    [
        ("api.example.com", [], False),
        ("api.example.com", ["api.example.com"], True),
        ("API.Example.COM", ["api.example.com"], True),
        ("api.example.com", ["API.EXAMPLE.COM"], True),
        ("api.example.com.", ["api.example.com"], True),
        ("api.example.com", ["api.example.com."], True),
        ("api.example.com", ["api.example.com:8443"], True),
        ("api.example.com", [" api.example.com "], True),
        ("api.example.com", [".example.com"], True),
        ("a.b.example.com", [".example.com"], True),
        ("api.example.com", [".example.com:443"], True),
        ("example.com", [".example.com"], False),
        ("notexample.com", [".example.com"], False),
        ("api.example.com", ["example.com"], False),
        ("api.example.com.evil.example", [".example.com"], False),
        ("api.example.com", ["other.example", "api.example.com"], True),
        ("api.example.com", ["", ".", ":", ":80"], False),
        ("api.example.com", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["10.1.2.3"], True),
        ("10.1.2.3", ["10.1.2.3:8080"], True),
        ("10.1.2.3", ["10.1.2.4"], False),
        ("10.1.2.3", [".2.3"], True),
        ("fd00::1", ["fd00::/8"], True),
        ("fd00::1", ["fd00::1"], True),
        ("fd00::1", ["[fd00::1]"], True),
        ("fd00::1", ["[fd00::1]:8080"], True),
        ("fd00:0:0::1", ["fd00::1"], True),
        ("fe00::1", ["fd00::/8"], False),
        ("fd00::1", ["10.0.0.0/8"], False),
        ("localhost", [], True),
        ("127.0.0.1", [], True),
        ("127.8.9.10", [], True),
        ("::1", [], True),
        ("localhost.evil.example", [], False),
        ("0.0.0.0", [], False),
    ],
)
def test_a_host_goes_past_the_proxy(host: str, no_proxy: list[str], expected: bool):  # noqa: FBT001
    """A whole name, a suffix, an address or a network, whatever the port; this host always."""
    assert goes_direct(host, no_proxy) is expected


async def test_a_provider_on_this_host_is_asked_without_the_proxy():
    """A proxy would look for it on its own host."""
    origin, proxy = Origin(), Proxy()
    async with origin.serve(), proxy.serve():
        body = await fetched(f"http://127.0.0.1:{origin.port}/", proxy_url=url_of(proxy))

    assert (body, proxy.seen) == (b"ok", b"")


async def test_a_provider_of_no_proxy_is_asked_without_the_proxy():
    """Its name is looked up here then, and this one has no address."""
    proxy = Proxy()
    async with proxy.serve():
        error = await failing("http://no-such-host.invalid/", proxy_url=url_of(proxy), no_proxy=[".invalid"])

    assert "resolved" in error.message
    assert proxy.seen == b""


async def test_a_proxy_of_the_environment_gets_nothing(monkeypatch: pytest.MonkeyPatch):
    """The keys go where the configuration says, and nowhere else."""
    origin, proxy = Origin(), Proxy()
    async with origin.serve(), proxy.serve():
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        body = await fetched(f"http://127.0.0.1:{origin.port}/")

    assert (body, proxy.seen) == (b"ok", b"")


# A proxy that fails.


@pytest.mark.parametrize(
    ("scheme", "status", "words"),
    [
        ("http", b"407 Proxy Authentication Required", "asks for a user and password"),
        ("https", b"407 Proxy Authentication Required", "asks for a user and password"),
        ("https", b"403 Forbidden", "the outbound proxy did not connect"),
        ("https", b"502 Bad Gateway", "the outbound proxy did not connect"),
    ],
)
async def test_a_refusal_of_the_proxy_is_not_the_callers(
    scheme: str, status: bytes, words: str, caplog: pytest.LogCaptureFixture
):
    """The caller can mend nothing about it; and the password is in no text."""
    proxy = Proxy(answer=b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
    async with proxy.serve():
        error = await failing(f"{scheme}://{NAME}/", proxy_url=url_of(proxy, user=True))
    told = "".join(traceback.format_exception(error)) + caplog.text

    assert error.reason is Reason.UPSTREAM_UNREACHABLE
    assert words in error.message
    assert [secret for secret in (USER, PASSWORD, CREDENTIALS) if secret in told] == []


async def test_a_proxy_that_is_not_there_is_named():
    """Without its address, and without its password."""
    proxy = Proxy()
    async with proxy.serve():
        pass
    error = await failing(f"https://{NAME}/", proxy_url=url_of(proxy, user=True))

    assert error.reason is Reason.UPSTREAM_UNREACHABLE
    assert error.message == "provider test: the outbound proxy cannot be reached"
    assert PASSWORD not in "".join(traceback.format_exception(error))


async def test_a_proxy_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch):
    """Its answer to CONNECT is part of connecting, which has a limit of its own."""
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.1)
    proxy = Proxy()
    async with proxy.serve():
        error = await failing(f"https://{NAME}/", proxy_url=url_of(proxy))

    assert error.reason is Reason.UPSTREAM_UNREACHABLE
    assert "no connection within" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.example:3128",
        "//proxy.example",
        "socks5://gate:hunter2@proxy.example",
        "http://gate:hunter2@proxy.example:port",
        "http://gate:hunter2@[::1",
        "http://ga%3Ate:hunter2@proxy.example",
    ],
)
def test_what_is_no_proxy_is_refused_without_being_quoted(url: str):
    """The URL holds a password."""
    with pytest.raises(OSError, match="proxy_url: expected http") as raised:
        HttpTransport("test", proxy_url=Secret(url))

    assert "hunter2" not in repr(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_transport_shows_no_password():
    """In a debugger's or a log's view of it."""
    transport = HttpTransport("test", proxy_url=Secret("http://gate:hunter2@proxy.example:3128"))

    assert "hunter2" not in repr(vars(transport))


# Whom TLS trusts.

OPENSSL_CONFIG = f"""
[req]
distinguished_name = name
prompt = no
[name]
CN = CCProxy tests
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:{NAME}, IP:127.0.0.1
"""


class Trusted:
    """An authority of our own, and a server's certificate by it."""

    def __init__(self, folder: Path, openssl: str) -> None:
        self._folder = folder
        self._openssl = openssl
        self.authority = folder / "authority.pem"
        (folder / "openssl.cnf").write_text(OPENSSL_CONFIG)
        key = "-newkey rsa:2048 -nodes -config openssl.cnf"
        self._run(f"req -x509 {key} -extensions authority -days 2 -keyout authority.key -out authority.pem")
        self._run(f"req -new {key} -keyout server.key -out server.csr")
        self._run(
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -set_serial 2 -days 2 -sha256"
            " -extfile openssl.cnf -extensions server -out server.pem"
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem", folder / "server.key")

    def _run(self, arguments: str) -> None:
        subprocess.run([self._openssl, *arguments.split()], cwd=self._folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Trusted:
    """Made anew for each run: a certificate in the repository would be out of date one day."""
    openssl = shutil.which("openssl")
    if openssl is None:
        reason = "openssl is not installed, and nothing else here makes certificates"
        if os.environ.get("CCPROXY_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Trusted(tmp_path_factory.mktemp("certificates"), openssl)


async def test_a_certificate_of_the_file_is_trusted(trusted: Trusted):
    """For a provider, or a proxy that opens TLS, inside the operator's network."""
    origin = Origin()
    async with origin.serve(trusted.context):
        assert await fetched(f"https://127.0.0.1:{origin.port}/", ca_file=str(trusted.authority)) == b"ok"


async def test_a_certificate_of_nobody_is_not_trusted(trusted: Trusted):
    """The control of the test above."""
    origin = Origin()
    async with origin.serve(trusted.context):
        error = await failing(f"https://127.0.0.1:{origin.port}/")

    assert error.reason is Reason.UPSTREAM_UNREACHABLE
    assert "TLS verification" in error.message
    assert origin.seen == b""


async def test_a_certificate_for_another_name_is_not_trusted(trusted: Trusted):
    """The file says whom to believe, not what."""
    origin = Origin()
    async with origin.serve(trusted.context):
        proxy = Proxy(origin.port)
        async with proxy.serve():
            error = await failing(
                "https://other.example/", proxy_url=url_of(proxy), ca_file=str(trusted.authority)
            )

    assert "TLS verification" in error.message
    assert origin.seen == b""


def test_the_systems_certificates_are_trusted_beside_it(trusted: Trusted):
    """One proxy with its own authority must not make the public providers strangers."""
    system = ssl.create_default_context().get_ca_certs()
    both = HttpTransport("test", ca_file=str(trusted.authority))._trust.get_ca_certs()

    assert [each for each in system if each not in both] == []
    assert len(both) == len(system) + 1


async def test_a_service_trusts_the_file_of_its_configuration(trusted: Trusted):
    """`ca_file`, and a provider with a certificate by it."""
    origin = Origin()
    async with origin.serve(trusted.context):
        config = Config(
            port=0,
            grpc_port=0,
            ca_file=str(trusted.authority),
            providers=[ProviderConfig("anthropic", api_base_url=f"https://127.0.0.1:{origin.port}")],
            routes={"default": RouteConfig("anthropic")},
        )
        async with running(config, {}) as service, httpx.AsyncClient() as client:
            await client.post(f"http://127.0.0.1:{service.http_port}/v1/messages", json=HELLO)

    assert b"POST /v1/messages" in origin.seen


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), ("", "holds no certificates"), ("not a certificate", "holds no")],
)
async def test_a_bad_file_is_an_error_of_the_start(tmp_path: Path, content: str | None, words: str):
    """One line that names the setting and the file, before anything is served."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    config = Config(port=0, grpc_port=0, ca_file=str(file), providers=[ProviderConfig("anthropic")])
    with pytest.raises(OSError, match=rf"ca_file: .*ca\.pem: {words}"):
        async with running(config, {}):
            pass
