"""The faults of a provider, and what each must come to: the table behind the tests and `docs/reliability.md`."""

from typing import Literal

from msgspec import Struct, structs

from ccproxy.errors import Reason

Retried = Literal["never", "once", "elsewhere", "uncertain"]
"""What follows a failed attempt before the answer has begun: nothing; one more at the same provider, then the
fallbacks; the fallbacks alone; the fallbacks where `retry.uncertain` says so."""


class Outcome(Struct, frozen=True):
    """What one fault comes to.

    Attributes:
        reason: The row of the error table; None where the caller notices nothing.
        classes: How each attempt is counted in `ccproxy_upstream_requests_total`; the attempts, therefore.
        status: The HTTP status, where it is not the reason's own.
        should_retry: What `x-should-retry` says, where it is not the reason's own word.
        counts: Whether each attempt is a failure to the circuit.
        retried: What follows.
        retry_after: The advice to the caller, in seconds.
        begun: Whether the answer has begun by then: the failure is the last event of a stream with status 200.
    """

    reason: Reason | None = None
    classes: tuple[str, ...] = ("2xx",)
    status: int = 0
    should_retry: bool | None = None
    counts: bool = False
    retried: Retried = "never"
    retry_after: int | None = None
    begun: bool = False


FINE = Outcome()


class Fault(Struct, frozen=True):
    """One fault.

    Attributes:
        number: Its number in the study of faults.
        name: The behaviour of `faultd`, or the name of a place where there is none.
        says: It, for people.
        whole: What a caller gets who asked for a whole answer; None where it cannot happen there.
        stream: The same for a stream.
        place: Where the provider is, where that is not `faultd`.
        at: By wire, what differs there in both.
        waits: For what it makes us wait until we give up; nobody wants to wait long for that in a test.
    """

    number: str
    name: str
    says: str
    whole: Outcome | None
    stream: Outcome | None
    place: str = ""
    at: dict[str, Outcome] = {}
    waits: Literal["", "connection", "bytes"] = ""

    def outcome(self, wire: str, *, stream: bool) -> Outcome | None:
        """What it comes to on one wire."""
        outcome = self.stream if stream else self.whole
        return None if outcome is None else self.at.get(wire, outcome)


def _failure(reason: Reason, *classes: str, retried: Retried = "never", **more: int) -> Outcome:
    """A failure that counts."""
    made = Outcome(reason, classes, counts=True, retried=retried)
    return structs.replace(made, **more)


def _mid_stream(outcome: Outcome) -> Outcome:
    """The same once the stream has begun: nothing may follow."""
    return structs.replace(outcome, begun=True, retried="never", classes=("2xx",))


def _in_no_time(outcome: Outcome) -> Outcome:
    """The same at the end of the time for a whole answer."""
    return structs.replace(outcome, retried="never")


_GONE = "upstream_unreachable"
_NEVER_THERE = _failure(Reason.UPSTREAM_UNREACHABLE, _GONE, _GONE, retried="once")
_BROKE = _failure(Reason.UPSTREAM_UNREACHABLE, _GONE, retried="uncertain")
_CUT = _failure(Reason.UPSTREAM_UNREACHABLE, "2xx", retried="uncertain")
_SILENT = _failure(Reason.TIMEOUT, "timeout", retried="uncertain")
_STALLED = _failure(Reason.TIMEOUT, "2xx", retried="uncertain")
_NOT_HTTP = _failure(Reason.UPSTREAM_INVALID_RESPONSE, "upstream_invalid_response", retried="uncertain")
_UNUSABLE = _failure(Reason.UPSTREAM_INVALID_RESPONSE, "2xx", retried="uncertain")
_REDIRECTED = _failure(Reason.UPSTREAM_INVALID_RESPONSE, "3xx", retried="uncertain")
_OVERLOADED = _failure(Reason.OVERLOADED, "5xx", "5xx", retried="once")
_OVERLOADED_INSIDE = _failure(Reason.OVERLOADED, "2xx", "2xx", retried="once")
_FAILED = structs.replace(_failure(Reason.INTERNAL, "5xx", retried="uncertain"), should_retry=True)
_UNTRUSTED = _failure(Reason.UPSTREAM_UNREACHABLE, _GONE)
_REFUSED = Outcome(Reason.UPSTREAM_AUTHENTICATION_FAILED, ("4xx",), retried="elsewhere")
_LIMITED = Outcome(Reason.RATE_LIMITED, ("4xx",), retried="elsewhere", retry_after=30)
_BAD_REQUEST = Outcome(Reason.INVALID_REQUEST, ("4xx",))
_ENDLESS = Outcome(Reason.UPSTREAM_INVALID_RESPONSE, begun=True)

