"""Reasoning state of other providers, carried in the `signature` of a thinking block (decision D8).

Anthropic's clients keep thinking blocks byte for byte, so a provider's opaque state, which must come back to it in
later turns, travels with the conversation: it survives restarts, replicas and fallbacks without a store.

    ccp1.<base64url of {"p": provider type, "m": model, "t": kind, "d": data}>
"""

import base64
import binascii

import msgspec
from msgspec import Raw, Struct

PREFIX = "ccp1."


class Carried(Struct, frozen=True, rename={"provider": "p", "model": "m", "kind": "t", "data": "d"}):
    """What a signature carries.

    Attributes:
        provider: The provider's type, such as `gemini`: who made it, and who may read it.
        model: The model there.
        kind: Which of the provider's kinds of state.
        data: The state, as JSON, byte for byte.
    """

    provider: str
    model: str
    kind: str
    data: Raw


def pack(carried: Carried) -> str:
    """The signature that carries it."""
    text = base64.urlsafe_b64encode(msgspec.json.encode(carried)).rstrip(b"=")
    return PREFIX + text.decode()


def unpack(signature: str) -> Carried | None:
    """What a signature carries; None where it is not one of ours, or was changed on its way."""
    if not signature.startswith(PREFIX):
        return None
    text = signature.removeprefix(PREFIX)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=Carried)
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        return None
