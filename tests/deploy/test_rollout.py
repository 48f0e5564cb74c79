"""A rolling restart of two services under load, through every balancer of `examples/balancers`: nothing is lost.

All ways are loaded during the same restart, which takes half a minute. A failure names what was lost and how.
"""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from deploy.balancers import TCP, Nginx, Ports, haproxy, nginx
from deploy.load import KEY, WHOLE_ANSWER, WHOLE_STREAM, Load, OverGrpc, OverHttp, Way
from e2e.service import Service, free_ports, running

DRAIN_SECONDS = 4.0  # more than the balancers need to notice
SETTLE_SECONDS = 2.0  # after a restart: until the balancers have noticed
RELOAD_SECONDS = 1.0
WARM_SECONDS = 2.0
STREAM_SECONDS = 3.0  # the longest stream
START_SECONDS = 8.0  # on a busy machine

SETTINGS: dict[str, Any] = {
    "apikey": KEY,
    "trust_localhost": False,
    "demo": True,
    "drain_delay": DRAIN_SECONDS,
    "shutdown_timeout": 30,
    "log_level": "warning",
}

RETRY = {
    "methodConfig": [
        {
            "name": [{"service": "ccproxy.v1.Proxy"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                # A server that closes cancels what has reached it and not yet been looked at.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}
ROUND_ROBIN = {"loadBalancingConfig": [{"round_robin": {}}]}
HEALTH_CHECKED = {**ROUND_ROBIN, "healthCheckConfig": {"serviceName": "readiness"}}


class Rollout(NamedTuple):
    """What was seen.

    Attributes:
        loads: By the name of the way.
        restarts: How long each took, from the signal to serving again, in seconds.
        codes: How the processes ended.
    """

    loads: dict[str, Load]
    restarts: list[float]
    codes: list[int]


def ways(folder: Path, stack: ExitStack, servers: list[Ports]) -> tuple[Nginx, dict[str, Way]]:
    """Every way to the servers, and the nginx that is told which of them gets no more gRPC calls."""
    through_nginx = stack.enter_context(nginx(made(folder, "nginx"), servers))
    told = stack.enter_context(
        nginx(made(folder, "told"), servers)
    )  # a reload may close callers' kept connections
    through_haproxy = stack.enter_context(haproxy(made(folder, "haproxy"), servers))
    through_tcp = stack.enter_context(haproxy(made(folder, "tcp"), servers, TCP))
    direct = [server.grpc for server in servers]
    return told, {
        "HTTP, nginx": OverHttp(through_nginx.ports.http),
        "HTTP, HAProxy": OverHttp(through_haproxy.http),
        "HTTP, connections balanced": OverHttp(through_tcp.http),
        "gRPC, nginx": OverGrpc([told.ports.grpc]),
        "gRPC, HAProxy": OverGrpc([through_haproxy.grpc]),
        "gRPC, connections balanced": OverGrpc([through_tcp.grpc], RETRY),
        "gRPC, round_robin": OverGrpc(direct, {**ROUND_ROBIN, **RETRY}),
        "gRPC, round_robin with health checks": OverGrpc(direct, HEALTH_CHECKED),
    }


async def restarted(folder: Path, stack: ExitStack, services: list[Service], servers: list[Ports]) -> Rollout:
    """Restarts one after the other under the load of all ways."""
    told, all_ways = ways(folder, stack, servers)
    loads = {name: Load(way) for name, way in all_ways.items()}
    tasks = [asyncio.ensure_future(load.run()) for load in loads.values()]
    restarts, codes = [], []
    await asyncio.sleep(WARM_SECONDS)
    for number, service in enumerate(services):
        told.reload(down=servers[number])
        await asyncio.sleep(RELOAD_SECONDS)
        began = time.monotonic()
        codes.append(await asyncio.to_thread(service.end))
        again = running(made(folder, f"again-{number}"), servers[number], **SETTINGS)
        await asyncio.to_thread(stack.enter_context, again)
        restarts.append(time.monotonic() - began)
        told.reload(down=None)
        await asyncio.sleep(SETTLE_SECONDS)
    for load in loads.values():
        load.stop()
    await asyncio.gather(*tasks)
    return Rollout(loads, restarts, codes)


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    """The one restart of both, with all ways under load."""
    folder = tmp_path_factory.mktemp("rollout")
    numbers = free_ports(4)
    servers = [Ports(*numbers[:2]), Ports(*numbers[2:])]
    with ExitStack() as stack:
        services = [
            stack.enter_context(running(made(folder, f"first-{number}"), ports, **SETTINGS))
            for number, ports in enumerate(servers)
        ]
        return asyncio.run(restarted(folder, stack, services, servers))


def made(folder: Path, name: str) -> Path:
    """A folder in it."""
    new = folder / name
    new.mkdir()
    return new


NAMES = [
    "HTTP, nginx",
    "HTTP, HAProxy",
    "HTTP, connections balanced",
    "gRPC, nginx",
    "gRPC, HAProxy",
    "gRPC, connections balanced",
    "gRPC, round_robin",
    "gRPC, round_robin with health checks",
]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost(rollout: Rollout, name: str):
    """Every stream ends as it should, and every call is answered, although each server was away for a while."""
    load = rollout.loads[name]
    print(  # noqa: T201  # figures, shown by `pytest -rP`
        f"{name}: {load.ends[WHOLE_STREAM]} streams, {load.ends[WHOLE_ANSWER]} calls, longest pause "
        f"{load.longest_pause:.2f} s; restarts took {', '.join(f'{each:.1f} s' for each in rollout.restarts)}"
    )

    assert set(load.ends) == {WHOLE_STREAM, WHOLE_ANSWER}
    assert load.ends[WHOLE_STREAM] > 10
    assert load.ends[WHOLE_ANSWER] > 20


def test_both_processes_end_well_and_in_time(rollout: Rollout):
    """They wait for the balancers and for what runs, and not for the whole of the grace."""
    assert rollout.codes == [0, 0]
    assert max(rollout.restarts) < DRAIN_SECONDS + STREAM_SECONDS + START_SECONDS
