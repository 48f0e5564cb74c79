"""As many connections as the process may have files."""

import resource
from collections.abc import Iterator

import pytest

from ccproxy.config import ConnectionsConfig
from ccproxy.descriptors import most_connections, raise_limit


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The limits for this test alone: the soft and the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_few_files_are_few_connections(limits: tuple[int, int]):
    """A call needs a second one for its provider, and a fifth stays for everything else."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, limits[1]))

    assert most_connections(ConnectionsConfig(max_total=10_000)) == 400


def test_with_enough_files_the_operator_decides(limits: tuple[int, int]):
    """The limit is a limit, not a wish."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, limits[1]))

    assert most_connections(ConnectionsConfig(max_total=10)) == 10


def test_there_is_always_one(limits: tuple[int, int]):
    """Else nobody could ask what is wrong."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    most = most_connections(ConnectionsConfig())
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert most == 1


def test_all_that_is_allowed_is_taken(limits: tuple[int, int]):
    """The soft limit is a habit of shells, not a decision."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, limits[1]))
    raise_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits[1]


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_what_cannot_be_raised_stays(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], error: type[Exception]
):
    """macOS says that there is no limit, and refuses to have none."""

    def refuse(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(resource, "setrlimit", refuse)
        raise_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
