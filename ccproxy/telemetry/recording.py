"""The spans of requests and of their attempts at providers, by the semantic conventions for HTTP, RPC and GenAI.

    POST /v1/messages                      SERVER: one for each request for messages, tokens or models
      chat claude-opus-5-5                 CLIENT: one for each attempt

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (read 2026-11-25)
"""

import math
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, Struct
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ccproxy import sse
from ccproxy.documents import Head
from ccproxy.errors import ApiError
from ccproxy.messages import Usage
from ccproxy.metrics.series import Names
from ccproxy.provider import printable
from ccproxy.spans import Streamed
from ccproxy.telemetry.numbers import Attributes, Numbers, Tokens
from ccproxy.tracing import Trace

PROVIDER_NAMES = {"gemini": "gcp.gemini"}
"""Types of providers that the conventions call otherwise."""

MAX_MODELS = 100  # distinct models in the metrics: callers choose the names
MAX_TEXT = 200  # characters of what a caller or a provider chose

GIVEN_UP = "cancelled"
_SERVERS_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNIMPLEMENTED"}
)
_KNOWN_FLAGS = 0b11


class Recorder:
    """Begins spans. `Telemetry` as the edges know it."""

    def __init__(
        self, tracer: otel.Tracer, meter: Meter, type_of: Callable[[str], str], *, newest: bool = False
    ) -> None:
        self.tracer = tracer
        self.numbers = Numbers(meter, newest=newest)
        self.models = Names(MAX_MODELS)
        self.type_of = type_of
        self.cache_written = "cache_write" if newest else "cache_creation"

    def http(self, method: str, route: str, request_id: str, parent: Trace | None) -> "ServerSpan":
        """A request over HTTP; see `Telemetry.http`."""
        known: Attributes = {"http.request.method": method, "http.route": route}
        return ServerSpan(self, f"{method} {route}", request_id, parent, known)

    def rpc(self, service: str, method: str, request_id: str, parent: Trace | None) -> "ServerSpan":
        """A request over gRPC; see `Telemetry.rpc`."""
        name = f"{service}/{method}"
        return ServerSpan(self, name, request_id, parent, {"rpc.system.name": "grpc", "rpc.method": name})


class ServerSpan:
    """One request of a caller; see `spans.RequestSpan`."""

    def __init__(
        self, recorder: Recorder, name: str, request_id: str, parent: Trace | None, known: Attributes
    ) -> None:
        self.recorder = recorder
        self._state = "" if parent is None else parent.state
        self.span = recorder.tracer.start_span(
            name,
            _context(parent),
            SpanKind.SERVER,
            {**known, "ccproxy.request_id": request_id},
        )
        self.started = time.monotonic()
        self.trace = self.place(self.span)
        self.answering: ClientSpan | None = None
        self._error = ""

    def place(self, span: Span) -> Trace:
        """Where a span of this request is in the trace."""
        context = span.get_span_context()
        flags = int(context.trace_flags) & _KNOWN_FLAGS
        return Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", flags, self._state)

    def attempt(self, provider: str, model: str, url: str, head: Head, *, number: int) -> "ClientSpan":
        """An attempt begins; see `RequestSpan.attempt`."""
        self.answering = ClientSpan(self, provider, model, url, head, number)
        return self.answering

    def failed(self, error: ApiError) -> None:
        """It failed, perhaps behind an answer that had begun."""
        self._error = error.reason.lower()

    def end(self, code: int | str | None) -> None:
        """It is answered; see `RequestSpan.end`."""
        fault = bool(self._error)
        if code is None:
            self._error = GIVEN_UP
        elif isinstance(code, int):
            self.span.set_attribute("http.response.status_code", code)
            # A caller's mistake is none of the server's; a stream that broke is, whatever its status had been.
            fault = code >= HTTPStatus.INTERNAL_SERVER_ERROR or (fault and code == HTTPStatus.OK)
            self._error = self._error or (str(code) if code >= HTTPStatus.BAD_REQUEST else "")
        else:
            self.span.set_attribute("rpc.response.status_code", code)
            fault = code in _SERVERS_FAULTS
            self._error = self._error or ("" if code == "OK" else code)
        if self._error:
            self.span.set_attribute("error.type", self._error)
        if fault and code is not None:
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()
        if self.answering is not None:
            self._count(self.answering)

    def _count(self, last: "ClientSpan") -> None:
        numbers, now = self.recorder.numbers, time.monotonic()
        attributes = last.attributes(self._error)
        numbers.served.record(now - self.started, attributes)
        if last.first_at is not None:
            numbers.first_token.record(last.first_at - self.started, attributes)
            if (last.tokens.output or 0) > 1 and not self._error:
                pace = (now - last.first_at) / ((last.tokens.output or 0) - 1)
                numbers.output_token.record(pace, attributes)


