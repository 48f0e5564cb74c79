"""Plain values into Structs: whatever does not fit is told, all of it, each with its place."""

from pathlib import Path
from typing import Any

import pytest
from unit.configs import problems, read


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a configuration."""
    return tmp_path


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"prot": 1}, "$.prot: is no known key; did you mean port?"),
        ({"apiKey": "x"}, "$.apiKey: is no known key; did you mean apikey?"),
        ({"api_key": "x"}, "$.api_key: is no known key; did you mean apikey?"),
        ({"grpcPort": 1}, "$.grpcPort: is no known key; did you mean grpc_port?"),
        (
            {"providers": [{"name": "openai", "modles": []}]},
            "$.providers[0].modles: is no known key; did you mean models?",
        ),
        ({"routes": {"m": {"provder": "x"}}}, "$.routes.m.provder: is no known key; did you mean provider?"),
        ({"zzz": 1}, "$.zzz: is no known key; known are host, port,"),
        ({"a - at b": 1}, '$["a - at b"]: is no known key; known are'),
        ({"a`b": 1}, '$["a`b"]: is no known key; known are'),
        ({"": 1}, '$[""]: is no known key; known are'),
        ({"a\n\u001b": 1}, '$["a\\n\\u001b"]: is no known key; known are'),
        (
            {"performance": {"metrics_enabled": True}},
            "$.performance.metrics_enabled: is no known key; leave it out: ",
        ),
        ({"performance": {"$schema": ""}}, '$.performance["$schema"]: is no known key'),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(home: Path, document: Any, expected: str):
    """A mistyped setting that is ignored is found months later."""
    (problem,) = problems(home, document)

    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"port": True}, "$.port: expected an integer, got true or false"),
        ({"port": "3456"}, "$.port: expected an integer, got a string"),
        ({"port": 1.5}, "$.port: expected an integer, got a fraction"),
        ({"port": None}, "$.port: expected an integer, got null"),
        ({"host": 1}, "$.host: expected a string, got a number"),
        ({"apikey": 1}, "$.apikey: expected a string, got a number"),
        ({"apikey": ["a"]}, "$.apikey: expected a string, got an array"),
        ({"demo": "yes"}, "$.demo: expected true or false, got a string"),
        ({"log_level": 1}, "$.log_level: expected a string, got a number"),
        (
            {"log_level": "inf"},
            "$.log_level: expected one of debug, error, info, warning; did you mean info?",
        ),
        ({"log_format": "xml"}, "$.log_format: expected one of auto, json, text"),
        ({"providers": {}}, "$.providers: expected an array, got an object"),
        ({"providers": ["openai"]}, "$.providers[0]: expected an object, got a string"),
        ({"providers": [{}]}, "$.providers[0].name: is missing"),
        (
            {"providers": [{"name": "openai"}, {"name": 2}]},
            "$.providers[1].name: expected a string, got a number",
        ),
        (
            {"providers": [{"name": "openai", "api_key": 1}]},
            "$.providers[0].api_key: expected a string, got a number",
        ),
        (
            {"providers": [{"name": "openai", "models": "a"}]},
            "$.providers[0].models: expected an array, got a string",
        ),
        (
            {"providers": [{"name": "openai", "models": ["a", 1]}]},
            "$.providers[0].models[1]: expected a string, got a number",
        ),
        ({"routes": []}, "$.routes: expected an object, got an array"),
        ({"routes": {"a.b": {"provider": 1}}}, '$.routes["a.b"].provider: expected a string, got a number'),
        ({"routes": {'a"]': None}}, '$.routes["a\\"]"]: expected an object, got null'),
        (
            {"routes": {"m": {"provider": "x", "fallbacks": [{"model": "y"}]}}, "demo": True},
            "$.routes.m.fallbacks[0].provider: is missing",
        ),
        ({"performance": 1}, "$.performance: expected an object, got a number"),
        ({"keys": [{"name": "a", "key": 5}]}, "$.keys[0].key: expected a string, got a number"),
        ([], "$: expected an object, got an array"),
        (b"null", "$: expected an object, got null"),
    ],
)
def test_a_wrong_type_is_told_with_its_path(home: Path, document: Any, expected: str):
    """The operator goes to that place; nothing that follows from it is told beside it."""
    assert problems(home, document) == [expected]


@pytest.mark.parametrize("value", ["30x", "", "1s1h", "-5s", "s", True, [], 10**30, "1" * 100])
def test_a_duration_is_a_number_or_has_units(home: Path, value: Any):
    """As in every other program."""
    (problem,) = problems(home, {"shutdown_timeout": value})

    assert problem.startswith("$.shutdown_timeout: expected a duration such as 500ms, ")


@pytest.mark.parametrize("value", ["1 MiB", "", "1mib", "-1", 1.5, "1.5MiB", True, None])
def test_a_size_is_a_number_or_has_a_unit(home: Path, value: Any):
    """The same."""
    (problem,) = problems(home, {"performance": {"max_request_body_size": value}})

    assert problem.startswith("$.performance.max_request_body_size: expected a size such as 512KiB, ")


def test_every_problem_is_told_at_once(home: Path):
    """Mending one mistake to be told the next is a poor way to configure."""
    document = {
        "prot": 1,
        "port": -1,
        "host": "0.0.0.0",
        "shutdown_timeout": "soon",
        "log_level": "loud",
        "providers": [{"name": "x"}, {"nme": "openai"}, 7],
        "routes": {"default": {"provider": "openai", "parameters": {"temperature": 9}}},
        "performance": {"request_timeout": 0},
    }

    assert [line.partition(": ")[0] for line in problems(home, document, {"CCPROXY_GRPC_PORT": "x"})] == [
        "$.prot",
        "$.log_level",
        "$.shutdown_timeout",
        "$.providers[1].nme",
        "$.providers[2]",
        "CCPROXY_GRPC_PORT",
        "$.port",
        "$.performance.request_timeout",
        "$.host",
        "$.providers[0].type",
        "$.routes.default.parameters.temperature",
    ]


def test_a_schema_may_be_named_in_the_file(home: Path):
    """Editors look for it there."""
    assert read(home, {"$schema": "config.schema.json", "port": 4000}).port == 4000


def test_parameters_are_any_json(home: Path):
    """Their meaning is the provider's, but for the few that can be told wrong."""
    parameters = {
        "thinking": {"type": "enabled", "budget_tokens": 10**20},
        "stop_sequences": ["${X}"],
        "top_k": None,
    }
    document = {"demo": True, "routes": {"m": {"provider": "x", "parameters": parameters}}}

    assert read(home, document, {"X": "end"}).routes["m"].parameters == {**parameters, "stop_sequences": ["end"]}


def test_null_is_no_value_where_there_need_be_none(home: Path):
    """Generated files say it so."""
    assert read(home, {"apikey": None, "drain_delay": None, "proxy_url": None}).apikey is None
