"""OpenAI Chat Completions, and the many servers that speak it.

    request    parameters           history    the conversation        tools      tools and their names
    reasoning  what models accept   answer     a whole answer          stream     a streamed one
    failures   errors               wire       the types on the wire   models     the list of models
    dialect    how other servers differ

Sources: https://platform.openai.com/docs/api-reference/chat (read 2026-11-22), types of the `openai` SDK 3.54.
"""

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ccproxy.call import Call, Target
from ccproxy.documents import Head
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Answer, ModelPage, UpstreamRequest, refuse_thread
from ccproxy.providers.caller_request import is_old_client, read, session_of
from ccproxy.providers.caller_tools import renamed
from ccproxy.providers.headers import for_caller, to_send
from ccproxy.providers.openai_chat import answer, models
from ccproxy.providers.openai_chat.answer import Expected
from ccproxy.providers.openai_chat.dialect import COMPATIBLE, OPENAI, Dialect, Yields
from ccproxy.providers.openai_chat.failures import Failures
from ccproxy.providers.openai_chat.request import translate
from ccproxy.providers.openai_chat.stream import ChatStream
from ccproxy.providers.openai_chat.tools import upstream_name
from ccproxy.providers.prewarmed import Prewarmed, prewarmed
from ccproxy.providers.stop_sequences import Estimates

__all__ = ["COMPATIBLE", "OPENAI", "ChatExchange", "ChatStream", "Dialect", "OpenAIChat"]

_OPENAI_HOSTS = ("openai.com", "openai.azure.com")


class OpenAIChat:
    """A server that speaks Chat Completions.

    A base URL without a path gets `/v1`; one with a path is taken as it is. Without a dialect the host decides:
    OpenAI's own are `OPENAI`, all others `COMPATIBLE`.

    Attributes:
        name: The operator's name for it.
        failures: Makes its errors.
        dialect: How it differs from OpenAI's own.
    """

    def __init__(self, name: str, base_url: str, api_key: str | None, dialect: Dialect | None = None) -> None:
        self.name = name
        url = urlsplit(base_url)
        self._url = base_url.rstrip("/") + ("" if url.path.strip("/") else "/v1")
        self._key = api_key
        self.dialect = dialect or _dialect_of(url.hostname or "")
        self.failures = Failures(name, api_key, self.dialect.diagnose, self.dialect.request_id)

    def __repr__(self) -> str:
        return f"OpenAIChat({self.name!r}, {self._url!r})"

    def exchange(self, call: Call, head: Head, target: Target) -> "ChatExchange | Prewarmed":
        """Prepares one attempt; see `Provider.exchange`."""
        refuse_thread(head)
        request = read(call, head, target)
        old_client, session = is_old_client(call), session_of(call, request)
        model, dialect = target.model, self.dialect
        body, dropped = translate(request, head, model, dialect, old_client=old_client, session=session)
        sent = self.post("/chat/completions", body, stream=head.stream)
        thoughts = partial(dialect.thoughts, model)
        estimates = Estimates(request, model)
        names = renamed(request, upstream_name)
        want = answer.expected(request, head, names, self.failures, thoughts, estimates)
        exchange = ChatExchange(sent, tuple(sorted(dropped)), want, dialect.yields)
        return prewarmed(exchange, call, head, target)

    def post(self, path: str, body: Struct, *, stream: bool) -> UpstreamRequest:
        """A request to one of the server's paths."""
        return UpstreamRequest("POST", self._url + path, self._headers(stream=stream), msgspec.json.encode(body))

    def _headers(self, *, stream: bool = False) -> dict[str, str]:
        key = {} if self._key is None else {"authorization": f"Bearer {self._key}"}
        return {**to_send(stream=stream), **key}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means; see `Provider.error`."""
        return self.failures.answered(status, headers, body)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The rate limits and the request's id; see `Provider.reply_headers`."""
        return for_caller(headers, self.dialect.request_id)

    def count_request(self, call: Call, head: Head, target: Target) -> None:  # noqa: ARG002  # as the Protocol says
        """None: Chat Completions counts no tokens."""
        return

    def count(self, body: bytes) -> int:  # noqa: ARG002  # as the Protocol says
        """Chat Completions counts no tokens.

        Raises:
            ApiError: UNSUPPORTED, always.
        """
        raise ApiError(Reason.UNSUPPORTED, "Chat Completions counts no tokens").by(self.name)

    def models_request(self) -> UpstreamRequest:
        """Asks for all models."""
        return UpstreamRequest("GET", self._url + "/models", self._headers())

    def models(self, body: bytes) -> ModelPage:
        """Reads the answer to `models_request`; it has no pages."""
        return ModelPage(models.read(body, named_by_openai=self.dialect is OPENAI))


class ChatExchange:
    """One attempt at a server that speaks Chat Completions."""

    def __init__(self, request: UpstreamRequest, dropped: tuple[str, ...], want: Expected, yields: Yields) -> None:
        self.request = request
        self.dropped = dropped
        self._want = want
        self._yields = yields

    def answer(self, body: bytes) -> Answer:
        """Reads a whole answer; see `Exchange.answer`."""
        return answer.read(body, self._want)

    def stream(self) -> ChatStream:
        """A reader for one streamed answer."""
        return ChatStream(self._want)

    def recover(self, error: ApiError) -> "ChatExchange | None":
        """The request with other members in place of what the server refused, where it can do without; once."""
        found = next((members for words, members in self._yields.items() if words in error.message), None)
        if found is None:
            return None
        said = msgspec.json.decode(self.request.body or b"{}", type=dict[str, msgspec.Raw])
        instead = {**said, **found}
        body = msgspec.json.encode({name: value for name, value in instead.items() if value is not None})
        request = msgspec.structs.replace(self.request, body=body)
        dropped = tuple(sorted({*self.dropped, "thinking"}))
        return ChatExchange(request, dropped, self._want, {})


def _dialect_of(host: str) -> Dialect:
    own = any(host == known or host.endswith(f".{known}") for known in _OPENAI_HOSTS)
    return OPENAI if own else COMPATIBLE
