"""The Docker engine, started once for all tests that need it."""

from collections.abc import Iterator

import pytest
from deploy.engine import Engine, running


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """An engine, and the image built in it."""
    with running() as engine:
        engine.build()
        yield engine
