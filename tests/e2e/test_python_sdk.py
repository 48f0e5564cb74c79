"""The official Python SDK: what an application does that only swapped its base URL."""

import base64
import re
from collections.abc import AsyncIterator, Iterator

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from anthropic.types import Message, MessageParam, ToolParam, ToolResultBlockParam
from e2e.conftest import RELAYED, TRANSLATED
from e2e.service import Service

WEATHER: ToolParam = {
    "name": "weather",
    "description": "Today's weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}

CALL = '[[tool weather {"city": "Paris", "days": 2}]]'
TWO_CALLS = '[[tool weather {"city": "Paris", "days": 1}]] [[tool weather {"city": "Rome", "days": 1}]]'

ONE_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000000000200010005fe02fe0000000049454e44ae426082"
)


@pytest.fixture
def client(service: Service) -> Iterator[Anthropic]:
    """The client as its users make it."""
    with Anthropic(base_url=service.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[AsyncAnthropic]:
    """The same for asyncio."""
    async with AsyncAnthropic(base_url=service.url, api_key="any", max_retries=0) as client:
        yield client


def asking(text: str) -> list[MessageParam]:
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


def text_of(message: Message) -> str:
    """The message's text."""
    return "".join(block.text for block in message.content if block.type == "text")


def test_create_answers_a_whole_message(client: Anthropic, model: str):
    """The first thing anybody tries."""
    message = client.messages.create(model=model, max_tokens=100, messages=asking("Hello"))

    assert text_of(message) == "Demo answer to: Hello"
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")


def test_every_answer_has_a_request_id_and_usage(client: Anthropic, model: str):
    """The one is quoted in support requests, the other is what people are billed by."""
    message = client.messages.create(model=model, max_tokens=100, messages=asking("Hello"))

    assert (message._request_id or "").startswith("req_")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


async def test_create_answers_with_asyncio(async_client: AsyncAnthropic, model: str):
    """Servers use the asynchronous client, which is other code than the synchronous one."""
    message = await async_client.messages.create(model=model, max_tokens=100, messages=asking("Hello"))

    assert text_of(message) == "Demo answer to: Hello"


def test_text_streams_in_pieces_that_add_up_to_the_final_message(client: Anthropic, model: str):
    """A stream that comes in one lump is no stream, and one that loses a piece is wrong."""
    with client.messages.stream(model=model, max_tokens=100, messages=asking("[[tokens 20]]")) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()

    assert len(pieces) > 10
    assert "".join(pieces) == text_of(message)
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 20


async def test_text_streams_with_asyncio(async_client: AsyncAnthropic, model: str):
    """The same for the asynchronous client."""
    async with async_client.messages.stream(
        model=model, max_tokens=100, messages=asking("[[tokens 20]]")
    ) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()

    assert len(pieces) > 10
    assert "".join(pieces) == text_of(message)


def test_raw_events_come_in_the_documented_order(client: Anthropic, model: str):
    """Clients that read events themselves rely on the order, and on a message that starts and stops once."""
    stream = client.messages.create(model=model, max_tokens=100, messages=asking("Hello"), stream=True)

    kinds = " ".join(event.type for event in stream if event.type != "ping")
    block = "content_block_start (content_block_delta )+content_block_stop "
    assert re.fullmatch(f"message_start ({block})+message_delta message_stop", kinds)


def test_a_folded_stream_equals_the_whole_answer(client: Anthropic, model: str):
    """Applications switch between the two and expect the same content, whatever the wire format behind it."""
    messages = asking(f"[[say Looking.]] {TWO_CALLS}")
    whole = client.messages.create(model=model, max_tokens=200, messages=messages, tools=[WEATHER])
    with client.messages.stream(model=model, max_tokens=200, messages=messages, tools=[WEATHER]) as stream:
        folded = stream.get_final_message()

    assert _without_ids(folded) == _without_ids(whole)


def _without_ids(message: Message) -> list[dict[str, object]]:
    exclude = {"id", "parsed_output", "caller", "signature"}  # of two answers, each is signed on its own
    return [{"stop": message.stop_reason}, *(block.model_dump(exclude=exclude) for block in message.content)]


def test_a_tool_loop_ends_in_an_answer_with_the_tools_result(client: Anthropic, model: str):
    """The heart of every agent: call, run, give the result back, and be understood."""
    messages = asking(CALL)
    first = client.messages.create(model=model, max_tokens=200, messages=messages, tools=[WEATHER])
    calls = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Paris", "days": 2})]

    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    final = client.messages.create(model=model, max_tokens=200, messages=messages, tools=[WEATHER])

    assert text_of(final) == "Demo: tool weather returned: sunny"
    assert final.stop_reason == "end_turn"


def test_the_sdks_own_tool_runner_runs_to_the_end(client: Anthropic, model: str):
    """It calls Python functions by itself; half of the protocol is in its hands, not the application's."""
    seen: list[tuple[str, int]] = []

    @beta_tool
    def weather(city: str, days: int) -> str:
        """Today's weather in a city."""
        seen.append((city, days))
        return f"sunny in {city}"

    runner = client.beta.messages.tool_runner(model=model, max_tokens=200, messages=asking(CALL), tools=[weather])
    final = runner.until_done()

    assert seen == [("Paris", 2)]
    (text,) = [block.text for block in final.content if block.type == "text"]
    assert text.endswith("returned: sunny in Paris")


def test_a_thread_is_refused_where_nobody_keeps_it(client: Anthropic):
    """Anthropic's server can remember a conversation; a provider that cannot would answer its last turn alone.

    The SDKs and Claude Code know this code: they send everything again, and go on without a thread.
    """
    thread = {"type": "continue", "previous_message_id": "msg_1"}
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(
            model=TRANSLATED, max_tokens=100, messages=asking("And then?"), extra_body={"thread": thread}
        )

    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["details"] == {"error_code": "thread_unsupported_request"}


def test_a_translated_conversation_goes_on_without_a_thread(client: Anthropic):
    """The runner opens a thread by itself. What it has said and seen so far must reach the model all the same."""

    @beta_tool
    def weather(city: str, days: int) -> str:
        """Today's weather in a city."""
        return f"sunny in {city} for {days} days"

    runner = client.beta.messages.tool_runner(
        model=TRANSLATED, max_tokens=200, messages=asking(CALL), tools=[weather]
    )
    (answer,) = runner.until_done().content

    assert answer.type == "text"
    assert answer.text == "Demo: tool weather returned: sunny in Paris for 2 days"


def test_parallel_tool_calls_keep_their_own_ids_and_results(client: Anthropic, model: str):
    """Results that reach the wrong call are worse than an error: nobody notices."""
    messages = asking(TWO_CALLS)
    with client.messages.stream(model=model, max_tokens=200, messages=messages, tools=[WEATHER]) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input["city"] for call in calls] == ["Paris", "Rome"]
    assert len({call.id for call in calls}) == 2

    results: list[ToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.input['city']} is sunny"}
        for call in calls
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    final = client.messages.create(model=model, max_tokens=200, messages=messages, tools=[WEATHER])

    assert text_of(final).splitlines() == [
        "Demo: tool weather returned: Paris is sunny",
        "Demo: tool weather returned: Rome is sunny",
    ]


