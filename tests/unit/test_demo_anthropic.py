"""The demo as Anthropic: what it reads and what it sends."""

import msgspec
import pytest

from ccproxy.demo import anthropic
from ccproxy.demo.answer import compose
from ccproxy.demo.dialect import Kind, Stamp, status_of, type_of
from ccproxy.demo.directives import parse
from ccproxy.demo.prompt import Choice, InvalidRequestError, Prompt, Result

STAMP = Stamp("word", 1)
TOOL = {"name": "read", "description": "Reads", "input_schema": {"type": "object"}}


def body(*content: object, **members: object) -> bytes:
    """A request whose messages alternate, the user's first."""
    messages = [{"role": ("user", "assistant")[n % 2], "content": item} for n, item in enumerate(content)]
    return msgspec.json.encode({"model": "claude-demo-1", "max_tokens": 100, "messages": messages, **members})


def events(text: str, **members: object) -> list[dict[str, object]]:
    """The data of the stream that answers `text`."""
    prompt = anthropic.read(body(text, **members))
    frames = list(anthropic.frames(compose(prompt, parse(prompt.text)), prompt, STAMP))
    lines = [frame.data.decode().split("\n") for frame in frames]
    assert all(name == f"event: {msgspec.json.decode(data[6:])['type']}" for name, data, _, _ in lines)
    return [msgspec.json.decode(data[6:]) for _, data, _, _ in lines]


def whole(text: str, **members: object) -> dict[str, object]:
    """The document that answers `text`."""
    prompt = anthropic.read(body(text, **members))
    return msgspec.json.decode(anthropic.whole(compose(prompt, parse(prompt.text)), prompt, STAMP))


def test_the_stream_has_the_events_of_the_api_in_their_order():
    """Clients are state machines over exactly this order."""
    got = [event["type"] for event in events("[[think a]][[say b c]]")]

    assert got == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_thinking_ends_with_its_signature():
    """A client sends the signature back, and takes it from here."""
    start, _, delta, signature = events("[[think a]]")[1:5]

    assert start["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert delta["delta"] == {"type": "thinking_delta", "thinking": "a"}
    assert signature["delta"]["type"] == "signature_delta"
    assert signature["delta"]["signature"] == whole("[[think a]]")["content"][0]["signature"]


def test_a_call_begins_empty_and_brings_its_input_as_text():
    """Clients join the pieces and parse them; the first one is always empty."""
    start, _, *deltas = events('[[tool read {"path": "a"}]]')[1:6]

    assert start["content_block"] == {"type": "tool_use", "id": "toolu_demo_word_0", "name": "read", "input": {}}
    assert [delta["delta"]["partial_json"] for delta in deltas] == ["", '{"path":', ' "a"}']


def test_usage_comes_first_and_last():
    """The first event has the input, the last one everything."""
    got = events('[[think a]][[say b c]][[usage {"cache_read_input_tokens": 5}]]')

    assert got[0]["message"]["usage"]["cache_read_input_tokens"] == 5
    assert got[0]["message"]["usage"]["output_tokens"] == 1
    assert got[-2]["usage"]["output_tokens"] == 3
    assert got[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": 1}


def test_an_empty_answer_has_no_block():
    """This is legal on the wire and must be testable."""
    assert [event["type"] for event in events("hi", max_tokens=0)] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_the_document_has_the_members_of_the_api():
    """Typed clients fail on a missing one."""
    got = whole('[[say hi]][[tool read {"n": 1180591620717411303424}]]')

    assert list(got) == [
        "type",
        "model",
        "id",
        "role",
        "content",
        "stop_reason",
        "stop_sequence",
        "stop_details",
        "usage",
    ]
    assert got["content"][1]["input"] == {"n": 1180591620717411303424}


def test_cut_arguments_are_no_input():
    """A document cannot hold half an object."""
    assert whole('[[tool read {"a": 1}]]', max_tokens=1)["content"][0]["input"] == {}


def test_a_refusal_has_details():
    """Newer clients show them."""
    assert whole("[[stop refusal]]")["stop_details"]["type"] == "refusal"


def test_no_answer_claims_to_come_from_a_real_model():
    """The name in the answer is what people look at when they ask which model that was."""
    assert whole("hi", model="claude-opus-5")["model"] == "claude-demo-1"


def test_the_last_turn_holds_tool_results_and_text():
    """Old directives must not be obeyed again; results are named by the tool that was called."""
    prompt = anthropic.read(
        body(
            "[[tool read]]",
            [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}],
            [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "[[cut]]"}]},
                {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                {"type": "text", "text": "go on"},
            ],
        )
    )

    assert prompt.text == "go on"
    assert prompt.results == (Result("read", "[[cut]]"), Result("t2", "", is_error=True))


def test_the_operators_messages_are_no_turn():
    """Claude Code ends its conversations with role `system` messages."""
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": "be brief"}]

    assert anthropic.read(body(messages=messages)).text == "hi"


def test_media_are_named_in_the_text():
    """Images and documents have more sources than base64."""
    prompt = anthropic.read(
        body(
            [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
                    "title": "T",
                },
                {"type": "document", "source": {"type": "content", "content": []}},
                {"type": "container_upload", "file_id": "f"},
            ]
        )
    )

    assert prompt.text.split("\n") == [
        "[image image/png, 2 bytes]",
        "[image https://example.com/a.png]",
        "[document T text/plain, 2 bytes]",
        "[document content]",
        "[container_upload]",
    ]


