"""Secrets planted wherever one can be, looked for wherever something comes out.

Each place has a mark of its own. A caller may see again what it has sent itself, in its own answer; nobody may see
a key, and no log, metric or page about the service may hold any of it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from abuse.wire import Wire
from ccproxy_pb.v1 import proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from integration.edges import Edge
from integration.test_logging import Log, Raises, serving, settled

from ccproxy.app import Service
from ccproxy.call import Call, Target
from ccproxy.config import ConfigError, EndpointConfig, KeyConfig, Loaded, ProviderConfig, Secret, read
from ccproxy.reload import Reloader
from ccproxy.upstream import Upstream

MARK = "planted-canary"
KEYS = [
    f"{MARK}-key-{name}-0123456789"
    for name in (
        "apikey",
        "named",
        "monitor",
        "anthropic",
        "openai",
        "gemini",
        "deepseek",
        "openrouter",
        "endpoint",
        "variable",
        "demo-variable",
    )
]
"""What the operator hides: no caller ever sees one."""

APIKEY, NAMED, MONITOR, ANTHROPIC, OPENAI, GEMINI, DEEPSEEK, OPENROUTER, ENDPOINT, VARIABLE, OTHER = KEYS


def planted(place: str) -> str:
    """A mark for a place at the caller's."""
    mark = f"{MARK}-{place}-x"
    PLACES.add(mark)
    return mark


PLACES: set[str] = set()

DOCUMENT: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 50,
    "system": [{"type": "text", "text": planted("system")}],
    "metadata": {"user_id": planted("user")},
    "stop_sequences": [planted("stop")],
    "tools": [
        {
            "name": planted("tool"),
            "description": planted("description"),
            "input_schema": {"type": "object", "properties": {planted("property"): {"type": "string"}}},
        }
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": planted("prompt")}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": planted("thinking"), "signature": planted("signature")},
                {
                    "type": "tool_use",
                    "id": planted("call"),
                    "name": planted("tool"),
                    "input": {"a": planted("input")},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": planted("call"), "content": planted("result")},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": planted("image")},
                },
                {"type": "document", "source": {"type": "url", "url": f"http://127.0.0.1:9/{planted('url')}"}},
            ],
        },
    ],
    "unknown_member": planted("value"),
}
HEADERS = {
    "authorization": f"Bearer {planted('bearer')}",
    "cookie": planted("cookie"),
    "user-agent": planted("agent"),
    "referer": f"http://x/?key={planted('referer')}",
    "origin": f"http://{planted('origin')}",
    "anthropic-beta": planted("beta"),
    "anthropic-version": planted("version"),
    "x-anything": planted("header"),
    "x_under_score": planted("underscore"),
    "x-forwarded-for": planted("forwarded"),
    "x-request-id": f"{planted('id')} with a blank",
    "x-ccproxy-timeout-ms": planted("timeout"),
    "x-claude-code-session-id": planted("session"),
}
WRONG = (
    {"x-api-key": planted("wrong-api-key")},
    {"authorization": f"Bearer {planted('wrong-bearer')}"},
    {"authorization": f"Basic {planted('wrong-basic')}"},
    {"x-ccproxy-key": planted("wrong-own-key")},
)
POST = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {NAMED}\r\n"
RAW = (
    f"{planted('line')}\r\n\r\n",
    f"GET /{planted('path')}?key={planted('query')} HTTP/1.1\r\nhost: localhost\r\n\r\n",
    f"GET / HTTP/1.1\r\nhost: {planted('host')}\r\nexpect: {planted('expect')}\r\n\r\n",
    f"GET / HTTP/1.1\r\nhost: localhost\r\nx-api-key: {planted('nul')}\0\r\n\r\n",
    f"GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-api-key: {NAMED}\r\naccept: {planted('accept')}\r\n\r\n",
    f"{POST}content-type: {planted('type')}\r\ncontent-length: 2\r\n\r\n{{}}",
    f"{POST}content-encoding: {planted('encoding')}\r\ncontent-length: 2\r\n\r\n{{}}",
    f"{POST}transfer-encoding: chunked\r\n\r\n5;{planted('extension')}\r\nhello\r\n{planted('chunk')}\r\n",
)
ECHOED = [planted(f"echo-{place}") for place in ("reason", "header", "type", "code", "garbage", "exception")]
ECHO_REASON, ECHO_HEADER, ECHO_TYPE, ECHO_CODE, ECHO_GARBAGE, EXCEPTION = ECHOED
MODELS = ("anthropic,m", "openai,gpt-4o", "openai,gpt-5", "gemini,m", "deepseek,m", "openrouter,m", "relay,m")
WAYS = ("500", "401", "429", "302", "garbage", "nonsense", "stream", "cut")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that quotes all it was sent, keys included, in each way there is. Its number turns the ways."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")]
        body = await reader.readexactly(lengths[0] if lengths else 0)
        way = next((way for way in WAYS if f"way-{way}".encode() in body), "500")
        shown = next((key for key in KEYS if key.encode() in head), "req-1")
        quoted = msgspec.json.encode(f"{head.decode('latin-1')} {body.decode()}")
        error = b'{"type":"error","error":{"type":"%s","code":"%s","message":%s}}' % (
            ECHO_TYPE.encode(),
            ECHO_CODE.encode(),
            quoted,
        )
        kind = b"application/json"
        if way == "garbage":
            writer.write(f"{ECHO_GARBAGE} {' '.join(KEYS)}\r\n\r\n".encode())
        else:
            status = way if way.isdigit() else "200"
            answer = quoted if way == "nonsense" else error
            if way in {"stream", "cut"}:
                kind = b"text/event-stream"
                answer = b"event: error\ndata: " + error + b"\n\n" if way == "stream" else b"data: " + error
            writer.write(
                f"HTTP/1.1 {status} {ECHO_REASON}\r\nrequest-id: {shown}\r\nset-cookie: {ECHO_HEADER}\r\n"
                f"location: http://127.0.0.1:9/{ECHO_HEADER}\r\nretry-after: {ECHO_HEADER}\r\n".encode()
                + b"content-type: %s\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (kind, len(answer))
                + answer
            )
        await writer.drain()
    writer.close()


