"""How much memory the process has, and how much it may have.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.max) and cgroup-v1/memory.html
(memory.limit_in_bytes, which is huge where there is no limit).
"""

import os
import resource
import sys
from pathlib import Path

UNLIMITED_BYTES = 1 << 60  # version 1 says 2^63 less a page


def resident_bytes() -> int:
    """The process's resident memory: what it holds now on Linux, its peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def limit_bytes(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """What the control group of the process may have, or a group around it; None where nothing limits it.

    In a container the group's own folder is often the root that it sees, so every folder on the way counts.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            limits += _limits(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(groups / "memory", path, "memory.limit_in_bytes")
    return min((limit for limit in limits if limit < UNLIMITED_BYTES), default=None)


def _limits(root: Path, path: str, name: str) -> list[int]:
    """The limits of a group and of those around it."""
    folder = root / path.strip("/")
    around = [folder, *folder.parents]
    found = []
    for each in around[: around.index(root) + 1]:
        try:
            text = (each / name).read_text().strip()
        except OSError:
            text = ""
        if text.isdecimal():
            found.append(int(text))
    return found
