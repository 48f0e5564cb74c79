"""The scripts of examples/monitoring: people run them as they are, and are woken by them, or are not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from e2e.conftest import KEY
from e2e.pagerduty import PagerDuty, receiving
from e2e.service import Service, free_ports, running
from e2e.tools import PROJECT, clean_environment, require, run

EXAMPLES = PROJECT / "examples" / "monitoring"
SCRIPTS = sorted(EXAMPLES.glob("*.sh"))
ROUTING_KEY = "R0UT1NGK3Y"
OK, WARNING, CRITICAL, UNKNOWN = range(4)


@pytest.fixture(autouse=True)
def tools() -> None:
    """What the scripts call."""
    for tool in ("bash", "curl", "jq"):
        require(tool)


def check(url: str, *options: str, **environ: str) -> tuple[int, str]:
    """The exit code of the check, and what it says."""
    command = [str(EXAMPLES / "check-ccproxy.sh"), "-u", url, *options]
    done = run(command, env=clean_environment(Path.cwd()) | environ)
    assert done.stderr == ""
    return done.returncode, done.stdout


def talk(service: Service, *texts: str) -> None:
    """One call for each text."""
    for text in texts:
        body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        httpx.post(f"{service.url}/v1/messages", headers={"x-api-key": KEY}, json=body, trust_env=False)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """A service whose counts are its test's own."""
    with running(tmp_path) as service:
        yield service


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[Service]:
    """One that nobody is local to: as seen from another host."""
    with running(tmp_path, demo=True, apikey=KEY, trust_localhost=False) as service:
        yield service


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The callers' key, as a file has it."""
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    return file


def test_the_scripts_have_no_mistakes_that_can_be_read():
    """A quoting mistake shows on the one day when something is wrong."""
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    done = run([shellcheck, *map(str, SCRIPTS)])

    assert done.stdout == ""
    assert len(SCRIPTS) == 3


# The check.


def test_a_service_that_is_well_is_ok(fresh: Service):
    """The line has what a person wants to know, and behind the bar what a monitor draws."""
    talk(fresh, *["Hello"] * 4)
    code, said = check(fresh.url)
    text, _, numbers = said.partition(" | ")

    assert code == OK
    assert text.startswith("CCPROXY OK - healthy, 0 of 4 calls failed, p95 ")
    assert "failed=0%;10; calls=4c" in numbers


def test_a_service_that_has_served_nothing_is_ok(fresh: Service):
    """No division by zero wakes anybody after a deployment."""
    assert check(fresh.url)[0] == OK


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["-n", "4"], WARNING),
        (["-n", "4", "-E", "40"], CRITICAL),
        (["-n", "4", "-e", "50", "-E", "60"], OK),
        ([], OK),
        (["-w", "0"], WARNING),
        (["-w", "0", "-c", "0"], CRITICAL),
        (["-w", "many"], UNKNOWN),
    ],
    ids=lambda value: " ".join(value) or "by default" if isinstance(value, list) else "",
)
def test_limits_are_the_operators(wired_service: Service, options: list[str], code: int):
    """Half of four calls failed: that is a warning at 10 %, none at 50 %, and too few calls for the default."""
    if wired_service.counts() == (0, 0):
        talk(wired_service, "[[wait 20]]", "[[wait 20]]", "[[error 500]]", "[[error 500]]")

    assert check(wired_service.url, *options)[0] == code


def test_with_a_memory_only_what_is_new_counts(fresh: Service, tmp_path: Path):
    """Counts are since the start: after a good week, an hour of failures would not show in them."""
    remembered = ("-n", "1", "-s", str(tmp_path / "counts"))
    talk(fresh, *["Hello"] * 20)
    before = check(fresh.url, *remembered)[0]
    talk(fresh, "[[error 500]]")
    since_the_start = check(fresh.url, "-n", "1")[0]
    during = check(fresh.url, *remembered)[0]
    after = check(fresh.url, *remembered)[0]

    assert (before, since_the_start, during, after) == (OK, OK, WARNING, OK)


def test_a_failing_provider_is_named(tmp_path: Path):
    """Whoever is woken should know by whom."""
    with running(tmp_path, demo=True, retry={"open_after": 2}) as service:
        talk(service, "[[error 529]]", "[[error 529]]", "[[error 529]]")
        code, said = check(service.url)

    assert code == WARNING
    assert said.startswith("CCPROXY WARNING - degraded")
    assert "; anthropic: failing" in said


def test_a_draining_service_is_critical(tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]):
    """It answers 503, and the body is read all the same."""
    with running(tmp_path, drain_delay=60) as service:
        service.process.terminate()
        eventually(lambda: service.get("/health").status_code == httpx.codes.SERVICE_UNAVAILABLE)
        code, said = check(service.url)
        service.end()

    assert code == CRITICAL
    assert said.startswith("CCPROXY CRITICAL - unhealthy")


