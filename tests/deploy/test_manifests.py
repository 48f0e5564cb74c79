"""What the chart renders: valid for every supported Kubernetes, restricted, without secrets, ending in order."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
from deploy.chart import (
    CHART,
    FEATURES,
    NEWEST,
    OLDEST,
    Object,
    container,
    objects,
    one,
    pods,
    render,
)
from e2e.tools import require, require_module, run

from ccproxy.config import load

feature = pytest.mark.parametrize("file", FEATURES, ids=lambda file: file.stem)
CI = CHART / "ci"
CHECKS = Path(__file__).with_name("crds.mjs")

KUBERNETES_OWN = re.compile(r"v1|[a-z]+/v\d|[a-z.]+\.k8s\.io/v\d")
GATEWAY = "gateway.networking.k8s.io/"


def is_custom(each: Object) -> bool:
    """Whether an object's kind is none of Kubernetes' own."""
    version = each["apiVersion"]
    return version.startswith(GATEWAY) or KUBERNETES_OWN.fullmatch(version) is None


@pytest.mark.parametrize("version", [OLDEST, "1.30", "1.34", NEWEST])
@feature
def test_every_object_is_valid_in_every_supported_kubernetes(file: Path, version: str):
    """Unknown fields count: an API server drops them, or refuses the object."""
    for each in objects(render(file=file, version=version)):
        if not is_custom(each):
            kubernetes_validate.validate(each, version, strict=True)


def test_the_schemas_refuse_what_an_api_server_refuses():
    """The test above is worth as much as this one: a gRPC probe's port has no name, and fields no typos."""
    rendered = objects(render(file=CI / "default.yaml"))
    container(rendered)["livenessProbe"]["grpc"]["port"] = "grpc"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one(rendered, "Deployment"), NEWEST, strict=True)


def complaints(custom: list[Object], folder: Path) -> list[str]:
    """What the definitions of custom kinds have against these objects."""
    models = require_module("@kubernetes-models")
    file = folder / "objects.json"
    file.write_bytes(msgspec.json.encode(custom))
    done = run([require("node"), str(CHECKS), str(models), str(file)])
    assert done.returncode == 0, done.stderr
    found: list[str] = msgspec.json.decode(done.stdout)
    return found


