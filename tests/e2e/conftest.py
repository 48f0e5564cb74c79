"""Services in the states that the tests need, and clean surroundings for the clients in this process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from e2e import outside as world
from e2e.service import POLL_SECONDS, Service, running
from e2e.tools import clean_environment

from ccproxy.config import demo_providers

KEY = "sk-the-operators-key"
ALIAS = "claude-sonnet-5-5"

RELAYED = "claude-demo-1"
TRANSLATED = "openai,gpt-demo-1"

WIRES = {
    "anthropic": RELAYED,
    "chat": TRANSLATED,
    "responses": "openai,gpt-5-demo",
    "gemini": "gemini,gemini-3-demo",
    "deepseek": "deepseek,deepseek-demo-1",
    "openrouter": "openrouter,demo/openrouter-demo-1",
    "deepseek-relayed": "deepseek,claude-demo-1",
    "openrouter-relayed": "openrouter,claude-demo-1",
}
"""A model for every way to a provider that there is."""

EVENTUALLY_SECONDS = 10.0


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests may have keys, a login and HTTP proxies of their own; the SDK would use them."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits until something holds, and fails where it never does."""

    def wait(holds: Callable[[], bool]) -> None:
        never = Event()
        for _ in range(int(EVENTUALLY_SECONDS / POLL_SECONDS)):
            if holds():
                return
            never.wait(POLL_SECONDS)
        pytest.fail(f"it did not hold within {EVENTUALLY_SECONDS:g} s")

    return wait


@pytest.fixture(params=WIRES.values(), ids=WIRES)
def model(request: pytest.FixtureRequest) -> str:
    """A model behind each wire format: what a client sees must not tell which one it is."""
    return request.param


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """As it comes: no provider, no key, the demo upstream. Fresh for every module: some read its counts."""
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="session")
def locked_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that asks its callers for a key."""
    with running(tmp_path_factory.mktemp("locked"), apikey=KEY) as service:
        yield service


@pytest.fixture(scope="session")
def reflecting_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that tells gRPC clients its schema."""
    with running(tmp_path_factory.mktemp("reflecting"), grpc_reflection=True) as service:
        yield service


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an upstream outside of the service, which speaks every provider's wire format."""
    script = Path(__file__).with_name("demo_upstream.py")
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=clean_environment(tmp_path_factory.mktemp("upstream")),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="module")
def wired_service(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[Service]:
    """One with every provider, all of them at `upstream`, which tells what has reached it."""
    providers = [
        {"name": each.name, "api_base_url": each.api_base_url, "model_apis": each.model_apis}
        for each in demo_providers(upstream)
    ]
    with running(tmp_path_factory.mktemp("wired"), providers=providers, retry={"attempts": 1}) as service:
        yield service


@pytest.fixture(scope="session")
def routed_service(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[Service]:
    """One with providers and routes of its operator: a Claude's name is answered by an OpenAI model."""
    providers = [
        {"name": "anthropic", "api_base_url": f"{upstream}/anthropic", "api_key": "sk-ant-at-the-provider"},
        {"name": "openai", "api_base_url": f"{upstream}/openai/v1", "api_key": "sk-at-the-provider"},
    ]
    routes = {ALIAS: {"provider": "openai", "model": "gpt-demo-1"}, "default": {"provider": "anthropic"}}
    with running(tmp_path_factory.mktemp("routed"), providers=providers, routes=routes) as service:
        yield service


@pytest.fixture
def outside(everything_outside: world.Outside) -> world.Outside:
    """The HTTP proxy that notes whom a client wants to reach beside the service; nothing is noted yet."""
    everything_outside.take()
    return everything_outside


@pytest.fixture(scope="session")
def everything_outside() -> Iterator[world.Outside]:
    """The proxy itself, for the whole session."""
    with world.listening() as outside:
        yield outside
