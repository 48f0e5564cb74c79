"""Token estimates, offline, for providers that do not count.

A rule of thumb over the text a model reads: bytes of text, a few tokens of frame for each turn and tool, a flat
price for what is not text. Decision D22: no BPE table (144 MiB and 0.8 s). It is no count: prompts that a provider
adds by itself are not in it.
"""

from typing import assert_never

from ccproxy.messages import (
    Base64Source,
    Block,
    ContentSource,
    Document,
    Image,
    RedactedThinking,
    Request,
    SearchResult,
    Text,
    TextSource,
    Thinking,
    ToolResult,
    ToolUse,
    Unknown,
)

BYTES_PER_TOKEN = 3.6
TOKENS_PER_TURN = 3
TOKENS_PER_TOOL = 8
IMAGE_TOKENS = 1_600  # Anthropic's most for one image; its size in pixels is not opened here
DOCUMENT_TOKENS = 3_000  # a page or a few, where the text is not there to count
DOCUMENT_TOKENS_PER_KIB = 25  # a PDF page is some 100 KiB and 2,500 tokens


def estimate(request: Request) -> int:
    """Input tokens of a request."""
    text = _bytes(request.system) if request.system else 0
    tokens = 0
    for turn in request.messages:
        tokens += TOKENS_PER_TURN
        if isinstance(turn.content, str):
            text += _bytes(turn.content)
        else:
            for block in turn.content:
                block_text, block_tokens = _block(block)
                text += block_text
                tokens += block_tokens
    for tool in request.tools or ():
        tokens += TOKENS_PER_TOOL
        text += len(tool.name or "") + _bytes(tool.description or "") + len(bytes(tool.input_schema))
    return tokens + round(text / BYTES_PER_TOKEN)


def _bytes(text: str | list[Text]) -> int:
    if isinstance(text, str):
        return len(text.encode())
    return sum(len(block.text.encode()) for block in text)


def _block(block: Block) -> tuple[int, int]:
    """Bytes of text, and tokens for what is not text."""
    match block:
        case Text():
            return _bytes(block.text), 0
        case Thinking():
            return _bytes(block.thinking), 0
        case RedactedThinking():
            return len(block.data), 0
        case ToolUse():
            return len(block.name) + len(bytes(block.input)), TOKENS_PER_TURN
        case ToolResult():
            return _content(block.content, TOKENS_PER_TURN)
        case SearchResult():
            return _bytes(block.title) + _bytes(block.content), 0
        case Image():
            return 0, IMAGE_TOKENS
        case Document():
            return _document(block)
        case Unknown():
            return 0, 0
        case _:
            assert_never(block)


def _content(content: str | list[Block] | None, tokens: int) -> tuple[int, int]:
    if content is None or isinstance(content, str):
        return _bytes(content or ""), tokens
    blocks = [_block(block) for block in content]
    return sum(text for text, _ in blocks), tokens + sum(more for _, more in blocks)


def _document(block: Document) -> tuple[int, int]:
    match block.source:
        case TextSource():
            return _bytes(block.source.data), 0
        case ContentSource():
            return _content(block.source.content, 0)
        case Base64Source():
            return 0, round(len(block.source.data) * 3 / 4 / 1024 * DOCUMENT_TOKENS_PER_KIB)
        case _:
            return 0, DOCUMENT_TOKENS
