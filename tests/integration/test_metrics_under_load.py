"""What a scrape shows after much was asked: the same numbers as /health, and no more series than there may be."""

import asyncio
import random
import re
from collections import Counter

import grpc
import pytest
from integration.echo_upstream import BREAKS, upstream
from integration.edges import GrpcEdge, HttpEdge
from integration.test_logging import ask, read_some, settled

from ccproxy.app import Service, running
from ccproxy.config import Config, ProviderConfig, RetryConfig, Secret

MAX_SERIES = 5_000

SAMPLE = re.compile(r"(?m)^([a-z_]+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

Samples = list[tuple[str, dict[str, str], float]]


def scraped(service: Service) -> Samples:
    """Every sample of a scrape."""
    body, _ = service.metrics.exposition(None)
    return [
        (name, dict(LABEL.findall(labels)), float(value)) for name, labels, value in SAMPLE.findall(body.decode())
    ]


def total(samples: Samples, wanted: str, **labels: str) -> float:
    """The sum of a family's samples with these labels."""
    return sum(value for name, has, value in samples if name == wanted and labels.items() <= has.items())


async def test_health_and_metrics_agree_after_load():
    """Whoever looks at both must not have to choose whom to believe."""
    async with upstream() as echo:
        provider = ProviderConfig("anthropic", api_base_url=echo.url, api_key=Secret("sk-up"))
        config = Config(port=0, grpc_port=0, providers=[provider], retry=RetryConfig(attempts=1, open_after=0))
        async with running(config, {}) as service:
            http, rpc = HttpEdge(service), GrpcEdge(service)
            for edge in (http, rpc):
                await asyncio.gather(*(edge.create(ask()) for _ in range(20)))
                await asyncio.gather(*(edge.stream(ask()) for _ in range(20)))
                echo.refusals = 5
                for _ in range(5):
                    await edge.create(ask())
                echo.behaviour = BREAKS
                await edge.stream(ask())
                echo.behaviour = "hangs"
                await read_some(edge, ask(), wait=True)
                echo.behaviour = "fast"
                await edge.count({name: value for name, value in ask().items() if name != "max_tokens"})
            await settled(service)
            health = (await http.client.get("/health")).json()["performance"]
            samples = scraped(service)
            await http.client.aclose()
            await rpc.channel.close()

    assert health["requests"] == {
        "total": total(samples, "ccproxy_requests_total"),
        "success": total(samples, "ccproxy_requests_total", outcome="success"),
        "failed": total(samples, "ccproxy_requests_total", outcome="failed"),
    }
    assert health["requests"] == {"total": 94, "success": 82, "failed": 12}
    assert total(samples, "ccproxy_request_errors_total") == 12
    assert total(samples, "ccproxy_request_duration_seconds_count") == 94
    assert total(samples, "ccproxy_stream_aborts_total", side="client") == 2
    assert total(samples, "ccproxy_stream_aborts_total", side="upstream") == 2
    assert total(samples, "ccproxy_tokens_total", type="reasoning") == 82 * 2
    assert total(samples, "ccproxy_overhead_seconds_count", stream="true") > 0
    assert total(samples, "grpc_server_handled_total", grpc_method="CreateMessage", grpc_code="OK") == 20


async def test_hostile_callers_cannot_make_series_without_end():
    """Paths, methods, models, providers, ids, keys, fields: whatever callers choose, on both edges."""
    chance = random.Random(7)  # noqa: S311
    async with running(Config(port=0, grpc_port=0, demo=True, log=False), {}) as service:
        http, rpc = HttpEdge(service), GrpcEdge(service)
        providers = [each.name for each in service.proxy.backend.upstreams.values() for each in [each.provider]]

        def word() -> str:
            return f"hostile{chance.randrange(10**9)}"

        def model() -> str:
            names = (f"claude-{word()}", f"{chance.choice(providers)},{word()}", word(), f"{word()},x")
            return chance.choice(names)

        async def asked(_: int) -> None:
            headers = {
                "x-request-id": word(),
                "x-api-key": word(),
                "user-agent": word(),
                word(): word(),
                "traceparent": f"00-{chance.randrange(1, 16**32):032x}-{chance.randrange(1, 16**16):016x}-01",
            }
            document = {**ask(), "model": model(), word(): word()}
            edge = chance.choice([http, rpc])
            await (edge.stream if chance.random() < 0.3 else edge.create)(document, headers)
            method = chance.choice(["GET", "POST", word().upper()])
            await http.client.request(method, f"/{word()}/{word()}", headers=headers)
            await http.client.get(f"/v1/models/{word()}?{word()}={word()}", headers=headers)

        async def called(_: int) -> None:
            path = chance.choice([f"/{word()}.{word()}/{word()}", f"/ccproxy.v1.Proxy/{word()}"])
            call = rpc.channel.unary_unary(path)
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"\xff" * 5, metadata=(("x-request-id", word()), (word(), word())))

        for start in range(0, 1200, 40):
            await asyncio.gather(*map(asked, range(start, start + 40)), *map(called, range(10)))
        samples = scraped(service)
        await http.client.aclose()
        await rpc.channel.close()
    by_family = Counter(name for name, _, _ in samples)
    bounded = {"model", "name"}  # whose number has a limit; others must not hold a caller's word at all
    free = [has for _, has, _ in samples if any("hostile" in has[label] for label in has.keys() - bounded)]

    assert free == []
    assert total(samples, "ccproxy_requests_total") >= 900
    assert len(samples) < MAX_SERIES, by_family.most_common(5)
    assert by_family["ccproxy_tokens_total"] > 900  # the limit was reached, or this shows nothing
    assert total(samples, "ccproxy_tokens_total", model="other", type="input") > 0
