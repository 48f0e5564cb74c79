"""The configurations of examples/monitoring, in the hands of a real Prometheus and a real Alertmanager."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from e2e.conftest import KEY
from e2e.pagerduty import receiving
from e2e.service import POLL_SECONDS, free_ports, running
from e2e.tools import PROJECT, require, run

EXAMPLES = PROJECT / "examples" / "monitoring"
RULES = PROJECT / "deploy" / "helm" / "ccproxy" / "files" / "rules.yaml"
ROUTING_KEY = "R0UT1NGK3Y"

READY_SECONDS = 30.0


def test_prometheus_takes_its_configuration(tmp_path: Path):
    """With the rules of the chart and a key in a file."""
    (tmp_path / "key").write_text(KEY)
    text = (EXAMPLES / "prometheus.yml").read_text()
    for named, there in (("ccproxy-rules.yaml", RULES), ("ccproxy-monitor-key", tmp_path / "key")):
        assert f"/etc/prometheus/{named}" in text
        text = text.replace(f"/etc/prometheus/{named}", str(there))
    (tmp_path / "prometheus.yml").write_text(text)
    done = run([require("promtool"), "check", "config", str(tmp_path / "prometheus.yml")])

    assert done.returncode == 0, done.stderr
    assert "16 rules found" in done.stdout


def test_prometheus_scrapes_with_the_monitor_key(tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]):
    """The real one, against a service that gives its numbers to nobody without a key."""
    prometheus = require("prometheus")
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    monitor = {"name": "prometheus", "scope": "monitor", "key_file": str(tmp_path / "key")}
    (port,) = free_ports(1)
    with running(tmp_path, demo=True, keys=[monitor], trust_localhost=False) as service:
        text = (EXAMPLES / "prometheus.yml").read_text().replace("127.0.0.1:3456", f"127.0.0.1:{service.port}")
        text = text.replace("/etc/prometheus/ccproxy-rules.yaml", str(RULES)).replace(": 30s", ": 1s")
        text = text.replace("/etc/prometheus/ccproxy-monitor-key", str(tmp_path / "key"))
        (tmp_path / "prometheus.yml").write_text(text)
        options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        with started([prometheus, *options, f"--web.listen-address=127.0.0.1:{port}"], tmp_path, port):
            eventually(lambda: value(port, 'up{job="ccproxy", namespace="production"}') == "1")
            eventually(lambda: value(port, 'ccproxy_health_status{service="readiness"}') == "1")


def test_an_alert_reaches_pagerduty(tmp_path: Path):
    """The real Alertmanager sends what is firing, and afterwards that it is over."""
    alert = {
        "labels": {"alertname": "CCProxyDown", "severity": "critical"},
        "annotations": {"summary": "CCProxy is not there", "description": "It does not run."},
    }
    with receiving() as pagerduty, alertmanager(tmp_path, pagerduty.url) as port:
        tell(port, alert)
        firing = pagerduty.event()
        tell(port, {**alert, "endsAt": "2026-01-01T00:00:00Z"})
        over = pagerduty.event()

    assert (firing["event_action"], over["event_action"]) == ("trigger", "resolve")
    assert (firing["routing_key"], firing["dedup_key"]) == (ROUTING_KEY, over["dedup_key"])
    assert firing["payload"]["severity"] == "critical"
    assert firing["payload"]["summary"] == "CCProxy is not there"
    assert firing["payload"]["custom_details"]["what"] == "It does not run."


@contextmanager
def alertmanager(folder: Path, pagerduty: str) -> Iterator[int]:
    """Alertmanager with the example's configuration, quicker, and PagerDuty elsewhere; its port."""
    program = require("prometheus-alertmanager")
    (folder / "key").write_text(ROUTING_KEY)
    text = (EXAMPLES / "alertmanager.yml").read_text()
    text = text.replace("/etc/alertmanager/pagerduty-routing-key", str(folder / "key"))
    text = text.replace("group_wait: 30s", "group_wait: 1s").replace("group_interval: 5m", "group_interval: 1s")
    (folder / "alertmanager.yml").write_text(f"global: {{pagerduty_url: '{pagerduty}'}}\n{text}")
    (port,) = free_ports(1)
    options = [f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data"]
    addresses = [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with started([program, *options, *addresses], folder, port):
        yield port


@contextmanager
def started(command: Sequence[str], folder: Path, port: int) -> Iterator[None]:
    """A process that is ready, and ends with its test."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        try:
            until_ready(port)
            yield
        finally:
            process.terminate()
            process.wait(20)


def until_ready(port: int) -> None:
    """Waits until a Prometheus or an Alertmanager says that it is."""
    pause = Event()
    for _ in range(int(READY_SECONDS / POLL_SECONDS)):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        pause.wait(POLL_SECONDS)
    pytest.fail(f"not ready within {READY_SECONDS:g} s")


def value(port: int, query: str) -> str:
    """What a Prometheus answers to a query; empty where it has no answer."""
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, trust_env=False)
    found = answer.raise_for_status().json()["data"]["result"]
    return found[0]["value"][1] if found else ""


def tell(port: int, alert: dict[str, Any]) -> None:
    """Gives an Alertmanager an alert, as Prometheus does."""
    httpx.post(f"http://127.0.0.1:{port}/api/v2/alerts", json=[alert], trust_env=False).raise_for_status()


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=CCProxyDown", "severity=critical"), "pagerduty"),
        (("alertname=CCProxyHighLatency", "severity=warning"), "pagerduty"),
        (("alertname=CCProxyLogLinesLost", "severity=info"), "nobody"),
        (("alertname=SomethingElse", "severity=critical"), "nobody"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_alertmanager_sends_each_alert_where_it_belongs(labels: tuple[str, ...], receiver: str):
    """And takes the file at all."""
    amtool = require("amtool")
    config = str(EXAMPLES / "alertmanager.yml")
    checked = run([amtool, "check-config", config])
    routed = run([amtool, "config", "routes", "test", f"--config.file={config}", *labels])

    assert checked.returncode == 0, checked.stderr
    assert routed.stdout == f"{receiver}\n"
