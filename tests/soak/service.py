"""The service under the soak: its configuration, what it holds, and how it is loaded again."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from faults.behaviours import BEHAVIOURS
from faults.faultd import Behaviour, Faultd, Turn
from faults.wires import WIRES
from integration.process import Process, process
from msgspec import Struct
from soak.asked import CLOSED, Ask

from ccproxy.config.types import DEMO_TYPES
from ccproxy.demo import Demo

WAITS = "5s"  # until a silent provider is given up
RELOADED_SECONDS = 30.0
CLOSED_SECONDS = 0.2  # for the connections of before
INSIDE = Path(__file__).parent / "inside"

_GAUGE = re.compile(
    r"^(ccproxy_requests_in_flight|ccproxy_streams_active|ccproxy_connections)\b\S* (\S+)$", re.MULTILINE
)


async def _list_models(turn: Turn) -> None:
    """Every wire's list at once: nobody minds the others' members."""
    listed = [
        {
            "type": "model",
            "object": "model",
            "id": "good",
            "display_name": "Good",
            "created_at": "2026-01-01T00:00:00Z",
        }
    ]
    named = [{"name": "models/good", "supportedGenerationMethods": ["generateContent"]}]
    await turn.document(
        msgspec.json.encode({"object": "list", "data": listed, "has_more": False, "models": named})
    )


PROVIDER: dict[str, Behaviour] = {**BEHAVIOURS, "": _list_models}
"""The provider that lies, and that lists its models."""


class Memory(Struct, frozen=True):
    """What memory the process has, between two rounds.

    Attributes:
        resident: KiB as the kernel counts them, the allocators' holes and the libraries' pages among them.
        blocks: Python's, garbage gone.
        malloc: KiB that are taken from malloc: by large objects, gRPC and TLS.
    """

    resident: float
    blocks: float
    malloc: float


class Level(Struct, frozen=True):
    """What the process holds.

    Attributes:
        rss: Resident KiB.
        files: Open files, sockets among them.
        tasks: asyncio's tasks, and threads.
        connections: Callers' HTTP connections; the one that asked is among them.
        in_flight: Calls and streams under way.
        pooled: Connections to the provider that lies.
    """

    rss: int
    files: int
    tasks: int
    connections: int
    in_flight: int
    pooled: int

    def within(self, bound: "Level") -> bool:
        """Whether it holds no more than another, memory aside."""
        mine, theirs = msgspec.structs.astuple(self)[1:], msgspec.structs.astuple(bound)[1:]
        return all(one <= other for one, other in zip(mine, theirs, strict=True))


class Observed:
    """The service, its providers, and what can be seen of it from outside."""

    def __init__(self, service: Process, inside: Path, faultd: Faultd, demo: Demo, closed_port: int) -> None:
        self.service = service
        self._inside = inside
        self.faultd = faultd
        self._demo = demo
        self._closed_port = closed_port
        self._loads = 0
        self._reloading = asyncio.Lock()
        self.reloads = {True: 0, False: 0}

    def rss(self) -> int:
        """Resident KiB."""
        status = Path(f"/proc/{self.service.popen.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    async def memory(self) -> Memory:
        """What memory it has; see `soak/inside`.

        After a reload, so that it has few connections to providers each time: what they hold would hide the rest.
        """
        resident = self.rss()
        await self.reload(valid=True)
        await asyncio.sleep(CLOSED_SECONDS)
        reader, writer = await asyncio.open_unix_connection(self._inside)
        blocks, malloc = map(int, (await reader.read()).split())
        writer.close()
        return Memory(resident, blocks, malloc / 1024)

    async def level(self) -> Level:
        """What it holds now."""
        metrics = await self._get("/metrics")
        found = [(name, int(float(value))) for name, value in _GAUGE.findall(metrics.decode())]
        health = msgspec.json.decode(await self._get("/health"))
        return Level(
            rss=self.rss(),
            files=len(os.listdir(f"/proc/{self.service.popen.pid}/fd")),  # noqa: PTH208  # as /proc is, at once
            tasks=health["performance"]["goroutines"],
            connections=sum(value for name, value in found if name == "ccproxy_connections"),
            in_flight=sum(value for name, value in found if name != "ccproxy_connections"),
            pooled=self.faultd.open,
        )

    def config(self) -> dict[str, Any]:
        """A configuration, with another key each time: every way to a provider is opened anew."""
        self._loads += 1
        return configuration(self.faultd, self._demo, self._closed_port, f"key-{self._loads}")

    def providers_side(self, ask: Ask) -> list[str]:
        """What the provider that lies saw of a request: a line for each attempt, with that connection's past."""
        mark = ask.mark.encode()
        return [
            f"{'answered' if mark in turn.body else 'left unanswered'} by {turn.wire.name}, "
            f"on a connection that was asked for {', '.join(turn.before)}"
            for turn in self.faultd.seen
            if mark in turn.body or mark in turn.unanswered
        ]

    async def reload(self, *, valid: bool) -> None:
        """Loads another configuration; where it is not valid, nothing may come of it.

        Raises:
            TimeoutError: The service does not say how it went.
        """
        async with self._reloading:
            await self._reload(valid=valid)

    async def _reload(self, *, valid: bool) -> None:
        config = self.config()
        if not valid:
            config["routes"] = {"default": {"provider": "nobody"}}
        wanted = dict(self.reloads)
        wanted[valid] += 1
        file = self.service.file
        written = file.with_suffix(".new")
        written.write_text(self.service.text(config))
        written.replace(file)
        self.service.popen.send_signal(signal.SIGHUP)
        async with asyncio.timeout(RELOADED_SECONDS):
            while await self._loaded() != wanted:  # noqa: ASYNC110  # another process does not tell
                await asyncio.sleep(0.1)
        self.reloads = wanted

    async def keep_reloading(self, every: float, until: asyncio.Event) -> None:
        """Loads again every so many seconds, a good one and a bad one in turn."""
        valid = True
        while not until.is_set():
            await self.reload(valid=valid)
            valid = not valid
            with suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await until.wait()

    async def _loaded(self) -> dict[bool, int]:
        state = msgspec.json.decode(await self._get("/status"))["configuration"]
        return {True: state["reloads"], False: state["failures"]}

    async def _get(self, path: str) -> bytes:
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get(self.service.url + path) as response,
        ):
            return await response.read()


