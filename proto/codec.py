"""The source of json_codec.py, made from the options of the compiled schema.

A message that JSON is read into gets a table of its members, read by json_text.py; every message gets a
writer, in plain code because writing is on the path of each gRPC request.
"""

import re
from typing import NamedTuple

from ccproxy_pb.v1 import json_pb2, proxy_pb2, status_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto

SERVICES = [
    *proxy_pb2.DESCRIPTOR.services_by_name.values(),
    *status_pb2.DESCRIPTOR.services_by_name.values(),
]
TIMESTAMP = "google.protobuf.Timestamp"
PREAMBLE = '''\
"""The HTTP JSON of the package's messages, without loss in either direction.

`decode` and `encode` are the whole API, with `JsonTextError` and the table `ROUTES`. Of untrusted input, JSON
for `decode` and messages for `encode`, nothing but JsonTextError is raised.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from google.protobuf.message import Message as ProtobufMessage
from msgspec import Raw

from ccproxy_pb.v1 import content_pb2, json_text, proxy_pb2, status_pb2
from ccproxy_pb.v1.json_text import Budget, Document, Fields, JsonTextError, Path, Reader, Table

__all__ = ["ROUTES", "JsonTextError", "Route", "decode", "encode"]
'''
API = '''

Decoded = TypeVar(
    "Decoded",
    {decoded},
)
Encoded = (
    {encoded}
)


def decode(message_class: type[Decoded], data: bytes) -> Decoded:
    """Return the message that says the same as the JSON document `data`.

    Raises JsonTextError where `data` is not valid JSON, is not an object (an event may be anything: it is
    opaque then), nests too deeply, holds too many values, or has a member that the message reserves ("stream").
    """
    return message_class(**json_text.read_document(_READERS[message_class], data))


def encode(message: Encoded) -> bytes:
    """Return the JSON document that says the same as `message`.

    Raises JsonTextError, naming the field's path, where a field that holds JSON text does not hold exactly
    one JSON value, `extra_json` holds another value than an object or a member that the message reserves, a
    union has no case, a number is NaN or infinite, or there are too many values.
    """
    try:
        return json_text.write_document(_WRITERS[type(message)](message, (), Budget()))
    except RecursionError:
        raise JsonTextError((), json_text.TOO_DEEP) from None


class Route(NamedTuple):
    """The HTTP route of an RPC."""

    rpc: str
    """As gRPC names it on the wire: "/ccproxy.v1.Proxy/GetModel"."""
    method: str
    path: str
    """A name in braces stands for the whole rest of the path, slashes included."""
    stream: bool
    """True where "stream": true in the body selects this RPC."""


'''


class Roots(NamedTuple):
    """The messages that are whole documents."""

    decoded: list[Descriptor]
    encoded: list[Descriptor]


def source() -> str:
    """Return json_codec.py."""
    roots = _roots()
    messages = _reached(roots.encoded)
    lossless = [message for message in messages if _is_lossless(message)]
    enums = {f.enum_type.full_name: f.enum_type for m in messages for f in m.fields if f.enum_type}
    parts = [
        PREAMBLE,
        API.format(decoded=_types(roots.decoded, ",\n    "), encoded=_types(roots.encoded, "\n    | ")),
        _routes(),
        *(_enum(enum) for enum in enums.values()),
        *(_writer(message, is_case=message in _case_messages(messages)) for message in messages),
        *(_reader(message) for message in lossless if not _is_plain(message) or _is_field(message, roots)),
        *(_table(message) for message in lossless if _is_plain(message)),
        *(_cases(message) for message in lossless if _shape(message) == json_pb2.JsonMessage.SHAPE_TAGGED_UNION),
        _registry("_READERS", "Reader", "read", roots.decoded),
        _registry("_WRITERS", "Callable[[Any, Path, Budget], object]", "write", roots.encoded),
    ]
    return "".join(parts)


def _roots() -> Roots:
    """Read the routes: what is posted is a document, and so is every answer; a query is none."""
    decoded: dict[str, Descriptor] = {}
    encoded: dict[str, Descriptor] = {}
    for service in SERVICES:
        for method in service.methods:
            posted = method.GetOptions().Extensions[json_pb2.http_route].method == "POST"
            for message in (method.input_type, method.output_type) if posted else (method.output_type,):
                encoded[message.full_name] = message
                if _is_lossless(message):
                    decoded[message.full_name] = message
    return Roots(list(decoded.values()), list(encoded.values()))


def _reached(roots: list[Descriptor]) -> list[Descriptor]:
    """Return the messages inside `roots`, in the order of their names."""
    found: dict[str, Descriptor] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name not in found and message.full_name != TIMESTAMP:
            found[message.full_name] = message
            inner = _array(message) if _shape(message) == json_pb2.JsonMessage.SHAPE_STRING_OR_ARRAY else message
            waiting += [field.message_type for field in inner.fields if field.message_type]
    wrappers = {
        _array(m).full_name for m in found.values() if _shape(m) == json_pb2.JsonMessage.SHAPE_STRING_OR_ARRAY
    }
    return [found[name] for name in sorted(found) if name not in wrappers]


