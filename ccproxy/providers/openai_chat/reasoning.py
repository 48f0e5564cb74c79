"""What OpenAI's models accept, by the prefix of their names: roles, reasoning, sampling, marks for the cache.

Sources: the model pages of https://platform.openai.com/docs/models (read 2026-11-22), the profiles of pydantic-ai
("live-verified 2026-07"), and for tools beside reasoning https://github.com/BerriAI/litellm/issues/34569: from
gpt-5.6 on, Chat Completions refuses function tools unless `reasoning_effort` is literally "none"; gpt-5.5 does the
same, gpt-5.4 refuses the field. Other names (gpt-4.1, and whatever a compatible server calls its models) get no
`reasoning_effort` at all. That efforts above "high" begin with gpt-5.2 is judgement.
"""

import re
from typing import Literal

from msgspec import Struct


class Family(Struct, frozen=True):
    """A family of reasoning models.

    Attributes:
        lowest: The effort nearest to no reasoning.
        highest: The greatest effort.
        reasons: Whether it reasons when no effort is named.
        with_tools: What `reasoning_effort` may be beside function tools.
    """

    lowest: str
    highest: str
    reasons: bool
    with_tools: Literal["any", "none", "absent"] = "any"


_GPT = re.compile(r"gpt-([5-9]|1\d)(?:\.(\d+))?(?![\d.])(.*)")
_FIXED_NAME = re.compile(r"o\d|codex")
_FIXED = Family("low", "high", reasons=True)  # o-series, codex and pro models cannot stop reasoning


def is_recent(model: str) -> bool:
    """Whether the model is of the o-series or of gpt-5 and later: it knows `developer`, not `max_tokens`."""
    return _FIXED_NAME.match(_bare(model)) is not None or _GPT.match(_bare(model)) is not None


def _bare(model: str) -> str:
    """The name that OpenAI itself gives a model: servers in front of several providers put the maker before it."""
    return model.removeprefix("openai/")


def marks_caches(model: str) -> bool:
    """Whether a text may be marked as the end of what is to be cached: from gpt-5.6 on."""
    match = _GPT.match(model)
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (5, 6)


def family(model: str) -> Family | None:
    """The reasoning family of a model; None where it does not reason, or is not OpenAI's."""
    match = _GPT.match(_bare(model))
    if match is None:
        return _FIXED if is_recent(model) else None
    version, rest = (int(match[1]), int(match[2] or 0)), match[3]
    if rest.startswith("-chat"):
        return None
    if "-pro" in rest or "-codex" in rest:
        return _FIXED
    if version == (5, 0):
        return Family("minimal", "high", reasons=True)
    if version < (5, 4):
        return Family("none", "high" if version == (5, 1) else "xhigh", reasons=False)
    if version == (5, 4):
        return Family("none", "xhigh", reasons=False, with_tools="absent")
    return Family("none", "xhigh", reasons=True, with_tools="none")


def effort(kin: Family, wished: str | None, *, tools: bool) -> str | None:
    """The `reasoning_effort` to send; None to send none."""
    if tools and kin.with_tools != "any":
        return "none" if kin.with_tools == "none" else None
    if wished == "none":
        return kin.lowest
    if wished in {"xhigh", "max"}:
        return kin.highest
    return wished


def allows_sampling(kin: Family | None, sent: str | None) -> bool:
    """Whether `temperature` and `top_p` are accepted: only while the model does not reason."""
    return kin is None or sent == "none" or (sent is None and not kin.reasons)
