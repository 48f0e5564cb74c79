"""What the service says about itself: names, units, and what each word of health means."""

import asyncio
import os
import time
from datetime import UTC, datetime

import msgspec
import pytest
from ccproxy_pb.v1 import json_codec
from ccproxy_pb.v1 import status_pb2 as pb
from google.protobuf.message import Message
from unit.fakes import ScriptedTransport

from ccproxy import __version__
from ccproxy.config import Config, ProviderConfig, Secret
from ccproxy.errors import Reason
from ccproxy.health import Health
from ccproxy.metrics import Metrics
from ccproxy.providers import BY_TYPE
from ccproxy.serving import Phase, Serving
from ccproxy.status import Build, Status, build_from, duration
from ccproxy.upstream import Upstream

SECOND = 1_000_000_000


class Clock:
    """Nanoseconds that stand still until told."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        """Nanoseconds."""
        return self.now


CONFIG = Config(
    port=0,
    apikey=Secret("key"),
    providers=[ProviderConfig("openai"), ProviderConfig("off", enabled=False), ProviderConfig("anthropic")],
)


def made(
    config: Config = CONFIG,
    *,
    phase: Phase = Phase.SERVING,
    metrics: Metrics | None = None,
    clock: Clock | None = None,
) -> Status:
    """A status in some phase."""
    serving = Serving()
    serving.move(phase, phase.name.lower())
    build = Build(commit="abc123def", date="2025-01-17T08:00:00Z")
    health = Health(serving.tell)
    health.watch(upstreams(config))
    return Status(config, metrics or Metrics(), serving, health, build, clock or Clock())


def upstreams(config: Config) -> dict[str, Upstream]:
    """The providers that are in use."""
    return {each.name: Upstream(BY_TYPE[each.kind](each), ScriptedTransport()) for each in config.active}


def document(message: Message) -> dict[str, object]:
    """The JSON that HTTP shows of a message."""
    decoded = msgspec.json.decode(json_codec.encode(message))
    assert isinstance(decoded, dict)
    return decoded


def test_info_is_the_documented_name_and_our_version():
    """Load balancers match the message."""
    assert document(made().info()) == {"message": "LLMs API", "version": __version__}


async def test_basic_health_is_one_word():
    """The specification: `{"status":"healthy"}` and nothing else."""
    assert document(made().health(detailed=False)) == {"status": "healthy"}


@pytest.mark.parametrize(
    ("config", "phase", "word"),
    [
        (CONFIG, Phase.SERVING, "healthy"),
        (CONFIG, Phase.STARTING, "unhealthy"),
        (CONFIG, Phase.DRAINING, "unhealthy"),
        (CONFIG, Phase.STOPPING, "unhealthy"),
        (Config(), Phase.SERVING, "unhealthy"),
        (Config(providers=[ProviderConfig("openai", enabled=False)]), Phase.SERVING, "unhealthy"),
    ],
)
def test_health_is_a_word_for_the_whole(config: Config, phase: Phase, word: str):
    """The specification's scripts branch on it."""
    assert document(made(config, phase=phase).health(detailed=False))["status"] == word


async def test_uptime_is_nanoseconds_in_health_and_text_in_status():
    """As documented: Go's Duration in one, for people in the other."""
    clock = Clock()
    told = made(clock=clock)
    clock.now += 7_945 * SECOND

    assert told.health(detailed=True).uptime_nanos == 7_945_000_000_000
    assert told.status().uptime == "2h 12m 25s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0h 0m 0s"), (59.999, "0h 0m 59s"), (60, "0h 1m 0s"), (8_130, "2h 15m 30s"), (360_000, "100h 0m 0s")],
)
def test_a_duration_has_three_parts_always(seconds: float, text: str):
    """No padding, no days: what the ancestor printed."""
    assert duration(int(seconds * SECOND)) == text


async def test_the_time_is_utc_in_whole_seconds():
    """`2025-01-17T10:30:00Z`."""
    before = int(time.time())
    stamp = str(document(made().health(detailed=True))["timestamp"])
    told = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()

    assert before <= told <= time.time()


async def test_the_configuration_is_summed_up():
    """Only enabled providers count, and the port is the real one."""
    told = made()
    told.listening(3456)

    assert document(told.health(detailed=True))["config"] == {
        "host": "127.0.0.1",
        "port": 3456,
        "providers": 2,
        "api_key_configured": True,
    }


async def test_the_numbers_are_those_of_the_metrics():
    """One source cannot disagree with itself."""
    metrics = Metrics()
    for _ in range(3):
        metrics.begin("http", stream=False).succeed()
    metrics.begin("grpc", stream=True).fail(Reason.TIMEOUT)
    performance = made(metrics=metrics).health(detailed=True).performance

    assert performance.requests == pb.RequestStats(total=4, success=3, failed=1)


