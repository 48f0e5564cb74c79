"""The operators' pages: what they tell somebody at night must be there, and be right."""

import re
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from deploy.test_alerts import alerts
from e2e.tools import PROJECT, clean_environment, run

from ccproxy.errors import Reason

PAGES = PROJECT / "docs" / "operations"
RUNBOOK = (PAGES / "monitoring.md").read_text(encoding="utf-8")
UPGRADES = (PAGES / "upgrades.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_alert_has_its_paragraph_and_its_severity():
    """An alert without an answer is noise; one that is gone must not be looked for."""
    shown = re.findall(r"^### (CCProxy\w+)\n\n(\w+)", RUNBOOK, re.MULTILINE)

    assert shown == [(alert["alert"], alert["labels"]["severity"].capitalize()) for alert in alerts()]


def test_every_reason_in_the_runbook_is_one():
    """They are looked for in metrics, where a misspelt one is simply absent."""
    table = RUNBOOK.partition("| `error_type` |")[2].partition("\n\n")[0]
    shown = {word for row in table.splitlines()[2:] for word in re.findall(r"`([A-Z_]+)`", row.split("|")[1])}

    assert shown
    assert shown <= {reason.name for reason in Reason}


def test_the_grace_of_the_page_follows_from_its_configuration(tmp_path: Path):
    """The sum is the one thing on the page that people copy without thinking."""
    [text] = blocks(UPGRADES, "json")
    file = tmp_path / "config.json"
    file.write_text(text)
    file.chmod(0o600)
    checked = run([sys.executable, "-m", "ccproxy", "config", "check", str(file)], env=clean_environment(tmp_path))
    config = msgspec.json.decode(text)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert (config["drain_delay"], config["shutdown_timeout"]) == ("10s", "5m")
    assert "a grace of 315 seconds" in UPGRADES


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_every_block_of_yaml_and_json_is_one(page: Path):
    """What cannot be read was never tried."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(text, "yaml"):
        assert all(yaml.safe_load_all(block)), block
    for block in blocks(text, "json"):
        assert msgspec.json.decode(block)


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_links_to_a_heading_find_it(page: Path):
    """A link into the middle of a page that leads to its top leaves the reader to search."""
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        headings = re.findall(r"^#+ (.*)$", (page.parent / target if target else page).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
