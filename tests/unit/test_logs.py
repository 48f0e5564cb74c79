"""The log: what a line looks like, and that nobody waits for who reads it."""

import asyncio
import contextlib
import fcntl
import io
import logging
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ccproxy import logs
from ccproxy.call import Call, Target
from ccproxy.config import Config
from ccproxy.errors import ApiError, Reason
from ccproxy.logs import sink
from ccproxy.messages import Usage

SECRET = "sk-ant-planted-0123456789"

log = logging.getLogger("ccproxy.test")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def written(say: Callable[[], object], stream: io.StringIO | None = None, **config: Any) -> list[str]:
    """The lines that `say` leaves."""
    stream = stream or io.StringIO()
    with logs.configure(Config(**config), stream, {}):
        say()
    return stream.getvalue().splitlines()


def documents(say: Callable[[], object], **config: Any) -> list[dict[str, Any]]:
    """The same, as JSON."""
    return [msgspec.json.decode(line) for line in written(say, **{"log_format": "json", **config})]


def call(**more: Any) -> Call:
    """A call."""
    return Call(edge="http", request_id="req_1", **more)


def logged(error: BaseException | None = None, *, begun: bool = False) -> logs.Entry:
    """The entry of a request that ends so."""
    entries: list[logs.Entry] = []
    with (
        contextlib.suppress(BaseException),
        logs.LoggedRequest(entries.append, call(caller="team"), "stream_message") as request,
    ):
        request.goes_to("claude-x", Target("openai", "gpt-x", "default"))
        if begun:
            request.first_event()
        if error is not None:
            raise error
    return entries[0]


@contextlib.contextmanager
def stuck_pipe(*, blocking: bool = True) -> Iterator[tuple[int, io.TextIOWrapper]]:
    """A pipe of one page that nobody reads; its reading end, and a stream into it."""
    read, write = os.pipe()
    if sys.platform == "linux":
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write, blocking)
    stream = os.fdopen(write, "w")
    try:
        yield read, stream
    finally:
        os.close(read)
        stream.close()


