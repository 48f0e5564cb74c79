"""What is published: the wheel and the source distribution, installed into empty environments."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages, built from the project."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, PROJECT)
    return folder


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """A command's output; its failure shows what it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(package: Path, folder: Path) -> Path:
    """The Python of an environment that holds the package and what it needs, and nothing else."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    try:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package)
    except AssertionError as error:
        if "CCPROXY_REQUIRE_TOOLS" in os.environ:
            raise
        pytest.skip(f"no package index can be reached: {str(error).splitlines()[-1]}")
    return python


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_a_package_installs_and_runs_in_an_empty_environment(dist: Path, tmp_path: Path, pattern: str):
    """A file that is missing from a package is found by its first user otherwise."""
    (package,) = dist.glob(pattern)
    python = installed(package, tmp_path / "env")

    assert run(python.with_name("ccproxy"), "--version").startswith("ccproxy ")
    served = "import ccproxy.app, ccproxy_pb.v1.json_codec as c; print(len(c.ROUTES))"
    assert int(run(python, "-c", served, cwd=tmp_path)) > 0
    gateway = "from importlib import resources as r; print(r.files('ccproxy').joinpath('openapi.json').is_file())"
    assert run(python, "-c", gateway, cwd=tmp_path).strip() == "True"


def test_the_wheel_holds_the_two_packages_with_their_types_and_nothing_else(dist: Path):
    """Tests, tools and settings are not for users; `py.typed` is."""
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"ccproxy", "ccproxy_pb"}
    assert {"ccproxy/py.typed", "ccproxy_pb/py.typed", "ccproxy_pb/v1/proxy_pb2.pyi"} <= set(names)
    assert not [name for name in names if name.endswith(".pth")]