@asynccontextmanager
async def hiding(log: Log) -> AsyncIterator[tuple[Service, dict[str, Edge]]]:
    """A service with something to hide everywhere, whose providers quote it."""
    upstream = await asyncio.start_server(echo, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
    own = {
        "anthropic": ANTHROPIC,
        "openai": OPENAI,
        "gemini": GEMINI,
        "deepseek": DEEPSEEK,
        "openrouter": OPENROUTER,
    }
    providers = [ProviderConfig(name, api_base_url=url, api_key=Secret(key)) for name, key in own.items()]
    providers[0] = msgspec.structs.replace(
        providers[0], endpoints=[EndpointConfig(api_base_url=f"{url}/b", api_key=Secret(ENDPOINT))]
    )
    relay = ProviderConfig("relay", type="deepseek", api="anthropic", api_base_url=url, api_key=Secret(DEEPSEEK))
    keys = [KeyConfig("named", key=Secret(NAMED)), KeyConfig("watch", scope="monitor", key=Secret(MONITOR))]
    config = {"providers": [*providers, relay], "apikey": Secret(APIKEY), "keys": keys, "log_level": "debug"}
    async with upstream, serving(log, **config) as served:
        yield served


def asked(model: str, way: str) -> dict[str, Any]:
    """The document, for a model and a way to fail."""
    turn = {"role": "user", "content": f"way-{way}"}
    return {**DOCUMENT, "model": model, "messages": [*DOCUMENT["messages"], turn]}


async def provoke(service: Service, edges: dict[str, Edge], way: str) -> list[str]:
    """Asks every provider, which then fails in this way; then knocks where it may not. What callers were told."""
    told = []
    http = edges["http"].client
    for model in MODELS:
        document = asked(model, way)
        for stream in (False, True):
            body = {**document, "stream": stream}
            path = f"/v1/messages?key={planted('query')}"
            response = await http.post(path, json=body, headers={**HEADERS, "x-api-key": NAMED})
            told.append(f"{response.headers} {response.text}")
        metadata = {name: value for name, value in HEADERS.items() if name != "user-agent"}
        told.append(f"{await edges['grpc'].stream(document, {**metadata, 'x-api-key': NAMED})}")
    for headers in WRONG:
        told.append((await edges["http"].client.post("/v1/messages", json=DOCUMENT, headers=headers)).text)
        told.append(f"{await edges['grpc'].create({'model': 'm', 'max_tokens': 1, 'messages': []}, headers)}")
    for data in RAW:
        wire = await Wire.open(service.http_port)
        await wire.send(data.encode())
        with contextlib.suppress(TimeoutError):
            await wire.end(0.2)
        told.append(wire.received.decode("latin-1"))
        await wire.close()
    return told


async def provoke_mistakes(service: Service, edges: dict[str, Edge], home: Path) -> list[str]:
    """Makes mistakes of ours: exceptions that quote, and a configuration that is not one."""
    told = []
    upstreams = dict(service.proxy.backend.upstreams)
    upstreams["anthropic"] = Upstream(upstreams["anthropic"].provider, Raises())
    service.proxy.backend.upstreams = upstreams
    document = {**DOCUMENT, "model": "anthropic,m"}
    response = await edges["http"].client.post("/v1/messages", json=document, headers={"x-api-key": NAMED})
    told.append(f"{response.headers} {response.text}")

    def die() -> None:
        raise ValueError(EXCEPTION)

    asyncio.get_running_loop().call_soon(die)
    logging.getLogger("a.library").error("failed for %s", EXCEPTION, exc_info=ValueError(EXCEPTION))
    file = home / "config.json"
    secret = planted("file")
    file.write_text(
        msgspec.json.encode(
            {"apikey": f" {secret}", "port": secret, "providers": [{"name": "openai", "api_key": f"{secret}${{"}]}
        ).decode()
    )

    def load() -> Loaded:
        return read(file, {"CCPROXY_LOG": planted("environment")}, home)

    await Reloader(load, Loaded(service.config, file, found=True), service.reload, service.reload_failed).reload()
    with pytest.raises(ConfigError) as raised:
        load()
    told.append(f"{raised.value} {raised.value!r}")
    return told


async def pages(edges: dict[str, Edge]) -> dict[str, str]:
    """All that the service says about itself, over both edges."""
    found = {}
    for path in ("/", "/health", "/status", "/metrics", "/openapi.json", "/v1/models"):
        response = await edges["http"].client.get(path, headers={"x-api-key": NAMED})
        assert response.status_code == 200
        found[path] = f"{response.headers} {response.text}"
    metadata = (("x-api-key", NAMED),)
    channel = edges["grpc"].channel
    status = status_pb2_grpc.StatusStub(channel)
    found["GetStatus"] = str(await status.GetStatus(status_pb2.GetStatusRequest(), metadata=metadata))
    found["GetHealth"] = str(await status.GetHealth(status_pb2.GetHealthRequest(), metadata=metadata))
    health = health_pb2_grpc.HealthStub(channel)
    found["List"] = str(await health.List(health_pb2.HealthListRequest(), metadata=metadata))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await channel.unary_unary(f"/{planted('method')}/{planted('rpc')}")(b"", metadata=metadata)
    found["unknown method"] = f"{raised.value}"
    proxy = proxy_pb2_grpc.ProxyStub(channel)
    extra = proxy_pb2.CreateMessageRequest(model="m", extra_json=planted("extra"))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await proxy.CreateMessage(extra, metadata=metadata)
    found["bad extra"] = f"{raised.value}"
    return found


def representations(service: Service) -> dict[str, str]:
    """What a debugger, or a traceback with locals, would print."""
    upstream = service.proxy.backend.upstreams["openai"]
    call = Call(edge="http", request_id="r", body=msgspec.json.encode(DOCUMENT))
    request = upstream.provider.exchange(call, call.head(), Target("openai", "gpt-4o", "default")).request
    return {
        "repr(config)": f"{service.config!r} {service.config}",
        "repr(request)": f"{request!r} {request}",
        "repr(provider)": f"{upstream.provider!r} {upstream!r}",
        "repr(service)": f"{service!r} {service._access!r} {service.status!r}",
    }


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_planted_comes_out(tmp_path: Path, capfd: pytest.CaptureFixture[str], way: str):
    """More than forty places, more than ten ways out, whatever a provider does with what it gets."""
    log = Log()
    async with hiding(log) as (service, edges):
        told = await provoke(service, edges, way)
        told += await provoke_mistakes(service, edges, tmp_path)
        await settled(service)
        out = {**await pages(edges), **representations(service)}
    captured = capfd.readouterr()
    out |= {"log": log.stream.getvalue(), "stdout": captured.out, "stderr": captured.err}

    assert len(PLACES) + len(KEYS) >= 40
    assert len(out) >= 10
    assert len(log.requests) >= 3 * len(MODELS)
    assert {name: _found(text) for name, text in out.items() if MARK in text} == {}
    assert [key for key in KEYS if any(key in text for text in told)] == []


def _found(text: str) -> str:
    at = text.index(MARK)
    return text[max(0, at - 100) : at + 60]
