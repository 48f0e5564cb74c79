"""Tells systemd how the process is, where it asks for that: ready, loading again, ending, and that the loop turns.

The protocol is that of sd_notify(3): lines `NAME=VALUE` in a datagram to the socket that NOTIFY_SOCKET names, and
for a watchdog that many microseconds as WATCHDOG_USEC. A message that cannot be sent is not missed here: systemd
acts on what it does not hear.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Self

SEND_SECONDS = 0.5
"""How long a message may wait in front of a full socket. Only a systemd that hangs leaves one full."""

SLACK_SECONDS = 10.0
"""How long the end may take beyond what running calls get."""

MICRO = 1_000_000


class Systemd:
    """The service manager; one that asks for nothing, unless it is given an address.

    Args:
        address: A socket's path, or `@` and a name in Linux's abstract namespace.
        watchdog_seconds: After how long a silence it takes the process for dead; 0 for never.
    """

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._standing: Callable[[], str] = str
        self._ending = False

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> Self:
        """What the environment says of it, taken out: a process started from here must not speak for this one."""
        address = environ.pop("NOTIFY_SOCKET", "")
        usec = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):  # vsock:, of a virtual machine as a whole
            return cls()
        watched = usec.isdecimal() and pid in {"", str(os.getpid())}
        return cls(address, int(usec) / MICRO if watched else 0.0)

    def ready(self, standing: Callable[[], str]) -> None:
        """It serves. `standing` says in a line how it is, now and after each reload."""
        self._standing = standing
        self._send("READY=1", f"STATUS={standing()}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """It loads its configuration again, inside the context."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Loading again")
        try:
            yield
        finally:
            if not self._ending:
                self._send("READY=1", f"STATUS={self._standing()}")

    def stopping(self, running: int, seconds: float) -> None:
        """It ends, which may take that long; systemd waits for it, also where TimeoutStopSec is less."""
        self._ending = True
        usec = int((seconds + SLACK_SECONDS) * MICRO)
        status = f"STATUS=Ending; {running} calls run, and get {seconds:g} s"
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec}", status)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Says that the loop turns, inside the context: twice in the time after which it would count as dead."""
        task = asyncio.ensure_future(self._beat())
        try:
            yield
        finally:
            task.cancel()

    async def _beat(self) -> None:
        while self._watchdog_seconds:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_seconds / 2)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.settimeout(SEND_SECONDS)
            way.sendto("\n".join(lines).encode(), self._address)