def test_one_call_at_most_where_parallel_calls_are_off(client: Anthropic, model: str):
    """Some tools must not run side by side. Where the provider has no word for that, the caller is told."""
    answer = client.messages.with_raw_response.create(
        model=model,
        max_tokens=200,
        messages=asking(TWO_CALLS),
        tools=[WEATHER],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )

    calls = [block for block in answer.parse().content if block.type == "tool_use"]
    dropped = "disable_parallel_tool_use" in answer.headers.get("x-ccproxy-dropped", "")
    assert len(calls) == (2 if dropped else 1)
    assert dropped == (model == "deepseek,deepseek-demo-1")


def test_a_forced_tool_is_called_with_arguments_of_its_schema(client: Anthropic, model: str):
    """Extraction by a forced tool needs both the choice and the schema to arrive at the model."""
    message = client.messages.create(
        model=model,
        max_tokens=200,
        messages=asking("Hello"),
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "weather"},
    )

    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert call.input == {"city": "demo", "days": 1}


def test_thinking_is_relayed_with_its_signature_and_taken_back(client: Anthropic):
    """Anthropic refuses a tool result whose thinking came back changed, so the relay must not touch it."""
    messages = asking(f"[[think Let me see]] {CALL}")
    with client.messages.stream(
        model=RELAYED,
        max_tokens=2000,
        thinking={"type": "enabled", "budget_tokens": 1024},
        messages=messages,
        tools=[WEATHER],
    ) as stream:
        first = stream.get_final_message()
    thinking, call = first.content
    assert (thinking.type, call.type) == ("thinking", "tool_use")
    assert thinking.type == "thinking"
    assert thinking.thinking == "Let me see"
    assert thinking.signature

    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    final = client.messages.create(model=RELAYED, max_tokens=2000, messages=messages, tools=[WEATHER])
    assert text_of(final) == "Demo: tool weather returned: sunny"


