"""Asks the running service over HTTP, straight: no proxy is in between, and nothing but the standard library.

Over TLS the service is known by its very certificate, whatever name is in it, whoever issued it and however long
ago: the lock file says which one it is, and who shows it has its key. Nothing is sent before that is seen. Only an
address that the operator names is known as elsewhere, by an authority and a name.
"""

import contextlib
import hashlib
import http.client
import os
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from ccproxy.config.environment import CLIENT_CERTIFICATE, CLIENT_KEY
from ccproxy.daemon import Info

SECONDS = 5.0
LOOK_SECONDS = 1.0
MAX_BODY_BYTES = 16 << 20
UNAVAILABLE = 503


class Answer(Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: bytes


class Vouched(Struct, frozen=True):
    """A certificate that an authority vouches for.

    Attributes:
        authorities: A file of them in PEM; empty for the system's.
        name: What the certificate must name; empty for the host that is asked.
        certificate, key: Files of what is shown there; empty for the environment's, if any.
    """

    authorities: str = ""
    name: str = ""
    certificate: str = ""
    key: str = ""

    def own(self) -> tuple[str, str | None]:
        """The files of what is shown."""
        if self.certificate:
            return self.certificate, self.key or None
        return os.environ.get(CLIENT_CERTIFICATE, ""), os.environ.get(CLIENT_KEY) or None

    def context(self) -> ssl.SSLContext:
        """How to speak to it.

        Raises:
            OSError: A file cannot be used.
        """
        context = ssl.create_default_context(cafile=self.authorities or None)
        certificate, key = self.own()
        if certificate:
            context.load_cert_chain(certificate, key)
        return context


class UnknownClientError(ConnectionError):
    """The service itself is there, and hangs up on this client: it wants a certificate."""


def get(
    url: str, path: str, key: str | None = None, seconds: float = SECONDS, certificate: str | Vouched = ""
) -> Answer:
    """Asks for `path`.

    Args:
        url: Where the service is.
        path: What is asked for.
        key: CCProxy's key.
        seconds: How long each step may take.
        certificate: The SHA-256 of the certificate that an https service shows, or who vouches for it.

    Raises:
        ssl.SSLCertVerificationError: Nobody vouches for it.
        UnknownClientError: It wants a client's certificate.
        OSError: Nobody answers, or not in HTTP, or somebody else.
    """
    headers: dict[str, bytes] = {} if key is None else {"x-api-key": key.encode("utf-8", "surrogateescape")}
    try:
        parts = urlsplit(url)
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, seconds, certificate)
        with contextlib.closing(connection):
            connection.connect()
            if isinstance(connection.sock, ssl.SSLSocket) and isinstance(certificate, str):
                _expected(connection.sock, certificate, url)
            return _answer(connection, path, headers)
    except ssl.SSLCertVerificationError:  # which is a ValueError
        raise
    except (http.client.HTTPException, ValueError) as error:  # ValueError: no such host or port can be
        raise ConnectionError(f"no HTTP is spoken on {url}") from error


def _connection(
    scheme: str, host: str, port: int | None, seconds: float, certificate: str | Vouched
) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    if isinstance(certificate, Vouched):
        return _VouchedConnection(host, port, seconds, certificate)
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=_client_context())


class _VouchedConnection(http.client.HTTPSConnection):
    """A connection to one that may have another name than the host that is asked."""

    def __init__(self, host: str, port: int | None, seconds: float, vouched: Vouched) -> None:
        self._trusted = vouched.context()
        self._name = vouched.name or host
        super().__init__(host, port, timeout=seconds, context=self._trusted)

    def connect(self) -> None:
        """Connects, and looks at the certificate."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._trusted.wrap_socket(self.sock, server_hostname=self._name)


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate itself is compared
    if os.environ.get(CLIENT_CERTIFICATE):
        context.load_cert_chain(os.environ[CLIENT_CERTIFICATE], os.environ.get(CLIENT_KEY) or None)
    return context


def _expected(connection: ssl.SSLSocket, certificate: str, where: str) -> bytes:
    """The certificate at the other end, if it is the one with this SHA-256."""
    der = connection.getpeercert(binary_form=True) or b""
    if hashlib.sha256(der).hexdigest() != certificate:
        raise ConnectionError(f"{where} shows another certificate than the service's")
    return der


def _answer(connection: http.client.HTTPConnection, path: str, headers: dict[str, bytes]) -> Answer:
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
    except (ssl.SSLError, BrokenPipeError, ConnectionResetError) as error:
        if isinstance(connection, http.client.HTTPSConnection):  # TLS 1.3 tells a refusal after the handshake
            what = f"a client certificate is needed: set {CLIENT_CERTIFICATE} and {CLIENT_KEY}"
            raise UnknownClientError(what) from error
        raise
    return Answer(response.status, response.read(MAX_BODY_BYTES))


class Shown(Struct, frozen=True):
    """A certificate that a port shows, in PEM, and a name that is in it."""

    pem: str
    name: str


def shown_by(addr: str, certificate: str, seconds: float) -> Shown:
    """What the port `addr` shows, if it is the certificate with this SHA-256.

    Raises:
        OSError: Nobody is there, or somebody else; or the certificate is no longer valid.
    """
    host, _, port = addr.rpartition(":")
    context = _client_context()
    context.set_alpn_protocols(["h2"])
    where = (host.strip("[]"), int(port))
    with socket.create_connection(where, seconds) as tcp, context.wrap_socket(tcp) as first:
        der = _expected(first, certificate, addr)
    pem = ssl.DER_cert_to_PEM_cert(der)
    context.verify_mode = ssl.CERT_REQUIRED  # else Python does not say what is in it
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)
    with socket.create_connection(where, seconds) as tcp, context.wrap_socket(tcp) as again:
        known: Any = again.getpeercert()  # {"subjectAltName": (("DNS", "a.example"), ...), ...}
    names = [name for _, name in known.get("subjectAltName", ())]
    return Shown(pem, names[0].replace("*", "any") if names else "localhost")


def answers(info: Info) -> bool:
    """Whether a service takes requests where it says that it does."""
    try:
        status = get(info.url, "/health", seconds=LOOK_SECONDS, certificate=info.certificate).status
    except UnknownClientError:
        return True
    except OSError:
        return False
    return status != UNAVAILABLE


def ends(info: Info) -> bool:
    """Whether a service that was ready takes no more requests: somebody has asked it to end."""
    try:
        answer = get(info.url, "/health", seconds=LOOK_SECONDS, certificate=info.certificate)
    except ConnectionRefusedError:
        return info.ready
    except OSError:  # it hangs, or will not say
        return False
    return info.ready and answer.status == UNAVAILABLE


def printable(text: str) -> str:
    """What came from elsewhere, as a terminal may see it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
