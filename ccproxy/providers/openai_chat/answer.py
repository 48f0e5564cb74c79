"""Answers: a whole one, and what it shares with a streamed one.

Source: https://platform.openai.com/docs/api-reference/chat/object (read 2026-11-22).
"""

from collections.abc import Callable, Mapping

from msgspec import UNSET, Struct, UnsetType

from ccproxy.documents import Head
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Request, StopDetails, Usage
from ccproxy.provider import Answer
from ccproxy.providers.answers import CallIds, Collector, counted, decode, is_error, is_object, message_id, tier_of
from ccproxy.providers.caller_request import shows_thinking
from ccproxy.providers.openai_chat.dialect import Thoughts
from ccproxy.providers.openai_chat.failures import Failures
from ccproxy.providers.openai_chat.wire import (
    CallPiece,
    ChatUsage,
    Choice,
    Completion,
    Delta,
    FunctionPiece,
    StreamChoice,
)
from ccproxy.providers.stop_sequences import Estimates, StopSequences
from ccproxy.providers.web_search import Sources, awaits_sources


class Expected(Struct, frozen=True):
    """What is known of an answer before it comes.

    Attributes:
        model: The model by the caller's name.
        names: The caller's names of tools by the names they have upstream, where these differ.
        stop_sequences: The caller's.
        shows_thinking: Whether the caller wants to see thinking.
        cites: Whether sources may follow the text.
        failures: Makes the provider's errors.
        thoughts: Makes the reader of its reasoning.
        estimates: Estimates the usage that does not come.
    """

    model: str
    names: Mapping[str, str]
    stop_sequences: tuple[str, ...]
    shows_thinking: bool
    cites: bool
    failures: Failures
    thoughts: Callable[[], Thoughts]
    estimates: Estimates


def expected(
    request: Request,
    head: Head,
    names: Mapping[str, str],
    failures: Failures,
    thoughts: Callable[[], Thoughts],
    estimates: Estimates,
) -> Expected:
    """What the answer to `request` is read against."""
    return Expected(
        head.model,
        names,
        tuple(request.stop_sequences or ()),
        shows_thinking(request),
        cites=awaits_sources(request, head),
        failures=failures,
        thoughts=thoughts,
        estimates=estimates,
    )


def read(body: bytes, want: Expected) -> Answer:
    """Reads a whole answer.

    Raises:
        ApiError: It is an error with status 200.
        UpstreamProtocolError: It is no answer.
    """
    completion = decode(body, Completion, "the answer")
    if completion.error is not UNSET and is_error(completion.error):
        raise want.failures.inside(bytes(completion.error))
    choice = next((choice for choice in completion.choices or () if choice.index == 0), None)
    finish = None if choice is None else finish_of(choice)
    if choice is None or choice.message is None or not finish:
        raise UpstreamProtocolError("the answer holds no finished choice")
    collector = Collector(want.names)
    collector.start(message_id(completion.id, body), want.model)
    usage = usage_of(completion.usage, completion.service_tier)
    _collect(collector, choice.message, finish, usage, want)
    return Answer(collector.body, usage, cost_of(completion.usage))


def _collect(collector: Collector, said: Delta, finish: str, usage: Usage, want: Expected) -> None:
    thoughts = want.thoughts()
    told = thoughts.feed(said)
    if want.shows_thinking:
        collector.thinking(told)
    if signature := thoughts.sign(shown=want.shows_thinking):
        collector.signature(signature)
    stops = StopSequences(want.stop_sequences)
    collector.text(stops.feed(said.content or "") + stops.flush())
    if stops.matched is not None:
        collector.finish("stop_sequence", counted(usage), stop_sequence=stops.matched)
        return
    collector.text(said.refusal or "")
    called = _call(collector, said, cut=finish in CUT)
    reason = stop_reason(finish, want, called=called, refused=bool(said.refusal))
    if said.annotations is not UNSET and reason in CITING:
        sources = Sources(shown=want.cites)
        sources.cite(said.annotations)
        collector.text(sources.text)
    collector.finish(reason, counted(usage), stop_details=StopDetails() if reason == "refusal" else None)


