"""The addresses of providers' names, remembered for when nobody can be asked.

An address that was right a minute ago is most probably right now: a resolver that is down is no reason to fail
every call. How long an answer is fresh is the connector's business (ten seconds, and one question for all who
wait); this is about what happens after that.
"""

import asyncio
import socket
from collections.abc import Sequence

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from msgspec import Struct

STALE_SECONDS = 300.0  # an address older than this is not used
PATIENCE_SECONDS = 2.0  # where an address is remembered, a resolver that is slower than this is not waited for


class _Known(Struct, frozen=True):
    """Addresses, and when they were told."""

    addresses: Sequence[ResolveResult]
    at: float


class Names(AbstractResolver):
    """Asks the system. `asked` answers in its place where it is given."""

    def __init__(self, asked: AbstractResolver | None = None) -> None:
        self._asked = asked or ThreadedResolver()
        self._loop = asyncio.get_running_loop()
        self._known: dict[tuple[str, int, int], _Known] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`.

        Raises:
            OSError: They are not known, and were not a short time ago.
        """
        key = host, port, int(family)
        known = self._known.get(key)
        usable = known is not None and self._loop.time() - known.at < STALE_SECONDS
        try:
            async with asyncio.timeout(PATIENCE_SECONDS if usable else None):
                found = await self._asked.resolve(host, port, family)
        except OSError:  # also TimeoutError
            if known is None or not usable:
                raise
            return list(known.addresses)
        self._known[key] = _Known(found, self._loop.time())
        return found

    async def close(self) -> None:
        """Nothing is held."""
