"""Requests for no token at all (`max_tokens: 0`), answered here: providers that are translated to refuse them.

Clients send them to fill Anthropic's prompt cache before the first question. The others have no cache to fill that
way, and the smallest answer they give costs money. The request is translated first, so what is refused stays so.

Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching and the types of the `anthropic`
SDK 2.12 (`max_tokens`).
"""

from typing import TypeVar

import msgspec
from msgspec import Raw

from ccproxy.blocks import BlockWriter
from ccproxy.call import Call, Target
from ccproxy.documents import Head, decode_request, replace_members
from ccproxy.errors import ApiError
from ccproxy.messages import EstimatedUsage, Message, encode_events
from ccproxy.provider import Answer, Exchange
from ccproxy.providers.answers import message_id
from ccproxy.tokens import estimate, family_of

AnyExchange = TypeVar("AnyExchange", bound=Exchange)


def prewarmed(exchange: AnyExchange, call: Call, head: Head, target: Target) -> "AnyExchange | Prewarmed":
    """`exchange`; one that is answered here where the request asks for no token."""
    silent = target.silent(head)
    limit = (
        msgspec.json.encode(silent["max_tokens"])
        if "max_tokens" in silent
        else head.fields.get("max_tokens", Raw())
    )
    return Prewarmed(exchange, call, head, target) if bytes(limit).strip() == b"0" else exchange


class Prewarmed:
    """An attempt that asks nobody."""

    def __init__(self, exchange: Exchange, call: Call, head: Head, target: Target) -> None:
        self.dropped = exchange.dropped
        request = decode_request(replace_members(head.fields, {"max_tokens": 0}))
        self._usage = EstimatedUsage(input_tokens=estimate(request, family_of(target.model)), output_tokens=0)
        id = message_id(None, call.request_id.encode())  # noqa: A001  # Anthropic's word
        ready = self._streamed(id, head.model) if head.stream else self._whole(id, head.model)
        self.request = msgspec.structs.replace(exchange.request, ready=ready)

    def _whole(self, id: str, model: str) -> bytes:  # noqa: A002
        return msgspec.json.encode(Message(id, "assistant", model, [], "max_tokens", None, self._usage))

    def _streamed(self, id: str, model: str) -> bytes:  # noqa: A002
        writer = BlockWriter()
        writer.start(id, model)
        writer.finish("max_tokens", self._usage)
        return encode_events(writer.take())

    def answer(self, body: bytes) -> Answer:
        """The answer that was ready."""
        return Answer(body, self._usage)

    def stream(self) -> "Ready":
        """The same, as events."""
        return Ready(self._usage)

    def recover(self, error: ApiError) -> None:  # noqa: ARG002  # nobody was asked
        """None: nothing fails."""
        return


class Ready:
    """A stream that is whole with its first bytes; see `Stream`."""

    def __init__(self, usage: EstimatedUsage) -> None:
        self.usage = usage
        self.finished = False
        self._frames = b""

    @property
    def has_content(self) -> bool:
        """Whether it is here: there is no content."""
        return self.finished

    def feed(self, chunk: bytes) -> None:
        """Takes the events."""
        self._frames += chunk
        self.finished = True

    def close(self) -> None:
        """Nothing was open."""

    def take(self) -> bytes:
        """Returns the events, once."""
        frames, self._frames = self._frames, b""
        return frames
