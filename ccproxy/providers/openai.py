"""OpenAI, and every server that speaks one of its two dialects: which of them a request is said in.

On Chat Completions OpenAI's reasoning models refuse tools beside reasoning, and some are not to be had at all;
compatible servers mostly know nothing else (decision D7).

Source: https://platform.openai.com/docs/guides/migrate-to-responses (read 2026-11-22).
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ccproxy.call import Call, Target
from ccproxy.config import Api
from ccproxy.documents import Head
from ccproxy.errors import ApiError
from ccproxy.provider import Answer, Exchange, ModelPage, Stream, UpstreamRequest
from ccproxy.providers.openai_chat import OPENAI, OpenAIChat
from ccproxy.providers.openai_chat.reasoning import is_recent
from ccproxy.providers.openai_responses import OpenAIResponses

_SENT_ELSEWHERE = re.compile(r"\bv1/responses\b|\bResponses API\b")
"""How Chat Completions says that a request, or a model, belongs to the other dialect."""

_ELSEWHERE_STATUSES = frozenset({400, 404})


class OpenAI:
    """A server that speaks Chat Completions, the Responses API, or both.

    `auto` takes Responses at OpenAI's own hosts for the models that need it, and Chat Completions for all else.
    What `model_apis` says of a model goes before `api`.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        api: Api = "auto",
        model_apis: Mapping[str, Api] = {},
    ) -> None:
        self.name = name
        self._chat = OpenAIChat(name, base_url, api_key)
        self._responses = OpenAIResponses(self._chat)
        self._api: Api = api
        self._model_apis = model_apis
        self._counts = f".{urlsplit(base_url).hostname or ''}".endswith(".openai.com")  # Azure documents no count

    def __repr__(self) -> str:
        return f"OpenAI({self._chat!r}, {self._api!r})"

    def exchange(self, call: Call, head: Head, target: Target) -> Exchange:
        """Prepares one attempt; see `Provider.exchange`."""
        if self._says_responses(target.model):
            return self._responses.exchange(call, head, target)
        exchange = self._chat.exchange(call, head, target)
        if self._api_of(target.model) == "chat":
            return exchange
        return _Undecided(exchange, self._responses, call, head, target)

    def _says_responses(self, model: str) -> bool:
        api = self._api_of(model)
        if api == "auto":
            return self._chat.dialect is OPENAI and is_recent(model)
        return api == "responses"

    def _api_of(self, model: str) -> Api:
        return self._model_apis.get(model, self._api)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means; see `Provider.error`."""
        return self._chat.error(status, headers, body)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The rate limits; see `Provider.reply_headers`."""
        return self._chat.reply_headers(headers)

    def count_request(self, call: Call, head: Head, target: Target) -> UpstreamRequest | None:
        """OpenAI's own count, for the models that are asked by Responses."""
        if self._counts and self._says_responses(target.model):
            return self._responses.count_request(call, head, target)
        return None

    def count(self, body: bytes) -> int:
        """Reads the answer to `count_request`."""
        return self._responses.count(body)

    def models_request(self) -> UpstreamRequest:
        """Asks for all models."""
        return self._chat.models_request()

    def models(self, body: bytes) -> ModelPage:
        """Reads the answer to `models_request`."""
        return self._chat.models(body)


class _Undecided:
    """An attempt at Chat Completions that goes to Responses where the server says that it belongs there."""

    def __init__(
        self, exchange: Exchange, responses: OpenAIResponses, call: Call, head: Head, target: Target
    ) -> None:
        self.request = exchange.request
        self.dropped = exchange.dropped
        self._exchange = exchange
        self._responses = responses
        self._asked = (call, head, target)

    def answer(self, body: bytes) -> Answer:
        """Reads a whole answer; see `Exchange.answer`."""
        return self._exchange.answer(body)

    def stream(self) -> Stream:
        """A reader for one streamed answer."""
        return self._exchange.stream()

    def recover(self, error: ApiError) -> Exchange | None:
        """The same on Responses, once."""
        if error.upstream_status in _ELSEWHERE_STATUSES and _SENT_ELSEWHERE.search(error.message):
            return self._responses.exchange(*self._asked)
        return None
