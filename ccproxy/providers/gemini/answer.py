"""What an answer is read against, and what a whole one shares with a streamed one.

Source: https://ai.google.dev/api/generate-content#FinishReason (read 2026-11-22).
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Message, Request, StopDetails, Text, Thinking, ToolUse, Usage
from ccproxy.providers.gemini.failures import Failures
from ccproxy.providers.gemini.wire import UsageMetadata


class Expected(Struct, frozen=True):
    """What is known of an answer before it comes.

    Attributes:
        model: The model by the caller's name.
        upstream_model: Its name there.
        names: The caller's names of tools by the names they have upstream, where these differ.
        stop_sequences: The caller's.
        shows_thinking: Whether the caller wants to see thinking.
        thinks: Whether the caller takes thinking blocks at all; without calls nothing else needs state.
        single_call: Whether only the first call counts: Gemini cannot be told to make one at a time.
        failures: Makes the provider's errors.
    """

    model: str
    upstream_model: str
    names: Mapping[str, str]
    stop_sequences: tuple[str, ...]
    shows_thinking: bool
    thinks: bool
    single_call: bool
    failures: Failures


def expected(
    request: Request, model: str, upstream_model: str, names: Mapping[str, str], failures: Failures
) -> Expected:
    """What the answer to `request` is read against."""
    thinking, choice = request.thinking, request.tool_choice
    thinks = thinking is None or thinking.type != "disabled"
    return Expected(
        model,
        upstream_model,
        names,
        tuple(request.stop_sequences or ()),
        shows_thinking=thinks and (thinking is None or thinking.display != "omitted"),
        thinks=thinks,
        single_call=choice is not None and bool(choice.disable_parallel_tool_use),
        failures=failures,
    )


_REFUSED = frozenset(
    {
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR"),
        *("ESCALATION", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER"),
    }
)
_FAILED = frozenset(
    {
        *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS"),
        *("MISSING_THOUGHT_SIGNATURE", "OTHER", "NO_IMAGE"),
    }
)
_CUT = frozenset({"MAX_TOKENS", "CONTINUATION"})


def is_failure(finish: str) -> bool:
    """Whether the answer failed: what came with it must not be acted on."""
    return finish in _FAILED


def is_cut(finish: str) -> bool:
    """Whether the answer is not whole."""
    return finish in _CUT or finish in _REFUSED


def stop_reason(finish: str, *, called: bool) -> str:
    """Anthropic's stop reason; with calls Gemini says STOP as well.

    A word that is not known ends a turn: the server says that the answer is whole.
    """
    if finish in _REFUSED:
        return "refusal"
    if finish in _CUT:
        return "max_tokens"
    return "tool_use" if called else "end_turn"


def usage_of(counts: UsageMetadata) -> Usage:
    """Anthropic's counts: cached tokens are not part of the input, thoughts are part of the output."""
    cached, tools = counts.cached_content_token_count, counts.tool_use_prompt_token_count
    said, thought = counts.candidates_token_count, counts.thoughts_token_count
    prompt = counts.prompt_token_count
    return Usage(
        input_tokens=UNSET if prompt is None else max(0, prompt - (cached or 0)) + (tools or 0),
        cache_read_input_tokens=UNSET if cached is None else cached,
        output_tokens=UNSET if said is None and thought is None else (said or 0) + (thought or 0),
        output_tokens_details=UNSET if thought is None else {"thinking_tokens": thought},
    )


class Collector:
    """Collects one whole answer: what `BlockWriter` is to a stream."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._content: list[Text | Thinking | ToolUse] = []
        self._id = ""
        self._model = ""
        self.body = b""  # the message as JSON, once it is whole

    @property
    def finished(self) -> bool:
        """Whether `finish` has been called."""
        return self.body != b""

    def start(self, id: str, model: str) -> None:  # noqa: A002  # Anthropic's word
        """Begins the message."""
        self._id, self._model = id, model

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
        """A whole call of a tool."""
        self._content.append(ToolUse(id, self._names.get(name, name), Raw(piece.encode())))

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
            self._id, "assistant", self._model, self._content, stop_reason, stop_sequence, usage, details
        )
        self.body = msgspec.json.encode(message)


def arguments(args: object) -> str:
    """A call's arguments as JSON text.

    Raises:
        UpstreamProtocolError: They are not UTF-8: what was not opened so far is not checked.
    """
    try:
        return msgspec.json.encode(args).decode()
    except UnicodeDecodeError as error:
        raise UpstreamProtocolError("the arguments of a tool call are not UTF-8") from error
