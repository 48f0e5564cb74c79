"""Gemini: what parameters, tools and schemas become."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from unit.gemini import BASE, TOOL, call_of, dropped, provider, sent

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head
from ccproxy.errors import ApiError
from ccproxy.providers.gemini import schema
from ccproxy.providers.gemini.schema import accepted
from ccproxy.providers.gemini.tools import upstream_name

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}


def config(**members: Any) -> dict[str, Any]:
    """The generation config."""
    found: dict[str, Any] = sent(**members)["generationConfig"]
    return found


def test_parameters():
    """The numbers are the same."""
    assert config(temperature=0.5, top_p=0.9, top_k=4) == {
        "maxOutputTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 4,
    }
    assert config(max_tokens=0)["maxOutputTokens"] == 1
    assert "stopSequences" not in config(stop_sequences=["a"])  # matched here


@pytest.mark.parametrize(
    ("members", "tier"),
    [
        ({"service_tier": "standard_only"}, "standard"),
        ({"speed": "fast"}, "priority"),
        ({"service_tier": "auto"}, None),
    ],
)
def test_the_service_tier(members: Any, tier: str | None):
    """What is not asked for is left to the account."""
    assert sent(**members).get("serviceTier") == tier


ON = {"thinking": {"type": "adaptive"}}
OFF = {"thinking": {"type": "disabled"}}
BUDGET = {"thinking": {"type": "enabled", "budget_tokens": 3000}}
SHOWN = {"includeThoughts": True}


@pytest.mark.parametrize(
    ("model", "members", "thinking"),
    [
        ("gemini-3.5-flash", {}, None),
        ("gemini-3.5-flash", ON, SHOWN),
        ("gemini-3.5-flash", OFF, {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.1-pro-preview", OFF, {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", {"output_config": {"effort": "medium"}}, {"thinkingLevel": "MEDIUM"}),
        ("gemini-3-pro-preview", {"output_config": {"effort": "medium"}}, {"thinkingLevel": "HIGH"}),
        ("gemini-3.5-flash", {"output_config": {"effort": "max"}}, {"thinkingLevel": "HIGH"}),
        ("gemini-3.5-flash", BUDGET, {**SHOWN, "thinkingLevel": "MEDIUM"}),
        ("gemini-2.5-flash", {}, None),
        ("gemini-2.5-flash", ON, {**SHOWN, "thinkingBudget": -1}),
        ("gemini-2.5-flash", OFF, {"thinkingBudget": 0}),
        ("gemini-2.5-pro", OFF, {"thinkingBudget": 128}),
        ("gemini-2.5-flash", BUDGET, {**SHOWN, "thinkingBudget": 3000}),
        ("gemini-2.5-flash", {"output_config": {"effort": "low"}}, {"thinkingBudget": 2048}),
        ("gemini-2.5-pro", {"output_config": {"effort": "max"}}, {"thinkingBudget": 32768}),
        ("gemini-2.5-flash", {"thinking": {"type": "adaptive", "display": "omitted"}}, {"thinkingBudget": -1}),
        ("gemini-2.0-flash", ON, None),
        ("gemma-4", OFF, None),
        ("gemini-3.5-flash", {"version": "2023-06-01"}, {"thinkingLevel": "MINIMAL"}),
    ],
)
def test_thinking(model: str, members: Any, thinking: Any):
    """A level and a budget exclude each other."""
    assert config(model=model, **members).get("thinkingConfig") == thinking


def test_thinking_that_cannot_be_had_is_named():
    """Nor can it be stopped everywhere."""
    assert dropped(model="gemini-2.0-flash", **ON) == ("thinking",)
    assert dropped(model="gemini-2.0-flash", output_config={"effort": "low"}) == ("output_config.effort",)
    assert dropped(model="gemini-2.5-pro", **OFF) == ("thinking",)
    assert dropped(model="gemini-2.5-flash", **OFF) == ()


def test_structured_output():
    """Before Gemini 3 not beside tools: there the prompt asks for it."""
    wanted = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    prompted = sent(output_config=FORMAT, tools=[TOOL], model="gemini-2.5-pro", system="s")

    assert wanted.items() <= config(output_config=FORMAT, tools=[TOOL]).items()
    assert wanted.items() <= config(output_format=FORMAT["format"], model="gemini-2.5-pro").items()
    assert "responseJsonSchema" not in prompted["generationConfig"]
    assert "JSON Schema" in prompted["systemInstruction"]["parts"][1]["text"]
    assert dropped(output_config={"format": {"type": "xml", "schema": {}}}) == ("output_config.format",)
    with pytest.raises(ApiError, match=r"output_config\.format"):
        sent(output_config={"format": {}})


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, None),
        ({"type": "auto"}, {"mode": "AUTO"}),
        ({"type": "any"}, {"mode": "ANY"}),
        ({"type": "none"}, {"mode": "NONE"}),
        ({"type": "tool", "name": "read"}, {"mode": "ANY", "allowedFunctionNames": ["read"]}),
        ({"type": "tool", "name": "gone"}, None),
        ({"type": "tool"}, None),
    ],
)
def test_how_tools_may_be_used(choice: Any, wanted: Any):
    """A tool that is not there is named."""
    found = sent(tools=[TOOL], tool_choice=choice).get("toolConfig")

    assert found == (wanted and {"functionCallingConfig": wanted})


def test_strict_tools_are_a_mode():
    """For all of them."""
    strict = {**TOOL, "strict": True}

    assert sent(tools=[strict])["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


def test_a_choice_without_tools_is_named():
    """Nothing could be forced."""
    assert dropped(tool_choice={"type": "any"}) == ("tool_choice",)
    assert sent(tool_choice={"type": "auto"}).keys() == {"contents", "generationConfig"}


def test_tools():
    """Those that Anthropic runs cannot be had; a tool without arguments has no schema."""
    tools = [
        {**TOOL, "description": "Reads.", "input_examples": [{"path": "a"}]},
        {"name": "now", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}},
        {"name": "bare"},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_fetch_20250910", "name": "web_fetch"},
    ]
    read, now, bare, bash = sent(tools=tools)["tools"][0]["functionDeclarations"]

    assert read == {
        "name": "read",
        "description": 'Reads.\n\nExamples: [{"path":"a"}]',
        "parametersJsonSchema": TOOL["input_schema"],
    }
    assert (now, bare) == ({"name": "now"}, {"name": "bare"})
    assert "command" in bash["parametersJsonSchema"]["properties"]
    assert dropped(tools=tools) == ("tools.web_fetch_20250910",)


def test_names():
    """Deterministic, so that history keeps them."""
    assert upstream_name("mcp__a.b:c-d") == "mcp__a.b:c-d"
    assert upstream_name("1 a") == upstream_name("1 a")
    assert upstream_name("1 a").startswith("_1_a_")
    assert len(upstream_name("ä" * 300)) == 128


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (True, {}),
        ({"type": "string", "$schema": "x", "default": "a", "examples": [1]}, {"type": "string"}),
        ({"const": 1}, {"enum": [1]}),
        ({"type": "string", "enum": ["a", 1, None]}, {"type": "string", "enum": ["a", "1", "null"]}),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 9}, {"minimum": 2, "maximum": 8}),
        ({"exclusiveMinimum": 1.5}, {}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": "array", "items": [{"const": 1}]}, {"type": "array", "prefixItems": [{"enum": [1]}]}),
        ({"items": {"pattern": "a"}}, {"items": {}}),
        ({"oneOf": [{"type": "null"}, True]}, {"anyOf": [{"type": "null"}, {}]}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"properties": {"a": True, "b": False}, "required": ["a", "b", "a"]},
            {"properties": {"a": {}}, "required": ["a"]},
        ),
        ({"required": ["a"], "type": "object"}, {"type": "object"}),
        ({"additionalProperties": {"const": 1}}, {"additionalProperties": {"enum": [1]}}),
        ({"additionalProperties": True}, {"additionalProperties": True}),
        (
            {"definitions": {"d": {"const": 1}}, "items": {"$ref": "#/definitions/d", "title": "t"}},
            {"$defs": {"d": {"enum": [1]}}, "items": {"$ref": "#/$defs/d"}},
        ),
        ({"items": {"$ref": "#/properties/a"}, "$defs": 1}, {"items": {}}),
        ({"items": {"$ref": 1}}, {"items": {}}),
        (
            {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"title": "t"}], "properties": {"b": {}}},
            {"properties": {"a": {}, "b": {}}, "required": ["a"], "title": "t"},
        ),
        (
            {"$ref": "#/$defs/d", "$defs": {"d": {"type": "object", "allOf": [{"$ref": "#/$defs/d"}, 1]}}},
            {"type": "object", "$defs": {"d": {"type": "object"}}},
        ),
    ],
)
def test_schemas(given: Any, wanted: Any):
    """An unknown keyword is a 400 for the whole request."""
    assert accepted(Raw(msgspec.json.encode(given)), "p", set()) == wanted


def test_what_narrows_a_schema_is_named():
    """The model may now break it."""
    assert dropped(tools=[{"name": "a", "input_schema": {"type": "object", "pattern": "x", "$comment": "c"}}]) == (
        "tools.input_schema.pattern",
    )


def test_references_are_not_expanded_without_end(monkeypatch: pytest.MonkeyPatch):
    """A small document may describe a huge one."""
    monkeypatch.setattr(schema, "MAX_EXPANSIONS", 1)
    missed: set[str] = set()
    twice = {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {"a": {"title": "a"}, "b": {}}}

    assert accepted(Raw(msgspec.json.encode(twice)), "p", missed)["title"] == "a"
    assert missed == {"p.allOf"}


NOT_UTF8 = b'[{"name":"a","input_examples":["\xff"]}]'
NOT_UTF8_EITHER = b'[{"name":"a","input_schema":{"title":"\xff"}}]'


def nest(depth: int) -> bytes:
    """A tool whose schema is that deep."""
    return b'[{"name":"a","input_schema":%b{}%b}]' % (b'{"items":' * depth, b"}" * depth)


@pytest.mark.parametrize(
    ("tools", "what"),
    [(NOT_UTF8, "UTF-8"), (NOT_UTF8_EITHER, "UTF-8"), (nest(600), "nested"), (nest(3000), "nested")],
)
def test_a_tool_that_cannot_be_read_is_the_callers_mistake(tools: bytes, what: str):
    """It is opened here for the first time."""
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"tools":%b}' % tools
    call = Call(edge="http", request_id="r", body=body)

    with pytest.raises(ApiError, match=what):
        provider().exchange(call, decode_head(body), Target("gemini", "gemini-3.5-flash", "default"))


def test_a_routes_parameters_apply_where_the_request_is_silent():
    """As with every provider."""
    call = call_of({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}]})
    target = Target("gemini", "gemini-3.5-flash", "default", {"temperature": 0.25})
    body = provider(BASE).exchange(call, call.head(), target).request.body

    assert b'"temperature":0.25' in (body or b"")
