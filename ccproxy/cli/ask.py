"""Asks the running service over HTTP, straight: no proxy is in between, and nothing but the standard library."""

import contextlib
import http.client
from urllib.parse import urlsplit

from msgspec import Struct

from ccproxy.daemon import Info

SECONDS = 5.0
LOOK_SECONDS = 1.0
MAX_BODY_BYTES = 16 << 20
UNAVAILABLE = 503


class Answer(Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: bytes


def get(url: str, path: str, key: str | None = None, seconds: float = SECONDS) -> Answer:
    """Asks for `path`.

    Raises:
        OSError: Nobody answers, or not in HTTP.
    """
    headers: dict[str, bytes] = {} if key is None else {"x-api-key": key.encode("utf-8", "surrogateescape")}
    try:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(MAX_BODY_BYTES))
    except (http.client.HTTPException, ValueError) as error:  # ValueError: no such host or port can be
        raise ConnectionError(f"no HTTP is spoken on {url}") from error


def answers(info: Info) -> bool:
    """Whether a service takes requests where it says that it does."""
    try:
        return get(info.url, "/health", seconds=LOOK_SECONDS).status != UNAVAILABLE
    except OSError:
        return False


def ends(info: Info) -> bool:
    """Whether a service that was ready takes no more requests: somebody has asked it to end."""
    try:
        return info.ready and get(info.url, "/health", seconds=LOOK_SECONDS).status == UNAVAILABLE
    except ConnectionRefusedError:
        return info.ready
    except OSError:  # it hangs
        return False


def printable(text: str) -> str:
    """What came from elsewhere, as a terminal may see it."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
