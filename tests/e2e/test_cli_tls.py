"""TLS as operators and their tools see it: the commands, curl, openssl, grpc_health_probe."""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from e2e.claude_code import QUIET
from e2e.cli import Cli
from e2e.probers import PROBERS, SERVICES, Prober
from e2e.service import free_ports
from e2e.tools import require, run
from unit.certificates import EXPIRED, Authority, Pair

KEY = "sk-canary-own"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who issues every certificate here."""
    return Authority(tmp_path_factory.mktemp("issued"))


@contextmanager
def user(home: Path, authority: Authority, days: int = 30, **settings: Any) -> Iterator[tuple[Cli, Pair]]:
    """A user with a certificate in the home directory."""
    cli = Cli(home)
    pair = Pair(home / "tls.crt", home / "tls.key")
    authority.server("theirs", days).copy_to(pair)
    tls = {"cert_file": "~/tls.crt", "key_file": "~/tls.key", **settings.pop("tls", {})}
    cli.configure(tls=tls, **settings)
    try:
        yield cli, pair
    finally:
        cli.end()


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[tuple[Cli, Pair]]:
    """One whose service speaks TLS and runs."""
    with user(tmp_path / "home", authority) as (cli, pair):
        assert cli.run("start").returncode == 0
        yield cli, pair


def test_every_command_reaches_a_service_with_tls(secure: tuple[Cli, Pair]):
    """Without a word about whom to trust: they know the service by its certificate."""
    cli, pair = secure
    url = f"https://127.0.0.1:{cli.port}"
    done = {
        command: cli.run(*command.split()) for command in ("status", "health", "health --grpc", "models", "env")
    }
    ended = [cli.run("start"), cli.run("restart"), cli.run("stop")]

    assert {command: each.returncode for command, each in done.items()} == dict.fromkeys(done, 0)
    assert url in done["status"].stdout
    assert [done["health"].stdout, done["health --grpc"].stdout] == ["healthy\n", "SERVING\n"]
    assert "claude-demo-1" in done["models"].stdout
    assert f"export ANTHROPIC_BASE_URL={url}\n" in done["env"].stdout
    assert f"export NODE_EXTRA_CA_CERTS={pair.cert}\n" in done["env"].stdout
    assert [each.returncode for each in ended] == [0, 0, 0]
    assert all(url in each.stdout for each in ended)


def test_what_the_user_trusts_already_is_left_alone(secure: tuple[Cli, Pair]):
    """A company's authority stands there, and is who issued the certificate."""
    done = secure[0].run("env", env={"NODE_EXTRA_CA_CERTS": "/company.crt"})

    assert "NODE_EXTRA_CA_CERTS" not in done.stdout


def test_an_expired_certificate_does_not_lock_the_operator_out(tmp_path: Path, authority: Authority):
    """Clients hang up; who has to mend it must not be kept from that."""
    with user(tmp_path / "home", authority, EXPIRED) as (cli, pair):
        started = cli.run("start")
        codes = [cli.run(command).returncode for command in ("status", "health", "reload", "stop")]

    assert started.returncode == 0
    assert re.search(rf"warning: \$\.tls\.cert_file: {pair.cert} expired on \d{{4}}", started.stderr)
    assert codes == [0, 0, 0, 0]


def test_the_key_is_not_shown_to_another_server(tmp_path: Path, authority: Authority):
    """Whoever sits on the port while the service is down gets nothing."""
    with (
        user(tmp_path / "home", authority, apikey=KEY) as (cli, _),
        impostor(cli.port, authority.server("x")) as seen,
    ):
        done = [cli.run("status"), cli.run("models"), cli.run("health")]

    assert [each.returncode for each in done] == [1, 1, 1]
    assert "shows another certificate than the service's" in done[0].stderr
    assert seen == [b"", b"", b"", b""][: len(seen)]
    assert seen


