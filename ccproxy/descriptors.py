"""How many files and connections the process may have open."""

import resource

from ccproxy.config import ConnectionsConfig

SHARE = 0.8 / 2  # for callers: a call needs one more for its provider, and some are for everything else


def most_connections(config: ConnectionsConfig) -> int:
    """How many connections of callers an edge may have: what the operator says, or what there is room for."""
    return max(1, int(min(config.max_total, _soft() * SHARE)))


def raise_limit() -> None:
    """Takes all that the operator allows: shells and systemd begin with 1024, and allow half a million."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        return  # macOS says "unlimited" and allows less: what counted before counts


def _soft() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else soft
