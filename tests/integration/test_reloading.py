"""Another configuration while the process serves, by SIGHUP or because a file changed: only new calls notice.

What is wrong changes nothing, and is told in the log, in `/status` and in the metrics.
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from integration.process import Process, process
from integration.secure import asked
from integration.test_lifecycle import Clients, GrpcStream, HttpStream

from ccproxy.demo import Demo

FEW, RELOADS = 8, 200
SETTLE_SECONDS = 1.0
SLACK = 4  # connections that are kept open for the next call
SLOW = "[[tokens 40]] [[pace 50]]"  # two seconds
BROKEN = "nobody"  # no provider that is there
WITHIN_SECONDS = 10.0

Metrics = Mapping[str, float]


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """Both providers, outside the service."""
    async with Demo.serve() as demo:
        yield demo


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory."""
    return tmp_path / "home"


def routed_to(provider: str, demo: Demo, **more: Any) -> dict[str, Any]:
    """A configuration whose calls go to one of the two."""
    providers = [
        {"name": "anthropic", "api_base_url": demo.anthropic_url, "api_key": "a"},
        {"name": "openai", "api_base_url": demo.openai_url, "api_key": "o"},
    ]
    routes = {"default": {"provider": provider, "model": "demo-model"}}
    return {"providers": providers, "routes": routes, "log": False, **more}


@asynccontextmanager
async def serving(
    home: Path, config: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Process, Clients]]:
    """A ready process and a client of each edge."""
    with process(home, config, environ) as service:
        await asyncio.to_thread(service.until_ready)
        clients = Clients(service)
        try:
            yield service, clients
        finally:
            await clients.close()


async def provider_of(http: httpx.AsyncClient) -> str:
    """Who answers a call."""
    response = await http.post("/v1/messages", json=asked())
    assert response.status_code == 200, response.text
    return response.headers["x-ccproxy-provider"]


async def configuration(http: httpx.AsyncClient) -> dict[str, Any]:
    """What `/status` says about it."""
    found: dict[str, Any] = (await http.get("/status")).json()["configuration"]
    return found


