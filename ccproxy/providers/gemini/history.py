"""The conversation: Anthropic's turns as Gemini's contents.

Three rules shape it (https://ai.google.dev/gemini-api/docs/function-calling, read 2026-11-22): user and model
alternate, beginning and ending with the user; all answers to a model's calls stand at the head of the content that
follows them, in the order of the calls; and a part's `thoughtSignature` comes back on that part.
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec import UNSET, Raw, UnsetType

from ccproxy.messages import (
    Base64Source,
    Block,
    ContentSource,
    Document,
    FileSource,
    Image,
    RedactedThinking,
    Request,
    SearchResult,
    Text,
    TextSource,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
    Unknown,
    UrlSource,
)
from ccproxy.providers.conversation import blocks_of, kind, opening, search_result, steps, system_blocks
from ccproxy.providers.gemini.models import family
from ccproxy.providers.gemini.state import STAND_IN, state_of
from ccproxy.providers.gemini.tools import upstream_name
from ccproxy.providers.gemini.wire import (
    Blob,
    Content,
    FileData,
    FunctionCall,
    FunctionResponse,
    Part,
    ResponsePart,
)

INTERRUPTED = "[tool call interrupted]"
ATTACHED = "[attached after the results]"
OMITTED = "[content omitted: this model cannot take it]"
CONTINUED = "[the conversation begins with an earlier answer]"

_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_DOCUMENTS = frozenset({"application/pdf", "text/plain"})
_IN_RESULTS = frozenset({"image/png", "image/jpeg", "image/webp", *_DOCUMENTS})
_FETCHED = ("https://", "gs://")  # what the provider itself fetches; CCProxy never does


def system_parts(request: Request) -> list[Part]:
    """The system prompt."""
    return [Part(text=block.text) for block in system_blocks(request) if block.text]


def conversation(request: Request, model: str, dropped: set[str], *, stateless: bool = False) -> list[Content]:
    """All contents.

    Args:
        request: The caller's request.
        model: The model there: it decides what a result may hold, and whose state is its own.
        dropped: Gets the path of what cannot be said.
        stateless: Whether to leave out all state, because the provider refused it.
    """
    writer = _Writer(model, dropped, stateless=stateless)
    for answer, others in steps(request.messages):
        writer.step(answer, others)
    return writer.finished()


class _Writer:
    """Writes the contents; neighbours of one role become one."""

    def __init__(self, model: str, dropped: set[str], *, stateless: bool) -> None:
        self._contents: list[Content] = []
        self._model = model
        self._is_third = family(model).is_third
        self._dropped = dropped
        self._stateless = stateless

    def finished(self) -> list[Content]:
        """The contents, ending with the user."""
        if not self._contents or self._contents[-1].role != "user":
            self._add("user", [Part(text=OMITTED)])
        return self._contents

    def step(self, answer: list[Block], others: list[Turn]) -> None:
        """What the model said, and all that came before it spoke again."""
        said = self._said(answer)
        if said and not self._contents:
            self._add("user", [Part(text=CONTINUED)])
        self._add("model", said)
        used = self._results([block for block in answer if isinstance(block, ToolUse)], others)
        for turn in others:
            rest = [block for block in blocks_of(turn) if id(block) not in used]
            if turn.role == "system":
                self._system(rest)
            elif rest:
                self._add("user", self._parts(rest) or [Part(text=OMITTED)])

    def _add(self, role: str, parts: list[Part]) -> None:
        if self._contents and self._contents[-1].role == role:
            self._contents[-1].parts.extend(parts)
        elif parts:
            self._contents.append(Content(parts, role))

    def _system(self, blocks: Iterable[Block]) -> None:
        """There is one system instruction: what comes later stays in its place, marked as Claude Code does it."""
        texts = [part.text for part in self._parts(blocks) if isinstance(part.text, str)]
        if texts:
            text = "\n\n".join(texts)
            self._add("user", [Part(text=f"<system-reminder>\n{text}\n</system-reminder>")])

    def _said(self, answer: list[Block]) -> list[Part]:
        """What the model said, each part with the state that belongs to it."""
        parts: list[Part] = []
        waiting: dict[str, str] = {}
        called = False
        for block in answer:
            match block:
                case Thinking():
                    waiting |= self._thinking(block, parts)
                case Text():
                    if block.text:
                        signature = waiting.pop("text", UNSET)
                        parts.append(Part(text=block.text, thought_signature=signature))
                case ToolUse():
                    parts.append(self._call(block, waiting.pop("call", UNSET), first=not called))
                    called = True
                case _:
                    parts += self._parts([block])
        return parts

    def _thinking(self, block: Thinking, parts: list[Part]) -> dict[str, str]:
        """Returns the state that waits for a later part, by that part's kind."""
        state = None if self._stateless else state_of(block.signature, self._model)
        if state is None:
            self._drop(block)
            return {}
        belongs_to, signature = state
        if belongs_to == "empty":
            parts.append(Part(text="", thought_signature=signature))
        elif belongs_to == "thought":
            parts.append(Part(text=block.thinking, thought=True, thought_signature=signature))
        return {belongs_to: signature}

    def _call(self, call: ToolUse, signature: str | UnsetType, *, first: bool) -> Part:
        if signature is UNSET and first and self._is_third:
            signature = STAND_IN
        text = bytes(call.input).decode()  # not opened so far, so it may be no UTF-8
        arguments = Raw("{}" if text == "null" else text)
        return Part(function_call=FunctionCall(upstream_name(call.name), arguments), thought_signature=signature)

    def _results(self, calls: list[ToolUse], others: list[Turn]) -> set[int]:
        """Answers every call; returns the identities of the result blocks used."""
        results: dict[str, ToolResult] = {}
        for turn in others:
            for block in blocks_of(turn):
                if isinstance(block, ToolResult):
                    results.setdefault(block.tool_use_id, block)
        attached: list[Part] = []
        used = set()
        for call in calls:
            name, result = upstream_name(call.name), results.get(call.id)
            if result is None:
                response = FunctionResponse(name, {"error": INTERRUPTED})
            else:
                used.add(id(result))
                response = self._response(name, result, attached)
            self._add("user", [Part(function_response=response)])
        self._add("user", attached)
        return used

    def _response(self, name: str, result: ToolResult, attached: list[Part]) -> FunctionResponse:
        texts, inside = [], []
        for part in self._content(result):
            data = part.inline_data
            if isinstance(part.text, str):
                texts.append(part.text)
            elif self._is_third and isinstance(data, Blob) and data.mime_type in _IN_RESULTS:
                inside.append(ResponsePart(data))
            else:
                texts.append(ATTACHED)
                attached.append(part)
        key = "error" if result.is_error else "output"
        return FunctionResponse(name, {key: "\n".join(texts)}, inside or UNSET)

    def _content(self, result: ToolResult) -> list[Part]:
        content = result.content or ""
        return self._parts([Text(content)] if isinstance(content, str) else content)

    def _parts(self, blocks: Iterable[Block]) -> list[Part]:
        parts: list[Part] = []
        for block in blocks:
            match block:
                case Text():
                    parts += [Part(text=block.text)] if block.text else []
                case Image():
                    parts += self._media(block, block.source, _IMAGES)
                case Document():
                    parts += self._document(block)
                case SearchResult():
                    parts.append(Part(text=search_result(block)))
                case ToolResult():  # of no call that the model made
                    parts += [Part(text="Result of an earlier tool call:"), *self._content(block)]
                case Thinking() | RedactedThinking() | ToolUse() | Unknown():
                    self._drop(block)
                case _:
                    assert_never(block)
        return parts

    def _document(self, document: Document) -> list[Part]:
        source = document.source
        if document.citations is not None and document.citations.enabled:
            self._dropped.add("messages.content.document.citations")
        match source:
            case TextSource():
                return [Part(text=f"{opening(document)}{source.data}</document>")]
            case ContentSource():
                content = source.content
                inner = self._parts([Text(content)] if isinstance(content, str) else content)
                return [Part(text=opening(document)), *inner, Part(text="</document>")]
            case Base64Source() | UrlSource() | FileSource() | Unknown():
                media = self._media(document, source, _DOCUMENTS)
                named = document.title or document.context
                return [Part(text=opening(document) + "</document>"), *media] if media and named else media
            case _:
                assert_never(source)

    def _media(
        self,
        block: Image | Document,
        source: Base64Source | UrlSource | FileSource | Unknown,
        types: frozenset[str],
    ) -> list[Part]:
        match source:
            case Base64Source() if source.media_type in types:
                return [Part(inline_data=Blob(source.media_type, source.data))]
            case UrlSource() if source.url.startswith(_FETCHED):
                return [Part(file_data=FileData(source.url))]
            case _:
                self._dropped.add(f"messages.content.{kind(block)}.{kind(source)}")
                return []

    def _drop(self, block: Block) -> None:
        self._dropped.add(f"messages.content.{kind(block)}")
