"""The image, built by a real engine from the Dockerfile as it is, and run as operators run it."""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from deploy.engine import CANARY, COMMIT, DATE, IMAGE, NETWORK, Engine
from deploy.test_dockerfile import RUN_LOCK, pinned
from e2e.service import free_ports
from e2e.tools import PROJECT

import ccproxy

MEGABYTE = 1_000_000
MOST_MEGABYTES = 220
STOP_SECONDS = 2.0
KEY = "sk-the-operators-key"
HARDENED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
DEMO = ["--env=CCPROXY_DEMO=true", f"--env=CCPROXY_API_KEY={KEY}"]
OFTEN = ["--health-interval=1s"]

GUIDE = PROJECT / "docs" / "operations" / "docker.md"
SPECIFIED = Path(__file__).with_name("specification")

engine = pytest.mark.timeout(600)  # the first of these makes the base image and builds


class Container:
    """A container, and where its HTTP is."""

    def __init__(self, docker: Engine, name: str, port: int) -> None:
        self.docker = docker
        self.name = name
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, key: str = "") -> httpx.Response:
        """Asks from outside of it."""
        return httpx.get(self.url + path, headers={"x-api-key": key} if key else {}, trust_env=False, timeout=10)

    def stop(self) -> tuple[float, int]:
        """Ends it as `docker stop` does: the seconds that took, and its exit code."""
        begun = time.monotonic()
        self.docker.docker("stop", "--time=30", self.name)
        return time.monotonic() - begun, self.docker.inspect(self.name)["State"]["ExitCode"]


@contextmanager
def started(docker: Engine, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
    """A container of the image, until the context ends."""
    [port] = free_ports(1)
    name = docker.docker(
        *("run", "--detach", f"--network={NETWORK}", f"--publish=127.0.0.1:{port}:3456"), *options, IMAGE, *command
    )
    try:
        yield Container(docker, name, port)
    finally:
        docker.docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="module")
def serving(docker: Engine) -> Iterator[Container]:
    """One that serves, with no more rights than it needs."""
    with started(docker, *HARDENED, *DEMO, *OFTEN) as container:
        docker.until_healthy(container.name)
        yield container


@engine
def test_the_image_says_what_it_is_and_how_it_runs(docker: Engine):
    """Kubernetes refuses a name as the user under runAsNonRoot, and the chart starts it by its entry point."""
    config = docker.inspect(IMAGE)["Config"]

    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["ccproxy"], ["start", "--foreground"])
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["ExposedPorts"]) == {"3456/tcp", "3457/tcp"}
    assert config["Healthcheck"]["Test"] == ["CMD", "ccproxy", "health", "--ready"]
    assert config["Labels"]["org.opencontainers.image.version"] == ccproxy.__version__
    assert config["Labels"]["org.opencontainers.image.revision"] == COMMIT
    assert config["Labels"]["org.opencontainers.image.created"] == DATE


@engine
def test_the_image_is_small(docker: Engine):
    """It is pulled by each node, when something has just gone wrong."""
    size = docker.inspect(IMAGE)["Size"] / MEGABYTE
    print(f"the image has {size:.0f} MB, and took {docker.built:.0f} s to build")  # noqa: T201  # a figure
    assert size <= MOST_MEGABYTES


@engine
def test_there_is_nothing_in_it_but_what_serves(docker: Engine):
    """Tools for development are a way in, and weigh more than the product."""
    script = "import importlib.metadata as m; print(*sorted(f'{d.name}=={d.version}' for d in m.distributions()))"
    listed = docker.docker(
        "run", "--rm", "--network=none", "--entrypoint=/opt/ccproxy/bin/python3", IMAGE, "-c", script
    )
    found = {
        name.lower().replace("_", "-"): version for name, version in (each.split("==") for each in listed.split())
    }

    assert found.pop("ccproxy-gateway") == ccproxy.__version__
    assert found.items() <= pinned(RUN_LOCK).items()
    assert found.keys() >= {"aiohttp", "grpcio", "msgspec", "uvloop"}
    assert not docker.run(
        [
            "/usr/bin/docker",
            "run",
            "--rm",
            "--network=none",
            "--entrypoint=sh",
            IMAGE,
            "-c",
            "command -v gcc git make",
        ]
    ).stdout


