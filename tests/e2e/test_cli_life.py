"""`start`, `stop`, `restart`: what is said to be running runs, and what is said to have ended has."""

import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
from e2e.cli import Cli, Done, until
from e2e.service import free_ports

from ccproxy import daemon

WORKERS = 8
ROUNDS = 25


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """A user with a configuration of nothing but ports."""
    cli = Cli(tmp_path / "home")
    yield cli
    cli.end()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Cli]:
    """Another user, or another installation of the same one."""
    cli = Cli(tmp_path / "other")
    yield cli
    cli.end()


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with all this."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def test_start_says_where_it_serves_and_it_is_true(cli: Cli):
    """The ancestor printed success while nothing ran, three times of three."""
    done = cli.run("start")

    assert cli.answers()
    assert done.returncode == 0
    assert done.stdout == f"CCProxy serves {cli.url}, gRPC on 127.0.0.1:{cli.grpc_port}; log: {cli.log}\n"


def test_a_running_service_is_told_and_left_alone(cli: Cli):
    """Scripts call `start` to be sure."""
    cli.run("start")
    before = cli.info()
    done = cli.run("start")

    assert (done.returncode, done.stdout.startswith(f"CCProxy is already running: {cli.url}, ")) == (0, True)
    assert cli.info() == before


def test_the_service_is_a_session_of_its_own(cli: Cli):
    """The terminal that it came from may close, and ^C there is not for it."""
    cli.run("start")
    info = cli.info()

    assert info is not None
    assert os.getsid(info.pid) == info.pid


def test_only_its_owner_sees_its_files(cli: Cli):
    """The log names models and callers."""
    folder = cli.home / "state"
    cli.run("start", env={"CCPROXY_HOME": str(folder), "CCPROXY_PORT": str(cli.port), "CCPROXY_GRPC_PORT": "0"})
    modes = {file.name: file.stat().st_mode & 0o777 for file in [folder, *folder.rglob("*")]}
    cli.run("stop", env={"CCPROXY_HOME": str(folder), "CCPROXY_PORT": str(cli.port)})

    assert modes.pop("state") == 0o700
    assert modes.pop("run") == 0o700
    assert set(modes.values()) == {0o600}


def test_config_and_demo_are_passed_on(cli: Cli):
    """The ancestor lost `--config` on the way into the background. A relative name is one of here."""
    port = free_ports(1)[0]
    (cli.home / "mine.json").write_bytes(
        msgspec.json.encode({"port": port, "grpc_port": 0, "providers": [{"name": "openai", "api_key": "sk-x"}]})
    )
    cli.run("start", "--config", "mine.json", "--demo")
    status = httpx.get(f"http://127.0.0.1:{port}/status", trust_env=False).json()

    assert (status["port"], status["demo"]) == (port, True)


def test_a_bad_configuration_is_told_at_once(cli: Cli):
    """With the code and the lines of the foreground."""
    cli.configure(prot=1, shutdown_timeout="soon")
    done = cli.run("start")

    assert done.returncode == 78
    assert "$.prot" in done.stderr
    assert "$.shutdown_timeout" in done.stderr
    assert not cli.processes()


def test_a_taken_port_is_told_with_the_services_own_code(cli: Cli, other: Cli):
    """What the background process wrote is what helps."""
    other.run("start")
    cli.port = other.port
    cli.configure()
    done = cli.run("start")

    assert done.returncode == 98
    assert f"127.0.0.1:{other.port} is in use" in done.stderr
    assert not cli.processes()


def test_a_service_that_is_late_is_ended(cli: Cli):
    """A start that failed and comes up afterwards is worse than one that failed."""
    done = cli.run("start", "--timeout", "1ms")

    assert (done.returncode, "did not answer within 0.001 s" in done.stderr) == (1, True)
    assert not cli.processes()


