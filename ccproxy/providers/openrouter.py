"""OpenRouter: Chat Completions in front of many providers, with caches, reasoning and errors of its own.

Sources: the OpenAPI document of OpenRouterTeam/typescript-sdk (2026-08-22), https://openrouter.ai/docs (errors,
streaming, reasoning tokens; read 2026-11-22), recorded answers.

Reasoning comes twice, as a text and as `reasoning_details`. The details hold what the provider behind must have
back (signatures, encrypted state) and go back as they came, in the same order, on the message they belong to. A
stream brings their members piece by piece, so these are sorted: the same reasoning gives the same bytes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from ccproxy.carrier import Carried, pack
from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import Thinking
from ccproxy.providers.openai_chat import OpenAIChat
from ccproxy.providers.openai_chat.dialect import Asked, Dialect, Recalled, Thought, carried, nameless
from ccproxy.providers.openai_chat.failures import Problem, problem, text
from ccproxy.providers.openai_chat.wire import Delta

PROVIDER = "openrouter"
KIND = "reasoning_details"

_TAKES_BUDGET = re.compile(r"google/gemini|anthropic/claude-(?:3|(?:opus|sonnet|haiku)-4(?!\.[7-9]))")
"""Models that take a budget of tokens; later Claude models take an effort alone."""

_CLAUDE = {"format": "anthropic-claude-v1"}


def thinking(asked: Asked, dropped: set[str]) -> dict[str, Any]:  # noqa: ARG001  # everything can be said
    """The `reasoning` member. "none" is not worth the providers that structured output then leaves out."""
    if asked.wished == "none":
        return {} if asked.schema else {"reasoning": {"effort": "none"}}
    config, output = asked.request.thinking, asked.request.output_config
    reasoning: dict[str, str | int | bool] = {}
    if (
        config is not None
        and config.budget_tokens
        and _TAKES_BUDGET.match(asked.model)
        and not (output and output.effort)
    ):
        reasoning["max_tokens"] = config.budget_tokens
    elif asked.wished is not None:
        reasoning["effort"] = asked.wished
    elif config is not None:
        reasoning["enabled"] = True
    if config is not None and config.display == "omitted" and not asked.tools:
        reasoning["exclude"] = True  # with tools, what is not seen must still come back
    return {"reasoning": reasoning} if reasoning else {}


class _Detail(Struct):
    """A detail of reasoning, and the pieces of its text that have come."""

    members: dict[str, Any]
    text: list[str]

    def continues(self, piece: Mapping[str, Any]) -> bool:
        """Whether `piece` is more of this detail."""
        same = all(self.members.get(member) == piece.get(member) for member in ("type", "index"))
        return same and self.members.get("id") in (None, piece.get("id", self.members.get("id")))

    @property
    def whole(self) -> dict[str, Any]:
        """The detail with all of its text."""
        return {**self.members, _TEXT[self.members["type"]]: "".join(self.text)} if self.text else self.members


_TEXT = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""What holds the text of a detail, by its type. Only these come in pieces."""


