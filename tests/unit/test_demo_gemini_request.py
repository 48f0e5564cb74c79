"""The demo as Gemini: what it reads, and what it refuses as the real one does."""

import base64
from typing import Any

import msgspec
import pytest

from ccproxy.demo import gemini
from ccproxy.demo.gemini_state import STAND_INS, signature
from ccproxy.demo.prompt import Choice, InvalidRequestError, Prompt, Result

NEW, OLD, PRO = "gemini-3-demo", "gemini-2.5-demo", "gemini-2.5-pro"
PNG = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
CALL = {"functionCall": {"name": "read", "args": {"path": "a"}}}
RESULT = {"functionResponse": {"name": "read", "response": {"output": "42"}}}
MISSING = "is missing a thought_signature"


def user(*parts: Any) -> dict[str, Any]:
    """A content of the user."""
    return {"role": "user", "parts": parts}


def model(*parts: Any) -> dict[str, Any]:
    """A content of the model."""
    return {"role": "model", "parts": parts}


HI = user({"text": "hi"})


def signed(part: dict[str, Any], state: str = STAND_INS[0]) -> dict[str, Any]:
    """A part with a signature."""
    return {**part, "thoughtSignature": state}


def read(*contents: Any, to: str = NEW, **members: Any) -> Prompt:
    """A request as the demo understands it."""
    return gemini.read(msgspec.json.encode({"contents": contents, **members}), to, stream=False)


def refused(*contents: Any, to: str = NEW, **members: Any) -> str:
    """Why a request is refused."""
    with pytest.raises(InvalidRequestError) as why:
        read(*contents, to=to, **members)
    return str(why.value)


def function(name: str = "read", **members: Any) -> dict[str, Any]:
    """Tools with one function."""
    return {"functionDeclarations": [{"name": name, **members}]}


def calling(mode: str, *allowed: str) -> dict[str, Any]:
    """How functions may be called."""
    return {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": allowed}}


def test_what_the_request_asks_for_is_read():
    """All of it changes the answer; model and stream come from the URL."""
    body = msgspec.json.encode(
        {
            "contents": [HI],
            "systemInstruction": {"parts": [{"text": "secret"}]},
            "generationConfig": {
                "maxOutputTokens": 5,
                "stopSequences": ["x"],
                "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"},
            },
        }
    )
    prompt = gemini.read(body, f"models/{NEW}", stream=True)

    assert (prompt.model, prompt.stream, prompt.text) == (NEW, True, "hi")
    assert (prompt.max_tokens, prompt.stop_sequences, prompt.shows_thinking) == (5, ("x",), True)
    assert prompt.input_tokens == 3 + 1 + 1


def test_names_may_be_in_snake_case_and_null_is_absent():
    """Protobuf's JSON knows both; recorded clients send either."""
    prompt = read(
        HI,
        generation_config={"max_output_tokens": 5, "stop_sequences": None},
        tools={"function_declarations": [{"name": "f", "parameters": {"any_of": [{"type": "STRING"}]}}]},
        safetySettings=None,
    )

    assert (prompt.max_tokens, prompt.stop_sequences, [tool.name for tool in prompt.tools]) == (5, (), ["f"])


def test_the_last_turn_is_all_that_follows_the_last_answer():
    """Old directives must not be obeyed again; the user may go on in a content of its own, as recorded."""
    prompt = read(user({"text": "old"}), model(signed(CALL)), user(RESULT), user({"text": "go on"}))

    assert (prompt.text, prompt.results) == ("go on", (Result("read", "42"),))


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "42"}, "42", False),
        ({"error": "no"}, "no", True),
        ({"result": 1}, '{"result":1}', False),
        ({"output": [1]}, "[1]", False),
    ],
)
def test_responses_are_read_in_every_documented_shape(response: Any, text: str, is_error: bool):  # noqa: FBT001
    """Any object is one; `output` and `error` have a meaning."""
    answer = {"functionResponse": {"name": "read", "response": response}}

    assert read(HI, model(signed(CALL)), user(answer)).results == (Result("read", text, is_error=is_error),)


def test_media_are_named_in_the_text():
    """A person sees that an image came through, and whole."""
    prompt = read(
        user(
            PNG,
            {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
            {"fileData": {"fileUri": "gs://a/b"}},
            {"executableCode": {"code": "1"}},
        )
    )

    assert prompt.text.split("\n") == [
        "[image image/png, 2 bytes]",
        "[document application/pdf, 2 bytes]",
        "[file gs://a/b]",
        "[part]",
    ]


def test_images_inside_a_response_are_named_after_its_text():
    """Gemini 3 takes them there."""
    answer = {"functionResponse": {"name": "read", "response": {"output": "see"}, "parts": [PNG]}}

    assert read(HI, model(signed(CALL)), user(answer)).results[0].text == "see\n[image image/png, 2 bytes]"


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        (calling("AUTO"), Choice()),
        (calling("VALIDATED"), Choice()),
        (calling("MODE_UNSPECIFIED"), Choice()),
        (calling("ANY"), Choice("any")),
        (calling("NONE"), Choice("none")),
        ({}, Choice()),
    ],
)
def test_modes_of_calling_are_read(config: Any, choice: Choice):
    """Nothing switches parallel calls off."""
    assert read(HI, tools=[function()], toolConfig=config).choice == choice


