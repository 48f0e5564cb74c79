"""The request: Anthropic's parameters as parameters of the Responses API.

Source: https://platform.openai.com/docs/api-reference/responses/create (read 2026-11-22). What cannot be said is
named by its path in `dropped`, as for Chat Completions.
"""

from typing import Any

import msgspec
from msgspec import UNSET

from ccproxy.documents import Head
from ccproxy.messages import EMPTY_OBJECT, Request
from ccproxy.providers.caller_request import (
    opened_late,
    shows_thinking,
    unsayable,
    wanted_schema,
    wish,
)
from ccproxy.providers.openai_chat import reasoning, tools
from ccproxy.providers.openai_chat.dialect import Dialect
from ccproxy.providers.openai_chat.request import extras
from ccproxy.providers.openai_chat.wire import FunctionTool as ChatTool
from ccproxy.providers.openai_responses.items import conversation
from ccproxy.providers.openai_responses.wire import (
    CountRequest,
    Filters,
    Format,
    FunctionTool,
    NamedTool,
    ReasoningConfig,
    ResponsesRequest,
    SearchTool,
    TextConfig,
)
from ccproxy.providers.web_search import WebSearch, others, wanted_search

MIN_OUTPUT_TOKENS = 16  # "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16"

ENCRYPTED = "reasoning.encrypted_content"  # what does not reason refuses to be asked for it


def translate(
    request: Request, head: Head, model: str, dialect: Dialect, *, old_client: bool, session: str = ""
) -> tuple[ResponsesRequest, set[str]]:
    """The request to send, and the paths of what it cannot say.

    Args:
        request: The caller's request.
        head: The same, unopened.
        model: The model by the provider's name.
        dialect: How the server differs from OpenAI's own.
        old_client: Whether the caller speaks API version 2023-06-01.
        session: The caller's session, where it names one: its requests share a prompt cache.

    Raises:
        ApiError: INVALID_REQUEST, where bytes that were not opened so far are not UTF-8, or are nested too deeply.
    """
    marked = dialect.cache_control == "marked" and reasoning.marks_caches(model)
    dropped = unsayable(head, says_cache_control=marked)
    if marked and b'"cache_control"' in bytes(head.fields.get("tools", b"")):
        dropped.add("tools.cache_control")
    with opened_late():
        body = _translate(request, head, model, dialect, dropped, old_client=old_client, marked=marked)
    if session:
        body = msgspec.structs.replace(body, **dialect.session(session))
    return body, dropped


def countable(body: ResponsesRequest) -> CountRequest:
    """What of a request counts as input."""
    return CountRequest(**{name: getattr(body, name) for name in CountRequest.__struct_fields__})


def _translate(
    request: Request,
    head: Head,
    model: str,
    dialect: Dialect,
    dropped: set[str],
    *,
    old_client: bool,
    marked: bool,
) -> ResponsesRequest:
    role = "developer" if reasoning.is_recent(model) else "system"
    instructions, items = conversation(request, model, role, dropped, marked=marked)
    if request.top_k is not None:
        dropped.add("top_k")
    search = wanted_search(head) if dialect.web_search == "responses" else None
    members: dict[str, Any] = {
        **_tool_use(request, search, dialect, dropped),
        **_thinking(request, model, dropped, old_client=old_client, searches=search is not None),
        **extras(request, head, dialect, dropped),
    }
    if wanted := wanted_schema(request, head, dropped):
        strict = True if tools.satisfies_strict(wanted.schema) else UNSET
        format = Format(name="output", schema=wanted.schema, strict=strict)  # noqa: A001  # the API's word
        members["text"] = TextConfig(format)
    if head.stream:
        members["stream"] = True
    return ResponsesRequest(
        model=model,
        input=items,
        instructions=instructions or UNSET,
        store=False,
        max_output_tokens=max(request.max_tokens, MIN_OUTPUT_TOKENS),
        **members,
    )


def _tool_use(request: Request, search: WebSearch | None, dialect: Dialect, dropped: set[str]) -> dict[str, Any]:
    functions = tools.function_tools(others(request.tools, search), dialect, dropped)
    wanted = request.tool_choice
    if not functions and search is None:
        if wanted is not None and wanted.type in {"any", "tool"}:
            dropped.add("tool_choice")
        return {}
    members: dict[str, Any] = {"tools": [_flat(tool) for tool in functions]}
    if search is not None:
        filters = Filters(search.allowed_domains or UNSET, search.blocked_domains or UNSET)
        members["tools"].append(SearchTool(UNSET if filters == Filters() else filters, search.location))
        if search.max_uses is not None:
            members["max_tool_calls"] = search.max_uses  # counts the tools that OpenAI runs: there is no other
    if wanted is not None:
        choice = tools.choice(wanted, functions, dropped, searches=search is not None)
        members["tool_choice"] = NamedTool(choice.function.name) if isinstance(choice, ChatTool) else choice
        if wanted.disable_parallel_tool_use:
            members["parallel_tool_calls"] = False
    return members


def _flat(tool: ChatTool) -> FunctionTool:
    function = tool.function
    parameters = function.parameters or EMPTY_OBJECT
    return FunctionTool(function.name, function.strict is True, parameters, function.description)


def _thinking(
    request: Request, model: str, dropped: set[str], *, old_client: bool, searches: bool
) -> dict[str, Any]:
    """Effort and summary, and the sampling parameters that are refused while a model reasons."""
    kin = reasoning.family(model)
    wished = wish(request, old_client=old_client)
    sent = None if kin is None else reasoning.effort(kin, wished, tools=False)
    if searches and sent == "minimal":
        sent = "low"  # with less, gpt-5 is said to refuse the search; the difference costs little
    members: dict[str, Any] = {}
    may_sample = reasoning.allows_sampling(kin, sent)
    if kin is not None:
        summary = "auto" if wished != "none" and not may_sample and shows_thinking(request) else UNSET
        if sent is not None or summary is not UNSET:
            members["reasoning"] = ReasoningConfig(UNSET if sent is None else sent, summary)
        members["include"] = [ENCRYPTED]

    silenced = wished != "none" and kin is None
    unstoppable = wished == "none" and kin is not None and sent != "none"
    if request.thinking is not None and (silenced or unstoppable):
        dropped.add("thinking")
    if request.output_config is not None and request.output_config.effort and (silenced or wished == "none"):
        dropped.add("output_config.effort")

    for name, value in {"temperature": request.temperature, "top_p": request.top_p}.items():
        if value is not None and may_sample:
            members[name] = value
        elif value not in {None, 1}:  # 1 is what these models use anyway
            dropped.add(name)
    return members


def carries(request: Request, *, old_client: bool) -> bool:
    """Whether the answer may hold thinking blocks: who wants none gets them only to keep state between calls."""
    return bool(request.tools) or wish(request, old_client=old_client) != "none"
