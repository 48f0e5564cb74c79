"""Programs that ask grpc.health.v1 whether a service may be left alone, given calls, or must be started again."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from e2e.tools import require, run

SECONDS = 3.0  # what the chart's probes may take

SERVICES = ["", "liveness", "readiness", "startup", "ccproxy.v1.Proxy", "ccproxy.v1.Status"]
"""The names that can be asked for without a key."""


class Probed(NamedTuple):
    """Whether a prober was content, and what it said."""

    passed: bool
    said: str


Prober = Callable[[str, str, float], Probed]
"""Asks at `host:port` for a service's name; it gives up after so many seconds."""


def kubelet(addr: str, service: str, seconds: float = SECONDS) -> Probed:
    """Kubernetes' own code: a connection for each question, no TLS, no key; connecting counts for the time."""
    host, _, port = addr.rpartition(":")
    done = run([require("kubelet-probe"), host, port, service, f"{seconds:g}"])
    return Probed(done.returncode == 0, done.stdout)


def grpc_health_probe(addr: str, service: str, seconds: float = SECONDS, header: str = "") -> Probed:
    """What people put into images and scripts; it can show a key in a header."""
    times = [f"-connect-timeout={seconds:g}s", f"-rpc-timeout={seconds:g}s"]
    headers = [f"-rpc-header={header}"] if header else []
    done = run([require("grpc_health_probe"), f"-addr={addr}", f"-service={service}", *times, *headers])
    return Probed(done.returncode == 0, done.stderr)


PROBERS: Mapping[str, Prober] = {"kubelet": kubelet, "grpc_health_probe": grpc_health_probe}
