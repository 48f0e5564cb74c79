"""The Responses API: what the conversation becomes."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw
from unit.chat import TOOL
from unit.responses import answered, dropped, items, reasoning, response, sent, text

from ccproxy import carrier
from ccproxy.carrier import Carried

STATE = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"}
CALL = {"type": "tool_use", "id": "t1", "name": "read", "input": {"a": 1}}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBO"}


def user(*content: Any) -> dict[str, Any]:
    """A turn of the user."""
    return {"role": "user", "content": [*content]}


def assistant(*content: Any) -> dict[str, Any]:
    """A turn of the assistant."""
    return {"role": "assistant", "content": [*content]}


def said(text: str) -> dict[str, Any]:
    """Text."""
    return {"type": "text", "text": text}


def result(content: Any = "ok", id: str = "t1", **members: Any) -> dict[str, Any]:  # noqa: A002
    """A tool's result."""
    return {"type": "tool_result", "tool_use_id": id, "content": content, **members}


def thinking(state: Any = STATE, model: str = "gpt-5.6", provider: str = "openai", kind: str = "reasoning") -> Any:
    """Thinking that carries state."""
    signature = carrier.pack(Carried(provider, model, kind, Raw(msgspec.json.encode(state))))
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def message(role: str, *texts: str) -> dict[str, Any]:
    """A message as it goes upstream."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text} for text in texts]}


def output(*content: Any, **members: Any) -> Any:
    """What a result becomes."""
    return items(user(said("hi")), assistant(CALL), user(result(*content, **members)))[-1]["output"]


def test_a_conversation_with_tools():
    """In order; results before what else the turn says."""
    turns = (user(said("hi")), assistant(said("I look"), CALL, said("")), user(said("and?"), result()))

    assert items(*turns) == [
        message("user", "hi"),
        message("assistant", "I look"),
        {"type": "function_call", "call_id": "t1", "name": "read", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "t1", "output": [{"type": "input_text", "text": "ok"}]},
        message("user", "and?"),
    ]


def test_reasoning_goes_back_unchanged_before_what_it_preceded():
    """The model goes on thinking where it stopped."""
    turns = (user(said("hi")), assistant(thinking(), said("I look"), thinking(), CALL), user(result()))

    found = items(*turns)

    assert [item["type"] for item in found][1:5] == ["reasoning", "message", "reasoning", "function_call"]
    assert found[1] == STATE
    assert dropped(*turns) == ()


def test_reasoning_of_an_answer_comes_back_as_it_was():
    """Byte for byte, but for what says nothing."""
    state = reasoning("One.", "Two.")
    content = answered(response(state, text("hello")))["content"]

    assert items(user(said("hi")), assistant(*content), user(said("and?")))[1] == state


@pytest.mark.parametrize(
    "block",
    [
        thinking(model="gpt-5.5"),
        thinking(model="local"),
        thinking(provider="gemini"),
        thinking(kind="other"),
        thinking(state=["rs_1"]),
        thinking(state={"type": "reasoning", "id": "rs_1"}),
        {"type": "thinking", "thinking": "hm", "signature": "EqQBCkgIBRABGAIiQ"},
    ],
    ids=["version", "model", "provider", "kind", "shape", "members", "Anthropic's"],
)
def test_reasoning_of_others_is_left_out(block: Any):
    """It would be refused."""
    turns = (user(said("hi")), assistant(block, said("hello")), user(said("and?")))

    assert [item["type"] for item in items(*turns)] == ["message"] * 3
    assert dropped(*turns) == ("messages.content.thinking",)


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "gpt-5.6-2026-01-01"])
def test_reasoning_is_read_by_the_family(model: str):
    """A dated name is the same model."""
    turns = (user(said("hi")), assistant(thinking(), said("hello")), user(said("and?")))

    assert items(*turns, model=model)[1] == STATE


def test_reasoning_is_never_alone():
    """A 400: "provided without its required following item"."""
    turns = (user(said("hi")), assistant(said("hello"), thinking()), user(said("and?")))

    assert "reasoning" not in [item["type"] for item in items(*turns)]
    assert dropped(*turns) == ("messages.content.thinking",)


@pytest.mark.parametrize(("model", "role"), [("gpt-5.6", "developer"), ("llama", "system")])
def test_a_system_turn_stays_in_its_place(model: str, role: str):
    """What comes before it stays in the prompt cache."""
    turns = (user(said("hi")), {"role": "system", "content": "Be brief"}, {"role": "system", "content": ""})

    assert items(*turns, model=model) == [message("user", "hi"), message(role, "Be brief")]


def test_the_system_prompt_is_the_instructions():
    """Without Claude Code's attribution, which would spoil the prompt cache."""
    system = [said("x-anthropic-billing-header: 1"), said("One"), said("Two")]

    assert sent(system=system)["instructions"] == "One\n\nTwo"
    assert "instructions" not in sent(system=[])