def test_custom_objects_satisfy_their_definitions(tmp_path: Path):
    """Those of the Gateway API, KEDA and Prometheus' operator; their clusters are where nobody tests."""
    custom = [each for file in FEATURES for each in objects(render(file=file)) if is_custom(each)]
    kinds = {each["kind"] for each in custom}
    assert kinds == {"GRPCRoute", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
    assert complaints(custom, tmp_path) == []


def test_the_definitions_refuse_typos(tmp_path: Path):
    """As above: what accepts everything proves nothing."""
    route = one(objects(render(file=CI / "gateway.yaml")), "GRPCRoute")
    route["spec"]["parentRefs"][0]["nmespace"] = "x"
    assert complaints([route], tmp_path) == ["GRPCRoute ccproxy: /spec/parentRefs/0/nmespace is unknown"]


@feature
def test_every_pod_satisfies_the_restricted_standard(file: Path):
    """A namespace that enforces it would refuse the pods, those of `helm test` among them.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    for pod in pods(objects(render(file=file))):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        for volume in pod.get("volumes", []):
            assert {"configMap", "projected", "emptyDir"} & volume.keys()


@feature
def test_every_object_is_in_the_releases_namespace(file: Path):
    """`helm template | kubectl apply` would put it wherever the shell happens to be."""
    assert {each["metadata"]["namespace"] for each in objects(render(file=file))} == {"gateways"}


def probes(rendered: list[Object]) -> dict[str, Any]:
    """Each probe's action, by its name."""
    found = container(rendered)
    return {
        name: {key: found[f"{name}Probe"][key] for key in ("grpc", "httpGet") if key in found[f"{name}Probe"]}
        for name in ("startup", "liveness", "readiness")
    }


def test_probes_speak_grpc_to_a_numbered_port():
    """Kubernetes probes gRPC by itself; the three have different duties."""
    assert probes(objects(render(file=CI / "default.yaml"))) == {
        "startup": {"grpc": {"port": 3457, "service": "liveness"}},
        "liveness": {"grpc": {"port": 3457, "service": "liveness"}},
        "readiness": {"grpc": {"port": 3457, "service": "readiness"}},
    }


@pytest.mark.parametrize(("file", "host"), [("default", "0.0.0.0"), ("ipv6", "::")])
def test_pods_listen_on_the_address_that_is_probed(file: str, host: str):
    """The kubelet asks the pod's own address: on 127.0.0.1 it would find nobody, and kill the pod."""
    env = {each["name"]: each.get("value") for each in container(objects(render(file=CI / f"{file}.yaml")))["env"]}
    assert env["CCPROXY_HOST"] == host


def test_probes_over_http_are_those_of_the_documentation():
    """GET / for liveness, GET /health for readiness."""
    assert probes(objects(render(file=CI / "http-probes.yaml"))) == {
        "startup": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP"}},
        "liveness": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP"}},
        "readiness": {"httpGet": {"path": "/health", "port": "http", "scheme": "HTTP"}},
    }


@pytest.mark.parametrize("name", ["tls", "mutual-tls"])
def test_with_tls_probes_use_the_port_without(name: str):
    """The kubelet speaks no TLS to gRPC, and has no certificate."""
    rendered = objects(render(file=CI / f"{name}.yaml"))
    assert {each["grpc"]["port"] for each in probes(rendered).values()} == {3458}
    assert {"name": "CCPROXY_HEALTH_PORT", "value": "3458"} in container(rendered)["env"]


@pytest.mark.parametrize(
    ("values", "grace", "delay", "drain"),
    [
        ([], 325, "10s", "300s"),
        (["shutdown.lameDuckSeconds=0", "shutdown.drainSeconds=60"], 75, "0s", "60s"),
        (["shutdown.terminationGracePeriodSeconds=900"], 900, "10s", "300s"),
    ],
)
def test_the_grace_is_longer_than_the_drain(values: list[str], grace: int, delay: str, drain: str):
    """Else the kubelet kills what CCProxy still lets end, and streams break without a last event."""
    rendered = objects(render(*values))
    env = {each["name"]: each.get("value") for each in container(rendered)["env"]}

    assert one(rendered, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == grace
    assert (env["CCPROXY_DRAIN_DELAY"], env["CCPROXY_SHUTDOWN_TIMEOUT"]) == (delay, drain)
    assert grace > int(delay[:-1]) + int(drain[:-1])


def test_a_process_that_hangs_is_not_waited_for():
    """It drains nothing any more, so the pod's long grace would be an outage."""
    rendered = objects(render())
    assert container(rendered)["livenessProbe"]["terminationGracePeriodSeconds"] == 30


def replicas(*values: str) -> tuple[int | None, int, int]:
    """`replicas` of the Deployment, and how many disruption budgets and scalers there are."""
    rendered = objects(render(*values))
    kinds = [each["kind"] for each in rendered]
    scalers = kinds.count("HorizontalPodAutoscaler") + kinds.count("ScaledObject")
    count: int | None = one(rendered, "Deployment")["spec"].get("replicas")
    return count, kinds.count("PodDisruptionBudget"), scalers


def test_one_thing_decides_how_many_pods_there_are():
    """A Deployment with `replicas` would undo what the autoscaler did at each upgrade."""
    assert replicas() == (2, 1, 0)
    assert replicas("autoscaling.enabled=true") == (None, 1, 1)
    assert replicas("keda.enabled=true", "keda.serverAddress=http://p") == (None, 1, 1)


def test_a_single_pod_has_no_disruption_budget():
    """With one, its node could never be drained."""
    assert replicas("replicaCount=1") == (1, 0, 0)
    assert replicas("autoscaling.enabled=true", "autoscaling.minReplicas=1") == (None, 0, 1)


def test_a_change_of_the_configuration_replaces_the_pods_and_nothing_else_does():
    """Else a change waits for the next crash."""

    def checksum(*values: str) -> object:
        template = one(objects(render(*values)), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"].get("checksum/config")

    assert checksum("config.probe_interval=1m") != checksum()
    assert checksum("replicaCount=5", "serviceMonitor.enabled=true") == checksum()
    assert checksum("rolloutOnConfigChange=false") is None


def test_secrets_stand_in_secrets_alone():
    """A ConfigMap, an argument or a variable is read by many; a Secret by few."""
    for each in objects(render(file=CI / "inline-secrets.yaml")):
        if each["kind"] != "Secret":
            assert "planted" not in str(each)


def test_keys_are_mounted_and_never_variables():
    """A variable is seen by every process in the container, and by whoever may describe the pod."""
    rendered = objects(render(file=CI / "inline-secrets.yaml"))
    assert {"name": "ANTHROPIC_API_KEY_FILE", "value": "/run/secrets/ccproxy/providers/ANTHROPIC_API_KEY"} in (
        container(rendered)["env"]
    )


def test_a_key_is_made_where_none_is_given_and_survives():
    """An installation without a key would serve nobody; one with a fixed key everybody."""
    first, second = (one(objects(render(file=CI / "default.yaml")), "Secret") for _ in range(2))

    assert first["data"].keys() == {"proxy-key", "monitor-key"}
    assert len({*first["data"].values(), *second["data"].values()}) == 4
    assert first["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_no_key_is_made_where_there_are_some():
    """Two keys for one purpose leave a door that nobody watches."""
    rendered = objects(render(file=CI / "existing-configmap.yaml"))
    assert "Secret" not in [each["kind"] for each in rendered]


def test_pods_spread_over_zones_and_nodes():
    """One node's end must not be that of all pods. Those that a rollout replaces do not count."""
    spread = one(objects(render()), "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {tuple(each["matchLabelKeys"]) for each in spread} == {("pod-template-hash",)}
    assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}  # a single node serves, too


def test_a_service_without_an_address_of_its_own_is_for_clients_that_balance():
    """gRPC keeps one connection: through a ClusterIP, one pod would get all calls."""
    headless = one(objects(render()), "Service", suffix="-headless")["spec"]
    assert (headless["clusterIP"], headless["publishNotReadyAddresses"]) == ("None", False)


@pytest.mark.parametrize(
    ("name", "http", "grpc"), [("default", "http", "kubernetes.io/h2c"), ("tls", "https", "https")]
)
def test_gateways_are_told_what_each_port_speaks(name: str, http: str, grpc: str):
    """Without it, a gateway speaks HTTP/1.1 to gRPC."""
    for each in objects(render(file=CI / f"{name}.yaml")):
        if each["kind"] == "Service":
            spoken = {port["name"]: port["appProtocol"] for port in each["spec"]["ports"]}
            assert (spoken["http"], spoken["grpc"]) == (http, grpc)


def test_prometheus_finds_each_pod_once():
    """The headless Service has the same pods: with both, every number would be doubled."""
    rendered = objects(render("serviceMonitor.enabled=true"))
    wanted = one(rendered, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    found = [
        each for each in rendered if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
    ]
    assert [each["metadata"]["name"] for each in found] == ["ccproxy"]


def test_prometheus_shows_the_key_that_opens_metrics_alone():
    """The callers' key in its hands would let it spend money."""
    rendered = objects(render("serviceMonitor.enabled=true"))
    [endpoint] = one(rendered, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "ccproxy", "key": "monitor-key"}}


@pytest.mark.parametrize(("kind", "named"), [("ServiceMonitor", "targetPort"), ("PodMonitor", "port")])
def test_a_port_for_metrics_is_scraped_without_key_and_certificate(kind: str, named: str):
    """That is what it is for; `targetPort` is the pod's, of which no Service tells."""
    values = [f"{kind[0].lower()}{kind[1:]}.enabled=true", "ports.metrics=9464", "tls.enabled=true"]
    rendered = objects(render(*values, "tls.secretName=cert", "tls.clientCaSecretName=ca"))
    spec = one(rendered, kind)["spec"]
    [endpoint] = spec.get("endpoints") or spec["podMetricsEndpoints"]

    assert endpoint == {named: "metrics", "path": "/metrics", "interval": "30s", "scrapeTimeout": "10s"}
    assert {"name": "metrics", "containerPort": 9464} in container(rendered)["ports"]
    assert {"name": "CCPROXY_METRICS_PORT", "value": "9464"} in container(rendered)["env"]


def test_no_service_publishes_the_port_for_metrics():
    """It asks for no key: a load balancer would show it to everybody."""
    rendered = objects(render("ports.metrics=9464", "service.type=LoadBalancer", "ingress.enabled=false"))
    services = [each for each in rendered if each["kind"] == "Service"]

    assert len(services) == 2
    assert "metrics" not in {port["name"] for each in services for port in each["spec"]["ports"]}


def test_the_port_for_metrics_is_open_to_the_cluster_or_to_those_who_are_named():
    """Without it in the policy nobody could scrape, and with `ingressFrom` every caller could."""
    policies = [
        one(objects(render("ports.metrics=9464", *more)), "NetworkPolicy")["spec"]["ingress"]
        for more in ([], ["networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus"])
    ]

    assert [each[1]["ports"] for each in policies] == [[{"port": "metrics"}]] * 2
    assert policies[0][1]["from"] == [{"namespaceSelector": {}}]
    assert policies[1][1]["from"] == [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
    assert len(one(objects(render()), "NetworkPolicy")["spec"]["ingress"]) == 1


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://otel-collector.monitoring:4318", 4318),
        ("http://[fd00::1]:4317/", 4317),
        ("https://otlp.example.com/in", 443),
        ("http://collector", 80),
    ],
)
def test_a_collector_can_be_reached(endpoint: str, port: int):
    """The NetworkPolicy would swallow every span, and nobody would notice."""
    rendered = objects(render("otel.enabled=true", f"otel.endpoint={endpoint}"))
    told = {each["name"]: each.get("value") for each in container(rendered)["env"]}

    assert {"ports": [{"port": port}]} in one(rendered, "NetworkPolicy")["spec"]["egress"]
    assert (told["CCPROXY_TELEMETRY_EXPORT"], told["OTEL_EXPORTER_OTLP_ENDPOINT"]) == ("true", endpoint)
    assert told["OTEL_RESOURCE_ATTRIBUTES"].startswith("k8s.namespace.name=gateways,k8s.pod.name=$(POD_NAME)")


def test_pods_reach_providers_and_no_metadata_service():
    """A request that could be led to 169.254.169.254 would get the node's credentials."""
    names, providers = one(objects(render()), "NetworkPolicy")["spec"]["egress"]
    assert [port["port"] for port in names["ports"]] == [53, 53]
    assert [port["port"] for port in providers["ports"]] == [443]
    assert providers["to"][0] == {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}


def test_selectors_choose_the_pods_that_serve():
    """The pods of `helm test` have the release's labels, too; a Service must not send calls to them."""
    rendered = objects(render("autoscaling.enabled=true"))
    labels = one(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    tests = [each["metadata"]["labels"].items() for each in rendered if each["kind"] == "Pod"]
    for kind, suffix in (("Service", "ccproxy"), ("Service", "-headless")):
        selector = one(rendered, kind, suffix)["spec"]["selector"].items()
        assert selector <= labels
        assert not [each for each in tests if selector <= each]


@feature
def test_ccproxy_takes_the_configuration(file: Path, tmp_path: Path):
    """The chart passes `config` on; a key that CCProxy does not know would stop every new pod."""
    rendered = objects(render(file=file))
    maps = [each for each in rendered if "config.json" in each.get("data", {})]
    config, secrets = tmp_path / "config.json", tmp_path / "secrets"
    config.write_text(maps[0]["data"]["config.json"] if maps else "{}")
    secrets.mkdir()

    env = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "LOCAL_KEY": "sk-local"}
    for each in container(rendered)["env"]:
        if "_TLS_" not in each["name"] and "value" in each:
            env[each["name"]] = each["value"].replace("/run/secrets/ccproxy", str(secrets))
    config.write_text(config.read_text().replace("/run/secrets/ccproxy", str(secrets)))
    for path in [*re.findall(f'{re.escape(str(secrets))}[^"]+', config.read_text()), *env.values()]:
        if path.startswith(str(secrets)):
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text("sk-planted")
            Path(path).chmod(0o600)
    loaded = load(config, env, tmp_path)

    assert (loaded.port, loaded.grpc_port, loaded.trust_localhost) == (3456, 3457, False)
    assert loaded.apikey_file == str(secrets / "proxy-key")
    assert bool(loaded.providers) == (file.stem in {"minimal", "full", "inline-secrets"})
