"""The conversation without thinking that is not the server's own.

A conversation may have been with another provider before. Its thinking has no signature, or one that carries that
provider's state for it (`ccp1.`). Anthropic answers 400, "Invalid `signature` in `thinking` block", and the client
can do nothing about it. Models of other makers sign nothing, and want it back all the same: there only what
carries another provider's state is foreign. A conversation without such blocks is not opened: signatures of later
models are bound to the bytes before them.

Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking (read 2026-11-22).
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ccproxy.documents import decode
from ccproxy.errors import ApiError

CARRIER = "ccp1."  # begins every signature of ours

_FOREIGN = re.compile(rb'"signature"\s*:\s*"(?:"|ccp1\.)')
"""What is in every body that holds foreign thinking. One pass; the conversation may be megabytes."""


class _Block(Struct, frozen=True):
    type: str
    signature: str | None = None


def own_history(fields: Mapping[str, Raw], *, unsigned_is_foreign: bool = True) -> list[Any] | None:
    """The turns without foreign thinking; None where there is none, so that the bytes can stay as they are."""
    messages = fields.get("messages", b"")
    if _FOREIGN.search(messages) is None:  # as it is: a copy would cost half as much again
        return None
    try:
        turns = decode(bytes(messages), list[dict[str, Raw]])
    except ApiError:
        return None  # Anthropic will say what is wrong, better than we could
    kept: list[dict[str, Any]] = []
    changed = gap = False
    for turn in turns:
        blocks = _blocks(turn)
        own = [block for block in blocks if not _is_foreign(block, unsigned_is_foreign)]
        if len(own) == len(blocks):
            if gap and kept and _role(kept[-1]) == _role(turn):
                kept[-1] = _joined(kept[-1], turn)
            else:
                kept.append(dict(turn))
            gap = False
        else:
            changed = True
            gap = gap or not own
            if own:
                kept.append({**turn, "content": own})
                gap = False
    return kept if changed else None


def _blocks(turn: Mapping[str, Any]) -> list[Raw]:
    """The blocks of a turn; none where its content is text."""
    content = turn.get("content", b"")
    if isinstance(content, list):  # of a turn that was changed
        return content
    return decode(bytes(content), list[Raw]) if bytes(content)[:1] == b"[" else []


def _is_foreign(block: Raw, unsigned_is_foreign: bool) -> bool:  # noqa: FBT001  # as its caller has it
    try:
        read = msgspec.json.decode(block, type=_Block)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if read.type != "thinking":
        return False
    return read.signature.startswith(CARRIER) if read.signature else unsigned_is_foreign


def _role(turn: Mapping[str, Any]) -> bytes:
    return bytes(turn.get("role", b""))


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two turns of one speaker, between which a turn has gone, as one."""
    return {**first, "content": [*_as_blocks(first), *_as_blocks(second)]}


def _as_blocks(turn: Mapping[str, Any]) -> list[Any]:
    content = turn.get("content", b"")
    if not isinstance(content, list) and bytes(content)[:1] == b'"':
        return [] if bytes(content) == b'""' else [{"type": "text", "text": content}]  # an empty one is refused
    return list(_blocks(turn))