def test_neighbouring_turns_of_the_user_become_one():
    """As Anthropic joins them."""
    assert items(user(said("a")), user(said("b"))) == [message("user", "a", "b")]


def test_a_call_without_a_result_gets_one():
    """A 400: "No tool output found for function call"."""
    found = items(user(said("hi")), assistant(CALL), user(said("never mind")))

    assert found[2] == {
        "type": "function_call_output",
        "call_id": "t1",
        "output": "Error: [tool call interrupted]",
    }


def test_a_result_without_a_call_is_told():
    """It cannot be an output."""
    found = items(user(result("x", "gone"), result([{"type": "image", "source": PNG}], "gone")))[0]["content"]

    assert [part["type"] for part in found] == ["input_text", "input_text", "input_text", "input_image"]


@pytest.mark.parametrize(
    ("content", "members", "said_"),
    [
        ("ok", {}, "ok"),
        ("no", {"is_error": True}, "Error: no"),
        (None, {}, "(no output)"),
        ([said("a"), said(""), said("b")], {}, "a\nb"),
    ],
)
def test_a_result_of_text_is_a_text(content: Any, members: Any, said_: str):
    """The form that every server takes; from gpt-5.6 on a part, which a mark could stand on."""
    told = (user(said("hi")), assistant(CALL), user(result(content, **members)))

    assert items(*told, model="gpt-5.4")[-1]["output"] == said_
    assert items(*told)[-1]["output"] == [{"type": "input_text", "text": said_}]


def test_a_result_may_hold_images_and_documents():
    """The model sees them as what the tool gave."""
    content = [said("a"), {"type": "image", "source": PNG}, {"type": "document", "source": PDF}]

    assert [part["type"] for part in output(content)] == ["input_text", "input_image", "input_file"]
    assert output(content, is_error=True)[0] == {"type": "input_text", "text": "Error:"}


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        (
            {"type": "image", "source": PNG},
            [{"type": "input_image", "image_url": "data:image/png;base64,iVBO"}],
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a/b"}},
            [{"type": "input_image", "image_url": "https://a/b"}],
        ),
        (
            {"type": "document", "title": "a.pdf", "source": PDF},
            [
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBE",
                }
            ],
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://a/b"}},
            [{"type": "input_file", "file_url": "https://a/b"}],
        ),
        (
            {
                "type": "document",
                "title": "T",
                "context": "C",
                "source": {"type": "text", "media_type": "text/plain", "data": "x"},
            },
            [{"type": "input_text", "text": '<document title="T" context="C">x</document>'}],
        ),
        (
            {"type": "document", "source": {"type": "content", "content": "x"}},
            [{"type": "input_text", "text": text_} for text_ in ("<document>", "x", "</document>")],
        ),
        (
            {"type": "document", "source": {"type": "content", "content": [said("x")]}},
            [{"type": "input_text", "text": text_} for text_ in ("<document>", "x", "</document>")],
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": [said("x")]},
            [{"type": "input_text", "text": '<search_result source="s" title="t">x</search_result>'}],
        ),
    ],
)
def test_what_a_user_may_say(block: Any, parts: list[Any]):
    """Each in the API's own form."""
    assert items(user(block)) == [{"type": "message", "role": "user", "content": parts}]


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "messages.content.image.file"),
        ({"type": "image", "source": {"type": "new"}}, "messages.content.image.new"),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "messages.content.document.file"),
        ({"type": "document", "source": {**PDF, "media_type": "x/y"}}, "messages.content.document.base64"),
        ({"type": "container_upload"}, "messages.content.container_upload"),
    ],
)
def test_what_cannot_be_said_is_named(block: Any, path: str):
    """And its place is marked, where nothing else is there."""
    assert dropped(user(block)) == (path,)
    assert "omitted" in items(user(block))[0]["content"][0]["text"]


