"""What a text costs, told by counting: how many words begin, how many digits, signs and letters of which script.

Byte-pair vocabularies give a frequent word one token, so what counts is where words begin, not how long they are;
what no vocabulary knows (keys, hashes, base64) changes its kind of character all the time, and is dear by that.
The weights are a least-squares fit to OpenAI's vocabulary (o200k) over prose in 20 languages, code, JSON, logs and
noise, in which an estimate too low weighed three times as much as one too high.

All weights are positive and what was there still counts when more follows, so more text never costs less. Nothing
loops over characters here: bytes are counted, and pairs of them become bytes by one shift of all.
"""

from msgspec import Struct


class Cost(Struct, frozen=True):
    """Tokens of ASCII, and of all other characters: vocabularies agree about the first only."""

    plain: float
    foreign: float


_LOWER, _UPPER, _DIGIT, _BLANK, _SIGN, _END, _FOREIGN = range(1, 8)
"""Kinds of bytes, three bits each. `_END` ends a line; `_FOREIGN` is no ASCII."""

_BITS = 3

_SINGLE = ((_UPPER, 0.32), (_DIGIT, 0.29), (_SIGN, 0.22), (_END, 2.34))
"""Weights of kinds: three digits are a token; signs share one; an end takes the indentation behind it."""

_PAIRS = (
    (_BLANK, _LOWER, 1.02),  # a word, with the blank before it
    (_SIGN, _LOWER, 1.38),  # a word behind a sign, and the end of the sign's own token
    (_LOWER, _UPPER, 1.22),
    (_UPPER, _LOWER, 0.59),
    (_DIGIT, _LOWER, 1.79),
    (_BLANK, _DIGIT, 2.1),  # the blank before a number is a token of its own
    (_SIGN, _DIGIT, 1.22),
    (_BLANK, _BLANK, 0.08),
)
"""Weights of one kind behind another."""

LONG = 9  # letters; a word of more is cut
_LONG_WEIGHT = 0.72

_SCRIPTS: tuple[tuple[range, float], ...] = (
    (range(0xC3, 0xCA), 1.4),  # Latin letters with marks
    (range(0xCA, 0xD4), 0.35),  # Greek, Cyrillic
    (range(0xD4, 0xE0), 0.37),  # Armenian, Hebrew, Arabic
    (range(0xE0, 0xE2), 0.44),  # the scripts of India, Thai, Georgian; Vietnamese
    (range(0xE2, 0xE3), 1.02),  # typographic signs, arrows, boxes
    (range(0xE3, 0xE4), 0.6),  # Kana
    (range(0xE4, 0xEA), 0.78),  # Han
    (range(0xEA, 0xEE), 0.72),  # Hangul
    (range(0xEE, 0xF0), 0.78),  # wide forms
    (range(0xF0, 0xF5), 2.4),  # emoji
    (range(0xC2, 0xC3), 1.4),  # signs of Latin-1
)
"""Weights of characters by the first byte of their UTF-8."""

MOST_PER_BYTE = 1.4
"""No text costs more than this for each byte of it in JSON. The worst is a blank, a digit, a letter, in turns."""


def _kind(byte: int) -> int:
    character = chr(byte)
    if not character.isascii():
        return _FOREIGN
    if character.isalpha():
        return _UPPER if character.isupper() else _LOWER
    if character.isdigit():
        return _DIGIT
    return {"\n": _END, "\r": _END, " ": _BLANK, "\t": _BLANK}.get(character, _SIGN)


def _script(byte: int) -> int:
    return next((index for index, (first, _) in enumerate(_SCRIPTS, 1) if byte in first), 0)


_KINDS = bytes(map(_kind, range(256)))
_SCRIPT = bytes(map(_script, range(256)))
_ASCII = bytes(range(128))


def cost(text: bytes) -> Cost:
    """What UTF-8 text costs, in tokens of OpenAI's vocabulary."""
    kinds = text.translate(_KINDS)
    number = int.from_bytes(kinds)
    pairs = (number | number >> 8 - _BITS).to_bytes(len(kinds))  # each byte's kind, and before it the last byte's
    plain = sum(kinds.count(kind) * weight for kind, weight in _SINGLE)
    plain += sum(pairs.count(first << _BITS | second) * weight for first, second, weight in _PAIRS)
    plain += kinds.count(bytes([_LOWER]) * LONG) * _LONG_WEIGHT
    if text.isascii():
        return Cost(plain, 0.0)
    scripts = text.translate(_SCRIPT, _ASCII)
    return Cost(plain, sum(scripts.count(index) * weight for index, (_, weight) in enumerate(_SCRIPTS, 1)))
