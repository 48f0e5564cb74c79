"""What reads bytes from outside, each with the failures that it may tell.

A target takes bytes of any kind. It may raise one of `ALLOWED`; whatever else leaves it is a defect.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from ccproxy_pb.v1 import proxy_pb2, status_pb2
from fuzz.bytes import cut
from grpc_health.v1 import health_pb2
from msgspec import Raw

from ccproxy import sse
from ccproxy.access import Access, Caller, Http, is_local
from ccproxy.call import Call, Target, deadline
from ccproxy.config import Config, ConfigError, KeyConfig, ProviderConfig, Secret, read
from ccproxy.documents import check_budget, decode_head, decode_request
from ccproxy.errors import ApiError, UpstreamProtocolError
from ccproxy.ids import request_id
from ccproxy.provider import Exchange, Provider, printable, retry_after
from ccproxy.providers import BY_TYPE
from ccproxy.rpc.boundary import parse
from ccproxy.rpc.services import _document

ALLOWED = (ApiError, UpstreamProtocolError, ConfigError)

Fuzzed = Callable[[bytes], None]

CORPUS = Path(__file__).parent / "corpus"

WIRES: Mapping[str, tuple[ProviderConfig, str]] = {
    "anthropic": (ProviderConfig("anthropic"), "claude-x"),
    "chat": (ProviderConfig("openai", api="chat"), "gpt-4o"),
    "responses": (ProviderConfig("openai", api="responses"), "gpt-5"),
    "gemini": (ProviderConfig("gemini"), "gemini-x"),
    "deepseek": (ProviderConfig("deepseek"), "deepseek-x"),
    "openrouter": (ProviderConfig("openrouter"), "some/model"),
    "relayed": (ProviderConfig("deepseek", api="anthropic"), "deepseek-x"),
}
"""Every wire that is translated or relayed, with a model that is asked by it."""

RELAYED = {"anthropic", "relayed"}
"""Those whose JSON is passed on as it is."""

ASK = {
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
    "tools": [{"name": "read", "input_schema": {"type": "object"}}],
    "stream": True,
}
KEY = "the-key-of-the-house"
LOCAL = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:(3456)?)?", re.IGNORECASE)
REQUESTS: tuple[Any, ...] = (
    proxy_pb2.CreateMessageRequest,
    proxy_pb2.CountTokensRequest,
    proxy_pb2.ListModelsRequest,
    proxy_pb2.GetModelRequest,
    status_pb2.GetStatusRequest,
    health_pb2.HealthCheckRequest,
)


def exchange(wire: str) -> tuple[Provider, Exchange]:
    """A request by this wire, whose answer is to be read."""
    config, model = WIRES[wire]
    provider = BY_TYPE[config.kind](config)
    call = Call(edge="http", request_id="r", body=msgspec.json.encode(ASK))
    return provider, provider.exchange(call, call.head(), Target(config.name, model, "default"))


def _cut(data: bytes) -> list[bytes]:
    """Pieces that are the same whenever the input is: what breaks must break again."""
    return cut(data, Random(data))  # noqa: S311  # for a test


def decoder(data: bytes) -> None:
    """Server-sent events: where the network cuts them does not matter."""
    whole = sse.Decoder()
    expected = [*whole.feed(data), *whole.close()]
    pieces = sse.Decoder()
    found = [event for piece in _cut(data) for event in pieces.feed(piece)]
    assert [*found, *pieces.close()] == expected


def stream(wire: str, data: bytes) -> None:
    """A provider's stream: what leaves it are whole frames of JSON, whatever comes in."""
    _, made = exchange(wire)
    reading = made.stream()
    out = b""
    try:
        for piece in _cut(data):
            reading.feed(piece)
            out += reading.take()
        reading.close()
    finally:
        out += reading.take()
        for event in sse.events(out):
            if wire not in RELAYED:
                assert msgspec.json.decode(event.data)["type"] == event.event
        assert out == b"" or out.endswith(b"\n\n")


def answer(wire: str, data: bytes) -> None:
    """A provider's whole answer, its error, its models and its count."""
    provider, made = exchange(wire)
    for status in (400, 401, 429, 500, 529):
        error = provider.error(status, {"retry-after": data.decode("latin-1")}, data)
        assert wire in RELAYED or msgspec.json.decode(error.document("r"))["type"] == "error"
    for reads in (provider.models, provider.count):
        try:
            reads(data)
        except ALLOWED:
            continue
    message = made.answer(data).body
    assert wire in RELAYED or msgspec.json.decode(message)["type"] == "message"


def document(data: bytes) -> None:
    """A caller's request, read as far as it is for any provider."""
    check_budget(data)
    head = decode_head(data)
    for wire, (config, model) in WIRES.items():
        call = Call(edge="http", request_id="r", body=data)
        try:
            BY_TYPE[config.kind](config).exchange(call, head, Target(config.name, model, "default"))
        except ApiError:
            assert wire
    decode_request(msgspec.json.encode({name: Raw(value) for name, value in head.fields.items()}))


def host(data: bytes) -> None:
    """A host's name: only three of them are this host."""
    http = Http(hosts=[data.decode("utf-8", "surrogateescape")], version=(1, 1), origin_form=True, port=3456)
    local = is_local(Caller("127.0.0.1", "127.0.0.1", {"host": http.hosts}, http))
    assert not local or LOCAL.fullmatch(data)


def headers(data: bytes) -> None:
    """Headers of a stranger: without the key there is no way in."""
    values = [part.decode("utf-8", "surrogateescape") for part in data.split(b"\n")]
    names = ("x-api-key", "authorization", "x-ccproxy-key", "origin", "retry-after", "x-ccproxy-timeout-ms")
    sent = {name: [value] for name, value in zip(names, values, strict=False)}
    deadline(sent, 0.0)
    retry_after({name: value[0] for name, value in sent.items()})
    assert printable(request_id({"x-request-id": values})).isascii()
    access = Access(Config(keys=[KeyConfig("a", key=Secret(KEY))]))
    access.without_keys(sent)
    try:
        access.check("ccproxy.v1.Proxy.CreateMessage", Caller("203.0.113.1", None, sent))
    except ApiError:
        return
    assert KEY.encode() in data


def configuration(data: bytes) -> None:
    """The operator's file."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_bytes(data)
        read(file, {}, Path(folder))


def protobuf(data: bytes) -> None:
    """A message over gRPC, up to the document that it says."""
    for kind in REQUESTS:
        try:
            message = parse(kind, data)
            if isinstance(message, proxy_pb2.CreateMessageRequest | proxy_pb2.CountTokensRequest):
                decode_head(_document(message))
        except ApiError:
            continue


TARGETS: Mapping[str, Fuzzed] = {
    "sse": decoder,
    **{f"stream-{wire}": partial(stream, wire) for wire in WIRES},
    **{f"answer-{wire}": partial(answer, wire) for wire in WIRES},
    "document": document,
    "host": host,
    "headers": headers,
    "configuration": configuration,
    "protobuf": protobuf,
}


def corpus(target: str) -> list[bytes]:
    """The inputs that are kept for a target: samples of what is right, and each that once broke it."""
    return [file.read_bytes() for file in sorted((CORPUS / target).iterdir())]
