"""Probes of a service that asks everybody for a key, by the kubelet's own code and by grpc_health_probe."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.conftest import KEY
from e2e.probers import PROBERS, SERVICES, Prober, grpc_health_probe
from e2e.service import HOST, Service, free_ports, running

LOCKED: dict[str, Any] = {"apikey": KEY, "trust_localhost": False}
"""As in a pod: a sidecar's calls come from this host, too."""

OUTAGE_SECONDS = float(os.environ.get("CCPROXY_OUTAGE_SECONDS", "5"))
REQUEST_SECONDS = 1.0


@pytest.fixture(params=PROBERS.values(), ids=PROBERS)
def probe(request: pytest.FixtureRequest) -> Prober:
    """One of the probers."""
    prober: Prober = request.param
    return prober


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that trusts nobody."""
    with running(tmp_path_factory.mktemp("pod"), **LOCKED) as service:
        yield service


def ask(service: Service, model: str = "claude-x") -> httpx.Response:
    """A caller's request."""
    return httpx.post(
        f"{service.url}/v1/messages",
        json={"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]},
        headers={"x-api-key": KEY},
        trust_env=False,
        timeout=20,
    )


def states(service: Service, probe: Prober) -> dict[str, bool]:
    """Which names pass."""
    return {name: probe(service.grpc, name, 3).passed for name in SERVICES}


@pytest.mark.parametrize("name", SERVICES)
def test_probes_need_no_key(pod: Service, probe: Prober, name: str):
    """The kubelet has none, and a probe that fails on a healthy pod has it restarted for ever."""
    assert ask(pod).status_code == httpx.codes.OK
    assert httpx.post(f"{pod.url}/v1/messages", trust_env=False).status_code == httpx.codes.UNAUTHORIZED

    assert probe(pod.grpc, name, 3).passed


def test_a_probe_of_an_unknown_name_fails(pod: Service, probe: Prober):
    """A misspelt name in a manifest must not look healthy, and what is said must not send anybody after a key."""
    passed, said = probe(pod.grpc, "readyness", 3)

    assert not passed
    assert "code = NotFound" in said


def test_a_probe_of_nobody_says_so(probe: Prober):
    """So that an operator can tell "not there" from "not ready"."""
    (port,) = free_ports(1)
    passed, said = probe(f"{HOST}:{port}", "", 0.5)

    assert not passed
    assert "failed to connect" in said


def test_a_pods_own_address_answers(tmp_path: Path, probe: Prober):
    """The kubelet asks that one. This host's second loopback address stands for it."""
    with running(tmp_path, host="0.0.0.0", demo=True, **LOCKED) as service:
        (_, port) = service.grpc.split(":")
        passed = {name: probe(f"127.0.0.2:{port}", name, 3).passed for name in ("liveness", "readiness")}

    assert passed == {"liveness": True, "readiness": True}


def test_a_providers_name_is_for_those_with_a_key(pod: Service, probe: Prober):
    """It says which providers there are, as /status does; a pod's probes must not depend on one anyway."""
    assert ask(pod).status_code == httpx.codes.OK  # before its first answer nobody knows how it is
    shown = grpc_health_probe(pod.grpc, "provider/anthropic", header=f"x-api-key: {KEY}")
    without = probe(pod.grpc, "provider/anthropic", 3)

    assert shown.passed
    assert not without.passed
    assert "code = NotFound" in without.said


def test_a_draining_service_is_alive_and_not_ready(tmp_path: Path, probe: Prober):
    """Traffic must go elsewhere within a second, and nobody may kill the process that still answers.

    A second signal ends the wait, for whoever knows better.
    """
    with running(tmp_path, drain_delay=60, **LOCKED) as service:
        assert set(states(service, probe).values()) == {True}
        service.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        while probe(service.grpc, "readiness", 1).passed:
            assert time.monotonic() - asked < 5
        seconds = time.monotonic() - asked
        _, said = probe(service.grpc, "readiness", 1)
        after = states(service, probe)
        answer = ask(service)

        assert seconds < 1
        assert "NOT_SERVING" in said
        assert after == {
            "": False,
            "liveness": True,
            "readiness": False,
            "startup": True,
            "ccproxy.v1.Proxy": False,
            "ccproxy.v1.Status": True,
        }
        assert answer.status_code == httpx.codes.OK
        assert service.end() == 0


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a provider that takes connections and never answers."""
    with socket.create_server((HOST, 0), backlog=100) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a provider to which packets vanish: nobody accepts there, and no further connection may wait."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_where_no_provider_can_be_reached_the_service_is_alive_and_ready(
    tmp_path: Path, silent: int, black_hole: int, eventually: Callable[[Callable[[], bool]], None]
):
    """All pods would leave a Service at once, or be restarted for ever, for an outage that no restart ends.

    Clients that check `ccproxy.v1.Proxy` by themselves are told, so that they can go elsewhere; and callers get an
    answer in a time that can be told.
    """
    [closed] = free_ports(1)
    ports = {"closed": closed, "silent": silent, "vanishing": black_hole}
    providers = [
        {"name": name, "type": "openai", "api_base_url": f"http://{HOST}:{port}/v1", "api_key": "sk-x"}
        for name, port in ports.items()
    ]
    settings = {"performance": {"request_timeout": REQUEST_SECONDS}, "retry": {"open_after": 1}}
    failed: list[tuple[str, bool, str]] = []
    with running(tmp_path, providers=providers, **settings, **LOCKED) as service:
        first = [ask(service, f"{name},m") for name in ports]
        eventually(lambda: service.get("/health").json()["status"] == "unhealthy")
        end = time.monotonic() + OUTAGE_SECONDS
        later: set[int] = set()
        while time.monotonic() < end:
            later |= {ask(service, f"{name},m").status_code for name in ports}
            for prober, probe in PROBERS.items():
                failed += [(prober, *probe(service.grpc, name, 1)) for name in ("liveness", "readiness")]
        failed = [each for each in failed if not each[1]]
        words = {prober: states(service, probe) for prober, probe in PROBERS.items()}

    assert [answer.status_code for answer in first] == [502, 504, 504]
    assert max(answer.elapsed.total_seconds() for answer in first) < REQUEST_SECONDS + 2
    assert later <= {502, 503, 504}
    assert failed == []
    assert {name for each in words.values() for name, passed in each.items() if not passed} == {"ccproxy.v1.Proxy"}