def _shape(message: Descriptor) -> int:
    return message.GetOptions().Extensions[json_pb2.json_message].shape


def _is_plain(message: Descriptor) -> bool:
    return _shape(message) == json_pb2.JsonMessage.SHAPE_UNSPECIFIED


def _option(field: FieldDescriptor) -> json_pb2.JsonField:
    return field.GetOptions().Extensions[json_pb2.json_field]


def _is_lossless(message: Descriptor) -> bool:
    """Say whether any JSON fits: the message holds what it does not model."""
    return not _is_plain(message) or any(_option(field).extra for field in message.fields)


def _is_field(message: Descriptor, roots: Roots) -> bool:
    """Say whether the message appears other than as a case of a union."""
    holders = [m for m in _reached(roots.encoded) if _is_plain(m)]
    return message in roots.decoded or any(f.message_type is message for m in holders for f in m.fields)


def _case_messages(messages: list[Descriptor]) -> list[Descriptor]:
    """Return the objects that get their "type" from the union they are in."""
    unions = [m for m in messages if _shape(m) == json_pb2.JsonMessage.SHAPE_TAGGED_UNION]
    return [case for m in unions for f in m.fields if _is_plain(case := _type(f))]


def _array(message: Descriptor) -> Descriptor:
    """Return the message that holds the array of a string-or-array."""
    return _type(message.fields[1])


