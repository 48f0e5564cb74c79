"""The certificate in use, and what a change of it means for connections. Handshakes are in tests/integration."""

import ssl
from pathlib import Path

import pytest
from unit.certificates import Authority, Pair

from ccproxy.config import Certificate, TlsConfig
from ccproxy.config.certificate import read
from ccproxy.tls import Tls, from_config, renewed

OFF = TlsConfig()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority."""
    return Authority(tmp_path_factory.mktemp("made"))


def config(pair: Pair, client_ca: Path | None = None) -> TlsConfig:
    """The configuration of a pair."""
    return TlsConfig(str(pair.cert), str(pair.key), "" if client_ca is None else str(client_ca))


def context_of_next(tls: Tls) -> ssl.SSLContext:
    """The context that a connection gets."""
    return tls.context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True).context


def test_without_files_there_is_no_tls():
    """Behind an ingress that has the certificate none is needed here."""
    assert from_config(OFF) is None


def test_the_next_connection_gets_what_is_in_use(made: Authority):
    """And one that is there keeps what it began with: it holds its own context."""
    first, second = (read(config(made.server(name))) for name in ("one", "two"))
    tls = Tls(first)
    before = context_of_next(tls)

    tls.use(second)

    assert (before, context_of_next(tls)) == (first.context, second.context)


def test_who_watches_is_told_of_a_change(made: Authority):
    """The lock file says which certificate it is, so that commands know it."""
    first, second = (read(config(made.server(name))) for name in ("one", "two"))
    tls = Tls(first)
    told: list[Certificate] = []
    tls.watch(told.append)

    tls.use(second)

    assert told == [second]


def test_another_certificate_can_be_used(made: Authority):
    """This is what a renewal is."""
    other = made.server("two")
    found = renewed(from_config(config(made.server("one"))), config(other))

    assert found is not None
    assert found.chain == other.pem


@pytest.mark.parametrize("starts_with", [True, False])
def test_tls_is_not_switched_while_it_serves(made: Authority, *, starts_with: bool):
    """The ports are open: a client in the middle of a renewal must not fall back to plaintext."""
    on = config(made.server("one"))
    before, after = (on, OFF) if starts_with else (OFF, on)

    with pytest.raises(OSError, match="needs a restart"):
        renewed(from_config(before), after)


@pytest.mark.parametrize("starts_with", [True, False])
def test_whether_clients_need_a_certificate_is_not_switched(made: Authority, *, starts_with: bool):
    """gRPC decides it when it binds; if HTTP alone followed, one edge would be open."""
    pair = made.server("one")
    choices = [config(pair, made.pair.cert), config(pair)]
    before, after = choices if starts_with else choices[::-1]

    with pytest.raises(OSError, match=r"client_ca_file.*needs a restart"):
        renewed(from_config(before), after)


def test_without_tls_nothing_is_renewed():
    """A reload of the rest goes on."""
    assert renewed(None, OFF) is None
