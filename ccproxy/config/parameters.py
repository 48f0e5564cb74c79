"""A route's parameters: members of the Messages API's request for where a request is silent.

Source: https://platform.claude.com/docs/en/api/messages/create
"""

import re
from typing import Any

from ccproxy.config.problems import did_you_mean

OWN = {
    "model": "the route's model says it",
    "messages": "they are the request itself",
    "stream": "the caller alone knows what it reads",
}
"""Members that no route may set, and why."""

KNOWN = (
    "container",
    "context_management",
    "max_tokens",
    "metadata",
    "output_config",
    "service_tier",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
)

MAX_TEMPERATURE = 2  # Chat Completions' range; Anthropic's ends at 1


def wrong(name: str, value: Any) -> str:
    """What is wrong with a parameter; empty where nothing is."""
    if name in OWN:
        return f"cannot be set here: {OWN[name]}"
    if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
        return "expected the name of a request's member, such as temperature or max_tokens"
    match name:
        case "temperature" if not _is_within(value, MAX_TEMPERATURE):
            return f"expected a number from 0 to {MAX_TEMPERATURE}"
        case "top_p" if not _is_within(value, 1):
            return "expected a number from 0 to 1"
        case "max_tokens" if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return "expected an integer above 0"
        case _:
            return ""


def near(name: str) -> str:
    """The known name that an unknown one is probably meant for; empty where there is none."""
    return "" if name in KNOWN else did_you_mean(name, KNOWN)


def _is_within(value: Any, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high
