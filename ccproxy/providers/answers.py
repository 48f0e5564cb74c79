"""What is the same in every answer: a provider's JSON, ids, counts of tokens, and how a whole one is collected."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import EMPTY_OBJECT, Message, StopDetails, Text, Thinking, ToolUse, Usage

T = TypeVar("T")

Tokens = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A count; beyond that it is none, and would not fit a protobuf."""

MAX_ID = 64
_ID = re.compile(r"[a-zA-Z0-9_-]+")  # what Anthropic accepts when the conversation moves there
_NOT_IN_ID = re.compile(r"[^a-zA-Z0-9_-]")


def decode(document: bytes, type: type[T], what: str) -> T:  # noqa: A002  # msgspec's word
    """Decodes a provider's JSON.

    Raises:
        UpstreamProtocolError: It is not what the API documents.
    """
    try:
        return msgspec.json.decode(document, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamProtocolError(f"{what} is not what the API documents") from error


def is_error(member: Raw) -> bool:
    """Whether an `error` member holds an error."""
    return bytes(member) != b"null"


def message_id(id: str | None, document: bytes) -> str:  # noqa: A002  # the API's word
    """The message's id: the provider's own in Anthropic's form, or one made from the answer's first bytes."""
    return "msg_" + (_NOT_IN_ID.sub("_", id)[:MAX_ID] if id else _digest(document))


class CallIds:
    """Ids for an answer's calls: the provider's where Anthropic would accept them, each once."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._given: set[str] = set()

    def make(self, id: str | None) -> str:  # noqa: A002  # the API's word
        """The id of the next call."""
        made = id or ""
        if not made:
            made = "toolu_" + _digest(f"{self._message} {len(self._given)}".encode())
        elif not _ID.fullmatch(made):
            made = "toolu_" + _digest(made.encode())
        while made in self._given:
            made = "toolu_" + _digest(f"{made} {len(self._given)}".encode())
        self._given.add(made)
        return made


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()[:24]


def is_object(text: str) -> bool:
    """Whether `text` is one JSON object."""
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def counted(usage: Usage) -> Usage:
    """`usage` with the two counts that every answer carries; SDKs read them unasked."""
    return msgspec.structs.replace(
        usage, input_tokens=usage.input_tokens or 0, output_tokens=usage.output_tokens or 0
    )


_TIERS = {"default": "standard", "standard": "standard", "priority": "priority"}


def tier_of(told: object) -> str | UnsetType:
    """Anthropic's word for the tier that an answer was given in; UNSET for tiers that it does not have."""
    return _TIERS.get(told, UNSET) if isinstance(told, str) else UNSET


class Writer(Protocol):
    """Where an answer goes: `BlockWriter` or `Collector`."""

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called."""
        ...

    def start(self, id: str, model: str) -> None:  # noqa: A002
        """Begins the message."""
        ...

    def text(self, piece: str) -> None:
        """Text goes on."""
        ...

    def thinking(self, piece: str) -> None:
        """Thinking goes on."""
        ...

    def signature(self, signature: str) -> None:
        """Signs the thinking and ends it."""
        ...

    def tool(self, key: int, id: str, name: str, piece: str) -> None:  # noqa: A002
        """A call of a tool."""
        ...

    def finish(
        self,
        stop_reason: str,
        usage: Usage,
        *,
        stop_sequence: str | None = None,
        stop_details: StopDetails | None = None,
    ) -> None:
        """Ends the message."""
        ...


class Collector:
    """Collects one whole answer: what `BlockWriter` is to a stream.

    `names` holds the caller's names of tools by the names they have upstream, where these differ.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._content: list[Text | Thinking | ToolUse] = []
        self._model = ""
        self.id = ""
        self.body = b""  # the message as JSON, once it is whole

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called."""
        return self.body != b""

    def start(self, id: str, model: str) -> None:  # noqa: A002  # Anthropic's word
        """Begins the message."""
        self.id, self._model = id, model

    def text(self, piece: str) -> None:
        """Text goes on; an empty piece is nothing."""
        last = self._content[-1] if self._content else None
        if piece and isinstance(last, Text):
            self._content[-1] = Text(last.text + piece)
        elif piece:
            self._content.append(Text(piece))

    def thinking(self, piece: str) -> None:
        """Thinking goes on; an empty piece is nothing."""
        last = self._content[-1] if self._content else None
        if piece and isinstance(last, Thinking) and not last.signature:
            self._content[-1] = Thinking(last.thinking + piece)
        elif piece:
            self._content.append(Thinking(piece))

    def signature(self, signature: str) -> None:
        """Signs the thinking and ends it. Without open thinking, a block with empty text carries it."""
        last = self._content[-1] if self._content else None
        if isinstance(last, Thinking) and not last.signature:
            self._content[-1] = Thinking(last.thinking, signature)
        else:
            self._content.append(Thinking("", signature))

    def tool(self, key: int, id: str, name: str, piece: str) -> None:  # noqa: A002, ARG002  # as in BlockWriter
        """A whole call of a tool. Without arguments it takes none.

        Raises:
            UpstreamProtocolError: It names no tool, or its arguments are not one JSON object.
        """
        if not name:
            raise UpstreamProtocolError("a tool call names no function")
        given = piece.strip()
        if given and not is_object(given):
            raise UpstreamProtocolError("the arguments of a tool call are not one JSON object")
        arguments = Raw(piece.encode()) if given else EMPTY_OBJECT
        self._content.append(ToolUse(id, self._names.get(name, name), arguments))

    def finish(
        self,
        stop_reason: str,
        usage: Usage,
        *,
        stop_sequence: str | None = None,
        stop_details: StopDetails | None = None,
    ) -> None:
        """Ends the message."""
        details = UNSET if stop_details is None else stop_details
        message = Message(
            self.id, "assistant", self._model, self._content, stop_reason, stop_sequence, usage, details
        )
        self.body = msgspec.json.encode(message)
