"""The demo as Gemini: what it sends, and how our own translator gets on with it."""

from typing import Any

import msgspec
import pytest
from unit.chat import blocks, events
from unit.gemini import TOOL, exchange, provider

from ccproxy.demo import gemini
from ccproxy.demo.answer import compose
from ccproxy.demo.dialect import Kind, Stamp, until
from ccproxy.demo.directives import parse
from ccproxy.demo.gemini_state import is_third, signature
from ccproxy.demo.prompt import InvalidRequestError, Prompt
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.providers.gemini import GeminiExchange

STAMP = Stamp("word", 1)
THINKING = {"thinking": {"type": "adaptive"}}
SHOWN = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
NEW, OLD = "gemini-3-demo", "gemini-2.5-demo"
TEXT_STATE = signature(NEW, "text", "w")


def prompt_of(text: str, model: str = NEW, **members: Any) -> Prompt:
    """A request that says `text`."""
    contents = [{"role": "user", "parts": [{"text": text}]}]
    return gemini.read(msgspec.json.encode({"contents": contents, **members}), model, stream=False)


def whole(text: str, model: str = NEW, **members: Any) -> dict[str, Any]:
    """The document that answers `text`."""
    prompt = prompt_of(text, model, **members)
    document: dict[str, Any] = msgspec.json.decode(
        gemini.whole(compose(prompt, parse(prompt.text)), prompt, STAMP)
    )
    return document


def parts(text: str, model: str = NEW, **members: Any) -> list[dict[str, Any]]:
    """The parts of the document that answers `text`."""
    found: list[dict[str, Any]] = whole(text, model, **members)["candidates"][0]["content"]["parts"]
    return found


def chunks(text: str, model: str = NEW, **members: Any) -> list[dict[str, Any]]:
    """The chunks of the stream that answers `text`."""
    prompt = prompt_of(text, model, **members)
    found = []
    for frame in gemini.frames(compose(prompt, parse(prompt.text)), prompt, STAMP):
        assert frame.data.startswith(b"data: {")
        assert frame.data.endswith(b"}\r\n\r\n")
        assert frame.data.count(b"\n") == 2
        found.append(msgspec.json.decode(frame.data.removeprefix(b"data: ")))
    return found


def streamed_parts(text: str, model: str = NEW, **members: Any) -> list[dict[str, Any]]:
    """The parts of a stream, one after the other."""
    found = chunks(text, model, **members)
    return [part for chunk in found for part in chunk["candidates"][0]["content"].get("parts", [])]


