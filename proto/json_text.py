"""JSON text to the fields of protobuf messages and back: the part of the codec that needs no schema.

`json_codec`, made from the schema, holds the rest. The rules are those of proto/ccproxy/v1/content.proto:
what no field holds exactly stays JSON text, so nothing is lost. JSON is never decoded further than the
schema asks; a value that stays text is checked for syntax without being built.
"""

from collections.abc import Callable, Mapping, Sized
from math import isfinite
from typing import Any, Final, TypeVar

from ccproxy_pb.v1.json_values import too_many_values
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder, Encoder

Path = tuple[str | int, ...]
"""Where a value is: names of members and indexes, from the document's root."""
Fields = dict[str, Any]
"""Arguments of a protobuf message's constructor."""
Reader = Callable[[Raw, int], Any]
"""Turns a JSON value, inside so many levels of unions, into a field's value.

It raises ValidationError where the field cannot hold the value exactly.
"""
Table = Mapping[str, tuple[str, Reader]]
"""The members of a JSON object: name to field and reader."""
Document = dict[str, object]
"""A JSON object about to be encoded."""

INT32: Final = range(-(2**31), 2**31)
EXACT: Final = range(-(2**53), 2**53 + 1)  # The integers that a double and its neighbours tell apart.
DEEPEST_UNION: Final = 16  # Protobuf readers refuse 100 nested messages; a level of blocks is four of them.
TOO_DEEP: Final = "nests too deeply"
TOO_MANY: Final = "holds too many values"
MAX_VALUES: Final = 250_000  # More than any API takes; 0.3 s to build.

_RAW: Final = Decoder(Raw)
_MEMBERS: Final = Decoder(dict[str, Raw])
_ELEMENTS: Final = Decoder(list[Raw])
_STRING: Final = Decoder(str)
_STRINGS: Final = Decoder(list[str])
_STRING_OR_ELEMENTS: Final = Decoder(str | list[Raw])
_BOOL: Final = Decoder(bool)
_NUMBER: Final = Decoder(int | float)
_ENCODER: Final = Encoder()


class _Tagged(Struct):
    """An object read for its "type" alone."""

    type: str = ""


_TAGGED: Final = Decoder(_Tagged)


class JsonTextError(ValueError):
    """JSON that is not valid, or a message that has no JSON.

    `path` names the place ("messages.0.content.1.input_json"); it is empty for the whole document.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = ".".join(map(str, path))
        super().__init__(f"{self.path}: {problem}" if path else problem)


Values = TypeVar("Values", bound=Sized)


class Budget:
    """What may still be built of one document: a message of 2-byte elements would stall the loop for seconds."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def take(self, values: Values, path: Path) -> Values:
        """Return `values`, having paid for them."""
        self._left -= len(values)
        if self._left < 0:
            raise JsonTextError(path, TOO_MANY)
        return values


# From JSON.


def read_document(read: Reader, data: bytes) -> Fields:
    """Read a whole document. Raises JsonTextError where `data` is not JSON that `read` takes."""
    if too_many_values(data):
        raise JsonTextError((), TOO_MANY)
    try:
        fields: Fields = read(_RAW.decode(str(data, "utf-8")), 0)
    except JsonTextError:
        raise
    except RecursionError:
        raise JsonTextError((), TOO_DEEP) from None
    except ValueError as error:  # UnicodeDecodeError, or msgspec's
        raise JsonTextError((), str(error)) from error
    return fields


def read_object(raw: Raw, table: Table, depth: int) -> Fields:
    """Read an object whose members are those of `table`, others going to `extra_json`."""
    return _fields(_MEMBERS.decode(raw), table, depth)


def read_union(raw: Raw, cases: Mapping[str, Table], depth: int) -> Fields:
    """Read an object whose "type" names its case. What has no case is opaque."""
    try:
        members = _MEMBERS.decode(raw)
        tag = _STRING.decode(members.pop("type"))
    except (KeyError, ValidationError):
        return {"opaque": opaque(raw, depth)}
    table = cases.get(tag)
    if table is None or depth >= DEEPEST_UNION:
        return {"opaque": opaque(raw, depth)}
    return {tag: _fields(members, table, depth + 1)}


def read_string_or_array(raw: Raw, depth: int, string: str, array: str, elements: tuple[str, Reader]) -> Fields:
    """Read a string as the field `string`, an array as the field `array` of a message of its elements."""
    value = _STRING_OR_ELEMENTS.decode(raw)
    if isinstance(value, str):
        return {string: value}
    field, read = elements
    return {array: {field: [read(element, depth) for element in value]}}


