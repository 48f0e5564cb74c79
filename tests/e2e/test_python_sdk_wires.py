"""The official Python SDK over every way to a provider: what differs most between them."""

from collections.abc import Iterator

import anthropic
import httpx
import msgspec
import pytest
from anthropic import Anthropic
from anthropic.types import Message, ThinkingBlock
from e2e.conftest import RELAYED, TRANSLATED
from e2e.service import Service
from e2e.test_python_sdk import CALL, TWO_CALLS, WEATHER, asking, text_of

THOUGHT = f"[[think Let me see]] [[say Looking.]] {TWO_CALLS}"
NAMELESS = {TRANSLATED, "openai,gpt-5-demo", "deepseek,deepseek-demo-1"}
"""Those whose streams have no word for an overload."""
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.fixture
def client(wired_service: Service) -> Iterator[Anthropic]:
    """A client of a service with every provider, none of which it may ask twice."""
    with Anthropic(base_url=wired_service.url, api_key="any", max_retries=0) as client:
        yield client


def think(client: Anthropic, model: str, text: str, *, stream: bool) -> Message:
    """An answer with thinking, folded by the SDK where it is streamed."""
    asked = {
        "model": model,
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "messages": asking(text),
        "tools": [WEATHER],
    }
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as running:
        return running.get_final_message()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thinking_goes_back_to_who_thought_it(
    client: Anthropic,
    upstream: str,
    model: str,
    stream: bool,  # noqa: FBT001  # a parameter of the test
):
    """Each provider signs its thinking in its own way, and a tool loop goes on only with what it knows again."""
    first = think(client, model, THOUGHT, stream=stream)
    thoughts = [block.thinking for block in first.content if isinstance(block, ThinkingBlock) and block.thinking]
    calls = [block for block in first.content if block.type == "tool_use"]
    assert thoughts == ([] if model == TRANSLATED else ["Let me see"])
    assert [call.input["city"] for call in calls] == ["Paris", "Rome"]

    before = httpx.get(upstream, trust_env=False).json()["recalled"]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": call.id} for call in calls]
    final = client.messages.create(
        model=model,
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=[
            *asking(THOUGHT),
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": results},
        ],
        tools=[WEATHER],
    )

    assert text_of(final).splitlines() == [f"Demo: tool weather returned: {call.id}" for call in calls]
    recalled = httpx.get(upstream, trust_env=False).json()["recalled"] - before
    assert (recalled > 0) == (model != TRANSLATED)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_thinking_is_counted(client: Anthropic, model: str, stream: bool):  # noqa: FBT001  # a parameter
    """Chat Completions cannot show it; its price must show all the same."""
    message = think(client, model, "[[think a b c]] [[say d]]", stream=stream)

    assert text_of(message) == "d"
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 3


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_has_the_form_that_was_asked_for(
    client: Anthropic,
    model: str,
    stream: bool,  # noqa: FBT001  # a parameter of the test
):
    """Applications parse it without looking; each provider takes the schema in another place."""
    asked = {
        "model": model,
        "max_tokens": 200,
        "messages": asking("Which city?"),
        "output_config": {"format": {"type": "json_schema", "schema": CITY}},
    }
    if stream:
        with client.messages.stream(**asked) as running:
            message = running.get_final_message()
    else:
        message = client.messages.create(**asked)

    loose = model == "deepseek,deepseek-demo-1"  # it promises an object, and no more
    assert msgspec.json.decode(text_of(message)) == ({} if loose else {"city": "demo", "days": 1})


def test_a_refusal_is_one(client: Anthropic, model: str):
    """An application that takes it for an answer shows an empty page."""
    with client.messages.stream(model=model, max_tokens=100, messages=asking("[[stop refusal]] No")) as stream:
        folded = stream.get_final_message()
    whole = client.messages.create(model=model, max_tokens=100, messages=asking("[[stop refusal]] No"))

    assert folded.stop_reason == whole.stop_reason == "refusal"


def test_a_stop_sequence_is_told(client: Anthropic, model: str):
    """Where the provider says which one it was, or can be watched; the text ends before it in any case."""
    with client.messages.stream(
        model=model, max_tokens=100, messages=asking("[[say one END two]]"), stop_sequences=["END"]
    ) as stream:
        message = stream.get_final_message()

    assert text_of(message).strip() == "one"
    assert (message.stop_reason, message.stop_sequence) in {("stop_sequence", "END"), ("end_turn", None)}


def test_a_cut_stream_says_max_tokens(client: Anthropic, model: str):
    """Also where the arguments of a call are what was cut."""
    with client.messages.stream(model=model, max_tokens=20, messages=asking("[[tokens 50]]")) as stream:
        message = stream.get_final_message()

    assert message.stop_reason == "max_tokens"
    assert text_of(message).split()[-1] == "20"


def test_a_failure_in_mid_stream_has_the_class_of_its_kind(client: Anthropic, model: str):
    """What was shown stays shown; the application must know whether to come back."""
    seen = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(
            model=model, max_tokens=200, messages=asking(f"{CALL} [[tokens 20]] [[fail 9 overloaded_error busy]]")
        ) as stream,
    ):
        seen.extend(event.type for event in stream)

    assert "content_block_delta" in seen
    assert "message_stop" not in seen
    assert caught.value.type == ("api_error" if model in NAMELESS else "overloaded_error")


def test_tokens_are_counted_as_they_are_charged(client: Anthropic, model: str):
    """Where the provider counts, its number is passed on; an estimate that is too low would fill the context."""
    counted = client.messages.count_tokens(model=model, messages=asking("Hello " * 100), tools=[WEATHER])
    charged = client.messages.create(model=model, max_tokens=20, messages=asking("Hello " * 100), tools=[WEATHER])

    estimated = model not in {RELAYED, "gemini,gemini-3-demo"}
    assert counted.input_tokens >= charged.usage.input_tokens
    assert (counted.input_tokens == charged.usage.input_tokens) != estimated
