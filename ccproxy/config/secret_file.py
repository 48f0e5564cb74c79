"""Files that hold one secret: its first line."""

import os
import stat
from pathlib import Path

from ccproxy.config.values import Secret

MOUNTED = ("/run/secrets/", "/var/run/secrets/")
"""Where Docker and Kubernetes mount secrets: readable by every user of a container that has only one."""

MAX_BYTES = 64 << 10  # far more than a key; a log file named by mistake is not read

PATH_WORDS = "expected an absolute path, or one that begins with ~/"


class SecretFileError(Exception):
    """Why a file gives no secret; never with what is in it."""


def read(file: str | Path) -> Secret:
    """The secret in a file's first line.

    Raises:
        SecretFileError: The file is missing, cannot be read, may be read by others, or holds no secret.
    """
    if not os.path.isabs(file):  # noqa: PTH117  # nothing is read from the working directory
        raise SecretFileError(PATH_WORDS)
    try:
        status = os.stat(file)  # noqa: PTH116  # of a path that may hold any character
        if not stat.S_ISREG(status.st_mode):  # a pipe would block, and could not be read again
            raise SecretFileError(f"{file} is not a file")
        if is_open_to_others(file, status.st_mode):
            raise SecretFileError(f"others may read {file}; run: chmod 600 {file}")
        with open(file, "rb") as opened:  # noqa: PTH123  # the same
            text = opened.read(MAX_BYTES)
    except OSError as error:
        raise SecretFileError(f"{file}: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise SecretFileError(PATH_WORDS) from error
    try:
        line = text.partition(b"\n")[0].decode().strip()
    except UnicodeDecodeError as error:
        raise SecretFileError(f"{file} is not UTF-8 text") from error
    if not line:
        raise SecretFileError(f"the first line of {file} is empty")
    if not line.isprintable():
        raise SecretFileError(f"the first line of {file} holds characters that no header can carry")
    return Secret(line)


def is_open_to_others(file: str | Path, mode: int) -> bool:
    """Whether users may read a secret who should not."""
    return bool(mode & stat.S_IROTH) and not os.path.normpath(file).startswith(MOUNTED)
