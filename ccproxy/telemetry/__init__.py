"""Spans and metrics for a collector, by OpenTelemetry's protocol: the only place that knows OpenTelemetry.

    pipeline    OpenTelemetry's SDK: from what is recorded to the collector, set by the standard OTEL_* variables
    recording   the spans of requests and attempts
    numbers     the `gen_ai` metrics

None of it, nor OpenTelemetry itself, is imported unless `telemetry.export` is on. What is exported holds names,
numbers and reasons, as the log does: never what a message says, a header or a key.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ccproxy.config import Config
from ccproxy.spans import Telemetry


@asynccontextmanager
async def exporting(now: Callable[[], Config]) -> AsyncIterator[Telemetry | None]:
    """What requests and attempts are told to inside the context; None where nothing is exported.

    Args:
        now: The configuration in use: whether it is, and what the providers are.

    Raises:
        OSError: An OTEL_* variable says what cannot be.
    """
    if not now().telemetry.export or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield None
        return
    from ccproxy.telemetry.pipeline import Pipeline  # noqa: PLC0415  # a process without it must not load it
    from ccproxy.telemetry.recording import Recorder  # noqa: PLC0415

    pipeline = Pipeline(os.environ)
    try:
        yield Recorder(pipeline.tracer, pipeline.meter, lambda name: now().type_of(name), newest=pipeline.newest)
    finally:
        await pipeline.close()
