"""A service whose provider is `faultd`, with everything that can be observed of it, on both edges."""

import asyncio
import io
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.resolver
import grpc
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc
from faults.behaviours import BEHAVIOURS
from faults.faultd import Faultd
from faults.places import place
from faults.wires import WIRES, Wire
from integration.edges import Failure, failure_of
from prometheus_client.parser import text_string_to_metric_families

from ccproxy import attempts, logs, message_stream, sse, upstream
from ccproxy.app import Service, running
from ccproxy.circuit import Circuit
from ccproxy.config import (
    Config,
    Duration,
    FallbackConfig,
    PerformanceConfig,
    ProviderConfig,
    RetryConfig,
    RouteConfig,
    Secret,
)
from ccproxy.proxy import Proxy

KEY = "sk-canary-KEY-4711"
PROMPT = "canary-PROMPT-0815"
CANARIES = (KEY, PROMPT)
SILENCE = 0.25  # seconds, where minutes are meant
PATIENCE = 10.0
STREAM_SECONDS = PATIENCE  # without a byte, or an event, of a stream


def shorten(monkeypatch: pytest.MonkeyPatch, waits: str = "") -> None:
    """Kilobytes in the place of megabytes; and for what is waited for in vain, a moment in the place of minutes.

    Nothing else is hurried: a busy machine must not look like a slow provider.
    """
    connect = 0.12 if waits == "connection" else PATIENCE
    silence = SILENCE if waits == "bytes" else PATIENCE
    monkeypatch.setattr(upstream, "CONNECT_SECONDS", connect)
    monkeypatch.setattr(sys.modules[__name__], "STREAM_SECONDS", silence)
    monkeypatch.setattr(upstream, "MAX_ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr(sse, "MAX_FRAME_BYTES", 1 << 16)
    monkeypatch.setattr(message_stream, "MAX_STREAM_BYTES", 1 << 18)
    monkeypatch.setattr(attempts, "BACKOFF_SECONDS", 0.001)
    # asking for models would be requests and connections that no row of the table has
    monkeypatch.setattr(Proxy, "learn_models", lambda _: None)
    monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", _resolve)


async def _resolve(_: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
    if host.startswith("stalled"):
        await asyncio.sleep(SILENCE)  # it goes on when nobody waits any more: aiohttp asks for all callers
    if host.startswith(("stalled", "unknown")):
        raise OSError(socket.EAI_NONAME, "no such name")
    return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}]


@dataclass
class Seen:
    """What a caller got. `raw` are the bytes of everything, headers or metadata included."""

    failure: Failure | None = None
    status: int = 0
    document: Any = None
    events: list[Any] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes = b""


class Bench:
    """The service, its provider and its callers."""

    def __init__(self, service: Service, faultd: Faultd, log: io.StringIO, stack: AsyncExitStack) -> None:
        self.service = service
        self.faultd = faultd
        self.log = log
        self._stack = stack

    async def connect(self) -> None:
        """Opens both ways to the service, so that they are no news later."""
        url = f"http://127.0.0.1:{self.service.http_port}"
        self.http = await self._stack.enter_async_context(aiohttp.ClientSession(url))
        self.channel = await self._stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{self.service.grpc_port}")
        )
        self.stub = proxy_pb2_grpc.ProxyStub(self.channel)
        await status_pb2_grpc.StatusStub(self.channel).GetInfo(status_pb2.GetInfoRequest())
        async with self.http.get("/livez") as response:
            await response.read()

    async def ask(self, edge: str, model: str, *, stream: bool, **members: Any) -> Seen:
        """Asks for a message."""
        document = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": PROMPT}], **members}
        if edge == "http":
            return await self._over_http({**document, "stream": stream})
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))
        return await (self._streamed_grpc if stream else self._whole_grpc)(request)

    async def _over_http(self, document: dict[str, Any]) -> Seen:
        sent = io.BytesIO(msgspec.json.encode(document))  # of large bytes aiohttp warns
        json = {"content-type": "application/json"}
        async with self.http.post("/v1/messages", data=sent, headers=json) as response:
            body = await response.read()
            headers = {name.lower(): value for name, value in response.headers.items()}
            raw = repr(response.raw_headers).encode() + body
        seen = Seen(status=response.status, headers=headers, body=body, raw=raw)
        if response.status == 200 and document["stream"]:
            for event in sse.events(body):
                data = msgspec.json.decode(event.data)
                assert event.event == data["type"]
                seen.events.append(data)
            return seen
        seen.document = msgspec.json.decode(body)
        if response.status != 200:
            error, after = seen.document["error"], headers.get("retry-after")
            seen.failure = Failure(
                error["type"],
                error["message"],
                response.status,
                headers["x-should-retry"] == "true",
                None if after is None else int(after),
                has_request_id="request-id" in headers,
            )
        return seen

    async def _whole_grpc(self, request: proxy_pb2.CreateMessageRequest) -> Seen:
        call = self.stub.CreateMessage(request)
        seen = Seen()
        try:
            seen.document = msgspec.json.decode(json_codec.encode(await call))
        except grpc.aio.AioRpcError as error:
            _failed(seen, error)
        await _metadata(seen, call)
        return seen

    async def _streamed_grpc(self, request: proxy_pb2.CreateMessageRequest) -> Seen:
        call = self.stub.StreamMessage(request)
        seen = Seen()
        try:
            async for event in call:
                seen.events.append(msgspec.json.decode(json_codec.encode(event)))
        except grpc.aio.AioRpcError as error:
            _failed(seen, error)
        await _metadata(seen, call)
        return seen

    def circuit(self, provider: str) -> Circuit:
        """The circuit of a provider's first way."""
        return self.service.proxy.backend.upstreams[provider].endpoints[0].circuit

    def metrics(self, *families: str) -> dict[tuple[str, ...], float]:
        """The samples of counters that are not zero: name and labels in the order of their names."""
        text = self.service.metrics.exposition(None)[0].decode()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in families and sample.value
        }

    def lines(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [msgspec.json.decode(line) for line in self.log.getvalue().splitlines()]

    def pooled(self) -> tuple[int, int]:
        """Connections to providers: in use, and kept for later."""
        connectors = [each.transport._session.connector for each in self.service.proxy.backend.upstreams.values()]
        return (
            sum(len(each._acquired) for each in connectors),
            sum(kept.is_connected() for each in connectors for all_ in each._conns.values() for kept, _ in all_),
        )

    async def texts(self) -> bytes:
        """Everything that the service tells about itself."""
        texts = []
        for path in ("/health", "/status", "/metrics", "/"):
            async with self.http.get(path) as response:
                texts.append(await response.read())
        return b"".join(texts)


def _failed(seen: Seen, error: grpc.aio.AioRpcError) -> None:
    seen.failure = failure_of(error)
    seen.raw += repr(
        (error.code(), error.details(), error.debug_error_string(), error.trailing_metadata())
    ).encode()


async def _metadata(seen: Seen, call: Any) -> None:
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    seen.headers = {**dict(initial or ()), **dict(trailing or ())}
    seen.status = (await call.code()).value[0]
    seen.raw += repr((initial, trailing, seen.document, seen.events)).encode()


@dataclass(frozen=True)
class Level:
    """What a process holds: file descriptors and tasks."""

    files: int
    tasks: int


def level() -> Level:
    """What this process holds now."""
    return Level(len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks()))


