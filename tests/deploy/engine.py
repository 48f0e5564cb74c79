"""A Docker engine of the tests' own, without a registry: the base image is made from Debian packages.

It is imported under the name that the Dockerfile asks for, so that file is built as it is. The engine has its own
folder, socket and networks, no bridge by default, and leaves the firewall alone. Where it cannot be started
the tests are skipped, and say why; also in CI, whose machines may not be allowed to do so.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from e2e.tools import PROJECT, TOOLS

DOCKERFILE = PROJECT / "deploy" / "docker" / "Dockerfile"
IMAGE = "ccproxy:local"  # the name in compose.yaml, which then builds nothing
COMMIT, DATE = "0123abc", "2026-01-02T03:04:05Z"
CANARY = "canary-of-the-build-secrets"
NETWORK = "ccproxy-tests"

PROGRAMS = {"dockerd": "docker.io", "/usr/bin/docker": "docker.io", "mmdebstrap": "mmdebstrap"}
"""What is needed, and its Debian package. The client must be the engine's own: others may lack a builder."""

SLIM = ("doc", "man", "locale", "info")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "proxy")
PROXIES = ("http_proxy", "https_proxy", "no_proxy")

Done = subprocess.CompletedProcess[str]


class Engine:
    """A running engine.

    Attributes:
        folder: Where it lives.
        built: How many seconds the image took.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = f"unix://{folder}/docker.sock"
        self.built = 0.0

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What its clients have in their environment."""
        path = f"/usr/bin:{os.environ.get('PATH', '')}"
        return {
            "PATH": path,
            "HOME": str(self.folder),
            "DOCKER_HOST": self.socket,
            "DOCKER_BUILDKIT": "1",
            **(more or {}),
        }

    def run(self, command: Sequence[str], *, cwd: Path = PROJECT, env: Mapping[str, str] | None = None) -> Done:
        """Runs a client to its end."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def docker(self, *arguments: str) -> str:
        """What a docker command prints; one that fails is a failure."""
        done = self.run(["/usr/bin/docker", *arguments])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of an image or a container."""
        found: dict[str, Any] = msgspec.json.decode(self.docker("inspect", name))[0]
        return found

    def logs(self, name: str) -> str:
        """What a container wrote."""
        done = self.run(["/usr/bin/docker", "logs", name])
        return done.stdout + done.stderr

    def until_healthy(self, name: str, seconds: float = 60.0) -> float:
        """Waits until a container's health check says so; the seconds that took."""
        begun = time.monotonic()
        while (state := self.inspect(name)["State"])["Health"]["Status"] != "healthy":
            assert time.monotonic() - begun < seconds, f"{state}\n{self.logs(name)}"
            assert state["Running"], self.logs(name)
            Event().wait(0.1)
        return time.monotonic() - begun

    def build(self) -> None:
        """Builds the image from the Dockerfile as it is; how packages are got here is told as build secrets."""
        settings = self.folder / "pip.conf"
        certificates = _pip().get("cert", "/etc/ssl/certs/ca-certificates.crt")
        lines = [f"{name} = {value}" for name, value in _pip().items() if name in PIP_SETTINGS]
        settings.write_text("\n".join(["[global]", f"# {CANARY}", "cert = /run/secrets/ca", *lines, ""]))
        proxies = [f"--build-arg={name}" for name in PROXIES if name in os.environ]
        begun = time.monotonic()
        self.docker(
            *("build", "--network=host", f"--file={DOCKERFILE}", f"--tag={IMAGE}", *proxies),
            *(f"--secret=id=pip,src={settings}", f"--secret=id=ca,src={certificates}"),
            *(f"--build-arg=COMMIT={COMMIT}", f"--build-arg=DATE={DATE}", str(PROJECT)),
        )
        self.built = time.monotonic() - begun


@contextmanager
def running() -> Iterator[Engine]:
    """An engine that has the base image, until the context ends. Where there can be none, the test is skipped."""
    if os.geteuid() != 0:
        skip("it needs root")
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            skip(f"{program} is not installed: apt-get install {package}")
    name = base_name()
    base = _base(name)
    folder = Path(tempfile.mkdtemp(prefix="ccproxy-engine-"))  # a socket's path must be short
    engine = Engine(folder)
    try:
        with _daemon(engine):
            engine.docker("import", str(base), name)
            engine.docker("network", "create", NETWORK)
            try:
                yield engine
            finally:
                for container in engine.docker("ps", "--all", "--quiet").split():
                    engine.docker("rm", "--force", container)
                engine.docker("network", "prune", "--force")  # else their bridges stay
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _daemon(engine: Engine) -> Iterator[None]:
    folder = engine.folder
    command = [
        "dockerd",
        "--data-root",
        f"{folder}/data",
        "--exec-root",
        f"{folder}/exec",
        "--host",
        engine.socket,
    ]
    command += ["--pidfile", f"{folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false"]
    command += ["--ip-forward=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
    try:
        for _ in range(300):
            if process.poll() is not None or engine.run(["/usr/bin/docker", "info"]).returncode == 0:
                break
            Event().wait(0.1)
        if process.poll() is not None:
            skip(f"dockerd does not run here: {(folder / 'log').read_text().splitlines()[-1]}")
        yield
    finally:
        process.terminate()
        process.wait(60)


def base_name() -> str:
    """The image that the Dockerfile begins from."""
    tag = re.search(r"(?m)^ARG PYTHON=(\S+)$", DOCKERFILE.read_text())
    assert tag is not None
    return f"python:{tag[1]}"


def _base(name: str) -> Path:
    """A root file system with Debian's Python, of the release that the image's name says; made once."""
    release = name.rpartition("-")[2]
    file = TOOLS / f"base-{release}.tar"
    if not file.exists():
        TOOLS.mkdir(exist_ok=True)
        made = file.with_name(f"{file.name}.{os.getpid()}")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"]
        command += ["--include=python3,python3-venv,ca-certificates"]
        command += [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in SLIM]
        done = subprocess.run(
            [*command, release, str(made)], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            made.unlink(missing_ok=True)
            skip(f"mmdebstrap makes no base image: {done.stderr.strip().splitlines()[-1:]}")
        made.rename(file)
    return file


def _pip() -> dict[str, str]:
    """How pip reaches packages on this machine; a variable goes before a file."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    found = re.findall(r"(?m)^(:env:|global|install|user|site)\.([a-z-]+)='(.*)'$", listed)
    return {name: value for _, name, value in sorted(found, key=lambda each: each[0] == ":env:")}


def skip(reason: str) -> None:
    """Skips, and says why also where nobody asks pytest."""
    print(f"no Docker engine: {reason}")  # noqa: T201  # a skip in CI must be seen
    pytest.skip(f"no Docker engine: {reason}")