@contextmanager
def impostor(port: int, shows: Pair) -> Iterator[list[bytes]]:
    """A TLS server with another certificate, and what it was told."""
    seen: list[bytes] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shows.cert, shows.key)

    def serve() -> None:
        while True:
            try:
                tcp, _ = listener.accept()
                with context.wrap_socket(tcp, server_side=True) as tls:
                    seen.append(tls.recv(4096))
            except ssl.SSLError:
                continue
            except OSError:
                return

    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield seen
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_with_client_certificates_the_commands_say_what_they_need(tmp_path: Path, authority: Authority):
    """Starting and ending need none: the service answered, if only with a refusal."""
    client = authority.client()
    own = {"CCPROXY_CLIENT_CERT_FILE": str(client.cert), "CCPROXY_CLIENT_KEY_FILE": str(client.key)}
    with user(tmp_path / "home", authority, tls={"client_ca_file": str(authority.pair.cert)}) as (cli, _):
        started = cli.run("start")
        without = [cli.run(*command) for command in (["health"], ["status"], ["health", "--grpc"])]
        shown = [
            cli.run(*command, env=own) for command in (["health"], ["status"], ["health", "--grpc"], ["reload"])
        ]
        stopped = cli.run("stop")

    assert (started.returncode, stopped.returncode) == (0, 0)
    assert [each.returncode for each in without] == [1, 1, 1]
    assert all("set CCPROXY_CLIENT_CERT_FILE and CCPROXY_CLIENT_KEY_FILE" in each.stderr for each in without[:2])
    assert [(each.returncode, each.stderr) for each in shown] == [(0, "")] * 4


def test_health_of_an_address_speaks_tls(tmp_path: Path, authority: Authority):
    """For a check from outside: without a lock file, an authority vouches for the certificate and its name."""
    client, other = authority.client(), Authority(tmp_path)
    ca = ["--ca", str(authority.pair.cert)]
    own = ["--cert", str(client.cert), "--key", str(client.key)]
    with user(tmp_path / "home", authority, tls={"client_ca_file": str(authority.pair.cert)}) as (cli, _):
        cli.run("start")
        http, rpc = f"127.0.0.1:{cli.port}", f"127.0.0.1:{cli.grpc_port}"
        good = [
            cli.run("health", "--addr", http, *ca, *own),
            cli.run("health", "--addr", http, *ca, *own, "--server-name", "localhost"),
            cli.run("health", "--grpc", "--addr", rpc, *ca, *own, "--server-name", "localhost"),
            cli.run("health", "--grpc", "--addr", rpc, *ca, *own),
            cli.run(
                "health",
                "--addr",
                http,
                *ca,
                env={"CCPROXY_CLIENT_CERT_FILE": own[1], "CCPROXY_CLIENT_KEY_FILE": own[3]},
            ),
        ]
        unknown = [
            cli.run("health", "--addr", http, "--tls", *own),
            cli.run("health", "--addr", http, "--ca", str(other.pair.cert), *own),
            cli.run("health", "--addr", http, *ca, *own, "--server-name", "elsewhere.example"),
            cli.run("health", "--addr", http, *ca),
        ]
        silent = [
            cli.run("health", "--grpc", "--addr", rpc, "--ca", str(other.pair.cert), *own),
            cli.run("health", "--addr", http),
        ]
        wrong = [
            cli.run("health", *ca),
            cli.run("health", "--addr", http, *ca, "--key", str(client.key)),
            cli.run("health", "--addr", http, "--ca", str(client.key)),
        ]

    assert [(each.returncode, each.stdout, each.stderr) for each in good] == [
        (0, word, "") for word in ("healthy\n", "healthy\n", "SERVING\n", "SERVING\n", "healthy\n")
    ]
    assert [each.returncode for each in unknown] == [1] * 4
    for each, why in zip(
        unknown,
        ("certificate", "certificate", "not valid for 'elsewhere.example'", "client certificate is needed"),
        strict=True,
    ):
        assert why in each.stderr
    assert [(each.returncode, each.stdout) for each in silent] == [(1, "unreachable\n")] * 2
    assert [each.returncode for each in wrong] == [2] * 3


