"""What an answer is read against, and what a whole one shares with a streamed one.

Source: https://ai.google.dev/api/generate-content#FinishReason (read 2026-11-22).
"""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Struct

from ccproxy.documents import Head
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Request, Usage
from ccproxy.providers.answers import tier_of
from ccproxy.providers.gemini.failures import Failures
from ccproxy.providers.gemini.wire import UsageMetadata
from ccproxy.providers.stop_sequences import Estimates
from ccproxy.providers.web_search import awaits_sources


class Expected(Struct, frozen=True):
    """What is known of an answer before it comes.

    Attributes:
        model: The model by the caller's name.
        upstream_model: Its name there.
        names: The caller's names of tools by the names they have upstream, where these differ.
        stop_sequences: The caller's.
        shows_thinking: Whether the caller wants to see thinking.
        thinks: Whether the caller takes thinking blocks at all; without calls nothing else needs state.
        cites: Whether sources may follow the text.
        single_call: Whether only the first call counts: Gemini cannot be told to make one at a time.
        failures: Makes the provider's errors.
        estimates: Estimates the usage that does not come.
    """

    model: str
    upstream_model: str
    names: Mapping[str, str]
    stop_sequences: tuple[str, ...]
    shows_thinking: bool
    thinks: bool
    cites: bool
    single_call: bool
    failures: Failures
    estimates: Estimates


def expected(
    request: Request, head: Head, upstream_model: str, names: Mapping[str, str], failures: Failures
) -> Expected:
    """What the answer to `request` is read against."""
    thinking, choice = request.thinking, request.tool_choice
    thinks = thinking is None or thinking.type != "disabled"
    return Expected(
        head.model,
        upstream_model,
        names,
        tuple(request.stop_sequences or ()),
        shows_thinking=thinks and (thinking is None or thinking.display != "omitted"),
        thinks=thinks,
        cites=awaits_sources(request, head),
        single_call=choice is not None and bool(choice.disable_parallel_tool_use),
        failures=failures,
        estimates=Estimates(request, upstream_model),
    )


_REFUSED = frozenset(
    {
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR"),
        *("ESCALATION", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER"),
    }
)
_FAILED = frozenset(
    {
        *("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE", "TOO_MANY_TOOL_CALLS"),
        *("MISSING_THOUGHT_SIGNATURE", "OTHER", "NO_IMAGE"),
    }
)
_CUT = frozenset({"MAX_TOKENS", "CONTINUATION"})


def is_failure(finish: str) -> bool:
    """Whether the answer failed: what came with it must not be acted on."""
    return finish in _FAILED


def is_cut(finish: str) -> bool:
    """Whether the answer is not whole."""
    return finish in _CUT or finish in _REFUSED


def stop_reason(finish: str, *, called: bool) -> str:
    """Anthropic's stop reason; with calls Gemini says STOP as well.

    A word that is not known ends a turn: the server says that the answer is whole.
    """
    if finish in _REFUSED:
        return "refusal"
    if finish in _CUT:
        return "max_tokens"
    return "tool_use" if called else "end_turn"


def usage_of(counts: UsageMetadata) -> Usage:
    """Anthropic's counts: cached tokens are not part of the input, thoughts are part of the output."""
    cached, tools = counts.cached_content_token_count, counts.tool_use_prompt_token_count
    said, thought = counts.candidates_token_count, counts.thoughts_token_count
    prompt = counts.prompt_token_count
    return Usage(
        input_tokens=UNSET if prompt is None else max(0, prompt - (cached or 0)) + (tools or 0),
        cache_read_input_tokens=UNSET if cached is None else cached,
        output_tokens=UNSET if said is None and thought is None else (said or 0) + (thought or 0),
        output_tokens_details=UNSET if thought is None else {"thinking_tokens": thought},
        service_tier=tier_of(counts.service_tier),
    )


def arguments(args: object) -> str:
    """A call's arguments as JSON text.

    Raises:
        UpstreamProtocolError: They are not UTF-8: what was not opened so far is not checked.
    """
    try:
        return msgspec.json.encode(args).decode()
    except UnicodeDecodeError as error:
        raise UpstreamProtocolError("the arguments of a tool call are not UTF-8") from error
