"""What all providers share: safe header values, secrets out of texts, retry advice."""

import pytest
from msgspec import Raw

from ccproxy.documents import Head
from ccproxy.errors import ApiError
from ccproxy.provider import UpstreamRequest, printable, received, redact, refuse_thread, retry_after, unusable


@pytest.mark.parametrize(
    ("value", "safe"),
    [("plain", "plain"), (" a\r\nset-cookie: x", "aset-cookie: x"), ("é\x00\x1b[0m~", "[0m~"), ("\ud83d", "")],
)
def test_header_values_are_printable_ascii(value: str, safe: str):
    """Anything else fails a whole gRPC call, or splits an HTTP answer."""
    assert printable(value) == safe


def test_a_secret_is_replaced_in_text_and_bytes():
    """Providers quote the key they refuse, in messages and in bodies."""
    assert redact("key sk-1 is bad", "sk-1") == "key [redacted] is bad"
    assert redact(b"key sk-1 is bad", "sk-1") == b"key [redacted] is bad"


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nothing_changes(secret: str | None):
    """An empty secret would be found everywhere."""
    assert redact("text", secret) == "text"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0.2", 1),
        ("1e9", 3600),
        ("inf", 3600),
        ("0", None),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Wed, 25 Nov 2026 10:00:30 GMT", 30),
        ("Wed, 25 Nov 2026 09:00:00 GMT", None),
        ("Wed, 99 Nov 2026 09:00:00 GMT", None),
        ("Wed, 25 Nov 99999999999999999999 09:00:00 GMT", None),
    ],
)
def test_retry_advice_is_whole_seconds_up_to_an_hour(value: str, seconds: int | None):
    """Clients read an integer; a date is measured against the answer's own date, so that no clock is needed."""
    headers = {"retry-after": value, "date": "Wed, 25 Nov 2026 10:00:00 GMT"}

    assert retry_after(headers) == seconds


def test_no_advice_stays_no_advice():
    """A made-up number would make clients wait for nothing."""
    assert retry_after({}) is None


def test_a_date_without_the_answers_own_date_says_nothing():
    """Two clocks cannot be compared."""
    assert retry_after({"retry-after": "Wed, 25 Nov 2026 10:00:30 GMT"}) is None


def test_dates_with_and_without_a_zone_cannot_be_compared():
    """Python raises a TypeError for them, which is no answer for a caller."""
    headers = {"retry-after": "Wed, 25 Nov 2026 10:00:30 GMT", "date": "Wed, 25 Nov 2026 10:00:00 -0000"}

    assert retry_after(headers) is None


def test_an_unusable_error_names_provider_and_status_only():
    """Pages of HTML from gateways in between are no text for a caller."""
    assert unusable("openai", 502) == "provider openai answered HTTP 502 without a usable error"


def test_a_request_shows_neither_its_key_nor_its_prompt():
    """A repr ends up in logs and tracebacks."""
    shown = repr(UpstreamRequest("POST", "https://h.example/v1", {"x-api-key": "sk-1"}, b"a prompt"))

    assert shown == "UpstreamRequest(POST https://h.example/v1)"


@pytest.mark.parametrize("fields", [{}, {"thread": Raw(b"null")}])
def test_a_conversation_without_a_thread_is_translated(fields: dict[str, Raw]):
    """Nothing of it is anywhere else."""
    refuse_thread(Head("m", stream=False, fields=fields))


def test_a_thread_is_refused_with_the_code_that_makes_sdks_send_everything():
    """Dropped in silence, the model would answer the newest turn alone."""
    with pytest.raises(ApiError) as caught:
        refuse_thread(Head("m", stream=False, fields={"thread": Raw(b'{"type":"create"}')}))

    assert caught.value.status == 400
    assert caught.value.details == {"error_code": "thread_unsupported_request"}
    assert b'"details":{"error_code":"thread_unsupported_request"}' in caught.value.document("r")


@pytest.mark.parametrize(
    "sent", [{"x-api-key": "key-1"}, {"authorization": "Bearer key-1"}, {"x-goog-api-key": "key-1"}, {}]
)
def test_a_key_that_a_provider_quotes_in_a_header_goes_no_further(sent: dict[str, str]):
    """Its request id, for one, is logged and told to the caller."""
    quoted = received({"Request-Id": "req key-1", "Date": "today"}, sent)

    assert quoted == {"request-id": "req [redacted]" if sent else "req key-1", "date": "today"}
