"""How a server differs from OpenAI's own: data where that is enough, small functions where it is not.

A server that reasons has three rules of its own: how the caller's wish is said (`thinking`), how its reasoning is
read and kept (`thoughts`), and how kept reasoning goes back to it (`recall`). What these need is in this file.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, UnsetType

from ccproxy import carrier
from ccproxy.messages import RedactedThinking, Request, Thinking
from ccproxy.providers.conversation import is_cached
from ccproxy.providers.openai_chat import reasoning
from ccproxy.providers.openai_chat.failures import Problem, as_told
from ccproxy.providers.openai_chat.wire import ChatMessage, Delta

T = TypeVar("T")

Thought = Thinking | RedactedThinking


class Asked(Struct, frozen=True):
    """What decides about reasoning.

    Attributes:
        request: The caller's request.
        model: The model upstream.
        messages: The conversation as it goes upstream.
        wished: The effort; see `reasoning.wish`.
        tools: Whether there are any.
        schema: Whether the answer is to follow a schema.
    """

    request: Request
    model: str
    messages: Sequence[ChatMessage]
    wished: str | None
    tools: bool
    schema: bool


class Thoughts(Protocol):
    """The reasoning of one answer, on its way in."""

    def feed(self, delta: Delta) -> str:
        """The reasoning in a piece of the answer, for people."""
        ...

    def sign(self, *, shown: bool) -> str:
        """The signature that carries what came since the last one; empty where nothing is to be carried.

        Args:
            shown: Whether the caller sees the reasoning, so that its text comes back by itself.
        """
        ...


class Plain:
    """Reasoning that never goes back: it has no signature."""

    def feed(self, delta: Delta) -> str:
        """See `Thoughts`."""
        return delta.reasoning_content or delta.reasoning or ""

    def sign(self, *, shown: bool) -> str:  # noqa: ARG002  # as the Protocol says
        """See `Thoughts`."""
        return ""


Recalled = tuple[Mapping[str, Any], Sequence[Thought]]
"""The members that give an assistant's message its reasoning back, and the thinking that could not be used."""


def forget(thoughts: Sequence[Thought], model: str, called: bool) -> Recalled:  # noqa: ARG001, FBT001  # as the others
    """Chat Completions has no place for reasoning."""
    return {}, thoughts


def carried(thought: Thought, provider: str, type: type[T]) -> tuple[str, T] | None:  # noqa: A002  # msgspec's word
    """The model and the state that a thinking block carries for a provider; None where it carries none for it."""
    found = carrier.unpack(thought.signature) if isinstance(thought, Thinking) else None
    if found is None or found.provider != provider:
        return None
    try:
        return found.model, msgspec.json.decode(bytes(found.data).decode(), type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # whoever wrote this signature, we did not
        return None


def openai_thinking(asked: Asked, dropped: set[str]) -> dict[str, Any]:
    """The effort, as OpenAI's families of models accept it."""
    kin, wished, request = reasoning.family(asked.model), asked.wished, asked.request
    sent = None if kin is None else reasoning.effort(kin, wished, tools=asked.tools)
    silenced = wished != "none" and (kin is None or (asked.tools and kin.with_tools != "any"))
    unstoppable = wished == "none" and kin is not None and sent not in {None, "none"}
    if request.thinking is not None and (silenced or unstoppable):
        dropped.add("thinking")
    if request.output_config is not None and request.output_config.effort and (silenced or wished == "none"):
        dropped.add("output_config.effort")
    return {} if sent is None else {"reasoning_effort": sent}


Yields = Mapping[str, Mapping[str, Any]]


def cache_key(session: str) -> dict[str, str]:
    """OpenAI's: one of 64 characters at most."""
    return {"prompt_cache_key": nameless(session)}


def nameless(session: str) -> str:
    """What stands for a session at a provider: the same each time. Its name stays here."""
    return hashlib.sha256(session.encode()).hexdigest()[:32]


class Dialect(Struct, frozen=True):
    """How a server differs from OpenAI's own.

    Attributes:
        limit: What caps the answer. OpenAI refuses `max_tokens` for its newer models, which keep
            `max_completion_tokens` everywhere; other servers know `max_tokens` and may ignore the other.
        user: The member for who asks, hashed; empty where some servers refuse it.
        service_tier: Whether `service_tier` may be sent.
        top_k: Whether `top_k` may be sent.
        cache_control: What becomes of it: texts and tools keep it, some texts are marked in OpenAI's way (by the
            Responses API), or it is dropped.
        only_text: Whether messages hold text alone, so that images and documents are left out.
        file_urls: Whether a document may be an address, which the server fetches.
        parallel: Whether `parallel_tool_calls` may be sent.
        strict: Which strict tools stay so: those whose schema OpenAI accepts, all, or none.
        schema: How structured output is asked for: by its schema, or by `json_object` and the system prompt.
        schema_members: Further members of a request with structured output.
        web_search: Where the server searches the web itself: on Chat Completions as a tool of its own, on the
            Responses API, or nowhere.
        fallbacks: How many models the server takes beside the first, to go on with where that one fails.
        session: The members that keep a session's requests where their prompt is cached.
        yields: The members of a second try (None for none), by the words with which the server refuses the first.
        request_id: The header that names a request at the provider.
        thinking: Says the wish for reasoning.
        thoughts: Reads reasoning; made for each answer with the model upstream.
        recall: Gives reasoning back.
        diagnose: Reads an error in the provider's own way.
    """

    limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    user: str = "safety_identifier"
    service_tier: bool = True
    top_k: bool = False
    cache_control: Literal["kept", "marked", "dropped"] = "dropped"
    only_text: bool = False
    file_urls: bool = False
    parallel: bool = True
    strict: Literal["accepted", "all", "none"] = "accepted"
    schema: Literal["json_schema", "json_object"] = "json_schema"
    schema_members: Mapping[str, Any] = {}
    web_search: Literal["chat", "responses", "nowhere"] = "nowhere"
    fallbacks: int = 0
    session: Callable[[str], dict[str, str]] = cache_key
    yields: Yields = {}
    request_id: str = "x-request-id"
    thinking: Callable[[Asked, set[str]], dict[str, Any]] = openai_thinking
    thoughts: Callable[[str], Thoughts] = lambda _: Plain()
    recall: Callable[[Sequence[Thought], str, bool], Recalled] = forget
    diagnose: Callable[[int, Problem], tuple[int, Problem]] = as_told


OPENAI = Dialect(cache_control="marked", web_search="responses")
COMPATIBLE = Dialect(limit="max_tokens", user="", service_tier=False, session=lambda _: {})


def kept(cache_control: Raw | UnsetType, dialect: Dialect) -> bool:
    """Whether a place keeps its `cache_control`."""
    return dialect.cache_control == "kept" and is_cached(cache_control)
