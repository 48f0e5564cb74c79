"""Anthropic: a relay, so that nothing is lost.

The request is the caller's own bytes with only `model` (and the route's parameters, where the request is silent)
replaced; the answer's bytes pass as they are. Opened is what must be known: usage, the end, failures. Claude
Code's recovery reads the wording of Anthropic's errors, so these pass too, cleaned of our own key.

Source: https://platform.claude.com/docs/en/api/messages and /build-with-claude/streaming (read 2026-11-22);
Claude Code's gateway guide (llm-gateway-protocol) for what must reach Anthropic unchanged.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct, UnsetType

from ccproxy import __version__, sse
from ccproxy.call import Call, Target
from ccproxy.documents import Head, replace_members
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError, reason_for_status
from ccproxy.messages import Usage
from ccproxy.provider import (
    Answer,
    Model,
    Stream,
    UpstreamRequest,
    printable,
    redact,
    retry_after,
    unusable,
)

MAX_ERROR_BYTES = 64 << 10  # a longer body is no error document

DEFAULT_VERSION = "2023-06-01"  # where the caller names none; the API refuses a request without one

_HIDDEN_REPLY_HEADERS = frozenset({"anthropic-organization-id"})  # names the operator's account


class _Counts(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _Whole(Struct, frozen=True):
    type: str
    usage: _Counts = _Counts()


class _Started(Struct, frozen=True):
    usage: _Counts = _Counts()


class _Named(Struct, frozen=True):
    """What is read of an event: its type, and where it has them its usage and its error."""

    type: str
    message: _Started = _Started()
    usage: _Counts = _Counts()


class _Error(Struct, frozen=True):
    type: str
    message: str


class _ErrorDocument(Struct, frozen=True):
    error: _Error
    type: str = "error"
    request_id: str | None = None


class _ModelInfo(Struct, frozen=True):
    id: str
    display_name: str | None = None
    created_at: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None


class _Models(Struct, frozen=True):
    data: list[_ModelInfo]


class _Count(Struct, frozen=True):
    input_tokens: int


T = TypeVar("T")

_named = msgspec.json.Decoder(_Named)

_BLOCK = b"event: content_block_"


class Anthropic:
    """The Anthropic API, or an endpoint that speaks it."""

    def __init__(self, name: str, base_url: str, api_key: str | None) -> None:
        self.name = name
        self._url = base_url.rstrip("/").removesuffix("/v1") + "/v1"
        self._key = api_key

    def exchange(self, call: Call, head: Head, target: Target) -> "Relay":
        """Prepares one attempt; see `Provider.exchange`."""
        return Relay(self, self._post(call, head, target, "/messages"))

    def _post(self, call: Call, head: Head, target: Target, path: str) -> UpstreamRequest:
        members = {k: v for k, v in target.parameters.items() if k not in head.fields}
        if target.model != head.model:
            members["model"] = target.model
        body = replace_members(head.fields, members) if members else call.body
        query = "?beta=true" if "beta=true" in call.query.split("&") else ""
        return UpstreamRequest("POST", self._url + path + query, self._headers(call), body)

    def _headers(self, call: Call | None) -> dict[str, str]:
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"ccproxy/{__version__}",
            "anthropic-version": DEFAULT_VERSION,
        }
        if call is not None:
            headers.update(
                (name, printable(", ".join(values)))
                for name, values in call.headers.items()
                if name.startswith("anthropic-")
            )
        if self._key is not None:
            headers["x-api-key"] = self._key
        return headers

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """Anthropic's own error, word for word, unless it is about our key (decision D13)."""
        request_id = printable(headers.get("request-id", "")) or None
        return self._error(status, headers, body).by(self.name, status, request_id)

    def _error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        reason = reason_for_status(status)
        reply = self.reply_headers(headers)
        if reason is Reason.UPSTREAM_AUTHENTICATION_FAILED:
            return ApiError(reason, self._refusal(), headers=reply)
        document = self.error_document(body)
        retry = headers.get("x-should-retry")
        should_retry = None if retry is None else retry == "true"
        if should_retry is None and status >= 500:  # noqa: PLR2004  # the classes of HTTP
            should_retry = True  # as its clients would without us; a mistake of ours is another thing
        if document is None or reason is Reason.UPSTREAM_INVALID_RESPONSE:
            message = unusable(self.name, status)
            wait = retry_after(headers)
            return ApiError(reason, message, headers=reply, retry_after=wait, should_retry=should_retry)
        return ApiError(
            reason,
            redact(document.error.message, self._key),
            type=document.error.type,
            status=status,
            retry_after=retry_after(headers),
            should_retry=should_retry,
            body=redact(body, self._key),
            headers=reply,
        )

    def _refusal(self) -> str:
        return f"provider {self.name} refused the configured credential"

    def error_document(self, body: bytes) -> _ErrorDocument | None:
        """The body as Anthropic's error envelope, or None where it is something else."""
        if len(body) > MAX_ERROR_BYTES:
            return None
        try:
            return msgspec.json.decode(body, type=_ErrorDocument)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def stream_error(self, data: bytes) -> ApiError:
        """The error behind an `error` event."""
        document = self.error_document(data)
        if document is None:
            raise UpstreamProtocolError("an error event holds no error")
        reason = REASON_BY_TYPE.get(document.error.type, Reason.INTERNAL)
        if reason is Reason.UPSTREAM_AUTHENTICATION_FAILED:
            return ApiError(reason, self._refusal()).by(self.name)
        return ApiError(
            reason,
            redact(document.error.message, self._key),
            type=document.error.type,
            body=redact(data, self._key),
        ).by(self.name)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Every `anthropic-*` header but the account's; the provider's request id under our name."""
        reply = {
            k: printable(v)
            for k, v in headers.items()
            if k.startswith("anthropic-") and k not in _HIDDEN_REPLY_HEADERS
        }
        if "request-id" in headers:
            reply["x-ccproxy-upstream-request-id"] = printable(headers["request-id"])
        return reply

    def count_request(self, call: Call, head: Head, target: Target) -> UpstreamRequest:
        """Anthropic counts tokens exactly, and for nothing."""
        return self._post(
            call, head, Target(target.provider, target.model, target.route), "/messages/count_tokens"
        )

    def count(self, body: bytes) -> int:
        """Reads the answer to `count_request`."""
        return _read(body, _Count).input_tokens

    def models_request(self) -> UpstreamRequest:
        """Asks for all models in one page."""
        return UpstreamRequest("GET", self._url + "/models?limit=1000", self._headers(None))

    def models(self, body: bytes) -> list[Model]:
        """Reads the answer to `models_request`."""
        return [
            Model(
                id=info.id,
                display_name=info.display_name or info.id,
                created_at=info.created_at or "1970-01-01T00:00:00Z",
                max_input_tokens=info.max_input_tokens,
                max_tokens=info.max_tokens,
            )
            for info in _read(body, _Models).data
        ]


class Relay:
    """One attempt at an Anthropic upstream."""

    dropped: tuple[str, ...] = ()

    def __init__(self, provider: Anthropic, request: UpstreamRequest) -> None:
        self._provider = provider
        self.request = request

    def answer(self, body: bytes) -> Answer:
        """The answer as it came, once it proves to be one."""
        whole = _read(body, _Whole)
        if whole.type == "error":
            raise self._provider.stream_error(body)
        if whole.type != "message":
            raise UpstreamProtocolError("the answer is not a message")
        return Answer(body, _usage(whole.usage, Usage()))

    def stream(self) -> Stream:
        """A reader for one streamed answer."""
        return RelayStream(self._provider)

    def recover(self, error: ApiError) -> None:  # noqa: ARG002  # Anthropic needs no second way
        """None: there is no other way to say the same."""
        return


class RelayStream:
    """Frames on their way through; opened only where usage, the end or a failure may be inside."""

    def __init__(self, provider: Anthropic) -> None:
        self._provider = provider
        self._framer = sse.Framer()
        self._frames: list[bytes] = []
        self.has_content = False
        self.finished = False
        self.usage = Usage()

    def feed(self, chunk: bytes) -> None:
        """Takes bytes cut anywhere; see `Stream.feed`."""
        self._read(self._framer.feed(chunk))

    def close(self) -> None:
        """The upstream has ended; see `Stream.close`."""
        self._read(self._framer.close())
        if not self.finished:
            raise UpstreamProtocolError("the stream ended without message_stop")

    def take(self) -> bytes:
        """Returns the frames read since the last call."""
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames

    def _read(self, frames: bytes) -> None:
        if not frames or self.finished:
            return
        if self.has_content and _only_blocks(frames):
            self._frames.append(frames)
            return
        for frame in frames.split(b"\n\n"):
            if frame.startswith(_BLOCK) and not self.finished:
                self.has_content = True
                self._frames.append(frame + b"\n\n")
            elif frame:
                self._frame(frame + b"\n\n")

    def _frame(self, frame: bytes) -> None:
        event = next(sse.events(frame), None)
        if event is None:  # a comment: keeps the connection alive
            self._frames.append(frame)
            return
        if self.finished or event.data == b"[DONE]":  # OpenRouter's endpoint adds it; SDKs choke on it
            return
        self._open(event)
        self._frames.append(frame)

    def _open(self, event: sse.ServerSentEvent) -> None:
        try:
            named = _named.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamProtocolError("an event is not a JSON object with a type") from error
        match named.type:
            case "error":
                raise self._provider.stream_error(event.data)
            case "message_start":
                self.usage = _usage(named.message.usage, self.usage)
            case "message_delta":
                self.usage = _usage(named.usage, self.usage)
                self.has_content = True
            case "message_stop":
                self.has_content = True
                self.finished = True
            case _:  # ping, and whatever comes next year
                self.has_content = self.has_content or named.type.startswith("content_block_")


REASON_BY_TYPE = {
    "invalid_request_error": Reason.INVALID_REQUEST,
    "authentication_error": Reason.UPSTREAM_AUTHENTICATION_FAILED,
    "billing_error": Reason.BILLING,
    "permission_error": Reason.UPSTREAM_AUTHENTICATION_FAILED,
    "not_found_error": Reason.NOT_FOUND,
    "conflict_error": Reason.CONFLICT,
    "request_too_large": Reason.REQUEST_TOO_LARGE,
    "rate_limit_error": Reason.RATE_LIMITED,
    "timeout_error": Reason.TIMEOUT,
    "overloaded_error": Reason.OVERLOADED,
    "api_error": Reason.INTERNAL,
}
"""What an error's type means where no status says it: inside a stream."""


def _only_blocks(frames: bytes) -> bool:
    """Whether every frame is a named content block event, told without opening any.

    JSON holds no raw line end, so a name at the start of a line is a name.
    """
    return frames.startswith(_BLOCK) and frames.count(b"\n\n" + _BLOCK) + 1 == frames.count(b"\n\n")


def _usage(counts: _Counts, known: Usage) -> Usage:
    """Counts are cumulative: a new one replaces the known one, an absent one leaves it."""
    return Usage(
        input_tokens=_newer(counts.input_tokens, known.input_tokens),
        output_tokens=_newer(counts.output_tokens, known.output_tokens),
        cache_creation_input_tokens=_newer(counts.cache_creation_input_tokens, known.cache_creation_input_tokens),
        cache_read_input_tokens=_newer(counts.cache_read_input_tokens, known.cache_read_input_tokens),
    )


def _newer(count: int | None, known: int | UnsetType) -> int | UnsetType:
    return known if count is None else count


def _read(body: bytes, type: type[T]) -> T:  # noqa: A002  # msgspec's word
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamProtocolError("the answer is not what the API documents") from error