class ClientSpan:
    """One attempt at a provider; see `spans.AttemptSpan`."""

    def __init__(  # what an attempt is
        self, request: ServerSpan, provider: str, model: str, url: str, head: Head, number: int
    ) -> None:
        self._request = request
        self._recorder = recorder = request.recorder
        model = printable(model)[:MAX_TEXT]
        type_ = recorder.type_of(provider)
        address = urlsplit(url)
        self._known: Attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": PROVIDER_NAMES.get(type_, type_),
            "gen_ai.request.model": model,
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
        }
        self._span = recorder.tracer.start_span(
            f"chat {model}",
            otel.set_span_in_context(request.span, Context()),
            SpanKind.CLIENT,
            {**self._known, "ccproxy.provider": provider, "ccproxy.attempt": number},
        )
        if self._span.is_recording():
            self._span.set_attributes(_asked(head))
        self.started = time.monotonic()
        self.trace = request.place(self._span)
        self.first_at: float | None = None
        self.tokens = Tokens()
        self._stream: Streamed | None = None
        self._last_at = 0.0
        self._known_chunk = self._known  # what its pieces are told apart by, made once
        self._said = _Said()
        self._outcome = GIVEN_UP  # until something else is said; empty for success

    def answered(self, body: bytes, usage: Usage) -> None:
        """It was answered with a whole message."""
        self._outcome = ""
        self._request.answering = self
        self._heard(body)
        self.tokens = _tokens(usage)

    def follow(self, stream: Streamed) -> Callable[[bytes], None]:
        """It is answered with a stream; see `AttemptSpan.follow`."""
        self._stream = stream
        return self._frames

    def completed(self) -> None:
        """The stream came to its end."""
        self._outcome = ""

    def failed(self, error: ApiError) -> None:
        """It failed."""
        self._outcome = error.reason.lower()

    def end(self) -> None:
        """Nothing more comes."""
        if self._stream is not None:
            self.tokens = _tokens(self._stream.usage)
        seconds = time.monotonic() - self.started
        span, numbers = self._span, self._recorder.numbers
        if span.is_recording():
            span.set_attributes(self._said.attributes())
            span.set_attributes(self._usage())
            if self.first_at is not None:
                span.set_attribute("gen_ai.response.time_to_first_chunk", self.first_at - self.started)
            if self._outcome:
                span.set_attribute("error.type", self._outcome)
            if self._outcome not in {"", GIVEN_UP}:
                span.set_status(Status(StatusCode.ERROR))
        span.end()
        attributes = self.attributes(self._outcome)
        numbers.duration.record(seconds, attributes)
        numbers.tokens(self.tokens, attributes)
        if self.first_at is not None:
            numbers.first_chunk.record(self.first_at - self.started, attributes)

    def attributes(self, error: str) -> Attributes:
        """What numbers about it are told apart by."""
        label = self._recorder.models.label
        attributes = {**self._known, "gen_ai.request.model": label(str(self._known["gen_ai.request.model"]))}
        if self._said.model:
            attributes["gen_ai.response.model"] = label(self._said.model)
        if error:
            attributes["error.type"] = error
        return attributes

    def _frames(self, frames: bytes) -> None:
        """A piece of the stream passes by."""
        now = time.monotonic()
        if self.first_at is not None:
            self._recorder.numbers.output_chunk.record(now - self._last_at, self._known_chunk)
        elif b"content_block_start" in frames:
            self.first_at = now
            self._request.answering = self
        self._last_at = now
        if b"message_start" in frames or b"message_delta" in frames:
            for event in sse.events(frames):
                if event.event in {"message_start", "message_delta"}:
                    self._heard(event.data)
            self._known_chunk = self.attributes("")

    def _heard(self, document: bytes) -> None:
        try:
            self._said = self._said.then(msgspec.json.decode(document, type=_Document))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # a relay passes on what we cannot read

    def _usage(self) -> Attributes:
        known = {f"gen_ai.usage.{name}": count for name, count in self.tokens.known().items()}
        written = known.pop("gen_ai.usage.cache_write.input_tokens", None)
        if written is not None:
            known[f"gen_ai.usage.{self._recorder.cache_written}.input_tokens"] = written
        return {**known}


