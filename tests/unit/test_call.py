"""A call, and the deadline its caller asks for."""

import pytest

from ccproxy.call import TIMEOUT_HEADER, Call, deadline
from ccproxy.errors import ApiError

NOW = 1000.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1500", 1001.5), ("0", 1000.0), ("1", 1000.001), ("0001500", 1001.5), ("86400000", 87_400.0)],
)
def test_the_header_is_a_deadline_in_milliseconds(value: str, expected: float):
    """Over gRPC there is grpc-timeout; this is the same for HTTP."""
    assert deadline({TIMEOUT_HEADER: [value]}, NOW) == expected


@pytest.mark.parametrize("value", ["86400001", "999999999999999"])
def test_a_deadline_is_a_day_at_most(value: str):
    """Whatever is asked for, a number that no timer takes must not reach one."""
    assert deadline({TIMEOUT_HEADER: [value]}, NOW) == NOW + 86_400


@pytest.mark.parametrize(
    "values",
    [[], [""], ["-1"], ["1.5"], ["1e3"], ["+5"], [" 5"], ["5s"], ["٣"], ["²"], ["1_000"], ["1", "1"], ["inf"]],
)
def test_what_is_no_number_is_no_deadline(values: list[str]):
    """A header nobody understands is not obeyed by guess."""
    assert deadline({TIMEOUT_HEADER: values}, NOW) is None


def test_thousands_of_digits_are_no_deadline():
    """Python's int() raises on them: a header must not become a 500."""
    assert deadline({TIMEOUT_HEADER: ["9" * 5000]}, NOW) is None


def test_without_the_header_there_is_none():
    """The usual case."""
    assert deadline({}, NOW) is None


def test_the_head_is_read_once():
    """Both the edge and the core look at it; the body may be 32 MiB."""
    call = Call(edge="http", request_id="req_1", body=b'{"model":"m","stream":true}')

    assert call.head() is call.head()


def test_an_unreadable_body_is_told_each_time():
    """The edge looks first and keeps quiet; the core must hear of it too."""
    call = Call(edge="http", request_id="req_1", body=b"{")
    with pytest.raises(ApiError):
        call.head()

    with pytest.raises(ApiError, match="not valid JSON"):
        call.head()
