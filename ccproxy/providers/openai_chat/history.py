"""The conversation: Anthropic's turns as Chat Completions messages.

Two rules shape it. All answers to a message's calls follow it directly, before anything else
(https://platform.openai.com/docs/guides/function-calling: every call id needs its tool message), while Anthropic
mixes results with text and may interpose a system turn. And a tool message holds text only, so what else a result
holds follows in a user message.
"""

import hashlib
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import assert_never

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccproxy.messages import (
    Base64Source,
    Block,
    Document,
    FileSource,
    Image,
    Request,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    Unknown,
    UrlSource,
)
from ccproxy.providers.conversation import (
    Parts,
    blocks_of,
    content_of,
    data_url,
    kind,
    pdf_name,
    results_in,
    steps,
    system_blocks,
)
from ccproxy.providers.openai_chat.dialect import Dialect, Thought, kept
from ccproxy.providers.openai_chat.tools import upstream_name
from ccproxy.providers.openai_chat.wire import (
    Call,
    CalledFunction,
    ChatMessage,
    File,
    FilePart,
    ImagePart,
    ImageUrl,
    Part,
    TextPart,
)

INTERRUPTED = "Error: [tool call interrupted]"
NO_OUTPUT = "(no output)"  # some servers refuse an empty tool message
ATTACHED = "[attached to the next message]"
OMITTED = "[content omitted: this model cannot take it]"

MAX_CALL_ID = 40  # longer ids are refused: "string too long. Expected a string with maximum length 40"


def conversation(
    request: Request, role: str, model: str, dialect: Dialect, dropped: set[str]
) -> list[ChatMessage]:
    """All messages.

    Args:
        request: The caller's request.
        role: What a system message is called: "system" or "developer".
        model: The model upstream.
        dialect: How the server differs.
        dropped: Gets the path of what cannot be said.
    """
    writer = _Writer(role, model, dialect, dropped, apart=_is_marked(request, dialect))
    writer.system(system_blocks(request))
    for answer, others in steps(request.messages):
        writer.step(answer, others)
    return [_plain(message, joined=dialect.only_text) for message in writer.messages]


class _Writer:
    """Writes the messages; neighbouring user messages become one."""

    def __init__(self, role: str, model: str, dialect: Dialect, dropped: set[str], *, apart: bool) -> None:
        self.messages: list[ChatMessage] = []
        self._role = role
        self._model = model
        self._dialect = dialect
        self._parts = _Parts(dialect, dropped)
        self._apart = apart  # texts, also those without a mark: marks move, and what they leave must not change

    def system(self, blocks: Iterable[Block]) -> None:
        content = self._said(blocks)
        if content:
            self.messages.append(ChatMessage(self._role, content))

    def step(self, answer: list[Block], others: list[Turn]) -> None:
        calls: list[ToolUse] = []
        thoughts: list[Thought] = []
        said: list[Block] = []
        for block in answer:
            if isinstance(block, ToolUse):
                self._parts.cannot_mark("tool_use", block.cache_control)
                calls.append(block)
            elif isinstance(block, Thought):
                thoughts.append(block)
            else:
                said.append(block)
        content = self._said(said)
        recalled, lost = self._dialect.recall(thoughts, self._model, bool(calls))
        for thought in lost:
            self._parts.drop(thought)
        if calls:
            self.messages.append(
                ChatMessage("assistant", content, tool_calls=[_call(call) for call in calls], **recalled)
            )
        elif content:
            self.messages.append(ChatMessage("assistant", content, **recalled))
        used = self._results(calls, others) if calls else frozenset()
        for turn in others:
            rest = [block for block in blocks_of(turn) if id(block) not in used]
            if turn.role == "system":
                self.system(rest)
            elif rest:
                self._user(self._parts.of(rest) or [TextPart(OMITTED)])

    def _results(self, calls: list[ToolUse], others: list[Turn]) -> AbstractSet[int]:
        """Answers every call; returns the identities of the result blocks used."""
        results = results_in(others)
        attached: list[Part] = []
        used = set()
        for call in calls:
            result = results.get(call.id)
            if result is None:
                content: str | list[Part] = INTERRUPTED
            else:
                used.add(id(result))
                content = self._parts.result(result, attached)
                if kept(result.cache_control, self._dialect):
                    content = [TextPart(content, result.cache_control)]
            self.messages.append(ChatMessage("tool", content, tool_call_id=call_id(call.id)))
        if attached:
            self._user(attached)
        return used

    def _user(self, parts: list[Part]) -> None:
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "user" and isinstance(last.content, list):
            last.content.extend(parts)
        else:
            self.messages.append(ChatMessage("user", parts))

    def _said(self, blocks: Iterable[Block]) -> str | list[Part]:
        """The text of a place that takes only text: in one, unless parts are cached apart."""
        parts: list[TextPart] = []
        is_marked = False
        for block in blocks:
            if not isinstance(block, Text):
                self._parts.drop(block)
            elif block.text:
                part = self._parts.part(block)
                parts.append(part)
                is_marked = is_marked or part.cache_control is not UNSET
        if is_marked or (self._apart and len(parts) > 1):
            return [*parts]
        return "\n\n".join([part.text for part in parts])


