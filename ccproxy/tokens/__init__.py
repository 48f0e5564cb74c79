"""Token estimates, offline, for providers that do not count and for counts that never come.

    text  what a text costs    family  how families of models differ    media  images and documents

Decision D22: no BPE table (144 MiB and 0.8 s). An estimate is meant to be a little high: a client that makes room
in its context by it must not do so too late. `docs/tokens.md` says how far it is off.
"""

import re
from collections.abc import Sequence
from typing import assert_never

from msgspec import Struct, field

from ccproxy.messages import (
    ABSENT,
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
    Turn,
    Unknown,
)
from ccproxy.tokens.family import OTHER, Family, family_of
from ccproxy.tokens.media import DOCUMENT_TOKENS, IMAGE_TOKENS, document_tokens, image_tokens
from ccproxy.tokens.text import MOST_PER_BYTE, cost

__all__ = ["OTHER", "Family", "estimate", "estimate_text", "family_of", "most_tokens"]

MARGIN = 1.05  # on purpose
_FLAT = re.compile(rb'"image"|"document"')  # blocks with a price that their length does not tell
_ONCE = OTHER.base + OTHER.turn + OTHER.tools + OTHER.format + 8  # of a request, and what joining and rounding add
_EACH = max(OTHER.turn, OTHER.tool, OTHER.call)  # of an object in it

BYTES_PER_STATE = 6  # of a signature that stands for thinking nobody wrote out: encrypted, then base64


class _Said(Struct):
    """What of a request has a price: texts, schemas of tools, and tokens for all that is no text."""

    texts: list[bytes] = field(default_factory=list)
    schemas: list[bytes] = field(default_factory=list)
    flat: float = 0
    reads_thinking: bool = False


def estimate(request: Request, family: Family = OTHER) -> int:
    """Input tokens of a request, for a family of models."""
    said = _Said(flat=family.base)
    if request.system:
        said.flat += family.turn
        _content(list(request.system) if isinstance(request.system, list) else request.system, said, family)
    question = _last_question(request.messages) if family.thinking == "open" else 0
    for index, turn in enumerate(request.messages):
        said.flat += family.turn
        said.reads_thinking = family.thinking != "none" and index >= question
        _content(turn.content, said, family)
    if request.tools:
        said.flat += family.tools
    for tool in request.tools or ():
        said.flat += family.tool
        said.texts += [(tool.name or "").encode(), (tool.description or "").encode()]
        said.schemas += [bytes(tool.input_schema), bytes(tool.input_examples)]
    if request.output_config is not None and request.output_config.format != ABSENT:
        said.flat += family.format
        said.texts.append(bytes(request.output_config.format))
    tokens = _priced(said.texts, family) + _priced(said.schemas, family) * family.schema + said.flat
    return round(tokens * MARGIN)


def estimate_text(text: bytes, family: Family = OTHER) -> int:
    """Tokens of a text alone."""
    return round(_priced([text], family) * MARGIN)


def most_tokens(documents: Sequence[bytes]) -> int:
    """What no estimate for `OTHER` of a request made of these JSON documents is above; nothing is opened for it.

    JSON is longer than the text in it, and every turn, tool and block is an object.
    """
    tokens = float(_ONCE)
    for document in documents:
        tokens += len(document) * MOST_PER_BYTE * OTHER.plain
        tokens += document.count(b"{") * _EACH
        tokens += len(_FLAT.findall(document)) * max(IMAGE_TOKENS, DOCUMENT_TOKENS)
    return round(tokens * MARGIN)


def _priced(texts: list[bytes], family: Family) -> float:
    found = cost(b" ".join([b"", *texts]))  # one pass over all of them; a word that begins one begins a word
    return found.plain * family.plain + found.foreign * family.foreign


def _content(content: str | list[Block] | list[Text] | None, said: _Said, family: Family) -> None:
    if content is None or isinstance(content, str):
        said.texts.append((content or "").encode())
        return
    for block in content:
        _block(block, said, family)


def _block(block: Block, said: _Said, family: Family) -> None:
    match block:
        case Text():
            said.texts.append(block.text.encode())
        case Thinking() | RedactedThinking():
            _thinking(block, said)
        case ToolUse():
            said.flat += family.call
            said.texts += [block.name.encode(), bytes(block.input)]
        case ToolResult():
            said.flat += family.call
            _content(block.content, said, family)
        case SearchResult():
            said.texts += [block.source.encode(), block.title.encode()]
            _content(block.content, said, family)
        case Image():
            said.flat += image_tokens(block)
        case Document():
            said.texts += [(block.title or "").encode(), (block.context or "").encode()]
            _document(block, said, family)
        case Unknown():
            pass
        case _:
            assert_never(block)


def _last_question(turns: list[Turn]) -> int:
    """Where the caller last said something that is no result of a tool."""
    for index in range(len(turns) - 1, 0, -1):
        turn = turns[index]
        if turn.role == "user" and not any(isinstance(block, ToolResult) for block in turn.content):
            return index
    return 0


def _thinking(block: Thinking | RedactedThinking, said: _Said) -> None:
    if not said.reads_thinking:
        return
    if isinstance(block, Thinking) and block.thinking:
        said.texts.append(block.thinking.encode())
    else:
        said.flat += len(block.signature if isinstance(block, Thinking) else block.data) / BYTES_PER_STATE


def _document(block: Document, said: _Said, family: Family) -> None:
    match block.source:
        case TextSource():
            said.texts.append(block.source.data.encode())
        case ContentSource():
            _content(block.source.content, said, family)
        case Base64Source():
            said.flat += document_tokens(block.source.data)
        case _:
            said.flat += DOCUMENT_TOKENS