@pytest.mark.parametrize("probe", PROBERS.values(), ids=PROBERS)
def test_with_a_port_for_probes_health_needs_no_certificate(tmp_path: Path, authority: Authority, probe: Prober):
    """It is what a container's health check asks, and a kubelet: it speaks no TLS before 1.37, and has no key."""
    (port,) = free_ports(1)
    tls = {"client_ca_file": str(authority.pair.cert)}
    locked = {"apikey": KEY, "trust_localhost": False, "health_port": port}
    with user(tmp_path / "home", authority, tls=tls, **locked) as (cli, _):
        cli.run("start")
        done = cli.run("health", "--grpc", "--service", "readiness")
        passed = {name: probe(f"127.0.0.1:{port}", name, 3).passed for name in SERVICES}
        refused = probe(f"127.0.0.1:{cli.grpc_port}", "readiness", 1)

    assert (done.returncode, done.stdout) == (0, "SERVING\n")
    assert passed == dict.fromkeys(SERVICES, True)
    assert not refused.passed


def test_a_renewed_certificate_is_taken_over_at_once_when_asked(secure: tuple[Cli, Pair], authority: Authority):
    """And the commands know the service afterwards, too."""
    cli, pair = secure
    authority.server("renewed").copy_to(pair)
    done = cli.run("reload")

    assert (done.returncode, done.stdout) == (
        0,
        f"CCProxy has loaded its configuration again: https://127.0.0.1:{cli.port}\n",
    )
    assert cli.run("status").returncode == 0
    assert curl(authority, cli)[0] == 0


def test_a_broken_renewal_is_told_and_the_service_goes_on(secure: tuple[Cli, Pair], authority: Authority):
    """With the path of what is wrong, and not a word of the key."""
    cli, pair = secure
    pair.key.write_bytes(authority.server("another").key.read_bytes())
    done = cli.run("reload")

    assert done.returncode == 1
    assert f"$.tls.key_file: {pair.key} is not the key of {pair.cert}" in done.stderr
    assert "the one before stays in use" in done.stderr
    assert curl(authority, cli) == (0, "200")
    assert cli.run("health").returncode == 0
    assert pair.key.read_text().splitlines()[1] not in cli.log.read_text() + done.stderr


def curl(authority: Authority, cli: Cli, *options: str) -> tuple[int, str]:
    """curl's exit code, and the status that it got."""
    trust = ["--cacert", str(authority.pair.cert)]
    done = run(
        [
            require("curl"),
            *("--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *trust, *options),
            f"https://localhost:{cli.port}/health",
        ]
    )
    return done.returncode, done.stdout


def test_other_peoples_tools_agree(tmp_path: Path, authority: Authority):
    """curl, openssl and the gRPC probe are how an operator finds out what is wrong."""
    client = authority.client()
    ca = str(authority.pair.cert)
    with user(tmp_path / "home", authority, tls={"client_ca_file": ca}) as (cli, _):
        cli.run("start")
        good = curl(authority, cli, "--cert", str(client.cert), "--key", str(client.key))
        refused = curl(authority, cli)
        grpc = [require("grpc_health_probe"), f"-addr=localhost:{cli.grpc_port}", "-tls", f"-tls-ca-cert={ca}"]
        own = [f"-tls-client-cert={client.cert}", f"-tls-client-key={client.key}"]
        probes = [run([*grpc, *own]).returncode, run(grpc).returncode]
        shake = ["openssl", "s_client", "-connect", f"localhost:{cli.port}", "-CAfile", ca]
        talk = run([*shake, "-cert", str(client.cert), "-key", str(client.key)])

    assert good == (0, "200")
    assert refused[0] != 0
    assert probes == [0, 2]
    assert "Verify return code: 0 (ok)" in talk.stdout
    assert re.search(r"TLSv1\.[23]", talk.stdout)


def test_claude_code_itself_speaks_tls(tmp_path: Path, authority: Authority):
    """With an authority of one's own behind the certificate, it needs no word about it."""
    env = {**QUIET, "HTTPS_PROXY": "http://127.0.0.1:9", "CLAUDE_PATH": require("claude")}
    with user(tmp_path / "home", authority) as (cli, pair):
        pair.cert.write_text(pair.pem + authority.pair.pem)
        done = cli.run("code", "-p", "Hello", env=env)

    assert done.stdout == "Demo answer to: Hello\n", done.stderr