def without_state(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parts without their signatures."""
    return [{name: value for name, value in part.items() if name != "thoughtSignature"} for part in found]


def signed(found: list[dict[str, Any]]) -> list[bool]:
    """Which parts have a signature."""
    return ["thoughtSignature" in part for part in found]


def test_the_stream_says_why_it_ended_in_its_last_chunk_and_has_no_other_end():
    """Clients end at the end of the connection; a `[DONE]` would be no JSON to them."""
    got = chunks("[[say a b]]")

    assert [chunk["candidates"][0].get("finishReason") for chunk in got] == [None, None, "STOP"]
    assert without_state(streamed_parts("[[say a b]]")) == [{"text": "a"}, {"text": " b"}, {"text": ""}]


def test_usage_grows_with_the_stream():
    """Every chunk has it, and clients take the last: one that adds them up counts too much."""
    got = [chunk["usageMetadata"] for chunk in chunks("[[think x y]][[say a b]]", **SHOWN)]

    assert [usage.get("candidatesTokenCount") for usage in got] == [None, None, 1, 2, 2]
    assert [usage.get("thoughtsTokenCount") for usage in got] == [None, None, 2, 2, 2]
    assert [usage["totalTokenCount"] - usage["promptTokenCount"] for usage in got] == [0, 0, 3, 4, 4]


def test_thinking_is_shown_on_demand():
    """Without `includeThoughts` it is counted alone."""
    assert without_state(parts("[[think a b]][[say c]]", **SHOWN)) == [
        {"text": "a b", "thought": True},
        {"text": "c"},
    ]
    assert without_state(streamed_parts("[[think a b]][[say c]]", **SHOWN)) == [
        {"text": "a", "thought": True},
        {"text": " b", "thought": True},
        {"text": "c"},
        {"text": ""},
    ]
    assert without_state(parts("[[think a b]][[say c]]")) == [{"text": "c"}]
    assert whole("[[think a b]][[say c]]")["usageMetadata"]["thoughtsTokenCount"] == 2


def test_a_call_comes_whole_and_on_one_line():
    """There are no pieces of arguments on this wire, and a line break in them would end the frame's data."""
    text = '[[tool read {"path":\n "a"}]][[tool list]]'
    calls = [
        {"functionCall": {"name": "read", "args": {"path": "a"}, "id": "demo_word_0"}},
        {"functionCall": {"name": "list", "args": {}, "id": "demo_word_1"}},
    ]

    assert without_state(parts(text)) == calls
    assert without_state(streamed_parts(text)) == [*calls, {"text": ""}]
    assert whole(text)["candidates"][0]["finishReason"] == "STOP"
    assert whole(text)["candidates"][0]["finishMessage"] == "Model generated function call(s)."


def test_older_models_give_calls_no_id():
    """Most recorded answers have none; clients must make their own."""
    assert parts("[[tool read]]", OLD) == [{"functionCall": {"name": "read", "args": {}}}]


def test_a_call_that_tokens_cut_is_left_out():
    """The real one does not send half an object."""
    got = whole('[[tool read {"path": "a"}]]', generationConfig={"maxOutputTokens": 1})["candidates"][0]

    assert (got["content"], got["finishReason"]) == ({"role": "model"}, "MAX_TOKENS")


@pytest.mark.parametrize(
    ("text", "in_whole", "in_stream"),
    [
        ("[[say a b]]", [True], [False, False, True]),  # on an empty text at the end of the stream
        ("[[say a]][[say b]]", [False, True], [False, False, True]),
        ("[[tool read]][[tool list]]", [True, False], [True, False, False]),
        ("[[say a]][[tool read]]", [False, True], [False, True, False]),
        ("[[say a]][[stop max_tokens]]", [False], [False, False]),
    ],
)
def test_state_is_on_the_first_call_or_else_on_the_last_text(
    text: str, in_whole: list[bool], in_stream: list[bool]
):
    """These are the places of the recordings."""
    assert signed(parts(text)) == in_whole
    assert signed(streamed_parts(text)) == in_stream


def test_older_models_sign_only_where_they_thought():
    """Clients must do without."""
    assert signed(parts("[[tool read]]", OLD)) == [False]
    assert signed(parts("[[think a]][[tool read]]", OLD)) == [True]


def test_another_answer_has_other_signatures():
    """A client that mixes them up is to be found out."""
    prompt = prompt_of("[[say a]]")
    answer = compose(prompt, parse(prompt.text))

    assert gemini.whole(answer, prompt, STAMP) != gemini.whole(answer, prompt, Stamp("word2", 1)).replace(
        b"word2", b"word"
    )


@pytest.mark.parametrize(
    ("model", "is_it"),
    [
        ("gemini-3-demo", True),
        ("gemini-3.5-flash", True),
        ("gemini-10-pro", True),
        ("gemini-pro-latest", True),
        ("gemini-2.5-demo", False),
        ("gemini-20-x", True),
        ("gemini-2-x", False),
        ("other", False),
    ],
)
def test_models_are_told_apart_by_name(model: str, is_it: bool):  # noqa: FBT001
    """Gemini 3 is strict with its state; whatever name is asked for behaves as that model would."""
    assert is_third(model) is is_it


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "STOP"),
        ("max_tokens", "MAX_TOKENS"),
        ("tool_use", "STOP"),
        ("malformed_function_call", "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_reasons_are_said_in_geminis_words(reason: str, finish: str):
    """A word that is not Anthropic's goes out in capitals, so that anything can be provoked."""
    assert whole(f"[[stop {reason}]]")["candidates"][0]["finishReason"] == finish
    assert chunks(f"[[stop {reason}]]")[-1]["candidates"][0]["finishReason"] == finish


def test_a_refused_answer_ends_without_content():
    """Recorded so; clients that expect parts break on it."""
    last = chunks("[[say a]][[stop refusal]]")[-1]["candidates"][0]

    assert (last["content"], last["finishReason"]) == ({}, "SAFETY")
    assert last["safetyRatings"][0]["blocked"] is True
    assert without_state(parts("[[say a]][[stop refusal]]")) == [{"text": "a"}]


def test_a_refused_prompt_has_no_candidate():
    """The reason is in another place than that of a refused answer."""
    got = whole("[[stop prompt_blocked]]")

    assert (got["promptFeedback"], "candidates" in got) == ({"blockReason": "PROHIBITED_CONTENT"}, False)
    assert "candidatesTokenCount" not in got["usageMetadata"]
    assert chunks("[[stop prompt_blocked]]") == [got]


def test_cached_tokens_are_part_of_the_prompt_and_thoughts_no_part_of_the_candidates():
    """Both differ from Anthropic: the mistakes everybody makes."""
    usage = whole(
        '[[usage {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, '
        '"output_tokens": 9, "thinking_tokens": 4}]]'
    )["usageMetadata"]

    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (17, 5)
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"], usage["totalTokenCount"]) == (5, 4, 26)


def test_the_answer_comes_from_a_demo_model():
    """It never claims to be what it is not."""
    assert whole("hi", "gemini-3.5-flash")["modelVersion"] == NEW
    assert whole("hi", OLD)["modelVersion"] == OLD
    assert "demo" in whole("hi")["responseId"]


@pytest.mark.parametrize(
    ("status", "kind", "said", "reason"),
    [
        (400, None, "INVALID_ARGUMENT", None),
        (400, "failed_precondition", "FAILED_PRECONDITION", None),
        (400, "api_key_invalid", "INVALID_ARGUMENT", "API_KEY_INVALID"),
        (402, "billing_error", "FAILED_PRECONDITION", None),
        (404, "not_found_error", "NOT_FOUND", None),
        (413, None, "INVALID_ARGUMENT", None),
        (500, "api_error", "INTERNAL", None),
        (502, None, "INTERNAL", None),
        (503, None, "UNAVAILABLE", None),
        (529, "overloaded_error", "UNAVAILABLE", None),
    ],
)
def test_errors_have_geminis_words(status: int, kind: str | None, said: str, reason: str | None):
    """A directive in Anthropic's words provokes what Gemini sends in that case."""
    error = msgspec.json.decode(gemini.error(status, kind, "m", "req_1"))["error"]

    assert (error["code"], error["message"], error["status"]) == (status, "m", said)
    assert [detail["reason"] for detail in error.get("details", ())] == ([reason] if reason else [])


def test_a_rate_limit_says_how_long_to_wait_in_its_body():
    """There is no header for it."""
    error = msgspec.json.decode(gemini.error(429, None, None, ""))["error"]

    assert (error["message"], error["status"]) == ("Demo error 429", "RESOURCE_EXHAUSTED")
    assert error["details"][-1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
    failure = exchange_error(429, gemini.error(429, None, None, ""))
    assert (failure.reason, failure.retry_after) == (Reason.RATE_LIMITED, 1)


def test_an_unknown_field_is_named_in_the_details():
    """Clients show them."""
    with pytest.raises(InvalidRequestError) as refused:
        prompt_of("hi", tools=[{"functionDeclarations": [{"name": "f", "parameters": {"$schema": ""}}]}], foo=1)

    details = msgspec.json.decode(gemini.error(400, None, str(refused.value), ""))["error"]["details"]
    fields = [violation["field"] for violation in details[0]["fieldViolations"]]
    assert fields == ["tools[0].function_declarations[0].parameters", ""]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("overloaded_error", 503, "UNAVAILABLE"),
        ("rate_limit_error", 429, "RESOURCE_EXHAUSTED"),
        ("deadline_exceeded", 504, "DEADLINE_EXCEEDED"),
        ("billing_error", 400, "FAILED_PRECONDITION"),
        ("some_reason", 500, "INTERNAL"),
    ],
)
def test_a_failure_is_the_end_of_a_stream(kind: str, code: int, status: str):
    """The code is in the document, since the HTTP status was 200."""
    frame = gemini.failure(kind, "m", "req_1")
    error = msgspec.json.decode(frame.data.removeprefix(b"data: "))["error"]

    assert frame.kind is Kind.END
    assert (error["code"], error["status"]) == (code, status)


