"""`ccproxy reload`: the running service takes over its configuration, and the command says how that went."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from e2e.cli import Cli, until
from e2e.service import free_ports

KEY = "sk-canary-own"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A user with a configuration of nothing but ports."""
    cli = Cli(tmp_path / "home")
    yield cli
    cli.end()


def test_a_reload_is_done_when_the_command_ends(cli: Cli):
    """A script goes on with what it has changed, and the process is the same."""
    cli.run("start")
    before = cli.info()
    cli.configure(apikey=KEY)
    done = cli.run("reload")
    refused = httpx.get(f"{cli.url}/v1/models", trust_env=False)

    assert (done.returncode, done.stdout) == (0, f"CCProxy has loaded its configuration again: {cli.url}\n")
    assert refused.status_code == 401
    assert cli.info() == before


def test_mistakes_are_told_by_the_command(cli: Cli):
    """Every one of them; the exit code says that nothing has changed."""
    cli.run("start")
    cli.configure(prot=1, shutdown_timeout="soon")
    done = [cli.run("reload"), cli.run("reload", "--port", str(cli.port))]

    assert [each.returncode for each in done] == [1, 1]
    for each in done:
        assert "$.prot" in each.stderr
        assert "$.shutdown_timeout" in each.stderr
        assert each.stderr.endswith("the configuration was not loaded again; the one before stays in use\n")
    assert cli.answers()


def test_a_service_that_does_not_run_cannot_reload(cli: Cli):
    """3, as `status` says it; and where another one runs."""
    (port,) = free_ports(1)
    cli.run("start")
    done = cli.run("reload", "--port", str(port))

    assert done.returncode == 3
    assert f"CCProxy is not running on port {port}" in done.stderr
    assert f"It is on port {cli.port}" in done.stderr


def test_a_service_in_the_foreground_reloads_too(cli: Cli):
    """It is asked, not ended: whoever started it sees a line in its log."""
    process = cli.begin("start", "--foreground")
    until(cli.answers)
    done = cli.run("reload")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)

    assert done.returncode == 0
    assert "the configuration was loaded again" in log
    assert process.returncode == 0


def test_a_service_that_trusts_nobody_here_is_asked_with_the_key(cli: Cli):
    """Else the command could not tell how it went."""
    cli.configure(apikey=KEY, trust_localhost=False)
    cli.run("start")
    done = cli.run("reload")

    assert done.returncode == 0
    assert KEY not in done.stdout + done.stderr


def test_a_service_that_does_not_say_how_it_went_is_asked_all_the_same(cli: Cli):
    """The signal needs no key, only the same user."""
    cli.configure(apikey=KEY, trust_localhost=False)
    cli.run("start")
    cli.configure(prot=1)
    done = cli.run("reload")

    assert done.returncode == 1
    assert "was asked, and does not say here how it went; its log does" in done.stderr
    until(lambda: "$.prot" in cli.log.read_text())
