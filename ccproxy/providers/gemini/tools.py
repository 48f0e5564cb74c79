"""Tools: Anthropic's definitions and choices as function declarations, and names that Gemini accepts.

Source: https://ai.google.dev/api/caching#FunctionDeclaration (read 2026-11-22): a name begins with a letter or an
underscore, goes on with those, digits, dots, colons and dashes, and has 128 characters at most.
"""

import re

from msgspec import UNSET, UnsetType

from ccproxy.messages import ABSENT, Request, Tool
from ccproxy.providers.caller_tools import defined, description_of, is_callers_own, shortened
from ccproxy.providers.gemini.schema import accepted
from ccproxy.providers.gemini.wire import CallingConfig, FunctionDeclaration, ToolConfig

MAX_NAME = 128
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")


def upstream_name(name: str) -> str:
    """`name`, or where Gemini would refuse it one made from it: the same one each time."""
    if _NAME.fullmatch(name):
        return name
    made = re.sub(r"[^a-zA-Z0-9_.:-]", "_", name)
    return shortened(name, made if _NAME.match(made) else f"_{made}", MAX_NAME)


def functions(tools: list[Tool], dropped: set[str]) -> list[FunctionDeclaration]:
    """The tools that the caller runs. Those that Anthropic runs cannot be had here."""
    declared = []
    for tool in tools:
        function = _function(tool, dropped)
        if function is None:
            dropped.add(f"tools.{tool.type}")
        else:
            declared.append(function)
    return declared


def _function(tool: Tool, dropped: set[str]) -> FunctionDeclaration | None:
    name = upstream_name(tool.name or "")
    if is_callers_own(tool):
        schema = {} if tool.input_schema == ABSENT else accepted(tool.input_schema, "tools.input_schema", dropped)
        takes_any = schema.get("properties") or schema.get("anyOf") or schema.get("additionalProperties")
        parameters = {**schema, "type": "object"} if takes_any else UNSET
        return FunctionDeclaration(name, description_of(tool), parameters)
    known = defined(tool)
    if known is None:
        return None
    description, own = known
    return FunctionDeclaration(name, description, accepted(own, "tools.input_schema", dropped))


def tool_config(
    request: Request, declared: list[FunctionDeclaration], dropped: set[str], *, searches: bool
) -> ToolConfig | UnsetType:
    """How the tools may be used; `searches` where there is a search beside them."""
    calling = _calling(request, declared, dropped)
    beside = True if searches and declared else UNSET
    return UNSET if calling is beside is UNSET else ToolConfig(calling, beside)


def _calling(
    request: Request, declared: list[FunctionDeclaration], dropped: set[str]
) -> CallingConfig | UnsetType:
    """What `strict` asks for is a mode here, for all functions."""
    is_strict = any(tool.strict for tool in request.tools or ())
    wanted = request.tool_choice
    if not declared:
        if wanted is not None and wanted.type in {"any", "tool"}:
            dropped.add("tool_choice")
        return UNSET
    match wanted.type if wanted is not None else "":
        case "" | "auto":
            if wanted is None and not is_strict:
                return UNSET
            return CallingConfig("VALIDATED" if is_strict else "AUTO")
        case "any":
            return CallingConfig("ANY")
        case "none":
            return CallingConfig("NONE")
        case "tool" if any(function.name == _wanted_name(request) for function in declared):
            return CallingConfig("ANY", [_wanted_name(request)])
        case _:
            dropped.add("tool_choice")
            return UNSET


def _wanted_name(request: Request) -> str:
    return upstream_name((request.tool_choice.name if request.tool_choice else None) or "")
