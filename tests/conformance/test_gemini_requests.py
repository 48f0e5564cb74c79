"""Recorded requests to Anthropic, said to Gemini."""

import re
from typing import Any

import msgspec
import pytest
from conformance.recordings import Recording, asked_of_claude, each
from conformance.test_openai_chat_requests import texts
from unit.gemini import provider

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head, decode_request

REQUESTS = asked_of_claude()
MODELS = ("gemini-2.5-pro", "gemini-3.5-flash")


def said(body: bytes, model: str) -> dict[str, Any]:
    """What goes upstream."""
    call = Call(edge="http", request_id="req_1", body=body)
    exchange = provider().exchange(call, decode_head(body), Target("gemini", model, "default"))
    document: dict[str, Any] = msgspec.json.decode(exchange.request.body or b"")
    assert exchange.dropped == tuple(sorted(set(exchange.dropped)))
    return document


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_turns_alternate_and_results_directly_follow_their_calls(recording: Recording, model: str):
    """The provider refuses the conversation otherwise."""
    contents = said(recording.request or b"", model)["contents"]
    assert [each["role"] for each in contents] == (["user", "model"] * len(contents))[: len(contents)]
    assert contents[-1]["role"] == "user"
    calls: list[str] = []
    for content in contents:
        assert content["parts"]
        names = [part["functionResponse"]["name"] for part in content["parts"][: len(calls)] if calls]
        assert names == calls
        assert not any("functionResponse" in part for part in content["parts"][len(calls) :])
        calls = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
    assert calls == []


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_no_text_is_lost(recording: Recording, model: str):
    """Whatever else cannot be said."""
    body = recording.request or b""
    all_parts = [part for content in said(body, model)["contents"] for part in content["parts"]]
    responses = [value for p in all_parts for value in p.get("functionResponse", {}).get("response", {}).values()]
    all_text = "\n".join([*(part.get("text", "") for part in all_parts), *responses])

    assert [text for text in texts(decode_request(body)) if text not in all_text] == []


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_names_and_schemas_are_ones_that_are_accepted(recording: Recording, model: str):
    """One bad name, or one unknown keyword, is a 400 for the whole request."""
    request = said(recording.request or b"", model)
    declared = [each for tool in request.get("tools", ()) for each in tool.get("functionDeclarations", ())]

    assert all(re.fullmatch(r"[a-zA-Z_][\w.:-]{0,127}", each["name"]) for each in declared)
    for each_ in declared:
        check_schema(each_.get("parametersJsonSchema", {}))
    assert ("toolConfig" in request) <= bool(declared)


KEYWORDS = frozenset(
    {
        *("$defs", "$ref", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems"),
        *("maxItems", "minimum", "maximum", "anyOf", "properties", "additionalProperties", "required"),
    }
)


def check_schema(schema: dict[str, Any]) -> None:
    """Only keywords that Gemini documents, and none beside a reference."""
    assert set(schema) <= KEYWORDS
    if "$ref" in schema:
        assert set(schema) == {"$ref"}
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    inner += [
        *schema.get("prefixItems", ()),
        *(schema[k] for k in ("items", "additionalProperties") if k in schema),
    ]
    for each_ in inner:
        if not isinstance(each_, bool):
            check_schema(each_)