class Thoughts:
    """The reasoning of one answer; pieces of one detail are joined by index and type."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._details: list[_Detail] = []

    def feed(self, delta: Delta) -> str:
        """See `dialect.Thoughts`."""
        told = "" if delta.reasoning_details is UNSET else self._detail(delta.reasoning_details)
        return delta.reasoning or delta.reasoning_content or told

    def _detail(self, raw: Raw) -> str:
        try:
            pieces = msgspec.json.decode(raw, type=list[dict[str, Any]] | None) or []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamProtocolError("reasoning_details are not what the API documents") from error
        return "".join(self._piece(piece) for piece in pieces)

    def _piece(self, piece: dict[str, Any]) -> str:
        name = _TEXT.get(str(piece.get("type")), "")
        said = piece.get(name)
        known = next((d for d in reversed(self._details) if d.continues(piece)), None) if name else None
        if known is None:
            known = _Detail(piece, [])
            self._details.append(known)
        else:
            known.members.update({k: value for k, value in piece.items() if value and k != name})
        if not isinstance(said, str) or not said:
            return ""
        known.text.append(said)
        return said

    def sign(self, *, shown: bool) -> str:  # noqa: ARG002  # what came is carried whole
        """See `dialect.Thoughts`."""
        if not self._details:
            return ""
        details = msgspec.json.encode([detail.whole for detail in self._details], order="sorted")
        self._details.clear()
        return pack(Carried(PROVIDER, self._model, KIND, Raw(details)))


def recall(thoughts: Sequence[Thought], model: str, called: bool) -> Recalled:  # noqa: ARG001, FBT001  # as the others
    """The details of a message: those that came from this model's maker, and Claude's own thinking for Claude."""
    lost: list[Thought] = []
    details: list[Any] = []
    for thought in thoughts:
        found = carried(thought, PROVIDER, list[Raw])
        if found is not None and _maker(found[0]) == _maker(model):
            details += found[1]
        elif _maker(model) == "anthropic" and (native := _native(thought, len(details))):
            details.append(native)
        else:
            lost.append(thought)
    return ({"reasoning_details": details} if details else {}), lost


def _maker(model: str) -> str:
    return model.partition("/")[0]


def _native(thought: Thought, index: int) -> Mapping[str, Any] | None:
    """Thinking that Anthropic signed, as a detail."""
    if not isinstance(thought, Thinking):
        return {"type": "reasoning.encrypted", "data": thought.data, **_CLAUDE, "index": index}
    if not thought.signature or thought.signature.startswith("ccp1."):
        return None
    signed = {"text": thought.thinking, "signature": thought.signature}
    return {"type": "reasoning.text", **signed, **_CLAUDE, "index": index}


_STATUS_OF = {
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "not_found": 404,
    "payload_too_large": 413,
    "payment_required": 402,
    "provider_overloaded": 503,
    "provider_unavailable": 500,
    "rate_limit_exceeded": 429,
    "refusal": 400,
    "timeout": 504,
}
"""The status by `metadata.error_type`, for kinds that come with several statuses; the others say nothing more."""

_TOO_LATE = 524  # a provider behind took too long
_UNKNOWN_MODEL = re.compile(r"^(\S{1,200}) is not a valid model ID")


def diagnose(status: int, found: Problem) -> tuple[int, Problem]:
    """Reads `metadata`: what kind of error it is, and what the provider behind said of it."""
    kind, raw = (text(found.metadata.get(name)) for name in ("error_type", "raw"))
    status = _STATUS_OF.get(kind, 504 if status == _TOO_LATE else status)
    if unknown := _UNKNOWN_MODEL.search(found.message):
        return 404, Problem(f"model `{unknown[1]}`")
    if "reasons" in found.metadata:  # moderation: the request's fault, not the key's
        status = 400
    said = problem(raw.encode()) if found.message == "Provider returned error" else found
    message = said.message or found.message
    return status, Problem(message, said.type, kind if kind == "context_length_exceeded" else said.code)


OPENROUTER = Dialect(
    user="user",
    top_k=True,
    cache_control="kept",
    file_urls=True,
    strict="all",
    web_search="chat",
    fallbacks=3,
    schema_members={"provider": {"require_parameters": True}},
    session=lambda session: {"session_id": nameless(session)},
    yields={"Reasoning is mandatory": {"reasoning": None}},  # such a model thinks, whatever is wished
    request_id="x-generation-id",
    thinking=thinking,
    thoughts=Thoughts,
    recall=recall,
    diagnose=diagnose,
)


def provider(name: str, base_url: str, api_key: str | None) -> OpenAIChat:
    """OpenRouter under an operator's name."""
    return OpenAIChat(name, base_url, api_key, OPENROUTER)
