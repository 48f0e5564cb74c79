"""What the demo sends, read by the types of OpenAI's own package."""

from types import ModuleType

import msgspec
import pytest
from unit.demo_chat import body, chunks, frames, user, whole

from ccproxy.demo import deepseek, openai_chat, openai_responses, openrouter
from ccproxy.demo.prompt import Prompt

pytest.importorskip("openai", reason="the openai package is not installed")

from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import (
    Response,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseStreamEvent,
)
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from pydantic import TypeAdapter

TEXTS = [
    "hello there",
    '[[think hm hm]] [[say on it]] [[tool read {"path": "a"}]] [[tool list {}]]',
    "[[stop refusal]]",
    "[[stop max_tokens]]",
    '[[say ""]]',
]
TOOL = {"name": "read", "parameters": {"type": "object", "properties": {}}}


def asked(text: str) -> Prompt:
    """A request of the Responses API that asks for everything."""
    request = {
        "model": "gpt-5-demo",
        "input": text,
        "tools": [{"type": "function", "strict": False, **TOOL}],
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 1000,
    }
    return openai_responses.read(msgspec.json.encode(request))


@pytest.mark.parametrize("text", TEXTS)
def test_a_response_is_one(text: str):
    """Typed clients fail on a missing or a wrong member."""
    got = whole(openai_responses, asked(text))

    assert Response.model_validate(got).id == "resp_demo_word"


@pytest.mark.parametrize("text", TEXTS)
def test_events_are_those_of_the_api(text: str):
    """Each by its own type, with all that this demands."""
    event = TypeAdapter[ResponseStreamEvent](ResponseStreamEvent)
    for frame in frames(openai_responses, asked(text)):
        told = frame.data.partition(b"data: ")[2]

        assert event.validate_json(told).type == msgspec.json.decode(told)["type"]


def test_failures_are_those_of_the_api():
    """Both of them."""
    error = openai_responses.failure("api_error", "broken", "req_demo_word").data.partition(b"data: ")[2]
    failed = openai_responses.failure("image_parse_error", "broken", "req_demo_word").data.partition(b"data: ")[2]

    assert ResponseErrorEvent.model_validate_json(error).message == "broken"
    assert ResponseFailedEvent.model_validate_json(failed).response.status == "failed"


def test_a_count_is_one():
    """The answer to `/responses/input_tokens`."""
    got = openai_responses.count(b'{"model": "m", "input": "hi"}')

    assert InputTokenCountResponse.model_validate_json(got).input_tokens == 4


@pytest.mark.parametrize("dialect", [openai_chat, deepseek, openrouter])
@pytest.mark.parametrize("text", TEXTS)
def test_chat_completions_are_those_of_the_api(dialect: ModuleType, text: str):
    """Also DeepSeek and OpenRouter are used with this package; what they add is no hindrance."""
    prompt = dialect.read(body(user(text), stream_options={"include_usage": True}))

    assert ChatCompletion.model_validate(whole(dialect, prompt)).choices[0].index == 0
    for chunk in chunks(dialect, prompt):
        assert ChatCompletionChunk.model_validate(chunk).object == "chat.completion.chunk"


@pytest.mark.parametrize("dialect", [openai_chat, deepseek])
def test_models_are_those_of_the_api(dialect: ModuleType):
    """OpenRouter's are others."""
    for name in dialect.MODELS:
        assert Model.model_validate_json(dialect.model(name)).id == name
