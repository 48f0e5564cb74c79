"""What every translator does with a conversation, whatever its provider's words."""

from collections.abc import Iterable
from html import escape

from ccproxy.messages import (
    Base64Source,
    Block,
    Document,
    FileSource,
    Request,
    SearchResult,
    Text,
    Turn,
    Unknown,
    UrlSource,
)

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


def kind(block: Block | Base64Source | UrlSource | FileSource) -> str:
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
