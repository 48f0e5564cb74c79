"""Answers: a whole one, and what it shares with a streamed one.

Source: https://platform.openai.com/docs/api-reference/responses/object (read 2026-11-22). The order of the output
items is kept; items of tools that the provider runs are never asked for and not shown.
"""

from collections.abc import Mapping
from typing import assert_never

from msgspec import UNSET, Raw, Struct

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import StopDetails, Usage
from ccproxy.provider import Answer
from ccproxy.providers.answers import CallIds, Collector, counted, decode, is_error, is_object, message_id
from ccproxy.providers.openai_chat.answer import usage_of
from ccproxy.providers.openai_chat.failures import Failures
from ccproxy.providers.openai_chat.wire import ChatUsage, CompletionDetails, PromptDetails
from ccproxy.providers.openai_responses.items import Phase, signature
from ccproxy.providers.openai_responses.wire import (
    OutputCall,
    OutputMessage,
    OutputReasoning,
    Reasoning,
    Response,
    TextPart,
    Typed,
)
from ccproxy.providers.stop_sequences import Estimates, StopSequences

PARAGRAPH = "\n\n"  # between the parts of a summary

CUT = {"max_output_tokens": "max_tokens", "content_filter": "refusal"}
"""Why an answer is not whole, and what Anthropic calls it."""

OutputItem = OutputMessage | OutputCall | OutputReasoning

_ITEMS: Mapping[str, type[OutputItem]] = {
    "message": OutputMessage,
    "function_call": OutputCall,
    "reasoning": OutputReasoning,
}


class Expected(Struct, frozen=True):
    """What is known of an answer before it comes.

    Attributes:
        model: The model by the caller's name.
        upstream: The model by the provider's name; reasoning is bound to it.
        names: The caller's names of tools by the names they have upstream, where these differ.
        stop_sequences: The caller's.
        shows_thinking: Whether the caller wants to see thinking.
        carries: Whether reasoning is to come back in later turns.
        failures: Makes the provider's errors.
        estimates: Estimates the usage that does not come.
    """

    model: str
    upstream: str
    names: Mapping[str, str]
    stop_sequences: tuple[str, ...]
    shows_thinking: bool
    carries: bool
    failures: Failures
    estimates: Estimates


def read(body: bytes, want: Expected) -> Answer:
    """Reads a whole answer.

    Raises:
        ApiError: It is an error with status 200, or a failed answer.
        UpstreamProtocolError: It is no answer.
    """
    response = decode(body, Response, "the answer")
    require_ended(response, body, want)
    usage = usage_in(response)
    collector = Collector(want.names)
    collector.start(message_id(response.id, body), want.model)
    reader = _Reader(collector, want, cut=is_cut(response))
    for raw in response.output or ():
        reader.item(item_of(raw))
        if reader.stops.matched is not None:
            collector.finish("stop_sequence", counted(usage), stop_sequence=reader.stops.matched)
            return Answer(collector.body, usage)
    collector.text(reader.stops.flush())
    reason = stop_reason(response, called=reader.called, refused=reader.refused)
    collector.finish(reason, counted(usage), stop_details=StopDetails() if reason == "refusal" else None)
    return Answer(collector.body, usage)