def test_models_come_in_pages():
    """A client that ignores the token misses some."""
    first = msgspec.json.decode(gemini.models({"pageSize": "3"}))
    second = msgspec.json.decode(gemini.models({"pageSize": "3", "pageToken": first["nextPageToken"]}))
    every = msgspec.json.decode(gemini.models({"pageSize": "0"}))

    assert [model["name"] for model in first["models"]] == [f"models/{name}" for name in gemini.MODELS]
    assert [model["supportedGenerationMethods"] for model in second["models"]] == [["embedContent"]]
    assert "nextPageToken" not in second
    assert every == {"models": first["models"] + second["models"]}
    assert (
        first["models"][0]
        | {
            "displayName": "Gemini 3 Demo (demo upstream, no model)",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
        }
        == first["models"][0]
    )


@pytest.mark.parametrize("query", [{"pageSize": "x"}, {"pageSize": "-1"}, {"pageToken": "9" * 9}])
def test_a_bad_page_is_refused(query: dict[str, str]):
    """Not answered with some other page."""
    with pytest.raises(InvalidRequestError):
        gemini.models(query)


def test_one_model_can_be_asked_for():
    """With the name as the list has it, or without its prefix."""
    assert gemini.model(f"models/{NEW}") == gemini.model(NEW)
    assert msgspec.json.decode(gemini.model(NEW) or b"{}")["name"] == f"models/{NEW}"
    assert gemini.model("gemini-3.5-flash") is None


