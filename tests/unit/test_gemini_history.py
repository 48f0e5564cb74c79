"""Gemini: what a conversation becomes."""

from typing import Any

import pytest
from msgspec import Raw
from unit.gemini import TOOL, USER, contents, dropped, sent

from ccproxy.carrier import Carried, pack
from ccproxy.providers.gemini.state import Kind, carried, state_of

MODEL = "gemini-3.5-flash"
PNG = {"type": "base64", "media_type": "image/png", "data": "AA=="}
STAND_IN = "skip_thought_signature_validator"


def state(kind: Kind, model: str = MODEL, thinking: str = "") -> dict[str, Any]:
    """A thinking block that carries Gemini's state."""
    return {"type": "thinking", "thinking": thinking, "signature": carried(kind, model, "sig")}


def use(id: str = "t1", name: str = "read", **members: Any) -> dict[str, Any]:  # noqa: A002
    """A call."""
    return {"type": "tool_use", "id": id, "name": name, "input": {"path": "p"}, **members}


def result(id: str = "t1", content: Any = "r", **members: Any) -> dict[str, Any]:  # noqa: A002
    """Its result."""
    return {"type": "tool_result", "tool_use_id": id, "content": content, **members}


def user(*blocks: Any) -> dict[str, Any]:
    """A turn of the user."""
    return {"role": "user", "content": [*blocks]}


def model(*blocks: Any) -> dict[str, Any]:
    """A turn of the model."""
    return {"role": "assistant", "content": [*blocks]}


def response(output: str = "r", name: str = "read", key: str = "output") -> dict[str, Any]:
    """A part that answers a call."""
    return {"functionResponse": {"name": name, "response": {key: output}}}


def text(value: str) -> dict[str, Any]:
    """A block of text."""
    return {"type": "text", "text": value}


SIGNED = [USER, model(state("call"), use()), user(result())]


def test_turns_alternate():
    """Neighbours of one role become one; the system prompt has its own place."""
    request = sent(USER, user(text("b")), model(text("c"), text("")), user(text("d")), system="s")

    assert request["contents"] == [
        {"parts": [{"text": "hi"}, {"text": "b"}], "role": "user"},
        {"parts": [{"text": "c"}], "role": "model"},
        {"parts": [{"text": "d"}], "role": "user"},
    ]
    assert request["systemInstruction"] == {"parts": [{"text": "s"}]}


def test_a_system_turn_stays_in_its_place():
    """There is only one system instruction, and the order counts."""
    said = contents(USER, {"role": "system", "content": "now"}, {"role": "system", "content": ""})

    assert said[0]["parts"][1] == {"text": "<system-reminder>\nnow\n</system-reminder>"}
    assert len(said[0]["parts"]) == 2


def test_a_conversation_begins_and_ends_with_the_user():
    """Else it is refused."""
    assert [each["role"] for each in contents(model(text("a")), USER)] == ["user", "model", "user"]
    assert [each["role"] for each in contents(USER, model(text("a")), user())] == ["user", "model", "user"]
    assert contents(user(text("")))[0]["parts"][0]["text"].startswith("[content omitted")


def test_results_stand_first_in_the_order_of_their_calls():
    """The caller may send them in any order, amid text."""
    said = contents(
        USER,
        model(use("a", "one"), use("b", "two"), use("c", "three", input=None)),
        user(text("x"), result("b", "B", is_error=True), result("a", [text("1"), text("2")])),
    )

    assert said[2]["parts"] == [
        response("1\n2", "one"),
        response("B", "two", "error"),
        response("[tool call interrupted]", "three", "error"),
        {"text": "x"},
    ]
    assert said[1]["parts"][2] == {"functionCall": {"name": "three", "args": {}}}


def test_a_result_of_no_call_is_text():
    """A response without its call is refused."""
    assert contents(user(result("gone", "r")))[0]["parts"] == [
        {"text": "Result of an earlier tool call:"},
        {"text": "r"},
    ]


def test_media_in_a_result():
    """Gemini 3 takes it inside, older models after the results."""
    turns = [USER, model(use()), user(result(content=[{"type": "image", "source": PNG}]))]
    blob = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    new, old = contents(*turns), contents(*turns, model="gemini-2.5-pro")

    assert new[2]["parts"] == [{"functionResponse": {"name": "read", "response": {"output": ""}, "parts": [blob]}}]
    assert old[2]["parts"] == [response("[attached after the results]"), blob]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (PNG, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
        ({"type": "url", "url": "https://h/a.png"}, {"fileData": {"fileUri": "https://h/a.png"}}),
    ],
)
def test_images(source: Any, part: Any):
    """One by URL is for the provider to fetch, never for us."""
    assert contents(user({"type": "image", "source": source}))[0]["parts"] == [part]