@engine
def test_no_secret_of_the_build_stays(docker: Engine):
    """An index's password in a layer is everybody's who pulls it."""
    saved = docker.folder / "image.tar"
    docker.docker("save", "--output", str(saved), IMAGE)
    found = subprocess.run(["grep", "--text", "--count", CANARY, str(saved)], capture_output=True, check=False)
    history = docker.docker("history", "--no-trunc", IMAGE)
    saved.unlink()

    assert found.stdout.strip() == b"0"
    assert CANARY not in history
    assert "cert" not in re.sub(r"ca-certificates", "", history)


@engine
def test_it_serves_with_no_rights_at_all(serving: Container):
    """No root, no capability, nothing to write to: what a cluster with rules lets in."""
    inside = serving.docker.docker(
        *("exec", serving.name, "sh", "-c"), "id -u; id -g; id -un; touch /x ~/x 2>&1; grep CapEff /proc/1/status"
    )

    assert inside.splitlines()[:3] == ["10001", "10001", "ccproxy"]
    assert inside.count("Read-only file system") == 2
    assert re.search(r"CapEff:\s+0+$", inside)
    assert serving.get("/").json()["version"] == ccproxy.__version__


@engine
def test_it_is_healthy_soon_and_says_so_without_a_key(docker: Engine):
    """The check runs every ten seconds in each container, and must not need what it could leak."""
    with started(docker, *HARDENED, *DEMO, "--health-interval=200ms") as container:
        seconds = docker.until_healthy(container.name)
        begun = time.monotonic()
        docker.docker(
            "exec", "--env=CCPROXY_API_KEY=", container.name, "ccproxy", "health", "--addr", "127.0.0.1:3456"
        )
        check = time.monotonic() - begun
        said = docker.docker("exec", container.name, "ccproxy", "health", "--ready")
    print(f"healthy after {seconds:.1f} s; a check takes {check:.2f} s")  # noqa: T201  # a figure

    assert said == "ready"
    assert seconds < 30


@engine
def test_it_knows_what_it_was_built_from(serving: Container):
    """`/status` answers "which one runs there?"."""
    build = serving.get("/status", KEY).json()["build"]
    assert (build["commit"], build["date"]) == (COMMIT, DATE)
    assert serving.get("/status").status_code == 401


@engine
def test_its_log_has_no_complaint(serving: Container):
    """What every start complains of, nobody reads."""
    lines = [msgspec.json.decode(line) for line in serving.docker.logs(serving.name).splitlines()]
    assert [line["msg"][:27] for line in lines if line["level"] != "info"] == ["No provider is configured: "]


@engine
def test_without_a_key_it_says_what_to_do(docker: Engine):
    """`docker run ccproxy` is the first thing that anybody tries."""
    done = docker.run(["/usr/bin/docker", "run", "--rm", "--network=none", IMAGE])

    assert done.returncode == 78
    assert "a key is needed: set apikey or CCPROXY_API_KEY" in done.stderr


@engine
def test_another_user_can_run_it(docker: Engine):
    """OpenShift gives each namespace a user of its own, with the group 0."""
    with started(docker, *HARDENED, *DEMO, *OFTEN, "--user=1000650000:0") as container:
        docker.until_healthy(container.name)


@engine
def test_an_idle_one_stops_at_once(docker: Engine):
    """Ten seconds for each container make a rollout a coffee break."""
    with started(docker, *HARDENED, *DEMO, *OFTEN) as container:
        docker.until_healthy(container.name)
        seconds, code = container.stop()
    print(f"stopped after {seconds:.1f} s")  # noqa: T201  # a figure

    assert code == 0
    assert seconds < STOP_SECONDS


@engine
def test_a_stop_waits_for_no_name(docker: Engine):
    """A provider's name is looked up at the start. In here no resolver answers, and a lookup lasts ten seconds."""
    with started(docker, f"--env=CCPROXY_API_KEY={KEY}", "--env=OPENAI_API_KEY=sk-x", *OFTEN) as container:
        docker.until_healthy(container.name)
        _, code = container.stop()  # the engine's own resolver takes its time
        lines = [msgspec.json.decode(line) for line in docker.logs(container.name).splitlines()]
        [asked] = [line["ts"] for line in lines if line["msg"].startswith("shutting down")]
        ended = docker.inspect(container.name)["State"]["FinishedAt"]

    assert code == 0
    assert (moment(ended) - moment(asked)).total_seconds() < 1


def moment(text: str) -> datetime:
    """A time as Docker and the log write it, in nanoseconds or less."""
    return datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*Z", r"\1Z", text))


@engine
def test_one_that_still_starts_stops_too(docker: Engine):
    """Nothing ends process 1 by default: a stop in the first second would last until it is killed."""
    with started(docker, *DEMO) as container:
        Event().wait(0.3)
        seconds, code = container.stop()

    assert code == 0
    assert seconds < 5