class _Parts(Parts[Part]):
    """The parts of a message."""

    def __init__(self, dialect: Dialect, dropped: set[str]) -> None:
        super().__init__(dropped)
        self._dialect = dialect

    def text(self, text: Text) -> list[Part]:
        """See `Parts.text`; it keeps its `cache_control` where the server knows that."""
        return [self.part(text)] if text.text else []

    def part(self, text: Text) -> TextPart:
        """A text that is not empty."""
        return TextPart(text.text, text.cache_control if kept(text.cache_control, self._dialect) else UNSET)

    def image(self, image: Image) -> list[Part]:
        """See `Parts.image`."""
        self.cannot_mark("image", image.cache_control)
        source = image.source
        match source:
            case _ if self._dialect.only_text:
                return self._omitted(image)
            case Base64Source():
                return [ImagePart(ImageUrl(data_url(source)))]
            case UrlSource():
                return [ImagePart(ImageUrl(source.url))]
            case FileSource() | Unknown():
                self.drop_source(image)
                return []
            case _:
                assert_never(source)

    def document(self, document: Document) -> list[Part]:
        """See `Parts.document`."""
        self.cannot_mark("document", document.cache_control)
        return super().document(document)

    def cannot_mark(self, place: str, cache_control: Raw | UnsetType) -> None:
        """Notes a mark that has no place, at a server that knows marks: texts and tools take them alone."""
        if kept(cache_control, self._dialect):
            self.dropped.add(f"messages.content.{place}.cache_control")

    def file(self, document: Document) -> list[Part]:
        """See `Parts.file`."""
        if self._dialect.only_text:
            return self._omitted(document)
        match document.source:
            case Base64Source(media_type="application/pdf") as source:
                if document.context:
                    self.dropped.add("messages.content.document.context")
                return [FilePart(File(pdf_name(document), data_url(source)))]
            case UrlSource(url=url) if self._dialect.file_urls:
                return [FilePart(File(document.title or "document.pdf", url))]
            case _:
                self.drop_source(document)
                return []

    def orphan(self, result: ToolResult) -> list[Part]:
        """See `Parts.orphan`."""
        attached: list[Part] = []
        text = f"Result of an earlier tool call: {self.result(result, attached)}"
        return [TextPart(text), *attached]

    def result(self, result: ToolResult, attached: list[Part]) -> str:
        """A result as text; `attached` gets what else it holds."""
        content = result.content
        text = (content if isinstance(content, str) else self._text(content_of(result), attached)) or NO_OUTPUT
        return f"Error: {text}" if result.is_error else text

    def _text(self, blocks: list[Block], attached: list[Part]) -> str:
        texts = []
        for part in self.of(blocks):
            if isinstance(part, TextPart):
                texts.append(part.text)
            else:
                texts.append(ATTACHED)
                attached.append(part)
        return "\n".join(texts)

    def _omitted(self, block: Image | Document) -> list[Part]:
        self.drop(block)
        return [TextPart(f"[{kind(block)} omitted: this model takes text only]")]


def _is_marked(request: Request, dialect: Dialect) -> bool:
    """Whether the request marks what is to be cached, in a place that keeps the mark."""
    if dialect.cache_control != "kept":
        return False
    said = [block for turn in request.messages for block in blocks_of(turn)]
    blocks = [block for block in (*system_blocks(request), *said) if isinstance(block, Text | ToolResult)]
    return any(kept(place.cache_control, dialect) for place in (*blocks, *(request.tools or ())))


def _call(call: ToolUse) -> Call:
    return Call(call_id(call.id), CalledFunction(upstream_name(call.name), bytes(call.input).decode()))


def call_id(id: str) -> str:  # noqa: A002  # Anthropic's word
    """`id`, shortened in the same way in the call and its result where it is too long."""
    if len(id) <= MAX_CALL_ID:
        return id
    return "call_" + hashlib.sha1(id.encode(), usedforsecurity=False).hexdigest()[:32]


def _plain(message: ChatMessage, *, joined: bool) -> ChatMessage:
    """A single text as a string, the form that every server takes; several too, where messages hold text alone."""
    match message.content:
        case [TextPart(text=text, cache_control=msgspec.UNSET)]:
            return ChatMessage(message.role, text)
        case [*parts] if joined:
            texts = [part.text for part in parts if isinstance(part, TextPart)]
            return ChatMessage(message.role, "\n\n".join(texts))
        case _:
            return message