def test_stop_ends_it(cli: Cli):
    """When it returns the process is gone and the port is free."""
    cli.run("start")
    info = cli.info()
    done = cli.run("stop")

    assert (done.returncode, done.stdout) == (0, f"CCProxy has ended: {cli.url}\n")
    assert info is not None
    assert daemon.started(info.pid) is None
    assert not cli.answers()


def test_stop_without_a_service_is_no_failure(cli: Cli):
    """The state that was asked for is there."""
    done = cli.run("stop")

    assert (done.returncode, done.stdout) == (0, f"CCProxy is not running on port {cli.port}.\n")


def test_stop_waits_for_running_calls_and_force_does_not(cli: Cli):
    """Who says how long gets an answer in that time."""
    cli.run("start")
    body = {"model": "claude-x", "max_tokens": 5000, "messages": [{"role": "user", "content": "[[wait 60000]]"}]}
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(httpx.post, f"{cli.url}/v1/messages", json=body, timeout=60, trust_env=False)
        until(lambda: 'in_flight{interface="http"} 1.0' in httpx.get(f"{cli.url}/metrics", trust_env=False).text)
        patient = [cli.run("stop", "--timeout", "500ms") for _ in range(2)]
        waiting = not asking.done()
        forced = cli.run("stop", "--timeout", "2s", "--force")
        assert asking.exception() is not None or not asking.result().is_success

    assert [(each.returncode, "--force kills it" in each.stderr) for each in patient] == [(1, True)] * 2
    assert waiting
    assert forced.returncode == 0
    assert not cli.processes()


def test_a_killed_service_is_no_obstacle(cli: Cli):
    """Its lock file stays, and means nothing."""
    cli.run("start")
    info = cli.info()
    assert info is not None
    os.kill(info.pid, signal.SIGKILL)
    until(lambda: cli.info() is None)

    assert cli.run("status").returncode == 3
    assert cli.run("stop").returncode == 0
    assert cli.run("start").stdout.startswith("CCProxy serves ")


def test_a_process_with_a_recycled_number_is_not_touched(cli: Cli, bystander: "subprocess.Popen[bytes]"):
    """The ancestor killed whoever had the number in the file."""
    cli.run("start")
    info = cli.info()
    cli.run("stop")
    assert info is not None
    recycled = msgspec.structs.replace(info, pid=bystander.pid)
    file = cli.state / "run" / f"{cli.port}.lock"
    file.write_bytes(msgspec.json.encode(recycled))

    assert cli.run("stop").stdout == f"CCProxy is not running on port {cli.port}.\n"
    assert bystander.poll() is None


@pytest.mark.parametrize("command", [["stop", "--force"], ["start"], ["restart"]])
def test_a_held_lock_alone_proves_nothing(cli: Cli, bystander: "subprocess.Popen[bytes]", command: list[str]):
    """Somebody holds it, and the file names somebody else: nobody is signalled, nothing is claimed."""
    file = cli.state / "run" / f"{cli.port}.lock"
    file.parent.mkdir()
    info = daemon.Info(bystander.pid, "1", "t", "0", "127.0.0.1", cli.port, 0)
    with file.open("wb") as held:
        held.write(msgspec.json.encode(info))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        done = cli.run(*command)

    assert (done.returncode, "cannot be seen" in done.stderr) == (1, True)
    assert bystander.poll() is None


def test_two_installations_do_not_disturb_each_other(cli: Cli, other: Cli):
    """Each has its files and its port."""
    cli.run("start")
    other.run("start")
    cli.run("stop")

    assert (cli.answers(), other.answers()) == (False, True)


def test_two_ports_of_one_home_do_not_disturb_each_other(cli: Cli):
    """Developers run a second one beside the first."""
    port = free_ports(1)[0]
    second = {"CCPROXY_PORT": str(port), "CCPROXY_GRPC_PORT": "0"}
    cli.run("start")
    cli.run("start", env=second)
    ended = cli.run("stop", env=second)

    assert ended.stdout == f"CCProxy has ended: http://127.0.0.1:{port}\n"
    assert cli.answers()


