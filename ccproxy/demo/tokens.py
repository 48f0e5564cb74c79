"""The demo's tokens: one rule for usage, for token counting, for truncation and for the pieces of a stream.

A token is a word together with the blanks before it. A word longer than twelve characters is one token for
every twelve begun. Blanks at the end of a text are one token.
"""

import re

_TOKEN = re.compile(r"\s*\S{1,12}|\s+")


def split(text: str) -> list[str]:
    """The tokens of `text`; joined they are `text` again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has."""
    return sum(1 for _ in _TOKEN.finditer(text))
