"""The Helm chart, rendered by a real helm."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from e2e.tools import PROJECT, require, run

CHART = PROJECT / "deploy" / "helm" / "ccproxy"
FEATURES = sorted((CHART / "ci").glob("*.yaml"))
"""A values file for each feature; what the chart's tests are run over."""

GOLDEN = Path(__file__).with_name("golden")

RELEASE, NAMESPACE = "ccproxy", "gateways"
OLDEST, NEWEST = "1.27", "1.37"
"""The supported versions of Kubernetes: gRPC probes are stable since the oldest."""

GOLDEN_VERSION = "1.34"
HELMS = ("helm", "helm3")
"""The major versions that are in use."""

Object = dict[str, Any]


class RefusedError(Exception):
    """What helm says to values that it does not take."""


def render(
    *values: str, file: Path | None = None, version: str = GOLDEN_VERSION, helm: str = "helm", chart: Path = CHART
) -> str:
    """What `helm template` prints. `values` are as for `--set`."""
    command = [require(helm), "template", RELEASE, str(chart), "-n", NAMESPACE, "--kube-version", f"{version}.0"]
    for value in values:
        command += ["--set", value]
    done = run([*command, *(["-f", str(file)] if file else [])], seconds=60)
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def objects(text: str) -> list[Object]:
    """The objects in what helm printed."""
    return [each for each in yaml.safe_load_all(text) if each]


def one(rendered: Sequence[Object], kind: str, suffix: str = "") -> Object:
    """The only object of a kind; of those with a suffix, where one is given."""
    found = [each for each in rendered if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, f"{len(found)} objects of the kind {kind}"
    return found[0]


def container(rendered: Sequence[Object]) -> Object:
    """CCProxy's container in the Deployment."""
    found: Object = one(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return found


def pods(rendered: Sequence[Object]) -> Iterator[Object]:
    """The specification of every pod: the service's, and those of `helm test`."""
    for each in rendered:
        if each["kind"] == "Pod":
            yield each["spec"]
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]


def masked(text: str) -> str:
    """What helm printed, without what differs between two runs, and without the dashboard, which is a file."""
    text = re.sub(r"(?m)^(  (?:proxy|monitor)-key: )\S{58,60}$", r"\1<made>", text)
    return re.sub(r"(?ms)^(  ccproxy.json: \|\n).*?(?=^---|\Z)", r"\1    <files/dashboard.json>\n", text)


def separate(text: str) -> list[str]:
    """The documents that helm printed, in an order of their own: helm's differs between its versions."""
    documents = [each.strip() for each in re.split(r"(?m)^---$", masked(text))]
    return sorted(filter(None, documents))


def golden(text: str) -> str:
    """How a rendered chart is kept in `golden`."""
    return "---\n" + "\n---\n".join(separate(text)) + "\n"
