"""Every command as a process: what it prints, how it ends, and what it never says."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from e2e.cli import COMMAND, Cli, until
from e2e.service import free_ports
from e2e.tools import PROJECT, TREE, clean_environment, require, run

from ccproxy.cli import COMMANDS
from ccproxy.cli.configuration import config

CANARY = "sk-canary"
PAGE = (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")
HEALTH_SECONDS = 0.6
REQUEST = '{"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}'


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A user with a configuration of nothing but ports."""
    cli = Cli(tmp_path / "home")
    yield cli
    cli.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """One whose service runs, and is only asked."""
    cli = Cli(tmp_path_factory.mktemp("running"))
    cli.run("start")
    yield cli
    cli.end()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """One with secrets everywhere, whose service shows details only to the key."""
    keys = {"name": "watch", "scope": "monitor", "key": f"{CANARY}-monitor"}
    provider = {"name": "openai", "api_key": f"{CANARY}-provider", "api_base_url": "http://127.0.0.1:9"}
    cli = Cli(
        tmp_path_factory.mktemp("locked"),
        apikey=f"{CANARY}-own",
        keys=[keys],
        providers=[provider],
        proxy_url=f"http://user:{CANARY}-proxy@127.0.0.1:9",
        trust_localhost=False,
    )
    cli.run("start", env={"ANTHROPIC_API_KEY": f"{CANARY}-environment"})
    yield cli
    cli.end()


# Help.


