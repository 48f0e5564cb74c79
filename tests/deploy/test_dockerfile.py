"""The Dockerfile, its context and its lock files, as they can be judged without an engine."""

import re
from pathlib import Path

import pytest
from deploy.engine import DOCKERFILE
from e2e.tools import PROJECT, require, run

import ccproxy

RUN_LOCK = PROJECT / "deploy" / "docker" / "run.lock"
BUILD_LOCK = PROJECT / "deploy" / "docker" / "build.lock"
PINNED = re.compile(r"(?m)^([a-z0-9-]+)==(\S+)(?: ; .*)? \\$")


def pinned(file: Path) -> dict[str, str]:
    """The packages of a lock file, and their versions."""
    return dict(PINNED.findall(file.read_text()))


def test_hadolint_has_nothing_to_say():
    """What a shop's own pipeline would refuse."""
    done = run([require("hadolint"), str(DOCKERFILE)])
    assert (done.returncode, done.stdout) == (0, "")


def test_the_dockerfile_asks_for_no_new_builder():
    """Docker 20.10 builds it: no frontend from a registry, none of what came later."""
    text = DOCKERFILE.read_text()
    assert not re.search(r"(?m)^# *syntax=|<<-?['\"]?[A-Z]+|COPY .*--link|--start-interval", text)


def test_the_context_holds_only_what_is_named():
    """A key file or a virtual environment beside the sources must not reach the builder."""
    first, *others = (PROJECT / ".dockerignore").read_text().split()
    assert first == "*"
    assert {each for each in others if each.startswith("!")} <= {
        "!ccproxy",
        "!generated",
        "!deploy/docker/*.lock",
        "!pyproject.toml",
        "!README.md",
        "!LICENSE",
    }


@pytest.mark.parametrize("file", [RUN_LOCK, BUILD_LOCK], ids=lambda file: file.stem)
def test_what_is_in_the_image_is_what_is_tested(file: Path):
    """The image's lock files pin the versions, with the hashes, of the lock file that the tests run with."""
    blocks = [block.strip(" \\\n") for block in re.split(r"(?m)^(?=[a-z])", file.read_text()) if block.strip()]
    tested = (PROJECT / "requirements.lock").read_text()

    assert len(blocks) == len(pinned(file)) > 3
    for block in blocks:
        name, _, hashes = block.partition("\\\n")
        assert name.partition(" ;")[0].strip() + " " in tested
        assert set(re.findall(r"sha256:\w+", hashes)) <= set(re.findall(r"sha256:\w+", tested))
        assert "sha256:" in hashes


def test_the_lock_file_names_every_dependency():
    """One that pyproject.toml has gained would be missing in the image."""
    text = (PROJECT / "pyproject.toml").read_text().partition("\ndependencies = [")[2].partition("\n]")[0]
    assert {re.split(r"[^a-z0-9-]", line.strip(' "'))[0] for line in text.splitlines() if '"' in line} <= set(
        pinned(RUN_LOCK)
    )


def test_the_label_has_the_version_by_itself():
    """Whoever builds without a --build-arg still gets the right one."""
    assert f"\nARG VERSION={ccproxy.__version__}\n" in DOCKERFILE.read_text()