def test_what_the_request_asks_for_is_read():
    """All of it changes the answer."""
    prompt = anthropic.read(
        body(
            "hi",
            stream=True,
            system=[{"type": "text", "text": "secret"}],
            stop_sequences=["x"],
            tools=[TOOL],
            tool_choice={"type": "tool", "name": "read", "disable_parallel_tool_use": True},
            output_config={"format": {"type": "json_schema", "schema": {}}},
        )
    )

    assert prompt.stream
    assert prompt.stop_sequences == ("x",)
    assert prompt.choice == Choice("tool", "read", parallel=False)
    assert prompt.tools[0].name == "read"
    assert prompt.schema is not None


@pytest.mark.parametrize("members", [{}, {"system": "a b"}, {"tools": [TOOL]}])
def test_counting_and_answering_agree(members: dict[str, object]):
    """Claude Code compacts by the count and shows the usage."""
    request = body("hi", [{"type": "thinking", "thinking": "a", "signature": ""}], [{"type": "image"}], **members)

    counted = msgspec.json.decode(anthropic.count(request))["input_tokens"]

    prompt = anthropic.read(body("hi", "a", "b", **members))
    assert counted == prompt.input_tokens + 99  # an image in the place of a word


def test_the_spacing_of_json_costs_no_tokens():
    """A gateway may write the same JSON in another way."""
    wide = msgspec.json.format(body("hi", tools=[TOOL]), indent=4)

    assert anthropic.count(wide) == anthropic.count(body("hi", tools=[TOOL]))


@pytest.mark.parametrize(
    ("request_body", "problem"),
    [
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (body(), "length >= 1"),
        (body("hi", max_tokens=None), "max_tokens: Field required"),
        (body("hi", max_tokens="1"), "Expected `int"),
        (body("hi", "prefill"), "prefill"),
        (body("hi", tool_choice={"type": "some"}), "tool_choice.type"),
        (body("hi", tools=[5]), "Expected `object`"),
        (body([{"type": "image"}]), "truncated"),
        (b'{"model":"m","messages":' + b"[" * 100_000, ""),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(request_body: bytes, problem: str):
    """Whatever a client sends, it is told what is wrong."""
    with pytest.raises(InvalidRequestError) as raised:
        anthropic.read(request_body)

    assert problem in str(raised.value)


def test_a_bad_block_is_refused_by_counting_too():
    """Both endpoints read the same request."""
    with pytest.raises(InvalidRequestError):
        anthropic.count(body([{"type": "tool_result", "tool_use_id": "t", "content": 5}]))


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        ({}, ["claude-demo-1", "claude-demo-1-mini", "claude-demo-0"], False),
        ({"limit": "1"}, ["claude-demo-1"], True),
        ({"after_id": "claude-demo-1"}, ["claude-demo-1-mini", "claude-demo-0"], False),
        ({"before_id": "claude-demo-0", "limit": "1"}, ["claude-demo-1-mini"], True),
        ({"after_id": "claude-demo-0"}, [], False),
    ],
)
def test_models_come_in_pages(query: dict[str, str], ids: list[str], has_more: bool):  # noqa: FBT001
    """A gateway that merges lists must page through each of them."""
    page = msgspec.json.decode(anthropic.models(query))

    assert ([model["id"] for model in page["data"]], page["has_more"]) == (ids, has_more)


def test_a_model_is_found_by_its_id():
    """The single model is the one of the list."""
    listed = msgspec.json.decode(anthropic.models({}))["data"][2]

    assert msgspec.json.decode(anthropic.model("claude-demo-0") or b"") == listed
    assert anthropic.model("claude-opus-5") is None


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"limit": "1001"}, {"after_id": "x"}])
def test_a_bad_page_is_refused(query: dict[str, str]):
    """A wrong cursor would otherwise page for ever."""
    with pytest.raises(InvalidRequestError):
        anthropic.models(query)


def test_errors_have_the_shape_of_the_api():
    """Clients read the type, people the message and the id."""
    assert msgspec.json.decode(anthropic.error(529, None, "full", "req_1")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "full"},
        "request_id": "req_1",
    }


def test_a_failure_is_the_end_of_a_stream():
    """Nothing may follow it that looks like success."""
    frame = anthropic.failure("api_error", "broken", "req_1")

    assert frame.kind is Kind.END
    assert frame.data.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error",')


@pytest.mark.parametrize(
    ("status", "kind"), [(418, "invalid_request_error"), (429, "rate_limit_error"), (502, "api_error")]
)
def test_every_status_has_a_type(status: int, kind: str):
    """An error directive need not name it."""
    assert type_of(status) == kind


def test_an_unknown_type_is_a_server_error():
    """It is nobody's fault but the provider's."""
    assert status_of("strange_error") == 500


def test_a_prompt_has_no_system_text():
    """The system prompt is the operator's and is never echoed."""
    assert isinstance(anthropic.read(body("hi", system="secret")), Prompt)
    assert "secret" not in str(whole("hi", system="secret"))
