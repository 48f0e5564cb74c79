"""Gemini's own state: the `thoughtSignature` of a part, carried in a thinking block by its call or text.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures (read 2026-11-22). It must come back on its part.
That of a text comes on it where the answer is whole, and mostly on an empty part after it in a stream; on the text
it goes back. Gemini 3 refuses a step of the current turn whose first call has none ("Function call is missing a
thought_signature"); where the state is lost, or the call was another model's, the documented stand-in is sent.
"""

from typing import Literal

import msgspec
from msgspec import Raw

from ccproxy.carrier import Carried, pack, unpack

PROVIDER = "gemini"
STAND_IN = "skip_thought_signature_validator"

Kind = Literal["call", "text", "empty", "thought"]
"""Which part it belongs to: the next call, the text before it, an empty part, or the thinking itself."""


def carried(kind: Kind, model: str, signature: str) -> str:
    """The signature of the thinking block that carries `signature`."""
    return pack(Carried(PROVIDER, model, kind, Raw(msgspec.json.encode(signature))))


def state_of(signature: str, model: str) -> tuple[str, str] | None:
    """The kind and Gemini's own signature; None where it is another's, or another model's: that one is refused."""
    found = unpack(signature)
    if found is None or found.provider != PROVIDER or found.model != model:
        return None
    try:
        return found.kind, msgspec.json.decode(found.data, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