# With our own translator.


def exchange_error(status: int, body: bytes) -> ApiError:
    """What the provider makes of an error."""
    return provider().error(status, {}, body)


def understood(one: GeminiExchange, *, stream: bool) -> Prompt:
    """The request of an exchange as the demo reads it, model and method from the URL as its server does."""
    model, _, method = one.request.url.partition("/models/")[2].partition(":")
    assert method == ("streamGenerateContent?alt=sse" if stream else "generateContent")
    return gemini.read(one.request.body or b"", model, stream=stream)


def answered(*messages: Any, model: str = NEW, word: str = "w", **members: Any) -> list[dict[str, Any]]:
    """The content of a whole answer."""
    one = exchange(*messages, model=model, **members)
    prompt = understood(one, stream=False)
    body = gemini.whole(compose(prompt, parse(prompt.text)), prompt, Stamp(word, 1))
    content: list[dict[str, Any]] = msgspec.json.decode(one.answer(body).body)["content"]
    return content


def streamed(*messages: Any, model: str = NEW, size: int = 7, **members: Any) -> list[dict[str, Any]]:
    """The events of a streamed answer, its bytes cut into pieces of `size`."""
    one = exchange(*messages, model=model, stream=True, **members)
    prompt = understood(one, stream=True)
    answer = compose(prompt, parse(prompt.text))
    data = b"".join(frame.data for frame in gemini.frames(answer, prompt, Stamp("w", 1)))
    stream = one.stream()
    for start in range(0, len(data), size):
        stream.feed(data[start : start + size])
    stream.close()
    return events(stream.take())


def said(*messages: Any, **members: Any) -> list[dict[str, Any]]:
    """The content of a streamed answer, as a client sends it back."""
    content = blocks(streamed(*messages, **members))
    for block in content:
        if block["type"] == "tool_use":
            block["input"] = msgspec.json.decode(block["input"])
    return content


