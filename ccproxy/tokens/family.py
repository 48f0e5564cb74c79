"""How families of models differ: their vocabularies, and what their servers put around a conversation.

Measured on recorded requests and the usage that the providers gave for them (`docs/tokens.md`). What a provider
adds for tools nobody sees: it is what was counted and is no text of the request.
"""

import re
from typing import Literal

from msgspec import Struct


class Family(Struct, frozen=True, kw_only=True):
    """Models that count alike. All numbers are tokens, or factors of what OpenAI's vocabulary makes of a text.

    Attributes:
        plain: Factor for ASCII.
        foreign: Factor for other characters.
        schema: Factor for a tool's schema, beside that for its text: some servers rewrite it.
        base: Once.
        turn: For each turn, and for the system prompt.
        tools: Once, where there are tools: a prompt of the provider's own that says how to call them.
        tool: For each tool.
        call: For each call of a tool, and for each result.
        format: Once, where structured output is asked for.
        thinking: Which earlier thinking the model gets to read: none, that since the caller's last question (while
            it works with tools), or all.
    """

    plain: float
    foreign: float
    schema: float = 1.0
    base: int = 3
    turn: int = 4
    tools: int = 0
    tool: int = 8
    call: int = 8
    format: int = 0
    thinking: Literal["none", "open", "all"] = "all"


OTHER = Family(plain=1.05, foreign=1.2, tools=100, call=15, format=20)
"""Where the model is not known yet, or of no family here."""

OLD_CLAUDE = Family(plain=1.05, foreign=1.5, tools=330, tool=4, call=12, format=140, thinking="open")
CLAUDE = Family(plain=1.05, foreign=1.5, tools=560, tool=4, call=12, format=140)
NEW_CLAUDE = Family(plain=1.35, foreign=1.5, tools=570, tool=4, call=12, format=140)
GPT = Family(plain=1.0, foreign=1.05, schema=0.6, tools=15, tool=4, call=6, thinking="none")
NEW_GPT = Family(plain=1.0, foreign=1.05, schema=0.6, tools=90, tool=4, call=6, thinking="none")
GEMINI = Family(plain=1.05, foreign=1.0, base=2, turn=0, tool=25, call=45)
NEW_GEMINI = Family(plain=1.05, foreign=1.0, base=2, turn=0, tools=110, tool=25, call=45)
DEEPSEEK = Family(plain=1.06, foreign=1.2, base=1, tools=240, tool=20, call=22)

_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = (
    (re.compile(r"claude.*(opus-4[-.][7-9]|(opus|sonnet|haiku|fable|mythos)-[5-9])"), NEW_CLAUDE),
    (re.compile(r"claude-([12]|3|instant)|claude-(opus|sonnet)-4($|[-.@]([01]$|[01]-|20))"), OLD_CLAUDE),
    (re.compile(r"claude"), CLAUDE),
    (re.compile(r"gpt-([5-9]|\d\d)"), NEW_GPT),
    (re.compile(r"gpt|(^|/)o\d"), GPT),
    (re.compile(r"gemini-([01]|2)"), GEMINI),
    (re.compile(r"gemini"), NEW_GEMINI),
    (re.compile(r"deepseek"), DEEPSEEK),
)


def family_of(model: str) -> Family:
    """The family of a model, by its name at the provider."""
    name = model.lower()
    return next((family for pattern, family in _FAMILIES if pattern.search(name)), OTHER)
