"""How much memory the process has and may have, read from files that look like the kernel's."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ccproxy.memory import limit_bytes, resident_bytes

OWN_V2 = "0::/system.slice/ccproxy.service\n"
OWN_V1 = "12:cpuset:/\n5:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n"
NO_LIMIT_V1 = "9223372036854771712"


def limit(folder: Path, own: str, files: Mapping[str, str]) -> int | None:
    """The limit with these files in the folder of control groups."""
    for name, text in files.items():
        file = folder / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    (folder / "own").write_text(own)
    return limit_bytes(folder / "groups", folder / "own")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "1000"}, 1000),  # a container sees its own group as the root
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/\n", {}, None),
        (OWN_V2, {"system.slice/ccproxy.service/memory.max": "500", "system.slice/memory.max": "900"}, 500),
        (OWN_V2, {"system.slice/ccproxy.service/memory.max": "max", "system.slice/memory.max": "900"}, 900),
        (OWN_V1, {"memory/memory.limit_in_bytes": "700"}, 700),  # docker shows the path of the host
        (OWN_V1, {"memory/docker/abc/memory.limit_in_bytes": "600"}, 600),
        (OWN_V1, {"memory/memory.limit_in_bytes": NO_LIMIT_V1}, None),
        ("1:cpu:/\n", {"memory/memory.limit_in_bytes": "700"}, None),
    ],
)
def test_the_least_limit_on_the_way_to_the_root_counts(
    tmp_path: Path, own: str, files: Mapping[str, str], expected: int | None
):
    """The kernel ends a process that goes over any of them."""
    assert limit(tmp_path, own, files) == expected


def test_without_control_groups_there_is_no_limit(tmp_path: Path):
    """As on macOS."""
    assert limit_bytes(tmp_path, tmp_path / "none") is None


def test_memory_is_what_the_process_holds():
    """Within reason: an interpreter is neither a kilobyte nor a terabyte."""
    assert 1 << 20 < resident_bytes() < 1 << 34


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_memory_is_told_without_proc(monkeypatch: pytest.MonkeyPatch, platform: str):
    """MacOS has none; its peak comes in bytes, others' in kibibytes."""

    def absent(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr(sys, "platform", platform)

    assert resident_bytes() > 0
