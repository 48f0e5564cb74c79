"""The conversation: Anthropic's turns as Gemini's contents.

Three rules shape it (https://ai.google.dev/gemini-api/docs/function-calling, read 2026-11-22): user and model
alternate, beginning and ending with the user; all answers to a model's calls stand at the head of the content that
follows them, in the order of the calls; and a part's `thoughtSignature` comes back on that part.
"""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccproxy.messages import (
    Base64Source,
    Block,
    Document,
    Image,
    Request,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
    UrlSource,
)
from ccproxy.providers.conversation import (
    Parts,
    blocks_of,
    content_of,
    opening,
    results_in,
    steps,
    system_blocks,
)
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
        self._parts = _Parts(dropped)
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
                self._add("user", self._parts.of(rest) or [Part(text=OMITTED)])

    def _add(self, role: str, parts: list[Part]) -> None:
        if self._contents and self._contents[-1].role == role:
            self._contents[-1].parts.extend(parts)
        elif parts:
            self._contents.append(Content(parts, role))

    def _system(self, blocks: Iterable[Block]) -> None:
        """There is one system instruction: what comes later stays in its place, marked as Claude Code does it."""
        texts = [part.text for part in self._parts.of(blocks) if isinstance(part.text, str)]
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
                    parts += self._parts.text(block)
                case ToolUse():
                    parts.append(self._call(block, waiting.pop("call", UNSET), first=not called))
                    called = True
                case _:
                    parts += self._parts.of([block])
        return parts

    def _thinking(self, block: Thinking, parts: list[Part]) -> dict[str, str]:
        """Returns the state that waits for a later part, by that part's kind."""
        state = None if self._stateless else state_of(block.signature, self._model)
        if state is None:
            self._parts.drop(block)
            return {}
        belongs_to, signature = state
        if belongs_to == "empty":
            parts.append(Part(text="", thought_signature=signature))
        elif belongs_to == "thought":
            parts.append(Part(text=block.thinking, thought=True, thought_signature=signature))
        elif belongs_to == "text" and parts and _is_unsigned_text(parts[-1]):
            parts[-1] = msgspec.structs.replace(parts[-1], thought_signature=signature)
        return {belongs_to: signature}

    def _call(self, call: ToolUse, signature: str | UnsetType, *, first: bool) -> Part:
        if signature is UNSET and first and self._is_third:
            signature = STAND_IN
        text = bytes(call.input).decode()  # not opened so far, so it may be no UTF-8
        arguments = Raw("{}" if text == "null" else text)
        return Part(function_call=FunctionCall(upstream_name(call.name), arguments), thought_signature=signature)

    def _results(self, calls: list[ToolUse], others: list[Turn]) -> set[int]:
        """Answers every call; returns the identities of the result blocks used."""
        results = results_in(others)
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
        if attached:
            self._add("user", attached)
        return used

    def _response(self, name: str, result: ToolResult, attached: list[Part]) -> FunctionResponse:
        texts, inside = [], []
        if isinstance(result.content, str):
            texts.append(result.content)
        for part in [] if texts else self._parts.of(content_of(result)):
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


def _is_unsigned_text(part: Part) -> bool:
    return isinstance(part.text, str) and part.thought is UNSET and part.thought_signature is UNSET


class _Parts(Parts[Part]):
    """The parts of a content."""

    def text(self, text: Text) -> list[Part]:
        """See `Parts.text`."""
        return [Part(text=text.text)] if text.text else []

    def image(self, image: Image) -> list[Part]:
        """See `Parts.image`."""
        return self._media(image, _IMAGES)

    def file(self, document: Document) -> list[Part]:
        """See `Parts.file`."""
        media = self._media(document, _DOCUMENTS)
        named = document.title or document.context
        return [Part(text=opening(document) + "</document>"), *media] if media and named else media

    def orphan(self, result: ToolResult) -> list[Part]:
        """See `Parts.orphan`."""
        return [Part(text="Result of an earlier tool call:"), *self.of(content_of(result))]

    def _media(self, block: Image | Document, types: frozenset[str]) -> list[Part]:
        match block.source:
            case Base64Source() as source if source.media_type in types:
                return [Part(inline_data=Blob(source.media_type, source.data))]
            case UrlSource(url=url) if url.startswith(_FETCHED):
                return [Part(file_data=FileData(url))]
            case _:
                self.drop_source(block)
                return []
