"""The reference page and the JSON Schema are made from the types, and say what is true."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.configs import read

from ccproxy.config import reference
from ccproxy.config.shape import struct_type

PAGE = reference.reference()
SCHEMA: dict[str, Any] = msgspec.json.decode(reference.schema())
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
ENVIRON = {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o", "CCPROXY_CALLERS_KEY": "c"}


@pytest.mark.parametrize("name", reference.written())
def test_the_written_reference_is_the_one_that_would_be_made(name: str):
    """What operators read is what the program does."""
    current = (reference.DOCS / name).read_bytes() == reference.written()[name]

    assert current, f"docs/{name} is not as the types are: run {reference.COMMAND}"


def test_it_is_written_and_compared_by_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Which says what to run."""
    before = reference.main(["--check"], tmp_path)
    reference.main([], tmp_path)

    assert (before, reference.main(["--check"], tmp_path)) == (1, 0)
    assert reference.COMMAND in capsys.readouterr().err


@pytest.mark.parametrize(
    ("type_", "place"), reference.SECTIONS.values(), ids=lambda each: getattr(each, "__name__", "")
)
def test_every_key_says_what_it_means(type_: Any, place: str):
    """The docstring is the documentation."""
    summary, meanings = reference.documented(type_)

    assert summary
    assert list(meanings) == [each.name for each in struct_type(type_).fields], place


def test_what_is_shown_below_is_there():
    """Both documents point at it; an editor shows an error for a link that leads nowhere."""
    pointed = set(re.findall(r'"#/\$defs/(\w+)"', reference.schema().decode()))

    assert pointed == set(SCHEMA["$defs"])
    assert PAGE.count("see below |") == len(reference.SECTIONS) - 1


def test_the_page_has_an_example():
    """The tests below are true of none."""
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_load(tmp_path: Path, example: str):
    """People copy them."""
    assert read(tmp_path, example.encode(), ENVIRON).active


def refused(value: Any, schema: dict[str, Any]) -> list[str]:
    """What a schema refuses in a value: as much of JSON Schema as the configuration's own needs."""
    if "$ref" in schema:
        return refused(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return [] if any(not refused(value, each) for each in schema["anyOf"]) else [f"{value!r} fits nothing"]
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{value!r} is no choice"]
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{value!r} is no {schema['type']}"]
    if isinstance(value, dict):
        return refused_in_object(value, schema)
    if isinstance(value, list):
        return [line for each in value for line in refused(each, schema.get("items", {}))]
    if isinstance(value, str):
        return [] if re.search(schema.get("pattern", ""), value) else [f"{value!r} is not written so"]
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    return [] if value is None or low <= value <= high else [f"{value!r} is out of range"]


def refused_in_object(value: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """The same for an object."""
    found = [f"{name} is missing" for name in schema.get("required", []) if name not in value]
    others = schema.get("additionalProperties", {})
    for name, each in value.items():
        if name in schema.get("properties", {}):
            found += refused(each, schema["properties"][name])
        elif others is False:
            found.append(f"{name} is unknown")
        else:
            found += refused(each, others)
    return found


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_schema_takes_the_examples(example: str):
    """Editors must not mark them."""
    assert refused(msgspec.json.decode(example), SCHEMA) == []


@pytest.mark.parametrize(
    "document",
    [
        {"$schema": "config.schema.json"},
        {"shutdown_timeout": 30, "drain_delay": "1h30m", "performance": {"max_request_body_size": "10MB"}},
        {"shutdown_timeout": "${GRACE:-30s}", "log_level": "${LEVEL:-info}", "apikey": None},
        {"providers": [{"name": "x", "type": "openai"}]},
    ],
)
def test_the_schema_takes_what_the_program_takes(document: Any):
    """The same grammar."""
    assert refused(document, SCHEMA) == []


@pytest.mark.parametrize(
    "document",
    [
        {"prot": 1},
        {"port": 65536},
        {"port": "1"},
        {"log_level": "loud"},
        {"shutdown_timeout": ""},
        {"shutdown_timeout": "30x"},
        {"performance": {"max_request_body_size": "1 MiB"}},
        {"providers": [{}]},
        {"providers": [{"name": "x", "modles": []}]},
        {"providers": [{"name": "x", "type": "other"}]},
        {"routes": {"m": {"provider": "x", "conditions": []}}},
        [],
    ],
)
def test_the_schema_refuses_what_the_program_refuses(document: Any):
    """While it is written, not when it is started."""
    assert refused(document, SCHEMA)


def test_the_schema_leads_nowhere_that_is_not_in_it():
    """An editor refuses the whole schema for one reference without an end."""
    wanted = set(re.findall(rb'"#/\$defs/(\w+)"', reference.schema()))

    assert wanted == {name.encode() for name in SCHEMA["$defs"]}
