"""The reference of the configuration, made from `types`: a page for people, a JSON Schema for editors.

`python -m ccproxy.config.reference` writes both into docs/; with `--check` it says whether they are as they would
be written.
"""

import inspect as python
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, inspect

from ccproxy.config import units
from ccproxy.config.checks import LIMITS
from ccproxy.config.environment import ALIASES, variables
from ccproxy.config.introduction import INTRODUCTION, PROVIDERS
from ccproxy.config.provider_types import PROVIDER_TYPES
from ccproxy.config.shape import default_of, not_none, struct_type
from ccproxy.config.types import (
    Config,
    ConnectionsConfig,
    EndpointConfig,
    FallbackConfig,
    KeyConfig,
    LimitsConfig,
    PerformanceConfig,
    ProviderConfig,
    RetryConfig,
    RouteConfig,
    TelemetryConfig,
    TlsConfig,
)
from ccproxy.config.values import MIB, Duration, Secret, Size

DOCS = Path(__file__).resolve().parents[2] / "docs"
COMMAND = "python -m ccproxy.config.reference"

SECTIONS: Mapping[str, tuple[type[Struct], str]] = {
    "The file": (Config, "$"),
    "`providers`": (ProviderConfig, "$.providers[]"),
    "`endpoints` of a provider": (EndpointConfig, "$.providers[].endpoints[]"),
    "`routes`": (RouteConfig, "$.routes.*"),
    "`fallbacks` of a route": (FallbackConfig, "$.routes.*.fallbacks[]"),
    "`keys`": (KeyConfig, "$.keys[]"),
    "`retry`": (RetryConfig, "$.retry"),
    "`tls`": (TlsConfig, "$.tls"),
    "`performance`": (PerformanceConfig, "$.performance"),
    "`limits`": (LimitsConfig, "$.limits"),
    "`connections`": (ConnectionsConfig, "$.connections"),
    "`telemetry`": (TelemetryConfig, "$.telemetry"),
}


_VARIABLE = {"type": "string", "pattern": r"\$\{"}


def reference() -> str:
    """The page, in Markdown."""
    parts = [INTRODUCTION]
    for title, (type_, place) in SECTIONS.items():
        summary, meanings = documented(type_)
        head = "| key | type | default | variable | meaning |\n|---|---|---|---|---|"
        rows = [_row(each, f"{place}.{each.name}", meanings[each.name]) for each in struct_type(type_).fields]
        parts.append("\n".join([f"## {title}\n\n{summary}\n\n{head}", *rows]))
    parts.append("\n".join([PROVIDERS, *(_provider_row(name) for name in PROVIDER_TYPES)]))
    return "\n\n".join(parts) + "\n"


def schema() -> bytes:
    """The JSON Schema (draft 2020-12)."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "CCProxy configuration",
        **_object(Config, "$"),
        "$defs": {type_.__name__: _object(type_, at) for type_, at in SECTIONS.values() if type_ is not Config},
    }
    document["properties"] = {"$schema": {"type": "string"}, **document["properties"]}
    return msgspec.json.format(msgspec.json.encode(document)) + b"\n"


def documented(type_: type[Struct]) -> tuple[str, dict[str, str]]:
    """A Struct's summary, and what its docstring says about each member."""
    summary, _, attributes = (python.getdoc(type_) or "").partition("\n\nAttributes:\n")
    meanings: dict[str, str] = {}
    for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE):
        meanings[name] = " ".join(text.split())
    return " ".join(summary.split()), meanings


