"""OpenAI Chat Completions, and the many servers that speak it.

    request    parameters           history    the conversation        tools      tools and their names
    reasoning  what models accept   answer     a whole answer          stream     a streamed one
    failures   errors               wire       the types on the wire

Sources: https://platform.openai.com/docs/api-reference/chat (read 2026-11-22), types of the `openai` SDK 3.54.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from ccproxy import __version__
from ccproxy.call import Call, Target
from ccproxy.documents import Head
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Answer, Model, UpstreamRequest, printable, refuse_thread
from ccproxy.providers.openai_chat import answer
from ccproxy.providers.openai_chat.answer import Expected
from ccproxy.providers.openai_chat.failures import Failures
from ccproxy.providers.openai_chat.request import COMPATIBLE, OLD_VERSION, OPENAI, Dialect, read, translate
from ccproxy.providers.openai_chat.stream import ChatStream
from ccproxy.providers.openai_chat.tools import renamed
from ccproxy.providers.openai_chat.wire import ModelList

__all__ = ["COMPATIBLE", "OPENAI", "ChatExchange", "ChatStream", "Dialect", "OpenAIChat"]

_OPENAI_HOSTS = ("openai.com", "openai.azure.com")

_RATE_LIMITS = {
    f"x-ratelimit-{kind}-{limit}": f"anthropic-ratelimit-{limit}-{kind}"
    for kind in ("limit", "remaining")
    for limit in ("requests", "tokens")
}

_YEAR_10000 = 253_402_300_800  # Unix time; RFC 3339 ends there


class OpenAIChat:
    """A server that speaks Chat Completions.

    A base URL without a path gets `/v1`; one with a path is taken as it is. Without a dialect the host decides:
    OpenAI's own are `OPENAI`, all others `COMPATIBLE`.
    """

    def __init__(self, name: str, base_url: str, api_key: str | None, dialect: Dialect | None = None) -> None:
        self.name = name
        url = urlsplit(base_url)
        self._url = base_url.rstrip("/") + ("" if url.path.strip("/") else "/v1")
        self._key = api_key
        self._failures = Failures(name, api_key)
        self._dialect = dialect or _dialect_of(url.hostname or "")

    def __repr__(self) -> str:
        return f"OpenAIChat({self.name!r}, {self._url!r})"

    def exchange(self, call: Call, head: Head, target: Target) -> "ChatExchange":
        """Prepares one attempt; see `Provider.exchange`."""
        refuse_thread(head)
        request = read(call, head, target)
        old_client = OLD_VERSION in call.headers.get("anthropic-version", ())
        body, dropped = translate(request, head, target.model, self._dialect, old_client=old_client)
        sent = UpstreamRequest(
            "POST",
            self._url + "/chat/completions",
            self._headers("text/event-stream" if head.stream else "application/json"),
            msgspec.json.encode(body),
        )
        want = answer.expected(request, head.model, renamed(request), self._failures)
        return ChatExchange(sent, tuple(sorted(dropped)), want)

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {
            "accept": accept,
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"ccproxy/{__version__}",
        }
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        return headers

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means; see `Provider.error`."""
        return self._failures.answered(status, headers, body)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The rate limits, but for the times: telling those needs a clock."""
        reply = {
            ours: headers[theirs] for theirs, ours in _RATE_LIMITS.items() if headers.get(theirs, "").isdecimal()
        }
        if request_id := printable(headers.get("x-request-id", "")):
            reply["x-ccproxy-upstream-request-id"] = request_id
        return reply

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
        return UpstreamRequest("GET", self._url + "/models", self._headers("application/json"))

    def models(self, body: bytes) -> list[Model]:
        """Reads the answer to `models_request`."""
        listed = answer.decode(body, ModelList, "the list of models").data
        return [
            Model(id=model.id, display_name=model.id, created_at=_rfc3339(model.created))
            if model.created and 0 < model.created < _YEAR_10000
            else Model(id=model.id, display_name=model.id)
            for model in listed
        ]


class ChatExchange:
    """One attempt at a server that speaks Chat Completions."""

    def __init__(self, request: UpstreamRequest, dropped: tuple[str, ...], want: Expected) -> None:
        self.request = request
        self.dropped = dropped
        self._want = want

    def answer(self, body: bytes) -> Answer:
        """Reads a whole answer; see `Exchange.answer`."""
        return answer.read(body, self._want)

    def stream(self) -> ChatStream:
        """A reader for one streamed answer."""
        return ChatStream(self._want)

    def recover(self, error: ApiError) -> None:  # noqa: ARG002  # as the Protocol says
        """None: there is no other way to say the same."""
        return


def _dialect_of(host: str) -> Dialect:
    own = any(host == known or host.endswith(f".{known}") for known in _OPENAI_HOSTS)
    return OPENAI if own else COMPATIBLE


def _rfc3339(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
