"""What a provider is: a pure translator between the Anthropic Messages API and one upstream's wire.

A `Provider` makes one `Exchange` per attempt. The exchange holds the request to send and knows how to read what
comes back to *that* request: which tools were renamed, which model the caller asked for. Nothing here does input
or output; `upstream` does.
"""

import math
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct, structs

from ccproxy.call import Call, Target
from ccproxy.documents import Head
from ccproxy.errors import ApiError, Reason
from ccproxy.messages import Usage
from ccproxy.tracing import Trace


class UpstreamRequest(Struct, frozen=True):
    """A request to a provider.

    `url` is absolute and built from the configuration; of what a provider says it holds a cursor at most, quoted.
    `secrets` are the caller's own, where it brought its credential: the provider may quote them in an error.
    `ready` is the answer's body where it is known without asking: then nothing is sent.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    secrets: tuple[str, ...] = ()
    ready: bytes | None = None

    def traced(self, trace: Trace) -> "UpstreamRequest":
        """The same, and the trace that it belongs to."""
        return structs.replace(self, headers={**self.headers, **trace.headers()})

    def __repr__(self) -> str:
        return f"UpstreamRequest({self.method} {self.url})"  # the headers hold the key, the body a prompt


class Answer(Struct, frozen=True):
    """A whole answer: Anthropic's message as JSON text, the tokens it cost, and headers that tell more of it."""

    body: bytes
    usage: Usage = Usage()
    headers: Mapping[str, str] = {}


UNKNOWN_DATE = "1970-01-01T00:00:00Z"  # as Anthropic shows it


class Model(Struct, frozen=True):
    """A model as `/v1/models` shows it. Facts that the provider does not give are absent.

    Attributes:
        created_at: RFC 3339.
        converses: Whether it may be one for conversations; a list may name others, such as for images.
        facts: Further members of its document, such as `capabilities` and `lifecycle`, in Anthropic's form.
    """

    id: str
    display_name: str
    created_at: str = UNKNOWN_DATE
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    converses: bool = True
    facts: Mapping[str, object] = {}

    def document(self) -> dict[str, object]:
        """Anthropic's document."""
        limits = {"max_input_tokens": self.max_input_tokens, "max_tokens": self.max_tokens}
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "created_at": self.created_at,
            **{name: limit for name, limit in limits.items() if limit is not None},
            **self.facts,
        }


class ModelPage(Struct, frozen=True):
    """A page of a provider's list, and what asks for the next one; None at the end."""

    models: list[Model]
    next: UpstreamRequest | None = None


class Stream(Protocol):
    """A streamed answer on its way through.

    Attributes:
        has_content: Whether content has come. Before it, a failure can still be a real status, or another try.
        usage: The tokens known so far, cumulative.
    """

    @property
    def has_content(self) -> bool:
        """Whether the answer's content has begun, or the answer is whole without any."""
        ...

    @property
    def usage(self) -> Usage:
        """The tokens known so far."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the last event has been handed over: nothing more is to be read."""
        ...

    def feed(self, chunk: bytes) -> None:
        """Takes bytes cut anywhere. What they complete is to be had from `take`, also after a failure.

        Raises:
            ApiError: The provider reports a failure.
            UpstreamProtocolError: The bytes break the provider's protocol.
        """
        ...

    def close(self) -> None:
        """Takes note that the upstream has ended.

        Raises:
            ApiError: As `feed`.
            UpstreamProtocolError: As `feed`, and where the stream ended without its terminator.
        """
        ...

    def take(self) -> bytes:
        """Returns the whole Anthropic frames completed since the last call, ready to send."""
        ...


class Exchange(Protocol):
    """One attempt at one target.

    Attributes:
        request: What to send.
        dropped: What the target cannot say, by its path in the request.
    """

    @property
    def request(self) -> UpstreamRequest:
        """What to send."""
        ...

    @property
    def dropped(self) -> tuple[str, ...]:
        """What the target cannot say."""
        ...

    def answer(self, body: bytes) -> Answer:
        """Reads a whole answer. Raises as `Stream.feed` does."""
        ...

    def stream(self) -> Stream:
        """A reader for one streamed answer."""
        ...

    def recover(self, error: ApiError) -> "Exchange | None":
        """A changed second try after `error`, where this provider has one."""
        ...


