"""What the configuration became. It is replaced whole when that changes; running calls keep theirs."""

import asyncio
from collections.abc import Mapping

from ccproxy.attempts import Budget
from ccproxy.config import PerformanceConfig, RetryConfig
from ccproxy.limits import Limits
from ccproxy.models import Catalogue, Listings
from ccproxy.routing import Router
from ccproxy.upstream import Upstream


class Backend:
    """The routes, the providers and what is allowed on the way to them.

    Args:
        router: The operator's routes.
        upstreams: The providers by name.
        retry: Which further attempts there may be.
        performance: How long things may take.
        limits: What is refused.
        listings: What is known of models.
        propagates: Whether providers are sent the trace context.
    """

    def __init__(
        self,
        router: Router,
        upstreams: Mapping[str, Upstream],
        *,
        retry: RetryConfig | None = None,
        performance: PerformanceConfig | None = None,
        limits: Limits | None = None,
        listings: Listings | None = None,
        propagates: bool = False,
    ) -> None:
        self.router = router
        self.upstreams = upstreams
        self.retry = RetryConfig() if retry is None else retry
        self.budgets = {name: Budget(self.retry.budget_percent) for name in upstreams}
        self.performance = PerformanceConfig() if performance is None else performance
        self.limits = Limits() if limits is None else limits
        self.catalogue = Catalogue(router, upstreams, listings)
        self.propagates = propagates
        self.calls = 0
        self._idle = asyncio.Event()

    def left(self) -> None:
        """A call that used it has ended."""
        self.calls -= 1
        if not self.calls:
            self._idle.set()

    async def idle(self) -> None:
        """Returns when no call uses it."""
        while self.calls:
            self._idle.clear()
            await self._idle.wait()