def test_of_allowed_functions_one_is_called():
    """That is how one function is forced."""
    prompt = read(HI, tools=[function("a"), function("b")], toolConfig=calling("ANY", "b"))

    assert (prompt.choice, [tool.name for tool in prompt.tools]) == (Choice("any"), ["b"])


def test_both_kinds_of_schema_are_read():
    """A `Schema` message has its types in capitals."""
    message = {"type": "OBJECT", "properties": {"type": {"type": "STRING", "enum": ["A"]}}, "required": ["type"]}
    expected = {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": ["A"]}},
        "required": ["type"],
    }
    json = {"type": "object", "additionalProperties": False}
    prompt = read(HI, tools=[function("a", parameters=message), function("b", parametersJsonSchema=json)])

    assert [msgspec.json.decode(tool.schema) for tool in prompt.tools] == [expected, json]
    assert bytes(read(HI, tools=[function()]).tools[0].schema) == b"{}"


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({}, None),
        ({"responseMimeType": "application/json"}, {"type": "object"}),
        ({"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}}, {"type": "string"}),
        ({"responseMimeType": "application/json", "responseJsonSchema": {"type": "null"}}, {"type": "null"}),
    ],
)
def test_structured_output_is_read(config: Any, schema: Any):
    """JSON without a schema is any object."""
    found = read(HI, generationConfig=config).schema

    assert (None if found is None else msgspec.json.decode(found)) == schema


def test_tokens_are_counted_over_the_whole_request():
    """Usage and countTokens must agree."""
    whole = {
        "contents": [HI, model(signed(CALL)), user(RESULT, PNG)],
        "systemInstruction": {"parts": [{"text": "a b"}]},
        "tools": [function()],
    }
    asked = {"model": f"models/{NEW}", **whole}
    body = msgspec.json.encode({"generateContentRequest": asked})
    counted = msgspec.json.decode(gemini.count(body))
    bare = msgspec.json.decode(gemini.count(msgspec.json.encode({"contents": whole["contents"]})))

    assert counted["totalTokens"] == gemini.read(msgspec.json.encode(whole), NEW, stream=False).input_tokens
    assert counted["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": counted["totalTokens"]}]
    assert bare["totalTokens"] < counted["totalTokens"] - 2  # bare contents leave the system instruction out


@pytest.mark.parametrize(
    "document",
    [
        {"generateContentRequest": {"contents": [HI]}},
        {"generateContentRequest": {"model": NEW, "contents": [HI]}},
        {"contents": [HI], "generateContentRequest": {"model": f"models/{NEW}", "contents": [HI]}},
        {"systemInstruction": {}},
    ],
)
def test_a_bad_request_to_count_is_refused(document: Any):
    """Inside, the model needs its prefix; beside contents there is no place for a request."""
    with pytest.raises(InvalidRequestError):
        gemini.count(msgspec.json.encode(document))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"contents": 1}', b'{"contents": [1]}', b'{"a":' * 9999])
def test_what_is_no_request_is_refused(body: bytes):
    """Whatever a client sends, it is told what is wrong."""
    with pytest.raises(InvalidRequestError):
        gemini.read(body, NEW, stream=False)


def test_an_unknown_name_is_refused_with_its_place():
    """The classic: JSON Schema in `parameters`, where it is a message with few fields."""
    schema = {
        "$schema": "x",
        "type": ["string", "null"],
        "items": [],
        "properties": {"a": {}, "b": {"anyOf": [{"const": 1}], "items": {"pattern_x": False}}},
    }
    at = "tools[0].function_declarations[0].parameters"
    inner = f"{at}.properties[1].value"
    cannot = "Proto field is not repeating, cannot start list."

    assert refused(HI, tools=[function(parameters=schema)], cache=1).splitlines() == [
        f"Invalid JSON payload received. Unknown name \"$schema\" at '{at}': Cannot find field.",
        f"Invalid JSON payload received. Unknown name \"type\" at '{at}': {cannot}",
        f"Invalid JSON payload received. Unknown name \"items\" at '{at}': {cannot}",
        f"Invalid JSON payload received. Unknown name \"const\" at '{inner}.any_of[0]': Cannot find field.",
        f"Invalid JSON payload received. Unknown name \"pattern_x\" at '{inner}.items': Cannot find field.",
        'Invalid JSON payload received. Unknown name "cache": Cannot find field.',
    ]


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        ([], "contents is not specified"),
        ([{"role": "assistant", "parts": [{"text": "hi"}]}], "Please use a valid role: user, model."),
        ([user()], "contents.parts must not be empty"),
        ([user({"thought": True})], "must have one initialized field"),
        ([user({"text": "a", **PNG})], "must have one initialized field"),
        ([model({"text": "a"}), HI], "alternate between user and model"),
        ([HI, model({"text": "a"})], "ends with a user role"),
        ([user(CALL)], "Please ensure that function call turn"),
        ([user(RESULT)], "function response turn comes immediately after"),
        ([HI, model({"text": "a"}), user(RESULT)], "function response turn comes immediately after"),
        ([HI, model(signed(CALL)), HI], "number of function response parts is equal"),
        ([HI, model(signed(CALL), CALL), user(RESULT)], "number of function response parts is equal"),
        ([HI, model(signed(CALL)), HI, model({"text": "a"}), user(RESULT)], "number of function response parts"),
        ([user({"inlineData": {"mimeType": "image/gif"}})], "Unsupported MIME type: image/gif"),
    ],
)
def test_a_conversation_out_of_order_is_refused(contents: list[Any], why: str):
    """These are the mistakes of translators."""
    assert why in refused(*contents)


