"""The documentation's own shell scripts, run as they are against a live service.

Only the port is replaced. `alert` is defined as a function that writes down what it is told, and `curl` sends what
is meant for PagerDuty there too.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from integration import documented
from integration.process import Process, process

KEY = "the-operators-key"
TOOLS = ("bash", "curl", "jq", "bc")
CONFIG = {"demo": True, "apikey": KEY, "shutdown_timeout": 1}

PREAMBLE = """
alert() { printf '%s\\n' "$1" >> "$ALERTS"; }
curl() {
  case "$*" in
    *pagerduty.com*) printf 'pagerduty %s\\n' "${@: -1}" >> "$ALERTS" ;;
    *) command curl "$@" ;;
  esac
}
"""

SIMPLE = ("# health-check.sh", "fi")
DETAILED = ("# detailed-health-check.sh", "esac")
AVAILABILITY = ("# Alert if service returns non-200 status", "curl")
ERROR_RATE = ("# Check error rate from health endpoint", "fi")
LATENCY = ("# Check P95 latency", "fi")
PAGERDUTY = ("# pagerduty-alert.sh", "fi")
ALL = (SIMPLE, DETAILED, AVAILABILITY, ERROR_RATE, LATENCY, PAGERDUTY)
ALERTING = (AVAILABILITY, ERROR_RATE, LATENCY, PAGERDUTY)


@dataclass(frozen=True)
class Run:
    """What a script did."""

    exit_code: int
    output: str
    errors: str
    alerts: str


@pytest.fixture(autouse=True)
def tools() -> None:
    """Skips where the text or a tool of its scripts is missing; fails for a tool where all are required."""
    documented.text()
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing and os.environ.get("CCPROXY_REQUIRE_TOOLS"):
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Process]:
    """A service with a key, on the demo upstream, that has served nothing yet."""
    with process(tmp_path / "home", CONFIG) as service:
        service.until_ready()
        yield service


def run(script: tuple[str, str], port: int, tmp_path: Path, key: str = KEY) -> Run:
    """Runs one of the documented scripts against a port."""
    alerts = tmp_path / "alerts"
    alerts.write_text("")
    text = documented.script(*script)
    assert "localhost:3456" in text
    done = subprocess.run(
        ["bash", "-c", PREAMBLE + text.replace("localhost:3456", f"localhost:{port}")],
        env={"PATH": os.environ["PATH"], "API_KEY": key, "ALERTS": str(alerts), "PAGERDUTY_ROUTING_KEY": "r"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr, alerts.read_text())


def talk(service: Process, *texts: str) -> None:
    """One request for each text."""
    for text in texts:
        body = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
        httpx.post(f"{service.url}/v1/messages", headers={"x-api-key": KEY}, json=body, timeout=10)


# A service that is well.


def test_simple_check_is_healthy(service: Process, tmp_path: Path):
    """`/` without a key."""
    done = run(SIMPLE, service.http_port, tmp_path)

    assert (done.exit_code, done.output) == (0, "CCProxy is healthy\n")


def test_detailed_check_is_healthy(service: Process, tmp_path: Path):
    """`/health` without a key."""
    done = run(DETAILED, service.http_port, tmp_path)

    assert (done.exit_code, done.output) == (0, "✅ CCProxy is healthy\n")


@pytest.mark.parametrize("script", ALERTING, ids=lambda script: script[0])
def test_a_service_that_works_raises_no_alert(service: Process, tmp_path: Path, script: tuple[str, str]):
    """Ten answers, none failed, all quick."""
    talk(service, *["hello"] * 10)

    assert run(script, service.http_port, tmp_path).alerts == ""


@pytest.mark.parametrize("script", [ERROR_RATE, LATENCY], ids=lambda script: script[0])
def test_the_scripts_understand_the_numbers(service: Process, tmp_path: Path, script: tuple[str, str]):
    """Neither jq, bc nor `[` complains: counts are numbers, and latencies are whole."""
    talk(service, *["hello"] * 10)

    assert run(script, service.http_port, tmp_path).errors == ""


# A service that has served nothing yet.


@pytest.mark.parametrize("script", ALERTING, ids=lambda script: script[0])
def test_a_fresh_service_raises_no_alert(service: Process, tmp_path: Path, script: tuple[str, str]):
    """Every deployment would page somebody otherwise."""
    assert run(script, service.http_port, tmp_path).alerts == ""


def test_on_a_fresh_service_jq_refuses_to_divide(service: Process, tmp_path: Path):
    """0 / 0 is an error to jq, whatever zero the service writes; the rate is empty then, and no alert comes of it.

    Documented numbers cannot prevent that message: `total` is the count of requests, and there was none.
    """
    done = run(ERROR_RATE, service.http_port, tmp_path)

    assert "divisor is zero" in done.errors
    assert done.alerts == ""


def test_on_a_fresh_service_latency_is_zero_without_complaint(service: Process, tmp_path: Path):
    """A number, not null: `[ null -gt 1000 ]` would complain."""
    assert run(LATENCY, service.http_port, tmp_path).errors == ""


# A service that is not well.


def test_errors_above_ten_percent_raise_the_alert(service: Process, tmp_path: Path):
    """Two of ten."""
    talk(service, *["hello"] * 8, "[[error 500]]", "[[error 529]]")

    assert run(ERROR_RATE, service.http_port, tmp_path).alerts == "High error rate: 20%\n"


def test_errors_of_ten_percent_raise_none(service: Process, tmp_path: Path):
    """The script says "more than"."""
    talk(service, *["hello"] * 9, "[[error 500]]")

    assert run(ERROR_RATE, service.http_port, tmp_path).alerts == ""


def test_slow_answers_raise_the_alert(service: Process, tmp_path: Path):
    """The 95th percentile above a second."""
    talk(service, "[[wait 1200]]")
    done = run(LATENCY, service.http_port, tmp_path)

    assert re.fullmatch(r"High P95 latency: 1[12]\d\dms\n", done.alerts)  # exact to one percent


def test_the_scripts_need_no_right_key_on_this_host(service: Process, tmp_path: Path):
    """The documentation: an API key or localhost."""
    talk(service, "[[error 500]]")

    assert run(ERROR_RATE, service.http_port, tmp_path, key="").alerts == "High error rate: 100%\n"


@pytest.mark.parametrize(
    ("script", "exit_code", "alerts"),
    [
        (SIMPLE, 1, ""),
        (DETAILED, 3, ""),
        (AVAILABILITY, 0, "CCProxy is down\n"),
        (ERROR_RATE, 0, ""),
        (PAGERDUTY, 0, "pagerduty"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_service_that_is_gone_is_noticed(
    service: Process, tmp_path: Path, script: tuple[str, str], exit_code: int, alerts: str
):
    """By those scripts that ask whether it is there."""
    service.terminate()
    service.exit_code()
    done = run(script, service.http_port, tmp_path)

    assert (done.exit_code, done.alerts[: len(alerts)]) == (exit_code, alerts)


@pytest.mark.parametrize(
    ("script", "exit_code", "output", "alerts"),
    [
        (SIMPLE, 0, "CCProxy is healthy\n", ""),
        (DETAILED, 2, "❌ CCProxy is unhealthy\n", ""),
        (AVAILABILITY, 0, '{"message":"LLMs API"', ""),
        (PAGERDUTY, 0, "", '"summary": "CCProxy is unhealthy"'),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_service_that_drains_says_so(  # the columns of a table
    tmp_path: Path, script: tuple[str, str], exit_code: int, output: str, alerts: str
):
    """`/` stays 200, for it lives; `/health` says unhealthy, for it takes no more."""
    with process(tmp_path / "home", {**CONFIG, "drain_delay": 30}) as service:
        service.until_ready()
        service.popen.send_signal(signal.SIGTERM)
        while httpx.get(f"{service.url}/health").status_code == httpx.codes.OK:
            service.pause()
        done = run(script, service.http_port, tmp_path)

    assert (done.exit_code, done.output[: len(output)]) == (exit_code, output)
    assert alerts in done.alerts
    assert bool(alerts) == bool(done.alerts)


def test_every_script_of_the_text_is_run_here():
    """A script that is added to the documentation must work as well."""
    scripts = documented.text().count("#!/bin/bash")
    alerts = documented.text().count('alert "')

    assert (scripts, alerts) == (3, 3)
    assert len({documented.script(*script) for script in ALL}) == 6
