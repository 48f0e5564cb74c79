"""Request ids, the same on both edges."""

import os
import re

from ccproxy.call import Headers

_FIT = re.compile(r"[A-Za-z0-9._-]{1,128}")


def new_request_id() -> str:
    """A fresh id."""
    return f"req_{os.urandom(12).hex()}"


def request_id(headers: Headers) -> str:
    """The caller's own `x-request-id` where it is fit to be passed on, else a fresh id."""
    values = headers.get("x-request-id", ())
    return values[0] if len(values) == 1 and _FIT.fullmatch(values[0]) else new_request_id()
