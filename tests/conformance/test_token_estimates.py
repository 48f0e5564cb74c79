"""Estimates against what providers counted: every recording whose prompt its request tells."""

import re
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from conformance.derived import Unknowable, derived
from conformance.recordings import ABSENT, Recording, all_recordings
from msgspec import Struct

from ccproxy.documents import decode_request
from ccproxy.tokens import OTHER, estimate, family_of

SMALL = 200  # tokens: below, the frames that providers put around a prompt are most of it
LEAST_VARIETY = 0.04  # packed; of one word a thousand times vocabularies say 1,000 tokens or 2,000
APIS = re.compile(r"chat\.completions|messages|responses|generateContent.*|count_tokens")

MOST_BELOW = 0.25  # of what the provider counted, for any prompt
NINE_TENTHS = (-0.2, 0.45)  # of prompts are in between
MEDIAN = (0.0, 0.15)
UNSEEN = 150  # tokens that a server adds to a small prompt without tools, for an effort or so


class Measured(Struct, frozen=True):
    """An estimate, and what the provider counted."""

    name: str
    provider: str
    model: str
    counted: int
    estimated: int

    @property
    def error(self) -> float:
        """Of the estimate, in parts of the count; negative where it is too low."""
        return self.estimated / self.counted - 1


def counted(document: Any) -> int | None:
    """The tokens of a prompt as an answer, or an event of it, tells them."""
    if not isinstance(document, dict):
        return None
    for inner in ("message", "response"):
        if (found := counted(document.get(inner))) is not None:
            return found
    usage = document.get("usage") or {}
    if "prompt_tokens" in usage:
        return usage["prompt_tokens"]
    if "input_tokens" in usage and "input_tokens_details" not in usage:
        cached = [usage.get(f"cache_{kind}_input_tokens") or 0 for kind in ("creation", "read")]
        return (usage["input_tokens"] or 0) + sum(cached)
    tokens = usage.get("input_tokens", document.get("totalTokens", document.get("input_tokens")))
    return (document.get("usageMetadata") or {}).get("promptTokenCount", tokens)


def documents(recording: Recording) -> Iterator[Any]:
    """The JSON documents of an answer."""
    if not recording.is_stream:
        whole = msgspec.json.decode(recording.response)
        yield from whole if isinstance(whole, list) else [whole]
        return
    for line in recording.response.splitlines():
        if line.startswith(b"data:") and line[5:].strip()[:1] == b"{":
            yield msgspec.json.decode(line[5:])


def measured(recording: Recording) -> Measured | None:
    """A recording's estimate; None where its request does not tell the prompt."""
    if recording.request is None or recording.facts.http_status != 200 or not APIS.fullmatch(recording.facts.api):
        return None
    if len(zlib.compress(recording.request)) < LEAST_VARIETY * len(recording.request):
        return None
    try:
        request = derived(recording.facts.api, msgspec.json.decode(recording.request))
    except Unknowable:
        return None
    found = max((counted(each) or 0 for each in documents(recording)), default=0)
    if not found:
        return None
    model = recording.facts.model or ""
    tokens = estimate(decode_request(msgspec.json.encode(request)), family_of(model))
    return Measured(recording.name, recording.facts.provider, model, found, tokens)


@pytest.fixture(scope="module")
def measurements() -> list[Measured]:
    """Every recording that tells its prompt."""
    found = [each for each in map(measured, all_recordings()) if each is not None]
    if not found:
        pytest.skip(ABSENT)
    print(table(found))  # noqa: T201  # read with `pytest -s`
    return found


def table(found: list[Measured]) -> str:
    """The errors by provider and size."""
    head = "".join(f"{name:>8}" for name in ("least", "10 %", "half", "90 %", "most"))
    lines = [f"\n{'provider':<12}{'tokens':>8}{'n':>5}{head}"]
    for provider in sorted({each.provider for each in found}):
        own = [each for each in found if each.provider == provider]
        for size, part in (
            (f"< {SMALL}", [each.error for each in own if each.counted < SMALL]),
            (f">= {SMALL}", [each.error for each in own if each.counted >= SMALL]),
        ):
            quantiles = "".join(f"{quantile(part, q):>+8.0%}" for q in (0, 0.1, 0.5, 0.9, 1)) if part else ""
            lines.append(f"{provider:<12}{size:>8}{len(part):>5}{quantiles}")
    return "\n".join(lines)


def quantile(values: list[float], part: float) -> float:
    """The value that `part` of all values are not above."""
    return sorted(values)[round(part * (len(values) - 1))]


@pytest.fixture(scope="module")
def large(measurements: list[Measured]) -> list[Measured]:
    """Those of a size that matters, of models whose family is known."""
    return [each for each in measurements if each.counted >= SMALL and family_of(each.model) is not OTHER]


def test_no_estimate_is_far_below_the_count(large: list[Measured]):
    """A client that makes room by it would do so too late."""
    assert [each for each in large if each.error < -MOST_BELOW] == []


def test_nine_of_ten_estimates_are_near_the_count(large: list[Measured]):
    """A client that makes room by it would do so too early."""
    low, high = NINE_TENTHS
    outside = [each for each in large if not low <= each.error <= high]

    assert len(outside) <= len(large) / 10, outside


def test_the_usual_estimate_is_a_little_high(large: list[Measured]):
    """Neither wasteful nor daring."""
    low, high = MEDIAN

    assert low <= quantile([each.error for each in large], 0.5) <= high


def test_small_prompts_are_off_by_a_prompt_of_the_providers_at_most(measurements: list[Measured]):
    """What servers add where nobody sees it is a few dozen tokens, at models whose family is known."""
    small = [each for each in measurements if each.counted < SMALL and family_of(each.model) is not OTHER]

    assert [each for each in small if each.counted - each.estimated > UNSEEN] == []