def _row(each: inspect.Field, place: str, meaning: str) -> str:
    names = [name for name, variable in variables().items() if variable.place == place]
    names.sort(key=lambda name: name not in ALIASES)
    cells = [
        f"`{each.name}`",
        _words(each.type, place),
        "**required**" if each.required else _default(default_of(each)),
        ", ".join(f"`{name}`" for name in names) or "-",
        meaning,
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _provider_row(name: str) -> str:
    known = PROVIDER_TYPES[name]
    names = ", ".join(f"`{each}`" for each in known.variables) or "-"
    return f"| `{name}` | `{known.url}` | {names} | {f'`{known.default_model}`' if known.default_model else '-'} |"


def _words(type_: inspect.Type, place: str) -> str:
    """A type as people say it."""
    match not_none(type_):
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"integer, {LIMITS[place]}" if place in LIMITS else "integer"
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.CustomType(cls=cls):
            return {Secret: "text, secret", Duration: "duration", Size: "size"}[cls]
        case inspect.ListType(item_type=of):
            return "list of texts" if isinstance(of, inspect.StrType) else "list of objects, see below"
        case inspect.DictType(value_type=inspect.StructType()):
            return "object of objects, see below"
        case inspect.DictType(value_type=inspect.LiteralType() as of):
            return f"object of {_words(of, place)}"
        case inspect.StructType():
            return "object, see below"
        case _:
            return "object"


def _default(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Duration():
            return f"{value:g}s"
        case Size():
            return f"{value // MIB}MiB"
        case int() | str() if value != "":
            return f"`{value}`"
        case _:
            return "-"


def _object(type_: type[Struct], place: str) -> dict[str, Any]:
    summary, meanings = documented(type_)
    fields = struct_type(type_).fields
    required = [each.name for each in fields if each.required]
    return {
        "description": summary,
        "type": "object",
        **({"required": required} if required else {}),
        "properties": {
            each.name: {
                "description": meanings[each.name],
                **_schema(each.type, f"{place}.{each.name}"),
                **_schema_default(each),
            }
            for each in fields
        },
        "additionalProperties": False,
    }


def _schema_default(each: inspect.Field) -> dict[str, Any]:
    match None if each.required else default_of(each):
        case bool() as default:
            return {"default": default}
        case float() as default:
            return {"default": float(default)}  # a Duration
        case int() as default:
            return {"default": int(default)}  # perhaps a Size
        case str() as default if default:
            return {"default": default}
        case _:
            return {}


def _schema(type_: inspect.Type, place: str) -> dict[str, Any]:
    match type_:
        case inspect.UnionType():
            return {"anyOf": [_schema(not_none(type_), place), {"type": "null"}]}
        case inspect.StrType() if place == "$.providers[].type":
            return {"anyOf": [{"enum": list(PROVIDER_TYPES)}, _VARIABLE]}
        case inspect.StrType():
            return {"type": "string"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", **_range(place)}
        case inspect.LiteralType(values=values):
            return {"anyOf": [{"enum": list(values)}, _VARIABLE]}
        case inspect.CustomType(cls=cls):
            return _custom(cls, place)
        case _:
            return _container(type_, place)


def _container(type_: inspect.Type, place: str) -> dict[str, Any]:
    match type_:
        case inspect.ListType(item_type=of):
            return {"type": "array", "items": _schema(of, f"{place}[]")}
        case inspect.DictType(value_type=of):
            return {"type": "object", "additionalProperties": _schema(of, f"{place}.*")}
        case inspect.StructType(cls=cls):
            return {"$ref": f"#/$defs/{cls.__name__}"}
        case _:
            return {}


def _custom(type_: type, place: str) -> dict[str, Any]:
    if type_ is Secret:
        return {"type": "string"}
    number, pattern = ("integer", units.SIZE)
    if type_ is Duration:
        number, pattern = ("number", f"(?!$)({units.DURATION}|{units.NUMBER})")
    text = {"type": "string", "pattern": f"^{pattern}$"}
    return {"anyOf": [{"type": number, **_range(place)}, text, _VARIABLE]}


def _range(place: str) -> dict[str, float]:
    limit = LIMITS.get(place)
    if limit is None:
        return {}
    return {"minimum": limit.low} if limit.high is None else {"minimum": limit.low, "maximum": limit.high}


def written() -> Mapping[str, bytes]:
    """Each file below docs/ and what is in it."""
    return {"configuration.md": reference().encode(), "config.schema.json": schema()}


def main(arguments: list[str], docs: Path = DOCS) -> int:
    """Writes the files, or with `--check` compares them; the exit code is 1 where they differ."""
    different = []
    for name, content in written().items():
        file = docs / name
        if file.is_file() and file.read_bytes() == content:
            continue
        different.append(name)
        if arguments != ["--check"]:
            file.write_bytes(content)
    if arguments == ["--check"] and different:
        sys.stderr.write(f"docs/{', docs/'.join(different)} differ: run {COMMAND}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
