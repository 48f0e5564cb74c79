"""The same sentence for the same reason, whoever failed."""

import re
from typing import Any

import pytest

from ccproxy.errors import ApiError, Reason
from ccproxy.providers.failures import MAX_ERROR_BYTES, Teller, opened, too_long


def told(reason: Reason, status: int = 400, message: str = "", **members: Any) -> ApiError:
    """An error of a provider whose key is `k-1`."""
    teller = Teller("p", "k-1", re.compile(r"org-\w+"), re.compile("model (\\w+)"))
    return teller.error(reason, status, message, **{"too_long": None, "wait": None, "headers": {}, **members})


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (told(Reason.UPSTREAM_AUTHENTICATION_FAILED, 401, "k-1"), "provider p refused the configured credential"),
        (told(Reason.BILLING, 402, "no"), "provider p has no credit or quota left"),
        (told(Reason.RATE_LIMITED, 429, "slow"), "provider p limits the rate of requests: slow"),
        (told(Reason.RATE_LIMITED, 429), "provider p limits the rate of requests"),
        (told(Reason.OVERLOADED, 503, "x"), "provider p is overloaded"),
        (told(Reason.INVALID_REQUEST, message="x", too_long="prompt is too long"), "prompt is too long"),
        (told(Reason.NOT_FOUND, 404, "no model abc"), "model: abc"),
        (told(Reason.INTERNAL, 500, "at line 3"), "provider p failed (HTTP 500)"),
        (told(Reason.INVALID_REQUEST, message="top_p of org-1, k-1"), "top_p of [redacted], [redacted]"),
        (told(Reason.INVALID_REQUEST), "provider p answered HTTP 400 without a usable error"),
    ],
)
def test_a_failure_is_told_so_that_it_can_be_mended(error: ApiError, message: str):
    """And nothing of the provider's insides, nor the operator's account, with it."""
    assert error.message == message


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (told(Reason.INTERNAL, 500), True),
        (told(Reason.INTERNAL, 500, headers={"x-should-retry": "false"}), False),
        (told(Reason.RATE_LIMITED, 429, headers={"x-should-retry": "true"}), True),
        (told(Reason.BILLING, 429, headers={"x-should-retry": "true"}), False),
    ],
)
def test_the_provider_knows_best_whether_another_try_makes_sense(error: ApiError, retry: bool):  # noqa: FBT001
    """But for an empty account, where a client would only wait."""
    assert error.should_retry is retry


def test_a_wait_is_told_only_where_waiting_helps():
    """A client sleeps as long as it is told."""
    assert told(Reason.RATE_LIMITED, 429, wait=3).retry_after == 3
    assert told(Reason.INVALID_REQUEST, wait=3).retry_after is None


def test_a_prompt_that_is_too_long_is_told_in_anthropics_words():
    """Claude Code compacts the conversation when it reads them."""
    assert too_long("200,001", "200000") == "prompt is too long: 200001 tokens > 200000 maximum"
    assert too_long(None, "1") == too_long("1", None) == "prompt is too long"


@pytest.mark.parametrize("document", [b"<html>", b'"\xff"', b" " * MAX_ERROR_BYTES + b"{}"])
def test_what_is_no_error_document_is_nothing(document: bytes):
    """Proxies in between answer with pages."""
    assert opened(document) is None