def until(condition: Callable[[], bool]) -> None:
    """Waits for the thread."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


# Lines.


def test_a_json_line_begins_with_when_how_bad_what_and_who():
    """Every collector looks for these."""
    (line,) = written(lambda: log.warning("%d calls still run", 3), log_format="json")

    assert list(msgspec.json.decode(line)) == ["ts", "level", "msg", "logger"]
    assert msgspec.json.decode(line)["msg"] == "3 calls still run"
    assert msgspec.json.decode(line)["level"] == "warning"


def test_a_time_is_rfc_3339_with_milliseconds_in_utc():
    """Lines of several hosts are sorted by it."""
    (line,) = documents(lambda: log.info("x"))
    stamp = msgspec.convert(line["ts"], logs.lines.datetime)

    assert line["ts"].endswith("Z")
    assert len(line["ts"]) == len("2026-01-01T00:00:00.000Z")
    assert abs(stamp.timestamp() - time.time()) < 60


def test_fields_follow_the_message():
    """Numbers stay numbers."""
    (line,) = documents(lambda: log.info("x", extra={"fields": {"count": 3, "name": "n"}}))

    assert list(line)[4:] == ["count", "name"]
    assert line["count"] == 3


def test_text_is_aligned_and_ends_in_its_fields():
    """For eyes: time, level, message."""
    lines = written(
        lambda: (log.info("one"), log.warning("two", extra={"fields": {"a": "b c", "d": True}})), log_format="text"
    )

    assert lines[0][24:] == " info    one"
    assert lines[1][24:] == ' warning two a="b c" d=true'


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO, True), (Terminal, False)])
def test_auto_is_text_for_people_and_json_for_programs(stream: type[io.StringIO], *, is_json: bool):
    """A terminal is a person."""
    (line,) = written(lambda: log.info("x"), stream(), log_format="auto")

    assert line.startswith("{") is is_json


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_only_a_terminal_gets_colour(stream: type[io.StringIO], environ: dict[str, str], *, coloured: bool):
    """And not where NO_COLOR is set (https://no-color.org)."""
    target = stream()
    with logs.configure(Config(log_format="text"), target, environ):
        log.error("x")

    assert ("\x1b[31m" in target.getvalue()) is coloured


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_control_characters_are_written_as_escapes(log_format: str):
    """A model's name must not clear the operator's screen, nor make a line of its own."""
    nasty = "a\x1b[2J\r\nb\x9b31m\u202e\u2028\ud800"
    lines = written(lambda: log.info("model %s", nasty, extra={"fields": {"model": nasty}}), log_format=log_format)

    assert len(lines) == 1
    assert lines[0].isprintable()


def test_what_the_streams_encoding_lacks_is_escaped():
    """A terminal in the C locale is no reason to lose a line."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", errors="backslashreplace")
    with logs.configure(Config(log_format="text"), stream, {}):
        log.info("café")

    assert b"caf\\xe9" in raw.getvalue()


def test_a_level_below_the_configured_one_is_not_written():
    """`log_level` is for the whole log."""
    assert written(lambda: (log.info("a"), log.warning("b")), log_level="error") == []


def test_a_message_has_an_end():
    """Ten thousand of them wait in memory."""
    (line,) = documents(lambda: log.info("x" * 100_000))

    assert len(line["msg"]) == logs.MAX_CHARS


def test_a_message_that_cannot_be_filled_in_is_written_as_it_is():
    """A slip in a line must not become a caller's 500."""
    (line,) = documents(lambda: log.info("%d calls", "many"))

    assert line["msg"] == "%d calls"


# Other people's lines.


def test_an_exception_is_told_by_class_and_place():
    """Nobody can promise that its text holds no secret."""

    def say() -> None:
        try:
            int(SECRET)
        except ValueError:
            log.exception("it broke")

    (line,) = documents(say)

    assert line["msg"].startswith("it broke: ValueError in say (")
    assert SECRET not in line["msg"]


@pytest.mark.parametrize("name", ["aiohttp.server", "grpc._cython.cygrpc", "asyncio"])
def test_of_another_librarys_line_only_the_fixed_words_stay(name: str):
    """What it fills in may be a URL with a key, or a header."""
    other = logging.getLogger(name)
    lines = documents(
        lambda: (other.error("Error from %s", SECRET), other.error("Got " + SECRET), other.error("Unclosed"))
    )

    assert [line["msg"].partition(" (")[0] for line in lines] == ["Error from %s", "a message", "Unclosed"]


def test_warnings_are_lines_too():
    """Else Python writes them to standard error itself, and waits."""

    def say() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)  # noqa: FBT003  # pytest has replaced what shows them
            warnings.warn(SECRET, stacklevel=1)

    (line,) = documents(say)

    assert line["logger"] == "py.warnings"
    assert SECRET not in line["msg"]


async def test_the_loop_reports_class_and_place():
    """asyncio's own handler writes the exception's text and every object's repr."""
    stream = io.StringIO()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(logs.LoopErrors())

    def broken() -> None:
        raise OSError(SECRET)

    with logs.configure(Config(log_format="json"), stream, {}):
        loop.call_soon(broken)
        await asyncio.sleep(0.01)

    assert "OSError in broken (" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_the_loop_reports_a_problem_without_an_exception():
    """Such as a session that nobody closed."""
    loop = asyncio.new_event_loop()
    lines = documents(
        lambda: (
            logs.LoopErrors()(loop, {"message": "Unclosed client session", "session": SECRET}),
            logs.LoopErrors()(loop, {"message": f"Exception in callback {SECRET}"}),
        )
    )
    loop.close()

    assert [line["msg"] for line in lines] == [
        "the event loop reports: Unclosed client session",
        "the event loop reports: a problem",
    ]


def test_the_loop_reports_only_so_often():
    """Without file descriptors it wrote a megabyte in five seconds."""
    now = [0.0]
    report = logs.LoopErrors(logs.Rate(10, lambda: now[0]))
    loop = asyncio.new_event_loop()

    def say() -> None:
        for _ in range(100):
            report(loop, {"message": "no file"})
        now[0] += 1
        report(loop, {"message": "no file"})

    lines = documents(say)
    loop.close()

    assert len(lines) == 11
    assert lines[-1]["more"] == 90