def test_without_a_command_all_are_listed(cli: Cli):
    """Who tries it sees what there is."""
    done = cli.run("--help")

    assert done.returncode == 0
    assert all(re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize(
    "name", [*(n for n in COMMANDS if n != "code"), *(f"config {n}" for n in config.commands)]
)
def test_every_command_explains_itself_with_an_example(cli: Cli, name: str):
    """An example is read first, and often alone."""
    done = cli.run(*name.split(), "--help")

    assert done.returncode == 0
    assert f"ccproxy {name}" in done.stdout.partition("Options:")[2] or name == "config"


def test_the_page_has_every_command_and_no_other():
    """Documentation that lags behind is believed."""
    sections = re.findall(r"^## `ccproxy (\S+)`$", PAGE, re.MULTILINE)
    subcommands = re.findall(r"^\| `ccproxy config (\S+)[^`]*` \|", PAGE, re.MULTILINE)

    assert sorted(sections) == sorted(COMMANDS)
    assert sorted(subcommands) == sorted(config.commands)


def test_every_option_of_the_page_is_one(cli: Cli):
    """Names that were changed since would be typed all the same."""
    options = set(re.findall(r"`(--[a-z]+)[^`]*`", PAGE)) - {"--help", "--version"}
    helps = "".join(cli.run(name, "--help").stdout for name in COMMANDS if name not in {"code", "config"})
    helps += "".join(cli.run("config", name, "--help").stdout for name in config.commands)

    assert {option for option in options if option not in helps} == set()


def test_the_examples_of_the_page_print_what_it_shows(cli: Cli):
    """One after the other, as a reader does it; what differs between machines are numbers and places."""
    examples = re.findall(r"^```text\n\$ ccproxy (.*?)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    order = ["start", "status", "health", "models", "reload", "restart", "stop", "version --json"]
    shown = dict(examples)
    (cli.state / "config.json").rename(cli.home / "hidden.json")
    ports = {"CCPROXY_PORT": str(cli.port), "CCPROXY_GRPC_PORT": str(cli.grpc_port)}
    printed = {command: cli.run(*command.split(), env=ports).stdout for command in order}

    assert set(order) <= set(shown)
    assert {command: steady(cli, text) for command, text in printed.items()} == {
        command: steady(cli, shown[command]) for command in order
    }


def steady(cli: Cli, text: str) -> str:
    """An output without what differs between machines and runs."""
    text = text.replace(str(cli.home), "/home/you")
    text = re.sub(r'"platform":"[^"]*"', '"platform":"P"', text)
    return re.sub(r"\d[\d.]*", "N", text)


def test_a_misspelt_command_is_told_the_right_one(cli: Cli):
    """One line, and the code of a mistake on the command line."""
    done = cli.run("strat")

    assert (done.returncode, "Did you mean start?" in done.stderr) == (2, True)


def test_the_processes_of_these_tests_run_this_tree(tmp_path: Path):
    """Another CCProxy may be installed in the same Python; then all that is seen here would be about that one."""
    script = "import ccproxy, ccproxy_pb; print(ccproxy.__path__[0], ccproxy_pb.__path__[0])"
    done = run([sys.executable, "-c", script], env=clean_environment(tmp_path), cwd=tmp_path)

    assert done.stdout.split() == [str(PROJECT / "ccproxy"), str(PROJECT / "generated" / "ccproxy_pb")]


# Completion.


def test_bash_completes_commands_and_options():
    """The script is click's; the names are ours."""
    script = (
        'eval "$(ccproxy completion bash)"; '
        'complete_(){ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _ccproxy_completion ccproxy; '
        'echo "${COMPREPLY[@]}"; }; complete_ ccproxy st; complete_ ccproxy stop --ti'
    )
    environment = {"PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}", "PYTHONPATH": TREE}
    done = subprocess.run(
        [require("bash"), "-c", script], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout == "start stop status\n--timeout\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_the_shell(cli: Cli, shell: str):
    """For the start-up file."""
    done = cli.run("completion", shell)

    assert done.returncode == 0
    assert f"_CCPROXY_COMPLETE={shell}_complete" in done.stdout


# The running service.


def test_status_is_a_table(running: Cli):
    """What an operator asks first."""
    done = running.run("status")
    rows = dict(re.findall(r"^(started by|\S+) +(.*)$", done.stdout, re.MULTILINE))

    assert done.returncode == 0
    assert rows["state"] == "running, healthy"
    assert (rows["HTTP"], rows["gRPC"]) == (running.url, f"127.0.0.1:{running.grpc_port}")
    assert rows["providers"].endswith("(the demo upstream)")
    assert re.fullmatch(r"\d+: \d+ succeeded, \d+ failed", rows["requests"])
    assert {"version", "uptime", "process", "started by", "config", "log", "latency", "memory"} <= set(rows)


def test_status_for_programs_is_json(running: Cli):
    """With the service's own answers in it, unchanged."""
    document = msgspec.json.decode(running.run("status", "--json").stdout)

    assert (document["running"], document["url"], document["owner"]) == (True, running.url, "start")
    assert document["status"]["pid"] == document["pid"]
    assert set(document["health"]["performance"]) == {"memory_mb", "goroutines", "requests", "latency"}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_status_of_no_service_is_three(cli: Cli, options: list[str]):
    """The ancestor said 0 in both cases."""
    done = cli.run("status", *options)

    assert done.returncode == 3
    assert done.stdout == (
        f'{{"running":false,"url":"{cli.url}"}}\n'
        if options
        else f"CCProxy is not running on {cli.url}; start it with: ccproxy start\n"
    )


def test_status_uses_the_key(locked: Cli):
    """Details are for callers with the key; the configuration has it."""
    done = locked.run("status")

    assert "anthropic, openai" in done.stdout
    assert "memory" in done.stdout


def test_status_without_the_key_says_what_is_open(locked: Cli, tmp_path: Path):
    """Somebody else's service on that port, as far as it shows itself."""
    stranger = Cli(tmp_path / "stranger")
    stranger.port = locked.port
    stranger.configure()
    done = stranger.run("status")

    assert done.returncode == 0
    assert "details    are for callers with the key" in done.stdout


def test_another_server_on_the_port_is_not_taken_for_ours(cli: Cli):
    """Something answers there, and it is not CCProxy."""
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", str(cli.port), "--bind", "127.0.0.1"],
        cwd=cli.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        until(lambda: cli.run("health").stdout == "unknown\n")
        done = [cli.run(name) for name in ("status", "models", "health")]
        server.kill()

    assert [each.returncode for each in done] == [3, 1, 1]
    assert "something else than CCProxy answers" in done[0].stderr


def test_models_lists_ids(running: Cli):
    """For `--model`."""
    assert "claude-demo-1\n" in running.run("models").stdout
    assert msgspec.json.decode(running.run("models", "--json").stdout)["data"][0]["type"] == "model"


def test_models_of_no_service_is_three(cli: Cli):
    """As with status."""
    assert cli.run("models").returncode == 3


# Health.


def test_health_is_a_word_and_a_code(running: Cli, cli: Cli):
    """0 and 1, as containers want it."""
    good, bad = running.run("health"), cli.run("health")

    assert (good.returncode, good.stdout) == (0, "healthy\n")
    assert (bad.returncode, bad.stdout) == (1, "unreachable\n")


@pytest.mark.parametrize(
    ("name", "word", "code"), [("", "SERVING", 0), ("readiness", "SERVING", 0), ("nothing", "SERVICE_UNKNOWN", 1)]
)
def test_health_over_grpc(running: Cli, name: str, word: str, code: int):
    """What grpc_health_probe does, without it."""
    done = running.run("health", "--grpc", "--service", name)

    assert (done.returncode, done.stdout, done.stderr) == (code, f"{word}\n", "")


def test_health_over_grpc_of_nobody(cli: Cli):
    """gRPC has nothing to add to that."""
    done = cli.run("health", "--grpc")

    assert (done.returncode, done.stdout, done.stderr) == (1, "unreachable\n", "")


def test_health_asks_where_it_is_told(running: Cli, cli: Cli):
    """In an image, with nothing but an address."""
    over_http = cli.run("health", "--addr", f"127.0.0.1:{running.port}")
    over_grpc = cli.run("health", "--grpc", "--addr", f"127.0.0.1:{running.grpc_port}")

    assert (over_http.stdout, over_grpc.stdout) == ("healthy\n", "SERVING\n")


def test_ready_is_apart_from_the_providers_health(cli: Cli):
    """Swarm replaces what is unhealthy: a provider's outage would end every call, and mend nothing."""
    provider = {"name": "openai", "api_key": "sk-x", "api_base_url": "http://127.0.0.1:9"}
    cli.configure(providers=[provider], retry={"attempts": 1, "open_after": 1})
    cli.run("start")
    httpx.post(f"{cli.url}/v1/messages", json=msgspec.json.decode(REQUEST), trust_env=False)
    health, ready = cli.run("health"), cli.run("health", "--ready")

    assert (health.returncode, health.stdout) == (1, "unhealthy\n")
    assert (ready.returncode, ready.stdout) == (0, "ready\n")


def test_without_any_provider_nothing_is_ready(cli: Cli):
    """It runs and could answer nothing: `compose up --wait` must not call that a success."""
    cli.configure(demo=False)
    process = cli.begin("start", "--foreground")
    until(cli.answers)
    done = cli.run("health", "--ready")
    process.terminate()
    process.communicate(timeout=20)

    assert (done.returncode, done.stdout) == (1, "not ready\n")
    assert cli.run("health", "--ready", "--addr", "127.0.0.1:9").stdout == "unreachable\n"


def test_health_does_not_mind_a_file_with_a_mistake(running: Cli):
    """Else an orchestrator kills a healthy service because somebody edits its file."""
    file = running.state / "config.json"
    good = file.read_bytes()
    file.write_text("{")
    done = running.run("health")
    file.write_bytes(good)

    assert (done.returncode, done.stdout) == (0, "healthy\n")


def test_health_is_quick(running: Cli):
    """It runs every few seconds, in a container with a tenth of a processor."""
    took = {}
    for options in ((), ("--grpc",)):
        seconds = []
        for _ in range(7):
            begun = time.monotonic()
            running.run("health", *options)
            seconds.append(time.monotonic() - begun)
        took[" ".join(options) or "http"] = min(seconds)
    print({name: f"{1000 * seconds:.0f} ms" for name, seconds in took.items()})  # noqa: T201  # a figure

    assert took["http"] < HEALTH_SECONDS


def test_health_imports_no_server():
    """What makes it quick, whatever machine this is."""
    code = (
        "import sys, ccproxy.cli.health; print(*sorted({'grpc', 'aiohttp', 'google', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"


# The log.


def test_logs_prints_the_last_lines(running: Cli):
    """As many as asked for."""
    lines = running.log.read_text().splitlines(keepends=True)

    assert running.run("logs", "-n", "1").stdout == lines[-1]
    assert running.run("logs", "-n", "0").stdout == ""


def test_logs_follows_a_log_that_is_rotated(cli: Cli):
    """Both ways: moved away, and emptied."""
    cli.log.write_text("one\n")
    process = cli.begin("logs", "-f")
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    with cli.log.open("a") as log:
        log.write("two\n")
    assert process.stdout.readline() == "two\n"
    cli.log.rename(cli.log.with_suffix(".old"))
    cli.log.write_text("three\n")
    assert process.stdout.readline() == "three\n"
    cli.log.write_text("4\n")
    assert process.stdout.readline() == "4\n"
    process.kill()
    process.communicate()


def test_logs_finds_the_configured_file(cli: Cli):
    """`log_file` moves it."""
    cli.configure(log_file="~/mine.log")
    cli.run("start")
    running = cli.run("logs").stdout
    cli.run("stop")

    assert "serves http://" in running
    assert "stopped" in cli.run("logs", "-n", "1").stdout
    assert (cli.home / "mine.log").exists()


# The configuration.


def test_config_init_writes_what_check_accepts(tmp_path: Path):
    """The ancestor's installer wrote one that could not work."""
    cli = Cli(tmp_path / "home")
    file = cli.state / "config.json"
    file.unlink()
    done = cli.run("config", "init")

    assert done.returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli.run("config", "check").returncode == 0
    assert cli.run("config", "path").stdout == f"{file}\n"


def test_config_init_never_writes_over_a_file_unasked(cli: Cli):
    """There may be keys in it."""
    file = cli.state / "config.json"
    before = file.read_bytes()
    refused = cli.run("config", "init")
    kept = file.read_bytes()
    forced = cli.run("config", "init", "--force")

    assert (refused.returncode, kept) == (1, before)
    assert (forced.returncode, file.read_bytes() != before) == (0, True)
    assert [each.name for each in cli.state.iterdir()] == ["config.json"]


def test_config_check_tells_every_problem(cli: Cli):
    """Not one at a time."""
    cli.configure(prot=1, shutdown_timeout="soon")
    done = cli.run("config", "check")

    assert done.returncode == 78
    assert "$.prot" in done.stderr
    assert "$.shutdown_timeout" in done.stderr


def test_config_show_has_the_routers_rules(cli: Cli):
    """What counts, in the order in which it counts."""
    cli.configure(providers=[{"name": "openai", "api_key": "sk-x"}], routes={"default": {"provider": "openai"}})
    done = cli.run("config", "show")
    document = msgspec.json.decode(cli.run("config", "show", "--json").stdout)

    assert document["providers"][0]["api_key"] == "(set)"
    assert re.search(r"^default: .* -> openai$", done.stdout, re.MULTILINE)


def test_explain_reads_a_file_or_standard_input(cli: Cli):
    """Nothing has to run."""
    (cli.home / "request.json").write_text(REQUEST)
    from_file = cli.run("explain", "request.json")
    from_input = cli.run("explain", "-", text=REQUEST)
    document = msgspec.json.decode(cli.run("explain", "--json", "-", text=REQUEST).stdout)

    assert from_file.returncode == 0
    assert from_file.stdout == from_input.stdout
    assert document["asked"] == "claude-x"


def test_env_is_for_a_shell(running: Cli):
    """`eval` it, and the SDKs use CCProxy."""
    exports = running.run("env", env={"ANTHROPIC_API_KEY": "sk-x"}).stdout
    script = f"{exports}\necho $ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN ${{ANTHROPIC_API_KEY-none}}"
    done = subprocess.run([require("sh"), "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == f"{running.url} ccproxy none\n"
    assert f"set -gx ANTHROPIC_BASE_URL '{running.url}'\n" in running.run("env", "--shell", "fish").stdout
    assert msgspec.json.decode(running.run("env", "--shell", "json").stdout)["ANTHROPIC_BASE_URL"] == running.url


def test_version_says_what_is_installed(cli: Cli):
    """For a report of a bug."""
    document = msgspec.json.decode(cli.run("version", "--json").stdout)

    assert set(document) == {"version", "commit", "date", "python", "grpc", "platform"}
    assert cli.run("--version").stdout == f"ccproxy {document['version']}\n"


# Mistakes and secrets.


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["start", "--config", "nowhere.json"], 78),
        (["start", "--timeout", "soon"], 2),
        (["stop", "--port", "0"], 2),
        (["health", "--addr", "nonsense"], 2),
        (["health", "--addr", "127.0.0.1:99999"], 1),
        (["health", "--ready", "--grpc"], 2),
        (["explain", "nowhere.json"], 2),
        (["explain", "-"], 1),
        (["config", "check", "/"], 78),
        (["config", "init", "/dev/null/x"], 1),
        (["config", "nonsense"], 2),
        (["completion", "tcsh"], 2),
        (["logs"], 1),
        (["status", "--port", "1"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_a_few_words(cli: Cli, arguments: list[str], code: int):
    """Never a traceback: that is for our mistakes. Each run asserts it."""
    done = cli.run(*arguments)

    assert done.returncode == code, done.stderr
    assert done.stdout + done.stderr


@pytest.mark.parametrize("command", ["start", "stop", "status", "restart", "logs", "env"])
@pytest.mark.parametrize("place", ["/dev/null", "/proc/nowhere"])
def test_a_state_directory_that_cannot_be_is_told(cli: Cli, command: str, place: str):
    """A wrong CCPROXY_HOME."""
    port = str(free_ports(1)[0])
    done = cli.run(command, env={"CCPROXY_HOME": place, "CCPROXY_PORT": port, "CCPROXY_GRPC_PORT": "0"})

    assert (done.returncode != 0) == (command not in {"stop", "env"})
    assert done.stderr.count("\n") <= 1


def test_no_command_tells_a_secret(locked: Cli):
    """Whatever is asked, and in the files that are written."""
    env = {"ANTHROPIC_API_KEY": f"{CANARY}-environment", "GEMINI_API_KEY": f"{CANARY}-environment"}
    (locked.home / "request.json").write_text(REQUEST)
    commands = [
        *(["status"], ["status", "--json"], ["models"], ["models", "--json"], ["health"], ["health", "--grpc"]),
        *(["env"], ["env", "--shell", "fish"], ["env", "--shell", "json"], ["logs"], ["version"]),
        *(
            ["config", "show"],
            ["config", "show", "--json"],
            ["config", "check"],
            ["config", "path"],
            ["config", "init"],
        ),
        *(["explain", "request.json"], ["explain", "--json", "request.json"], ["start"], ["restart"], ["stop"]),
    ]
    said = {" ".join(each): locked.run(*each, env=env) for each in commands}
    written = "".join(file.read_text() for file in (locked.log, *(locked.state / "run").iterdir()))

    assert [name for name, done in said.items() if CANARY in done.stdout + done.stderr] == []
    assert CANARY not in written
    assert said["status"].returncode == 0
    assert f"{CANARY}-own" in locked.run("env", "--reveal").stdout


def test_a_pipe_that_closes_is_no_mistake(running: Cli):
    """`ccproxy status | head -1`."""
    done = subprocess.run(
        [require("bash"), "-c", f"set -o pipefail; {COMMAND} config show | head -1"],
        env=running.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
