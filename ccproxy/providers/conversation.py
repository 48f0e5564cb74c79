"""What every translator does with a conversation, whatever its provider's words."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from html import escape
from typing import Generic, TypeVar, assert_never

from msgspec import Raw, UnsetType

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

Part = TypeVar("Part")

BILLING_HEADER = "x-anthropic-billing-header"  # Claude Code's attribution: it would spoil the prompt cache


def system_blocks(request: Request) -> list[Text]:
    """The system prompt, without Claude Code's attribution."""
    system = request.system or []
    blocks = [Text(system)] if isinstance(system, str) else system
    return blocks[1:] if blocks and blocks[0].text.startswith(BILLING_HEADER) else blocks


def blocks_of(turn: Turn) -> list[Block]:
    """The blocks of a turn; a string is one."""
    return [Text(turn.content)] if isinstance(turn.content, str) else turn.content


def steps(turns: Iterable[Turn]) -> list[tuple[list[Block], list[Turn]]]:
    """The turns as steps: what the assistant said (neighbours joined), and all that came before it spoke again."""
    found: list[tuple[list[Block], list[Turn]]] = [([], [])]
    for turn in turns:
        if turn.role != "assistant":
            found[-1][1].append(turn)
        elif found[-1][1]:
            found.append(([*blocks_of(turn)], []))
        else:
            found[-1][0].extend(blocks_of(turn))
    return found


def is_cached(cache_control: Raw | UnsetType) -> bool:
    """Whether the caller wants what ends here to be cached."""
    return not isinstance(cache_control, UnsetType) and bytes(cache_control) != b"null"


def results_in(turns: Iterable[Turn]) -> dict[str, ToolResult]:
    """The results of calls, by the call's id; the first counts."""
    results: dict[str, ToolResult] = {}
    for turn in turns:
        for block in blocks_of(turn):
            if isinstance(block, ToolResult):
                results.setdefault(block.tool_use_id, block)
    return results


def content_of(holder: ToolResult | ContentSource) -> list[Block]:
    """The blocks inside a result or a document; a string is one."""
    content = holder.content or ""
    return [Text(content)] if isinstance(content, str) else content


class Parts(ABC, Generic[Part]):
    """Blocks of the user as parts of a message, in a provider's words.

    Args:
        dropped: Gets the path of what cannot be said.
    """

    def __init__(self, dropped: set[str]) -> None:
        self.dropped = dropped

    @abstractmethod
    def text(self, text: Text) -> list[Part]:
        """A text; an empty one is none."""

    @abstractmethod
    def image(self, image: Image) -> list[Part]:
        """An image."""

    @abstractmethod
    def file(self, document: Document) -> list[Part]:
        """A document that is no text, nor made of blocks."""

    @abstractmethod
    def orphan(self, result: ToolResult) -> list[Part]:
        """A result of no call that the model made."""

    def of(self, blocks: Iterable[Block]) -> list[Part]:
        """All parts."""
        parts: list[Part] = []
        for block in blocks:
            match block:
                case Text():
                    parts += self.text(block)
                case Image():
                    parts += self.image(block)
                case Document():
                    parts += self.document(block)
                case SearchResult():
                    parts += self.text(Text(search_result(block), block.cache_control))
                case ToolResult():
                    parts += self.orphan(block)
                case Thinking() | RedactedThinking() | ToolUse() | Unknown():
                    self.drop(block)
                case _:
                    assert_never(block)
        return parts

    def document(self, document: Document) -> list[Part]:
        """A document of any kind."""
        if document.citations is not None and document.citations.enabled:
            self.dropped.add("messages.content.document.citations")
        source = document.source
        match source:
            case TextSource():
                return self.text(Text(f"{opening(document)}{source.data}</document>"))
            case ContentSource():
                start, end = Text(opening(document)), Text("</document>")
                return [*self.text(start), *self.of(content_of(source)), *self.text(end)]
            case Base64Source() | UrlSource() | FileSource() | Unknown():
                return self.file(document)
            case _:
                assert_never(source)

    def drop(self, block: Block) -> None:
        """Notes that a block cannot be said."""
        self.dropped.add(f"messages.content.{kind(block)}")

    def drop_source(self, block: Image | Document) -> None:
        """Notes that a block cannot be said for where its data is."""
        self.dropped.add(f"messages.content.{kind(block)}.{kind(block.source)}")


def data_url(source: Base64Source) -> str:
    """Inline data as a `data:` URL."""
    return f"data:{source.media_type};base64,{source.data}"


def pdf_name(document: Document) -> str:
    """A file's name for a PDF: some servers demand one."""
    return (document.title or "document").removesuffix(".pdf") + ".pdf"


Source = Base64Source | UrlSource | TextSource | FileSource | ContentSource


def kind(block: Block | Source) -> str:
    """The type of a block or source, as it is written."""
    return block.name if isinstance(block, Unknown) else str(block.__struct_config__.tag)


def opening(document: Document) -> str:
    """The tag that a document's text follows."""
    attributes = {"title": document.title, "context": document.context}
    return f"<document{''.join(_attribute(k, v) for k, v in attributes.items() if v)}>"


def search_result(result: SearchResult) -> str:
    """A search result as text."""
    text = "\n".join(text.text for text in result.content)
    attributes = _attribute("source", result.source) + _attribute("title", result.title)
    return f"<search_result{attributes}>{text}</search_result>"


def _attribute(name: str, value: str) -> str:
    return f' {name}="{escape(value)}"'
