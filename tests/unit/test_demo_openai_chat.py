"""The demo as OpenAI's Chat Completions: what it reads and what it sends."""

import msgspec
import pytest

from ccproxy.demo import openai_chat
from ccproxy.demo.answer import compose
from ccproxy.demo.dialect import Kind, Stamp
from ccproxy.demo.directives import parse
from ccproxy.demo.prompt import Choice, InvalidRequestError, Result

STAMP = Stamp("word", 1)
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def body(*messages: dict[str, object], **members: object) -> bytes:
    """A request with these messages."""
    return msgspec.json.encode({"model": "gpt-demo-1", "messages": messages, **members})


def user(content: object) -> dict[str, object]:
    """A message of the user."""
    return {"role": "user", "content": content}


def whole(text: str, **members: object) -> dict[str, object]:
    """The document that answers `text`."""
    prompt = openai_chat.read(body(user(text), **members))
    return msgspec.json.decode(openai_chat.whole(compose(prompt, parse(prompt.text)), prompt, STAMP))


def chunks(text: str, **members: object) -> list[dict[str, object]]:
    """The chunks of the stream that answers `text`, without its [DONE]."""
    prompt = openai_chat.read(body(user(text), **members))
    *frames, last = openai_chat.frames(compose(prompt, parse(prompt.text)), prompt, STAMP)
    assert last.data == b"data: [DONE]\n\n"
    return [msgspec.json.decode(frame.data.removeprefix(b"data: ")) for frame in frames]


def test_the_stream_begins_with_the_role_and_ends_with_the_reason():
    """Clients fold exactly this."""
    got = [(chunk["choices"][0]["delta"], chunk["choices"][0]["finish_reason"]) for chunk in chunks("[[say a b]]")]

    assert got == [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": "a"}, None),
        ({"content": " b"}, None),
        ({}, "stop"),
    ]


