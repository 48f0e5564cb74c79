"""The key that the chart makes is made once: against the few answers of a Kubernetes API that helm asks for."""

import base64
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from deploy.chart import CHART, HELMS, NAMESPACE, RELEASE, objects, one
from e2e.tools import clean_environment, require, run

BEFORE = base64.b64encode(b"made-long-ago").decode()

KINDS = {
    "v1": ("ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
}
"""What helm wants to find in the cluster: the kinds that the chart has."""


def plural(kind: str) -> str:
    """The kind's name in a path."""
    return kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s")


def resources(version: str) -> dict[str, Any]:
    """The discovery of one version."""
    return {
        "kind": "APIResourceList",
        "groupVersion": version,
        "resources": [
            {
                "name": plural(kind),
                "singularName": kind.lower(),
                "namespaced": True,
                "kind": kind,
                "verbs": ["get"],
            }
            for kind in KINDS[version]
        ],
    }


def group(version: str) -> dict[str, Any]:
    """The discovery of one group, of which there is one version."""
    name, _, number = version.partition("/")
    only = {"groupVersion": version, "version": number}
    return {"name": name, "versions": [only], "preferredVersion": only}


ANSWERS: Mapping[str, Any] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [group(version) for version in KINDS if version != "v1"],
    },
    **{f"/api{'s' if '/' in version else ''}/{version}": resources(version) for version in KINDS},
    f"/api/v1/namespaces/{NAMESPACE}/secrets/{RELEASE}": {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {
            "name": RELEASE,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {
                "meta.helm.sh/release-name": RELEASE,
                "meta.helm.sh/release-namespace": NAMESPACE,
            },
        },
        "data": {"proxy-key": BEFORE},
    },
}


class Cluster(BaseHTTPRequestHandler):
    """A cluster in which the chart was installed when it made no key for metrics yet."""

    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path.partition("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        self.send_response(HTTPStatus.OK if answer else HTTPStatus.NOT_FOUND)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(msgspec.json.encode(answer or missing))

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment in which helm speaks to it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Cluster) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        file = tmp_path / "kubeconfig"
        file.write_bytes(msgspec.json.encode(config))
        yield {**clean_environment(tmp_path), "KUBECONFIG": str(file)}
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("helm", HELMS)
def test_an_upgrade_keeps_the_key_that_callers_have(cluster: dict[str, str], helm: str):
    """A new one at each upgrade would lock every caller out."""
    command = [require(helm), "template", RELEASE, str(CHART), "-n", NAMESPACE, "--dry-run=server"]
    done = run([*command, "--disable-openapi-validation"], env=cluster)
    assert done.returncode == 0, done.stderr
    data = one(objects(done.stdout), "Secret")["data"]

    assert data["proxy-key"] == BEFORE
    assert len(base64.b64decode(data["monitor-key"])) == 43