def user(content: Any) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    """A message of the model."""
    return {"role": "assistant", "content": content}


def results(content: list[dict[str, Any]], *more: Any) -> dict[str, Any]:
    """Results for all calls in `content`."""
    found = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": f"result {number}"}
        for number, block in enumerate(block for block in content if block["type"] == "tool_use")
    ]
    return user([*found, *more])


def text_of(content: list[dict[str, Any]]) -> str:
    """The text of an answer."""
    return "".join(block["text"] for block in content if block["type"] == "text")


def types(content: list[dict[str, Any]]) -> list[str]:
    """What blocks there are."""
    return [block["type"] for block in content]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_streamed_text_comes_through(size: int):
    """However the bytes are cut."""
    got = streamed(user("[[say Good day, Grüße]]"), size=size)

    assert text_of(blocks(got)) == "Good day, Grüße"
    assert got[-2]["delta"]["stop_reason"] == "end_turn"
    assert got[-2]["usage"]["output_tokens"] == 3


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
def test_thinking_and_parallel_calls_come_through(size: int):
    """State goes before the call that it belongs to."""
    text = '[[think Let me see]][[say Now]][[tool read {"path": "a"}]][[tool read {"path": "b"}]]'
    got = streamed(user(text), tools=[TOOL], size=size, **THINKING)
    content = blocks(got)

    assert types(content) == ["thinking", "text", "thinking", "tool_use", "tool_use"]
    assert (content[0]["thinking"], content[3]["input"]) == ("Let me see", '{"path":"a"}')
    assert len({block["id"] for block in content[3:]}) == 2
    assert got[-2]["delta"]["stop_reason"] == "tool_use"
    assert got[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 3}


@pytest.mark.parametrize("model", [NEW, OLD])
@pytest.mark.parametrize("turn", [said, answered])
def test_a_tool_loop_goes_on_with_the_blocks_that_came_back(turn: Any, model: str):
    """The state of every step returns on its own part: on another one, or lost, the demo refuses it."""
    first = user('[[think Hm]][[tool read {"path": "a"}]][[tool read {"path": "b"}]]')
    members: dict[str, Any] = {"model": model, "tools": [TOOL], **THINKING}
    step = turn(first, **members)
    more = {"type": "text", "text": '[[think Again]][[say So]][[tool read {"path": "c"}]]'}
    history = [first, assistant(step), results(step, more)]
    second = turn(*history, **members)
    history += [assistant(second), results(second)]
    last = turn(*history, **members)

    history.append(assistant(last))

    assert (types(step)[-2:], types(second)[-1]) == (["tool_use", "tool_use"], "tool_use")
    assert text_of(last) == "Demo: tool read returned: result 0"
    assert text_of(turn(*history, user("[[say bye]]"), **members)) == "bye"


@pytest.mark.parametrize("turn", [answered, said])
def test_a_last_text_is_the_last_block(turn: Any):
    """Its state has no place behind it, and the demo, like the real one, does not ask for it."""
    content = turn(user("[[say a]]"), **THINKING)
    one = exchange(user("[[say a]]"), assistant(content), user("hi"), model=NEW, **THINKING)

    assert content[-1]["type"] == "text"
    assert msgspec.json.decode(one.request.body or b"")["contents"][1]["parts"] == [{"text": "a"}]
    assert understood(one, stream=False).text == "hi"


def test_lost_state_is_said_with_the_documented_stand_in():
    """Calls of another model have none; the demo would refuse them bare."""
    call = {"type": "tool_use", "id": "t1", "name": "read", "input": {}}

    got = said(user("hi"), assistant([call]), results([call]), tools=[TOOL])

    assert text_of(got) == "Demo: tool read returned: result 0"


def test_state_of_another_model_is_not_sent():
    """The demo, like the real one, refuses what another model signed."""
    step = said(user("[[tool read]]"), tools=[TOOL])

    got = said(user("[[tool read]]"), assistant(step), results(step), tools=[TOOL], model="gemini-3-demo-lite")

    assert text_of(got) == "Demo: tool read returned: result 0"


