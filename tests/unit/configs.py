"""Configurations in files, as the tests of `ccproxy.config` write and read them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ccproxy.config import Config, ConfigError, Loaded, load
from ccproxy.config import read as read_all

CANARY = "sk-canary-0123456789"


def write(home: Path, document: Any) -> Path:
    """Puts the default file into `home`: JSON text as it is, anything else encoded."""
    file = home / ".ccproxy" / "config.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(document if isinstance(document, bytes) else msgspec.json.encode(document))
    file.chmod(0o600)
    return file


def read(home: Path, document: Any = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of a file and an environment."""
    if document is not None:
        write(home, document)
    return load(None, environ or {}, home)


def loaded(home: Path, document: Any = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The same, with its warnings."""
    if document is not None:
        write(home, document)
    return read_all(None, environ or {}, home)


def problems(home: Path, document: Any = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with them."""
    with pytest.raises(ConfigError) as raised:
        read(home, document, environ)
    return raised.value.problems


def places(home: Path, document: Any = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Where it is wrong."""
    return [problem.partition(": ")[0] for problem in problems(home, document, environ)]


def secret_in(home: Path, text: str = CANARY, mode: int = 0o600) -> str:
    """A file with a secret, by its path."""
    file = home / f"secret-{len(list(home.iterdir()))}"
    file.write_text(text)
    file.chmod(mode)
    return str(file)
