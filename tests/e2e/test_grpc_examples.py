"""The gRPC clients in examples/grpc: people copy them, so they are built and run as their first lines say."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from e2e import names
from e2e.conftest import KEY, RELAYED, TRANSLATED
from e2e.service import Service, free_ports, running
from e2e.tools import MODULES, PROJECT, TOOLS, clean_environment, missing, require, require_module, run

EXAMPLES = PROJECT / "examples" / "grpc"
LANGUAGES = ("python", "go", "typescript")

SAID = """\
whole: Demo answer to: Hello from {provider}
Demo answer to: Count with me
tools: read {{"path": "notes.txt"}}
tools: Demo: tool read returned: three lines
error: RESOURCE_EXHAUSTED RATE_LIMITED (rate_limit_error), again in 7 s
deadline: DEADLINE_EXCEEDED
health: SERVING
"""

OWN_NAME_SERVER = {"GRPC_NODE_USE_ALTERNATIVE_RESOLVER": "true"}
"""Has Node's gRPC ask the name server that the address names, as the others do by themselves."""

BUILD_SECONDS = 110.0


@dataclass(frozen=True)
class Client:
    """An example, built."""

    command: Sequence[str]
    env: Mapping[str, str]

    def environment(self, address: str, **environ: str) -> dict[str, str]:
        """What it needs to know."""
        return {**self.env, "CCPROXY_GRPC": address, **environ}

    def run(self, address: str, **environ: str) -> str:
        """What it prints; Go's names of codes are written as the others'."""
        done = run(self.command, env=self.environment(address, **environ))
        assert done.returncode == 0, done.stderr
        said = done.stdout.replace("ResourceExhausted", "RESOURCE_EXHAUSTED")
        return said.replace("DeadlineExceeded", "DEADLINE_EXCEEDED")


def built(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
    """Runs a step of a build."""
    done = run(command, cwd=folder, env=env, seconds=BUILD_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def python(folder: Path) -> Client:
    """Needs no build: the package has the generated code."""
    return Client([sys.executable, str(EXAMPLES / "python" / "client.py")], clean_environment(folder))


def go(folder: Path) -> Client:
    """`go generate` and `go build`, with the modules that are there."""
    program = require("go")
    require_module("@bufbuild/buf")
    caches = run(
        [program, "env", "GOMODCACHE", "GOCACHE"], env=os.environ, seconds=BUILD_SECONDS
    ).stdout.splitlines()
    env = clean_environment(folder) | {"GOMODCACHE": caches[0], "GOCACHE": caches[1], "GOPROXY": "off"}
    env["PATH"] = os.pathsep.join([str(MODULES / ".bin"), env["PATH"]])
    example = folder / "examples" / "grpc" / "go"
    if run([program, "mod", "download"], cwd=example, env=env, seconds=BUILD_SECONDS).returncode:
        missing("the modules of the Go example are not there: run tests/e2e/install-tools.sh")
    built([program, "generate"], example, env)
    built([program, "vet", "."], example, env)
    built([program, "build", "-o", "client", "."], example, env)
    return Client([str(example / "client")], clean_environment(folder))


def typescript(folder: Path) -> Client:
    """`npm run generate` and `npm run build`, with the packages that are there."""
    npm, node = require("npm"), require("node")
    packages = TOOLS / "grpc-typescript"
    example = folder / "examples" / "grpc" / "typescript"
    installed, wanted = packages / "installed-lock.json", example / "package-lock.json"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        missing("the packages of the TypeScript example are not there: run tests/e2e/install-tools.sh")
    (example / "node_modules").symlink_to(packages / "node_modules")
    env = clean_environment(folder)
    built([npm, "run", "generate"], example, env)
    built([npm, "run", "build"], example, env)
    return Client([node, str(example / "dist" / "client.js")], env)


@pytest.fixture(scope="module", params=LANGUAGES)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Each example, built in a copy of what it needs of the project."""
    folder = tmp_path_factory.mktemp(request.param)
    for part in ("proto", "examples/grpc"):
        generated = shutil.ignore_patterns("node_modules", "gen", "dist", "__pycache__")
        shutil.copytree(PROJECT / part, folder / part, ignore=generated)
    build = {"python": python, "go": go, "typescript": typescript}
    return build[request.param](folder)


@pytest.mark.parametrize("model", [RELAYED, TRANSLATED], ids=["relayed", "translated"])
def test_each_kind_of_call_does_what_the_example_shows(client: Client, service: Service, model: str):
    """A whole answer, a stream, tools, an error with its details, a deadline and health."""
    provider = "anthropic" if model == RELAYED else "openai"
    said = client.run(service.grpc, CCPROXY_MODEL=model).replace('{"path":"notes.txt"}', '{"path": "notes.txt"}')

    assert said == SAID.format(provider=provider)


def test_the_key_is_metadata(client: Client, locked_service: Service):
    """From the environment, as `x-api-key`."""
    assert client.run(locked_service.grpc, CCPROXY_KEY=KEY) == SAID.format(provider="anthropic")


def test_watch_sees_the_drain(client: Client, tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]):
    """The change is pushed when the drain begins, and the stream of changes ends, so that the server can."""
    seen = tmp_path / "seen"
    with (
        running(tmp_path, drain_delay=1) as service,
        seen.open("w") as output,
        subprocess.Popen([*client.command, "watch"], env=client.environment(service.grpc), stdout=output) as watch,
    ):
        eventually(lambda: seen.read_text() == "health: SERVING\n")
        service.end()
        code = watch.wait(10)

    assert (code, seen.read_text()) == (0, "health: SERVING\nhealth: NOT_SERVING\n")


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[list[Service]]:
    """Two services at two addresses with one port, as pods are. The first one drains for long."""
    if sys.platform != "linux":
        pytest.skip("only Linux has more than one loopback address by itself")
    http_port, grpc_port = free_ports(2)
    ports = (http_port, grpc_port)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with (
        running(tmp_path / "first", ports, drain_delay=60) as first,
        running(tmp_path / "second", ports, host="127.0.0.2") as second,
    ):
        yield [first, second]
        first.process.terminate()  # so that the end is a second signal, which does not wait


def test_calls_are_spread_over_the_addresses_of_a_name(
    client: Client, replicas: list[Service], eventually: Callable[[Callable[[], bool]], None]
):
    """One connection to one of them would leave the others idle, whatever the autoscaler does."""
    port = replicas[0].grpc.rpartition(":")[2]
    with names.serving(["127.0.0.1", "127.0.0.2"]) as server:
        # More than once: a short run may be over before the second connection is there.
        said = [client.run(f"dns://{server}/ccproxy-headless.test:{port}", **OWN_NAME_SERVER) for _ in range(4)]

    assert set(said) == {SAID.format(provider="anthropic")}
    for replica in replicas:
        eventually(lambda log=replica.log: '"method":"create_message"' in log.read_text())


@pytest.mark.parametrize("client", ["python", "go"], indirect=True)  # Node's gRPC asks no address for its health
def test_an_address_that_drains_gets_no_calls(
    client: Client, replicas: list[Service], eventually: Callable[[Callable[[], bool]], None]
):
    """Before its port closes, while a new connection to it would still be taken."""
    draining, other = replicas
    draining.process.terminate()
    eventually(lambda: draining.get("/health").status_code == httpx.codes.SERVICE_UNAVAILABLE)
    port = other.grpc.rpartition(":")[2]
    with names.serving(["127.0.0.1", "127.0.0.2"]) as server:
        for _ in range(2):
            client.run(f"dns://{server}/ccproxy-headless.test:{port}", **OWN_NAME_SERVER)

    assert draining.counts() == (0, 0)
