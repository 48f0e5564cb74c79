"""Idle providers are asked for their models, and what that tells of them."""

import asyncio

import pytest
from unit.fakes import ScriptedResponse, ScriptedTransport, answer

from ccproxy.circuit import State
from ccproxy.config import ProviderConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.probe import probe_idle
from ccproxy.providers import BY_TYPE
from ccproxy.upstream import Upstream

LIST = b'{"object":"list","data":[{"id":"gpt","object":"model","created":1}]}'


def upstream(*responses: ScriptedResponse | ApiError) -> Upstream:
    """A provider that answers so."""
    config = ProviderConfig("openai", api_base_url="http://127.0.0.1:1")
    return Upstream(BY_TYPE["openai"](config), ScriptedTransport(*responses))


async def probed(asked: Upstream, times: int = 1) -> list[str]:
    """Probes until it was asked so often; the paths that were asked for."""
    transport = asked.transport
    assert isinstance(transport, ScriptedTransport)
    task = asyncio.ensure_future(probe_idle(lambda: {"openai": asked}, 0.01))
    async with asyncio.timeout(5):
        while len(transport.requests) < times or transport.open:  # noqa: ASYNC110  # the probe tells nobody
            await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return [request.url for request in transport.requests][:times]


async def test_the_list_of_models_is_asked_for_and_nothing_else():
    """It is free at every provider; a completion is not."""
    asked = upstream(*[answer(LIST)] * 9)

    assert set(await probed(asked, 2)) == {"http://127.0.0.1:1/v1/models"}
    assert asked.endpoints[0].circuit.used


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_is_found_out_before_a_caller_does(status: int):
    """The usual fault of a new installation."""
    asked = upstream(*[answer(b'{"error":{"message":"bad key"}}', status=status)] * 9)
    await probed(asked)

    assert asked.endpoints[0].circuit.refused


async def test_failures_open_the_circuit_and_an_answer_closes_it():
    """As those of calls do."""
    down = ApiError(Reason.UPSTREAM_UNREACHABLE, "down").by("openai")
    asked = upstream(*[down] * 9)
    await probed(asked, 5)

    assert asked.endpoints[0].circuit.state is State.OPEN


async def test_a_list_that_cannot_be_read_says_nothing():
    """A compatible server may have none."""
    asked = upstream(*[answer(b"<html>")] * 9)
    await probed(asked)

    assert not asked.endpoints[0].circuit.used
    assert asked.endpoints[0].circuit.running == 0


async def test_one_that_is_called_is_not_probed():
    """Its calls tell more."""
    asked = upstream(answer(LIST))
    task = asyncio.ensure_future(probe_idle(lambda: {"openai": asked}, 0.05))
    for _ in range(20):
        now = asyncio.get_running_loop().time()
        asked.endpoints[0].circuit.begin(now).close(now)
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    transport = asked.transport
    assert isinstance(transport, ScriptedTransport)
    assert transport.requests == []
