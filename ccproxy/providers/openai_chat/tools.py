"""Tools: Anthropic's definitions and choices as function tools, and names that OpenAI accepts.

Sources: https://platform.openai.com/docs/api-reference/chat/create (`tools`; a name is 1 to 64 of a-z, A-Z, 0-9, _
and -), /docs/guides/structured-outputs (what `strict` demands of a schema).
"""

import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccproxy.documents import check_budget
from ccproxy.errors import ApiError
from ccproxy.messages import ABSENT, Tool, ToolChoice
from ccproxy.providers.caller_tools import defined, description_of, is_callers_own, plain, shortened
from ccproxy.providers.openai_chat.dialect import Dialect, kept
from ccproxy.providers.openai_chat.wire import Function, FunctionTool

MAX_NAME = 64
_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME}}}")

_NO_PARAMETERS = Raw(b'{"type":"object","properties":{}}')


def upstream_name(name: str) -> str:
    """`name`, or where OpenAI would refuse it one made from it: the same one each time."""
    if _NAME.fullmatch(name):
        return name
    return shortened(name, plain(name), MAX_NAME)


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
    if is_callers_own(tool):
        schema = _NO_PARAMETERS if tool.input_schema == ABSENT else tool.input_schema
        return Function(name, description_of(tool), schema, _strict(tool, dialect, dropped))
    known = defined(tool)
    return None if known is None else Function(name, *known)


def _strict(tool: Tool, dialect: Dialect, dropped: set[str]) -> bool | UnsetType:
    if not tool.strict:
        return UNSET
    if dialect.strict == "all" or (dialect.strict == "accepted" and satisfies_strict(tool.input_schema)):
        return True
    dropped.add("tools.strict")
    return UNSET


def choice(
    wanted: ToolChoice, functions: list[FunctionTool], dropped: set[str], *, searches: bool = False
) -> str | FunctionTool | UnsetType:
    """How the tools may be used. A search of the provider's own (`searches`) cannot be chosen beside others."""
    name = upstream_name(wanted.name or "")
    match wanted.type:
        case "auto" | "none":
            return wanted.type
        case "any":
            return "required"
        case "tool" if any(tool.function.name == name for tool in functions):
            return FunctionTool(Function(name))
        case "tool" if searches and not functions:
            return "required"
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
