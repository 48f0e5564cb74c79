"""Compose: our file with its keys, the overlay with Prometheus and Grafana, and the file of the specification."""

import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from deploy.engine import IMAGE, Engine, base_name
from deploy.test_helm import TIDY
from deploy.test_image import KEY, SPECIFIED, specified_configuration
from e2e.service import free_ports
from e2e.tools import PROJECT, require, run
from yamllint import linter

from ccproxy.config import read

FILE = PROJECT / "compose.yaml"
FOLDER = PROJECT / "deploy" / "compose"
OVERLAY = FOLDER / "observability.yaml"
CHART_FILES = PROJECT / "deploy" / "helm" / "ccproxy" / "files"
GUIDE = PROJECT / "docs" / "operations" / "docker.md"
BODY = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}

engine = pytest.mark.timeout(600)


def document(file: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(file.read_text())


class Compose:
    """`docker-compose` in a copy of what a clone has, with ports that nobody else has."""

    def __init__(self, docker: Engine, folder: Path) -> None:
        program = shutil.which("docker-compose")
        if program is None:
            pytest.skip("docker-compose is not installed: apt-get install docker-compose")
        self.docker = docker
        self.folder = folder
        self.ports = dict(zip(("HTTP", "GRPC", "PROMETHEUS", "GRAFANA"), free_ports(4), strict=True))
        self._program = program
        self._environ = {f"{name}_PORT": str(port) for name, port in self.ports.items()}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What a command prints."""
        done = self.docker.run([self._program, *arguments], cwd=self.folder, env=self._environ)
        assert (done.returncode == 0) is (code == 0), done.stdout + done.stderr
        return done.stdout + done.stderr

    def get(self, path: str, name: str = "HTTP", key: str = "") -> httpx.Response:
        """Asks a service from outside."""
        headers = {"x-api-key": key} if key else {}
        return httpx.get(
            f"http://127.0.0.1:{self.ports[name]}{path}", headers=headers, trust_env=False, timeout=10
        )

    def container(self, service: str = "ccproxy") -> str:
        """The container of a service."""
        return self("ps", "--quiet", service).strip()


@pytest.fixture
def compose(docker: Engine, tmp_path: Path) -> Iterator[Compose]:
    """A clone's files, as far as Compose needs them."""
    shutil.copy(FILE, tmp_path)
    shutil.copytree(FOLDER, tmp_path / "deploy" / "compose")
    shutil.copytree(CHART_FILES, tmp_path / "deploy" / "helm" / "ccproxy" / "files")
    tmp_path.chmod(0o755)
    compose = Compose(docker, tmp_path)
    yield compose
    compose("--file=compose.yaml", f"--file={OVERLAY.relative_to(PROJECT)}", "down", "--volumes", "--timeout=5")


def until(holds: Any, seconds: float = 60.0) -> None:
    """Waits until something holds; while nobody answers it does not."""
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, f"it did not hold within {seconds:g} s"
        Event().wait(0.2)


# Without an engine.


@pytest.mark.parametrize("file", [FILE, OVERLAY, SPECIFIED / "compose.yaml"], ids=lambda file: str(file.name))
def test_compose_knows_every_key(file: Path):
    """Compose ignores what is misspelt in some versions, and refuses the file in others."""
    program = require("check-jsonschema")
    done = run([program, "--builtin-schema", "vendor.compose-spec", str(file)])
    assert done.returncode == 0, done.stdout


def test_the_files_are_tidy():
    """As the chart's."""
    for file in [FILE, *FOLDER.rglob("*.yaml")]:
        found = [str(each) for each in linter.run(file.read_text(), TIDY)]
        assert not found, f"{file.name}: {found}"


def test_the_container_gets_longer_to_end_than_its_calls():
    """Else Docker kills it while it still gives answers."""
    service = document(FILE)["services"]["ccproxy"]
    grace, calls = service["stop_grace_period"], service["environment"]["CCPROXY_SHUTDOWN_TIMEOUT"]
    assert int(grace.removesuffix("s")) >= int(calls.removesuffix("s")) + 15


def test_no_container_has_more_rights_than_it_needs():
    """Each of them listens to somebody."""
    services = {**document(FILE)["services"], **document(OVERLAY)["services"]}
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert services["ccproxy"]["read_only"] is True


def test_the_overlay_gives_each_place_its_file():
    """A file that is mounted and not read, or read and not mounted, shows nothing for ever."""
    services = document(OVERLAY)["services"]
    mounted = {}
    for service in services.values():
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            mounted[target] = source
            assert not source.startswith("./") or (PROJECT / source).is_file()
    prometheus = document(FOLDER / "prometheus.yaml")
    [dashboards] = document(FOLDER / "grafana" / "dashboards.yaml")["providers"]
    [source] = document(FOLDER / "grafana" / "datasource.yaml")["datasources"]
    [scrape] = prometheus["scrape_configs"]

    assert mounted[prometheus["rule_files"][0]] == "./deploy/helm/ccproxy/files/rules.yaml"
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/monitor_key"
    assert scrape["static_configs"][0]["targets"] == ["ccproxy:3456"]
    assert mounted[f"{dashboards['options']['path']}/dashboard.json"].endswith("files/dashboard.json")
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_takes_its_configuration(tmp_path: Path):
    """With the rules where it looks for them."""
    text = (
        (FOLDER / "prometheus.yaml")
        .read_text()
        .replace("/etc/prometheus/rules.yaml", str(CHART_FILES / "rules.yaml"))
    )
    file = tmp_path / "prometheus.yaml"
    key = tmp_path / "key"
    key.write_text("x")
    file.write_text(text.replace("/run/secrets/monitor_key", str(key)))
    done = run([require("promtool"), "check", "config", str(file)])
    assert done.returncode == 0, done.stdout + done.stderr


def test_keys_are_made_once_and_belong_to_the_operator(tmp_path: Path):
    """A second `make up` must not lock every caller out, and no other user may look."""
    (tmp_path / "deploy" / "compose").mkdir(parents=True)
    script = shutil.copy(FOLDER / "keys.sh", tmp_path / "deploy" / "compose")
    first = run([script])
    keys = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    (tmp_path / "secrets" / "monitor_key").unlink()
    second = run([script])

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert keys.keys() == {"api_key", "monitor_key", "grafana_password"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys.values())
    assert len(set(keys.values())) == 3
    assert second.stdout == "made secrets/monitor_key\n"
    assert (tmp_path / "secrets" / "api_key").read_text() == keys["api_key"]
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "secrets" / "api_key").stat().st_mode & 0o777 == 0o644  # the container's user reads it
    assert not any(key in first.stdout for key in keys.values())


