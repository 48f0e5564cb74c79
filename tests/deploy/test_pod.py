"""A pod of the chart without a cluster: CCProxy with the rendered variables and files, and the rendered probes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from deploy.chart import CHART, Object, container, objects, one, render
from e2e.probers import kubelet
from e2e.service import free_ports
from e2e.tools import clean_environment, require, run
from unit.certificates import Authority, Pair

PROXY_KEY, MONITOR_KEY = "key-for-callers", "key-for-metrics"
HOST = "127.0.0.1"
PORTS = {3456: "CCPROXY_PORT", 3457: "CCPROXY_GRPC_PORT", 3458: "CCPROXY_HEALTH_PORT"}
START_SECONDS = 30.0


class Pod:
    """What runs: its rendered objects, and where the ports of the rendered Service really are."""

    def __init__(self, rendered: list[Object], folder: Path) -> None:
        self.rendered = rendered
        self.container = container(rendered)
        self.folder = folder
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its HTTP."""
        scheme = "https" if self.has_tls else "http"
        return f"{scheme}://{HOST}:{self.ports[3456]}"

    @property
    def has_tls(self) -> bool:
        """Whether it speaks TLS."""
        return "tls" in [mount["name"] for mount in self.container["volumeMounts"]]

    def environment(self) -> dict[str, str]:
        """The container's variables, with the mounts in a folder and the ports where nobody listens."""
        env = clean_environment(self.folder)
        env["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
        for each in self.container["env"]:
            env[each["name"]] = self.placed(each["value"])
        env["CCPROXY_HOST"] = HOST
        env |= {name: str(self.ports[port]) for port, name in PORTS.items() if name in env}
        return env

    def placed(self, text: str) -> str:
        """A text with the container's paths replaced."""
        places = {mount["mountPath"]: str(self.folder / mount["name"]) for mount in self.container["volumeMounts"]}
        longest_first = sorted(places, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda found: places[found[0]], text)

    def mount(self, authority: Authority | None) -> None:
        """Writes what the volumes hold; `authority` issues the certificates."""
        for mount in self.container["volumeMounts"]:
            (self.folder / mount["name"]).mkdir()
        config = one([each for each in self.rendered if "config.json" in each.get("data", {})], "ConfigMap")
        (self.folder / "config" / "config.json").write_text(self.placed(config["data"]["config.json"]))
        for name, key in (("proxy-key", PROXY_KEY), ("monitor-key", MONITOR_KEY)):
            file = self.folder / "secrets" / name
            file.write_text(key)
            file.chmod(0o600)  # outside of /run/secrets others must not read it
        if authority is not None:
            tls = self.folder / "tls"
            authority.server().copy_to(Pair(tls / "tls.crt", tls / "tls.key"))
            (tls / "client-ca.crt").write_text(authority.pair.pem)

    def probe(self, name: str) -> bool:
        """Asks what the rendered probe says, with the kubelet's own code where that speaks gRPC."""
        found = self.container[f"{name}Probe"]
        if "grpc" in found:
            addr = f"{HOST}:{self.ports[found['grpc']['port']]}"
            return kubelet(addr, found["grpc"]["service"], found["timeoutSeconds"]).passed
        try:
            url = f"{found['httpGet']['scheme'].lower()}://{HOST}:{self.ports[3456]}{found['httpGet']['path']}"
            answer = httpx.get(url, trust_env=False, verify=False, headers={"host": "10.0.0.7"})  # noqa: S501
        except httpx.TransportError:
            return False
        return answer.is_success

    def test(self, suffix: str) -> subprocess.CompletedProcess[str]:
        """Runs the command of a pod of `helm test`."""
        [tested] = one(self.rendered, "Pod", suffix)["spec"]["containers"]
        words = [word.replace("$(MONITOR_KEY)", MONITOR_KEY) for word in tested["command"]]
        services = re.compile(r"ccproxy(?:-headless)?\.gateways\.svc:(\d+)")
        words = [services.sub(lambda found: f"{HOST}:{self.ports[int(found[1])]}", word) for word in words]
        program = [sys.executable, "-m", "ccproxy"] if words[0] == "ccproxy" else [require(words[0])]
        return run([*program, *words[1:]], env=self.environment())


@contextmanager
def running(
    folder: Path, *values: str, file: Path | None = None, authority: Authority | None = None
) -> Iterator[Pod]:
    """Starts the container's command."""
    pod = Pod(objects(render(*values, file=file)), folder)
    pod.mount(authority)
    log = folder / "log"
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ccproxy", *pod.container["args"]],
            env=pod.environment() | coverage,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    pod.process = process
    try:
        until(lambda: pod.probe("startup") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield pod
        if process.poll() is None:
            process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    end = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < end, f"it did not hold within {START_SECONDS:g} s"


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """`helm install --set demo=true`."""
    with running(tmp_path_factory.mktemp("trial"), "demo=true", "shutdown.lameDuckSeconds=0") as pod:
        yield pod


def asked(pod: Pod, key: str | None, path: str = "/v1/messages") -> httpx.Response:
    """A caller's request."""
    headers = {} if key is None else {"x-api-key": key}
    if path != "/v1/messages":
        return httpx.get(pod.url + path, headers=headers, trust_env=False)
    document: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    return httpx.post(pod.url + path, json=document, headers=headers, trust_env=False)


def test_a_trial_works_with_the_key_that_the_chart_made(trial: Pod):
    """`helm install --set demo=true` is the first thing that people do."""
    assert asked(trial, PROXY_KEY).json()["content"][0]["text"].startswith("Demo answer")


def test_nobody_is_served_without_the_key(trial: Pod):
    """A sidecar's traffic comes from this host, as this test's does."""
    assert asked(trial, None).status_code == httpx.codes.UNAUTHORIZED
    assert asked(trial, None, "/metrics").status_code == httpx.codes.UNAUTHORIZED


def test_the_key_for_metrics_opens_metrics_alone(trial: Pod):
    """Prometheus must not be able to spend money."""
    assert asked(trial, MONITOR_KEY, "/metrics").status_code == httpx.codes.OK
    assert asked(trial, MONITOR_KEY).status_code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize("name", ["startup", "liveness", "readiness"])
def test_probes_pass_although_a_key_is_asked_for(trial: Pod, name: str):
    """The kubelet has none."""
    assert trial.probe(name)


@pytest.mark.parametrize("suffix", ["-test-grpc", "-test-http", "-test-metrics"])
def test_helm_test_passes(trial: Pod, suffix: str):
    """It runs what the image has, and shows the keys that are in the Secrets."""
    done = trial.test(suffix)
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_test_fails_with_the_wrong_key(trial: Pod):
    """A test that cannot fail proves nothing."""
    [tested] = one(trial.rendered, "Pod", "-test-metrics")["spec"]["containers"]
    tested["command"] = [word.replace("$(MONITOR_KEY)", "wrong") for word in tested["command"]]
    assert trial.test("-test-metrics").returncode != 0


def test_without_a_provider_the_pod_lives_and_is_not_ready(tmp_path: Path):
    """It must get no calls, and restarting it would help nobody."""
    with running(tmp_path, "shutdown.lameDuckSeconds=0") as pod:
        assert pod.probe("liveness")
        assert not pod.probe("readiness")


def test_probes_over_http_pass(tmp_path: Path):
    """They are the documented ones, for who cannot probe gRPC."""
    http = CHART / "ci" / "http-probes.yaml"
    with running(tmp_path, "demo=true", "shutdown.lameDuckSeconds=0", file=http) as pod:
        assert [pod.probe(name) for name in ("startup", "liveness", "readiness")] == [True, True, True]


def test_with_tls_probes_and_tests_pass(tmp_path: Path):
    """The probes' port speaks none; the callers' do nothing else."""
    tls = CHART / "ci" / "tls.yaml"
    authority = Authority(tmp_path)
    with running(tmp_path, "demo=true", "shutdown.lameDuckSeconds=0", file=tls, authority=authority) as pod:
        assert [pod.probe(name) for name in ("startup", "liveness", "readiness")] == [True, True, True]
        for suffix in ("-test-grpc", "-test-http", "-test-metrics"):
            done = pod.test(suffix)
            assert done.returncode == 0, done.stdout + done.stderr
        with pytest.raises(httpx.TransportError):
            httpx.get(pod.url.replace("https", "http"), trust_env=False)


def test_with_tls_probes_over_http_pass(tmp_path: Path):
    """The kubelet does not check the certificate."""
    tls = CHART / "ci" / "tls.yaml"
    values = ("demo=true", "probes.mode=http", "shutdown.lameDuckSeconds=0")
    with running(tmp_path, *values, file=tls, authority=Authority(tmp_path)) as pod:
        assert [pod.probe(name) for name in ("startup", "liveness", "readiness")] == [True, True, True]


def test_where_clients_show_certificates_the_kubelet_needs_none(tmp_path: Path):
    """It has none, and must reach every pod."""
    mutual = CHART / "ci" / "mutual-tls.yaml"
    authority = Authority(tmp_path)
    with running(tmp_path, "demo=true", "shutdown.lameDuckSeconds=0", file=mutual, authority=authority) as pod:
        assert [pod.probe(name) for name in ("startup", "liveness", "readiness")] == [True, True, True]
        assert pod.test("-test-grpc").returncode == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(pod.url, trust_env=False, verify=False)  # noqa: S501  # it shows no certificate


def test_a_pod_that_ends_is_first_not_ready_and_still_lives(tmp_path: Path):
    """So that load balancers turn away before the ports close, and the kubelet does not kill what drains."""
    values = ("demo=true", "shutdown.lameDuckSeconds=3", "shutdown.drainSeconds=5", "shutdown.slackSeconds=5")
    with running(tmp_path, *values) as pod:
        grace = one(pod.rendered, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert pod.probe("readiness")
        assert pod.process is not None
        pod.process.send_signal(signal.SIGTERM)
        until(lambda: not pod.probe("readiness"))

        assert pod.probe("liveness")
        assert asked(pod, PROXY_KEY).status_code in {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}
        assert pod.process.wait(grace) == 0
