"""Tools that the caller runs: what Anthropic leaves unsaid about its own, and names that come back as they went.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use (the schemas of the tools that Anthropic
defines and the caller runs; read 2026-11-22).
"""

import hashlib
import re
from collections.abc import Callable

from msgspec import UNSET, Raw, UnsetType

from ccproxy.messages import Request, Tool

_PATH = '"path":{"type":"string"}'
_BASH = Raw(
    b'{"type":"object","properties":{"command":{"type":"string","description":"The command to run."},'
    b'"restart":{"type":"boolean","description":"Restarts the shell instead."}}}'
)
_EDITING = (
    f'{_PATH},"file_text":{{"type":"string"}},"old_str":{{"type":"string"}},"new_str":{{"type":"string"}},'
    '"insert_line":{"type":"integer"},"insert_text":{"type":"string"},'
    '"view_range":{"type":"array","items":{"type":"integer"}}'
)
_EDITOR = Raw(
    '{"type":"object","properties":{"command":{"type":"string",'
    f'"enum":["view","create","str_replace","insert","undo_edit"]}},{_EDITING}}},'
    '"required":["command","path"]}'
)
_MEMORY = Raw(
    '{"type":"object","properties":{"command":{"type":"string",'
    f'"enum":["view","create","str_replace","insert","delete","rename"]}},{_EDITING},'
    '"old_path":{"type":"string"},"new_path":{"type":"string"}},"required":["command"]}'
)
_DEFINED = {
    "bash_": ("Runs a command in a persistent shell.", _BASH),
    "text_editor_": ("Views, creates and edits files. Paths are absolute; lines count from 1.", _EDITOR),
    "memory_": ("Keeps notes as files below /memories, for later conversations.", _MEMORY),
}
"""Tools by the start of their type: what they do and what they take. The caller runs them, whoever asks."""


def is_callers_own(tool: Tool) -> bool:
    """Whether the caller has defined the tool, with its schema."""
    return tool.type in {None, "custom"}


def defined(tool: Tool) -> tuple[str, Raw] | None:
    """What a tool of Anthropic's does and takes, where the caller runs it; None where Anthropic does."""
    return next((told for start, told in _DEFINED.items() if (tool.type or "").startswith(start)), None)


def description_of(tool: Tool) -> str | UnsetType:
    """What the tool does, with its examples."""
    text = tool.description or ""
    if bytes(tool.input_examples) not in {b"", b"null", b"[]"}:
        text += f"\n\nExamples: {bytes(tool.input_examples).decode()}"
    return text.strip() or UNSET


_DIGEST = 8  # characters of a digest that tells shortened names apart, after an underscore


def shortened(name: str, made: str, most: int) -> str:
    """A name that a provider accepts, for one that it would refuse: the same one each time.

    Args:
        name: The caller's name.
        made: The name with nothing but characters that the provider accepts.
        most: How many of them it accepts.
    """
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:_DIGEST]
    return f"{made[: most - _DIGEST - 1]}_{digest}"


def renamed(request: Request, upstream_name: Callable[[str], str]) -> dict[str, str]:
    """The caller's names by the names they have upstream, where these differ."""
    names = {upstream_name(tool.name): tool.name for tool in request.tools or () if tool.name}
    return {theirs: ours for theirs, ours in names.items() if theirs != ours}


_REPLACED = re.compile(r"[^a-zA-Z0-9_-]")


def plain(text: str) -> str:
    """`text` with nothing but letters, digits, `_` and `-`."""
    return _REPLACED.sub("_", text)