# With one.


@engine
def test_one_command_and_it_serves_until_the_next(compose: Compose):
    """Up, healthy, a call with the key that was made, a reload, down."""
    made = run([str(compose.folder / "deploy" / "compose" / "keys.sh")])
    assert made.returncode == 0, made.stderr
    key = (compose.folder / "secrets" / "api_key").read_text()
    monitor = (compose.folder / "secrets" / "monitor_key").read_text()
    begun = time.monotonic()
    compose("up", "--detach")
    compose.docker.until_healthy(compose.container())
    print(f"compose: healthy after {time.monotonic() - begun:.0f} s")  # noqa: T201  # a figure

    url = f"http://127.0.0.1:{compose.ports['HTTP']}/v1/messages"
    answers = [
        httpx.post(url, json=BODY, headers={"x-api-key": each}, trust_env=False).status_code
        for each in (key, monitor, "sk-wrong")
    ]
    metrics = compose.get("/metrics", key=monitor)
    reloaded = compose("exec", "-T", "ccproxy", "ccproxy", "reload")
    inspected = msgspec.json.encode(compose.docker.inspect(compose.container())).decode()
    begun = time.monotonic()
    compose("down")
    took = time.monotonic() - begun

    assert answers == [200, 403, 401]
    assert "ccproxy_build_info" in metrics.text
    assert "has loaded its configuration again" in reloaded
    assert key not in inspected
    assert took < 15
    with pytest.raises(httpx.ConnectError):
        compose.get("/")