def test_a_refused_caller_is_a_line_without_what_was_shown():
    """Edge, method and reason."""
    (line,) = documents(lambda: logs.Refusals("grpc")("ccproxy.v1.Proxy.GetModel", Reason.PERMISSION_DENIED))

    assert list(line.items())[1:] == [
        ("level", "info"),
        ("msg", "caller refused"),
        ("logger", "ccproxy.access"),
        ("edge", "grpc"),
        ("method", "ccproxy.v1.Proxy.GetModel"),
        ("reason", "PERMISSION_DENIED"),
    ]


def test_guessing_keys_does_not_fill_the_disk():
    """One line a second, which tells of the others."""
    now = [0.0]
    refused = logs.Refusals("http", logs.Rate(1, lambda: now[0]))

    def say() -> None:
        for _ in range(1000):
            refused("m", Reason.AUTHENTICATION_FAILED)
        now[0] += 1
        refused("m", Reason.AUTHENTICATION_FAILED)

    assert [line.get("more") for line in documents(say)] == [None, 999]


# Requests.


@pytest.mark.parametrize(
    ("error", "begun", "outcome", "status", "reason", "level"),
    [
        (None, True, "success", 200, "", logging.INFO),
        (ApiError(Reason.INVALID_REQUEST, SECRET), False, "failed", 400, "INVALID_REQUEST", logging.INFO),
        (ApiError(Reason.OVERLOADED, SECRET), True, "failed", 529, "OVERLOADED", logging.WARNING),
        (ApiError(Reason.INTERNAL, SECRET), False, "failed", 500, "INTERNAL", logging.WARNING),
        (ValueError(SECRET), False, "failed", 500, "INTERNAL", logging.ERROR),
        (asyncio.CancelledError(), False, "abandoned", None, "", logging.INFO),
        (ConnectionResetError(), True, "aborted", 200, "", logging.INFO),
        (GeneratorExit(), True, "aborted", 200, "", logging.INFO),
    ],
)
def test_how_a_request_ends_is_its_outcome(
    error: BaseException | None, outcome: str, status: int | None, reason: str, level: int, *, begun: bool
):
    """The same words as in the metrics; the level says whether somebody should look."""
    entry = logged(error, begun=begun)

    assert (entry.outcome, entry.status, entry.reason, entry.level) == (outcome, status, reason, level)


def test_what_happens_after_the_answer_is_no_part_of_it():
    """As in the metrics: the first ending counts."""
    entries: list[logs.Entry] = []
    with (
        pytest.raises(ConnectionError),
        logs.LoggedRequest(entries.append, call(), "create_message") as request,
    ):
        request.succeed({}, Usage())
        raise ConnectionError

    assert entries[0].outcome == "success"


def test_without_a_log_nothing_is_made_of_a_request():
    """`log: false` costs nothing."""
    with logs.LoggedRequest(None, call(), "count_tokens") as request:
        pass

    assert request.entry.outcome == ""


def test_a_line_of_a_request_leaves_out_what_is_not_known():
    """An empty name or a made up 0 would be searched for."""
    (line,) = documents(lambda: logs.write(logged(asyncio.CancelledError())))

    assert "status" not in line
    assert "ttft_ms" not in line
    assert "level" in line  # the line's own
    assert (line["msg"], line["outcome"], line["caller"]) == ("request", "abandoned", "team")


def test_a_level_that_is_not_written_is_not_queued():
    """`log_level: warning` shows the failures alone."""
    lines = documents(
        lambda: (logs.write(logged()), logs.write(logged(ValueError()))),
        log_level="warning",
    )

    assert [line["outcome"] for line in lines] == ["failed"]


def test_a_models_name_has_an_end():
    """The caller chooses it."""
    entry = logged()
    entry.requested_model = "m" * 5000
    (line,) = documents(lambda: logs.write(entry))

    assert len(line["requested_model"]) == 200


