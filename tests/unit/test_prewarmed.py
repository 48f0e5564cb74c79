"""Requests for no token: answered here, after they were translated."""

from typing import Any

import msgspec
import pytest
from unit import chat, gemini
from unit.fakes import ScriptedTransport

from ccproxy.backend import Backend
from ccproxy.call import Call, Target
from ccproxy.config import Config, ProviderConfig, RouteConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.logs import Entry
from ccproxy.metrics import Metrics
from ccproxy.provider import Provider
from ccproxy.providers.anthropic import Anthropic
from ccproxy.providers.openai import OpenAI
from ccproxy.providers.prewarmed import Prewarmed
from ccproxy.proxy import Proxy, Reply
from ccproxy.routing import Router
from ccproxy.serving import Phase, Serving
from ccproxy.upstream import Upstream

PROVIDERS: dict[str, Provider] = {
    "gpt-4.1": chat.provider(),
    "gpt-6-sol": OpenAI("openai", "https://api.openai.com", "k", "responses"),
    "gemini-3-pro": gemini.provider(),
}


def call(**members: Any) -> Call:
    """A call for nothing."""
    turns = [{"role": "user", "content": "The conversation so far, at some length."}]
    body = {"model": "claude-x", "max_tokens": 0, "messages": turns, **members}
    return Call(edge="http", request_id="req_1", body=msgspec.json.encode(body))


class Bench:
    """A Proxy over one provider that nobody may ask, and its log."""

    def __init__(self, model: str, parameters: dict[str, Any] | None = None) -> None:
        config = Config(
            providers=[ProviderConfig("openai")],
            routes={"default": RouteConfig("openai", model, parameters or {})},
        )
        serving = Serving()
        serving.move(Phase.SERVING, "serving")
        self.log: list[Entry] = []
        upstream = Upstream(PROVIDERS[model], ScriptedTransport())
        backend = Backend(Router(config), {"openai": upstream})
        self.proxy = Proxy(backend, Metrics(), serving, request_log=self.log.append)

    async def streamed(self, asked: Call) -> list[dict[str, Any]]:
        """The events of an answer."""
        async with self.proxy.stream_message(asked) as stream:
            return chat.events(b"".join([frames async for frames in stream]))


@pytest.fixture(params=PROVIDERS)
def bench(request: pytest.FixtureRequest) -> Bench:
    """One for each translator."""
    return Bench(request.param)


async def test_nobody_is_asked_for_nothing(bench: Bench):
    """Translated providers refuse it, or bill their least."""
    reply = await bench.proxy.create_message(call())
    message = msgspec.json.decode(reply.body)

    assert (message["content"], message["stop_reason"], message["model"]) == ([], "max_tokens", "claude-x")
    assert message["usage"]["output_tokens"] == 0
    assert 9 <= message["usage"]["input_tokens"] <= 20
    assert reply.headers["x-ccproxy-provider"] == "openai"


async def test_nothing_is_streamed_as_events(bench: Bench):
    """The same as a stream."""
    start, delta, stop = await bench.streamed(call(stream=True))

    assert (start["type"], stop["type"]) == ("message_start", "message_stop")
    assert delta["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert delta["usage"]["input_tokens"] > 0
    assert delta["usage"]["output_tokens"] == 0


async def test_the_log_says_that_the_tokens_are_estimates(bench: Bench):
    """An operator compares them with a bill."""
    await bench.proxy.create_message(call())

    assert [(entry.outcome, entry.usage_estimated) for entry in bench.log] == [("success", True)]


async def test_what_cannot_be_said_is_refused_all_the_same(bench: Bench):
    """A client that warms a cache learns early what will not work."""
    with pytest.raises(ApiError) as refused:
        await bench.proxy.create_message(call(messages=[{"role": "user", "content": [{"type": "text"}]}]))

    assert refused.value.reason is Reason.INVALID_REQUEST


async def test_a_route_can_ask_for_nothing():
    """Its parameters apply where the request is silent; nonsense, but it must not go out as something else."""
    bench = Bench("gpt-4.1", {"max_tokens": 0})
    asked = call(max_tokens=None)
    reply: Reply = await bench.proxy.create_message(asked)

    assert msgspec.json.decode(reply.body)["stop_reason"] == "max_tokens"


def test_a_relay_asks():
    """Anthropic fills its cache so."""
    asked = call()
    exchange = Anthropic("anthropic", "https://h.example", "k").exchange(
        asked, asked.head(), Target("anthropic", "claude-x", "default")
    )

    assert exchange.request.ready is None


def test_there_is_no_second_try():
    """Nobody was asked, so nobody refused."""
    asked = call(stream=True)
    exchange = chat.provider().exchange(asked, asked.head(), Target("openai", "gpt-4.1", "default"))
    assert isinstance(exchange, Prewarmed)

    exchange.stream().close()

    assert exchange.recover(ApiError(Reason.INVALID_REQUEST, "no")) is None
