"""Hands what a cell has seen to the report of its test."""

from collections.abc import Iterator

import msgspec
import pytest
from compatibility.cells import Cell


@pytest.fixture(autouse=True)
def _reported(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    cell = request.node.callspec.params.get("cell") if hasattr(request.node, "callspec") else None
    if isinstance(cell, Cell) and cell.seen is not None:
        request.node.user_properties.append(
            (
                "cell",
                {
                    "row": msgspec.to_builtins(cell.row),
                    "column": cell.column.key,
                    "model": cell.declared.model,
                    "relayed": cell.relayed,
                    "seen": msgspec.to_builtins(cell.seen),
                },
            )
        )
