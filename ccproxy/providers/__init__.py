"""The providers, by the `type` an operator writes. A new one is a file here, a line and a function below."""

from collections.abc import Callable, Mapping

from ccproxy.config import PROVIDER_TYPES, ProviderConfig
from ccproxy.provider import Provider
from ccproxy.providers import deepseek, openrouter
from ccproxy.providers.anthropic import Anthropic
from ccproxy.providers.gemini import Gemini
from ccproxy.providers.openai import OpenAI
from ccproxy.providers.relayed import relayed_deepseek, relayed_openrouter


def _anthropic(config: ProviderConfig) -> Provider:
    return Anthropic(config.name, _url(config), _key(config), client_auth=config.auth == "client")


def _openai(config: ProviderConfig) -> Provider:
    return OpenAI(config.name, _url(config), _key(config), config.api, config.model_apis)


def _deepseek(config: ProviderConfig) -> Provider:
    if _is_relayed(config):
        return relayed_deepseek(config.name, _url(config), _key(config), config.api, config.model_apis)
    return deepseek.provider(config.name, _url(config), _key(config))


def _openrouter(config: ProviderConfig) -> Provider:
    if _is_relayed(config):
        return relayed_openrouter(config.name, _url(config), _key(config), config.api, config.model_apis)
    return openrouter.provider(config.name, _url(config), _key(config))


def _gemini(config: ProviderConfig) -> Provider:
    return Gemini(config.name, _url(config), _key(config))


def _is_relayed(config: ProviderConfig) -> bool:
    return "anthropic" in {config.api, *config.model_apis.values()}


def _url(config: ProviderConfig) -> str:
    return config.api_base_url or PROVIDER_TYPES[config.kind].url


def _key(config: ProviderConfig) -> str | None:
    return None if config.api_key is None else config.api_key.reveal()


BY_TYPE: Mapping[str, Callable[[ProviderConfig], Provider]] = {
    "anthropic": _anthropic,
    "openai": _openai,
    "gemini": _gemini,
    "deepseek": _deepseek,
    "openrouter": _openrouter,
}
"""Type -> a provider from what the operator says of it."""
