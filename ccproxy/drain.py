"""The end of a service, in an order in which no call is lost (architecture section 3).

Say "not ready" on both edges at once; wait until load balancers have heard, while each answer is its connection's
last; stop listening; take what came before that; let running calls end; give the rest one proper error.
"""

import asyncio
import logging

from ccproxy.gateway import Listener, Runner
from ccproxy.proxy import Proxy, shutting_down
from ccproxy.rpc import Rpc
from ccproxy.serving import Phase, Serving

LATE_SECONDS = 0.5  # between a connection and its request: a round trip
LAST_WORDS_SECONDS = 1.0  # of the grace: for the error that ends what still runs
POLL_SECONDS = 0.05

log = logging.getLogger(__name__)


class Drain:
    """What ends: the core, HTTP with its port and its connections, and gRPC where there is one."""

    def __init__(self, serving: Serving, proxy: Proxy, listener: Listener, http: Runner, rpc: Rpc | None) -> None:
        self._serving = serving
        self._proxy = proxy
        self._listener = listener
        self._http = http
        self._rpc = rpc

    async def run(self, lame_duck: float, grace: float, hurry: asyncio.Event) -> None:
        """Ends in order.

        Args:
            lame_duck: Seconds until load balancers have heard.
            grace: Seconds that running calls get after that.
            hurry: Cuts every wait short.
        """
        self._serving.move(Phase.DRAINING, "shutting down")
        await _wait(hurry, lame_duck)
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        await self._listener.close()
        async with asyncio.TaskGroup() as ending:
            if self._rpc is not None:
                ending.create_task(self._rpc.stop(grace + LAST_WORDS_SECONDS))
            await self._latecomers(hurry)
            self._serving.move(Phase.STOPPING, "shutting down")
            while self._proxy.running and loop.time() < end - LAST_WORDS_SECONDS and not hurry.is_set():
                await _wait(hurry, POLL_SECONDS)
            if self._proxy.running:
                log.warning("%d calls still run; they get an error now", self._proxy.running)
                self._proxy.interrupt(shutting_down(self._serving.reason))
                end = min(end, loop.time() + LAST_WORDS_SECONDS)  # a client that reads no more must not hold us
            while self._proxy.running and loop.time() < end:
                await _wait(asyncio.Event(), POLL_SECONDS)
            if self._rpc is not None:
                ending.create_task(self._rpc.stop(LAST_WORDS_SECONDS))  # what is open now waits for nothing

    async def _latecomers(self, hurry: asyncio.Event) -> None:
        """Waits for the requests of connections that were made before the port closed: nobody else can answer.

        Each answer is its connection's last, so that this ends. Connections that were kept for a next one close.
        """
        self._http.close_idle()
        loop = asyncio.get_running_loop()
        end = loop.time() + LATE_SECONDS
        await _wait(hurry, POLL_SECONDS)
        while (self._http.expects or self._listener.expects) and loop.time() < end and not hurry.is_set():
            await _wait(hurry, POLL_SECONDS)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