class _Reply(Struct, frozen=True):
    """What is read of a message; never its content."""

    id: str = ""
    model: str = ""
    stop_reason: str | None = None


class _Document(_Reply, frozen=True):
    """A whole message, or the event that begins or ends one."""

    message: _Reply | None = None
    delta: _Reply | None = None


class _Said(Struct, frozen=True):
    """What a provider said of its answer so far."""

    id: str = ""
    model: str = ""
    stop_reason: str = ""

    def then(self, document: _Document) -> "_Said":
        """And what it says further."""
        parts = [part for part in (document, document.message, document.delta) if part is not None]
        id_ = next((part.id for part in parts if part.id), self.id)
        model = next((part.model for part in parts if part.model), self.model)
        reason = next((part.stop_reason for part in parts if part.stop_reason), self.stop_reason)
        return _Said(*(printable(text)[:MAX_TEXT] for text in (id_, model, reason)))

    def attributes(self) -> dict[str, str | list[str]]:
        """By their names in the conventions."""
        found: dict[str, str | list[str]] = {"gen_ai.response.id": self.id, "gen_ai.response.model": self.model}
        if self.stop_reason:
            found["gen_ai.response.finish_reasons"] = [self.stop_reason]
        return {name: value for name, value in found.items() if value}


def _context(parent: Trace | None) -> Context:
    """The context of a caller's span; an empty one is a root."""
    if parent is None:
        return Context()
    flags = TraceFlags(parent.flags)
    remote = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return otel.set_span_in_context(NonRecordingSpan(remote), Context())


def _asked(head: Head) -> dict[str, bool | int | float]:
    """What the request says of how it is to be answered."""
    found: dict[str, bool | int | float] = {"gen_ai.request.stream": True} if head.stream else {}
    for name, type_ in (("max_tokens", int), ("temperature", float)):
        number = _number(head.fields.get(name), type_)
        if number is not None:
            found[f"gen_ai.request.{name}"] = number
    return found


def _number(raw: Raw | None, type_: type[int] | type[float]) -> int | float | None:
    if raw is None:
        return None
    try:
        number = msgspec.json.decode(raw, type=type_)
    except msgspec.DecodeError:
        return None
    return number if math.isfinite(number) and abs(number) < 2**63 else None


def _tokens(usage: Usage) -> Tokens:
    """Tokens as the conventions count them: their input is all of it."""
    parts = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
    known = [part for part in parts if part is not UNSET]
    details = usage.output_tokens_details
    return Tokens(
        input=sum(known) if known else None,
        output=_count(usage.output_tokens),
        cache_read=_count(usage.cache_read_input_tokens),
        cache_write=_count(usage.cache_creation_input_tokens),
        reasoning=None if details is UNSET else details.get("thinking_tokens"),
    )


def _count(tokens: int | msgspec.UnsetType) -> int | None:
    return None if tokens is UNSET else tokens
