"""Loads the configuration again, at SIGHUP and when a file of it changes.

A file is looked at once a second: its time, size and inode behind every symbolic link, as a mounted ConfigMap is
replaced by swapping one. It is read once two looks agree, so that half a file is no configuration. A configuration
with problems changes nothing.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ccproxy.config import Config, ConfigError, Loaded

LOOK_SECONDS = 1.0

FIXED = (
    "host",
    "port",
    "grpc_port",
    "health_port",
    "metrics_port",
    "grpc_reflection",
    "log",
    "log_level",
    "log_format",
    "log_file",
    "shutdown_timeout",
    "drain_delay",
    "connections",
    "telemetry",
)
"""What is decided at the start: a change of it is told, and counts after a restart."""

Load = Callable[[], Loaded]
"""Reads the configuration; raises ConfigError."""

log = logging.getLogger(__name__)


class Reloader:
    """Loads again when asked, or when a file changed.

    Args:
        load: Reads the configuration.
        now: What is in use, and where it was read.
        use: Makes a configuration the one in use; raises OSError where that cannot be.
        failed: Is told why nothing changed.
        around: Is entered for as long as a load takes.
    """

    def __init__(
        self,
        load: Load,
        now: Loaded,
        use: Callable[[Config], Awaitable[None]],
        failed: Callable[[str], None],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._load = load
        self._now = now
        self._use = use
        self._failed = failed
        self._around = around
        self._asked = asyncio.Event()

    def begin(self) -> asyncio.Task[None]:
        """Looks and loads, at SIGHUP too, until it is cancelled."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.ask)
        return asyncio.ensure_future(self.run())

    def ask(self) -> None:
        """Loads at the next moment, whether a file changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Looks and loads, for as long as it runs."""
        seen = settled = self._stamps()
        while True:
            asked = await self._look()
            stamps = self._stamps()
            if asked or (stamps == seen and stamps != settled):
                settled = stamps
                with self._around():
                    await self.reload()
                settled = stamps = self._stamps() if self._stamps() == stamps else stamps
            seen = stamps

    async def reload(self) -> None:
        """Loads once. Whatever is wrong is logged and told; the configuration in use stays."""
        try:
            loaded = self._load()
            await self._use(loaded.config)
        except ConfigError as error:
            self._fail(str(error))
            return
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        for name in FIXED:
            if getattr(loaded.config, name) != getattr(self._now.config, name):
                log.warning("%s has changed, which counts after a restart", name)
        for warning in loaded.warnings:
            log.warning("%s", warning)
        self._now = loaded
        log.info("the configuration was loaded again")

    def _fail(self, why: str) -> None:
        log.error("the configuration was not loaded again, the one before stays: %s", why)
        self._failed(why)

    async def _look(self) -> bool:
        """Waits for the next look. Whether a load was asked for."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _stamps(self) -> Sequence[tuple[int, int, int] | None]:
        return [_stamp(file) for file in files(self._now)]


def files(loaded: Loaded) -> list[Path]:
    """The files that a configuration was made of. Those of the callers' keys are looked after by `keys`."""
    config = loaded.config
    found = [loaded.file]
    for provider in config.providers:
        named = [provider.api_key_file, *(each.api_key_file for each in provider.endpoints)]
        found += [Path(name) for name in named if name]
    tls = config.tls
    found += [Path(name) for name in (config.ca_file, tls.cert_file, tls.key_file, tls.client_ca_file) if name]
    return found


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
