"""The unit file: systemd has nothing to say about it, it lets the service do little, and its times fit."""

import configparser
import re
import sys
from pathlib import Path

import pytest
from e2e.tools import PROJECT, require, run

UNIT = PROJECT / "deploy" / "systemd" / "ccproxy.service"
GUIDE = PROJECT / "docs" / "operations" / "systemd.md"
MOST_EXPOSED = "20"  # of 100
SLACK_SECONDS = 15


class _Unit(configparser.RawConfigParser):
    """A unit file: names have capitals, and may be there several times; the last one counts here."""

    def optionxform(self, optionstr: str) -> str:
        """Keeps a name as it is."""
        return optionstr


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    """What the unit says about the service."""
    unit = _Unit(strict=False)
    unit.read_string(UNIT.read_text())
    return unit["Service"]


def variable(name: str) -> str:
    """A variable that the unit sets."""
    found = re.search(rf"(?m)^Environment={name}=(.*)$", UNIT.read_text())
    assert found is not None
    return found[1]


def test_systemd_has_nothing_to_say(tmp_path: Path):
    """It ignores what it does not know, and says so to those who look: a protection would just be absent."""
    file = tmp_path / UNIT.name
    file.write_text(UNIT.read_text().replace("/opt/ccproxy/bin/ccproxy", sys.executable))  # it must be there
    done = run([require("systemd-analyze"), "verify", "--man=no", str(file)])
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_can_do_little():
    """Whoever takes over a gateway must find nothing else to take."""
    command = [require("systemd-analyze"), "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(UNIT)]
    done = run(command)
    level = re.search(r"exposure level for ccproxy.service: ([\d.]+)", done.stdout)
    print(level[0] if level else done.stderr)  # noqa: T201  # a figure
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_gets_longer_to_end_than_its_calls(service: configparser.SectionProxy):
    """Else systemd kills it while it still gives answers."""
    calls = int(variable("CCPROXY_SHUTDOWN_TIMEOUT").removesuffix("s"))
    assert int(service["TimeoutStopSec"]) >= calls + SLACK_SECONDS


def test_a_mistake_is_not_tried_again(service: configparser.SectionProxy):
    """78 is a mistake in the configuration; a loop of starts would bury its message."""
    assert service["RestartPreventExitStatus"] == "78"
    assert service["Restart"] == "on-failure"


def test_its_protocol_is_the_one_that_is_spoken(service: configparser.SectionProxy):
    """Without Type=notify nobody listens; a watchdog needs an end of its silence."""
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0


def test_the_guide_makes_the_files_that_the_unit_reads(service: configparser.SectionProxy):
    """A credential that is missing is a service that does not start."""
    page = GUIDE.read_text()
    folder = service["LoadCredential"].partition(":")[2]
    assert f"{folder}/api_key" in page
    assert variable("CCPROXY_API_KEY_FILE") == "%d/keys_api_key"
    assert variable("CCPROXY_CONFIG") in page