def _call(collector: Collector, said: Delta, *, cut: bool) -> bool:
    """The calls; of an answer cut at its limit only the whole ones, so that no client runs a half one."""
    pieces = said.tool_calls or []
    if not pieces and said.function_call is not None:
        pieces = [CallPiece(function=said.function_call)]
    ids = CallIds(collector.id)
    called = False
    for key, piece in enumerate(pieces):
        function = piece.function or FunctionPiece()
        arguments = function.arguments or ""
        if cut and function.name and not is_object(arguments):
            continue
        collector.tool(key, ids.make(piece.id), function.name or "", arguments)
        called = True
    return called


def finish_of(choice: Choice | StreamChoice) -> str | None:
    """Why it ended. OpenRouter passes on the model's own word too: what hit its limit was cut."""
    return "length" if choice.native_finish_reason == "max_output_tokens" else choice.finish_reason


CUT = {"length": "max_tokens", "model_length": "max_tokens", "content_filter": "refusal"}
"""Finish reasons of an answer that is not whole, and what Anthropic calls them."""


CITING = frozenset({"end_turn", "max_tokens"})
"""Stop reasons before which sources may follow the text: nothing comes after calls, and refusals have none."""


def stop_reason(finish: str, want: Expected, *, called: bool, refused: bool) -> str:
    """Anthropic's stop reason.

    Calls count whatever `finish` says: with a named tool OpenAI says "stop". A word that is not known ends a turn:
    the server says that the answer is whole.

    Raises:
        ApiError: The provider gave the answer up for lack of room.
        UpstreamProtocolError: It gave it up for an error that it does not name.
    """
    if finish == "insufficient_system_resource":  # https://api-docs.deepseek.com
        raise want.failures.overloaded()
    if finish == "error":
        raise UpstreamProtocolError("the answer ended in an error that has no name")
    if finish in CUT:
        return CUT[finish]
    if called:
        return "tool_use"
    return "refusal" if refused else "end_turn"


def usage_of(usage: ChatUsage | None, tier: object = None) -> Usage:
    """Anthropic's counts: what came from a cache or went into one is not part of `input_tokens`.

    Args:
        usage: The provider's.
        tier: The answer's `service_tier`.
    """
    if usage is None:
        return Usage()
    details, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    cached = details.cached_tokens if details else None
    if usage.prompt_cache_hit_tokens is not None:
        cached = usage.prompt_cache_hit_tokens
    written = details.cache_write_tokens if details else None
    thought = completion.reasoning_tokens if completion else None
    fresh: int | UnsetType = UNSET
    if usage.prompt_cache_miss_tokens is not None:
        fresh = usage.prompt_cache_miss_tokens
    elif usage.prompt_tokens is not None:
        fresh = max(0, usage.prompt_tokens - (cached or 0) - (written or 0))
    return Usage(
        input_tokens=fresh,
        cache_creation_input_tokens=UNSET if written is None else written,
        cache_read_input_tokens=UNSET if cached is None else cached,
        output_tokens=UNSET if usage.completion_tokens is None else usage.completion_tokens,
        output_tokens_details=UNSET if thought is None else _thinking_tokens(thought, usage.completion_tokens),
        service_tier=tier_of(tier),
    )


def cost_of(usage: ChatUsage | None) -> dict[str, str]:
    """The header that tells what an answer cost, in US dollars; none where the provider does not say."""
    cost = None if usage is None else usage.cost
    if not isinstance(cost, int | float) or isinstance(cost, bool) or not 0 <= cost < _NO_COST:
        return {}
    return {"x-ccproxy-cost": f"{cost:.12f}".rstrip("0").rstrip(".")}


_NO_COST = 1e9  # no answer costs so much


def _thinking_tokens(thought: int, completion: int | None) -> dict[str, int]:
    return {"thinking_tokens": thought if completion is None else min(thought, completion)}