def test_calls_come_with_name_then_arguments():
    """The index alone says which call goes on."""
    got = chunks('[[tool read {"path": "a"}]][[tool list]]')

    assert got[0]["choices"][0]["delta"]["content"] is None
    assert [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in got[1:-1]] == [
        {"index": 0, "id": "call_demo_word_0", "type": "function", "function": {"name": "read", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"path":'}},
        {"index": 0, "function": {"arguments": ' "a"}'}},
        {"index": 1, "id": "call_demo_word_1", "type": "function", "function": {"name": "list", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert got[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_usage_comes_in_a_chunk_without_choices():
    """Clients that index `choices[0]` break on it, so it is sent only on demand."""
    got = chunks("[[say a]]", stream_options={"include_usage": True})

    assert (got[-1]["choices"], got[-1]["usage"]["completion_tokens"]) == ([], 1)
    assert got[0]["usage"] is None


def test_usage_is_not_sent_unasked():
    """Not even as a null."""
    assert all("usage" not in chunk for chunk in chunks("hi"))


def test_the_document_has_the_members_of_the_api():
    """Typed clients fail on a missing one."""
    got = whole('[[say hi]][[tool read {"a": 1}]]')

    assert got["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "hi",
                "tool_calls": [
                    {
                        "id": "call_demo_word_0",
                        "type": "function",
                        "function": {"name": "read", "arguments": '{"a": 1}'},
                    }
                ],
                "refusal": None,
                "annotations": [],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]


def test_thinking_is_counted_and_not_sent():
    """Chat Completions have no place for it but in the usage."""
    got = whole("[[think a b]][[say c]]")

    assert got["choices"][0]["message"]["content"] == "c"
    assert got["usage"]["completion_tokens"] == 3
    assert got["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2
    assert len(chunks("[[think a b]][[say c]]")) == 3


def test_cached_tokens_are_part_of_the_prompt():
    """OpenAI counts them in, Anthropic does not: the mistake everybody makes."""
    usage = whole(
        '[[usage {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2}]]'
    )["usage"]

    assert usage["prompt_tokens"] == 17
    assert usage["prompt_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 2, "audio_tokens": 0}
    assert usage["total_tokens"] == 17 + usage["completion_tokens"]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("insufficient_system_resource", "insufficient_system_resource"),
    ],
)
def test_reasons_are_said_in_openais_words(reason: str, finish: str):
    """A word that is not Anthropic's goes out as it is, so that anything can be provoked."""
    assert whole(f"[[stop {reason}]]")["choices"][0]["finish_reason"] == finish


def test_cut_arguments_stay_cut():
    """Here arguments are text, and real models send them broken."""
    got = whole('[[tool read {"a": 1}]]', max_completion_tokens=1)["choices"][0]

    assert (got["message"]["tool_calls"][0]["function"]["arguments"], got["finish_reason"]) == ('{"a":', "length")


def test_the_last_turn_holds_tool_messages_and_what_follows():
    """Old directives must not be obeyed again."""
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    prompt = openai_chat.read(
        body(
            user("[[tool read]]"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "43"}]},
            user("go on"),
        )
    )

    assert (prompt.text, prompt.results) == ("go on", (Result("read", "42"), Result("c2", "43")))


def test_media_are_named_in_the_text():
    """A person sees that an image came through, and whole."""
    prompt = openai_chat.read(
        body(
            user(
                [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
                    },
                    {"type": "file", "file": {"file_id": "file_1"}},
                    {"type": "input_audio"},
                ]
            )
        )
    )

    assert prompt.text.split("\n") == [
        "[image image/png, 2 bytes]",
        "[image https://example.com/a.png]",
        "[document a.pdf application/pdf, 2 bytes]",
        "[document file_1]",
        "[input_audio]",
    ]


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        (None, Choice()),
        ("auto", Choice()),
        ("none", Choice("none")),
        ("required", Choice("any")),
        ({"type": "function", "function": {"name": "read"}}, Choice("tool", "read")),
    ],
)
def test_tool_choice_is_read(wire: object, choice: Choice):
    """It has two shapes on the wire."""
    assert openai_chat.read(body(user("hi"), tool_choice=wire)).choice == choice


def test_what_the_request_asks_for_is_read():
    """All of it changes the answer."""
    prompt = openai_chat.read(
        body(
            user("hi"),
            stop="x",
            max_tokens=5,
            tools=[TOOL, {"type": "custom", "custom": {"name": "c"}}],
            parallel_tool_calls=False,
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        )
    )

    assert (prompt.stop_sequences, prompt.max_tokens, prompt.choice.parallel) == (("x",), 5, False)
    assert [tool.name for tool in prompt.tools] == ["read"]
    assert prompt.schema is not None


def test_the_system_prompt_is_not_echoed():
    """It is the operator's."""
    prompt = openai_chat.read(body({"role": "system", "content": "secret"}, user("hi")))

    assert prompt.text == "hi"


@pytest.mark.parametrize(
    "request_body", [b"", b"[]", body(), body(user("hi"), n=2), body(user("hi"), tool_choice="some")]
)
def test_a_bad_request_is_refused(request_body: bytes):
    """Whatever a client sends, it is told what is wrong."""
    with pytest.raises(InvalidRequestError):
        openai_chat.read(request_body)


@pytest.mark.parametrize(
    ("status", "kind", "error_type", "code"),
    [
        (400, None, "invalid_request_error", None),
        (400, "context_length_exceeded", "invalid_request_error", "context_length_exceeded"),
        (401, None, "invalid_request_error", "invalid_api_key"),
        (429, "rate_limit_error", "requests", "rate_limit_exceeded"),
        (429, "insufficient_quota", "insufficient_quota", "insufficient_quota"),
        (529, "overloaded_error", "server_error", None),
    ],
)
def test_errors_have_openais_words(status: int, kind: str | None, error_type: str, code: str | None):
    """A directive in Anthropic's words provokes what OpenAI sends in that case."""
    assert msgspec.json.decode(openai_chat.error(status, kind, "m", "req_1")) == {
        "error": {"message": "m", "type": error_type, "param": None, "code": code}
    }


def test_a_failure_is_the_end_of_a_stream():
    """There is no [DONE] after it."""
    frame = openai_chat.failure("overloaded_error", "full", "req_1")

    assert frame.kind is Kind.END
    assert frame.data.startswith(b'data: {"error":{"message":"full"')


def test_models_are_the_demos():
    """No real model is promised."""
    ids = [model["id"] for model in msgspec.json.decode(openai_chat.models({}))["data"]]

    assert ids == list(openai_chat.MODELS)
    assert openai_chat.model("gpt-5") is None