@asynccontextmanager
async def serving(
    providers: Sequence[ProviderConfig],
    faultd: Faultd,
    *,
    retry: RetryConfig | None = None,
    routes: Mapping[str, RouteConfig] | None = None,
    request_timeout: float = PATIENCE,
    ca_file: str = "",
) -> AsyncIterator[Bench]:
    """A service with these providers."""
    config = Config(
        port=0,
        grpc_port=0,
        log_format="json",
        log_level="debug",
        ca_file=ca_file,
        providers=list(providers),
        routes=dict(routes or {}),
        retry=retry or RetryConfig(),
        performance=PerformanceConfig(
            request_timeout=Duration(request_timeout),
            first_byte_timeout=Duration(STREAM_SECONDS),
            silence_timeout=Duration(STREAM_SECONDS),
        ),
    )
    log = io.StringIO()
    async with AsyncExitStack() as stack:
        stack.enter_context(logs.configure(config, log))
        service = await stack.enter_async_context(running(config, {}))
        bench = Bench(service, faultd, log, await stack.enter_async_context(AsyncExitStack()))
        await bench.connect()
        yield bench


def provider(wire: Wire, url: str, name: str = "", **members: Any) -> ProviderConfig:
    """A provider's configuration."""
    api: Any = wire.api
    return ProviderConfig(
        name or wire.name, type=wire.type, api_base_url=url, api_key=Secret(KEY), api=api, **members
    )


@asynccontextmanager
async def faulty(wire: str, where: str = "", *, uncertain: bool = False, **more: Any) -> AsyncIterator[Bench]:
    """A service with one provider, of this wire, at a place."""
    async with (
        Faultd.serve(BEHAVIOURS) as faultd,
        place(where, faultd, WIRES[wire]) as there,
        serving(
            [provider(WIRES[wire], there.url)],
            faultd,
            retry=RetryConfig(uncertain=uncertain),
            ca_file=there.ca_file,
            **more,
        ) as bench,
    ):
        yield bench


@asynccontextmanager
async def with_fallback(
    fault: str, first: str = "anthropic", second: str = "openai_chat", where: str = "", **more: Any
) -> AsyncIterator[Bench]:
    """A service whose route goes to a faulty provider first, then to a good one."""
    async with Faultd.serve(BEHAVIOURS) as faultd, place(where, faultd, WIRES[first]) as there:
        providers = [provider(WIRES[first], there.url), provider(WIRES[second], faultd.url(WIRES[second]))]
        routes = {"default": RouteConfig(first, fault, fallbacks=[FallbackConfig(second, "good")])}
        async with serving(providers, faultd, routes=routes, ca_file=there.ca_file, **more) as bench:
            yield bench
