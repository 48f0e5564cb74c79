"""Plain values into the Structs of `types`, with everything told that does not fit.

Where a value does not fit, a stand-in takes its place, so that the rest can still be looked at.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, TypeVar, cast

from msgspec import NODEFAULT, Struct, inspect

from ccproxy.config import units
from ccproxy.config.problems import Problems, did_you_mean, member
from ccproxy.config.substitution import SubstitutionError, substitute
from ccproxy.config.values import Duration, Secret, Size

T = TypeVar("T", bound=Struct)

RETIRED: Mapping[str, str] = {
    "transformers": "the provider's type decides how its requests are translated",
    "message_format": "the provider's type decides how its requests are translated",
    "conditions": "a route is taken by its name alone",
    "created_at": "nothing reads it",
    "updated_at": "nothing reads it",
    "metrics_enabled": "metrics are always kept",
    "circuit_breaker_enabled": "failing providers are always spared",
    "rate_limit_enabled": "providers' own limits are passed on",
    "rate_limit_requests_per_min": "providers' own limits are passed on",
}
"""Keys of earlier configurations, and why they are not needed."""


class _Wrong:
    """What a conversion gives that found no value."""


_WRONG: Final = _Wrong()


class Shape:
    """Reads plain values. `environ` is what texts are substituted from; None leaves them as they are."""

    def __init__(self, problems: Problems, environ: Mapping[str, str] | None) -> None:
        self._problems = problems
        self._environ = environ

    def struct(self, type_: type[T], value: Any, place: str) -> T:
        """A Struct of an object; of anything else, and for what does not fit, with stand-ins."""
        return cast("T", self._struct(struct_type(type_), value, place))

    def value(self, type_: inspect.Type, value: Any, place: str, stand_in: Any) -> Any:
        """A value of a type, or the stand-in."""
        found = self._convert(type_, value, place)
        return stand_in if found is _WRONG else found

    def _convert(self, type_: inspect.Type, value: Any, place: str) -> Any:
        match type_:
            case inspect.StructType():
                return self._struct(type_, value, place)
            case inspect.ListType(item_type=of):
                return self._list(of, value, place)
            case inspect.DictType(value_type=of):
                return self._dict(of, value, place)
            case inspect.UnionType():
                return None if value is None else self._convert(not_none(type_), value, place)
            case inspect.AnyType():
                return self._anything(value, place)
            case _:
                return self._scalar(type_, value, place)

    def _scalar(self, type_: inspect.Type, value: Any, place: str) -> Any:
        match type_:
            case inspect.LiteralType(values=values):
                return self._choice(cast("tuple[str, ...]", values), value, place)
            case inspect.StrType():
                return self._text(value, place)
            case inspect.CustomType(cls=custom):
                return self._custom(custom, value, place)
            case inspect.BoolType() if not isinstance(value, bool):
                return self._wrong(place, f"expected true or false, got {kind(value)}")
            case inspect.IntType() if not isinstance(value, int) or isinstance(value, bool):
                got = "a fraction" if isinstance(value, float) else kind(value)
                return self._wrong(place, f"expected an integer, got {got}")
            case inspect.BoolType() | inspect.IntType():
                return value
            case _:
                raise TypeError(f"nobody says how {type_} is read")

    def _struct(self, type_: inspect.StructType, value: Any, place: str) -> Struct:
        known = [each.name for each in type_.fields]
        members: dict[str, Any] = {}
        meant: set[str] = set()
        if not isinstance(value, dict):
            self._problems.fail(place, f"expected an object, got {kind(value)}")
            value = {}
            meant.update(known)  # that they are missing is said by that
        for name in value:
            if name not in known and not (name == "$schema" and place == "$"):
                meant.add(self._unknown(member(place, name), name, known))
        for each in type_.fields:
            at = member(place, each.name)
            if each.name in value:
                found = self._convert(each.type, value[each.name], at)
                if found is not _WRONG:
                    members[each.name] = found
            elif each.required and each.name not in meant:
                self._problems.fail(at, "is missing")
            elif each.required:
                self._problems.void(at)
            if each.required:
                members.setdefault(each.name, "")  # all that are required are texts
        return type_.cls(**members)

    def _unknown(self, place: str, name: str, known: list[str]) -> str:
        """Tells an unknown key; the key it seems to mean."""
        near = did_you_mean(name, known)
        if name in RETIRED:
            self._problems.note(place, f"is no known key; leave it out: {RETIRED[name]}")
            return ""
        hint = f"did you mean {near}?" if near else f"known are {', '.join(known)}"
        self._problems.note(place, f"is no known key; {hint}")
        return near

    def _list(self, of: inspect.Type, value: Any, place: str) -> Any:
        if not isinstance(value, list):
            return self._wrong(place, f"expected an array, got {kind(value)}")
        return [self.value(of, each, f"{place}[{index}]", "") for index, each in enumerate(value)]

    def _dict(self, of: inspect.Type, value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(place, f"expected an object, got {kind(value)}")
        return {name: self.value(of, each, member(place, name), None) for name, each in value.items()}

    def _choice(self, values: tuple[str, ...], value: Any, place: str) -> Any:
        text = self._text(value, place)
        if text is _WRONG or text in values:
            return text
        near = did_you_mean(text, values)
        return self._wrong(
            place, f"expected one of {', '.join(values)}" + (f"; did you mean {near}?" if near else "")
        )

    def _text(self, value: Any, place: str) -> Any:
        if not isinstance(value, str):
            return self._wrong(place, f"expected a string, got {kind(value)}")
        if self._environ is None:
            return value
        try:
            return substitute(value, self._environ)
        except SubstitutionError as error:
            return self._wrong(place, str(error))

    def _custom(self, type_: type, value: Any, place: str) -> Any:
        if isinstance(value, str) or type_ is Secret:
            value = self._text(value, place)
            if value is _WRONG:
                return _WRONG
        if type_ is Secret:
            return Secret(value)
        if type_ is Duration:
            seconds = units.duration(value)
            return self._wrong(place, units.DURATION_WORDS) if seconds is None else seconds
        if type_ is Size:
            size = units.size(value)
            return self._wrong(place, units.SIZE_WORDS) if size is None else size
        raise TypeError(f"nobody says how {type_} is read")

    def _anything(self, value: Any, place: str) -> Any:
        """Any JSON value, as it is but for the variables in its texts."""
        if isinstance(value, str):
            return self.value(inspect.StrType(), value, place, None)
        if isinstance(value, list):
            return [self._anything(each, f"{place}[{index}]") for index, each in enumerate(value)]
        if isinstance(value, dict):
            return {name: self._anything(each, member(place, name)) for name, each in value.items()}
        return value

    def _wrong(self, place: str, text: str) -> _Wrong:
        self._problems.fail(place, text)
        return _WRONG


@cache
def struct_type(type_: type[Struct]) -> inspect.StructType:
    """What msgspec knows about a Struct."""
    return cast("inspect.StructType", inspect.type_info(type_))


def not_none(type_: inspect.Type) -> inspect.Type:
    """The type of an optional value; other types as they are."""
    if isinstance(type_, inspect.UnionType):
        return next(each for each in type_.types if not isinstance(each, inspect.NoneType))
    return type_


def default_of(each: inspect.Field) -> Any:
    """A member's default; None where it has none."""
    if each.default is not NODEFAULT:
        return each.default
    return each.default_factory() if callable(each.default_factory) else None


def kind(value: Any) -> Literal["null", "true or false", "a number", "a string", "an array", "an object"]:
    """What a JSON value is, never the value: it may be a secret in the wrong place."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