def _fields(members: Mapping[str, Raw], table: Table, depth: int) -> Fields:
    fields: Fields = {}
    extra: dict[str, Raw] = {}
    for name, raw in members.items():
        known = table.get(name)
        if known is None:
            extra[name] = raw
            continue
        field, read = known
        try:
            fields[field] = read(raw, depth)
        except ValidationError:
            extra[name] = raw
    if extra:
        fields["extra_json"] = str(_ENCODER.encode(extra), "utf-8")
    return fields


def string(raw: Raw, _depth: int) -> str:
    """Read a string."""
    return _STRING.decode(raw)


def boolean(raw: Raw, _depth: int) -> bool:
    """Read a boolean."""
    return _BOOL.decode(raw)


def int32(raw: Raw, _depth: int) -> int:
    """Read an integer of 32 bits. 1.0 is none: it would come back as 1."""
    number: float = _NUMBER.decode(raw)
    if isinstance(number, int) and number in INT32:
        return number
    raise ValidationError("not an int32")


def double(raw: Raw, _depth: int) -> float:
    """Read a number that a double holds exactly."""
    number: float = _NUMBER.decode(raw)
    if isinstance(number, int) and number not in EXACT:
        raise ValidationError("not a double")
    return number


def strings(raw: Raw, _depth: int) -> list[str]:
    """Read an array of strings; not the empty one, which no repeated field tells from an absent one."""
    return _STRINGS.decode(raw) or _refuse_empty()


def array(read: Reader) -> Reader:
    """Return a reader of arrays; not of the empty one, as in `strings`."""

    def read_array(raw: Raw, depth: int) -> list[Any]:
        return [read(element, depth) for element in _ELEMENTS.decode(raw) or _refuse_empty()]

    return read_array


def _refuse_empty() -> list[Any]:
    raise ValidationError("empty")


def text(raw: Raw, _depth: int) -> str:
    """Keep any value as its text."""
    return str(raw, "utf-8")


def opaque(raw: Raw, _depth: int) -> Fields:
    """Keep any value as its text, with its "type" beside it."""
    try:
        tag = _TAGGED.decode(raw).type
    except ValidationError:
        tag = ""
    return {"type": tag, "json": str(raw, "utf-8")}


def reserved(name: str) -> Reader:
    """Return a reader that refuses the member `name`."""

    def refuse(_raw: Raw, _depth: int) -> None:
        raise JsonTextError((name,), "is not part of the message")

    return refuse


# To JSON.


def write_document(document: object) -> bytes:
    """Encode what a writer made."""
    return _ENCODER.encode(document)


def checked(text: str, path: Path) -> Raw:
    """Prove that `text` is one JSON value: a `Raw` is not looked at again when it is encoded."""
    try:
        return _RAW.decode(text)
    except RecursionError:
        raise JsonTextError(path, TOO_DEEP) from None
    except DecodeError as error:
        raise JsonTextError(path, f"not a JSON value: {error}") from error


def add_extra(document: Document, text: str, path: Path, budget: Budget, refused: tuple[str, ...] = ()) -> None:
    """Add the members of the object `text` that `document` has no value for."""
    if too_many_values(text.encode()):
        raise JsonTextError(path, TOO_MANY)
    try:
        extra = _MEMBERS.decode(text)
    except RecursionError:
        raise JsonTextError(path, TOO_DEEP) from None
    except DecodeError as error:
        raise JsonTextError(path, f"not a JSON object: {error}") from error
    for name, value in budget.take(extra, path).items():
        if name in refused:
            raise JsonTextError((*path, name), "is not part of the message")
        document.setdefault(name, value)


def finite(number: float, path: Path) -> float:
    """Refuse NaN and the infinities, which JSON cannot say."""
    if not isfinite(number):
        raise JsonTextError(path, f"{number} is not a JSON number")
    return number


def enum_text(names: Mapping[Any, str], value: int, path: Path) -> str:
    """Return the text of an enum's value."""
    name = names.get(value)
    if name is None:
        raise JsonTextError(path, f"the enum's value {value} has no JSON text")
    return name


def timestamp(time: Timestamp) -> str:
    """Return RFC 3339 text in whole seconds: without them its length would vary."""
    return Timestamp(seconds=time.seconds).ToJsonString()