def test_what_of_a_document_cannot_be_said_is_named():
    """The rest is said."""
    block = {"type": "document", "context": "C", "citations": {"enabled": True}, "source": PDF}

    assert dropped(user(block)) == ("messages.content.document.citations", "messages.content.document.context")


def test_what_an_assistant_cannot_have_said_is_named():
    """Blocks of Anthropic's own tools."""
    turns = (user(said("hi")), assistant({"type": "server_tool_use"}, said("a")), user(said("b")))

    assert dropped(*turns) == ("messages.content.server_tool_use",)


def test_a_system_turn_of_more_than_text_is_its_text():
    """Anthropic puts changes of tools there."""
    turn = {"role": "system", "content": [{"type": "tool_addition"}, said("a")]}

    assert items(user(said("hi")), turn)[1] == message("developer", "a")
    assert dropped(user(said("hi")), turn) == ("messages.content.tool_addition",)


def phased(phase: str, *texts: str) -> dict[str, Any]:
    """A message of the model with its phase."""
    return {**text(*texts), "phase": phase}


def test_the_phase_of_a_message_comes_back():
    """Else a model may take its own commentary for the end of its work."""
    told = (phased("commentary", "I look"), phased("final_answer", "found"))
    made = answered(response(*told), tools=[TOOL])
    spoken = items(user(said("hi")), assistant(*made["content"], said("on")), user(said("and?")))

    assert [block["type"] for block in made["content"]] == ["thinking", "text"] * 2
    assert [(item["role"], item.get("phase")) for item in spoken] == [
        ("user", None),
        ("assistant", "commentary"),
        ("assistant", "final_answer"),
        ("assistant", None),
        ("user", None),
    ]


def test_a_phase_is_not_another_familys():
    """It is state of a model like its reasoning."""
    state = thinking({"phase": "commentary"}, kind="phase")

    assert "phase" not in items(user(said("a")), assistant(state, said("b")), user(said("c")), model="o3")[1]
    assert dropped(user(said("a")), assistant(state, said("b")), user(said("c")), model="o3") == (
        "messages.content.thinking",
    )


def test_who_wants_no_thinking_gets_no_phase():
    """A block of thinking would carry it."""
    made = answered(response(phased("final_answer", "found")), thinking={"type": "disabled"})

    assert made["content"] == [said("found")]


def cached(text: str) -> dict[str, Any]:
    """Text that ends what is to be cached."""
    return {**said(text), "cache_control": {"type": "ephemeral"}}


MARK = {"prompt_cache_breakpoint": {"mode": "explicit"}}


def test_what_is_to_be_cached_is_marked():
    """From gpt-5.6 on OpenAI finds a cached prefix only where its end was marked; instructions take no mark."""
    request = sent(user(cached("hi"), said("there")), system=[said("a"), cached("b")], model="gpt-5.6-sol")

    assert "instructions" not in request
    assert request["input"] == [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b", **MARK}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hi", **MARK}, {"type": "input_text", "text": "there"}],
        },
    ]
    assert dropped(user(cached("hi")), model="gpt-5.6-sol") == ()


