"""Loading the configuration again: when, and what becomes of one that cannot be used."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ccproxy import reload as module
from ccproxy.config import Config, Loaded, TlsConfig, read
from ccproxy.reload import Reloader, files


class Bench:
    """A configuration file, and what was made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "config.json"
        self.file.write_text('{"long_context_threshold": 1000, "providers": [{"name": "openai"}]}')
        self.used: list[Config] = []
        self.failures: list[str] = []
        self.refusal: OSError | None = None
        self.reloader = Reloader(self.load, self.load(), self.use, self.failures.append)

    def load(self) -> Loaded:
        """Reads the file."""
        return read(self.file, {}, self.folder)

    async def use(self, config: Config) -> None:
        """Uses it, or cannot."""
        if self.refusal is not None:
            raise self.refusal
        self.used.append(config)

    def write(self, text: str) -> None:
        """Replaces the file at once, as a mounted one is."""
        new = self.folder / "new"
        new.write_text(text)
        new.replace(self.file)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A file that is looked at a hundred times a second."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    return Bench(tmp_path)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    """With the reloader at work."""
    task = asyncio.ensure_future(bench.reloader.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Waits for something that must become true."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # the file tells nobody
            await asyncio.sleep(0.005)


async def test_a_changed_file_is_loaded_once(bench: Bench):
    """And one that stays as it is not at all."""
    async with running(bench):
        await asyncio.sleep(0.05)
        assert bench.used == []

        bench.write('{"long_context_threshold": 2000, "providers": [{"name": "openai"}]}')
        await until(lambda: bench.used)
        await asyncio.sleep(0.05)

    assert [config.long_context_threshold for config in bench.used] == [2000]


async def test_what_was_asked_for_is_loaded_whether_a_file_changed_or_not(bench: Bench):
    """SIGHUP: an operator who sends it wants to see it work."""
    async with running(bench):
        bench.reloader.ask()
        await until(lambda: bench.used)

    assert len(bench.used) == 1


async def test_a_configuration_with_problems_changes_nothing_and_is_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
):
    """Every problem with its place; the service goes on as it was."""
    async with running(bench):
        bench.write('{"prot": 1, "long_context_threshold": 0}')
        with caplog.at_level(logging.ERROR):
            await until(lambda: bench.failures)

    assert bench.used == []
    assert "$.prot" in bench.failures[0]
    assert "$.long_context_threshold" in bench.failures[0]
    assert "the one before stays" in caplog.records[0].getMessage()


async def test_a_failed_load_is_told_once_and_mended_by_the_next(bench: Bench):
    """Not once a second."""
    async with running(bench):
        bench.write("{")
        await until(lambda: bench.failures)
        await asyncio.sleep(0.05)
        bench.write('{"long_context_threshold": 3000, "providers": [{"name": "openai"}]}')
        await until(lambda: bench.used)

    assert len(bench.failures) == 1
    assert bench.used[0].long_context_threshold == 3000


async def test_a_file_that_goes_away_is_a_failure(bench: Bench):
    """The configuration that was named is missing: nothing is guessed in its place."""
    async with running(bench):
        bench.file.unlink()
        await until(lambda: bench.failures)

    assert bench.used == []


async def test_one_that_cannot_be_used_is_told_as_well(bench: Bench):
    """Such as a key's file that went away between two looks."""
    bench.refusal = OSError("key main: its file is missing")
    await bench.reloader.reload()

    assert bench.failures == ["key main: its file is missing"]


async def test_a_system_error_is_told_in_its_words(bench: Bench):
    """Without the number."""
    bench.refusal = OSError(2, "No such file or directory")
    await bench.reloader.reload()

    assert bench.failures == ["No such file or directory"]


async def test_what_counts_after_a_restart_is_named(bench: Bench, caplog: pytest.LogCaptureFixture):
    """A changed port that seems to be taken over silently is an hour lost."""
    bench.write('{"port": 4000, "providers": [{"name": "openai"}], "routes": {"default": {"provider": "openai"}}}')
    with caplog.at_level(logging.INFO):
        await bench.reloader.reload()

    told = [record.getMessage() for record in caplog.records]
    assert "port has changed, which counts after a restart" in told
    assert told[-1] == "the configuration was loaded again"


async def test_warnings_of_the_new_configuration_are_logged(bench: Bench, caplog: pytest.LogCaptureFixture):
    """As at the start."""
    bench.file.chmod(0o644)
    bench.write('{"providers": [{"name": "openai", "api_key": "sk-1"}]}')
    bench.file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        await bench.reloader.reload()

    assert "chmod 600" in caplog.text


def test_the_files_of_the_providers_are_looked_at(tmp_path: Path):
    """Keys are renewed in their files."""
    for name in ("a", "b", "ca.pem"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----")
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "config.json"
    config.write_text(
        '{"ca_file": "~/ca.pem", "providers": [{"name": "openai", "api_key_file": "~/a",'
        ' "endpoints": [{"api_key_file": "~/b"}]}]}'
    )

    assert files(read(config, {}, tmp_path)) == [config, *(tmp_path / name for name in ("a", "b", "ca.pem"))]


def test_key_files_of_the_environment_are_looked_at(tmp_path: Path):
    """They are renewed like others: a container's secret is named by a variable alone."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "config.json"
    config.write_text('{"providers": [{"name": "openai"}]}')
    environ = {"OPENAI_API_KEY_FILE": "~/a", "ANTHROPIC_API_KEY_FILE": str(tmp_path / "b")}

    assert files(read(config, environ, tmp_path)) == [config, tmp_path / "a", tmp_path / "b"]


def test_the_files_of_tls_are_looked_at():
    """A certificate is renewed every few weeks, and nobody tells the process."""
    config = Config(tls=TlsConfig("/tls.crt", "/tls.key", "/ca.crt"))

    assert files(Loaded(config, Path("/config.json"), found=True)) == [
        Path("/config.json"),
        *(Path(name) for name in ("/tls.crt", "/tls.key", "/ca.crt")),
    ]