@engine
def test_a_file_in_the_mounted_folder_is_followed(compose: Compose):
    """A provider is added without a restart: editors replace a file, which a mounted file would not show."""
    run([str(compose.folder / "deploy" / "compose" / "keys.sh")])
    key = (compose.folder / "secrets" / "api_key").read_text()
    compose("up", "--detach")
    compose.docker.until_healthy(compose.container())
    file = compose.folder / "deploy" / "compose" / "ccproxy" / "config.json"
    new = file.with_name("new")
    new.write_bytes(
        msgspec.json.encode({**msgspec.json.decode(file.read_bytes()), "long_context_threshold": 70_000})
    )
    new.replace(file)

    until(lambda: compose.get("/status", key=key).json()["configuration"]["reloads"] == 1)


@engine
def test_a_provider_is_added_as_the_guide_says(compose: Compose):
    """Its key in a file, no demo any more."""
    [block] = re.findall(r"(?s)```yaml\n(# compose.override.yaml\n.*?)```", GUIDE.read_text())
    (compose.folder / "compose.override.yaml").write_text(block)
    run([str(compose.folder / "deploy" / "compose" / "keys.sh")])
    (compose.folder / "secrets" / "anthropic_api_key").write_text("sk-ant-x")
    key = (compose.folder / "secrets" / "api_key").read_text()
    compose("up", "--detach")
    until(lambda: compose.get("/").is_success)
    status = compose.get("/status", key=key).json()

    assert status["providers"] == {"count": 1, "active": ["anthropic"]}
    assert status.get("demo") is not True


@engine
def test_without_keys_it_does_not_start(compose: Compose):
    """The file that is missing is named; a folder in its place would be a puzzle."""
    said = compose("up", "--detach", code=1)

    assert "bind source path does not exist" in said
    assert "secrets/api_key" in said or "secrets/monitor_key" in said


@engine
def test_prometheus_scrapes_with_the_monitor_key(compose: Compose):
    """The overlay, but for Grafana, with Debian's Prometheus under the name that the overlay asks for."""
    program = require("prometheus")
    overlay = document(OVERLAY)["services"]["prometheus"]
    docker = compose.docker
    docker.docker("create", "--name=stand-in", base_name(), "prometheus")
    docker.docker("cp", program, "stand-in:/bin/prometheus")
    docker.docker("commit", '--change=ENTRYPOINT ["/bin/prometheus"]', "stand-in", overlay["image"])
    docker.docker("rm", "stand-in")
    run([str(compose.folder / "deploy" / "compose" / "keys.sh")])
    files = ["--file=compose.yaml", "--file=deploy/compose/observability.yaml"]
    compose(*files, "up", "--detach", "prometheus")

    def health() -> list[str]:
        targets = compose.get("/api/v1/targets", "PROMETHEUS").json()["data"]["activeTargets"]
        return [target["lastError"] or target["health"] for target in targets]

    until(lambda: health() not in ([], ["unknown"]))
    rules = compose.get("/api/v1/rules", "PROMETHEUS").json()["data"]["groups"]

    assert health() == ["up"]
    assert {rule["name"] for rule in rules[0]["rules"]} >= {"CCProxyDown", "CCProxyHighErrorRate"}


@engine
def test_the_specified_file_runs_as_it_is(docker: Engine, tmp_path: Path):
    """Whoever has it from CCProxy's ancestor changes nothing: curl, the user, the configuration's place."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 3456)) == 0:
            pytest.skip("port 3456, which the file names, is taken")
    folder = tmp_path / "specified"
    folder.mkdir()
    shutil.copy(SPECIFIED / "compose.yaml", folder)
    config = specified_configuration(folder)
    docker.docker("tag", IMAGE, "specified_ccproxy")  # what `build: .` makes
    compose = Compose(docker, folder)
    compose.ports["HTTP"] = 3456
    try:
        compose("up", "--detach", "--no-build")
        until(lambda: compose.get("/").status_code == 200)
        [check] = [docker.inspect(compose.container())["Config"]["Healthcheck"]["Test"]]
        done = docker.run(["/usr/bin/docker", "exec", compose.container(), *check[1:]])
        details = compose.get("/health", key=KEY).json()
        log = docker.logs(compose.container())
    finally:
        compose("down", "--timeout=5")

    assert (check[0], done.returncode) == ("CMD", 0), done.stderr
    assert details["config"]["providers"] == 1
    assert "providers: openai" in log
    assert read(config, {}, tmp_path).config.host == "127.0.0.1"  # the image's CCPROXY_HOST goes before it
