"""What Gemini's models accept, by their names: how they think, and how strict they are with their own state.

Source: https://ai.google.dev/gemini-api/docs/thinking (read 2026-11-22). Gemini 2.5 takes a budget of tokens, 3
and later a level; both together are refused. Pro models cannot stop thinking, and Gemini 3 as a whole cannot. The
budgets for an effort are judgement.
"""

import re
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from ccproxy.messages import Request
from ccproxy.providers.gemini.wire import ThinkingConfig

_VERSION = re.compile(r"gemini-(\d{1,3})(?:\.(\d{1,3}))?(?!\d)(.*)", re.DOTALL)
_LATEST = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest")

_LEVELS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
_DYNAMIC = -1


class Family(Struct, frozen=True):
    """A family of models.

    Attributes:
        thinks: How thinking is asked for; "never" where it cannot be.
        is_pro: Whether it cannot stop thinking.
        has_medium: Whether it knows the level MEDIUM.
        is_third: Whether it is Gemini 3 or later: calls need their state back, results may hold media, and a
            schema for the answer may stand beside tools.
    """

    thinks: Literal["level", "budget", "never"]
    is_pro: bool = False
    has_medium: bool = True
    is_third: bool = False


def family(model: str) -> Family:
    """The family of a model."""
    if _LATEST.fullmatch(model):
        return Family("level", is_pro="pro" in model, is_third=True)
    match = _VERSION.match(model)
    if match is None:
        return Family("never")
    version, rest = (int(match[1]), int(match[2] or 0)), match[3]
    if version >= (3, 0):
        is_pro = rest.startswith("-pro")
        return Family("level", is_pro, has_medium=not (is_pro and version == (3, 0)), is_third=True)
    return Family("budget", rest.startswith("-pro")) if version == (2, 5) else Family("never")


def thinking_config(request: Request, model: str, wished: str | None, dropped: set[str]) -> ThinkingConfig | None:
    """How to think; None to leave it to the model.

    Args:
        request: The caller's request.
        model: The model there.
        wished: The effort: "none", one of Anthropic's, or None for the model's own default.
        dropped: Gets the path of what cannot be said.
    """
    kin, thinking = family(model), request.thinking
    if kin.thinks == "never":
        if thinking is not None and wished != "none":
            dropped.add("thinking")
        if request.output_config is not None and request.output_config.effort:
            dropped.add("output_config.effort")
        return None
    is_on = thinking is not None and wished != "none"
    if thinking is not None and wished == "none" and (kin.is_third or kin.is_pro):
        dropped.add("thinking")
    shows = True if is_on and thinking is not None and thinking.display != "omitted" else UNSET
    if kin.thinks == "level":
        config = ThinkingConfig(shows, thinking_level=_level(kin, wished) or UNSET)
    else:
        budget = thinking.budget_tokens if thinking is not None and wished != "none" else None
        config = ThinkingConfig(shows, thinking_budget=_budget(kin, wished, budget, is_on=is_on))
    return None if config == ThinkingConfig() else config


def _level(kin: Family, wished: str | None) -> str | None:
    if wished is None:
        return None
    if wished == "none":
        return "LOW" if kin.is_pro else "MINIMAL"
    level = _LEVELS.get(wished, "HIGH")
    return "HIGH" if level == "MEDIUM" and not kin.has_medium else level


def _budget(kin: Family, wished: str | None, exact: int | None, *, is_on: bool) -> int | UnsetType:
    most = 32_768 if kin.is_pro else 24_576
    if exact is not None:
        return min(max(exact, 1_024), most)
    if wished is None:
        return _DYNAMIC if is_on else UNSET
    return {"none": 128 if kin.is_pro else 0, "low": 2_048, "medium": 8_192}.get(wished, most)
