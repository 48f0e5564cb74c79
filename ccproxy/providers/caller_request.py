"""The caller's request, as every translator reads it: what it wishes, in Anthropic's words.

Source: https://platform.claude.com/docs/en/api/messages (read 2026-11-22). What a provider cannot say is named by
its path in `dropped`; a 400 is for what would change the answer without anyone noticing (a prefill, tools that are
not there).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Raw, Struct

from ccproxy.call import Call, Target
from ccproxy.documents import TOO_DEEP, Head, decode_request, invalid, replace_members
from ccproxy.messages import ABSENT, Request, Turn
from ccproxy.provider import printable

PREFILL = "This model does not support assistant message prefill. The conversation must end with a user message."

MCP = "mcp_servers: this model's provider calls no MCP servers; let the client call them, as tools"

_OLD_VERSION = "2023-06-01"  # of the Anthropic API
_NULL = b"null"
_ROLES = ("user", "assistant", "system")
_READ = frozenset({*Request.__struct_fields__, "output_format"})
_OF_TOOLS = {
    name: b'"%b"' % name.encode() for name in ("defer_loading", "eager_input_streaming", "allowed_callers")
}


def read(call: Call, head: Head, target: Target) -> Request:
    """The typed request, with the route's parameters where the caller is silent.

    Raises:
        ApiError: INVALID_REQUEST, where it does not fit.
    """
    silent = target.silent(head)
    request = decode_request(replace_members(head.fields, silent) if silent else call.body)
    if bytes(head.fields.get("mcp_servers", _NULL)).replace(b" ", b"") not in {_NULL, b"[]"}:
        raise invalid(MCP)
    if not request.messages:
        raise invalid("messages: at least one message is required")
    for index, turn in enumerate(request.messages):
        if turn.role not in _ROLES:
            raise invalid(f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
    if request.messages[-1].role == "assistant":
        raise invalid(PREFILL)
    return msgspec.structs.replace(request, messages=_shown(request.messages))


def _shown(turns: list[Turn]) -> list[Turn]:
    """The turns but for what was for one turn of the user alone, and that is over."""
    last = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=0)
    return [
        turn
        for index, turn in enumerate(turns)
        if index > last or turn.role != "system" or turn.clear_at != "next_user_message"
    ]


@contextmanager
def opened_late() -> Iterator[None]:
    """For opening what has stayed closed so far (schemas, tool inputs): its faults are the caller's.

    Raises:
        ApiError: INVALID_REQUEST, where it is not UTF-8, or nested too deeply.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise invalid("The request body is not valid JSON: it is not UTF-8") from error
    except RecursionError as error:
        raise invalid(TOO_DEEP) from error


def is_old_client(call: Call) -> bool:
    """Whether the caller speaks API version 2023-06-01, where silence about thinking means none."""
    return _OLD_VERSION in call.headers.get("anthropic-version", ())


_SESSION = re.compile(r"session(?:_id\W+|_)([0-9a-f-]{8,64})")


def session_of(call: Call, request: Request) -> str:
    """Claude Code's session; empty where there is none. Its requests share a prompt cache.

    Newer versions name it in a header, older ones in `metadata.user_id`: at the end, or in a JSON text.
    """
    named = printable(next(iter(call.headers.get("x-claude-code-session-id", ())), ""))
    found = _SESSION.search((request.metadata and request.metadata.user_id) or "")
    return named or (found[1] if found else "")


def unsayable(head: Head, *, says_cache_control: bool = False) -> set[str]:
    """The paths of what no translator has a word for."""
    dropped = {name for name, value in head.fields.items() if name not in _READ and bytes(value) != _NULL}
    cached = (b'"cache_control"' in bytes(head.fields.get(name, b"")) for name in ("system", "messages", "tools"))
    if not says_cache_control and any(cached):
        dropped.add("cache_control")
    declared = bytes(head.fields.get("tools", b""))
    return dropped | {f"tools.{name}" for name, written in _OF_TOOLS.items() if written in declared}


def is_hurried(head: Head) -> bool:
    """Whether the caller pays for speed (`speed: "fast"`)."""
    return bytes(head.fields.get("speed", b"")) == b'"fast"'


def wish(request: Request, *, old_client: bool) -> str | None:
    """The effort the caller wishes: "none", one of Anthropic's, or None for the model's own default.

    Args:
        request: The caller's request.
        old_client: Whether silence means no thinking.
    """
    thinking, effort = request.thinking, request.output_config and request.output_config.effort
    if thinking is not None and thinking.type in {"disabled", "between_tools"}:
        return "none"
    if effort:
        return effort
    if thinking is None:
        return "none" if old_client else None
    return _effort_of_budget(thinking.budget_tokens) if thinking.type == "enabled" else None


def _effort_of_budget(tokens: int | None) -> str:
    """Anthropic's budgets start at 1,024 tokens; the steps are judgement."""
    for effort, below in (("low", 2_000), ("medium", 8_000), ("high", 24_000)):
        if (tokens or 0) < below:
            return effort
    return "xhigh"


def shows_thinking(request: Request) -> bool:
    """Whether the caller wants to see thinking."""
    thinking = request.thinking
    return thinking is None or not (thinking.type == "disabled" or thinking.display == "omitted")


def _format(request: Request, head: Head) -> tuple[Raw | None, str]:
    own = ABSENT if request.output_config is None else request.output_config.format
    for raw, path in ((own, "output_config.format"), (head.fields.get("output_format", ABSENT), "output_format")):
        if bytes(raw) not in {b"", _NULL}:
            return raw, path
    return None, ""


def is_structured(request: Request, head: Head) -> bool:
    """Whether the answer is to be JSON and nothing else."""
    return _format(request, head)[0] is not None


class _Format(Struct, frozen=True):
    type: str
    schema: Raw


class WantedSchema(Struct, frozen=True):
    """The schema of structured output, and where it stands in the request."""

    schema: Raw
    path: str


def wanted_schema(request: Request, head: Head, dropped: set[str]) -> WantedSchema | None:
    """Structured output; `output_format` is its older, top-level name.

    Raises:
        ApiError: INVALID_REQUEST, where it is no format.
    """
    raw, path = _format(request, head)
    if raw is None:
        return None
    try:
        format = msgspec.json.decode(raw, type=_Format)  # noqa: A001  # Anthropic's word
    except msgspec.DecodeError as error:
        raise invalid(f"{path}: a type and a schema are required") from error
    if format.type != "json_schema":
        dropped.add(path)
        return None
    return WantedSchema(format.schema, f"{path}.schema")
