"""Answers: a whole one, and what it shares with a streamed one.

Source: https://platform.openai.com/docs/api-reference/chat/object (read 2026-11-22).
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import EMPTY_OBJECT, Message, Request, StopDetails, Text, Thinking, ToolUse, Usage
from ccproxy.provider import Answer
from ccproxy.providers.openai_chat.dialect import Thoughts
from ccproxy.providers.openai_chat.failures import Failures
from ccproxy.providers.openai_chat.wire import CallPiece, ChatUsage, Choice, Completion, Delta, StreamChoice
from ccproxy.providers.stop_sequences import StopSequences

T = TypeVar("T")

_ID = re.compile(r"[a-zA-Z0-9_-]+")  # what Anthropic accepts when the conversation moves there
MAX_ID = 64


class Expected(Struct, frozen=True):
    """What is known of an answer before it comes.

    Attributes:
        model: The model by the caller's name.
        names: The caller's names of tools by the names they have upstream, where these differ.
        stop_sequences: The caller's.
        shows_thinking: Whether the caller wants to see thinking.
        failures: Makes the provider's errors.
        thoughts: Makes the reader of its reasoning.
    """

    model: str
    names: Mapping[str, str]
    stop_sequences: tuple[str, ...]
    shows_thinking: bool
    failures: Failures
    thoughts: Callable[[], Thoughts]


def expected(
    request: Request, model: str, names: Mapping[str, str], failures: Failures, thoughts: Callable[[], Thoughts]
) -> Expected:
    """What the answer to `request` is read against."""
    thinking = request.thinking
    shows = thinking is None or not (thinking.type == "disabled" or thinking.display == "omitted")
    return Expected(model, names, tuple(request.stop_sequences or ()), shows, failures, thoughts)


def decode(document: bytes, type: type[T], what: str) -> T:  # noqa: A002  # msgspec's word
    """Decodes a provider's JSON.

    Raises:
        UpstreamProtocolError: It is not what the API documents.
    """
    try:
        return msgspec.json.decode(document, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamProtocolError(f"{what} is not what the API documents") from error


def read(body: bytes, want: Expected) -> Answer:
    """Reads a whole answer.

    Raises:
        ApiError: It is an error with status 200.
        UpstreamProtocolError: It is no answer.
    """
    completion = decode(body, Completion, "the answer")
    if completion.error is not UNSET and is_error(completion.error):
        raise want.failures.inside(bytes(completion.error))
    choice = next((choice for choice in completion.choices or () if choice.index == 0), None)
    finish = None if choice is None else finish_of(choice)
    if choice is None or choice.message is None or not finish:
        raise UpstreamProtocolError("the answer holds no finished choice")
    id = message_id(completion.id, body)  # noqa: A001  # the API's word
    usage = usage_of(completion.usage)
    message = _message(id, choice.message, finish, usage, want)
    return Answer(msgspec.json.encode(message), usage)


def _message(id: str, said: Delta, finish: str, usage: Usage, want: Expected) -> Message:  # noqa: A002
    content: list[Text | Thinking | ToolUse] = []
    thoughts = want.thoughts()
    told = thoughts.feed(said)
    thought = told if want.shows_thinking else ""
    signature = thoughts.sign(shown=want.shows_thinking, called=bool(said.tool_calls))
    if thought or signature:
        content.append(Thinking(thought, signature))
    stops = StopSequences(want.stop_sequences)
    text = stops.feed(said.content or "")
    text += stops.flush() + ("" if stops.matched else said.refusal or "")
    if text:
        content.append(Text(text))
    calls = [] if stops.matched else _calls(said, id, want, cut=finish in CUT)
    content += calls
    reason = "stop_sequence"
    if stops.matched is None:
        reason = stop_reason(finish, want, called=bool(calls), refused=bool(said.refusal))
    return Message(
        id,
        "assistant",
        want.model,
        content,
        reason,
        stops.matched,
        counted(usage),
        StopDetails() if reason == "refusal" else UNSET,
    )


def _calls(said: Delta, message: str, want: Expected, *, cut: bool) -> list[ToolUse]:
    """The calls; of an answer cut at its limit only the whole ones, so that no client runs a half one."""
    pieces = said.tool_calls or []
    if not pieces and said.function_call is not None:
        pieces = [CallPiece(function=said.function_call)]
    ids = CallIds(message)
    calls = []
    for piece in pieces:
        if piece.function is None or not piece.function.name:
            raise UpstreamProtocolError("a tool call names no function")
        arguments = piece.function.arguments or ""
        if cut and not is_object(arguments):
            continue
        if arguments.strip() and not is_object(arguments):
            raise UpstreamProtocolError("the arguments of a tool call are not one JSON object")
        name = want.names.get(piece.function.name, piece.function.name)
        given = Raw(arguments.encode()) if arguments.strip() else EMPTY_OBJECT
        calls.append(ToolUse(ids.make(piece.id), name, given))
    return calls


def is_object(text: str) -> bool:
    """Whether `text` is one JSON object."""
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def finish_of(choice: Choice | StreamChoice) -> str | None:
    """Why it ended. OpenRouter passes on the model's own word too: what hit its limit was cut."""
    return "length" if choice.native_finish_reason == "max_output_tokens" else choice.finish_reason