class Provider(Protocol):
    """One upstream, by the name the operator gave it."""

    @property
    def name(self) -> str:
        """The operator's name for it."""
        ...

    def exchange(self, call: Call, head: Head, target: Target) -> Exchange:
        """Prepares one attempt. Raises ApiError where the request cannot be said at all."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means for the caller. Any bytes give an ApiError."""
        ...

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Which of an answer's headers the caller sees, in Anthropic's names."""
        ...

    def count_request(self, call: Call, head: Head, target: Target) -> UpstreamRequest | None:
        """The provider's own token count of a request; None where it has none."""
        ...

    def count(self, body: bytes) -> int:
        """Reads the answer to `count_request`: input tokens."""
        ...

    def models_request(self) -> UpstreamRequest | None:
        """Asks for the provider's models; None where it cannot be asked."""
        ...

    def models(self, body: bytes) -> ModelPage:
        """Reads the answer to `models_request`, or to the request for a later page."""
        ...


def refuse_thread(head: Head) -> None:
    """Refuses a conversation that Anthropic's server is to remember (`thread`): nobody else has the rest of it.

    The tool runners of the official SDKs open one by themselves. At this code they send the whole conversation
    again and go on without a thread; so does Claude Code. To ignore `thread` would be to answer the newest turn
    alone, without anyone noticing.

    Source: anthropic-sdk-python 2.13, `lib/threads/_thread_state.py` (read 2026-11-25)

    Raises:
        ApiError: INVALID_REQUEST, where there is a `thread`.
    """
    if bytes(head.fields.get("thread", b"null")) != b"null":
        raise ApiError(
            Reason.INVALID_REQUEST,
            "thread: this model's provider keeps no threads; send the whole conversation without `thread`",
            details={"error_code": "thread_unsupported_request"},
        )


def printable(value: str) -> str:
    """A header value safe on both edges: printable ASCII, nothing else."""
    if value.isascii() and value.isprintable():  # nearly every value there is
        return value.strip()
    return "".join(c for c in value if " " <= c <= "~").strip()


CREDENTIALS = ("x-api-key", "authorization", "x-goog-api-key")
"""Where a request to a provider has its key."""

AnyText = TypeVar("AnyText", str, bytes)


def redact(text: AnyText, secret: str | None) -> AnyText:
    """`text` without `secret`: providers quote the key they refuse."""
    if not secret:
        return text
    if isinstance(text, bytes):
        return text.replace(secret.encode(), b"[redacted]")
    return text.replace(secret, "[redacted]")


def redact_each(body: bytes, secrets: Sequence[str]) -> bytes:
    """A JSON document without any of `secrets`, also where it has to escape them."""
    for secret in secrets:
        body = redact(redact(body, secret), msgspec.json.encode(secret)[1:-1].decode())
    return body


def received(headers: Mapping[str, str], sent: Mapping[str, str]) -> dict[str, str]:
    """An answer's headers, in lower case, without the credential in the headers that were sent.

    Some of them go to the log and to the caller; a provider may quote the key in any.
    """
    secrets = [sent[name].removeprefix("Bearer ") for name in CREDENTIALS if name in sent]
    found = {name.lower(): value for name, value in headers.items()}
    said = "\n".join(found.values())
    for secret in secrets:
        if secret in said:  # which is next to never
            found = {name: redact(value, secret) for name, value in found.items()}
    return found


def unusable(provider: str, status: int) -> str:
    """Our own sentence for an answer whose body says nothing fit to pass on."""
    return f"provider {provider} answered HTTP {status} without a usable error"


MAX_RETRY_AFTER_SECONDS = 3600  # what a provider asks beyond that is no advice to a client


def retry_after(headers: Mapping[str, str]) -> int | None:
    """`retry-after` in whole seconds, 1 to an hour; None where it is absent or says nothing.

    A date is measured against the answer's own `date`, so that no clock is needed.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_between(headers.get("date", ""), value)
    if not seconds > 0:  # also refuses NaN
        return None
    return min(math.ceil(min(seconds, MAX_RETRY_AFTER_SECONDS)), MAX_RETRY_AFTER_SECONDS)


def _seconds_between(start: str, end: str) -> float:
    try:
        return (parsedate_to_datetime(end) - parsedate_to_datetime(start)).total_seconds()
    except (TypeError, ValueError, OverflowError):  # the last: a year of twenty digits
        return 0.0
