"""The chart as helm sees it: it lints and packages, refuses what is wrong, and renders what it rendered before."""

import base64
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from deploy.chart import (
    CHART,
    FEATURES,
    GOLDEN,
    HELMS,
    RefusedError,
    golden,
    objects,
    one,
    render,
    separate,
)
from e2e.tools import PROJECT, require, run
from yamllint import linter
from yamllint.config import YamlLintConfig

import ccproxy

GUIDE = PROJECT / "docs" / "operations" / "kubernetes.md"
VALUES_SHOWN = [
    block
    for block in re.findall(r"(?s)```yaml\n(.*?)```", GUIDE.read_text())
    if not block.startswith("scrape_configs")  # Prometheus' own configuration
]
RULES_TEST = Path(__file__).with_name("rules_test.yaml")
TIDY = YamlLintConfig("{extends: default, rules: {line-length: {max: 170}, document-start: disable}}")
feature = pytest.mark.parametrize("file", FEATURES, ids=lambda file: file.stem)
SCHEMA: dict[str, Any] = msgspec.json.decode((CHART / "values.schema.json").read_bytes())


@pytest.mark.parametrize("helm", HELMS)
def test_helm_has_nothing_to_say_about_any_feature(helm: str):
    """Lint is what a registry of charts runs first; with --strict, its warnings count."""
    program = require(helm)
    for file in FEATURES:
        done = run([program, "lint", "--strict", "--quiet", str(CHART), "-f", str(file)])
        assert done.returncode == 0, f"{file.name}: {done.stdout}{done.stderr}"


@feature
def test_what_is_rendered_is_what_was_reviewed(file: Path):
    """A change of a template shows what it does to every object of every feature. `make chart` accepts it."""
    assert golden(render(file=file)) == (GOLDEN / file.name).read_text()


@feature
def test_both_major_versions_of_helm_render_the_same(file: Path):
    """Helm 4 has another YAML writer and another schema validator than Helm 3."""
    assert separate(render(file=file, helm="helm3")) == separate(render(file=file))


def test_no_render_is_kept_of_a_feature_that_has_gone():
    """A stale file would be read as a promise."""
    assert {each.name for each in GOLDEN.iterdir()} == {each.name for each in FEATURES}


def test_the_package_holds_what_an_installation_needs_and_no_more(tmp_path: Path):
    """Values of our tests are not the user's; alerts and dashboard must not be missing."""
    done = run([require("helm"), "package", str(CHART), "-d", str(tmp_path)])
    assert done.returncode == 0, done.stderr
    [package] = tmp_path.iterdir()

    with tarfile.open(package) as archive:
        names = {name.removeprefix("ccproxy/") for name in archive.getnames()}

    assert names >= {"Chart.yaml", "values.schema.json", "files/rules.yaml", "files/dashboard.json", "README.md"}
    assert not [name for name in names if name.startswith("ci/")]


def test_the_image_is_that_of_this_version():
    """`appVersion` is the tag that is pulled."""
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == ccproxy.__version__


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(
    "value",
    [
        "probes.liveness.servce=x",
        "probes.liveness.service=livenes",
        "probes.liveness.service=readiness",  # every drain and every pod without a provider would be killed
        "probes.readiness.service=ccproxy.v1.Proxy",  # the providers' outage would empty the Service
        "ports.grpc=grpc",
        "replicas=3",
        "image.tag=latest",
        "secrets.providers[0].env=ANTHROPIC_API_KEY",
        "secrets.create.anthropic=sk-ant-x",
        "shutdown.drainSeconds=1h",
        "prometheusRule.alerts.CCProxyDown.treshold=3",
        "httpRoute.timeout=10 minutes",
    ],
)
def test_what_the_schema_does_not_know_is_refused(helm: str, value: str):
    """A misspelt value that is silently ignored shows up in an outage."""
    require(helm)
    with pytest.raises(RefusedError):
        render(value, helm=helm)


