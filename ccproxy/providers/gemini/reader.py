"""Reads an answer, chunk by chunk; a whole answer is one chunk.

Source: https://ai.google.dev/api/generate-content (read 2026-11-22). There is no terminator but the end of the
connection, and a STOP is not the end: an answer that runs code says STOP, goes on, and says STOP again.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import StopDetails, Usage
from ccproxy.providers.answers import CallIds, Writer, counted, decode, is_error, message_id
from ccproxy.providers.gemini.answer import Expected, arguments, is_cut, is_failure, stop_reason, usage_of
from ccproxy.providers.gemini.partial import PartialArguments
from ccproxy.providers.gemini.state import Kind, carried
from ccproxy.providers.gemini.wire import AnswerPart, Called, Candidate, Generated, UsageMetadata
from ccproxy.providers.stop_sequences import StopSequences
from ccproxy.providers.web_search import Sources


class _Pending:
    """A call whose arguments come in pieces."""

    def __init__(self, called: Called, name: str) -> None:
        self.id = called.id
        self.name = name
        self.arguments = PartialArguments()


class Reader:
    """Reads one answer into a writer."""

    def __init__(self, want: Expected, writer: Writer) -> None:
        self._want = want
        self._writer = writer
        self._stops = StopSequences(want.stop_sequences)
        self._begun = False
        self._ids = CallIds("")
        self._calls = 0
        self._pending: _Pending | None = None
        self._last: Kind | None = None  # of which kind the part before was
        self._state: tuple[Kind, str] | None = None  # of the text or thought at hand, with its kind
        self._sources = Sources(shown=want.cites)
        self._finish: str | None = None
        self._explanation: str | None = None
        self._counts: UsageMetadata | None = None  # the newest, until somebody asks
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """The tokens known so far. Every chunk counts them anew, and hardly anybody asks."""
        if self._counts is not None:
            self._usage, self._counts = usage_of(self._counts), None
        return self._usage

    def chunk(self, data: bytes) -> None:
        """Takes one document.

        Raises:
            ApiError: It is an error, or the answer failed.
            UpstreamProtocolError: It is not what the API documents.
        """
        if self._writer.finished:
            return
        chunk = decode(data, Generated, "a chunk")
        if chunk.error is not UNSET and is_error(chunk.error):
            raise self._want.failures.inside(data)
        if not self._begun:
            self._begun = True
            id = message_id(chunk.response_id, data)  # noqa: A001  # the API's word
            self._ids = CallIds(id)
            self._writer.start(id, self._want.model)
        counts = chunk.usage_metadata
        if counts is not None and (
            counts.prompt_token_count is not None or counts.candidates_token_count is not None
        ):
            self._counts = counts
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason:
            self._finish, self._explanation = "PROHIBITED_CONTENT", feedback.block_reason_message
        for candidate in chunk.candidates or ():
            if candidate.index == 0:
                self._candidate(candidate)

    def end(self) -> None:
        """Takes note that nothing more comes.

        Raises:
            UpstreamProtocolError: The answer never said that it was whole.
        """
        if self._writer.finished:
            return
        if self._finish is None:
            raise UpstreamProtocolError("the answer ended early")
        if is_cut(self._finish):
            self._pending = None  # half a call is none
        self._call_pending()
        if self._state is not None and self._state[0] in {"text", "empty"}:
            self._state = None  # behind the text it would be the last block, and clients print that one
        self._settle()
        self._writer.text(self._stops.flush())
        reason = stop_reason(self._finish, called=self._calls > 0)
        if reason in {"end_turn", "max_tokens"}:  # nothing comes after calls
            self._writer.text(self._sources.text)
        details = StopDetails(explanation=self._explanation) if reason == "refusal" else None
        self._writer.finish(reason, counted(self.usage), stop_details=details)

    def _candidate(self, candidate: Candidate) -> None:
        if candidate.finish_reason:
            if is_failure(candidate.finish_reason):  # before its parts: they may hold a call that must not run
                raise self._want.failures.unusable_answer(candidate.finish_reason)
            self._finish = candidate.finish_reason
            self._explanation = candidate.finish_message
        grounding = candidate.grounding_metadata
        for source in (grounding and grounding.grounding_chunks) or ():
            if source.web is not None:
                self._sources.add(source.web.uri, source.web.title)
        content = candidate.content
        for part in (content.parts if content is not None else None) or ():
            if not self._writer.finished:
                self._part(part)

    def _part(self, part: AnswerPart) -> None:
        if part.function_call is not None:
            self._call(part.function_call, part.thought_signature)
            return
        if self._pending is not None:
            self._call_pending()
        if part.thought:
            self._thought(part)
        elif part.text is not None:
            self._text(part.text, part.thought_signature)
        elif part.executable_code is not None:
            code = part.executable_code
            self._text(f"\n```{code.language.lower()}\n{code.code}\n```\n", part.thought_signature)
        elif part.code_execution_result is not None:
            self._text(f"\n```\n{part.code_execution_result.output}\n```\n", part.thought_signature)
        elif part.inline_data is not None:
            self._text(f"[{part.inline_data.mime_type} omitted]", None)

    def _thought(self, part: AnswerPart) -> None:
        self._follow("thought", part.thought_signature)
        self._writer.text(self._stops.flush())
        if self._want.shows_thinking:
            self._writer.thinking(part.text or "")

    def _text(self, text: str, signature: str | None) -> None:
        if not text:
            if signature:
                self._follow("text" if self._last == "text" and self._state is None else "empty", signature)
            return
        self._follow("text", signature)
        self._writer.text(self._stops.feed(text))
        if self._stops.matched is not None:  # the state is the whole text's, so it goes nowhere
            self._usage = self._want.estimates.fill(self.usage, self._stops.said)
            self._writer.finish("stop_sequence", counted(self.usage), stop_sequence=self._stops.matched)

    def _follow(self, kind: Kind, signature: str | None) -> None:
        """A part begins, or a piece of the one at hand: a stream does not tell which.

        State comes on the whole part, on the first piece of it, or on an empty one after the last. So it waits
        for the end of what it belongs to, and a stream has it where a whole answer has it.
        """
        if signature or kind != self._last:
            self._settle()
        self._last = kind
        if signature:
            self._state = kind, signature

    def _settle(self) -> None:
        """Carries the state of what has ended. Only a call cannot do without."""
        if self._state is not None and (self._want.thinks or self._state[0] == "call"):
            kind, signature = self._state
            self._writer.text(self._stops.flush())
            self._writer.signature(carried(kind, self._want.upstream_model, signature))
        self._state = None

    def _call(self, called: Called, signature: str | None) -> None:
        if called.name:
            self._call_pending()
            self._settle()
            self._writer.text(self._stops.flush())
            if self._calls and self._want.single_call:
                return
            self._follow("call", signature)
            self._settle()
            if not called.will_continue and not called.partial_args:
                self._write(called.id, called.name, called.args or {})
                return
            self._pending = _Pending(called, called.name)
        if self._pending is None:
            return  # the end of a call that is already written, or was left out
        for piece in called.partial_args or ():
            self._pending.arguments.add(piece)
        if not called.will_continue:
            self._call_pending()

    def _call_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._write(pending.id, pending.name, pending.arguments.finish())

    def _write(self, id: str | None, name: str, args: Mapping[str, Any]) -> None:  # noqa: A002  # the API's word
        self._writer.tool(self._calls, self._ids.make(id), name, arguments(args))
        self._calls += 1


def documents(body: bytes) -> list[bytes]:
    """The documents of a body: one, or those of a list, which is how a stream comes that is no event stream.

    Raises:
        UpstreamProtocolError: It is no JSON.
    """
    if body.lstrip()[:1] != b"[":
        return [body]
    return [bytes(each) for each in decode(body, list[msgspec.Raw], "the answer")]