async def metrics(http: httpx.AsyncClient) -> Metrics:
    """Every series that reloads have."""
    text = (await http.get("/metrics")).text
    found = re.findall(r"^(ccproxy_config\S+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = WITHIN_SECONDS) -> None:
    """Waits until something holds, and fails where it never does."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110  # another process does not tell
            await asyncio.sleep(0.01)


async def attempted(service: Process, http: httpx.AsyncClient, text: str) -> dict[str, Any]:
    """Writes a configuration, sends SIGHUP and waits for the result."""
    before = await configuration(http)
    service.file.write_text(text)
    service.popen.send_signal(signal.SIGHUP)
    after = before

    async def ended() -> bool:
        nonlocal after
        after = await configuration(http)
        return (after["reloads"], after["failures"]) != (before["reloads"], before["failures"])

    await until(ended)
    return after


async def test_new_calls_follow_the_new_routes_and_running_streams_end_as_they_began(home: Path, demo: Demo):
    """On both edges. A long answer is paid for already."""
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        over_http, over_grpc = HttpStream(clients.http, SLOW), GrpcStream(clients.proxy, SLOW)
        await asyncio.gather(over_http.begun.wait(), over_grpc.begun.wait())
        before = await provider_of(clients.http)
        await attempted(service, clients.http, service.text(routed_to("openai", demo)))
        still_running = not over_http.task.done() and not over_grpc.task.done()
        after = await provider_of(clients.http)
        events = await over_http.events()
        failure = await over_grpc.task

    assert still_running
    assert (before, after) == ("anthropic", "openai")
    assert (events[-1], "error" in events) == ("message_stop", False)
    assert (failure, over_grpc.kinds[-1]) == (None, "message_stop")


async def test_a_success_is_told(home: Path, demo: Demo):
    """How often, and when: an operator looks whether the rollout has come."""
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        before = await metrics(clients.http)
        state = await attempted(service, clients.http, service.text(routed_to("openai", demo)))
        after = await metrics(clients.http)
        await asyncio.to_thread(service.until_said, "the configuration was loaded again")

    assert {**state, "loaded_at": ""} == {"loaded_at": "", "reloads": 1, "failures": 0}
    assert after['ccproxy_config_reloads_total{result="success"}'] == 1
    assert after['ccproxy_config_reloads_total{result="failure"}'] == 0
    stamp = "ccproxy_config_last_success_timestamp_seconds"
    assert before[stamp] < after[stamp] <= time.time()


async def test_a_mistake_is_told_and_changes_nothing(home: Path, demo: Demo):
    """The file of tonight must not be found broken tomorrow, nor take the service down."""
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        before = await metrics(clients.http)
        state = await attempted(service, clients.http, service.text(routed_to(BROKEN, demo)))
        after = await metrics(clients.http)
        provider = await provider_of(clients.http)
        mended = await attempted(service, clients.http, service.text(routed_to("openai", demo)))
        problem = "$.routes.default.provider: no provider is named nobody"
        await asyncio.to_thread(service.until_said, problem)

    assert provider == "anthropic"
    assert (state["reloads"], state["failures"], state["error"]) == (0, 1, problem)
    assert state["failed_at"]
    assert after['ccproxy_config_reloads_total{result="failure"}'] == 1
    stamp = "ccproxy_config_last_success_timestamp_seconds"
    assert before[stamp] == after[stamp]
    assert {**mended, "loaded_at": ""} == {"loaded_at": "", "reloads": 1, "failures": 1}


async def test_a_mounted_config_map_is_followed(home: Path, demo: Demo):
    """Kubernetes swaps a link two levels up; the file's own link never changes."""
    for version in ("one", "two"):
        (home / version).mkdir(parents=True)
    (home / "..data").symlink_to("one")
    (home / "ccproxy.json").symlink_to("..data/ccproxy.json")
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        before = await provider_of(clients.http)
        (home / "two" / "ccproxy.json").write_text(service.text(routed_to("openai", demo)))
        (home / "..data_tmp").symlink_to("two")
        (home / "..data_tmp").rename(home / "..data")

        async def followed() -> bool:
            return await provider_of(clients.http) == "openai"

        await until(followed)

    assert before == "anthropic"


async def test_half_a_file_is_not_read(home: Path, demo: Demo):
    """An editor writes in pieces; a look between two of them must not become an error that pages somebody."""
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        whole = service.text(routed_to("openai", demo))
        for part in range(1, 9):
            service.file.write_text(whole[: len(whole) * part // 8])
            await asyncio.sleep(0.3)

        async def followed() -> bool:
            return await provider_of(clients.http) == "openai"

        await until(followed)
        state = await configuration(clients.http)

    assert (state["reloads"], state["failures"]) == (1, 0)


async def test_a_providers_renewed_key_is_used(home: Path, tmp_path: Path):
    """A rotated key must not need a restart, which would cut every stream."""
    seen: list[str] = []

    async def upstream(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/messages"):
            seen.append(request.headers["x-api-key"])
        return web.json_response(
            {"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}, status=400
        )

    runner = web.ServerRunner(web.Server(upstream))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    key = tmp_path / "key"
    key.write_text("first\n")
    key.chmod(0o600)
    provider = {
        "name": "anthropic",
        "api_base_url": f"http://127.0.0.1:{runner.addresses[0][1]}",
        "api_key_file": str(key),
    }
    try:
        async with serving(home, {"providers": [provider]}) as (service, clients):

            async def is_used(wanted: str) -> bool:
                await clients.http.post("/v1/messages", json=asked())
                return seen[-1] == wanted

            await until(lambda: is_used("first"))
            (tmp_path / "new").write_text("second\n")
            (tmp_path / "new").chmod(0o600)
            (tmp_path / "new").rename(key)
            await until(lambda: is_used("second"))
            told = service.stderr
    finally:
        await runner.cleanup()

    assert list(dict.fromkeys(seen)) == ["first", "second"]
    assert "second" not in told


async def test_a_renewed_key_file_of_the_environment_is_read(home: Path, demo: Demo, tmp_path: Path):
    """A container is given its secrets in files that variables name."""
    key = tmp_path / "key"
    key.write_text("first\n")
    key.chmod(0o600)
    nowhere = {"proxy_url": "http://127.0.0.1:9"}  # OpenAI itself is not asked; the demo is on this host
    config = routed_to("anthropic", demo, **nowhere)
    config["providers"] = [config["providers"][0], {"name": "openai"}]
    async with serving(home, config, {"OPENAI_API_KEY_FILE": str(key)}) as (_, clients):
        (tmp_path / "new").write_text("second\n")
        (tmp_path / "new").chmod(0o600)
        (tmp_path / "new").rename(key)

        async def is_loaded() -> bool:
            return bool((await configuration(clients.http))["reloads"])

        await until(is_loaded)
        assert await provider_of(clients.http) == "anthropic"


async def test_a_reload_does_not_disturb_an_end(home: Path, demo: Demo):
    """A signal's default is death: an exit code that a service manager takes for a crash."""
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        await provider_of(clients.http)
        service.terminate()
        while service.popen.poll() is None:
            service.popen.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.0005)

    assert service.popen.returncode == 0


async def test_what_needs_a_restart_is_said(home: Path, demo: Demo):
    """Else somebody waits for a port that never opens."""
    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        await attempted(service, clients.http, service.text(routed_to("openai", demo, shutdown_timeout=5)))

        await asyncio.to_thread(service.until_said, "shutdown_timeout has changed, which counts after a restart")


async def test_two_hundred_reloads_under_load_fail_no_call_and_leave_nothing_behind(home: Path, demo: Demo):
    """Every second one is broken. Tasks and descriptors are as many afterwards as after the first few."""
    outcomes: list[str] = []

    async def call(clients: Clients, number: int) -> None:
        while True:
            if number % 2:
                outcomes.append(await provider_of(clients.http))
                continue
            stream = HttpStream(clients.http, "[[tokens 5]] [[pace 5]]")
            outcomes.append((await stream.events())[-1])

    async def reload(service: Process, clients: Clients, times: int) -> None:
        calls = [asyncio.ensure_future(call(clients, number)) for number in range(4)]
        for number in range(times):
            provider = BROKEN if number % 2 else ("anthropic", "openai")[number // 2 % 2]
            # With another limit each time, every way to a provider is a new one.
            text = service.text(routed_to(provider, demo, performance={"request_timeout": 600 + number}))
            await attempted(service, clients.http, text)
        for each in calls:
            each.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []

    async with serving(home, routed_to("anthropic", demo)) as (service, clients):
        await reload(service, clients, FEW)
        before = await settled(service)
        await reload(service, clients, RELOADS)
        after = await settled(service)
        state = await configuration(clients.http)

    assert (state["reloads"], state["failures"]) == ((FEW + RELOADS) // 2, (FEW + RELOADS) // 2)
    assert set(outcomes) == {"anthropic", "openai", "message_stop"}
    assert len(outcomes) > RELOADS / 2
    assert all(after[name] <= before[name] + SLACK for name in before), (before, after)


async def settled(service: Process) -> dict[str, int]:
    """What a process holds that could leak, once nothing runs: descriptors, and tasks with threads."""
    await asyncio.sleep(SETTLE_SECONDS)
    async with httpx.AsyncClient(base_url=service.url) as http:
        health = (await http.get("/health")).json()
        descriptors = len(os.listdir(f"/proc/{service.popen.pid}/fd"))  # noqa: PTH208  # some go meanwhile
    return {"descriptors": descriptors, "tasks": health["performance"]["goroutines"]}
