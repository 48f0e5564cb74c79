"""The recorded requests of the other providers, and the Anthropic requests nearest to them."""

from collections import Counter
from functools import cache
from typing import Any

import msgspec
from conformance import derive, derive_gemini
from conformance.derive import Derived, NotDerivableError
from conformance.recordings import Recording, all_recordings

ASKED = [
    r
    for r in all_recordings()
    if r.request is not None
    and r.facts.http_status == 200
    and r.facts.provider != "anthropic"
    and r.facts.api not in {"models", "count_tokens", "messages"}
]


def recorded(recording: Recording) -> dict[str, Any]:
    """The request as it was sent."""
    document: dict[str, Any] = msgspec.json.decode(recording.request or b"{}")
    return document


def derived(recording: Recording) -> Derived:
    """The Anthropic request nearest to it.

    Raises:
        NotDerivableError: There is none.
    """
    body, model = recorded(recording), recording.facts.model or "m"
    match recording.facts.api:
        case "chat.completions":
            return derive.of_chat(body, model)
        case "responses":
            return derive.of_responses(body, model)
        case _:
            return derive_gemini.of_gemini(body, model, stream=recording.is_stream)


@cache
def not_derivable() -> dict[str, str]:
    """The names of the recordings whose request has no Anthropic one near it, and why."""
    reasons = {}
    for recording in ASKED:
        try:
            derived(recording)
        except NotDerivableError as reason:
            reasons[recording.name] = str(reason)
    return reasons


def derivable() -> list[Recording]:
    """The others."""
    return [recording for recording in ASKED if recording.name not in not_derivable()]


def unsaid() -> Counter[str]:
    """How many derived requests leave out which members."""
    return Counter(name for recording in derivable() for name in derived(recording).unsaid)