@pytest.mark.parametrize(
    ("inside", "to", "why"),
    [
        (PNG, OLD, "not supported for this model"),
        ({"inlineData": {"mimeType": "image/gif"}}, NEW, "in a function response: image/gif"),
        ({}, NEW, "in a function response: "),
    ],
)
def test_media_in_a_response_have_their_rules(inside: Any, to: str, why: str):
    """Older models take none, and Gemini 3 not all."""
    answer = {"functionResponse": {"name": "read", "response": {}, "parts": [inside]}}

    assert why in refused(HI, model(signed(CALL)), user(answer), to=to)


def test_the_first_call_of_each_step_of_the_current_turn_needs_its_signature():
    """The one check that breaks a conversation for good; calls of older turns and second calls need none."""
    step = [model(signed(CALL), CALL), user(RESULT, RESULT)]

    assert read(HI, *step, *step).results
    assert read(HI, model(CALL), user(RESULT), model({"text": "a"}), HI).text == "hi"
    assert "`default_api:read` , position 4" in refused(HI, *step, model(CALL), user(RESULT))
    assert MISSING in refused(HI, model(CALL, signed(CALL)), user(RESULT, RESULT))


def test_contents_of_one_role_are_one_turn():
    """Google's SDK sends back a content for every chunk of a stream."""
    chunks = [model(signed(CALL)), model(CALL), model({"text": ""})]

    assert len(read(HI, *chunks, user(RESULT), user(RESULT)).results) == 2
    assert "number of function response parts" in refused(HI, *chunks, user(RESULT), HI)
    assert MISSING in refused(HI, model({"text": "a"}), model(CALL), user(RESULT))


def test_text_beside_a_response_begins_no_new_turn():
    """Clients add notes to results; the step before is still the current turn's."""
    assert MISSING in refused(HI, model(CALL), user(RESULT, {"text": "go on"}))


def test_older_models_do_not_miss_a_signature():
    """Gemini 2.5 answers without."""
    assert read(HI, model(CALL), user(RESULT), to=OLD).results == (Result("read", "42"),)


@pytest.mark.parametrize(
    "state",
    [
        *STAND_INS,
        base64.b64encode(STAND_INS[0].encode()).decode(),  # SDKs send bytes
        signature(NEW, "call read", "n"),
        signature(NEW, "call read", "n").replace("+", "-").replace("/", "_").rstrip("="),
    ],
)
def test_a_signature_of_its_own_or_a_documented_stand_in_is_accepted(state: str):
    """In either alphabet of base64."""
    assert read(HI, model(signed(CALL, state)), user(RESULT)).results


@pytest.mark.parametrize(
    "state",
    [
        "Zm9yZ2Vk",
        "not base64",
        "é",
        "ccp1.e30",
        signature(OLD, "call read", "n"),
        signature(NEW, "call write", "n"),
        signature(NEW, "text", "n"),
        signature(NEW, "call read", "n")[:-4],
    ],
)
def test_any_other_signature_is_refused(state: str):
    """Another model's, another part's, cut or made up."""
    assert refused(HI, model(signed(CALL, state)), user(RESULT)) == "Corrupted thought signature."
    assert refused(HI, model(signed(CALL, state)), user(RESULT), to=PRO) == "Corrupted thought signature."


