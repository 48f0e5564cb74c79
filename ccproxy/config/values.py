"""The values of a configuration that Python has no type for."""

from typing import Any

MIB = 1 << 20


class Secret:
    """A string that shows itself only to who asks by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a secret is not written down")


class Duration(float):
    """Seconds; in the file a number, or a text with a unit: `500ms`, `30s`, `5m`, `2h`."""


class Size(int):
    """Bytes; in the file a number, or a text with a unit: `512KiB`, `32MiB`, `1GiB`, `10MB`."""
