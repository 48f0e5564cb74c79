"""A thread that notices when the event loop stands still, and says where.

The loop cannot say so itself. While it stands no health check is answered, which is how a dead one fails liveness.
"""

import logging
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import Self

STILL_SECONDS = 5.0
LOOK_SECONDS = 0.5
MAX_FRAMES = 12

log = logging.getLogger(__name__)


class Watchdog:
    """Watches the thread that makes it. A context: the thread ends with it."""

    def __init__(self, still_seconds: float = STILL_SECONDS) -> None:
        self._still_seconds = still_seconds
        self._beat = time.monotonic()
        self._thread_id = threading.get_ident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._beat = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def beat(self) -> None:
        """The loop runs."""
        self._beat = time.monotonic()

    def _run(self) -> None:
        told = 0.0  # the beat of the standstill that was told
        while not self._ended.wait(LOOK_SECONDS):
            beat = self._beat
            still = time.monotonic() - beat
            if still > self._still_seconds and beat != told:
                told = beat
                log.error("the event loop has stood still for %.1f s in %s", still, self._place())

    def _place(self) -> str:
        """Where it stands: names of functions and files, no values."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001  # there is no other way to look
        frames = traceback.extract_stack(frame)[-MAX_FRAMES:]
        return " <- ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in reversed(frames))
