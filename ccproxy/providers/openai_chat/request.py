"""The request: Anthropic's parameters as Chat Completions parameters.

Source: https://platform.openai.com/docs/api-reference/chat/create (read 2026-11-22). What cannot be said is named
by its path in `dropped`; a 400 is for what would change the answer's shape without anyone noticing (prefill).
"""

import hashlib
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from ccproxy.call import Call, Target
from ccproxy.documents import TOO_DEEP, Head, decode_request, invalid, replace_members
from ccproxy.messages import ABSENT, Request
from ccproxy.providers.openai_chat import reasoning
from ccproxy.providers.openai_chat.history import conversation
from ccproxy.providers.openai_chat.tools import choice, function_tools, satisfies_strict
from ccproxy.providers.openai_chat.wire import (
    ChatRequest,
    FunctionTool,
    JsonSchema,
    ResponseFormat,
    StreamOptions,
)

OLD_VERSION = "2023-06-01"  # of the Anthropic API: there, silence about thinking means none

PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."

_NULL = b"null"
_ROLES = ("user", "assistant", "system")
_READ = frozenset({*Request.__struct_fields__, "output_format"})
_OF_TOOLS = ("defer_loading", "eager_input_streaming", "allowed_callers")


class Dialect(Struct, frozen=True):
    """How a server differs from OpenAI's own.

    Attributes:
        limit: What caps the answer. OpenAI refuses `max_tokens` for its newer models, which keep
            `max_completion_tokens` everywhere; other servers know `max_tokens` and may ignore the other.
        extras: Whether `safety_identifier` and `service_tier` may be sent; some servers refuse what they
            do not know.
    """

    limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    extras: bool = True


OPENAI = Dialect()
COMPATIBLE = Dialect(limit="max_tokens", extras=False)


def read(call: Call, head: Head, target: Target) -> Request:
    """The typed request, with the route's parameters where the caller is silent.

    Raises:
        ApiError: INVALID_REQUEST, where it does not fit.
    """
    silent = target.silent(head)
    request = decode_request(replace_members(head.fields, silent) if silent else call.body)
    if not request.messages:
        raise invalid("messages: at least one message is required")
    for index, turn in enumerate(request.messages):
        if turn.role not in _ROLES:
            raise invalid(f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
    if request.messages[-1].role == "assistant":
        raise invalid(PREFILL)
    return request


def translate(
    request: Request, head: Head, model: str, dialect: Dialect, *, old_client: bool
) -> tuple[ChatRequest, set[str]]:
    """The request to send, and the paths of what it cannot say.

    Raises:
        ApiError: INVALID_REQUEST, where bytes that were not opened so far are not UTF-8, or are nested too deeply.
    """
    dropped = unsayable(head)
    try:
        return _translate(request, head, model, dialect, dropped, old_client=old_client), dropped
    except UnicodeDecodeError as error:
        raise invalid("The request body is not valid JSON: it is not UTF-8") from error
    except RecursionError as error:
        raise invalid(TOO_DEEP) from error


def unsayable(head: Head) -> set[str]:
    """The paths of what no OpenAI wire has a word for."""
    dropped = {name for name, value in head.fields.items() if name not in _READ and bytes(value) != _NULL}
    if any(b'"cache_control"' in bytes(head.fields.get(name, b"")) for name in ("system", "messages", "tools")):
        dropped.add("cache_control")
    declared = bytes(head.fields.get("tools", b""))
    return dropped | {f"tools.{name}" for name in _OF_TOOLS if b'"%b"' % name.encode() in declared}


def _translate(
    request: Request, head: Head, model: str, dialect: Dialect, dropped: set[str], *, old_client: bool
) -> ChatRequest:
    recent = reasoning.is_recent(model)
    limit = "max_completion_tokens" if recent else dialect.limit
    messages = conversation(request, "developer" if recent else "system", dropped)
    functions = function_tools(request.tools or [], dropped)
    if request.top_k is not None:
        dropped.add("top_k")
    members: dict[str, Any] = {
        limit: max(request.max_tokens, 1),
        **_tool_use(request, functions, dropped),
        **_thinking(request, model, dropped, tools=bool(functions), old_client=old_client),
        **extras(request, dialect, dropped),
    }
    if head.stream:
        members |= {"stream": True, "stream_options": StreamOptions(include_usage=True)}
    if schema := wanted_schema(request, head, dropped):
        members["response_format"] = ResponseFormat(schema)
    return ChatRequest(model=model, messages=messages, **members)


def _tool_use(request: Request, functions: list[FunctionTool], dropped: set[str]) -> dict[str, Any]:
    wanted = request.tool_choice
    if not functions:
        if wanted is not None and wanted.type in {"any", "tool"}:
            dropped.add("tool_choice")
        return {}
    members: dict[str, Any] = {"tools": functions}
    if wanted is not None:
        members["tool_choice"] = choice(wanted, functions, dropped)
        if wanted.disable_parallel_tool_use:
            members["parallel_tool_calls"] = False
    return members


def _thinking(request: Request, model: str, dropped: set[str], *, tools: bool, old_client: bool) -> dict[str, Any]:
    """Effort, and the sampling parameters that reasoning models refuse."""
    kin = reasoning.family(model)
    wished = reasoning.wish(request, old_client=old_client)
    sent = None if kin is None else reasoning.effort(kin, wished, tools=tools)
    members: dict[str, Any] = {} if sent is None else {"reasoning_effort": sent}

    silenced = wished != "none" and (kin is None or (tools and kin.with_tools != "any"))
    unstoppable = wished == "none" and kin is not None and sent not in {None, "none"}
    if request.thinking is not None and (silenced or unstoppable):
        dropped.add("thinking")
    if request.output_config is not None and request.output_config.effort and (silenced or wished == "none"):
        dropped.add("output_config.effort")

    sampling = {"temperature": request.temperature, "top_p": request.top_p}
    for name, value in sampling.items():
        if value is None:
            continue
        if reasoning.allows_sampling(kin, sent):
            members[name] = value
        elif value != 1:  # what these models use anyway
            dropped.add(name)
    return members


def extras(request: Request, dialect: Dialect, dropped: set[str]) -> dict[str, Any]:
    """What is not known to every server."""
    members: dict[str, Any] = {}
    if request.metadata is not None and request.metadata.user_id:
        digest = hashlib.sha256(request.metadata.user_id.encode()).hexdigest()
        members["safety_identifier"] = digest
    if request.service_tier is not None:
        members["service_tier"] = "default" if request.service_tier == "standard_only" else "auto"
    if dialect.extras:
        return members
    paths = {"safety_identifier": "metadata.user_id", "service_tier": "service_tier"}
    dropped.update(paths[name] for name in members)
    return {}


class _Format(Struct, frozen=True):
    type: str
    schema: Raw


def wanted_schema(request: Request, head: Head, dropped: set[str]) -> JsonSchema | None:
    """Structured output; `output_format` is its older, top-level name."""
    raw = ABSENT if request.output_config is None else request.output_config.format
    path = "output_config.format"
    if bytes(raw) in {b"", _NULL}:
        raw, path = head.fields.get("output_format", ABSENT), "output_format"
    if bytes(raw) in {b"", _NULL}:
        return None
    try:
        format = msgspec.json.decode(raw, type=_Format)  # noqa: A001  # Anthropic's word
    except msgspec.DecodeError as error:
        raise invalid(f"{path}: a type and a schema are required") from error
    if format.type != "json_schema":
        dropped.add(path)
        return None
    strict = True if satisfies_strict(format.schema) else UNSET
    return JsonSchema(name="output", schema=format.schema, strict=strict)
