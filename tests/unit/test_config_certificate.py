"""The files of a certificate: whatever cannot work is told with the file's path, and nothing of what is in it."""

import hashlib
import os
import re
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.certificates import DAYS, EXPIRED, Authority, Pair

from ccproxy.config import CertificateError, ConfigError, Loaded, TlsConfig, read
from ccproxy.config.certificate import fingerprint, validity
from ccproxy.config.certificate import read as read_certificate

BROKEN_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
BROKEN_KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority."""
    return Authority(tmp_path_factory.mktemp("made"))


@pytest.fixture
def pair(made: Authority, tmp_path: Path) -> Pair:
    """A certificate that a test may spoil."""
    pair = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    made.server().copy_to(pair)
    return pair


def tls(pair: Pair, client_ca: Path | None = None) -> TlsConfig:
    """The configuration of a pair."""
    return TlsConfig(str(pair.cert), str(pair.key), "" if client_ca is None else str(client_ca))


def loaded(home: Path, document: Any) -> Loaded:
    """A whole configuration."""
    file = home / "config.json"
    file.write_bytes(msgspec.json.encode(document))
    return read(file, {}, home)


def problems(home: Path, document: Any) -> list[str]:
    """What is wrong with a whole configuration."""
    with pytest.raises(ConfigError) as caught:
        loaded(home, document)
    return caught.value.problems


def refused(config: TlsConfig) -> CertificateError:
    """Why files cannot be used."""
    with pytest.raises(CertificateError) as caught:
        read_certificate(config)
    return caught.value


def test_a_pair_makes_tls_1_2_or_later(pair: Pair):
    """Earlier versions are broken."""
    found = read_certificate(tls(pair))

    assert found.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert found.context.verify_mode is ssl.CERT_NONE


def test_its_end_is_read(pair: Pair):
    """The metric and the alert follow it."""
    found = read_certificate(tls(pair))

    assert timedelta(0) <= datetime.now(UTC) - found.not_before < timedelta(minutes=10)
    assert found.not_after - found.not_before == timedelta(days=DAYS)


def test_its_fingerprint_is_what_openssl_says(pair: Pair):
    """Operators compare it."""
    done = subprocess.run(
        ["openssl", "x509", "-in", pair.cert, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = done.stdout.partition("=")[2].strip().replace(":", "").lower()

    assert read_certificate(tls(pair)).fingerprint == expected
    assert fingerprint(tls(pair)) == expected


@pytest.mark.parametrize(
    "text", ["", BROKEN_CERTIFICATE[:40], "-----BEGIN CERTIFICATE-----A-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_has_no_fingerprint(pair: Pair, text: str):
    """Then none is expected, and none accepted."""
    pair.cert.write_text(text)

    assert fingerprint(tls(pair)) == ""


def test_with_an_authority_clients_need_a_certificate(pair: Pair, made: Authority):
    """This is what `client_ca_file` is for."""
    found = read_certificate(tls(pair, made.pair.cert))

    assert found.context.verify_mode is ssl.CERT_REQUIRED


def test_text_before_the_certificate_is_no_harm(pair: Pair):
    """`openssl x509 -text` puts some there."""
    der = ssl.PEM_cert_to_DER_cert(pair.pem)
    pair.cert.write_text(f"Certificate:\n  Version: 3\n{pair.pem}")

    assert read_certificate(tls(pair)).fingerprint == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    ("member", "text", "words"),
    [
        ("cert", "", "holds no PEM certificate"),
        ("cert", BROKEN_KEY, "holds no PEM certificate"),
        ("cert", BROKEN_CERTIFICATE, "holds no valid certificate"),
        ("key", "", "holds no PEM private key"),
        ("key", BROKEN_CERTIFICATE, "holds no PEM private key"),
        ("key", BROKEN_KEY, "make no TLS"),
        ("key", BROKEN_KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), "protected by a password"),
        ("key", BROKEN_KEY.replace("\nc2", "\nProc-Type: 4,ENCRYPTED\n\nc2"), "protected by a password"),
    ],
)
def test_what_a_file_does_not_hold_is_told(pair: Pair, member: str, text: str, words: str):
    """With its path, and never with what it does hold."""
    file = getattr(pair, member)
    file.write_text(text)

    error = refused(tls(pair))

    assert error.member == f"{member}_file"
    assert re.search(f"{file}.*{words}", str(error))
    assert "c2VjcmV0" not in repr(error)
    assert error.__cause__ is None


@pytest.mark.parametrize("text", ["", BROKEN_KEY, BROKEN_CERTIFICATE])
def test_an_authority_that_is_none_is_told(pair: Pair, tmp_path: Path, text: str):
    """Without one nobody could connect, or everybody."""
    (tmp_path / "ca.crt").write_text(text)

    error = refused(tls(pair, tmp_path / "ca.crt"))

    assert (error.member, str(error)) == ("client_ca_file", f"{tmp_path}/ca.crt holds no valid PEM certificate")


def test_a_pair_that_does_not_belong_together_is_told(pair: Pair, made: Authority):
    """As it is while one of two files was renewed."""
    pair.key.write_bytes(made.server("another").key.read_bytes())

    error = refused(tls(pair))

    assert (error.member, str(error)) == ("key_file", f"{pair.key} is not the key of {pair.cert}")


def test_a_key_that_others_may_read_is_refused(pair: Pair):
    """It is a secret as the others."""
    pair.key.chmod(0o644)

    assert str(refused(tls(pair))) == f"others may read {pair.key}; run: chmod 600 {pair.key}"


@pytest.mark.parametrize(("member", "word"), [("cert", "No such file"), ("key", "No such file")])
def test_a_missing_file_is_told(pair: Pair, member: str, word: str):
    """Which one."""
    getattr(pair, member).unlink()

    error = refused(tls(pair))

    assert error.member == f"{member}_file"
    assert word in str(error)


def test_a_pipe_is_no_file(pair: Pair):
    """It would block the start."""
    pair.cert.unlink()
    os.mkfifo(pair.cert)

    assert str(refused(tls(pair))) == f"{pair.cert} is not a file"


def test_files_that_change_while_they_are_read_are_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    """Else HTTP would show one certificate and gRPC another."""
    whole = ssl.SSLContext.load_cert_chain

    def load(context: ssl.SSLContext, *files: Any, **more: Any) -> None:
        whole(context, *files, **more)
        pair.cert.write_text(pair.pem + "\n")

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load)

    assert "changed while they were read" in str(refused(tls(pair)))


def test_the_private_key_is_not_shown(pair: Pair):
    """An object may land in a log."""
    assert pair.key.read_text().splitlines()[1] not in repr(read_certificate(tls(pair)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"\x17\x0d490102030405Z", 2049), (b"\x17\x0d500102030405Z", 1950), (b"\x18\x0f20510102030405Z", 2051)],
)
def test_both_kinds_of_time_are_read(text: bytes, expected: int):
    """From 2050 on certificates write the year in four digits (RFC 5280, 4.1.2.5)."""
    times = b"\x30" + bytes([2 * len(text)]) + 2 * text
    number, empty = b"\x02\x01\x01", b"\x30\x00"
    body = b"\xa0\x03\x02\x01\x02" + number + empty + empty + times
    whole = b"\x30\x81" + bytes([len(body)]) + body
    der = b"\x30\x82\x00" + bytes([len(whole)]) + whole

    assert validity(der) == (datetime(expected, 1, 2, 3, 4, 5, tzinfo=UTC),) * 2


def test_dates_that_no_certificate_may_have_are_told(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    """Rather than end the process with a traceback."""
    time = b"\x17\x0b2601020304Z"  # no seconds
    der = b"\x30\x28\x30\x26\x02\x01\x01\x30\x00\x30\x00\x30\x1a" + 2 * time
    monkeypatch.setattr(ssl, "PEM_cert_to_DER_cert", lambda _: der)

    assert str(refused(tls(pair))) == f"the dates of {pair.cert} cannot be read"


# In the whole configuration.


def test_paths_may_begin_at_home(pair: Pair, tmp_path: Path):
    """As everywhere."""
    found = loaded(tmp_path, {"tls": {"cert_file": "~/tls.crt", "key_file": "~/tls.key"}})

    assert found.config.tls == tls(pair)
    assert found.warnings == []


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"cert_file": "/a"}, "$.tls.key_file: is missing"),
        ({"key_file": "/a"}, "$.tls.cert_file: is missing"),
        ({"client_ca_file": "/a"}, "$.tls.cert_file: is missing"),
        ({"cert_file": "a", "key_file": "/a"}, "$.tls.cert_file: expected an absolute path"),
        ({"cert_file": "/no/such", "key_file": "/a"}, "$.tls.cert_file: /no/such: No such file"),
        ({"cert_file": 1, "key_file": "/a"}, "$.tls.cert_file: expected a string"),
        ({"cert_file": "/a", "key": "/a"}, "$.tls.key: is no known key; did you mean key_file?"),
    ],
)
def test_problems_are_told_with_their_place(tmp_path: Path, document: Any, place: str):
    """And with what to do."""
    assert any(each.startswith(place) for each in problems(tmp_path, {"tls": document}))


@pytest.mark.parametrize(
    ("days", "words"), [(EXPIRED, r"tls.crt expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC"), (DAYS, "")]
)
def test_a_certificate_that_has_expired_is_warned_of(
    pair: Pair, made: Authority, tmp_path: Path, days: int, words: str
):
    """It is no reason not to start: a client that looks away is still served."""
    made.server("aged", days).copy_to(pair)

    found = loaded(tmp_path, {"tls": {"cert_file": str(pair.cert), "key_file": str(pair.key)}})

    assert bool(found.warnings) is bool(words)
    assert all(re.search(words, each) for each in found.warnings)


def test_variables_name_the_files_too(pair: Pair, tmp_path: Path):
    """A container is often configured by them alone."""
    environ = {"CCPROXY_TLS_CERT_FILE": str(pair.cert), "CCPROXY_TLS_KEY_FILE": str(pair.key)}

    assert read(None, environ, tmp_path).config.tls == tls(pair)


@pytest.mark.parametrize("ports", [{"port": 4000}, {"grpc_port": 4000}])
def test_the_port_for_probes_is_one_of_its_own(tmp_path: Path, ports: dict[str, int]):
    """Two listeners cannot share one."""
    assert problems(tmp_path, {"health_port": 4000, **ports}) == ["$.health_port: 4000 is another port already"]
