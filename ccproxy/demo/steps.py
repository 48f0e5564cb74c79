"""An answer in the order in which it is streamed, for the dialects of Chat Completions.

A message there has one reasoning, one text, and calls; every recorded stream brings them in this order.
"""

from collections.abc import Iterator

from msgspec import Struct

from ccproxy.demo import tokens
from ccproxy.demo.answer import Answer
from ccproxy.demo.script import Call, Text, Think


class TextPiece(Struct, frozen=True):
    """A token of text."""

    text: str


class ThoughtPiece(Struct, frozen=True):
    """A token of the thinking with this number."""

    number: int
    text: str


class ThoughtEnd(Struct, frozen=True):
    """The thinking with this number is over; `text` is all of it."""

    number: int
    text: str


class CallStart(Struct, frozen=True):
    """A call begins."""

    number: int
    name: str


class ArgumentsPiece(Struct, frozen=True):
    """A token of the arguments of the call with this number."""

    number: int
    text: str


_ORDER = (Think, Text, Call)

Step = TextPiece | ThoughtPiece | ThoughtEnd | CallStart | ArgumentsPiece


def steps(answer: Answer) -> Iterator[Step]:
    """All steps but the end. Calls and thoughts are numbered from 0, each on their own."""
    calls = thoughts = 0
    for part in sorted(answer.parts, key=lambda part: _ORDER.index(type(part))):
        match part:
            case Text():
                yield from map(TextPiece, tokens.split(part.text))
            case Think():
                for piece in tokens.split(part.text):
                    yield ThoughtPiece(thoughts, piece)
                yield ThoughtEnd(thoughts, part.text)
                thoughts += 1
            case Call():
                yield CallStart(calls, part.name)
                for piece in tokens.split(part.arguments):
                    yield ArgumentsPiece(calls, piece)
                calls += 1


def text_of(answer: Answer) -> str:
    """All text of an answer."""
    return "".join(part.text for part in answer.parts if isinstance(part, Text))


def thinking_of(answer: Answer) -> list[str]:
    """Every thinking of an answer."""
    return [part.text for part in answer.parts if isinstance(part, Think)]


def calls_of(answer: Answer) -> list[Call]:
    """The calls of an answer."""
    return [part for part in answer.parts if isinstance(part, Call)]
