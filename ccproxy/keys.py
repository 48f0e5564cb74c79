"""The keys that callers may show: digests in memory, and files that are read again when they change.

There is no watcher. A file is looked at when a key is shown, at most once a second, so a rotated key counts a
second later and a service that nobody calls does nothing. What tells a change is the file's time, size and inode
behind every symbolic link: a secret mounted by Kubernetes is replaced by swapping a link.
"""

import hmac
import logging
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ccproxy.config import Config, KeyConfig, secret_file
from ccproxy.config.secret_file import SecretFileError

Scope = Literal["all", "monitor"]

MAIN = "apikey"
"""The name of the key that `apikey` or `apikey_file` holds."""

CHECK_SECONDS = 1.0  # between two looks at the files

log = logging.getLogger(__name__)


class Key(Struct, frozen=True):
    """What may be told of a key: the operator's name for it, and what it is good for."""

    name: str
    scope: Scope


class KeyRing:
    """Every key of the configuration.

    Args:
        config: The operator's keys.
        clock: Seconds of a monotonic clock.

    Raises:
        OSError: A key's file cannot be used. The message names both.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: list[tuple[Key, _Held]] = [
            (Key(each.name, each.scope), _hold(each)) for each in _configured(config)
        ]
        self._files = [(key, held) for key, held in self._held if isinstance(held, _File)]
        self._checked = clock()

    def has(self, scope: Scope) -> bool:
        """Whether there is a key of `scope`."""
        return any(key.scope == scope for key, _ in self._held)

    def find(self, presented: Iterable[str]) -> Key | None:
        """The key that one of `presented` is; of several the one that is good for more.

        Every text is compared with every key, in the same time wherever they differ.
        """
        self._refresh()
        found: Key | None = None
        for text in presented:
            digest = _digest(text)
            for key, held in self._held:
                if hmac.compare_digest(digest, held.digest) and (found is None or key.scope == "all"):
                    found = key
        return found

    def _refresh(self) -> None:
        if not self._files:
            return
        now = self._clock()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        for key, file in self._files:
            file.refresh(key.name)


class _Text(Struct, frozen=True):
    """A key that does not change."""

    digest: bytes


class _File:
    """A key in a file. `digest` is the last good one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest, self._seen = _read(path)
        self._failing = False

    def refresh(self, name: str) -> None:
        """Reads the file again if it has changed. One that cannot be used changes nothing, and is told once."""
        try:
            # A failure is tried again as it is: mended permissions change none of what `_seen` holds.
            if not self._failing and _stamp(self._path) == self._seen:
                return
            digest, self._seen = _read(self._path)
        except SecretFileError as error:
            if not self._failing:
                log.warning("key %s: its file cannot be used, so its last value counts: %s", name, error)
            self._failing = True
            return
        self._failing = False
        if digest != self.digest:
            self.digest = digest
            log.info("key %s: its file has a new value, which counts from now on", name)


_Held = _Text | _File

_Stamp = tuple[int, int, int]
"""What changes with a file: its time in nanoseconds, its size, its inode."""


def _configured(config: Config) -> list[KeyConfig]:
    main = [KeyConfig(MAIN, key=config.apikey)] if config.apikey is not None else []
    if config.apikey_file:
        main.append(KeyConfig(MAIN, key_file=config.apikey_file))
    return [*main, *config.keys]


def _hold(each: KeyConfig) -> _Held:
    if each.key is not None:
        return _Text(_digest(each.key.reveal()))
    if each.key_sha256:
        return _Text(bytes.fromhex(each.key_sha256))
    try:
        return _File(Path(each.key_file))
    except SecretFileError as error:
        raise OSError(f"key {each.name}: {error}") from error


def _read(path: Path) -> tuple[bytes, _Stamp]:
    """The digest of a file's first line, and the file's stamp from before it was read.

    Raises:
        SecretFileError: It cannot be used.
    """
    stamp = _stamp(path)
    return _digest(secret_file.read(path).reveal()), stamp


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.stat()
    except OSError as error:
        raise SecretFileError(f"{path}: {error.strerror}") from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