FAULTS = (
    Fault("U01", "refused", "the connection is refused", _NEVER_THERE, _NEVER_THERE, "closed"),
    Fault("U02", "unknown", "its name cannot be resolved", _NEVER_THERE, _NEVER_THERE, "unknown"),
    Fault(
        "U02", "stalled", "the resolver does not answer", _NEVER_THERE, _NEVER_THERE, "stalled", waits="connection"
    ),
    Fault("U03", "hanging", "the TLS handshake hangs", _NEVER_THERE, _NEVER_THERE, "hanging", waits="connection"),
    Fault("U03", "plain", "it does not speak TLS", _UNTRUSTED, _UNTRUSTED, "plain"),
    Fault("U03", "untrusted", "its certificate is of nobody who is trusted", _UNTRUSTED, _UNTRUSTED, "untrusted"),
    Fault("U03", "expired", "its certificate has expired", _UNTRUSTED, _UNTRUSTED, "expired"),
    Fault("U03", "misnamed", "its certificate is for another name", _UNTRUSTED, _UNTRUSTED, "misnamed"),
    Fault("U04", "full", "packets to it vanish", _NEVER_THERE, _NEVER_THERE, "full", waits="connection"),
    Fault("U05", "silent", "it takes the request and says nothing", _in_no_time(_SILENT), _SILENT, waits="bytes"),
    Fault(
        "U05",
        "silent_after_head",
        "it sends headers and then nothing",
        _in_no_time(_STALLED),
        _STALLED,
        waits="bytes",
    ),
    Fault("U06", "stall_mid_stream", "it falls silent", None, _mid_stream(_STALLED), waits="bytes"),
    Fault("U07", "fin_before_answer", "it closes the connection in place of an answer", _BROKE, _BROKE),
    Fault("U07", "reset_before_answer", "it resets the connection in place of an answer", _BROKE, _BROKE),
    Fault("U07", "fin_mid_head", "it closes in the middle of the headers", _BROKE, _BROKE),
    Fault("U07", "fin_before_content", "it closes before any content", None, _CUT),
    Fault("U07", "fin_mid_answer", "it closes in the middle of the answer", _CUT, _mid_stream(_CUT)),
    Fault("U07", "reset_mid_answer", "it resets in the middle of the answer", _CUT, _mid_stream(_CUT)),
    Fault("U08", "no_terminator", "the stream ends without its last event", None, _mid_stream(_UNUSABLE)),
    Fault("U09", "odd_events", "odd but legal server-sent events", None, FINE),
    Fault("U09", "bad_first_event", "the first event is not JSON", None, _UNUSABLE),
    Fault("U09", "bad_event", "a later event is not JSON", None, _mid_stream(_UNUSABLE)),
    Fault("U10", "bad_json", "the answer is not JSON", _UNUSABLE, None),
    Fault("U10", "cut_json", "the answer's JSON is cut", _UNUSABLE, None),
    Fault("U11", "giant_event_first", "the first event is larger than 8 MiB", None, _UNUSABLE),
    Fault("U11", "giant_event", "a later event is larger than 8 MiB", None, _mid_stream(_UNUSABLE)),
    Fault("U11", "giant_answer", "the answer is larger than 64 MiB", _UNUSABLE, None),
    Fault("U12", "one_byte_chunks", "the answer comes byte by byte", FINE, FINE),
    Fault("U13", "gzipped", "gzip, which was not asked for", FINE, FINE),
    Fault("U13", "deflated", "deflate, which was not asked for", FINE, FINE),
    Fault("U13", "gzip_bomb", "gzip that becomes a thousand times as large", _UNUSABLE, _UNUSABLE),
    Fault("U13", "unknown_encoding", "an encoding that nobody knows", _NOT_HTTP, _NOT_HTTP),
    Fault("U13", "broken_gzip", "gzip that is none", _UNUSABLE, _UNUSABLE),
    Fault("U14", "html", "a web page with status 200", _UNUSABLE, _UNUSABLE),
    Fault("U14", "html_502", "a web page with status 502", _FAILED, _FAILED),
    Fault("U14", "empty", "an empty answer", _UNUSABLE, _UNUSABLE),
    Fault("U14", "no_content", "204 without an answer", _UNUSABLE, _UNUSABLE),
    Fault("U14", "not_http", "bytes that are not HTTP", _NOT_HTTP, _NOT_HTTP),
    Fault("U15", "rate_limited", "429 with `retry-after: 30`", _LIMITED, _LIMITED),
    Fault(
        "U16",
        "overloaded_503",
        "503",
        _OVERLOADED,
        _OVERLOADED,
        at={"anthropic": structs.replace(_OVERLOADED, status=503)},
    ),
    Fault("U16", "overloaded_529", "529", _OVERLOADED, _OVERLOADED),
    Fault("U17", "failed_500", "500", _FAILED, _FAILED),
    Fault(
        "U18", "error_in_answer", "an error (overloaded) with status 200", _OVERLOADED_INSIDE, _OVERLOADED_INSIDE
    ),
    Fault("U19", "error_mid_stream", "an error event (overloaded)", None, _mid_stream(_OVERLOADED_INSIDE)),
    Fault(
        "U21",
        "drip",
        "bytes drip and never become anything",
        _in_no_time(_STALLED),
        _mid_stream(_STALLED),
        waits="bytes",
    ),
    Fault("U22", "endless", "a stream that does not end: 64 MiB", None, _ENDLESS),
    Fault("U23", "redirect", "a redirect; it is not followed", _REDIRECTED, _REDIRECTED),
    Fault("U24", "many_headers", "two hundred headers", _NOT_HTTP, _NOT_HTTP),
    Fault("U24", "long_header", "a header of 100 kB", _NOT_HTTP, _NOT_HTTP),
    Fault("U24", "informational", "100 and 103 before the answer", FINE, FINE),
    Fault("U24", "second_response", "a second answer behind the first", FINE, FINE),
    Fault("U25", "bad_request", "400", _BAD_REQUEST, _BAD_REQUEST),
    Fault("U26", "evil_headers", "headers with bytes that no header may have", FINE, FINE),
    Fault("U26", "nul_in_header", "a header with a zero byte", _NOT_HTTP, _NOT_HTTP),
    Fault("U26", "bare_cr_in_header", "a header with a bare carriage return", _NOT_HTTP, _NOT_HTTP),
    Fault("U27", "echoes_key", "an error that quotes our key", _BAD_REQUEST, _BAD_REQUEST),
    Fault("U28", "key_refused", "401: it refuses our key", _REFUSED, _REFUSED),
    Fault("U28", "key_forbidden", "403: it refuses our key", _REFUSED, _REFUSED),
)