@engine
def test_a_stream_ends_whole_before_the_container_does(docker: Engine):
    """A rollout must not cut anybody's answer."""
    body = {"model": "claude-x", "max_tokens": 5000, "stream": True}
    body["messages"] = [{"role": "user", "content": "[[tokens 30]] [[pace 100]]"}]
    events: list[str] = []
    begun = Event()

    def read(url: str) -> None:
        with httpx.stream(
            "POST", f"{url}/v1/messages", json=body, headers={"x-api-key": KEY}, timeout=30, trust_env=False
        ) as answer:
            for line in answer.iter_lines():
                events.extend(re.findall(r"^event: (\w+)", line))
                begun.set()

    with started(docker, *HARDENED, *DEMO, *OFTEN) as container, ThreadPoolExecutor() as pool:
        docker.until_healthy(container.name)
        reading = pool.submit(read, container.url)
        assert begun.wait(20)
        before = len(events)
        seconds, code = container.stop()
        reading.result(30)

    assert code == 0
    assert events.count("content_block_delta") >= 30
    assert len(events) - before > 10  # most of it came after the stop
    assert events[-1] == "message_stop"
    assert 1 < seconds < 20


@engine
def test_the_guides_commands_run(docker: Engine, tmp_path: Path):
    """They are copied as they stand; a flag that a shell or Docker reads otherwise is found by a newcomer."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    for name in ("api_key", "anthropic_api_key"):
        (secrets / name).write_text(f"sk-{name}\n")
    commands = re.findall(r"(?s)```sh\n(docker run .*?)\n```", GUIDE.read_text())
    assert len(commands) == 2

    for number, command in enumerate(commands):
        name = f"guide-{number}"
        [port] = free_ports(1)
        detached = (
            command.replace("--rm", "--detach").replace("--name ccproxy ", "").replace("=sk-mine", "=sk-api_key")
        )
        script = detached.replace(
            "docker run", f"docker run --name {name} --network {NETWORK} --health-interval 1s"
        )
        script = script.replace("127.0.0.1:3456:3456", f"127.0.0.1:{port}:3456")
        done = docker.run(
            ["bash", "-c", script], cwd=tmp_path, env={"ANTHROPIC_API_KEY": "sk-ant", "PWD": str(tmp_path)}
        )
        assert done.returncode == 0, done.stderr
        docker.until_healthy(name)
        status = Container(docker, name, port).get("/status", "sk-api_key").json()
        docker.docker("rm", "--force", name)
        assert status["providers"] == {"count": 1, "active": ["anthropic"]}


@engine
def test_the_specified_pods_run(docker: Engine, tmp_path: Path):
    """The Deployment that CCProxy is specified with: its mount, its port, its probes, nothing else said."""
    [deployment] = yaml.safe_load_all((SPECIFIED / "deployment.yaml").read_text())
    [pod] = deployment["spec"]["template"]["spec"]["containers"]
    [mount] = pod["volumeMounts"]
    config = specified_configuration(tmp_path)

    with started(
        docker, f"--volume={config}:{mount['mountPath']}:ro", "--env=KUBERNETES_SERVICE_HOST=10.96.0.1"
    ) as container:
        until_answers(container)
        probes = {name: pod[f"{name}Probe"]["httpGet"] for name in ("liveness", "readiness")}
        answers = {name: container.get(probe["path"]) for name, probe in probes.items()}
        log = docker.logs(container.name)

    assert (
        {probe["port"] for probe in probes.values()} == {port["containerPort"] for port in pod["ports"]} == {3456}
    )
    assert {name: answer.status_code for name, answer in answers.items()} == {"liveness": 200, "readiness": 200}
    assert answers["readiness"].json() == {"status": "healthy"}
    assert "providers: openai" in log


def specified_configuration(folder: Path) -> Path:
    """A configuration as its ancestor's users have: with a host that nobody outside of a container could reach."""
    config: dict[str, Any] = {"host": "127.0.0.1", "port": 3456, "apikey": KEY}
    config["providers"] = [{"name": "openai", "api_key": "sk-at-the-provider"}]
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    file.chmod(0o644)
    folder.chmod(0o755)
    return file


def until_answers(container: Container, seconds: float = 30.0) -> None:
    """Waits until somebody answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            container.get("/")
        except httpx.TransportError:
            Event().wait(0.1)
        else:
            return
    raise AssertionError(container.docker.logs(container.name))