def test_hidden_reasoning_is_counted(client: Anthropic):
    """Chat Completions cannot show reasoning; its price must show all the same."""
    message = client.messages.create(
        model=TRANSLATED, max_tokens=2000, messages=asking("[[think a b c]] [[say d]]")
    )

    assert [block.type for block in message.content] == ["text"]
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 3


def test_a_cut_answer_says_max_tokens(client: Anthropic, model: str):
    """An application that takes a cut answer for a whole one acts on half of it."""
    message = client.messages.create(model=model, max_tokens=20, messages=asking("[[tokens 50]]"))

    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 20


def test_a_stop_sequence_cuts_the_answer(client: Anthropic, model: str):
    """What stands behind the sequence was not asked for."""
    message = client.messages.create(
        model=model, max_tokens=100, messages=asking("[[say one END two]]"), stop_sequences=["END"]
    )

    assert text_of(message).strip() == "one"


def test_an_image_arrives(client: Anthropic, model: str):
    """The wire formats write images differently; the bytes must survive the translation, or be missed aloud."""
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(ONE_PIXEL).decode()}
    message = client.messages.create(
        model=model,
        max_tokens=100,
        messages=[{"role": "user", "content": [{"type": "image", "source": source}]}],
    )

    blind = model == "deepseek,deepseek-demo-1"
    seen = "image omitted: this model takes text only" if blind else f"image image/png, {len(ONE_PIXEL)} bytes"
    assert f"[{seen}]" in text_of(message)


def test_tokens_are_counted(client: Anthropic, model: str):
    """Agents plan their context by this number."""
    short = client.messages.count_tokens(model=model, messages=asking("Hello"))
    long = client.messages.count_tokens(model=model, messages=asking("Hello " * 100))

    assert 0 < short.input_tokens < long.input_tokens


def test_pages_of_models_hold_every_model_once(client: Anthropic):
    """The SDK asks for page after page by the last id; a wrong cursor loses models or never ends."""
    paged = [model.id for model in client.models.list(limit=2)]

    assert paged == [model.id for model in client.models.list(limit=1000)]
    assert len(set(paged)) == len(paged)
    assert {RELAYED, TRANSLATED} <= set(paged)


def test_every_listed_model_can_be_retrieved_and_used(client: Anthropic):
    """An id that is shown and then refused is a trap."""
    for listed in client.models.list(limit=1000):
        assert client.models.retrieve(listed.id).id == listed.id
        assert client.messages.create(model=listed.id, max_tokens=10, messages=asking("Hello")).content


def test_an_unknown_model_is_not_found(client: Anthropic):
    """Applications check a model by retrieving it."""
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("no-such-model")