def is_error(member: Raw) -> bool:
    """Whether an `error` member holds an error."""
    return bytes(member) != b"null"


def message_id(id: str | None, document: bytes) -> str:  # noqa: A002  # the API's word
    """The message's id: the provider's own in Anthropic's form, or one made from the answer's first bytes."""
    return "msg_" + (re.sub(r"[^a-zA-Z0-9_-]", "_", id)[:MAX_ID] if id else _digest(document))


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


CUT = {"length": "max_tokens", "model_length": "max_tokens", "content_filter": "refusal"}
"""Finish reasons of an answer that is not whole, and what Anthropic calls them."""


def stop_reason(finish: str, want: Expected, *, called: bool, refused: bool) -> str:
    """Anthropic's stop reason.

    Calls count whatever `finish` says: with a named tool OpenAI says "stop". A word that is not known ends a turn:
    the server says that the answer is whole.

    Raises:
        ApiError: The provider gave the answer up for lack of room.
        UpstreamProtocolError: It gave it up for an error that it does not name.
    """
    if finish == "insufficient_system_resource":  # https://api-docs.deepseek.com
        raise want.failures.overloaded()
    if finish == "error":
        raise UpstreamProtocolError("the answer ended in an error that has no name")
    if finish in CUT:
        return CUT[finish]
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def usage_of(usage: ChatUsage | None) -> Usage:
    """Anthropic's counts: what came from a cache or went into one is not part of `input_tokens`."""
    if usage is None:
        return Usage()
    details, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = details.cached_tokens if details else None
    if usage.prompt_cache_hit_tokens is not None:
        cached = usage.prompt_cache_hit_tokens
    written = details.cache_write_tokens if details else None
    thought = completion.reasoning_tokens if completion else None
    fresh: int | UnsetType = UNSET
    if usage.prompt_cache_miss_tokens is not None:
        fresh = usage.prompt_cache_miss_tokens
    elif usage.prompt_tokens is not None:
        fresh = max(0, usage.prompt_tokens - (cached or 0) - (written or 0))
    return Usage(
        input_tokens=fresh,
        cache_creation_input_tokens=UNSET if written is None else written,
        cache_read_input_tokens=UNSET if cached is None else cached,
        output_tokens=UNSET if usage.completion_tokens is None else usage.completion_tokens,
        output_tokens_details=UNSET if thought is None else _thinking_tokens(thought, usage.completion_tokens),
    )


def _thinking_tokens(thought: int, completion: int | None) -> dict[str, int]:
    return {"thinking_tokens": thought if completion is None else min(thought, completion)}


def counted(usage: Usage) -> Usage:
    """`usage` with the two counts that every answer carries; SDKs read them unasked."""
    return msgspec.structs.replace(
        usage, input_tokens=usage.input_tokens or 0, output_tokens=usage.output_tokens or 0
    )
