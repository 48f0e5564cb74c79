"""The providers, by the `type` an operator writes. A new one is a file here and a line below."""

from collections.abc import Callable, Mapping

from ccproxy.provider import Provider
from ccproxy.providers.anthropic import Anthropic
from ccproxy.providers.openai_chat import OpenAIChat

BY_TYPE: Mapping[str, Callable[[str, str, str | None], Provider]] = {
    "anthropic": Anthropic,
    "openai": OpenAIChat,
}
"""Type -> a provider from its name, base URL and key."""
