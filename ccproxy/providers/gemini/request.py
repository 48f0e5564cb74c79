"""The request: Anthropic's parameters as Gemini's.

Source: https://ai.google.dev/api/generate-content (read 2026-11-22). What cannot be said is named by its path in
`dropped`.
"""

import msgspec
from msgspec import UNSET

from ccproxy.documents import Head
from ccproxy.messages import Request
from ccproxy.providers.caller_request import is_hurried, opened_late, unsayable, wanted_schema, wish
from ccproxy.providers.gemini.history import conversation, system_parts
from ccproxy.providers.gemini.models import family, thinking_config
from ccproxy.providers.gemini.schema import accepted
from ccproxy.providers.gemini.tools import functions, tool_config
from ccproxy.providers.gemini.wire import (
    Content,
    FunctionDeclaration,
    GenerateRequest,
    GenerationConfig,
    GoogleSearch,
    Part,
    Tools,
)
from ccproxy.providers.web_search import WebSearch, others, wanted_search


def translate(
    request: Request, head: Head, model: str, *, old_client: bool, stateless: bool = False
) -> tuple[GenerateRequest, set[str]]:
    """The request to send, and the paths of what it cannot say.

    Args:
        request: The caller's request.
        head: Its members.
        model: The model there.
        old_client: Whether the caller speaks API version 2023-06-01, where silence means no thinking.
        stateless: Whether to leave out all state, because the provider refused it.

    Raises:
        ApiError: INVALID_REQUEST, where bytes that were not opened so far are not UTF-8, or are nested too deeply.
    """
    dropped = unsayable(head) - {"speed"}  # whose other value is what Gemini does anyway
    with opened_late():
        return _translate(request, head, model, dropped, old_client=old_client, stateless=stateless), dropped


def _translate(
    request: Request, head: Head, model: str, dropped: set[str], *, old_client: bool, stateless: bool
) -> GenerateRequest:
    contents = conversation(request, model, dropped, stateless=stateless)
    search = wanted_search(head)
    declared = functions(others(request.tools, search), dropped)
    if search is not None and declared and not family(model).is_third:
        dropped.add(f"tools.{search.type}")  # beside functions only later models search
        search = None
    system = system_parts(request)
    schema = _response_schema(request, head, dropped)
    if schema is not None and (declared or search) and not family(model).is_third:
        text = msgspec.json.encode(schema).decode()
        system.append(Part(text=f"Answer with nothing but JSON that satisfies this JSON Schema: {text}"))
        dropped.add("output_config.format")  # said in the prompt: nothing enforces it
        schema = None
    thinking = thinking_config(request, model, wish(request, old_client=old_client), dropped)
    if request.metadata is not None and request.metadata.user_id:
        dropped.add("metadata.user_id")
    return GenerateRequest(
        contents,
        system_instruction=Content(system) if system else UNSET,
        tools=_tools(declared, search, dropped) or UNSET,
        tool_config=tool_config(request, declared, dropped, searches=search is not None),
        generation_config=GenerationConfig(
            max_output_tokens=max(request.max_tokens, 1),
            temperature=UNSET if request.temperature is None else request.temperature,
            top_p=UNSET if request.top_p is None else request.top_p,
            top_k=UNSET if request.top_k is None else request.top_k,
            thinking_config=thinking or UNSET,
            response_mime_type=UNSET if schema is None else "application/json",
            response_json_schema=UNSET if schema is None else schema,
        ),
        service_tier=_service_tier(request, head) or UNSET,
    )


def _tools(declared: list[FunctionDeclaration], search: WebSearch | None, dropped: set[str]) -> list[Tools]:
    tools = [Tools(declared)] if declared else []
    if search is not None:
        tools.append(Tools(google_search=GoogleSearch()))
        dropped |= {f"tools.{limit}" for limit in search.limits}
    return tools


def _service_tier(request: Request, head: Head) -> str:
    if is_hurried(head):
        return "priority"
    return "standard" if request.service_tier == "standard_only" else ""


def _response_schema(request: Request, head: Head, dropped: set[str]) -> dict[str, object] | None:
    """The schema of structured output, as far as Gemini knows its words."""
    wanted = wanted_schema(request, head, dropped)
    return None if wanted is None else accepted(wanted.schema, wanted.path, dropped)
