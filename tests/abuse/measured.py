"""A service in a process of its own that measures itself: how long its loop stood still, what memory it took.

Reads a line, starts anew; reads another, writes what was measured since, as JSON.
"""

import asyncio
import gc
import sys
import time
from pathlib import Path

import msgspec

from ccproxy.app import GC_THRESHOLDS, running
from ccproxy.config import Config, Duration, LimitsConfig, ProviderConfig, RetryConfig, RouteConfig

TICK_SECONDS = 0.005
NOBODY = "http://127.0.0.1:9"  # refuses connections, so nothing but CCProxy itself is measured


class Meter:
    """The most that the loop worked between two ticks, in seconds of the processor: neighbours add none."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Ticks for ever."""
        while True:
            before = time.thread_time()
            await asyncio.sleep(TICK_SECONDS)
            self.longest = max(self.longest, time.thread_time() - before)


def peak_bytes() -> int:
    """The most resident memory since the last `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak() -> None:
    """The kernel counts the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


async def serve() -> None:
    """Serves until the input ends."""
    config = Config(
        port=0,
        grpc_port=0,
        providers=[
            ProviderConfig("anthropic", api_base_url=NOBODY),
            ProviderConfig("openai", api_base_url=NOBODY, api="chat"),
        ],
        routes={"default": RouteConfig("anthropic")},
        retry=RetryConfig(open_after=0),  # each request shall be looked at in full
        limits=LimitsConfig(shed_lag=Duration(0), shed_memory_percent=0),
        log_level="error",
    )
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with running(config, {}) as service:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)  # as `serve` does
        meter = Meter()
        ticking = asyncio.ensure_future(meter.run())
        _say({"http": service.http_port, "grpc": service.grpc_port})
        while await lines.readline():
            forget_peak()
            before = peak_bytes()
            await asyncio.sleep(2 * TICK_SECONDS)
            meter.longest = 0.0
            _say({})
            await lines.readline()
            await asyncio.sleep(2 * TICK_SECONDS)
            _say({"stall": meter.longest, "memory": peak_bytes() - before})
        ticking.cancel()


def _say(document: object) -> None:
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
