"""What is derived and what is sent, held against the types of the official SDKs.

The types of `anthropic` and `openai` are typed dictionaries, which allow what they do not name and look into
a list only as it is read; here they do neither. Those of `google-genai` refuse what they do not name.
"""

from functools import cache
from typing import Any

import pytest
from anthropic.types import MessageCreateParams
from conformance.nearest import derivable, derived
from conformance.recordings import Recording, each
from conformance.test_derived_requests import body_of, translated
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator

CHAT = [r for r in derivable() if r.facts.api == "chat.completions"]
RESPONSES = [r for r in derivable() if r.facts.api == "responses"]
GEMINI = [r for r in derivable() if r.facts.api.startswith("generateContent")]

OWN_WORDS = {
    "deepseek": {"thinking"},
    "openrouter": {"reasoning", "provider", "session_id", "top_k"},
}
"""Members that only these servers know; OpenAI's types cannot hold them."""

OLDER_MEMBERS = {"temperature", "top_p", "top_k"}
"""Members that API version 2023-06-01 has, and the newest types do not."""


@cache
def strict(kind: Any) -> SchemaValidator:
    """A validator that refuses members that a typed dictionary does not name, and walks through iterables."""
    return SchemaValidator(_tightened(TypeAdapter(kind).core_schema))


def _tightened(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_tightened(each) for each in schema]
    if isinstance(schema, tuple):
        return tuple(_tightened(each) for each in schema)
    if not isinstance(schema, dict):
        return schema
    made = {name: value if name == "metadata" else _tightened(value) for name, value in schema.items()}
    if made.get("type") == "generator":
        made["type"] = "list"
    if made.get("type") == "typed-dict":
        made["extra_behavior"] = "forbid"
    return made


def filled(request: dict[str, Any]) -> dict[str, Any]:
    """A request to Responses with what the types demand and the API itself fills in.

    Recorded requests without `detail` of an image were answered; those with an answer of role and text alone were
    refused for their length and for nothing else.
    """
    for item in request["input"]:
        for part in item.get("content", ()):
            if part["type"] == "input_image":
                part.setdefault("detail", "auto")
            if part["type"] == "output_text":
                part.setdefault("annotations", [])
                item |= {"id": "msg_1", "status": "completed", **item}
    return request


@each(derivable())
def test_a_derived_request_is_one_that_anthropics_sdk_sends(recording: Recording):
    """Else it proves nothing about clients of Anthropic."""
    request = {name: v for name, v in derived(recording).request.items() if name not in OLDER_MEMBERS}

    strict(MessageCreateParams).validate_python(request)


@each(CHAT)
def test_a_chat_request_is_one_that_openais_sdk_sends(recording: Recording):
    """The types are made from the API's own description."""
    types = pytest.importorskip("openai.types.chat.completion_create_params")
    body = body_of(translated(recording, derived(recording).request))
    sent = {name: value for name, value in body.items() if name not in OWN_WORDS.get(recording.facts.provider, ())}
    if recording.facts.provider == "deepseek":
        sent["messages"] = [{k: v for k, v in m.items() if k != "reasoning_content"} for m in sent["messages"]]

    strict(types.CompletionCreateParams).validate_python(sent)


@each(RESPONSES)
def test_a_responses_request_is_one_that_openais_sdk_sends(recording: Recording):
    """The types are made from the API's own description."""
    types = pytest.importorskip("openai.types.responses.response_create_params")
    sent = filled(body_of(translated(recording, derived(recording).request)))

    strict(types.ResponseCreateParams).validate_python(sent)


@each(GEMINI)
def test_a_gemini_request_is_one_that_googles_sdk_sends(recording: Recording):
    """A member that Gemini does not know is a 400 for the whole request."""
    types = pytest.importorskip("google.genai.types")
    sent = body_of(translated(recording, derived(recording).request))

    assert sent.keys() <= MEMBERS.keys() | {"serviceTier"}
    for name, value in sent.items():
        if name in MEMBERS:
            TypeAdapter(MEMBERS[name](types)).validate_python(value)


MEMBERS = {
    "contents": lambda types: list[types.Content],
    "systemInstruction": lambda types: types.Content,
    "tools": lambda types: list[types.Tool],
    "toolConfig": lambda types: types.ToolConfig,
    "generationConfig": lambda types: types.GenerationConfig,
}
"""The members of a request, and their types in the SDK, which has none for the request as a whole."""
