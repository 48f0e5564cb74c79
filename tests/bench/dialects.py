"""What each provider's dialect costs beside Chat Completions: the translators alone, in this process.

They do no input or output, so nothing else is in these numbers: the large request as it is sent, a whole answer,
and a streamed answer of 200 deltas, event by event as a model writes it. The answers are the demo upstream's.
"""

import gc
from collections.abc import Callable, Mapping
from time import process_time

import bodies
from msgspec import Struct

from ccproxy.app import GC_THRESHOLDS
from ccproxy.call import Call, Target
from ccproxy.config import ProviderConfig, Secret
from ccproxy.demo import anthropic, deepseek, gemini, openai_chat, openai_responses, openrouter
from ccproxy.demo.answer import Answer, Usage
from ccproxy.demo.dialect import Stamp, Wire
from ccproxy.demo.prompt import Prompt
from ccproxy.demo.script import Text
from ccproxy.provider import Exchange
from ccproxy.providers import BY_TYPE

FIRST = "Chat Completions"
"""What the others are compared with."""

REQUEST, WHOLE, DELTA = "large request", "whole answer", "delta"
COLUMNS = (REQUEST, WHOLE, DELTA)
MOST = 1.5
"""No dialect may cost more than so many times Chat Completions."""

ROUND_SECONDS = 0.1

Micros = Mapping[str, float]
"""CPU microseconds by column."""


class Dialect(Struct):
    """A dialect: the provider that speaks it, a model there, and the demo that answers."""

    provider: ProviderConfig
    model: str
    wire: Wire


def _dialects() -> dict[str, Dialect]:
    key = Secret("x")
    openai = ProviderConfig("openai", api="chat", api_key=key)
    return {
        FIRST: Dialect(openai, "gpt-4o", openai_chat),
        "Responses": Dialect(ProviderConfig("openai", api="responses", api_key=key), "gpt-5.4", openai_responses),
        "Gemini": Dialect(ProviderConfig("gemini", api_key=key), "gemini-3.5-flash", gemini),
        "DeepSeek": Dialect(ProviderConfig("deepseek", api_key=key), "deepseek-flash", deepseek),
        "OpenRouter": Dialect(
            ProviderConfig("openrouter", api_key=key), "anthropic/claude-sonnet-4.5", openrouter
        ),
        "relay": Dialect(ProviderConfig("anthropic", api_key=key), bodies.ANTHROPIC_MODEL, anthropic),
    }


def measure(round_seconds: float = ROUND_SECONDS) -> dict[str, Micros]:
    """The costs of every dialect, in turn, the least of several rounds."""
    steps = {name: _steps(dialect) for name, dialect in _dialects().items()}
    gc.collect()
    gc.freeze()  # as the service does
    gc.set_threshold(*GC_THRESHOLDS)
    least: dict[str, dict[str, float]] = {name: {} for name in steps}
    for _ in range(5):
        for name, columns in steps.items():
            for column, (step, parts) in columns.items():
                took = _seconds(step, round_seconds / 5) / parts * 1e6
                least[name][column] = min(took, least[name].get(column, took))
    return least


def _steps(dialect: Dialect) -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, by column, and how many parts each has."""
    provider = BY_TYPE[dialect.provider.kind](dialect.provider)
    body = bodies.request("large", dialect.model)
    streamed = bodies.request("burst", dialect.model)
    said = Answer((Text(bodies.text()),), "end_turn", None, Usage(2095, 203))
    prompt = Prompt(dialect.model, "", 2095, stream=True, stream_usage=True)
    stamp = Stamp("bench", 1_741_569_952)
    whole = dialect.wire.whole(said, prompt, stamp)
    frames = [frame.data for frame in dialect.wire.frames(said, prompt, stamp)]

    def exchange(body: bytes) -> Exchange:
        call = Call(edge="http", request_id="req_1", body=body)
        return provider.exchange(call, call.head(), Target("p", dialect.model, "r"))

    small, stream_of = exchange(bodies.request("small", dialect.model)), exchange(streamed)

    def stream() -> None:
        reader = stream_of.stream()
        for frame in frames:
            reader.feed(frame)
            reader.take()
        if not reader.finished:
            reader.close()

    return {
        REQUEST: (lambda: exchange(body), 1),
        WHOLE: (lambda: small.answer(whole), 1),
        DELTA: (stream, len(frames)),
    }


def _seconds(step: Callable[[], object], round_seconds: float) -> float:
    """CPU seconds of one step."""
    count = 1
    while True:
        before = process_time()
        for _ in range(count):
            step()
        took = process_time() - before
        if took >= round_seconds:
            return took / count
        count *= 2
