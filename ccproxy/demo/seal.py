"""How the demo knows its own thinking when it comes back: a seal over the text.

The providers sign or encrypt; here nothing is secret, and it is plain whose seal it is. What counts is that one
changed character breaks it, so that a gateway which loses or mends thinking is found out.
"""

import base64
import binascii
import hashlib

_MARK = b"demo upstream "
_DIGEST_BYTES = 32


def sign(thinking: str) -> str:
    """A signature: base64, and the same for the same thinking."""
    return base64.b64encode(_MARK + hashlib.sha256(thinking.encode()).digest()).decode()


def encrypt(item: str, thinking: str) -> str:
    """A state that holds `thinking` and belongs to the item of this id."""
    text = f"{item}\n{thinking}".encode()
    return base64.urlsafe_b64encode(_MARK + hashlib.sha256(text).digest() + text).decode()


def decrypt(item: str, state: str) -> str | None:
    """The thinking that `state` holds; None where it was not made for this item, or not by the demo."""
    try:
        sealed = base64.b64decode(state, altchars=b"-_", validate=True)
        owner, _, thinking = sealed[len(_MARK) + _DIGEST_BYTES :].decode().partition("\n")
    except (binascii.Error, ValueError):
        return None
    return thinking if owner == item and encrypt(owner, thinking) == state else None