CONTRADICTIONS = {
    "autoscaling and keda": ["autoscaling.enabled=true", "keda.enabled=true", "keda.serverAddress=http://p"],
    "autoscaling: minReplicas": ["autoscaling.enabled=true", "autoscaling.minReplicas=11"],
    "autoscaling: set a target": ["autoscaling.enabled=true", "autoscaling.targetCPUUtilizationPercentage=0"],
    "keda.serverAddress": ["keda.enabled=true"],
    "more than lameDuckSeconds + drainSeconds = 310": ["shutdown.terminationGracePeriodSeconds=310"],
    "config and existingConfigMap": ["existingConfigMap=ours", "config.probe_interval=1m"],
    "demo: it stands in": ["demo=true", "config.providers[0].name=openai"],
    "config.port: set ports.http": ["config.port=80"],
    "config.apikey: set secrets.proxy": ["config.apikey=sk-x"],
    "config.providers[0].api_key": ["config.providers[0].name=openai", "config.providers[0].api_key=sk-x"],
    "config.keys[0].key": ["config.keys[0].name=me", "config.keys[0].key=sk-x"],
    "tls.secretName": ["tls.enabled=true"],
    "tls.clientCaSecretName": ["tls.clientCaSecretName=ca"],
    "probes.mode": [
        "tls.enabled=true",
        "tls.secretName=cert",
        "tls.clientCaSecretName=ca",
        "probes.mode=http",
    ],
    "tls.monitorSecretName": [
        "tls.enabled=true",
        "tls.secretName=cert",
        "tls.clientCaSecretName=ca",
        "podMonitor.enabled=true",
    ],
    "ports: each": ["ports.grpc=3456"],
    "ports: each needs": ["ports.metrics=3457"],
    "otel.endpoint": ["otel.enabled=true"],
    "config.metrics_port: set ports.metrics": ["config.metrics_port=9464"],
    "config.telemetry: set otel": ["config.telemetry.export=true"],
    "httpRoute.parentRefs": ["httpRoute.enabled=true"],
    "grpcRoute.parentRefs": ["grpcRoute.enabled=true"],
    "ingress.hosts": ["ingress.enabled=true"],
    "ingressGrpc.hosts": ["ingressGrpc.enabled=true"],
    "serviceMonitor and podMonitor": ["serviceMonitor.enabled=true", "podMonitor.enabled=true"],
    "there is no such alert; there are CCProxyDown,": ["prometheusRule.alerts.CCProxyDwn.threshold=3"],
}


@pytest.mark.parametrize("words", CONTRADICTIONS)
def test_values_that_contradict_each_other_are_refused_with_the_remedy(words: str):
    """Each would give an installation that loses streams, scales twice, or never gets ready."""
    with pytest.raises(RefusedError, match=re.escape(words)):
        render(*CONTRADICTIONS[words])


def test_all_contradictions_are_told_at_once():
    """Who repairs one thing after the other installs as often."""
    with pytest.raises(RefusedError, match=r"(?s)keda\.serverAddress.*config\.port"):
        render("keda.enabled=true", "config.port=80")