def test_nobody_there_is_critical():
    """The most important case of all."""
    (port,) = free_ports(1)
    code, said = check(f"http://127.0.0.1:{port}")

    assert code == CRITICAL
    assert "does not answer" in said


def test_somebody_else_there_is_unknown(upstream: str):
    """A web page in CCProxy's place must not look healthy."""
    assert check(upstream)[0] == UNKNOWN


def test_without_a_key_the_status_is_checked(distant: Service):
    """A monitor outside may know that much."""
    assert check(distant.url) == (OK, "CCPROXY OK - healthy\n")


def test_a_key_opens_the_numbers(distant: Service, key_file: Path):
    """From a file or from the environment."""
    talk(distant, "Hello")
    by_file = check(distant.url, "-k", str(key_file))
    by_variable = check(distant.url, CCPROXY_KEY=KEY)

    assert by_file[0] == by_variable[0] == OK
    assert "0 of 1 calls failed" in by_file[1]
    assert "0 of 1 calls failed" in by_variable[1]


def test_a_wrong_key_is_noticed(distant: Service):
    """The limits would be watched by nobody, and all would look well."""
    code, said = check(distant.url, CCPROXY_KEY="another")

    assert code == UNKNOWN
    assert "does not take the key" in said


def test_the_key_is_in_nobodys_arguments(distant: Service, key_file: Path, tmp_path: Path):
    """`ps` shows arguments to every user of the host."""
    seen = tmp_path / "seen"
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("curl", "jq"):
        spy = folder / tool
        spy.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >> {seen}\nexec {require(tool)} "$@"\n')
        spy.chmod(0o755)
    code, _ = check(distant.url, "-k", str(key_file), PATH=f"{folder}:{os.environ['PATH']}")

    assert code == OK
    assert "/health" in seen.read_text()
    assert KEY not in seen.read_text()


# PagerDuty.


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    """One that takes everything."""
    with receiving() as pagerduty:
        yield pagerduty


def told(pagerduty: PagerDuty, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the script that tells PagerDuty."""
    environ = {"PAGERDUTY_URL": pagerduty.url, "PAGERDUTY_ROUTING_KEY": ROUTING_KEY, "CCPROXY_URL": "http://cc:1"}
    return run([str(EXAMPLES / "pagerduty-event.sh"), *arguments], env=clean_environment(Path.cwd()) | environ)


def test_an_event_is_what_pagerduty_documents(pagerduty: PagerDuty):
    """Every required member of the Events API v2, and text that no quote can break."""
    done = told(pagerduty, "critical", 'it is "unhealthy"')
    event = pagerduty.event()

    assert done.returncode == 0
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == (
        ROUTING_KEY,
        "trigger",
        "ccproxy http://cc:1",
    )
    assert (
        event["payload"].items()
        >= {
            "summary": 'it is "unhealthy"',
            "source": "http://cc:1",
            "severity": "critical",
        }.items()
    )


@pytest.mark.parametrize(
    ("state", "action", "severity"),
    [("ok", "resolve", "info"), ("warning", "trigger", "warning"), ("unknown", "trigger", "error")],
)
def test_a_state_becomes_an_action(pagerduty: PagerDuty, state: str, action: str, severity: str):
    """What is well again must close what it opened."""
    told(pagerduty, state, "so it is")
    event = pagerduty.event()

    assert (event["event_action"], event["payload"]["severity"]) == (action, severity)


def test_a_refused_event_is_an_error_without_the_key(pagerduty: PagerDuty):
    """Here PagerDuty repeats all that it was sent; none of that may reach a log."""
    pagerduty.answers = [400]
    done = told(pagerduty, "critical", "text")

    assert done.returncode == 1
    assert "HTTP 400" in done.stderr
    assert ROUTING_KEY not in done.stdout + done.stderr


def test_the_watch_tells_what_changes_and_nothing_twice(pagerduty: PagerDuty, tmp_path: Path):
    """Down and up again: one trigger, one resolve, also where PagerDuty does not take the first."""
    environ = {"PAGERDUTY_URL": pagerduty.url, "PAGERDUTY_ROUTING_KEY": ROUTING_KEY, "WATCH_SECONDS": "0.1"}
    with running(tmp_path) as service:
        watch = subprocess.Popen(
            [str(EXAMPLES / "watch-ccproxy.sh")],
            env=clean_environment(tmp_path) | environ | {"CCPROXY_URL": service.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            first = pagerduty.event()["event_action"]
            pagerduty.answers = [400, 202]
            service.end()
            refused, taken = pagerduty.event(), pagerduty.event()
            quiet = pagerduty.silent()
        finally:
            watch.terminate()
            watch.wait(10)

    assert first == "resolve"
    assert (refused["event_action"], taken["event_action"]) == ("trigger", "trigger")
    assert taken["dedup_key"] == f"ccproxy {service.url}"
    assert taken["payload"]["summary"].startswith("CCPROXY CRITICAL - ")
    assert quiet
