"""The alerts and the dashboard: they fire where they should, they parse, and what they ask for exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from deploy.chart import CHART, objects, one, render
from e2e.service import Service
from e2e.service import running as service_running
from e2e.tools import require, run

from ccproxy.errors import Reason

RULES = CHART / "files" / "rules.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
TESTS = Path(__file__).with_name("rules_test.yaml")

METRIC = re.compile(r"\b((?:ccproxy|process|python)_[a-z_]+|grpc_server_[a-z_]+)\b")
REASON = re.compile(r'error_type="([^"]+)"')


def alerts() -> list[dict[str, Any]]:
    """The alerts as they are in the file."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    document = msgspec.json.decode(DASHBOARD.read_bytes())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """What the dashboard asks Prometheus for, with its variables filled in."""
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m")
            yield text.replace("$namespace", ".*").replace("$job", ".*")


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a scrape of a real service gets."""
    with service_running(tmp_path_factory.mktemp("scraped")) as service:
        yield scraped(service)


def scraped(service: Service) -> str:
    """/metrics."""
    return service.get("/metrics").text


def test_alerts_fire_at_their_limits_and_not_before():
    """The documented limits are "more than 10 %" and "more than 1000 ms": at the limit, all is well."""
    done = run([require("promtool"), "test", "rules", str(TESTS)], seconds=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried():
    """An alert that never fired in a test may never fire."""
    tried = TESTS.read_text()
    assert [each["alert"] for each in alerts() if f"{each['alert']}" not in tried] == []


def test_prometheus_takes_the_rules():
    """One that does not parse, and Prometheus takes none of the file's."""
    done = run([require("promtool"), "check", "rules", "--lint-fatal", str(RULES)])
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules_that_the_chart_renders(tmp_path: Path):
    """They go through a template, which could break the templates of the alerts themselves."""
    rendered = objects(render(file=CHART / "ci" / "full.yaml"))
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(one(rendered, "PrometheusRule")["spec"]))
    done = run([require("promtool"), "check", "rules", "--lint-fatal", str(file)])
    assert done.returncode == 0, done.stdout + done.stderr


def rendered_alerts(*values: str) -> dict[str, dict[str, Any]]:
    """The alerts that the chart renders, by name."""
    rule = one(objects(render("prometheusRule.enabled=true", *values)), "PrometheusRule")
    return {each["alert"]: each for each in rule["spec"]["groups"][0]["rules"]}


def test_the_chart_changes_no_alert_unasked():
    """What promtool tests is what is installed."""
    assert list(rendered_alerts().values()) == alerts()


def test_values_change_one_alert_and_no_other():
    """A limit is the operator's; what is counted is ours."""
    plain = rendered_alerts()
    changed = rendered_alerts(
        "prometheusRule.alerts.CCProxyHighErrorRate.threshold=0.25",
        "prometheusRule.alerts.CCProxyHighErrorRate.for=9m",
        "prometheusRule.alerts.CCProxyHighErrorRate.severity=warning",
        "prometheusRule.alerts.CCProxyDown.enabled=false",
    )
    alert = changed.pop("CCProxyHighErrorRate")
    before = plain.pop("CCProxyHighErrorRate")
    del plain["CCProxyDown"]

    assert alert["expr"] == before["expr"].replace("0.10", "0.25")
    assert (alert["for"], alert["labels"]) == ("9m", {"severity": "warning"})
    assert changed == plain


def test_every_threshold_can_be_changed():
    """`threshold` replaces the last number of an expression; one that ended otherwise would be left as it is."""
    names = [each["alert"] for each in alerts()]
    changed = rendered_alerts(*(f"prometheusRule.alerts.{name}.threshold=77" for name in names))
    assert [name for name in names if not re.search(r"(>|<|==) 77$", changed[name]["expr"])] == []


def test_every_query_of_the_dashboard_parses(tmp_path: Path):
    """A panel with a mistake shows "No data", which looks like a quiet night."""
    rules = [{"record": f"panel:query{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = run([require("promtool"), "check", "rules", str(file)])
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_asked_for_exists(metrics: str):
    """A metric that was renamed is absent, not zero: alerts on it fall silent."""
    known = set(re.findall(r"(?m)^# TYPE (\S+)", metrics))
    known |= {f"{name}_bucket" for name in re.findall(r"(?m)^# TYPE (\S+) histogram", metrics)}
    asked = {name for text in [*queries(), *(each["expr"] for each in alerts())] for name in METRIC.findall(text)}

    assert len(asked) > 20
    assert asked - known == set()


def test_the_autoscalers_metric_exists(metrics: str):
    """With a name that does not exist, they keep what they have."""
    for name, values in (
        ("HorizontalPodAutoscaler", ["autoscaling.enabled=true", "autoscaling.targetInFlightPerPod=5"]),
        ("ScaledObject", ["keda.enabled=true", "keda.serverAddress=http://p"]),
    ):
        [metric] = set(METRIC.findall(str(one(objects(render(*values)), name)["spec"]).replace("ccproxy_p", "")))
        assert f"# TYPE {metric} gauge" in metrics


def test_reasons_in_alerts_are_reasons():
    """A label's value that never occurs makes an alert that never fires."""
    named = {name for each in alerts() for name in REASON.findall(each["expr"])}
    assert named
    assert named <= set(Reason)


def test_prometheus_has_nothing_against_the_metrics(metrics: str, tmp_path: Path):
    """Names and types as Prometheus' own linter wants them."""
    file = tmp_path / "metrics"
    file.write_text(metrics)
    command = f"{require('promtool')} check metrics < {file}"
    done = run(["bash", "-c", command])
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_have_numbers_of_their_own_and_do_not_overlap():
    """Grafana would move them about."""
    document = msgspec.json.decode(DASHBOARD.read_bytes())
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in document["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(cells) == len(set(cells))
    assert len(numbers) == len(set(numbers))
