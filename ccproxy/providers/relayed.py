"""DeepSeek and OpenRouter by their own endpoints for Anthropic's API, for the models that the operator wishes.

Requests and answers are relayed as Anthropic's are; a failure is read as the provider's own in either API:
DeepSeek tells even there what went wrong as Chat Completions does. Neither endpoint counts tokens or lists models.

Sources: https://api-docs.deepseek.com/guides/anthropic_api,
https://openrouter.ai/docs/guides/coding-agents/claude-code-integration and the OpenAPI document of
OpenRouterTeam/typescript-sdk (read 2026-11-25), a recorded answer of OpenRouter.
"""

import re
from collections.abc import Mapping

from ccproxy.call import Call, Target
from ccproxy.config import Api
from ccproxy.documents import Head
from ccproxy.errors import ApiError
from ccproxy.provider import Exchange, ModelPage, UpstreamRequest, refuse_thread
from ccproxy.providers import deepseek, openrouter
from ccproxy.providers.anthropic import Anthropic, Endpoint
from ccproxy.providers.openai_chat import OpenAIChat

DEEPSEEK = Endpoint(
    signing=None,  # what it cannot verify it takes; thinking that is missing it refuses
    is_anthropic=False,
    wants_thinking="in the thinking mode must be passed back",
)
OPENROUTER = Endpoint(is_bearer=True, signing="anthropic/", is_anthropic=False)


class Relayed:
    """A provider that is asked by Anthropic's API for some of its models, or all, and translated for the others.

    What `model_apis` says of a model goes before `api`.
    """

    def __init__(self, translator: OpenAIChat, relay: Anthropic, api: Api, model_apis: Mapping[str, Api]) -> None:
        self.name = translator.name
        self._translator = translator
        self._relay = relay
        self._api: Api = api
        self._model_apis = model_apis

    def __repr__(self) -> str:
        return f"Relayed({self._translator!r}, {self._api!r})"

    def exchange(self, call: Call, head: Head, target: Target) -> Exchange:
        """Prepares one attempt; see `Provider.exchange`."""
        if self._model_apis.get(target.model, self._api) != "anthropic":
            return self._translator.exchange(call, head, target)
        refuse_thread(head)
        return self._relay.exchange(call, head, target)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means; see `Provider.error`."""
        return self._translator.error(status, headers, body)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Anthropic's own headers, where a Claude model is behind, and the provider's."""
        return {**self._relay.reply_headers(headers), **self._translator.reply_headers(headers)}

    def count_request(self, call: Call, head: Head, target: Target) -> None:
        """None: neither API counts tokens."""
        return self._translator.count_request(call, head, target)

    def count(self, body: bytes) -> int:
        """Neither API counts tokens; see `OpenAIChat.count`."""
        return self._translator.count(body)

    def models_request(self) -> UpstreamRequest:
        """Asks for all models, of either API."""
        return self._translator.models_request()

    def models(self, body: bytes) -> ModelPage:
        """Reads the answer to `models_request`."""
        return self._translator.models(body)


def relayed_deepseek(
    name: str, base_url: str, api_key: str | None, api: Api, model_apis: Mapping[str, Api]
) -> Relayed:
    """DeepSeek under an operator's name. The address may end in `/anthropic`, in a version, in both."""
    url = re.sub(r"/anthropic(/v1)?$", "", base_url.rstrip("/"))
    relay = Anthropic(name, url.removesuffix("/v1") + "/anthropic", api_key, endpoint=DEEPSEEK)
    return Relayed(deepseek.provider(name, url, api_key), relay, api, model_apis)


def relayed_openrouter(
    name: str, base_url: str, api_key: str | None, api: Api, model_apis: Mapping[str, Api]
) -> Relayed:
    """OpenRouter under an operator's name. Its page for Claude Code gives the address without a version."""
    url = base_url.rstrip("/").removesuffix("/v1") + "/v1"
    relay = Anthropic(name, url, api_key, endpoint=OPENROUTER)
    return Relayed(openrouter.provider(name, url, api_key), relay, api, model_apis)
