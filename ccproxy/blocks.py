"""Every rule about the order of events in a streamed answer.

    message_start (content_block_start content_block_delta* content_block_stop)* message_delta message_stop

Blocks are numbered 0, 1, 2 …; one is open at a time; a closed block never reopens, because the client may have
acted on it. A translator says what came (`text`, `thinking`, `tool` …) and this file decides what opens, what
closes and what must wait. A step that is not allowed raises.

Providers of the Chat Completions kind may interleave the pieces of parallel tool calls. A call is done when its
arguments are one whole JSON value: then the next piece for another block may close it. Until then pieces for
other blocks wait here, in the order they came, so that no call is ever cut or mixed.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming, and the order seen in recorded streams.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Event, Message, StopDetails, Usage

TEXT = "text"
THINKING = "thinking"

Key = str | int
"""Which block a piece belongs to: TEXT, THINKING, or the provider's own number of a tool call."""


_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal", "stop_sequence"})
"""Stop reasons that may come in the middle of a tool call. The caller does not run a call cut short."""


class _Pieces(Struct):
    """What came for a block that is not open yet. `id` and `name` are empty for text and thinking."""

    key: Key
    id: str = ""
    name: str = ""
    text: str = ""
    signature: str = ""


class BlockWriter:
    """Writes one answer as events. `take` hands over what has been written since the last call.

    `names` holds the caller's names of tools by the names they have upstream, where these differ.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self._names = names or {}
        self._events: list[Event] = []
        self._begun = False
        self._finished = False
        self._index = -1
        self._open: Key | None = None
        self._arguments: list[str] = []  # of the open tool call, to know when it is whole
        self._delta_start = b""  # of the open block: all of a delta's JSON but its text, to write many fast
        self._waiting: list[_Pieces] = []
        self._closed: set[Key] = set()

    @property
    def has_content(self) -> bool:
        """Whether a block has been opened: from then on the answer cannot be taken back."""
        return self._index >= 0

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called."""
        return self._finished

    def take(self) -> list[Event]:
        """Returns the events written since the last call."""
        events, self._events = self._events, []
        return events

    def start(self, id: str, model: str) -> None:  # noqa: A002  # Anthropic's word
        """Begins the message.

        Its usage says zero tokens: providers of other kinds count at the end, and `message_delta` then carries
        the truth. OpenRouter's Anthropic endpoint does the same.
        """
        if self._begun:
            raise UpstreamProtocolError("a message began twice")
        self._begun = True
        message = Message(id, "assistant", model, [], None, None, Usage(input_tokens=0, output_tokens=0))
        self._emit("message_start", {"type": "message_start", "message": message})

    def text(self, piece: str) -> None:
        """Text goes on; an empty piece is nothing."""
        if not piece:
            return
        if self._open == TEXT:
            self._delta(piece)
        else:
            self._piece(_Pieces(TEXT, text=piece))

    def thinking(self, piece: str) -> None:
        """Thinking goes on; an empty piece is nothing."""
        if not piece:
            return
        if self._open == THINKING:
            self._delta(piece)
        else:
            self._piece(_Pieces(THINKING, text=piece))

    def signature(self, signature: str) -> None:
        """Signs the thinking and ends it. Without open thinking, a block with empty text carries it."""
        self._piece(_Pieces(THINKING, signature=signature))

    def tool(self, key: int, id: str, name: str, piece: str) -> None:  # noqa: A002
        """A call of a tool begins or goes on.

        Args:
            key: The provider's own number of the call.
            id: The call's id; only the first one counts.
            name: The tool's name; it may come in pieces until the first piece of the arguments.
            piece: A piece of the arguments' JSON text.

        Raises:
            UpstreamProtocolError: The call is already closed.
        """
        if key != self._open or self._waiting:
            self._piece(_Pieces(key, id=id, name=name, text=piece))
        elif piece:
            self._arguments.append(piece)
            self._delta(piece)

    def finish(
        self,
        stop_reason: str,
        usage: Usage,
        *,
        stop_sequence: str | None = None,
        stop_details: StopDetails | None = None,
    ) -> None:
        """Ends the message.

        Raises:
            UpstreamProtocolError: A tool call is not whole, though the answer is said to be.
        """
        self._require_running()
        cut = stop_reason in _CUT
        self._close(cut=cut)
        while self._waiting:
            first = self._waiting.pop(0)
            if cut and isinstance(first.key, int) and not _is_object(first.text):
                continue  # nothing of it has gone out yet: no caller need see half a call
            self._open_waiting(first)
            self._close(cut=cut)
        self._finished = True
        delta: dict[str, object] = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
        if stop_details is not None:
            delta["stop_details"] = stop_details
        self._emit("message_delta", {"type": "message_delta", "delta": delta, "usage": usage})
        self._emit("message_stop", {"type": "message_stop"})

    def _require_running(self) -> None:
        if not self._begun:
            raise UpstreamProtocolError("content came before the message began")
        if self._finished:
            raise UpstreamProtocolError("content came after the message ended")

    def _piece(self, piece: _Pieces) -> None:
        self._require_running()
        if piece.key == self._open:
            self._continue(piece)
        elif isinstance(piece.key, int) and piece.key in self._closed:
            if piece.text.strip():
                raise UpstreamProtocolError("arguments came for a tool call that is closed")
        else:
            self._wait(piece)
        self._advance()

    def _wait(self, piece: _Pieces) -> None:
        """Joins `piece` to what waits for its block.

        Tool calls may be interleaved, so theirs join wherever they wait. Text and thinking join only their
        last neighbour: joined across another block they would change places with it.
        """
        candidates = self._waiting if isinstance(piece.key, int) else self._waiting[-1:]
        for waiting in candidates:
            if waiting.key == piece.key and not waiting.signature:
                waiting.id = waiting.id or piece.id
                if not waiting.text and piece.name != waiting.name:  # some servers repeat the whole name
                    waiting.name += piece.name
                waiting.text += piece.text
                waiting.signature = piece.signature
                return
        self._waiting.append(piece)

    def _advance(self) -> None:
        """Opens what waits, as far as the open block and the waiting ones allow."""
        while self._waiting and self._open_is_whole():
            first = self._waiting[0]
            if isinstance(first.key, int) and not first.text and len(self._waiting) == 1:
                return  # its name may still be coming
            self._close(cut=False)
            self._open_waiting(self._waiting.pop(0))

    def _open_is_whole(self) -> bool:
        """Whether another block may open; where the last piece ends in no brace, no long text is put together."""
        if not isinstance(self._open, int):
            return True
        last = self._arguments[-1].strip() if self._arguments else ""
        return (not last or last.endswith("}")) and _is_object("".join(self._arguments))

    def _open_waiting(self, first: _Pieces) -> None:
        self._index += 1
        self._open = first.key
        self._arguments.clear()
        if first.key == TEXT:
            block: dict[str, object] = {"type": "text", "text": ""}
            delta = b'"text_delta","text":'
        elif first.key == THINKING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            delta = b'"thinking_delta","thinking":'
        else:
            if not first.name or not first.id:
                raise UpstreamProtocolError("a tool call came without an id or a name")
            name = self._names.get(first.name, first.name)
            block = {"type": "tool_use", "id": first.id, "name": name, "input": {}}
            delta = b'"input_json_delta","partial_json":'
        self._delta_start = b'{"type":"content_block_delta","index":%d,"delta":{"type":%b' % (self._index, delta)
        self._emit(
            "content_block_start",
            {"type": "content_block_start", "index": self._index, "content_block": block},
        )
        self._continue(first)

    def _continue(self, piece: _Pieces) -> None:
        if piece.text:
            if isinstance(piece.key, int):
                self._arguments.append(piece.text)
            self._delta(piece.text)
        if piece.signature:
            delta = {"type": "signature_delta", "signature": piece.signature}
            self._emit(
                "content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta}
            )
            self._close(cut=False)

    def _close(self, *, cut: bool) -> None:
        if self._open is None:
            return
        if isinstance(self._open, int):
            arguments = "".join(self._arguments)
            if not cut and arguments.strip() and not _is_object(arguments):
                raise UpstreamProtocolError("the arguments of a tool call are not one JSON object")
            self._closed.add(self._open)
        self._open = None
        self._emit("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _delta(self, text: str) -> None:
        """Text for the open block. The document is put together by hand: it is nearly all of a stream."""
        self._events.append(Event("content_block_delta", b"%b%b}}" % (self._delta_start, _encode(text))))

    def _emit(self, type: str, document: dict[str, object]) -> None:  # noqa: A002
        self._events.append(Event(type, msgspec.json.encode(document)))


_encode = msgspec.json.Encoder().encode


def _is_object(text: str) -> bool:
    if not text.rstrip().endswith("}"):
        return False
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
