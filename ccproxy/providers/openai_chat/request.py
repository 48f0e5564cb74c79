"""The request: Anthropic's parameters as Chat Completions parameters.

Source: https://platform.openai.com/docs/api-reference/chat/create (read 2026-11-22). What cannot be said is named
by its path in `dropped`.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from ccproxy.documents import Head
from ccproxy.messages import Request
from ccproxy.providers.caller_request import is_hurried, opened_late, unsayable, wanted_schema, wish
from ccproxy.providers.openai_chat import reasoning
from ccproxy.providers.openai_chat.dialect import Asked, Dialect
from ccproxy.providers.openai_chat.history import conversation
from ccproxy.providers.openai_chat.tools import choice, function_tools, satisfies_strict
from ccproxy.providers.openai_chat.wire import (
    ChatMessage,
    ChatRequest,
    FunctionTool,
    JsonObject,
    JsonSchema,
    ResponseFormat,
    SearchParameters,
    SearchTool,
    StreamOptions,
)
from ccproxy.providers.web_search import WebSearch, others, wanted_search


def translate(
    request: Request, head: Head, model: str, dialect: Dialect, *, old_client: bool, session: str = ""
) -> tuple[ChatRequest, set[str]]:
    """The request to send, and the paths of what it cannot say.

    Raises:
        ApiError: INVALID_REQUEST, where bytes that were not opened so far are not UTF-8, or are nested too deeply.
    """
    dropped = unsayable(head, says_cache_control=dialect.cache_control == "kept")
    with opened_late():
        sent = _translate(request, head, model, dialect, dropped, old_client=old_client)
    if session:
        sent = msgspec.structs.replace(sent, **dialect.session(session))
    return sent, dropped


def _translate(
    request: Request, head: Head, model: str, dialect: Dialect, dropped: set[str], *, old_client: bool
) -> ChatRequest:
    recent = reasoning.is_recent(model)
    limit = "max_completion_tokens" if recent else dialect.limit
    role = "developer" if recent and "/" not in model else "system"  # who names makers knows each one's roles
    messages = conversation(request, role, model, dialect, dropped)
    search = wanted_search(head) if dialect.web_search == "chat" else None
    functions = function_tools(others(request.tools, search), dialect, dropped)
    wanted = wanted_schema(request, head, dropped)
    schema = None if wanted is None else wanted.schema
    wished = wish(request, old_client=old_client)
    asked = Asked(request, model, messages, wished, bool(functions), schema is not None)
    effort = dialect.thinking(asked, dropped)
    members: dict[str, Any] = {
        limit: max(request.max_tokens, 1),
        **_tool_use(request, functions, search, dialect, dropped),
        **effort,
        **_sampling(request, model, effort.get("reasoning_effort"), dialect, dropped),
        **extras(request, head, dialect, dropped),
    }
    if head.stream:
        members |= {"stream": True, "stream_options": StreamOptions(include_usage=True)}
    if schema is not None:
        members |= dialect.schema_members
        if dialect.schema == "json_object":
            messages = _told(messages, schema)
            members["response_format"] = JsonObject()
        else:
            strict = True if satisfies_strict(schema) else UNSET
            members["response_format"] = ResponseFormat(JsonSchema(name="output", schema=schema, strict=strict))
    return ChatRequest(model=model, messages=messages, **members)


def _tool_use(
    request: Request,
    functions: list[FunctionTool],
    search: WebSearch | None,
    dialect: Dialect,
    dropped: set[str],
) -> dict[str, Any]:
    wanted = request.tool_choice
    if not functions and search is None:
        if wanted is not None and wanted.type in {"any", "tool"}:
            dropped.add("tool_choice")
        return {}
    members: dict[str, Any] = {"tools": functions if search is None else [*functions, _search_tool(search)]}
    if wanted is not None:
        members["tool_choice"] = choice(wanted, functions, dropped, searches=search is not None)
        if wanted.disable_parallel_tool_use and dialect.parallel:
            members["parallel_tool_calls"] = False
        elif wanted.disable_parallel_tool_use:
            dropped.add("tool_choice.disable_parallel_tool_use")
    return members


def _search_tool(search: WebSearch) -> SearchTool:
    return SearchTool(
        SearchParameters(
            UNSET if search.max_uses is None else search.max_uses,
            search.allowed_domains or UNSET,
            search.blocked_domains or UNSET,
            search.location,
        )
    )


def _sampling(
    request: Request, model: str, effort: str | None, dialect: Dialect, dropped: set[str]
) -> dict[str, Any]:
    """The sampling parameters, which OpenAI's reasoning models refuse."""
    kin = reasoning.family(model)
    members: dict[str, Any] = {}
    for name, value in {"temperature": request.temperature, "top_p": request.top_p}.items():
        if value is None:
            continue
        if reasoning.allows_sampling(kin, effort):
            members[name] = value
        elif value != 1:  # what these models use anyway
            dropped.add(name)
    if request.top_k is not None:
        if dialect.top_k:
            members["top_k"] = request.top_k
        else:
            dropped.add("top_k")
    return members


def extras(request: Request, head: Head, dialect: Dialect, dropped: set[str]) -> dict[str, Any]:
    """What is not known to every server."""
    members: dict[str, Any] = {}
    if request.metadata is not None and request.metadata.user_id:
        if dialect.user:
            members[dialect.user] = hashlib.sha256(request.metadata.user_id.encode()).hexdigest()
        else:
            dropped.add("metadata.user_id")
    if request.service_tier is not None:
        if dialect.service_tier:
            members["service_tier"] = "default" if request.service_tier == "standard_only" else "auto"
        else:
            dropped.add("service_tier")
    if dialect.fallbacks and (models := _fallbacks(head, dialect.fallbacks, dropped)):
        members["models"] = models
    if is_hurried(head) and dialect.service_tier:
        members["service_tier"] = "priority"
        dropped.discard("speed")
    return members


def _fallbacks(head: Head, most: int, dropped: set[str]) -> list[str]:
    """The models to go on with, where the caller names models of this server: `vendor/name`.

    What an entry wishes besides, such as another effort, cannot be said.
    """
    try:
        entries = msgspec.json.decode(head.fields.get("fallbacks", Raw(b"[]")), type=list[dict[str, Raw]])
        named = [msgspec.json.decode(entry["model"], type=str).rpartition(",")[2] for entry in entries]
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return []  # Anthropic's own choice ("default"), or none
    models = [name for name in named if "/" in name][:most]
    if len(models) == len(entries) and all(len(entry) == 1 for entry in entries):
        dropped.discard("fallbacks")
    return models


def _told(messages: list[ChatMessage], schema: Raw) -> list[ChatMessage]:
    """The messages with the schema told at the end of the system prompt."""
    words = (
        f"Answer with one JSON object that satisfies this JSON schema, and nothing else:\n{bytes(schema).decode()}"
    )
    first = messages[0]
    if first.role == "system" and isinstance(first.content, str):
        return [ChatMessage("system", f"{first.content}\n\n{words}"), *messages[1:]]
    return [ChatMessage("system", words), *messages]
