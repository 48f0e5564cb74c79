"""Lines that others can provoke as often as they like, and so are written only so often."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from ccproxy.errors import Reason, place

LOOP_ERRORS_PER_SECOND = 10
REFUSALS_PER_SECOND = 1  # on each edge: guessing keys must not fill the disk

_access = logging.getLogger("ccproxy.access")
_loop = logging.getLogger("ccproxy.loop")


class Rate:
    """Lets `limit` through each second."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._second = clock()
        self._passed = 0
        self._held = 0

    def passes(self) -> bool:
        """Whether one more may go."""
        now = self._clock()
        if now - self._second >= 1:
            self._second, self._passed = now, 0
        self._passed += 1
        if self._passed > self._limit:
            self._held += 1
            return False
        return True

    def held(self) -> int:
        """How many could not go since this was last asked."""
        held, self._held = self._held, 0
        return held


class Refusals:
    """Says on one edge whose key or its absence was refused, by the method alone and not too often."""

    def __init__(self, edge: str, rate: Rate | None = None) -> None:
        self._edge = edge
        self._rate = rate or Rate(REFUSALS_PER_SECOND)

    def __call__(self, method: str, reason: Reason) -> None:
        """A caller was refused."""
        if self._rate.passes():
            fields = {"edge": self._edge, "method": method, "reason": reason.value, "more": self._rate.held()}
            _access.info("caller refused", extra={"fields": fields})


class LoopErrors:
    """asyncio's exception handler: the class and the place of what nobody caught, not too often."""

    def __init__(self, rate: Rate | None = None) -> None:
        self._rate = rate or Rate(LOOP_ERRORS_PER_SECOND)

    def __call__(self, _: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """The loop reports something. Its own handler would write the exception's text and every object's."""
        if not self._rate.passes():
            return
        words = plain(str(context.get("message", ""))) or "a problem"
        error = context.get("exception")
        what = f": {type(error).__name__} in {place(error)}" if isinstance(error, BaseException) else ""
        _loop.error("the event loop reports: %s%s", words, what, extra={"fields": {"more": self._rate.held()}})


_PLAIN = re.compile(r"[A-Za-z ,.'!-]{1,200}")


def plain(text: str) -> str:
    """`text` if it is a sentence of plain words: anything else may quote an object, and with it a secret."""
    words = text.split()
    return text if _PLAIN.fullmatch(text) and max(map(len, words), default=0) <= 20 else ""  # noqa: PLR2004