@pytest.mark.parametrize("echo", [SECRET, "Bearer x", "a" * 129])
def test_an_upstreams_id_is_an_id_or_is_left_out(echo: str):
    """A broken upstream may put anything into a header."""
    entry = logged()
    entry.upstream_request_id = echo
    (line,) = documents(lambda: logs.write(entry))

    assert "upstream_request_id" not in line


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("model", ["claude-x", "modèle", 'a "b" \\', "x\x1b[31m", "x\x7f", "m" * 300])
def test_the_line_of_a_request_is_the_same_however_it_is_made(model: str, *, begun: bool):
    """Most are written at once, those with anything to hide member by member; who reads must not see which."""
    entry = logged(begun=begun)
    entry.model = model
    line = logs.lines.Line(0.0, logging.INFO, "ccproxy.requests", "request", entry)
    written = msgspec.json.decode(logs.lines.as_json(line))

    assert list(written.items())[4:] == list(line.members().items())


# Nobody waits.


def test_a_full_queue_drops_and_counts():
    """Memory has an end."""
    with stuck_pipe() as (_, stream), logs.configure(Config(log_format="json"), stream, {}, limit=50) as handler:
        for _ in range(1000):
            log.info("x" * 2000)
        dropped = handler.dropped

    assert dropped >= 1000 - 50 - 2 * sink.MAX_BATCH


def test_when_it_can_be_written_again_a_line_tells_of_the_lost_ones():
    """Who reads must know that something is missing."""
    seen = b""
    told = 0
    with (
        stuck_pipe() as (read, stream),
        logs.configure(Config(log_format="json"), stream, {}, limit=10) as handler,
    ):
        for _ in range(1000):
            log.info("x" * 200)
        while told < handler.dropped:
            seen += os.read(read, 65536)
            told = sum(map(int, re.findall(rb'"([0-9]+) log lines were dropped"', seen)))

    assert told == handler.dropped


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_pipe_that_nobody_reads_does_not_hold_the_loop(*, blocking: bool):
    """A stuck collector once froze the whole server."""
    with stuck_pipe(blocking=blocking) as (_, stream):
        with logs.configure(Config(log_format="json"), stream, {}):
            started = time.perf_counter()
            for _ in range(2000):
                log.info("x" * 200)
                await asyncio.sleep(0)
            took = time.perf_counter() - started
            ending = time.perf_counter()
        ended = time.perf_counter() - ending

    assert took < 5
    assert ended < sink.FLUSH_SECONDS + 1


def test_a_closed_stream_loses_lines_and_nothing_else():
    """The shell that started it has gone."""
    stream = io.StringIO()
    with logs.configure(Config(), stream, {}) as handler:
        stream.close()
        log.info("x")
        until(lambda: handler.dropped == 1)