@pytest.mark.parametrize(
    ("kind", "source", "path"),
    [
        ("image", {"type": "url", "url": "http://10.0.0.1/a"}, "messages.content.image.url"),
        ("image", {"type": "file", "file_id": "f"}, "messages.content.image.file"),
        ("image", {**PNG, "media_type": "image/gif"}, "messages.content.image.base64"),
        ("document", {**PNG, "media_type": "application/zip"}, "messages.content.document.base64"),
        ("document", {"type": "new"}, "messages.content.document.new"),
    ],
)
def test_media_that_cannot_be_said_is_named(kind: str, source: Any, path: str):
    """And its place is kept."""
    turn = user(
        {"type": kind, "source": source, "title": "t"} if kind == "document" else {"type": kind, "source": source}
    )

    assert dropped(turn) == (path,)
    assert contents(turn)[0]["parts"][0]["text"].startswith("[content omitted")


def test_documents():
    """A PDF as it is, text and blocks as text."""
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "AA=="}
    turn = user(
        {"type": "document", "source": pdf, "title": "t", "citations": {"enabled": True}},
        {"type": "document", "source": pdf},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
        {"type": "document", "source": {"type": "content", "content": "y"}},
        {"type": "document", "source": {"type": "content", "content": [text("z")]}},
        {"type": "search_result", "source": "s", "title": "t", "content": [text("w")]},
    )
    blob = {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}}

    assert contents(turn)[0]["parts"] == [
        {"text": '<document title="t"></document>'},
        blob,
        blob,
        {"text": "<document>x</document>"},
        *({"text": "<document>"}, {"text": "y"}, {"text": "</document>"}),
        *({"text": "<document>"}, {"text": "z"}, {"text": "</document>"}),
        {"text": '<search_result source="s" title="t">w</search_result>'},
    ]
    assert dropped(turn) == ("messages.content.document.citations",)


def test_state_comes_back_on_its_part():
    """On another it is refused."""
    said = contents(
        USER,
        model(
            state("thought", thinking="why"),
            *(text("a"), state("text")),
            text("b"),
            *(state("call"), use("a"), use("b")),
            state("empty"),
        ),
        user(result("a"), result("b")),
    )
    call = {"functionCall": {"name": "read", "args": {"path": "p"}}}

    assert said[1]["parts"] == [
        {"text": "why", "thought": True, "thoughtSignature": "sig"},
        {"text": "a", "thoughtSignature": "sig"},
        {"text": "b"},
        {**call, "thoughtSignature": "sig"},
        call,
        {"text": "", "thoughtSignature": "sig"},
    ]


def test_the_state_of_a_text_that_is_not_there_goes_nowhere():
    """On another part it would be refused."""
    said = contents(
        USER, model(use("a"), state("text"), text("b"), state("text"), state("text")), user(result("a"))
    )

    assert [part.get("thoughtSignature") for part in said[1]["parts"]] == [STAND_IN, "sig"]


@pytest.mark.parametrize(
    "block",
    [
        state("call", "gemini-3.1-pro-preview"),
        {"type": "thinking", "thinking": "x", "signature": "anthropics"},
        {"type": "thinking", "thinking": "x", "signature": pack(Carried("openai", MODEL, "call", Raw(b'"sig"')))},
        {"type": "thinking", "thinking": "x", "signature": pack(Carried("gemini", MODEL, "call", Raw(b"1")))},
    ],
)
def test_a_call_without_its_state_gets_the_stand_in(block: Any):
    """Another's state is refused, and so is none; but only of the first of parallel calls."""
    turns = [USER, model(block, use("a"), use("b")), user(result("a"), result("b"))]
    first, second = contents(*turns)[1]["parts"]

    assert first["thoughtSignature"] == STAND_IN
    assert "thoughtSignature" not in second
    assert dropped(*turns) == ("messages.content.thinking",)
    assert "thoughtSignature" not in contents(*turns, model="gemini-2.5-flash")[1]["parts"][0]


def test_state_that_is_not_text_is_none():
    """The client may have changed it."""
    assert state_of(pack(Carried("gemini", MODEL, "call", Raw(b'"\xff"'))), MODEL) is None


def test_what_the_model_cannot_read_is_named():
    """Blocks of Anthropic's own."""
    turn = model(text("a"), {"type": "redacted_thinking", "data": "x"}, {"type": "mcp_tool_use", "id": "m"})

    assert dropped(USER, turn, USER) == ("messages.content.mcp_tool_use", "messages.content.redacted_thinking")
    assert dropped(user(text("a"), use())) == ("messages.content.tool_use",)


def test_names_are_the_ones_of_the_tools():
    """A renamed tool keeps its new name in history."""
    tool = {**TOOL, "name": "read file"}
    turns = [USER, model(use(name="read file")), user(result())]
    request = sent(*turns, tools=[tool])
    name = request["tools"][0]["functionDeclarations"][0]["name"]

    assert request["contents"][1]["parts"][0]["functionCall"]["name"] == name
    assert request["contents"][2]["parts"][0]["functionResponse"]["name"] == name
