"""The demo as OpenAI's Responses API: what it reads and what it sends."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from unit.demo_chat import data, frames, whole

from ccproxy.demo import openai_responses, seal
from ccproxy.demo.dialect import Kind
from ccproxy.demo.prompt import Choice, InvalidRequestError, Prompt, Result

ENCRYPTED = {"include": ["reasoning.encrypted_content"]}
SUMMARY = {"reasoning": {"effort": "low", "summary": "auto"}}
CALL = {"type": "function_call", "call_id": "c", "name": "read", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "42"}


def body(*items: dict[str, object], **members: object) -> bytes:
    """A request with these items."""
    return msgspec.json.encode({"model": "gpt-5-demo", "input": items, **members})


def said(content: object, role: str = "user") -> dict[str, object]:
    """A message."""
    return {"type": "message", "role": role, "content": content}


def ask(words: str, **members: object) -> Prompt:
    """A request with one message."""
    return openai_responses.read(body(said([{"type": "input_text", "text": words}]), **members))


def events(text: str, **members: object) -> list[dict[str, Any]]:
    """The events that answer `text`."""
    return [data(frame) for frame in frames(openai_responses, ask(text, **members))]


def reasoning(thinking: str) -> dict[str, Any]:
    """A reasoning item of the demo, on its way back."""
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": seal.encrypt("rs_1", thinking),
    }


def test_every_item_is_added_filled_and_done():
    """The order that clients assemble answers by."""
    got = events('[[think a]] [[say b c]] [[tool read {"a": 1}]]', **SUMMARY)

    assert [event["type"].removeprefix("response.") for event in got] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in got] == list(range(len(got)))


def test_events_have_their_names():
    """The SDK of OpenAI reads the data alone, others read the name."""
    for frame in frames(openai_responses, ask("[[say a]]")):
        assert frame.data.startswith(f"event: {data(frame)['type']}\n".encode())


def test_pieces_are_the_item():
    """What is streamed, what is done and what the end repeats must be one."""
    got = events('[[tool read {"path": "a"}]]')
    pieces = [event["delta"] for event in got if event["type"].endswith(".delta")]
    items = [event["item"] for event in got if event["type"] == "response.output_item.done"]

    assert "".join(pieces) == items[0]["arguments"] == '{"path": "a"}'
    assert got[-1]["response"]["output"] == items
    assert got[2]["item"] == {**items[0], "arguments": "", "status": "in_progress"}


def test_a_stream_is_the_whole_answer():
    """Two shapes of one answer."""
    text = "[[think a b]] [[say c]]"

    assert events(text, **ENCRYPTED)[-1]["response"] == whole(openai_responses, ask(text, **ENCRYPTED))


def test_reasoning_is_told_and_kept_only_on_demand():
    """Both cost, and the summary is for verified organisations."""
    silent = whole(openai_responses, ask("[[think a b]]"))["output"][0]
    told = whole(openai_responses, ask("[[think a b]]", **SUMMARY))["output"][0]
    kept = whole(openai_responses, ask("[[think a b]]", **ENCRYPTED))["output"][0]

    assert (silent["summary"], "encrypted_content" in silent) == ([], False)
    assert (told["summary"], "encrypted_content" in told) == ([{"type": "summary_text", "text": "a b"}], False)
    assert (kept["summary"], seal.decrypt(kept["id"], kept["encrypted_content"])) == ([], "a b")


def test_a_model_that_shall_not_reason_does_not():
    """Nothing is counted, either."""
    got = whole(openai_responses, ask("[[think a b]] [[say c]]", reasoning={"effort": "none"}))

    assert [item["type"] for item in got["output"]] == ["message"]
    assert got["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("end_turn", "completed", None),
        ("tool_use", "completed", None),
        ("max_tokens", "incomplete", {"reason": "max_output_tokens"}),
        ("refusal", "incomplete", {"reason": "content_filter"}),
        ("some_word", "incomplete", {"reason": "some_word"}),
    ],
)
def test_reasons_are_said_in_openais_words(reason: str, status: str, why: object):
    """The last event is named after the status."""
    last = events(f"[[stop {reason}]]")[-1]

    assert last["type"] == f"response.{status}"
    assert (last["response"]["status"], last["response"]["incomplete_details"]) == (status, why)


def test_cached_tokens_are_part_of_the_input():
    """OpenAI counts them in, Anthropic does not."""
    text = '[[usage {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2}]]'
    usage = whole(openai_responses, ask(text))["usage"]

    assert usage["input_tokens"] == 17
    assert usage["input_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 2}
    assert usage["total_tokens"] == 17 + usage["output_tokens"]


def test_its_own_reasoning_is_taken_back():
    """Before the item that it led to, as it came."""
    items = [said("a"), reasoning("hm"), CALL, RESULT]

    assert openai_responses.read(body(*items)).recalled == 1


def test_what_reasoning_holds_is_counted_as_input():
    """It is read again."""
    counts = [
        openai_responses.read(body(said("a"), reasoning(thinking), CALL, RESULT)).input_tokens
        for thinking in ("hm", "hm hm hm")
    ]

    assert counts[1] - counts[0] == 2


@pytest.mark.parametrize(
    ("items", "problem", "kind"),
    [
        ([{**reasoning("a"), "encrypted_content": None}, CALL, RESULT], "Item with id 'rs_1' not found", None),
        ([{**reasoning("a"), "id": "rs_2"}, CALL, RESULT], "could not be verified", "invalid_encrypted_content"),
        (
            [{**reasoning("a"), "encrypted_content": "ä"}, CALL, RESULT],
            "could not be verified",
            "invalid_encrypted_content",
        ),
        ([reasoning("a")], "without its required following item", None),
        ([reasoning("a"), said("hi")], "without its required following item", None),
        ([CALL], "No tool output found for function call c", None),
        ([said("a"), RESULT], "No tool call found", None),
        ([], "length", None),
    ],
)
def test_what_openai_refuses_is_refused(items: list[dict[str, object]], problem: str, kind: str | None):
    """A gateway that loses or moves reasoning works with the demo alone, else."""
    with pytest.raises(InvalidRequestError, match=problem) as raised:
        openai_responses.read(body(*items))

    assert raised.value.kind == kind


@pytest.mark.parametrize("place", range(60))
def test_one_changed_character_breaks_the_state(place: int):
    """Else nobody would see that it was mended on the way."""
    state = seal.encrypt("rs_1", "hm")
    changed = state[:place] + ("A" if state[place] != "A" else "B") + state[place + 1 :]

    assert seal.decrypt("rs_1", changed) is None


def test_the_last_turn_holds_outputs_and_what_follows():
    """Old directives must not be obeyed again."""
    prompt = openai_responses.read(body(said("[[tool read]]"), CALL, RESULT, said("go on")))

    assert (prompt.text, prompt.results) == ("go on", (Result("read", "42"),))


def test_a_string_is_a_message():
    """The shortest request of all."""
    prompt = openai_responses.read(msgspec.json.encode({"model": "m", "input": "hi", "instructions": "secret"}))

    assert prompt.text == "hi"


def test_media_are_named_in_the_text():
    """A person sees that an image came through, and whole."""
    parts = [
        {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "input_audio"},
    ]

    assert openai_responses.read(body(said(parts))).text.split("\n") == [
        "[image image/png, 2 bytes]",
        "[document a.pdf application/pdf, 2 bytes]",
        "[document https://example.com/a.pdf]",
        "[input_audio]",
    ]


@pytest.mark.parametrize(
    ("wire", "choice", "told"),
    [
        (None, Choice(), "auto"),
        ("none", Choice("none"), "none"),
        ("required", Choice("any"), "required"),
        ({"type": "function", "name": "read"}, Choice("tool", "read"), {"type": "function", "name": "read"}),
    ],
)
def test_tool_choice_is_read_and_told(wire: object, choice: Choice, told: object):
    """The answer repeats it."""
    tool = {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": False}
    prompt = ask("hi", tool_choice=wire, tools=[tool, {"type": "web_search"}])

    assert prompt.choice == choice
    assert [tool.name for tool in prompt.tools] == ["read"]
    assert whole(openai_responses, prompt)["tool_choice"] == told


def test_what_the_request_asks_for_is_read():
    """All of it changes the answer."""
    form = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}
    prompt = ask("hi", max_output_tokens=16, parallel_tool_calls=False, text=form, stream=True)

    assert (prompt.max_tokens, prompt.choice.parallel, prompt.stream) == (16, False, True)
    assert prompt.schema is not None
    assert ask("hi", text={"format": {"type": "text"}}).schema is None


@pytest.mark.parametrize(
    "request_body",
    [b"", b"[]", body(said("hi"), max_output_tokens=15), body(said("hi"), tool_choice="some")],
)
def test_a_bad_request_is_refused(request_body: bytes):
    """Whatever a client sends, it is told what is wrong."""
    with pytest.raises(InvalidRequestError):
        openai_responses.read(request_body)


def test_a_count_is_the_usage_to_come():
    """Clients plan their context by it."""
    items = [said("a"), reasoning("hm"), CALL, RESULT, said("b c")]
    request = body(*items, instructions="Be brief.")

    assert msgspec.json.decode(openai_responses.count(request)) == {
        "object": "response.input_tokens",
        "input_tokens": openai_responses.read(request).input_tokens,
    }
    with pytest.raises(InvalidRequestError):
        openai_responses.count(b"")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("overloaded_error", "server_error"),
        ("rate_limit_error", "rate_limit_exceeded"),
        ("invalid_request_error", "invalid_prompt"),
    ],
)
def test_a_failure_in_anthropics_words_is_an_error_event(kind: str, code: str):
    """In place of what would come."""
    frame = openai_responses.failure(kind, "full", "req_demo_word")

    assert frame.kind is Kind.END
    assert (data(frame)["type"], data(frame)["code"], data(frame)["message"]) == ("error", code, "full")


def test_a_failure_with_openais_code_is_a_failed_answer():
    """The other way in which an answer fails; it is the answer that had begun."""
    told = data(openai_responses.failure("image_parse_error", "broken", "req_demo_word"))

    assert told["type"] == "response.failed"
    assert told["response"]["error"] == {"code": "image_parse_error", "message": "broken"}
    assert told["response"]["id"] == events("hi")[0]["response"]["id"]


def test_the_answer_is_never_a_real_models():
    """No real model is promised."""
    assert whole(openai_responses, ask("hi", model="gpt-5.5"))["model"] == "gpt-5-demo"
    assert whole(openai_responses, ask("hi"))["id"] == "resp_demo_word"


def test_pieces_are_marked():
    """Faults are placed by them: as many as there are tokens of what is told."""
    kinds = [frame.kind for frame in frames(openai_responses, ask("[[think a]] [[say b c]]"))]

    assert kinds.count(Kind.PIECE) == 2
    assert [left for left, right in pairwise(kinds) if right is Kind.END] == [Kind.FRAME]
