"""W3C trace context: what is a trace, and what is none."""

import pytest

from ccproxy.tracing import MAX_STATE_CHARS, Trace, incoming

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (PARENT, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 3),  # flags that nobody knows must not be passed on
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
        (f"fe-{TRACE}-{SPAN}-01-", 1),
    ],
)
def test_a_trace_is_read_whatever_the_version(value: str, flags: int):
    """A later version may add fields behind the four that are known; they are not ours to pass on."""
    assert incoming({"traceparent": [value]}) == Trace(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",  # the version that never will be
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"0A-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 has nothing more
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-012",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        f" {PARENT}",
        f"{PARENT}\n",
        f"{PARENT},{PARENT}",
        f"\u0660\u0660-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_trace_is_as_if_it_had_not_come(value: str):
    """Half a context would tie a request to a trace that is not its own."""
    assert incoming({"traceparent": [value], "tracestate": ["a=1"]}) is None


@pytest.mark.parametrize("headers", [{}, {"traceparent": []}, {"tracestate": ["a=1"]}])
def test_without_a_parent_there_is_no_trace(headers: dict[str, list[str]]):
    """`tracestate` alone says nothing."""
    assert incoming(headers) is None


def test_two_parents_are_none():
    """Nobody can say which one is meant."""
    assert incoming({"traceparent": [PARENT, PARENT]}) is None


LONG = "k=" + "v" * 256
LARGE = [f"large{n}={'v' * 130}" for n in range(3)]


@pytest.mark.parametrize(
    ("values", "state"),
    [
        (["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"], "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        (["a=1", "b=2, c=3"], "a=1,b=2,c=3"),  # sent in several headers, it is one list
        ([" a=1\t,\t, b=2 "], "a=1,b=2"),
        (["tenant@vendor=x,0a_-*/=y z"], "tenant@vendor=x,0a_-*/=y z"),
        ([LONG], LONG),
        ([",".join(f"k{n}=v" for n in range(32))], ",".join(f"k{n}=v" for n in range(32))),
        ([""], ""),
        ([",".join(f"k{n}=v" for n in range(33))], ""),
        ([LONG + "v"], ""),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a="], ""),
        (["=1"], ""),
        (["a=1=2"], ""),
        (["a=\x001"], ""),
        (["a=é"], ""),
        (["a=1,b c=2"], ""),
        ([f"{'k' * 257}=v"], ""),
    ],
)
def test_the_state_is_kept_as_it_is_or_not_at_all(values: list[str], state: str):
    """It belongs to others: a part of it could mean something else. The trace is known without it."""
    assert incoming({"traceparent": [PARENT], "tracestate": values}) == Trace(TRACE, SPAN, 1, state)


def test_a_state_that_is_too_long_loses_its_largest_members_first():
    """512 characters are what everybody passes on; the members at the front are the newest."""
    many = [f"k{n}={'v' * 40}" for n in range(20)]
    trace = incoming({"traceparent": [PARENT], "tracestate": [",".join([*LARGE, *many])]})

    assert trace is not None
    assert trace.state == ",".join(many[:11])
    assert len(",".join(many[:12])) > MAX_STATE_CHARS >= len(trace.state)


def test_it_is_written_as_it_was_read():
    """A provider sees the caller's own context."""
    headers = {"traceparent": PARENT, "tracestate": "a=1"}

    assert Trace(TRACE, SPAN, 1, "a=1").headers() == headers
    assert Trace(TRACE, SPAN).headers() == {"traceparent": f"00-{TRACE}-{SPAN}-00"}