def test_the_schema_knows_no_value_that_is_not_documented():
    """The table of values is made of values.yaml; what is only in the schema would be a secret."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    optional = {"initialDelaySeconds", "successThreshold", "claims"}  # Kubernetes' own, without a default here

    def undocumented(schema: dict[str, Any], values: dict[str, Any], path: str) -> list[str]:
        while "$ref" in schema:
            schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
        found = []
        for key, below in schema.get("properties", {}).items():
            if key not in values and key not in optional:
                found.append(f"{path}{key}")
            elif isinstance(values.get(key), dict):
                found += undocumented(below, values[key], f"{path}{key}.")
        return found

    assert undocumented(SCHEMA, values, "") == ["probes.startup.terminationGracePeriodSeconds"]


def test_the_table_of_values_is_that_of_the_values():
    """README.md is what people read before they install."""
    script = PROJECT / "deploy" / "helm" / "generate.py"
    done = run([sys.executable, str(script), "--check"])
    assert done.returncode == 0, done.stderr


def test_every_value_is_explained():
    """A row without a meaning is noise."""
    assert "|  |\n" not in (CHART / "README.md").read_text().replace("| see values.yaml |", "|")


@pytest.mark.parametrize(
    "file",
    [CHART / "Chart.yaml", CHART / "values.yaml", *FEATURES, CHART / "files" / "rules.yaml", RULES_TEST],
    ids=lambda file: file.name,
)
def test_the_yaml_is_tidy(file: Path):
    """Two keys of one name, or a tab, are mistakes that helm does not see."""
    assert list(map(str, linter.run(file.read_text(), TIDY))) == []


def notes(tmp_path: Path, *values: str, file: Path | None = None) -> str:
    """NOTES.txt, which helm shows after an installation, and never without a cluster. So it becomes a template."""
    chart = tmp_path / "ccproxy"
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").read_text()
    inner = '{{- define "notes" }}' + text + "{{- end }}"
    (chart / "templates" / "_notes.tpl").write_text(inner)
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\nmetadata: {name: notes}\nbase64: {{ include "notes" . | b64enc }}\n'
    )
    found = one(objects(render(*values, file=file, chart=chart)), "Notes")
    return base64.b64decode(found["base64"]).decode()


@feature
def test_there_are_notes_for_every_feature(file: Path, tmp_path: Path):
    """A mistake in NOTES.txt fails the installation, and only of those who use that feature."""
    assert "ccproxy" in notes(tmp_path, file=file)


def test_upgrading_names_the_moment_with_one_pod():
    """The Deployment of an autoscaled release has no `replicas`, which Kubernetes reads as one."""
    told = (CHART / "UPGRADING.md").read_text()
    [command] = re.findall(r"helm upgrade ccproxy CHART --reuse-values --set (autoscaling\S+)", told)
    assert "replicas" not in one(objects(render(command)), "Deployment")["spec"]
    assert "kubectl scale deployment ccproxy --replicas 2" in told


def test_without_a_provider_the_notes_say_what_to_do(tmp_path: Path):
    """The pods run and never get ready; `helm install` shows why before anybody has to search."""
    told = notes(tmp_path)
    assert "NO PROVIDER IS CONFIGURED" in told
    assert "--set demo=true" in told
    assert "secrets.providers[0].env=ANTHROPIC_API_KEY" in told


def test_with_a_provider_the_notes_do_not_complain(tmp_path: Path):
    """A warning that is always there is not read."""
    told = notes(
        tmp_path,
        "secrets.providers[0].env=A_KEY",
        "secrets.providers[0].existingSecret=a",
        "secrets.providers[0].key=b",
    )
    assert "NO PROVIDER" not in told
    assert "WARNING" not in told


def test_the_notes_tell_how_to_read_the_key(tmp_path: Path):
    """The key is made by the chart: nobody knows it before."""
    told = notes(tmp_path, "demo=true")
    assert "kubectl get secret ccproxy --namespace gateways" in told
    assert """-o go-template='{{ index .data "proxy-key" | base64decode }}'""" in told


def test_the_notes_warn_of_what_is_fit_for_a_trial_only(tmp_path: Path):
    """Each is allowed, and none should last."""
    told = notes(
        tmp_path,
        "secrets.proxy.value=x",
        "app.trustLocalhost=true",
        "replicaCount=1",
        "shutdown.drainSeconds=800",
        "networkPolicy.enabled=false",
    )
    assert told.count("WARNING") == 5


def test_shell_lines_of_the_notes_are_shell(tmp_path: Path):
    """They are copied and run as they are."""
    lines = [line[2:] for line in notes(tmp_path, "demo=true").splitlines() if line.startswith("  ")]
    done = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", VALUES_SHOWN, ids=lambda block: block.partition(":")[0])
def test_values_in_the_guide_are_values(block: str, tmp_path: Path):
    """They are copied as they are."""
    file = tmp_path / "values.yaml"
    file.write_text(block)
    assert render(file=file)