def configuration(faultd: Faultd, demo: Demo, closed_port: int, key: str) -> dict[str, Any]:
    """A provider of each wire that lies, one that is not there, and the demo's.

    Nothing is refused because the machine is busy, and no circuit opens: whoever asks for a good answer gets one.
    """
    lying = [
        {"name": wire.name, "type": wire.type, "api": wire.api, "api_base_url": faultd.url(wire), "api_key": key}
        for wire in WIRES.values()
    ]
    nowhere = f"http://127.0.0.1:{closed_port}"
    demos = [
        {"name": f"demo-{kind}", "type": kind, "api_base_url": demo.url + path, "api_key": key}
        for kind, path in DEMO_TYPES.items()
    ]
    return {
        "providers": [
            *lying,
            *demos,
            {"name": CLOSED, "type": "openai", "api": "chat", "api_base_url": nowhere, "api_key": key},
        ],
        "routes": {"default": {"provider": "demo-anthropic"}},
        "retry": {"open_after": 0},
        "limits": {"shed_lag": 0, "shed_memory_percent": 0},
        "performance": {"request_timeout": WAITS, "first_byte_timeout": WAITS, "silence_timeout": WAITS},
    }


@asynccontextmanager
async def observed(home: Path) -> AsyncIterator[Observed]:
    """A ready service with its providers; it is gone when the context ends, however that goes."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: it refuses, and nobody else gets it
        async with Faultd.serve(PROVIDER) as faultd, Demo.serve() as demo:
            port = closed.getsockname()[1]
            inside = home / "inside"
            environ = {
                "PYTHONPATH": os.pathsep.join(filter(None, (str(INSIDE), os.environ.get("PYTHONPATH")))),
                "SOAK_SOCKET": str(inside),
            }
            with process(home, configuration(faultd, demo, port, "key-0"), environ) as service:
                await asyncio.to_thread(service.until_ready)
                yield Observed(service, inside, faultd, demo, port)
