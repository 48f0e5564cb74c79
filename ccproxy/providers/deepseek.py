"""DeepSeek: Chat Completions with text alone, and reasoning that must come back.

Sources: https://api-docs.deepseek.com (thinking_mode, error_codes, rate_limit; read 2026-11-22), the types of
DeepSeek's own client (deepseek-ai/deepseek-harness, `llm-deepseek/src/types.ts`, 2026-08-21), recorded answers.

Thinking is on unless it is switched off. In thinking mode every earlier message with tool calls must carry a
`reasoning_content` ("The `reasoning_content` in the thinking mode must be passed back to the API"), and no tool
can be forced ("Thinking mode does not support this tool_choice").
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from ccproxy.carrier import Carried, pack
from ccproxy.messages import Thinking
from ccproxy.providers.openai_chat import OpenAIChat
from ccproxy.providers.openai_chat.dialect import Asked, Dialect, Recalled, Thought, carried
from ccproxy.providers.openai_chat.failures import Problem
from ccproxy.providers.openai_chat.wire import Delta

PROVIDER = "deepseek"
KIND = "reasoning_content"

_EFFORTS = {"low": "low", "medium": "high", "high": "high", "xhigh": "high", "max": "max"}
"""Anthropic's efforts and DeepSeek's; "medium" and "xhigh" its server takes for "high" itself."""

_UNKNOWN_MODEL = re.compile(r"supported API model names are .*you passed (\S{1,200}?)\.?$", re.DOTALL)


def thinking(asked: Asked, dropped: set[str]) -> dict[str, Any]:
    """Thinking as the caller wishes it, but where a tool is forced."""
    if asked.wished == "none":
        return {"thinking": {"type": "disabled"}}
    wanted = asked.request.tool_choice
    is_forced = asked.tools and wanted is not None and wanted.type in {"any", "tool"}
    if is_forced:
        if asked.request.thinking is not None:
            dropped.add("thinking")
        if asked.request.output_config is not None and asked.request.output_config.effort:
            dropped.add("output_config.effort")
        return {"thinking": {"type": "disabled"}}
    if asked.wished is None:
        return {} if asked.request.thinking is None else {"thinking": {"type": "enabled"}}
    effort = _EFFORTS.get(asked.wished, asked.wished)
    return {"thinking": {"type": "enabled"}, "reasoning_effort": effort}


class Thoughts:
    """The reasoning of one answer, and the signature by which it is known when it comes back."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._told: list[str] = []

    def feed(self, delta: Delta) -> str:
        """See `dialect.Thoughts`."""
        piece = delta.reasoning_content or ""
        self._told.append(piece)
        return piece

    def sign(self, *, shown: bool) -> str:
        """See `dialect.Thoughts`."""
        text = "".join(self._told)
        self._told.clear()
        if not text:
            return ""
        hidden = [] if shown else [text]  # what is shown comes back as the text of its block
        return pack(Carried(PROVIDER, self._model, KIND, Raw(msgspec.json.encode(hidden))))


def recall(thoughts: Sequence[Thought], model: str, called: bool) -> Recalled:  # noqa: ARG001, FBT001  # see there
    """The reasoning of a message; its models read each other's.

    With calls it must have some. Where it is lost, or another provider's, the empty text is taken too: recorded
    with `deepseek-reasoner`, which says so of calls that it made without a thought.
    """
    lost: list[Thought] = []
    texts: list[str] = []
    for thought in thoughts:
        found = carried(thought, PROVIDER, list[str])
        if found is None or not isinstance(thought, Thinking):
            lost.append(thought)
        else:
            texts += found[1] or [thought.thinking]
    return ({"reasoning_content": "".join(texts)} if texts or called else {}), lost


def diagnose(status: int, found: Problem) -> tuple[int, Problem]:
    """DeepSeek calls nearly everything `invalid_request_error`: its status and its words tell what it is."""
    unknown = _UNKNOWN_MODEL.search(found.message)
    if unknown is not None:
        return 404, Problem(f"model `{unknown[1]}`")
    return status, found


DEEPSEEK = Dialect(
    limit="max_tokens",
    user="",
    service_tier=False,
    only_text=True,
    parallel=False,
    strict="none",
    schema="json_object",
    session=lambda _: {},
    yields={"must be passed back": {"thinking": {"type": "disabled"}, "reasoning_effort": None}},
    request_id="x-ds-trace-id",
    thinking=thinking,
    thoughts=Thoughts,
    recall=recall,
    diagnose=diagnose,
)


def provider(name: str, base_url: str, api_key: str | None) -> OpenAIChat:
    """DeepSeek under an operator's name."""
    return OpenAIChat(name, base_url, api_key, DEEPSEEK)