async def test_latencies_are_those_of_the_metrics():
    """Whole milliseconds: the specification's script compares them with `-gt`."""
    seconds = [0.0]
    metrics = Metrics(lambda: seconds[0])
    call = metrics.begin("http", stream=False)
    seconds[0] = 0.25
    call.succeed()
    latency = made(metrics=metrics).health(detailed=True).performance.latency

    assert latency.avg_ms == pytest.approx(250, rel=0.02)
    assert latency.p50_ms == latency.p95_ms == latency.p99_ms == pytest.approx(250, rel=0.02)


async def test_memory_has_one_decimal():
    """`15.2`."""
    memory = made().health(detailed=True).performance.memory_mb

    assert memory == round(memory, 1) > 1


async def test_goroutines_are_tasks_and_threads():
    """The documented name is kept; Python's nearest are counted."""
    told = made()
    before = told.health(detailed=True).performance.goroutines
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(asyncio.sleep(0.01))
        during = told.health(detailed=True).performance.goroutines

    assert during - before == 5


def test_status_tells_the_facts():
    """The documented document, with providers sorted by name; what is more stands apart."""
    told = made()
    told.listening(3456)
    facts = document(told.status())
    facts.pop("configuration")

    assert facts == {
        "service": "CCProxy",
        "version": __version__,
        "status": "running",
        "uptime": "0h 0m 0s",
        "pid": os.getpid(),
        "host": "127.0.0.1",
        "port": 3456,
        "api_key_configured": True,
        "providers": {"count": 2, "active": ["anthropic", "openai"]},
        "build": {"version": __version__, "commit": "abc123def", "date": "2025-01-17T08:00:00Z"},
    }


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        (Phase.STARTING, "stopped"),
        (Phase.SERVING, "running"),
        (Phase.DRAINING, "stopped"),
        (Phase.STOPPING, "stopped"),
    ],
)
def test_status_is_running_or_stopped(phase: Phase, word: str):
    """The documented two words."""
    assert document(made(phase=phase).status())["status"] == word


def test_the_demo_is_told():
    """Nobody takes echoes for a model."""
    assert document(made(Config(demo=True)).status())["demo"] is True


def test_no_demo_is_not_told():
    """The member is not in the documented document."""
    assert "demo" not in document(made().status())


def test_providers_can_be_noted_later():
    """The demo's providers have addresses only once it serves."""
    told = made(Config(demo=True))
    told.configured(Config(demo=True, providers=[ProviderConfig("anthropic")]))

    assert told.status().providers == pb.ProviderSummary(count=1, active=["anthropic"])


def test_no_detail_shows_the_key():
    """Details are for monitors, keys are for nobody."""
    told = made(
        Config(apikey=Secret("sk-canary"), providers=[ProviderConfig("openai", api_key=Secret("sk-canary"))])
    )

    assert b"sk-canary" not in json_codec.encode(told.status())


@pytest.mark.parametrize(
    ("config", "phase", "ready", "started"),
    [
        (CONFIG, Phase.STARTING, False, False),
        (CONFIG, Phase.SERVING, True, True),
        (CONFIG, Phase.DRAINING, False, True),
        (CONFIG, Phase.STOPPING, False, True),
        (Config(), Phase.SERVING, False, True),
    ],
)
def test_each_part_serves_or_not(config: Config, phase: Phase, ready: bool, started: bool):  # noqa: FBT001
    """Liveness stays: a pod that drains must not be killed for it."""
    services = made(config, phase=phase).services()

    assert {name: state for name, state in services.items() if not name.startswith("provider/")} == {
        "": ready,
        "liveness": True,
        "readiness": ready,
        "startup": started,
        "ccproxy.v1.Proxy": ready,
        "ccproxy.v1.Status": True,
    }


def test_each_provider_is_a_part():
    """Not known yet, which is neither good nor bad."""
    services = made().services()

    assert {n: s for n, s in services.items() if n.startswith("provider/")} == {
        "provider/openai": None,
        "provider/anthropic": None,
    }


def test_the_build_comes_from_the_environment():
    """An image sets it; a checkout does not know."""
    environ = {"CCPROXY_BUILD_COMMIT": "abc", "CCPROXY_BUILD_DATE": "2025-01-17T08:00:00Z"}

    assert build_from(environ) == Build(commit="abc", date="2025-01-17T08:00:00Z")
    assert build_from({"CCPROXY_BUILD_COMMIT": ""}) == Build(commit="unknown", date="unknown")
