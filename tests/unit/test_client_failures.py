"""What the HTTP client raises, told to a caller: whose failure it is, and whether another try may follow."""

import errno

import aiohttp
import pytest
from aiohttp.http_exceptions import ContentEncodingError, TransferEncodingError

from ccproxy.client_failures import failure
from ccproxy.errors import Reason


@pytest.mark.parametrize(
    "error", [e for e in vars(aiohttp).values() if isinstance(e, type) and issubclass(e, aiohttp.ClientError)]
)
def test_every_exception_of_the_client_is_a_failure_of_the_provider(error: type[aiohttp.ClientError]):
    """A new one must not reach the caller as a mistake of ours, or of its own."""
    api_error = failure(error.__new__(error), "test")

    assert api_error.status in {502, 504}
    assert api_error.provider == "test"


def test_a_body_that_cannot_be_decoded_was_not_cut_off():
    """The connection is well: what comes over it is not."""
    undecodable, cut = aiohttp.ClientPayloadError(), aiohttp.ClientPayloadError()
    undecodable.__cause__, cut.__cause__ = ContentEncodingError("gzip"), TransferEncodingError("chunk")

    assert failure(undecodable, "test").reason is Reason.UPSTREAM_INVALID_RESPONSE
    assert failure(cut, "test").reason is Reason.UPSTREAM_UNREACHABLE


def test_a_connection_that_broke_may_have_been_billed_unless_it_was_an_old_one():
    """A new one carried the request to somebody who was there."""
    assert failure(aiohttp.ServerDisconnectedError(), "test").replay == "uncertain"
    assert failure(aiohttp.ServerDisconnectedError(), "test", reused=True).replay == "safe"


def test_our_own_lack_of_files_is_nobody_elses_failure():
    """The provider's circuit must not open for it."""
    error = failure(OSError(errno.EMFILE, "too many"), "test")

    assert (error.reason, error.status, error.provider) == (Reason.OVERLOADED, 503, None)
