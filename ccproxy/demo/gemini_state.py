"""Thought signatures of the demo: stand-ins that it knows again without having kept them.

Source: https://ai.google.dev/gemini-api/docs/thought-signatures. A signature here is a nonce and a digest of the
nonce, the model and the place, where the real one holds encrypted state. The place is a text, or the call of a
function by its name: a signature on another part is refused, which is stricter than what is known of the real
server and as strict as its rule, that each goes back on the part it came with.
"""

import base64
import binascii
import hashlib
import re

_MARK = b"demo upstream "
_DIGEST_BYTES = 16
_NONCE_BYTES = 12
_THIRD = re.compile(r"gemini-(?:[3-9]|\d{2,})(?!\d)|gemini-(?:pro|flash|flash-lite)-latest$")

STAND_INS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
"""What the documentation offers to those who have no signature, such as for calls of another model."""


def is_third(model: str) -> bool:
    """Whether a model is of Gemini 3 or later: it signs every answer, and demands the signatures of calls."""
    return _THIRD.match(model) is not None


def signature(model: str, place: str, nonce: str) -> str:
    """The signature for a place in one answer; `nonce` differs from answer to answer."""
    salt = hashlib.sha256(nonce.encode()).digest()[:_NONCE_BYTES]
    return base64.b64encode(_MARK + salt + _digest(model, place, salt)).decode()


def is_valid(given: str, model: str, place: str) -> bool:
    """Whether the demo issued `given` for this place, or it is one of the documented stand-ins."""
    if given in STAND_INS:
        return True
    try:  # protobuf reads both alphabets of base64, with padding and without
        raw = base64.b64decode(given.rstrip("=") + "=" * (-len(given.rstrip("=")) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return False
    salt = raw[len(_MARK) :][:_NONCE_BYTES]
    return raw == _MARK + salt + _digest(model, place, salt) or raw in {text.encode() for text in STAND_INS}


def _digest(model: str, place: str, salt: bytes) -> bytes:
    return hashlib.sha256(b"\0".join([salt, model.encode(), place.encode()])).digest()[:_DIGEST_BYTES]