def test_a_service_in_the_foreground_is_found(cli: Cli):
    """`make run` in one terminal, `ccproxy stop` in the other."""
    process = cli.begin("start", "--foreground")
    until(cli.answers)
    again = cli.run("start")
    beside = cli.run("start", "--foreground")
    restart = cli.run("restart")
    ended = cli.run("stop")

    assert again.stdout.startswith("CCProxy is already running: ")
    assert (beside.returncode, "is in use by CCProxy, process" in beside.stderr) == (98, True)
    assert (restart.returncode, "in the foreground" in restart.stderr) == (1, True)
    assert ended.returncode == 0
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_foreground_service_needs_no_place_to_write(cli: Cli):
    """Containers have file systems that are read-only, and users without a home."""
    file = str(cli.state / "config.json")
    process = cli.begin("start", "--foreground", "--config", file, env={"CCPROXY_HOME": "/dev/null/nowhere"})
    until(cli.answers)
    process.terminate()
    _, written = process.communicate(timeout=10)

    assert process.returncode == 0
    assert "without a lock file" in written
    assert "Traceback" not in written


def test_stop_finds_the_service_although_its_file_has_a_mistake_now(cli: Cli):
    """A half-edited file must not keep anybody from stopping."""
    cli.run("start")
    (cli.state / "config.json").write_text("{")

    assert cli.run("stop").stdout == f"CCProxy has ended: {cli.url}\n"


def test_restart_is_a_new_process_with_the_same_options(cli: Cli):
    """`--demo` was said once."""
    cli.configure(providers=[{"name": "openai", "api_key": "sk-x"}])
    cli.run("start", "--demo")
    before = cli.info()
    done = cli.run("restart")
    after = cli.info()

    assert done.returncode == 0, done.stderr
    assert before is not None
    assert after is not None
    assert (after.demo, after.token != before.token, after.pid != before.pid) == (True, True, True)


def test_restart_takes_the_file_that_it_was_started_with(cli: Cli):
    """Also from another folder."""
    port = free_ports(1)[0]
    (cli.home / "mine.json").write_bytes(msgspec.json.encode({"port": port, "grpc_port": 0}))
    cli.run("start", "--config", "mine.json")
    done = cli.run("restart")

    assert done.stdout.startswith(f"CCProxy serves http://127.0.0.1:{port};")


def test_restart_with_a_mistake_leaves_it_running(cli: Cli):
    """The old service is better than none."""
    cli.run("start")
    cli.configure(prot=1)
    done = cli.run("restart")

    assert done.returncode == 78
    assert cli.answers()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_an_interrupted_start_leaves_nothing(cli: Cli):
    """^C means no."""
    process = cli.begin("start")
    until(lambda: len(cli.processes()) > 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    until(lambda: not cli.processes())
    assert process.returncode != 0


@pytest.mark.timeout(180)
def test_starts_and_stops_that_race_leave_no_orphan_and_tell_no_lie(cli: Cli):
    """Two hundred at once: each success is a service that served, and what one stop leaves another one finds."""

    def worker(number: int) -> list[tuple[str, Done]]:
        chance = random.Random(number)  # noqa: S311  # the same every time
        commands = [chance.choice(["start", "stop"]) for _ in range(ROUNDS)]
        return [(command, cli.run(command, "--timeout", "50")) for command in commands]

    begun = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        done = [each for worked in pool.map(worker, range(WORKERS)) for each in worked]
    seconds = time.monotonic() - begun
    cli.run("stop")

    failed = [result for _, result in done if result.returncode]
    new = sum(result.stdout.startswith("CCProxy serves") for _, result in done)
    served = len(re.findall(r"CCProxy \S+ serves", cli.log.read_text()))
    print(f"{len(done)} commands in {seconds:.0f} s, {new} new services, {len(failed)} stopped while starting")  # noqa: T201  # a figure
    assert all("was stopped while it started" in result.stderr for result in failed), failed
    assert 0 < new <= served <= new + len(failed)
    assert cli.processes() == []
    assert seconds < 90
