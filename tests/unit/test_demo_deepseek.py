"""The demo as DeepSeek: reasoning in the open, and demanded back."""

import msgspec
import pytest
from unit.demo_chat import body, chunks, deltas, frames, user, whole

from ccproxy.demo import deepseek
from ccproxy.demo.dialect import Kind
from ccproxy.demo.prompt import InvalidRequestError, Prompt

CALL = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "42"}


def ask(text: str, **members: object) -> Prompt:
    """A request with one message."""
    return deepseek.read(body(user(text), **members))


def test_reasoning_comes_before_the_text():
    """Its first piece is empty: a client that opens a block for it shows an empty one."""
    assert deltas(deepseek, ask("[[think a b]] [[say c]]")) == [
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"content": None, "reasoning_content": "a"},
        {"content": None, "reasoning_content": " b"},
        {"content": "c", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ]


def test_who_does_not_think_has_no_such_member():
    """Switched off is off, whatever a directive says."""
    prompt = ask("[[think a]] [[say c]]", thinking={"type": "disabled"})

    assert all("reasoning_content" not in delta for delta in deltas(deepseek, prompt))
    assert "reasoning_content" not in whole(deepseek, prompt)["choices"][0]["message"]
    assert whole(deepseek, prompt)["usage"]["completion_tokens"] == 1


def test_the_connection_is_kept_open_by_a_comment():
    """Clients that take every line for data fail on it."""
    assert frames(deepseek, ask("hi"))[0].data == b": keep-alive\n\n"


def test_usage_comes_with_the_end():
    """There is no chunk of its own for it."""
    prompt = ask('[[usage {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 3}]]')
    *others, last = chunks(deepseek, prompt)

    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == {
        "prompt_tokens": 15,
        "completion_tokens": 3,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "prompt_cache_hit_tokens": 5,
        "prompt_cache_miss_tokens": 10,
    }


def test_the_whole_answer_has_all_of_it():
    """Its content is empty, never null, and calls tell their place."""
    message = whole(deepseek, ask('[[think a b]] [[tool read {"a": 1}]]'))["choices"][0]["message"]

    assert message == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "a b",
        "tool_calls": [
            {
                "index": 0,
                "id": "call_00_demo_word",
                "type": "function",
                "function": {"name": "read", "arguments": '{"a": 1}'},
            }
        ],
    }


def test_calls_come_with_name_then_arguments():
    """As in all Chat Completions."""
    got = [delta["tool_calls"][0] for delta in deltas(deepseek, ask("[[tool read]] [[tool list]]"))[1:-1]]

    assert [call["index"] for call in got] == [0, 0, 1, 1]
    assert got[2]["id"] == "call_01_demo_word"
    assert got[3] == {"index": 1, "function": {"arguments": "{}"}}


@pytest.mark.parametrize(
    ("turn", "members", "problem"),
    [
        ({"role": "assistant", "tool_calls": [CALL]}, {}, "must be passed back to the API"),
        (user([{"type": "image_url", "image_url": {"url": "x"}}]), {}, "unknown variant `image_url`"),
        (user("hi"), {"tool_choice": "required"}, "Thinking mode does not support this tool_choice"),
        (
            user("hi"),
            {"tool_choice": {"type": "function", "function": {"name": "read"}}},
            "does not support this tool_choice",
        ),
        (user("hi"), {"thinking": "on"}, "Failed to deserialize"),
    ],
)
def test_what_deepseek_refuses_is_refused(turn: dict[str, object], members: dict[str, object], problem: str):
    """A gateway that forgets one of these works with the demo alone."""
    with pytest.raises(InvalidRequestError, match=problem):
        deepseek.read(body(turn, RESULT, **members))


def test_reasoning_of_a_call_may_be_empty():
    """A call without a thought is one, too; only what is lost is refused."""
    turn = {"role": "assistant", "tool_calls": [CALL], "reasoning_content": ""}

    assert deepseek.read(body(user("a"), turn, RESULT)).recalled == 0


def test_reasoning_that_comes_back_is_counted():
    """This is how a test sees that it came."""
    turn = {"role": "assistant", "tool_calls": [CALL], "reasoning_content": "hm"}

    assert deepseek.read(body(user("a"), turn, RESULT)).recalled == 1


def test_without_thinking_no_reasoning_is_demanded():
    """The way out for a conversation whose reasoning is lost."""
    turn = {"role": "assistant", "tool_calls": [CALL]}
    prompt = deepseek.read(
        body(user("a"), turn, RESULT, thinking={"type": "disabled"}, tool_choice="required", tools=[CALL])
    )

    assert not prompt.thinks


def test_a_json_object_is_answered_with_one():
    """The only form that DeepSeek knows."""
    message = whole(deepseek, ask("hi", response_format={"type": "json_object"}))["choices"][0]["message"]

    assert message["content"] == "{}"


@pytest.mark.parametrize(
    ("status", "kind", "error_type", "code"),
    [
        (400, None, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error", "invalid_request_error"),
        (402, "billing_error", "unknown_error", "invalid_request_error"),
        (503, "overloaded_error", "server_error", "server_error"),
        (400, "content_filter", "content_filter", "content_filter"),
    ],
)
def test_errors_have_deepseeks_words(status: int, kind: str | None, error_type: str, code: str):
    """The code is nearly always the same; status and type say what it is."""
    assert msgspec.json.decode(deepseek.error(status, kind, None, "req_1")) == {
        "error": {"message": f"Demo error {status}", "type": error_type, "code": code, "param": None}
    }


def test_a_failure_is_the_end_of_a_stream():
    """There is no [DONE] after it."""
    frame = deepseek.failure("overloaded_error", "full", "req_1")

    assert frame.kind is Kind.END
    assert frame.data.startswith(b'data: {"error":{"message":"full"')


def test_models_are_the_demos():
    """No real model is promised, neither in the list nor in an answer."""
    ids = [model["id"] for model in msgspec.json.decode(deepseek.models({}))["data"]]

    assert ids == list(deepseek.MODELS)
    assert deepseek.model("deepseek-chat") is None
    assert msgspec.json.decode(deepseek.model(ids[0]) or b"")["id"] == ids[0]
    assert whole(deepseek, ask("hi", model="deepseek-chat"))["model"] == ids[0]