class _Reader:
    """Reads the items of a whole answer."""

    def __init__(self, collector: Collector, want: Expected, *, cut: bool) -> None:
        self.stops = StopSequences(want.stop_sequences)
        self.called = False
        self.refused = False
        self._collector = collector
        self._want = want
        self._cut = cut
        self._ids = CallIds(collector.id)

    def item(self, item: OutputItem | None) -> None:
        """The next item."""
        match item:
            case OutputMessage():
                if phase := phase_of(item, self._want):
                    self._collector.text(self.stops.flush())
                    self._collector.signature(phase)
                for part in item.content:
                    self._part(part)
            case OutputCall():
                self._collector.text(self.stops.flush())
                self._call(item)
            case OutputReasoning():
                self._collector.text(self.stops.flush())
                self._thought(item)
            case None:
                pass  # of a tool that the provider runs
            case _:
                assert_never(item)

    def _part(self, part: TextPart) -> None:
        if self.stops.matched is not None:
            return
        if part.type == "output_text":
            self._collector.text(self.stops.feed(part.text or ""))
        elif part.type == "refusal" and part.refusal:
            self.refused = True
            self._collector.text(self.stops.flush() + part.refusal)

    def _call(self, call: OutputCall) -> None:
        """A call; of an answer cut at its limit only a whole one, so that no client runs half a one."""
        arguments = call.arguments or ""
        if self._cut and not is_object(arguments):
            return
        self._collector.tool(0, self._ids.make(call.call_id), call.name or "", arguments)
        self.called = True

    def _thought(self, reasoning: OutputReasoning) -> None:
        if self._want.shows_thinking:
            self._collector.thinking(thought_of(reasoning))
        if signed := signature_of(reasoning, self._want):
            self._collector.signature(signed)


def require_ended(response: Response, document: bytes, want: Expected) -> None:
    """Refuses an answer that did not come to an end.

    Raises:
        ApiError: It failed, or is an error with status 200.
        UpstreamProtocolError: It is not there, or not ended.
    """
    if response.error is not UNSET and is_error(response.error):
        raise want.failures.inside(bytes(response.error))
    if response.status == "failed":
        raise want.failures.inside(document)
    if response.status not in {"completed", "incomplete"}:
        raise UpstreamProtocolError("the answer is not ended")


def item_of(raw: Raw) -> OutputItem | None:
    """An output item; None where it is of a type that is not read.

    Raises:
        UpstreamProtocolError: It is none.
    """
    type_ = _ITEMS.get(decode(bytes(raw), Typed, "an output item").type)
    return None if type_ is None else decode(bytes(raw), type_, "an output item")


def thought_of(reasoning: OutputReasoning) -> str:
    """What a reasoning says: its summary, or where there is none the thing itself."""
    summary = b"" if bytes(reasoning.summary) == b"null" else bytes(reasoning.summary)
    parts = decode(summary, list[TextPart], "a summary") if summary else []
    texts = [part.text for part in parts if part.text]
    return PARAGRAPH.join(texts or [part.text for part in reasoning.content or () if part.text])


def signature_of(reasoning: OutputReasoning, want: Expected) -> str:
    """The signature that carries a reasoning; empty where it cannot come back, or need not."""
    if not (want.carries and reasoning.id and reasoning.encrypted_content):
        return ""
    summary = reasoning.summary if bytes(reasoning.summary) not in {b"", b"null"} else Raw(b"[]")
    return signature(want.upstream, Reasoning(reasoning.id, summary, reasoning.encrypted_content))


def phase_of(message: OutputMessage, want: Expected) -> str:
    """The signature that carries a message's phase, before its text; empty where there is none to keep.

    OpenAI asks for it back: without it a model may take its own commentary for the end of its work.
    """
    return signature(want.upstream, Phase(message.phase)) if want.carries and message.phase else ""


def is_cut(response: Response) -> bool:
    """Whether the answer was cut: its last call may be half a one."""
    return response.status == "incomplete" and _reason(response) in CUT


def stop_reason(response: Response, *, called: bool, refused: bool) -> str:
    """Anthropic's stop reason. An answer that is incomplete for a reason that is not known ends a turn."""
    if is_cut(response):
        return CUT[_reason(response)]
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def _reason(response: Response) -> str:
    details = response.incomplete_details
    return (details and details.reason) or ""


def usage_in(response: Response) -> Usage:
    """Anthropic's counts."""
    usage = response.usage
    if usage is None:
        return Usage()
    details, output = usage.input_tokens_details, usage.output_tokens_details
    return usage_of(
        ChatUsage(
            usage.input_tokens,
            usage.output_tokens,
            PromptDetails(details.cached_tokens, details.cache_write_tokens) if details else None,
            CompletionDetails(output.reasoning_tokens) if output else None,
        ),
        response.service_tier,
    )
