"""`ccproxy code`: Claude Code with everything set up for it, and a service for as long as it is used."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from e2e.claude_code import QUIET
from e2e.cli import COMMAND, Cli, until
from e2e.outside import Outside
from e2e.tools import require

FAKE = """#!/bin/sh
env > env.txt
for argument in "$@"; do printf '<%s>' "$argument"; done
while [ -e "hold" ] && [ "$1" = wait ]; do sleep 0.05; done
exit 7
"""

TRAPPING = """#!/bin/sh
trap 'echo interrupted; count=x$count' INT
trap 'echo asked to end; exit 9' TERM
echo ready
while [ "$count" != xx ]; do sleep 0.05; done
exit 8
"""

PTY = "import pty, sys, os; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
ECHO = '[[tool Bash {"command": "echo ccproxy-$((6*7))", "description": "Show a number"}]]'


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A user whose `claude` says how it was called."""
    cli = Cli(tmp_path / "home")
    yield cli
    cli.end()


def program(cli: Cli, text: str) -> dict[str, str]:
    """The environment in which a script is Claude Code."""
    file = cli.home / "claude"
    file.write_text(text)
    file.chmod(0o700)
    return {"CLAUDE_PATH": str(file)}


def seen(cli: Cli) -> dict[str, str]:
    """The environment that the script saw."""
    lines = (cli.home / "env.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_every_argument_and_the_exit_code_are_claude_codes(cli: Cli):
    """Also those that CCProxy has, too, and `--`."""
    done = cli.run("code", "-p", "a b", "--help", "--config", "-c", "--", "--version", "", env=program(cli, FAKE))

    assert done.stdout == "<-p><a b><--help><--config><-c><--><--version><>"
    assert done.returncode == 7


def test_it_gets_what_it_needs_and_no_key_of_a_provider(cli: Cli):
    """`ANTHROPIC_API_KEY` is a provider's, and would be asked about at every start."""
    env = {
        **program(cli, FAKE),
        "ANTHROPIC_API_KEY": "sk-ant-x",
        "NO_PROXY": "intra.net",
        "CLAUDE_CODE_USE_VERTEX": "1",
    }
    cli.run("code", env=env)
    environ = seen(cli)

    assert environ["ANTHROPIC_BASE_URL"] == cli.url
    assert environ["ANTHROPIC_AUTH_TOKEN"] == "ccproxy"
    assert environ["API_TIMEOUT_MS"] == "600000"
    assert environ["NO_PROXY"] == environ["no_proxy"] == "intra.net,127.0.0.1,localhost"
    assert {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_VERTEX"}.isdisjoint(environ)


def test_it_gets_the_key_that_the_service_asks_for(cli: Cli):
    """The ancestor always sent `test`, and was refused."""
    cli.configure(apikey="sk-own")
    cli.run("code", env=program(cli, FAKE))

    assert seen(cli)["ANTHROPIC_AUTH_TOKEN"] == "sk-own"


def test_a_key_that_is_only_a_digest_is_asked_for(cli: Cli):
    """Of a digest there is no way back, and a placeholder would be refused."""
    digest = sha256(b"sk-own").hexdigest()
    cli.configure(keys=[{"name": "me", "key_sha256": digest}])
    refused = cli.run("code", env=program(cli, FAKE))
    cli.run("code", env={**program(cli, FAKE), "CCPROXY_API_KEY": "sk-own"})

    assert (refused.returncode, "set CCPROXY_API_KEY" in refused.stderr) == (78, True)
    assert seen(cli)["ANTHROPIC_AUTH_TOKEN"] == "sk-own"


def test_its_own_login_passes_where_a_provider_wants_that(cli: Cli):
    """`auth: client`: then CCProxy's key goes into a header of its own."""
    cli.configure(apikey="sk-own", providers=[{"name": "anthropic", "auth": "client"}])
    env = {**program(cli, FAKE), "ANTHROPIC_API_KEY": "sk-mine", "ANTHROPIC_CUSTOM_HEADERS": "x-a: b"}
    cli.run("code", env=env)
    environ = seen(cli)

    assert environ["ANTHROPIC_API_KEY"] == "sk-mine"
    assert "ANTHROPIC_AUTH_TOKEN" not in environ
    assert "ANTHROPIC_CUSTOM_HEADERS=x-a: b\nx-ccproxy-key: sk-own\n" in (cli.home / "env.txt").read_text()


def test_no_file_of_claude_code_is_touched(cli: Cli):
    """The ancestor rewrote it, and people lost their login."""
    file = cli.home / ".claude.json"
    file.write_text('{"oauthAccount": {}, "mcpServers": {"mine": {}}}')
    before = file.read_bytes(), file.stat().st_mtime_ns
    cli.run("code", env=program(cli, FAKE))

    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert not (cli.home / ".claude").exists()


def test_a_missing_claude_is_one_line(cli: Cli):
    """It says how to get it, and nothing was started."""
    done = cli.run("code", env={"CLAUDE_PATH": "claude-that-is-nowhere"})

    assert done.returncode == 127
    assert done.stderr.count("\n") == 1
    assert "npm install -g @anthropic-ai/claude-code" in done.stderr
    assert cli.info() is None


def test_the_service_ends_with_claude_code_although_that_failed(cli: Cli):
    """The ancestor counted up, and at an exit code but 0 never down."""
    done = cli.run("code", env=program(cli, FAKE))

    assert done.stderr == f"ccproxy: serves {cli.url} for Claude Code; log: {cli.log}\n"
    assert cli.processes() == []


def test_a_service_that_was_started_stays(cli: Cli):
    """It is not ours to end."""
    cli.run("start")
    cli.run("code", env=program(cli, FAKE))

    assert cli.answers()


def test_a_service_that_somebody_asked_for_since_stays(cli: Cli):
    """`start` has told them that it runs."""
    (cli.home / "hold").touch()
    first = cli.begin("code", "wait", env=program(cli, FAKE))
    until((cli.home / "env.txt").exists)
    cli.run("start")
    (cli.home / "hold").unlink()
    first.communicate(timeout=20)

    assert cli.answers()


def test_the_last_user_ends_the_service(cli: Cli):
    """Whoever came first."""
    (cli.home / "hold").touch()
    env = program(cli, FAKE)
    first = cli.begin("code", "wait", env=env)
    until((cli.home / "env.txt").exists)
    cli.run("code", env=env)
    while_used = cli.answers()
    (cli.home / "hold").unlink()
    first.communicate(timeout=20)

    assert while_used
    assert first.returncode == 7
    assert cli.processes() == []


def test_a_user_that_crashed_is_not_counted(cli: Cli):
    """A number in a file would never come down again."""
    (cli.home / "hold").touch()
    env = program(cli, FAKE)
    first = cli.begin("code", "wait", env=env)
    until((cli.home / "env.txt").exists)
    first.kill()
    (cli.home / "hold").unlink()
    first.communicate(timeout=20)
    survived = cli.answers()
    cli.run("code", env=env)

    assert survived
    until(lambda: cli.processes() == [])


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "asked to end"), (signal.SIGINT, "interrupted")])
def test_a_signal_is_for_claude_code(cli: Cli, number: signal.Signals, said: str):
    """From a script, without a terminal."""
    process = cli.begin("code", env=program(cli, TRAPPING))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline().strip() == said
    if number is signal.SIGINT:
        process.send_signal(number)
    process.communicate(timeout=20)

    assert process.returncode == (9 if number is signal.SIGTERM else 8)
    assert cli.processes() == []