def test_a_pipe_whose_reader_has_gone_loses_lines_and_nothing_else():
    """EPIPE, and no signal."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        os.close(read)
        with logs.configure(Config(), stream, {}) as handler:
            log.info("x")
            until(lambda: handler.dropped == 1)


def test_without_standard_error_lines_are_lost(monkeypatch: pytest.MonkeyPatch):
    """Python has None where the descriptor was closed at its start."""
    monkeypatch.setattr(sys, "stderr", None)
    with logs.configure(Config()) as handler:
        log.info("x")
        until(lambda: handler.dropped == 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_loses_lines_and_nothing_else():
    """/dev/full answers ENOSPC."""
    with Path("/dev/full").open("w") as stream, logs.configure(Config(), stream, {}) as handler:
        log.info("x")
        until(lambda: handler.dropped == 1)


def test_a_line_that_cannot_be_made_is_lost_and_nothing_else():
    """The next one is written, and the loss is told."""
    lines = documents(lambda: (log.info("a", extra={"fields": {"x": object()}}), log.info("b")))

    assert sorted(line["msg"] for line in lines) == ["1 log lines were dropped", "b"]


def test_lines_after_half_a_line_begin_on_a_new_one():
    """A disk that was full in the middle of a line must not spoil the next."""
    with stuck_pipe(blocking=False) as (read, stream):
        target = sink.Stream(stream)
        full: list[sink.UnwrittenError] = []

        class Once(sink.Stream):
            def write(self, text: str) -> None:
                if not full:
                    full.append(sink.UnwrittenError(1, torn=True))
                    raise full[0]
                target.write(text)

        lines = sink.Sink[str](Once(None), str, lambda n: f"lost {n}")
        lines.put("a")
        until(lambda: lines.dropped == 1)
        lines.put("b")
        lines.close()

        assert os.read(read, 100) == b"\nlost 1\nb\n"


def test_at_the_end_everything_that_waits_is_written():
    """The last lines say why it ended."""
    assert len(written(lambda: [log.info("%d", n) for n in range(5000)])) == 5000


def test_what_was_there_before_is_there_after():
    """Tests, and whoever embeds this, have handlers of their own."""
    root = logging.getLogger()
    before = root.handlers, root.level
    written(lambda: None)

    assert (root.handlers, root.level) == before


# Files.


def test_a_file_is_appended_to_and_is_the_owners_alone(tmp_path: Path):
    """It tells who uses what."""
    file = tmp_path / "logs" / "ccproxy.log"
    for word in ("one", "two"):
        written(lambda word=word: log.info(word), log_file=str(file))  # type: ignore[misc]

    assert [msgspec.json.decode(line)["msg"] for line in file.read_text().splitlines()] == ["one", "two"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`~` is written in configurations."""
    monkeypatch.setenv("HOME", str(tmp_path))
    written(lambda: log.info("x"), log_file="~/c.log")

    assert (tmp_path / "c.log").exists()


def test_a_file_that_cannot_be_written_is_named_at_the_start(tmp_path: Path):
    """Not found out when the log is needed."""
    with pytest.raises(OSError, match=f"log_file {tmp_path}") as caught:
        written(lambda: None, log_file=str(tmp_path))

    assert isinstance(caught.value, IsADirectoryError)


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is looked at before each write."""
    monkeypatch.setattr(sink, "ROTATION_SECONDS", 0.0)


@pytest.mark.usefixtures("watchful")
def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path):
    """logrotate needs no signal and no copytruncate."""
    file, moved = tmp_path / "c.log", tmp_path / "c.log.1"
    with logs.configure(Config(log_file=str(file))):
        log.info("one")
        until(lambda: b"one" in file.read_bytes())
        file.rename(moved)
        log.info("two")

    assert b"one" in moved.read_bytes()
    assert b"two" in file.read_bytes()


@pytest.mark.usefixtures("watchful")
def test_a_file_whose_folder_has_gone_goes_on_where_it_was(tmp_path: Path):
    """Until somebody mends it."""
    folder = tmp_path / "logs"
    with logs.configure(Config(log_file=str(folder / "c.log"))) as handler:
        log.info("one")
        until(lambda: b"one" in (folder / "c.log").read_bytes())
        folder.rename(tmp_path / "away")
        log.info("two")

    assert b"two" in (tmp_path / "away" / "c.log").read_bytes()
    assert handler.dropped == 0


def test_a_file_that_was_cut_short_goes_on_from_its_new_end(tmp_path: Path):
    """Copytruncate would else leave a hole of zeros."""
    file = tmp_path / "c.log"
    with logs.configure(Config(log_file=str(file))):
        log.info("one")
        until(lambda: b"one" in file.read_bytes())
        os.truncate(file, 0)
        log.info("two")

    assert file.read_bytes().startswith(b"{")


def test_requests_refusals_and_the_loop_have_loggers_of_their_own():
    """So that they can be told apart by name, whichever module writes them."""
    loop = asyncio.new_event_loop()
    lines = documents(
        lambda: (
            logs.write(logged()),
            logs.Refusals("http")("m", Reason.AUTHENTICATION_FAILED),
            logs.LoopErrors()(loop, {}),
        )
    )
    loop.close()

    assert [line["logger"] for line in lines] == ["ccproxy.requests", "ccproxy.access", "ccproxy.loop"]
