"""How often the name of a provider is looked up: calls are many, and a resolver is slow and shared."""

import asyncio
import socket
from typing import Any

import aiohttp.resolver
import pytest
from faults.behaviours import BEHAVIOURS
from faults.bench import provider, serving, shorten
from faults.faultd import Faultd
from faults.wires import WIRES

from ccproxy.config import RetryConfig

CALLERS = 50
LOOKUP_SECONDS = 0.2


class Resolver:
    """Takes its time, and counts."""

    def __init__(self, *, knows: bool) -> None:
        self.asked = 0
        self._knows = knows

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        self.asked += 1
        await asyncio.sleep(LOOKUP_SECONDS)
        if not self._knows:
            raise OSError(socket.EAI_NONAME, "no such name")
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]


@pytest.mark.parametrize("knows", [True, False])
async def test_callers_at_the_same_time_make_one_lookup(monkeypatch: pytest.MonkeyPatch, knows: bool):  # noqa: FBT001
    """Also where it fails: a resolver that is in trouble is not asked fifty times at once."""
    shorten(monkeypatch)
    resolver = Resolver(knows=knows)
    monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", lambda _, *asked: resolver.resolve(*asked))
    wire, retry = WIRES["anthropic"], RetryConfig(attempts=1, open_after=0)
    async with Faultd.serve(BEHAVIOURS) as faultd:
        far = provider(wire, faultd.url(wire, host="provider.test"))
        async with serving([far], faultd, retry=retry) as bench:
            asked = (bench.ask("http", "anthropic,good", stream=False) for _ in range(CALLERS))
            seen = await asyncio.gather(*asked)

    assert [each.failure is None for each in seen] == [knows] * CALLERS
    assert resolver.asked == 1