def test_forged_state_is_refused_and_tried_again_without():
    """The refusal is worded so that the translator knows it."""
    step = said(user("[[tool read]]"), tools=[TOOL])
    one = exchange(user("x"), assistant(step), results(step), model=NEW, tools=[TOOL])
    document = msgspec.json.decode(one.request.body or b"")
    document["contents"][1]["parts"][0]["thoughtSignature"] = "Zm9yZ2Vk"

    with pytest.raises(InvalidRequestError, match="Corrupted thought signature") as refused:
        gemini.read(msgspec.json.encode(document), NEW, stream=False)

    failure = exchange_error(400, gemini.error(400, None, str(refused.value), ""))
    again = one.recover(failure)
    assert again is not None
    assert understood(again, stream=False).results[0].text == "result 0"


def test_results_with_images_go_into_the_response_or_after_it():
    """Only Gemini 3 takes them inside."""
    step = said(user("[[tool read]]"), tools=[TOOL])
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    call_id = next(block["id"] for block in step if block["type"] == "tool_use")
    result = user([{"type": "tool_result", "tool_use_id": call_id, "content": [image], "is_error": True}])

    new = understood(exchange(user("x"), assistant(step), result, model=NEW, tools=[TOOL]), stream=False)
    old = understood(exchange(user("x"), assistant(step), result, model=OLD, tools=[TOOL]), stream=False)

    assert (new.results[0].text, new.results[0].is_error) == ("[image image/png, 2 bytes]", True)
    assert old.text == "[image image/png, 2 bytes]"


def test_a_forced_tool_and_a_schema_are_obeyed():
    """What the caller asks for arrives in Gemini's words."""
    tool = {**TOOL, "input_schema": {**TOOL["input_schema"], "required": ["path"]}}
    forced = said(user("hi"), tools=[tool], tool_choice={"type": "tool", "name": "read"})
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    structured = said(user("hi"), output_config={"format": {"type": "json_schema", "schema": schema}})

    assert (types(forced)[-1], forced[-1]["input"]) == ("tool_use", {"path": "demo"})
    assert text_of(structured) == '{"n":1}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[stop refusal]]", "refusal"),
        ("[[stop prompt_blocked]]", "refusal"),
        ("[[stop max_tokens]]", "max_tokens"),
    ],
)
def test_reasons_come_through(text: str, reason: str):
    """In Anthropic's words again."""
    assert streamed(user(text))[-2]["delta"]["stop_reason"] == reason


def test_an_answer_that_failed_is_an_error():
    """Nothing in it may be acted on."""
    with pytest.raises(ApiError):
        streamed(user("[[tool read]][[stop malformed_function_call]]"), tools=[TOOL])


def test_a_failure_in_mid_stream_is_an_error_of_its_kind():
    """What came before it is handed over first."""
    one = exchange(user("[[tokens 5]]"), model=NEW, stream=True)
    prompt = understood(one, stream=True)
    frames = until(gemini.frames(compose(prompt, parse(prompt.text)), prompt, STAMP), 2)
    stream = one.stream()
    for frame in frames:
        stream.feed(frame.data)

    with pytest.raises(ApiError) as failed:
        stream.feed(gemini.failure("overloaded_error", "full", "").data)

    assert failed.value.reason is Reason.OVERLOADED
    assert blocks(events(stream.take())) == [{"type": "text", "text": "Demo 2"}]


@pytest.mark.parametrize("pieces", range(4))
def test_a_stream_that_is_cut_is_never_taken_for_whole(pieces: int):
    """The end of the connection is the only end there is, so the reason must have come before."""
    one = exchange(user("[[say a]][[tool read]][[tool read]]"), model=NEW, stream=True, tools=[TOOL])
    prompt = understood(one, stream=True)
    stream = one.stream()
    for frame in until(gemini.frames(compose(prompt, parse(prompt.text)), prompt, STAMP), pieces):
        stream.feed(frame.data)

    with pytest.raises(UpstreamProtocolError):
        stream.close()
