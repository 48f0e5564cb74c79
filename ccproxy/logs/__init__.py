"""The log: one line per finished request, and what else the operator should know.

    record ─► Handler ─► bounded queue ─► one thread ─► standard error or a file

    requests    the line of a request
    rates       lines that others can provoke, held to so many a second
    lines       JSON or text
    sink        the queue and the thread

Nothing that logs waits for who reads: where the queue is full or a line cannot be written, it is dropped and
counted. A line holds names, numbers and reasons; never a prompt, a body, a header, a key, a query string or the
text of an exception. Of other libraries' lines only the fixed words are kept, for the same reason.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ccproxy.config import Config
from ccproxy.errors import place
from ccproxy.logs.lines import Line, Text, as_json
from ccproxy.logs.rates import LoopErrors, Rate, Refusals, plain
from ccproxy.logs.requests import Entry, LoggedRequest, RequestLog, write
from ccproxy.logs.sink import MAX_QUEUED, File, Sink, Stream

__all__ = [
    "Entry",
    "Handler",
    "LoggedRequest",
    "LoopErrors",
    "Rate",
    "Refusals",
    "RequestLog",
    "configure",
    "write",
]

MAX_CHARS = 4_000  # of a message


class Handler(logging.Handler):
    """Puts records into the queue, as little objects that hold no frame and no argument of anybody's."""

    def __init__(self, sink: Sink[Line]) -> None:
        super().__init__()
        self._sink = sink
        self._one = threading.Lock()

    @property
    def dropped(self) -> int:
        """How many lines were not written."""
        return self._sink.dropped

    def handle(self, record: logging.LogRecord) -> bool:
        """Queues the record's line. One at a time; there are no filters here."""
        with self._one:
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """As `handle`."""
        fields = record.__dict__.get("fields", {})
        self._sink.put(Line(record.created, record.levelno, record.name, message(record), fields))


@contextmanager
def configure(
    config: Config,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    limit: int = MAX_QUEUED,
) -> Iterator[Handler]:
    """Everything that is logged inside the context goes to `config.log_file`, else to `stream` (standard error).

    Raises:
        OSError: The file cannot be written; the text names it.
    """
    stream = sys.stderr if stream is None else stream
    target = File(Path(config.log_file).expanduser()) if config.log_file else Stream(stream)
    terminal = not config.log_file and stream is not None and not stream.closed and stream.isatty()
    sink = Sink(target, _format(config, environ, terminal=terminal), _lost, limit)
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = [handler := Handler(sink)]
    root.setLevel(config.log_level.upper())
    logging.captureWarnings(True)  # noqa: FBT003  # the library's own signature
    try:
        yield handler
    finally:
        logging.captureWarnings(False)  # noqa: FBT003
        root.handlers = handlers
        root.setLevel(level)
        sink.close()


def message(record: logging.LogRecord) -> str:
    """What a record says; of another library's only the fixed words, and the place it came from."""
    if record.name.partition(".")[0] == "ccproxy":
        text = _filled(record)
    else:
        fixed = str(record.msg) if record.args else plain(str(record.msg))
        text = f"{fixed or 'a message'} ({Path(record.pathname).name}:{record.lineno})"
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        text += f": {type(error).__name__} in {place(error)}"
    return text[:MAX_CHARS]


def _filled(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  # a slip in a line must not become the caller's 500
        return str(record.msg)


def _format(config: Config, environ: Mapping[str, str], *, terminal: bool) -> Callable[[Line], str]:
    if config.log_format == "json" or (config.log_format == "auto" and not terminal):
        return as_json
    return Text(colour=terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")


def _lost(count: int) -> Line:
    return Line(time.time(), logging.WARNING, __name__, f"{count} log lines were dropped")