def test_the_first_three_are_marked():
    """A request writes four caches, and OpenAI marks the newest message itself."""
    turn = user(*(cached(text) for text in "abcde"))

    assert ["prompt_cache_breakpoint" in part for part in items(turn)[0]["content"]] == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "server", [{"model": "gpt-5.4"}, {"model": "gpt-4.1"}, {"base_url": "http://127.0.0.1:9"}]
)
def test_where_no_mark_is_known_it_is_named(server: dict[str, Any]):
    """Earlier models cache by themselves."""
    asked: dict[str, Any] = {"system": [cached("b")], **server}

    assert sent(**asked)["instructions"] == "b"
    assert dropped(**asked) == ("cache_control",)


def test_tools_and_empty_system_prompts_take_no_mark():
    """Only texts do."""
    tool = {**TOOL, "cache_control": {"type": "ephemeral"}}

    assert dropped(tools=[tool], system=[cached("")]) == ("tools.cache_control",)
    assert [item["role"] for item in items(system=[cached("")])] == ["user"]


def marked_output(content: Any) -> Any:
    """The output of a call whose result ends what is to be cached."""
    ended = result(content, cache_control={"type": "ephemeral"})
    return items(user(said("hi")), assistant(CALL), user(ended), model="gpt-5.6-sol")[2]["output"]


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a.org/i.png"}}


def test_a_result_that_is_to_be_cached_is_marked():
    """In an agent's loop the last thing is a result."""
    assert marked_output("ok") == [{"type": "input_text", "text": "ok", **MARK}]
    assert marked_output([said("a"), cached("b")]) == [{"type": "input_text", "text": "a\nb", **MARK}]
    *_, last = marked_output([said("a"), IMAGE])
    assert last == {"type": "input_image", "image_url": "https://a.org/i.png", **MARK}
    *_, last = marked_output([IMAGE, cached("b")])
    assert last == {"type": "input_text", "text": "b", **MARK}


@pytest.mark.parametrize(
    "block",
    [
        IMAGE,
        {"type": "image", "source": PNG},
        {"type": "document", "source": PDF},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
        {"type": "document", "source": {"type": "content", "content": [said("a"), IMAGE]}},
        {"type": "search_result", "source": "s", "title": "t", "content": [said("a")]},
    ],
    ids=["url", "png", "pdf", "text", "content", "search result"],
)
def test_images_and_documents_are_marked_at_their_end(block: dict[str, Any]):
    """They are the largest things that a caller wants cached."""
    turn = user(said("hi"), {**block, "cache_control": {"type": "ephemeral"}})
    *before, last = items(turn, model="gpt-5.6-sol")[0]["content"]

    assert last["prompt_cache_breakpoint"] == MARK["prompt_cache_breakpoint"]
    assert not any("prompt_cache_breakpoint" in part for part in before)
    assert dropped(turn, model="gpt-5.6-sol") == ()


def test_a_mark_on_what_the_model_said_is_named():
    """Calls and the model's texts take none; whoever sets it there must know why nothing is cached."""
    control = {"cache_control": {"type": "ephemeral"}}
    turns = (user(said("hi")), assistant(cached("I look"), {**CALL, **control}), user(result("ok")))

    assert dropped(*turns, model="gpt-5.6-sol") == (
        "messages.content.text.cache_control",
        "messages.content.tool_use.cache_control",
    )
    assert dropped(*turns, model="gpt-5.4") == ("cache_control",)


def test_an_image_that_cannot_be_said_takes_no_mark():
    """The mark is gone with it."""
    lost = {"type": "image", "source": {"type": "file", "file_id": "f"}, "cache_control": {"type": "ephemeral"}}

    assert dropped(user(said("hi"), lost), model="gpt-5.6-sol") == ("messages.content.image.file",)


def test_a_result_that_loses_its_mark_stays_the_same():
    """Clients move their marks to the newest turn: what they leave must still be found in the cache."""
    turns = (assistant(CALL), user(result("ok")), assistant(said("b")), user(cached("c")))

    assert items(user(said("hi")), *turns, model="gpt-5.6-sol")[2]["output"] == [
        {"type": "input_text", "text": "ok"}
    ]