def _type(field: FieldDescriptor) -> Descriptor:
    """Return the type of a field that is known to hold a message."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} holds no message")
    return field.message_type


def _reserved(message: Descriptor) -> list[str]:
    proto = DescriptorProto()
    message.CopyToProto(proto)
    return list(proto.reserved_name)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _constant(name: str) -> str:
    return f"_{_snake(name).upper()}"


def _python(message: Descriptor | EnumDescriptor) -> str:
    module = message.file.name.removeprefix("ccproxy/v1/").removesuffix(".proto")
    return f"{module}_pb2.{message.name}"


def _types(messages: list[Descriptor], separator: str) -> str:
    return separator.join(_python(message) for message in messages)


def _routes() -> str:
    lines = ["ROUTES: Final = (\n"]
    for service in SERVICES:
        for method in service.methods:
            route = method.GetOptions().Extensions[json_pb2.http_route]
            rpc = f"/{service.full_name}/{method.name}"
            lines.append(f'    Route("{rpc}", "{route.method}", "{route.path}", stream={route.stream}),\n')
    return "".join([*lines, ")\n"])


def _enum(enum: EnumDescriptor) -> str:
    lines = [f"\n{_constant(enum.name)}: Final = {{\n"]
    for value in enum.values:
        name = value.GetOptions().Extensions[json_pb2.json_value]
        if name:
            lines.append(f'    {_python(enum).split(".")[0]}.{value.name}: "{name}",\n')
    return "".join([*lines, "}\n"])


# Writers.


def _writer(message: Descriptor, *, is_case: bool) -> str:
    match _shape(message):
        case json_pb2.JsonMessage.SHAPE_TAGGED_UNION:
            result, body = "Document | Raw", _write_union(message)
        case json_pb2.JsonMessage.SHAPE_STRING_OR_ARRAY:
            result, body = "str | list[Document | Raw]", _write_string_or_array(message)
        case json_pb2.JsonMessage.SHAPE_OPAQUE:
            result, body = "Raw", ['return json_text.checked(message.json, (*path, "opaque", "json"))']
        case _:
            result, body = "Document", _write_object(message, is_case=is_case)
    tag = ", tag: str" if is_case else ""
    arguments = f"message: {_python(message)}, path: Path, budget: Budget{tag}"
    head = f"\n\ndef _write_{_snake(message.name)}({arguments}) -> {result}:\n"
    return head + "".join(f"    {line}\n" for line in body)


def _write_union(message: Descriptor) -> list[str]:
    oneof = message.oneofs[0]
    lines = [f'match message.WhichOneof("{oneof.name}"):']
    for field in oneof.fields:
        tag = f', "{field.name}"' if _is_plain(_type(field)) else ""
        call = f"_write_{_snake(_type(field).name)}(message.{field.name}, path, budget{tag})"
        lines += [f'    case "{field.name}":', f"        return {call}"]
    return [*lines, "    case None:", '        raise JsonTextError(path, "no case is set")']


def _write_string_or_array(message: Descriptor) -> list[str]:
    string, array = message.oneofs[0].fields
    elements = _type(array).fields[0]
    value = _value(elements, "each", "(*path, index)")
    return [
        f'match message.WhichOneof("{message.oneofs[0].name}"):',
        f'    case "{string.name}":',
        f"        return message.{string.name}",
        f'    case "{array.name}":',
        f"        elements = budget.take(message.{array.name}.{elements.name}, path)",
        f"        return [{value} for index, each in enumerate(elements)]",
        "    case None:",
        '        raise JsonTextError(path, "no case is set")',
    ]


def _write_object(message: Descriptor, *, is_case: bool) -> list[str]:
    lines = ['document: Document = {"type": tag}' if is_case else "document: Document = {}"]
    for field in message.fields:
        if _option(field).extra:
            continue
        lines += _write_field(field, always=not _is_lossless(message) and not field.has_presence)
    if _is_lossless(message):
        refused = "".join(f'"{name}", ' for name in _reserved(message))
        more = f", ({refused.strip()})" if refused else ""
        call = f'json_text.add_extra(document, message.extra_json, (*path, "extra_json"), budget{more})'
        lines += ["if message.extra_json:", f"    {call}"]
    return [*lines, "return document"]


def _write_field(field: FieldDescriptor, *, always: bool) -> list[str]:
    name = _option(field).name or field.name
    attribute = f"message.{field.name}"
    leaf = field.name if _option(field).raw else name
    if not field.is_repeated:
        value = _value(field, attribute, f'(*path, "{leaf}")')
    elif field.message_type:
        element = _value(field, "each", f'(*path, "{leaf}", index)')
        taken = f'budget.take({attribute}, (*path, "{leaf}"))'
        value = f"[{element} for index, each in enumerate({taken})]"
    else:
        value = f'list(budget.take({attribute}, (*path, "{leaf}")))'
    assignment = f'document["{name}"] = {value}'
    if always:
        return [assignment]
    condition = f'message.HasField("{field.name}")' if field.has_presence else attribute
    return [f"if {condition}:", f"    {assignment}"]


def _value(field: FieldDescriptor, value: str, path: str) -> str:
    if _option(field).raw:
        return f"json_text.checked({value}, {path})"
    if field.enum_type:
        return f"json_text.enum_text({_constant(field.enum_type.name)}, {value}, {path})"
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return f"json_text.finite({value}, {path})"
    if not field.message_type:
        return value
    if field.message_type.full_name == TIMESTAMP:
        return f"json_text.timestamp({value})"
    return f"_write_{_snake(_type(field).name)}({value}, {path}, budget)"


# Readers.


def _reader(message: Descriptor) -> str:
    name = _snake(message.name)
    if _shape(message) == json_pb2.JsonMessage.SHAPE_OPAQUE:
        return ""
    head = f"\n\ndef _read_{name}(raw: Raw, depth: int) -> Fields:\n    return json_text."
    if _shape(message) == json_pb2.JsonMessage.SHAPE_TAGGED_UNION:
        return f"{head}read_union(raw, _{name.upper()}_CASES, depth)\n"
    if _shape(message) == json_pb2.JsonMessage.SHAPE_STRING_OR_ARRAY:
        string, array = message.oneofs[0].fields
        elements = _type(array).fields[0]
        inner = f'("{elements.name}", {_read(elements, inside=True)})'
        return f'{head}read_string_or_array(raw, depth, "{string.name}", "{array.name}", {inner})\n'
    return f"{head}read_object(raw, {_constant(message.name)}_MEMBERS, depth)\n"


def _table(message: Descriptor) -> str:
    lines = [f"\n{_constant(message.name)}_MEMBERS: Final[Table] = {{\n"]
    for field in message.fields:
        if not _option(field).extra:
            name = _option(field).name or field.name
            lines.append(f'    "{name}": ("{field.name}", {_read(field)}),\n')
    lines += [f'    "{name}": ("", json_text.reserved("{name}")),\n' for name in _reserved(message)]
    return "".join([*lines, "}\n"])


def _cases(message: Descriptor) -> str:
    cases = [field for field in message.oneofs[0].fields if _is_plain(_type(field))]
    lines = [f'    "{field.name}": {_constant(_type(field).name)}_MEMBERS,\n' for field in cases]
    return "".join([f"\n{_constant(message.name)}_CASES: Final[Mapping[str, Table]] = {{\n", *lines, "}\n"])


def _read(field: FieldDescriptor, *, inside: bool = False) -> str:
    """Return the reader of a field, or of its elements."""
    if _option(field).raw:
        return "json_text.text"
    if field.message_type:
        is_opaque = _shape(field.message_type) == json_pb2.JsonMessage.SHAPE_OPAQUE
        one = "json_text.opaque" if is_opaque else f"_read_{_snake(field.message_type.name)}"
        return f"json_text.array({one})" if field.is_repeated and not inside else one
    one = {
        FieldDescriptor.TYPE_STRING: "string",
        FieldDescriptor.TYPE_BOOL: "boolean",
        FieldDescriptor.TYPE_INT32: "int32",
        FieldDescriptor.TYPE_DOUBLE: "double",
    }[field.type]
    return f"json_text.{one}s" if field.is_repeated else f"json_text.{one}"


def _registry(name: str, kind: str, verb: str, messages: list[Descriptor]) -> str:
    lines = [f"    {_python(message)}: _{verb}_{_snake(message.name)},\n" for message in messages]
    return "".join([f"\n{name}: Final[Mapping[type[ProtobufMessage], {kind}]] = {{\n", *lines, "}\n"])
