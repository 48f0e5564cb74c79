"""Request ids: the caller's own where it is fit, else a fresh one."""

import re

import pytest

from ccproxy.ids import new_request_id, request_id

FRESH = re.compile(r"req_[0-9a-f]{24}")


def test_a_fresh_id_looks_like_anthropics():
    """Clients log it, people paste it into issues."""
    assert FRESH.fullmatch(new_request_id())


def test_fresh_ids_differ():
    """One id, one request."""
    assert len({new_request_id() for _ in range(1000)}) == 1000


@pytest.mark.parametrize("own", ["a", "req_0123", "A-b.c_9", "x" * 128, "550e8400-e29b-41d4-a716-446655440000"])
def test_the_callers_own_id_is_kept(own: str):
    """It joins the caller's log with ours."""
    assert request_id({"x-request-id": [own]}) == own


@pytest.mark.parametrize(
    "values",
    [[], [""], ["x" * 129], ["a b"], ["a\nb"], ["a\n"], ["a\r\nx: y"], ["é"], ["<script>"], ["a", "b"], ["%s"]],
)
def test_what_is_not_fit_is_replaced(values: list[str]):
    """The id goes into headers, trailers and logs as it is."""
    assert FRESH.fullmatch(request_id({"x-request-id": values}))


def test_without_an_own_id_it_is_fresh():
    """Every answer has one."""
    assert FRESH.fullmatch(request_id({}))
