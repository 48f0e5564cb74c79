"""Recorded requests of the other providers: said to Anthropic's API and back, they mean the same.

Clients wrote them for the provider itself, so they are what good requests to it look like.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from conformance import derive, said
from conformance.nearest import ASKED, derivable, derived, not_derivable, recorded
from conformance.recordings import ABSENT, Recording, each
from conformance.said import Meaning

from ccproxy.call import Call, Target
from ccproxy.config import ProviderConfig, Secret
from ccproxy.provider import Exchange
from ccproxy.providers import BY_TYPE

WIRES: dict[str, Callable[[dict[str, Any]], Meaning]] = {
    "chat.completions": said.of_chat,
    "responses": said.of_responses,
    "generateContent": said.of_gemini,
    "generateContent (Vertex AI)": said.of_gemini,
}
LEAST_LIMIT = 16
"""The least `max_output_tokens` that the Responses API takes."""

NEAREST_EFFORTS = {
    ("minimal", ""),  # Anthropic has no word for it
    ("medium", "high"),  # DeepSeek has no medium
    ("128", "1024"),  # the least budget that Anthropic has
    ("512", "1024"),
    ("6400", "high"),  # Gemini 3 Pro takes a level, and has no medium either
}
"""Efforts, or budgets of tokens, that cannot be said; and what is said instead."""

SERVERS = {"deepseek": "https://api.deepseek.com", "openrouter": "https://openrouter.ai/api/v1"}


def translated(recording: Recording, request: dict[str, Any]) -> Exchange:
    """The attempt at the provider for a request, as an operator would configure it."""
    provider, api = recording.facts.provider, recording.facts.api
    config = ProviderConfig(name=provider, type=provider, api_key=Secret("k"))
    if api == "responses":
        config = ProviderConfig(
            name=provider,
            type="openai",
            api="responses",
            api_key=Secret("k"),
            api_base_url=SERVERS.get(provider, ""),
        )
    elif provider == "openai":
        config = ProviderConfig(name=provider, type="openai", api="chat", api_key=Secret("k"))
    call = Call(edge="http", request_id="req_1", body=msgspec.json.encode(request))
    target = Target(provider, request["model"], "default")
    return BY_TYPE[config.kind](config).exchange(call, call.head(), target)


def body_of(exchange: Exchange) -> dict[str, Any]:
    """What is sent."""
    document: dict[str, Any] = msgspec.json.decode(exchange.request.body or b"")
    return document


def differences(before: Meaning, after: Meaning, dropped: set[str]) -> dict[str, tuple[object, object]]:
    """What has become of each part of the meaning that is another now, without a word in `dropped`."""
    found: dict[str, tuple[object, object]] = {}
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old != new and not _excused(name, before, after, dropped):
            found[name] = old, new
    return found


def _excused(name: str, before: Meaning, after: Meaning, dropped: set[str]) -> bool:
    old, new = getattr(before, name), getattr(after, name)
    match name:
        case "limit":
            return bool(new == derive.MAX_TOKENS if old is None else old < new == LEAST_LIMIT)
        case "sampling":  # 1 is what models that refuse the member use anyway
            kept = {member: value for member, value in old.items() if member not in dropped and value != 1}
            return bool(kept == {member: value for member, value in new.items() if value != 1})
        case "choice":
            return "tool_choice" in dropped
        case "parallel":
            return "tool_choice.disable_parallel_tool_use" in dropped
        case "effort" if (old, new) == ("", "none"):  # DeepSeek: calls without the reasoning that was left out
            return any(kind == "call" for kind, _ in before.said)
        case "effort":
            return (old, new) in NEAREST_EFFORTS or not dropped.isdisjoint({"thinking", "output_config.effort"})
        case _:
            return False


@each(derivable())
def test_it_means_what_it_meant(recording: Recording):
    """Whatever differs is named in `dropped`."""
    exchange = translated(recording, derived(recording).request)
    wire = WIRES[recording.facts.api]
    before, after = wire(recorded(recording)), wire(body_of(exchange))

    assert differences(before, after, {*exchange.dropped}) == {}


@pytest.mark.skipif(not ASKED, reason=ABSENT)
def test_most_requests_can_be_said():
    """A derivation that gives up on everything would pass everything."""
    assert len(not_derivable()) * 5 < len(ASKED), Counter(not_derivable().values())
