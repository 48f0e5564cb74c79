"""OpenAI's Responses API: the dialect of its reasoning models, which keep their reasoning between tool calls.

    request  parameters     items   the conversation     answer  a whole answer
    stream   a streamed one                              wire    the types on the wire

What both of OpenAI's dialects have in common (tools, errors, models, efforts) is in `openai_chat`.

Sources: https://platform.openai.com/docs/api-reference/responses (read 2026-11-22), the `openai` SDK 3.54.
"""

import re

import msgspec

from ccproxy.call import Call, Target
from ccproxy.documents import Head, replace_members
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Answer, UpstreamRequest, refuse_thread
from ccproxy.providers.answers import decode
from ccproxy.providers.caller_request import is_old_client, read, session_of, shows_thinking
from ccproxy.providers.caller_tools import renamed
from ccproxy.providers.openai_chat import OpenAIChat
from ccproxy.providers.openai_chat.tools import upstream_name
from ccproxy.providers.openai_responses import answer
from ccproxy.providers.openai_responses.answer import Expected
from ccproxy.providers.openai_responses.items import without_reasoning
from ccproxy.providers.openai_responses.request import (
    carries,
    countable,
    translate,
)
from ccproxy.providers.openai_responses.stream import ResponsesStream
from ccproxy.providers.openai_responses.wire import InputTokens, ReasoningConfig, ResponsesRequest
from ccproxy.providers.prewarmed import Prewarmed, prewarmed
from ccproxy.providers.stop_sequences import Estimates

__all__ = ["OpenAIResponses", "ResponsesExchange", "ResponsesStream"]

_STATE_REFUSED = re.compile(r"encrypted[ _]content|of type 'reasoning'")
_SUMMARY_REFUSED = re.compile(r"reasoning summar|reasoning\.summary")


class OpenAIResponses:
    """The Responses API of a server that also speaks Chat Completions."""

    def __init__(self, server: OpenAIChat) -> None:
        self._server = server

    def exchange(self, call: Call, head: Head, target: Target) -> "ResponsesExchange | Prewarmed":
        """Prepares one attempt; see `Provider.exchange`."""
        refuse_thread(head)
        request = read(call, head, target)
        old_client = is_old_client(call)
        session = session_of(call, request)
        body, dropped = translate(
            request, head, target.model, self._server.dialect, old_client=old_client, session=session
        )
        want = Expected(
            head.model,
            target.model,
            renamed(request, upstream_name),
            tuple(request.stop_sequences or ()),
            shows_thinking(request),
            carries(request, old_client=old_client),
            self._server.failures,
            Estimates(request, target.model),
        )
        exchange = ResponsesExchange(self._server, body, tuple(sorted(dropped)), want)
        return prewarmed(exchange, call, head, target)

    def count_request(self, call: Call, head: Head, target: Target) -> UpstreamRequest:
        """Asks for the number of input tokens; see `Provider.count_request`."""
        counted = msgspec.structs.replace(call, body=replace_members(head.fields, {"max_tokens": 1}), _head=None)
        request = read(counted, counted.head(), target)
        old_client = is_old_client(call)
        body, _ = translate(request, head, target.model, self._server.dialect, old_client=old_client)
        return self._server.post("/responses/input_tokens", countable(body), stream=False)

    def count(self, body: bytes) -> int:
        """Reads the answer to `count_request`."""
        return decode(body, InputTokens, "the token count").input_tokens


class ResponsesExchange:
    """One attempt at the Responses API."""

    def __init__(
        self, server: OpenAIChat, document: ResponsesRequest, dropped: tuple[str, ...], want: Expected
    ) -> None:
        self.request = server.post("/responses", document, stream=document.stream is True)
        self.dropped = dropped
        self._server = server
        self._document = document
        self._want = want

    def answer(self, body: bytes) -> Answer:
        """Reads a whole answer; see `Exchange.answer`."""
        return answer.read(body, self._want)

    def stream(self) -> ResponsesStream:
        """A reader for one streamed answer."""
        return ResponsesStream(self._want)

    def recover(self, error: ApiError) -> "ResponsesExchange | None":
        """The same without what was refused, though the answer is worth having without it.

        Reasoning that another account encrypted cannot be read; summaries are for verified organisations.
        """
        if error.reason is not Reason.INVALID_REQUEST:
            return None
        document = self._document
        if _STATE_REFUSED.search(error.message):
            items = without_reasoning(document.input)
            if len(items) < len(document.input):
                return self._with(msgspec.structs.replace(document, input=items), "messages.content.thinking")
        config = document.reasoning
        if _SUMMARY_REFUSED.search(error.message) and config and config.summary:
            silent = ReasoningConfig(config.effort)
            return self._with(msgspec.structs.replace(document, reasoning=silent), "thinking.display")
        return None

    def _with(self, document: ResponsesRequest, dropped: str) -> "ResponsesExchange":
        paths = tuple(sorted({*self.dropped, dropped}))
        return ResponsesExchange(self._server, document, paths, self._want)