def test_a_typed_interrupt_arrives_once(cli: Cli):
    """Claude Code takes two for "quit"; and the service must not hear of any."""
    with subprocess.Popen(
        [sys.executable, "-c", PTY, COMMAND, "code"],
        env=cli.environment(program(cli, TRAPPING)),
        cwd=cli.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        said = _said(terminal, "ready")
        first = cli.info()
        _type(terminal, "\x03")
        said += _said(terminal, "interrupted")
        still = cli.info()
        _type(terminal, "\x03")
        said += _said(terminal, "interrupted")
        code = terminal.wait(20)

    assert code == 8
    assert first is not None
    assert still == first
    assert said.count("interrupted") == 2


def _type(terminal: "subprocess.Popen[str]", text: str) -> None:
    assert terminal.stdin is not None
    terminal.stdin.write(text)
    terminal.stdin.flush()


def _said(terminal: "subprocess.Popen[str]", word: str) -> str:
    """What comes until a line with `word`."""
    assert terminal.stdout is not None
    said = ""
    while word not in said:
        line = terminal.stdout.readline()
        assert line, said
        said += line
    return said


def test_the_real_one_works(cli: Cli, outside: Outside):
    """One command, with nothing configured and nothing running: it answers, and its tools run."""
    env = claude(outside)
    done = cli.run("code", "-p", f"Run this. {ECHO}", "--allowedTools", "Bash", env=env)

    assert done.stdout == "Demo: tool Bash returned: ccproxy-42\n", done.stderr
    assert done.returncode == 0
    assert outside.take() == []
    assert cli.processes() == []


def test_the_real_one_shows_the_key(cli: Cli, outside: Outside):
    """Nobody has to set it twice."""
    cli.configure(apikey="sk-own", demo=True)
    done = cli.run("code", "-p", "Hello", env=claude(outside))

    assert done.stdout == "Demo answer to: Hello\n", done.stderr


def test_the_real_one_brings_its_own_key_to_the_provider(cli: Cli, outside: Outside, upstream: str):
    """`auth: client`, behind a key of CCProxy's."""
    provider = {"name": "anthropic", "auth": "client", "api_base_url": f"{upstream}/anthropic"}
    cli.configure(apikey="sk-own", providers=[provider])
    env = {**claude(outside), "ANTHROPIC_AUTH_TOKEN": "sk-of-the-caller"}
    done = cli.run("code", "-p", "Hello", env=env)

    assert done.stdout == "Demo answer to: Hello\n", done.stderr


def claude(outside: Outside) -> Mapping[str, str]:
    """The environment with Claude Code in it and no way out of this machine."""
    proxies = {"HTTP_PROXY": outside.url, "HTTPS_PROXY": outside.url}
    return {**QUIET, **proxies, "CLAUDE_PATH": require("claude")}
