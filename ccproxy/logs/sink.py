"""Where lines go: a bounded queue, and the one thread that waits for whoever reads.

A pipe that nobody reads, a full disk, a closed standard error: lines are lost and counted, and nobody else
notices. The thread writes to the file descriptor itself: a lock of Python's own buffer, held by a thread that is
stuck, would abort the interpreter at its end.
"""

import os
import queue
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TextIO, TypeVar

MAX_QUEUED = 10_000  # lines; some megabytes
BATCH_SECONDS = 0.02  # lines that come together are written together: a wake-up costs more than a line
MAX_BATCH = 100  # lines in one write
FLUSH_SECONDS = 1.0  # at the end, for what is queued
ROTATION_SECONDS = 1.0  # between two looks at whether the file has been moved away
FILE_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not hold us here


class UnwrittenError(Exception):
    """Some lines could not be written; `torn` where half of one was."""

    def __init__(self, lines: int, *, torn: bool = False) -> None:
        super().__init__(lines)
        self.lines = lines
        self.torn = torn


class Stream:
    """Standard error, or what stands for it. None, and one that is closed, take nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        try:
            # one of our own: the number of theirs may be another file by the time that a stuck thread goes on
            self._fd = -1 if stream is None else os.dup(stream.fileno())
        except (OSError, ValueError):  # no file behind it, or closed
            self._fd = -1

    def write(self, text: str) -> None:
        """Writes all of it, however long that takes.

        Raises:
            UnwrittenError: It takes no more.
        """
        if self._stream is None or self._stream.closed:
            raise UnwrittenError(text.count("\n"))
        if self._fd >= 0:
            write_all(self._fd, text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise UnwrittenError(text.count("\n")) from error

    def close(self) -> None:
        """Closes our descriptor; the stream is not ours."""
        if self._fd >= 0:
            os.close(self._fd)


class File:
    """A file that grows. Moved away, as by logrotate, it is made anew; cut short, it goes on from its new end."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, whose text names the path, where it cannot be written."""
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, FILE_FLAGS, 0o600)
        except OSError as error:
            raise OSError(error.errno, f"log_file {path}: {error.strerror}") from error
        self._looked = time.monotonic()

    def write(self, text: str) -> None:
        """Writes all of it; see `Stream.write`."""
        now = time.monotonic()
        if now - self._looked >= ROTATION_SECONDS:
            self._looked = now
            self._follow()
        write_all(self._fd, text.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Closes it."""
        os.close(self._fd)

    def _follow(self) -> None:
        """Opens the file again if another one, or none, has its name. Where that fails the old one goes on."""
        try:
            if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                return
        except OSError:
            pass  # none
        try:
            fresh = os.open(self._path, FILE_FLAGS, 0o600)
        except OSError:
            return
        os.close(self._fd)
        self._fd = fresh


def write_all(fd: int, data: bytes) -> None:
    """Writes `data`, waiting for room where there is none.

    Raises:
        UnwrittenError: The disk is full, the reader has gone.
    """
    done = 0
    try:
        while done < len(data):
            try:
                done += os.write(fd, data[done:])
            except BlockingIOError:
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll()
    except OSError as error:
        torn = done > 0 and data[done - 1 : done] != b"\n"
        raise UnwrittenError(data.count(b"\n", done), torn=torn) from error


Item = TypeVar("Item")


class Sink(Generic[Item]):
    """A queue of lines and the thread that writes them.

    Lines are made by who puts them: making one costs microseconds, and a thread that did it would take the
    interpreter, and every object of a finished request, away from the processor that runs the event loop.

    Args:
        target: Where they go. The thread closes it.
        render: Makes a line of an item, without its end.
        notice: The item that tells of so many lost lines.
        limit: How many wait at most.
    """

    def __init__(
        self,
        target: Stream | File,
        render: Callable[[Item], str],
        notice: Callable[[int], Item],
        limit: int = MAX_QUEUED,
    ) -> None:
        self._target = target
        self._render = render
        self._notice = notice
        self._limit = limit
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._refused = 0  # counted by who puts
        self._lost = 0  # counted by the thread
        self._told = 0
        self._torn = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ccproxy-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._refused + self._lost

    def put(self, item: Item) -> None:
        """Queues its line, or counts it where the queue is full. Never waits. One at a time."""
        if self._queue.qsize() >= self._limit:
            self._refused += 1
            return
        try:
            line = self._render(item)
        except Exception:  # noqa: BLE001  # an item that cannot be shown is no failure of who tells of it
            self._refused += 1
        else:
            self._queue.put(line)

    def close(self) -> None:
        """Writes what is queued, for FLUSH_SECONDS at most; a thread that is stuck is left behind."""
        self._ending.set()
        self._queue.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        batch: list[str | None] = []
        while None not in batch:
            if len(batch) < MAX_BATCH:  # nothing is left, so the next ones may gather
                self._ending.wait(BATCH_SECONDS if batch else 0)
            batch = [self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            self._write([line for line in batch if line is not None])
        self._target.close()

    def _write(self, lines: list[str]) -> None:
        dropped = self.dropped
        count = len(lines)
        if dropped > self._told:
            lines = [self._render(self._notice(dropped - self._told)), *lines]
        if not lines:
            return
        start, self._torn = "\n" if self._torn else "", False
        try:
            self._target.write(start + "".join(f"{line}\n" for line in lines))
        except UnwrittenError as error:
            self._lost += min(error.lines, count)  # the notice is no line that anybody missed
            self._torn = error.torn or (bool(start) and error.lines > len(lines))
        else:
            self._told = dropped