def test_a_signature_belongs_to_its_kind_of_part():
    """Also in older turns."""
    state = signature(NEW, "text", "n")

    assert read(HI, model(signed({"text": ""}, state)), HI).text == "hi"
    assert refused(HI, model(signed({"text": "", "thought": True}, state)), HI) == "Corrupted thought signature."


@pytest.mark.parametrize(
    ("tools", "why"),
    [
        ([function("1a")], "Invalid function name"),
        ([function("a" * 129)], "Invalid function name"),
        ([function("a"), function("a")], "Duplicate function declaration found: a"),
        ([function(parameters={}, parametersJsonSchema={})], "mutually exclusive"),
        ([{"functionDeclarations": [{"name": f"f{n}"} for n in range(513)]}], "at most 512"),
    ],
)
def test_a_bad_declaration_is_refused(tools: list[Any], why: str):
    """Names have fewer characters than Anthropic's."""
    assert why in refused(HI, tools=tools)


@pytest.mark.parametrize(
    ("schema", "at"),
    [
        ({"$ref": "#/$defs/a", "type": "object", "$defs": {}}, ""),
        ({"properties": {"a": {"items": {"$ref": "#", "title": "t"}}}}, ".properties.a.items"),
        ({"anyOf": [{}, {"$ref": "#", "title": "t"}]}, ".anyOf[1]"),
        ({"$defs": {"a": {"additionalProperties": {"$ref": "#", "title": "t"}}}}, ".$defs.a.additionalProperties"),
    ],
)
def test_nothing_may_stand_beside_a_reference(schema: Any, at: str):
    """Documented for JSON Schema in every place of it."""
    declared = refused(HI, tools=[function(parametersJsonSchema=schema)])
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}

    assert declared.startswith(
        f"* GenerateContentRequest.tools[0].function_declarations[0].parameters_json_schema{at}: no field"
    )
    assert f"response_json_schema{at}: no field" in refused(HI, generationConfig=config)


def test_a_bare_reference_and_a_property_of_that_name_are_no_mistake():
    """`$` names may stand beside it; what is a value is no schema."""
    schema = {
        "$ref": "#/$defs/a",
        "$defs": {
            "a": {"properties": {"$ref": {"type": "string"}, "b": {}}, "enum": [1], "anyOf": 1, "oneOf": [{}]}
        },
    }

    assert read(HI, tools=[function(parametersJsonSchema=schema)]).tools


@pytest.mark.parametrize(
    ("tools", "config", "why"),
    [
        ([], calling("ANY"), "without function_declarations"),
        ([function()], calling("AUTO", "read"), "only when function calling mode is ANY"),
        ([function()], calling("ANY", "write"), "Allowed function name write"),
        ([function()], calling("SOME"), "Invalid JSON payload received."),
    ],
)
def test_a_bad_way_of_calling_is_refused(tools: list[Any], config: Any, why: str):
    """A name that is not declared would never be called."""
    assert why in refused(HI, tools=tools, toolConfig=config)


@pytest.mark.parametrize(
    ("config", "to", "why"),
    [
        ({"stopSequences": list("abcdef")}, NEW, "at most 5 stop sequences"),
        ({"maxOutputTokens": 0}, NEW, "maxOutputTokens"),
        ({"temperature": 2.5}, NEW, "temperature"),
        ({"candidateCount": 2}, NEW, "candidateCount"),
        ({"responseSchema": {}, "responseJsonSchema": {}}, NEW, "mutually exclusive"),
        ({"responseJsonSchema": {}}, NEW, "needs the response_mime_type"),
        ({"responseMimeType": "application/json"}, OLD, "response mime type: 'application/json' is unsupported"),
        ({"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 1}}, NEW, "only one of thinking budget"),
        ({"thinkingConfig": {"thinkingLevel": "EXTREME"}}, NEW, '"EXTREME"'),
        ({"thinkingConfig": {"thinkingLevel": "LOW"}}, OLD, "level is not supported"),
        ({"thinkingConfig": {"thinkingBudget": 0}}, PRO, "Budget 0 is invalid"),
        ({"thinkingConfig": {"thinkingBudget": 99_999}}, OLD, "thinkingBudget"),
    ],
)
def test_a_bad_parameter_is_refused(config: Any, to: str, why: str):
    """Models differ in what they take."""
    assert why in refused(HI, to=to, tools=[function()], generationConfig=config)


def test_json_without_functions_is_taken_by_older_models():
    """Only both together are not."""
    assert read(HI, to=OLD, generationConfig={"responseMimeType": "application/json"}).schema is not None
    assert read(HI, to=OLD, generationConfig={"thinkingConfig": {"thinkingBudget": 0}}).text == "hi"
