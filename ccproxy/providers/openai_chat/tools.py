"""Tools: Anthropic's definitions and choices as function tools, and names that OpenAI accepts.

Sources: https://platform.openai.com/docs/api-reference/chat/create (`tools`; a name is 1 to 64 of a-z, A-Z, 0-9, _
and -), /docs/guides/structured-outputs (what `strict` demands of a schema), and for the schemas of the tools that
Anthropic defines and the caller runs https://platform.claude.com/docs/en/agents-and-tools/tool-use.
"""

import hashlib
import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccproxy.documents import check_budget
from ccproxy.errors import ApiError
from ccproxy.messages import ABSENT, Request, Tool, ToolChoice
from ccproxy.providers.openai_chat.dialect import Dialect, kept
from ccproxy.providers.openai_chat.wire import Function, FunctionTool

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KEPT = 55  # and 9 of hash: 64

_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')

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
RUN_BY_CALLER = {
    "bash_": ("Runs a command in a persistent shell.", _BASH),
    "text_editor_": ("Views, creates and edits files. Paths are absolute; lines count from 1.", _EDITOR),
    "memory_": ("Keeps notes as files below /memories, for later conversations.", _MEMORY),
}
"""Tools by the start of their type: what they do and what they take. The caller runs them, whoever asks."""


def upstream_name(name: str) -> str:
    """`name`, or where OpenAI would refuse it one made from it: the same one each time."""
    if _NAME.fullmatch(name):
        return name
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:8]
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_KEPT] + "_" + digest


def renamed(request: Request) -> dict[str, str]:
    """The caller's names by the names they have upstream, where these differ."""
    names = [tool.name for tool in request.tools or () if tool.name]
    return {upstream_name(name): name for name in names if upstream_name(name) != name}


def function_tools(tools: list[Tool], dialect: Dialect, dropped: set[str]) -> list[FunctionTool]:
    """The tools that the caller runs. Those that Anthropic runs cannot be had here."""
    functions = []
    for tool in tools:
        function = _function(tool, dialect, dropped)
        if function is None:
            dropped.add(f"tools.{tool.type}")
        else:
            cache = tool.cache_control if kept(tool.cache_control, dialect) else UNSET
            functions.append(FunctionTool(function, cache))
    return functions


def _function(tool: Tool, dialect: Dialect, dropped: set[str]) -> Function | None:
    name = upstream_name(tool.name or "")
    if tool.type in {None, "custom"}:
        schema = _NO_PARAMETERS if tool.input_schema == ABSENT else tool.input_schema
        return Function(name, description_of(tool), schema, _strict(tool, dialect, dropped))
    for start, (description, schema) in RUN_BY_CALLER.items():
        if tool.type is not None and tool.type.startswith(start):
            return Function(name, description, schema)
    return None


def description_of(tool: Tool) -> str | UnsetType:
    """What the tool does, with its examples."""
    text = tool.description or ""
    if bytes(tool.input_examples) not in {b"", b"null", b"[]"}:
        text += f"\n\nExamples: {bytes(tool.input_examples).decode()}"
    return text.strip() or UNSET


def _strict(tool: Tool, dialect: Dialect, dropped: set[str]) -> bool | UnsetType:
    if not tool.strict:
        return UNSET
    if dialect.strict == "all" or (dialect.strict == "accepted" and satisfies_strict(tool.input_schema)):
        return True
    dropped.add("tools.strict")
    return UNSET


def choice(wanted: ToolChoice, functions: list[FunctionTool], dropped: set[str]) -> str | FunctionTool | UnsetType:
    """How the tools may be used."""
    name = upstream_name(wanted.name or "")
    match wanted.type:
        case "auto" | "none":
            return wanted.type
        case "any":
            return "required"
        case "tool" if any(tool.function.name == name for tool in functions):
            return FunctionTool(Function(name))
        case _:
            dropped.add("tool_choice")
            return UNSET


_REFUSED_BY_STRICT = re.compile(
    "allOf|oneOf|not|if|then|else|dependent.*|pattern.+|propertyNames|unevaluated.*|contains|(?:min|max)[CP].*"
    "|uniqueItems|prefixItems|default"
)
"""Keywords that OpenAI refuses in a strict schema."""


def satisfies_strict(schema: Raw) -> bool:
    """Whether OpenAI accepts the schema as strict: else it answers 400 `invalid_function_parameters`."""
    try:
        check_budget(bytes(schema))
        root = msgspec.json.decode(schema)
        return isinstance(root, dict) and root.get("type") == "object" and "anyOf" not in root and _is_strict(root)
    except (ApiError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _is_strict(node: Any) -> bool:
    if not isinstance(node, dict) or ("$ref" in node and len(node) > 1):
        return False
    if any(_REFUSED_BY_STRICT.fullmatch(keyword) for keyword in node):
        return False
    properties = node.get("properties", {})
    kinds = node.get("type")
    if "properties" in node or kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        required = node.get("required", [])
        if node.get("additionalProperties") is not False or not isinstance(required, list):
            return False
        if not isinstance(properties, dict) or set(map(str, required)) != set(properties):
            return False
    inner = [*properties.values()]
    for keyword in ("$defs", "definitions"):
        definitions = node.get(keyword, {})
        if not isinstance(definitions, dict):
            return False
        inner += definitions.values()
    if "items" in node:
        inner.append(node["items"])
    alternatives = node.get("anyOf", [])
    return isinstance(alternatives, list) and all(_is_strict(child) for child in (*inner, *alternatives))
