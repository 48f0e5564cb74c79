"""What is known of providers before an operator says anything: their types, and what the demo stands in for."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Api = Literal["auto", "chat", "responses", "anthropic"]
"""By which of a provider's APIs a model is asked."""


class ProviderType(Struct, frozen=True):
    """A known type of provider.

    Attributes:
        url: Where it is.
        variables: The variables that may hold its key.
        default_model: The model for Claude names.
        apis: What `api` may be; empty where it has but one.
    """

    url: str
    variables: tuple[str, ...]
    default_model: str = ""
    apis: tuple[Api, ...] = ()


PROVIDER_TYPES: Mapping[str, ProviderType] = {
    "anthropic": ProviderType("https://api.anthropic.com", ("ANTHROPIC_API_KEY",)),
    "openai": ProviderType(
        "https://api.openai.com/v1", ("OPENAI_API_KEY",), "gpt-5.4", ("auto", "chat", "responses")
    ),
    "gemini": ProviderType(
        "https://generativelanguage.googleapis.com", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini-3.5-flash"
    ),
    "deepseek": ProviderType(
        "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), "deepseek-flash", ("auto", "chat", "anthropic")
    ),
    "openrouter": ProviderType(
        "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), "", ("auto", "chat", "anthropic")
    ),
}


DEMO_TYPES: Mapping[str, str] = {
    "anthropic": "/anthropic",
    "openai": "/openai/v1",
    "deepseek": "/deepseek",
    "openrouter": "/openrouter/api/v1",
    "gemini": "/gemini",
}
"""The types whose wire the demo upstream speaks, and the paths under which it stands in for them."""

DEMO_APIS: Mapping[str, dict[str, Api]] = {
    "openai": {"gpt-5-demo": "responses"},
    "deepseek": {"claude-demo-1": "anthropic"},
    "openrouter": {"claude-demo-1": "anthropic"},
}
"""The demo's models that are asked by another API than their provider."""
