"""One switch: starting, serving, draining, stopping, with its reason.

`Proxy` and `Status` both look at it, so readiness, `/health` and the refusal of new work cannot disagree.
"""

import asyncio
from enum import IntEnum


class Phase(IntEnum):
    """Where the process is in its life. It only moves forward."""

    STARTING = 0
    SERVING = 1
    DRAINING = 2  # asked to stop; says so, and still takes calls until the load balancers have heard
    STOPPING = 3  # takes no new call; running ones may end


class Serving:
    """The switch. Whoever must know of a change waits for `changed`."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.reason = "starting"
        self._changed = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether new calls are welcome."""
        return self.phase is Phase.SERVING

    @property
    def accepting(self) -> bool:
        """Whether a new call is taken."""
        return self.phase in {Phase.SERVING, Phase.DRAINING}

    def move(self, phase: Phase, reason: str) -> None:
        """Moves on to `phase`; moving back changes nothing."""
        if phase <= self.phase:
            return
        self.phase = phase
        self.reason = reason
        self.tell()

    def tell(self) -> None:
        """Wakes whoever waits for a change; also one of what is read beside the phase."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self) -> None:
        """Returns after the next change."""
        await self._changed.wait()
