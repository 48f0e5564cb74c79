"""Whether the process has too much to do: its event loop runs late, or it is short of memory."""

from collections import deque
from statistics import median
from typing import Literal

LOOKS = 3  # half a second apart: their median is that of a second and more, and one late timer is no load
RELIEF = 5  # percent of the memory limit that must be free again: at the limit itself it would flap

Shortage = Literal["", "event_loop", "memory"]


class Pressure:
    """What was measured of late. `reason` is why new calls are refused; empty where they are not."""

    def __init__(self) -> None:
        self.reason: Shortage = ""
        self._late: deque[float] = deque(maxlen=LOOKS)
        self._short_of_memory = False

    def look(self, late: float, max_late: float, memory: float | None, max_memory: int) -> Shortage:
        """Takes what was measured, twice a second.

        Args:
            late: How late the event loop ran a timer, in seconds.
            max_late: How late it may; 0 for any time.
            memory: Percent of the memory limit that are used; None where there is no limit.
            max_memory: How much may be; 0 for any.
        """
        self._late.append(late)
        bound = max_memory - RELIEF if self._short_of_memory else max_memory
        self._short_of_memory = bool(max_memory) and memory is not None and memory > bound
        if self._short_of_memory:
            self.reason = "memory"
        elif max_late and len(self._late) == LOOKS and median(self._late) > max_late:
            self.reason = "event_loop"
        else:
            self.reason = ""
        return self.reason
