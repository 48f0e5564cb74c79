"""The demo as OpenRouter: signed reasoning, numbered errors, the end told twice."""

from typing import Any

import msgspec
import pytest
from unit.demo_chat import body, chunks, data, deltas, frames, user, whole

from ccproxy.demo import openrouter, seal
from ccproxy.demo.dialect import Frame, Kind
from ccproxy.demo.prompt import InvalidRequestError, Prompt

CLAUDE = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}


def ask(text: str, **members: object) -> Prompt:
    """A request with one message."""
    return openrouter.read(body(user(text), **members))


def back(detail: dict[str, object]) -> Prompt:
    """A request whose answer of before holds this detail."""
    return openrouter.read(
        body(user("a"), {"role": "assistant", "content": "b", "reasoning_details": [detail]}, user("c"))
    )


def test_reasoning_comes_as_text_and_as_details():
    """The signature comes last, in a chunk without text, as recorded from Claude."""
    assert deltas(openrouter, ask("[[think a b]] [[say c]]"))[1:-2] == [
        {"role": "assistant", "content": "", "reasoning": "a", "reasoning_details": [{**CLAUDE, "text": "a"}]},
        {"role": "assistant", "content": "", "reasoning": " b", "reasoning_details": [{**CLAUDE, "text": " b"}]},
        {"role": "assistant", "content": "", "reasoning_details": [{**CLAUDE, "signature": seal.sign("a b")}]},
        {"role": "assistant", "content": "c"},
    ]


def test_the_whole_answer_has_the_details_joined():
    """The same state as in a stream, for the same answer."""
    message = whole(openrouter, ask("[[think a b]] [[say c]]"))["choices"][0]["message"]

    assert message["reasoning"] == "a b"
    assert message["reasoning_details"] == [{**CLAUDE, "text": "a b", "signature": seal.sign("a b")}]


def test_the_end_is_told_twice():
    """Once alone, once with the usage: a client that ends at the first loses the second."""
    *_, first, second = chunks(openrouter, ask("[[say a]]"))

    assert first["choices"] == second["choices"]
    assert (second["choices"][0]["finish_reason"], second["choices"][0]["native_finish_reason"]) == (
        "stop",
        "end_turn",
    )
    assert "usage" not in first
    assert (second["usage"]["completion_tokens"], second["usage"]["cost"]) == (1, 0)
    assert second["provider"] == "Demo"


def test_the_connection_is_kept_open_by_a_comment():
    """Clients that take every line for data fail on it."""
    assert frames(openrouter, ask("hi"))[0].data == b": OPENROUTER PROCESSING\n\n"


@pytest.mark.parametrize("wish", [{"effort": "none"}, {"enabled": False}])
def test_reasoning_may_be_switched_off(wish: dict[str, object]):
    """Then nothing is thought, and nothing is counted."""
    got = whole(openrouter, ask("[[think a b]] [[say c]]", reasoning=wish))

    assert got["choices"][0]["message"]["reasoning"] is None
    assert got["usage"]["completion_tokens"] == 1


def test_reasoning_may_be_kept_from_sight():
    """It is thought and paid for, and neither told nor signed."""
    prompt = ask("[[think a b]] [[say c]]", reasoning={"exclude": True})

    assert "reasoning_details" not in whole(openrouter, prompt)["choices"][0]["message"]
    assert whole(openrouter, prompt)["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2
    assert all("reasoning_details" not in delta for delta in deltas(openrouter, prompt))


def test_its_own_reasoning_is_taken_back():
    """As it came: this is what continuity is."""
    assert back({**CLAUDE, "text": "a b", "signature": seal.sign("a b")}).recalled == 1


def test_reasoning_of_another_provider_is_not_looked_at():
    """Its format says whose it is."""
    assert back({"type": "reasoning.encrypted", "data": "x", "format": "google-gemini-v1"}).recalled == 0


@pytest.mark.parametrize("change", [{"text": "a"}, {"signature": "x"}, {"signature": None}])
def test_reasoning_that_was_changed_is_refused(change: dict[str, object]):
    """With the words of the provider behind, as OpenRouter quotes them."""
    with pytest.raises(InvalidRequestError, match="Invalid `signature`") as raised:
        back({**CLAUDE, "text": "a b", "signature": seal.sign("a b"), **change})

    told = msgspec.json.decode(openrouter.error(400, raised.value.kind, str(raised.value), "req_1"))["error"]
    quoted = msgspec.json.decode(told["metadata"]["raw"])
    assert (told["message"], told["code"]) == ("Provider returned error", 400)
    assert quoted["error"]["type"] == "invalid_request_error"
    assert quoted["error"]["message"].startswith("messages.1.content.0: ")


def test_details_of_a_wrong_shape_are_refused():
    """Whatever a client sends, it is told what is wrong."""
    with pytest.raises(InvalidRequestError):
        back({"type": 5})


def test_calls_are_numbered():
    """As in all Chat Completions."""
    got = [delta["tool_calls"][0] for delta in deltas(openrouter, ask("[[tool read]] [[tool list]]"))[1:-2]]

    assert [call["index"] for call in got] == [0, 0, 1, 1]
    assert got[2]["id"] == "toolu_demo_word_1"


def error_of(status: int, kind: str | None) -> dict[str, Any]:
    """An error as a body tells it."""
    document = msgspec.json.decode(openrouter.error(status, kind, None, "req_1"))
    assert document["user_id"] == "user_demo"
    return document["error"]


@pytest.mark.parametrize(
    ("status", "kind", "error_type"),
    [
        (402, "billing_error", "payment_required"),
        (429, None, "rate_limit_exceeded"),
        (529, "overloaded_error", "provider_overloaded"),
        (400, "context_length_exceeded", "context_length_exceeded"),
    ],
)
def test_errors_have_numbers_and_a_kind(status: int, kind: str | None, error_type: str):
    """`code` is a number here, which many clients do not expect."""
    assert error_of(status, kind) == {
        "message": f"Demo error {status}",
        "code": status,
        "metadata": {"error_type": error_type},
    }


def test_an_error_without_a_kind_has_no_metadata():
    """As recorded."""
    assert "metadata" not in error_of(400, "invalid_request_error")


def test_a_failure_is_a_chunk_and_then_the_usual_end():
    """A client that looks at `choices` first takes it for an answer that ended well."""
    frame = openrouter.failure("overloaded_error", "full", "req_demo_word")
    chunk, done = frame.data.split(b"\n\n", 1)

    assert frame.kind is Kind.END
    assert done == b"data: [DONE]\n\n"
    assert data(Frame(chunk))["error"]["code"] == 529
    assert data(Frame(chunk))["id"] == "gen-demo-word"


def test_models_tell_their_length_and_price():
    """Others than at OpenAI."""
    listed = msgspec.json.decode(openrouter.models({}))["data"]

    assert [model["id"] for model in listed] == list(openrouter.MODELS)
    assert listed[0]["context_length"] == listed[0]["top_provider"]["context_length"] == 200_000
    assert listed[0]["pricing"] == {"prompt": "0", "completion": "0"}
    assert openrouter.model("openai/gpt-5") is None
    assert msgspec.json.decode(openrouter.model(listed[0]["id"]) or b"") == listed[0]
