"""The service's certificate: its files, what is wrong with them, and what TLS they make.

Nothing here shows what a file holds: what is told has a path and a word.

Source: RFC 5280, 4.1, for where a certificate says when it ends.
"""

import hashlib
import re
import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from ccproxy.config.problems import Problems
from ccproxy.config.secret_file import PATH_WORDS, is_open_to_others
from ccproxy.config.types import TlsConfig
from ccproxy.config.values import Secret

MEMBERS = ("cert_file", "key_file", "client_ca_file")
MAX_BYTES = 1 << 20  # a bundle of every public authority is a quarter of it

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_TIME = re.compile(r"[0-9]{14}Z")
_KEY = re.compile(r"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----")

_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17
_LONG_FORM = 0x80


class CertificateError(OSError):
    """Why there is no TLS with these files. `member` is the key of the configuration that names the file."""

    def __init__(self, member: str, text: str) -> None:
        super().__init__(text)
        self.member = member


class Certificate(Struct, frozen=True):
    """A certificate, ready for use.

    Attributes:
        chain: It and those behind it, in PEM.
        key: Its private key, in PEM.
        client_ca: Who issues clients' certificates, in PEM; empty where clients need none.
        context: The same for Python's ssl.
        fingerprint: The SHA-256 of the certificate, in hexadecimal.
        not_before: When it begins to be valid.
        not_after: When it ends to be.
    """

    chain: str
    key: Secret
    client_ca: str
    context: ssl.SSLContext
    fingerprint: str
    not_before: datetime
    not_after: datetime


def read(tls: TlsConfig) -> Certificate:
    """Reads the files.

    Raises:
        CertificateError: They cannot be used, alone or together.
    """
    chain = _text("cert_file", tls.cert_file)
    key = _text("key_file", tls.key_file)
    client_ca = _text("client_ca_file", tls.client_ca_file) if tls.client_ca_file else ""
    leaf = _CERTIFICATE.search(chain)
    if leaf is None:
        raise CertificateError("cert_file", f"{tls.cert_file} holds no PEM certificate")
    _look_at_key(key, tls.key_file)
    context = _context(tls, chain, client_ca)
    if chain != _text("cert_file", tls.cert_file) or key != _text("key_file", tls.key_file):
        raise CertificateError("cert_file", f"{tls.cert_file} or its key changed while they were read")
    der = ssl.PEM_cert_to_DER_cert(leaf.group())
    try:
        before, after = validity(der)
    except ValueError:  # what OpenSSL reads and RFC 5280 forbids, such as a time without seconds
        raise CertificateError("cert_file", f"the dates of {tls.cert_file} cannot be read") from None
    return Certificate(chain, Secret(key), client_ca, context, hashlib.sha256(der).hexdigest(), before, after)


def fingerprint(tls: TlsConfig) -> str:
    """The fingerprint of the certificate in `cert_file`; empty where none can be read. The key is not needed."""
    try:
        leaf = _CERTIFICATE.search(_text("cert_file", tls.cert_file))
        return "" if leaf is None else hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.group())).hexdigest()
    except (CertificateError, ValueError):
        return ""


def check(tls: TlsConfig, problems: Problems) -> None:
    """Tells what cannot work, and a certificate that clients will refuse."""
    if not any(getattr(tls, name) for name in MEMBERS):
        return
    before = len(problems.lines)
    for name in MEMBERS:
        file = getattr(tls, name)
        if not file and name != "client_ca_file":
            problems.check(f"$.tls.{name}", "is missing; TLS needs cert_file and key_file")
        elif file and not (Path(file).is_absolute() and file.isprintable()):
            problems.check(f"$.tls.{name}", PATH_WORDS)
    if len(problems.lines) > before or any(problems.failed(f"$.tls.{name}") for name in MEMBERS):
        return
    try:
        found = read(tls)
    except CertificateError as error:
        problems.check(f"$.tls.{error.member}", str(error))
        return
    now = datetime.now(UTC)
    if now > found.not_after:
        problems.warn("$.tls.cert_file", f"{tls.cert_file} expired on {found.not_after:%Y-%m-%d %H:%M} UTC")
    elif now < found.not_before:
        problems.warn(
            "$.tls.cert_file", f"{tls.cert_file} is not valid before {found.not_before:%Y-%m-%d %H:%M} UTC"
        )


def validity(der: bytes) -> tuple[datetime, datetime]:
    """From when to when a certificate is valid."""
    to_be_signed = next(_elements(next(_elements(der))[1]))[1]
    elements = (each for each in _elements(to_be_signed) if each[0] != _VERSION)
    *_, times = (next(elements)[1] for _ in range(4))  # the serial number, the algorithm, the issuer, the times
    before, after = (_time(tag, content) for tag, content in _elements(times))
    return before, after


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents of the elements that follow each other in `der`."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size >= _LONG_FORM:
            digits = size - _LONG_FORM
            size = int.from_bytes(der[at : at + digits], "big")
            at += digits
        yield tag, der[at : at + size]
        at += size


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode()
    if tag == _UTC_TIME:  # two digits of the year; from 50 on they mean the last century
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    if _TIME.fullmatch(text) is None:
        raise ValueError(text)
    return datetime.strptime(text, "%Y%m%d%H%M%S%z")


def _text(member: str, file: str) -> str:
    wrong = ""
    try:
        mode = Path(file).stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would block, and could not be read again
            wrong = f"{file} is not a file"
        elif member == "key_file" and is_open_to_others(file, mode):
            wrong = f"others may read {file}; run: chmod 600 {file}"
        else:
            with Path(file).open("rb") as opened:
                return opened.read(MAX_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        wrong = f"{file}: {error.strerror}"
    raise CertificateError(member, wrong)


def _look_at_key(key: str, file: str) -> None:
    if "ENCRYPTED" in key:  # openssl would ask the terminal for its password
        raise CertificateError("key_file", f"{file} is protected by a password; store it without one")
    if _KEY.search(key) is None:
        raise CertificateError("key_file", f"{file} holds no PEM private key")


def _context(tls: TlsConfig, chain: str, client_ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError("key_file", f"{tls.key_file} is not the key of {tls.cert_file}") from None
        if not _holds_certificates(chain):
            raise CertificateError("cert_file", f"{tls.cert_file} holds no valid certificate") from None
        word = (error.reason or "unknown").lower().replace("_", " ")
        raise CertificateError("key_file", f"{tls.key_file} and {tls.cert_file} make no TLS: {word}") from None
    except OSError as error:
        raise CertificateError("cert_file", f"{tls.cert_file} or its key: {error.strerror}") from None
    if tls.client_ca_file:
        if not _holds_certificates(client_ca):
            raise CertificateError("client_ca_file", f"{tls.client_ca_file} holds no valid PEM certificate")
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # as gRPC's: what is named is trusted
    return context


def _holds_certificates(text: str) -> bool:
    if _CERTIFICATE.search(text) is None:
        return False
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True
