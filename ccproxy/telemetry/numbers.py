"""The `gen_ai` metrics of the semantic conventions, by the names of v1.41, or by the newest where asked for.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ and its successor,
https://github.com/open-telemetry/semantic-conventions-genai (read 2026-11-25)
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from opentelemetry.metrics import Counter, Histogram, Meter

Attributes = dict[str, str | int]

DURATION_BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
# The conventions end at ten seconds; thinking starts late, but it starts.
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
FIRST_TOKEN_BOUNDS = (*_FIRST, 15.0, 20.0, 30.0, 45.0, 60.0)
OUTPUT_TOKEN_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKEN_BOUNDS = tuple(4**power for power in range(14))


class Tokens(Struct, frozen=True):
    """What a call cost. `input` holds the cached ones; None where the provider did not say."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def known(self) -> dict[str, int]:
        """Those that were said, by the last part of their names."""
        named = {
            "input_tokens": self.input,
            "output_tokens": self.output,
            "cache_read.input_tokens": self.cache_read,
            "cache_write.input_tokens": self.cache_write,
            "reasoning.output_tokens": self.reasoning,
        }
        return {name: count for name, count in named.items() if count is not None}


class Numbers:
    """All of them."""

    def __init__(self, meter: Meter, *, newest: bool) -> None:
        client = "gen_ai.client.inference" if newest else "gen_ai.client.operation"
        self._meter = meter
        self.duration = self._seconds(f"{client}.duration", "Duration of attempts at providers.", DURATION_BOUNDS)
        self.first_chunk = self._seconds(
            f"{client}.time_to_first_chunk", "From the request to the first content of streams.", DURATION_BOUNDS
        )
        self.output_chunk = self._seconds(
            f"{client}.time_per_output_chunk", "Between two pieces of streams.", DURATION_BOUNDS
        )
        self.served = self._seconds("gen_ai.server.request.duration", "Duration of requests.", DURATION_BOUNDS)
        self.first_token = self._seconds(
            "gen_ai.server.time_to_first_token", "From a request to its first content.", FIRST_TOKEN_BOUNDS
        )
        self.output_token = self._seconds(
            "gen_ai.server.time_per_output_token", "Pace of streams after their first token.", OUTPUT_TOKEN_BOUNDS
        )
        self._usage = None if newest else self._counts("gen_ai.client.token.usage", "Tokens of a call.")
        own = "gen_ai.client.inference.operation"
        self._input = self._counts(f"{own}.input_tokens", "Input tokens of a call.") if newest else None
        self._output = self._counts(f"{own}.output_tokens", "Output tokens of a call.") if newest else None
        self._totals = _totals(meter) if newest else {}

    def tokens(self, tokens: Tokens, attributes: Attributes) -> None:
        """A call cost so many."""
        for kind, count, own in (("input", tokens.input, self._input), ("output", tokens.output, self._output)):
            if count is None:
                continue
            if self._usage is not None:
                self._usage.record(count, {**attributes, "gen_ai.token.type": kind})
            if own is not None:
                own.record(count, attributes)
        for name, counter in self._totals.items():
            if count := tokens.known().get(name):
                counter.add(count, attributes)

    def _seconds(self, name: str, text: str, bounds: Sequence[float]) -> Histogram:
        return self._histogram(name, "s", text, bounds)

    def _histogram(self, name: str, unit: str, text: str, bounds: Sequence[float]) -> Histogram:
        return self._meter.create_histogram(name, unit, text, explicit_bucket_boundaries_advisory=bounds)

    def _counts(self, name: str, text: str) -> Histogram:
        return self._histogram(name, "{token}", text, TOKEN_BOUNDS)


def _totals(meter: Meter) -> Mapping[str, Counter]:
    """The newest names' counters, by the last part of their names."""
    names = Tokens(0, 0, 0, 0, 0).known()
    return {name: meter.create_counter(f"gen_ai.client.inference.usage.{name}", "{token}") for name in names}
