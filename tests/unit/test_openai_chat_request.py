"""Chat Completions: what a request of the Anthropic API becomes."""

import hashlib
from typing import Any

import pytest
from msgspec import UNSET, Raw, json
from unit.chat import TOOL, USER, dropped, exchange, sent, sent_messages

from ccproxy.documents import decode_head
from ccproxy.errors import ApiError
from ccproxy.messages import Block, Request, ToolResult, Turn
from ccproxy.providers.openai_chat import OPENAI, reasoning
from ccproxy.providers.openai_chat.request import translate
from ccproxy.providers.openai_chat.tools import satisfies_strict, upstream_name

PDF = {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}
PNG = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
IMAGE = {"type": "image", "source": PNG}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
URL = {"type": "url", "url": "https://example.com/x"}
STRICT = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
GPT6 = "gpt-6-sol"


def text(value: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": value}


def user(*blocks: Any) -> dict[str, Any]:
    """A turn of the user."""
    return {"role": "user", "content": blocks}


def assistant(*blocks: Any) -> dict[str, Any]:
    """A turn of the assistant."""
    return {"role": "assistant", "content": blocks}


def use(id: str, name: str = "read", **input: Any) -> dict[str, Any]:  # noqa: A002
    """A call."""
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def result(id: str, content: Any = UNSET, **members: Any) -> dict[str, Any]:  # noqa: A002
    """The result of a call."""
    block = {"type": "tool_result", "tool_use_id": id, "content": content, **members}
    return {k: v for k, v in block.items() if v is not UNSET}


def answer_to(content: Any = UNSET, **members: Any) -> list[dict[str, Any]]:
    """The messages after a call whose result holds `content`."""
    return sent_messages(USER, assistant(use("t1")), user(result("t1", content, **members)))[2:]


# The system prompt.


@pytest.mark.parametrize("system", ["be brief", [text("be brief")]])
def test_the_system_prompt_comes_first(system: Any):
    """Both of Anthropic's forms say the same."""
    assert sent_messages(system=system) == [{"role": "system", "content": "be brief"}, USER]


def test_system_blocks_are_joined():
    """Compatible servers take a string only."""
    assert sent_messages(system=[text("a"), text(""), text("b")])[0]["content"] == "a\n\nb"


@pytest.mark.parametrize("system", [None, "", [], [text("")]])
def test_an_empty_system_prompt_is_none(system: Any):
    """An empty message is refused by some servers."""
    assert sent_messages(system=system) == [USER]


def test_the_billing_header_is_left_out():
    """Claude Code's attribution changes between requests and would spoil the provider's prompt cache."""
    system = [text("x-anthropic-billing-header: cc_version=2"), text("be brief")]

    assert sent_messages(system=system)[0]["content"] == "be brief"


@pytest.mark.parametrize(
    ("model", "role"),
    [
        ("gpt-4.1", "system"),
        ("gpt-4o-mini", "system"),
        ("gpt-35-turbo", "system"),
        ("llama-3", "system"),
        ("o4-mini", "developer"),
        ("gpt-5", "developer"),
        (GPT6, "developer"),
        ("codex-mini-latest", "developer"),
    ],
)
def test_newer_models_have_a_developer(model: str, role: str):
    """OpenAI renamed the role with its reasoning models."""
    assert sent_messages(system="s", model=model)[0]["role"] == role


def test_a_system_turn_stays_in_its_place():
    """It speaks about what came before it; at the front it would also spoil the prompt cache."""
    messages = sent_messages(USER, assistant(text("yes")), {"role": "system", "content": "now be brief"}, USER)

    assert [m["role"] for m in messages] == ["user", "assistant", "system", "user"]


# The conversation.


def test_neighbours_of_one_role_become_one_message():
    """Anthropic joins them too; some servers insist that roles alternate."""
    messages = sent_messages(USER, user(text("there")), assistant(text("a")), assistant(text("b")), USER)

    assert messages == [
        {"role": "user", "content": [text("hi"), text("there")]},
        {"role": "assistant", "content": "a\n\nb"},
        USER,
    ]


def test_empty_text_is_left_out():
    """Servers refuse empty parts."""
    assert sent_messages(user(text(""), text("hi"))) == [USER]


def test_calls_and_results_keep_their_ids():
    """The id is all that joins them."""
    messages = sent_messages(USER, assistant(text("I look"), use("t1", path="a")), user(result("t1", "found")))

    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "I look",
            "tool_calls": [
                {"type": "function", "id": "t1", "function": {"name": "read", "arguments": '{"path":"a"}'}}
            ],
        },
        {"role": "tool", "content": "found", "tool_call_id": "t1"},
    ]


def test_long_ids_are_shortened_alike():
    """Ids over 40 characters are refused; the call and its result must still meet."""
    long = "toolu_" + "x" * 50
    messages = sent_messages(USER, assistant(use(long)), user(result(long, "found")))
    id = messages[1]["tool_calls"][0]["id"]  # noqa: A001

    assert len(id) <= 40
    assert messages[2]["tool_call_id"] == id


def test_results_come_before_everything_else():
    """Anthropic lets text precede them; Chat Completions refuses anything between a call and its result."""
    messages = sent_messages(USER, assistant(use("t1"), use("t2")), user(text("so"), result("t2"), result("t1")))

    assert [(m["role"], m.get("tool_call_id")) for m in messages[2:]] == [
        ("tool", "t1"),
        ("tool", "t2"),
        ("user", None),
    ]


def test_a_system_turn_waits_for_the_results():
    """The same: nothing may come between."""
    turns = (
        USER,
        assistant(use("t1")),
        {"role": "system", "content": "s"},
        user(result("t1", "found"), text("so")),
    )

    assert [m["role"] for m in sent_messages(*turns)[1:]] == ["assistant", "tool", "system", "user"]


def test_a_call_without_a_result_gets_one():
    """An interrupted turn of Claude Code leaves such calls; the provider refuses the whole conversation."""
    messages = sent_messages(USER, assistant(use("t1"), use("t2")), user(result("t2", "found")))

    assert messages[2] == {"role": "tool", "content": "Error: [tool call interrupted]", "tool_call_id": "t1"}


def test_a_result_without_a_call_becomes_text():
    """What it says may still matter; as a tool message it would be refused."""
    messages = sent_messages(user(result("t9", "found"), text("go on")))

    assert messages == [
        {"role": "user", "content": [text("Result of an earlier tool call: found"), text("go on")]}
    ]


def test_a_second_result_of_a_call_becomes_text():
    """A call takes one tool message."""
    messages = sent_messages(USER, assistant(use("t1")), user(result("t1", "a"), result("t1", "b")))

    assert [(m["role"], m["content"]) for m in messages[2:]] == [
        ("tool", "a"),
        ("user", "Result of an earlier tool call: b"),
    ]


@pytest.mark.parametrize(
    ("content", "is_error", "said"),
    [
        ("found", None, "found"),
        ([text("a"), text("b")], False, "a\nb"),
        ("no file", True, "Error: no file"),
        (UNSET, None, "(no output)"),
        (None, None, "(no output)"),
        ("", None, "(no output)"),
        ([], True, "Error: (no output)"),
    ],
)
def test_a_result_is_text(content: Any, is_error: Any, said: str):
    """A tool message has no member for failure, and may not be empty."""
    assert answer_to(content, is_error=is_error)[0]["content"] == said


def test_an_image_in_a_result_follows_in_a_user_message():
    """Tool messages hold text only."""
    assert answer_to([text("a screen"), IMAGE]) == [
        {"role": "tool", "content": "a screen\n[attached to the next message]", "tool_call_id": "t1"},
        {"role": "user", "content": [PNG_PART]},
    ]


def test_attachments_come_after_all_results():
    """Else they would stand between a call and its result."""
    turns = (USER, assistant(use("t1"), use("t2")), user(result("t1", [IMAGE]), result("t2", "b"), text("so")))
    messages = sent_messages(*turns)[2:]

    assert [m["role"] for m in messages] == ["tool", "tool", "user"]
    assert messages[2]["content"] == [PNG_PART, text("so")]


def test_a_conversation_may_not_end_with_the_assistant():
    """There is no prefill: the answer would begin anew and look as if it went on."""
    with pytest.raises(ApiError) as failure:
        exchange(USER, assistant(text("The answer is")))

    assert failure.value.status == 400
    assert failure.value.message == (
        "This model does not support assistant message prefill. The conversation must end with a user message."
    )


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "messages: at least one message is required"),
        ([{"role": "tool", "content": "x"}], "messages.0.role: Input should be 'user', 'assistant' or 'system'"),
    ],
)
def test_what_anthropic_refuses_is_refused(messages: Any, message: str):
    """The caller's mistake is told in Anthropic's words, not in another provider's."""
    with pytest.raises(ApiError) as failure:
        exchange(messages=messages)

    assert failure.value.message == message


# Blocks.


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (IMAGE, PNG_PART),
        ({"type": "image", "source": URL}, {"type": "image_url", "image_url": {"url": "https://example.com/x"}}),
        (
            {"type": "document", "source": PDF, "title": "Q3.pdf"},
            {"type": "file", "file": {"filename": "Q3.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        ),
        (
            {"type": "document", "source": PDF},
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,QUJD"},
            },
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                "title": 'a "b"',
            },
            text('<document title="a &quot;b&quot;">x</document>'),
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "x"}, "context": "c"},
            text('<document context="c">x</document>'),
        ),
        (
            {"type": "search_result", "source": "s", "title": "t", "content": [text("a"), text("b")]},
            text('<search_result source="s" title="t">a\nb</search_result>'),
        ),
    ],
)
def test_blocks_become_parts(block: Any, part: Any):
    """The model is to see what the caller sent."""
    assert sent_messages(user(block, text("what is it"))) == [
        {"role": "user", "content": [part, text("what is it")]}
    ]


@pytest.mark.parametrize("content", ["x", [text("x")]])
def test_a_document_of_blocks_is_flattened(content: Any):
    """Parts do not nest."""
    document = {"type": "document", "source": {"type": "content", "content": content}}

    assert sent_messages(user(document))[0]["content"] == [text("<document>"), text("x"), text("</document>")]


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "image.file"),
        ({"type": "image", "source": {"type": "hologram"}}, "image.hologram"),
        ({"type": "document", "source": URL}, "document.url"),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "document.file"),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "text/rtf", "data": ""}},
            "document.base64",
        ),
        ({"type": "thinking", "thinking": "hm", "signature": "s"}, "thinking"),
        ({"type": "redacted_thinking", "data": "x"}, "redacted_thinking"),
        (use("t"), "tool_use"),
        ({"type": "container_upload", "file_id": "f"}, "container_upload"),
        ({"type": "of_next_year"}, "of_next_year"),
    ],
)
def test_what_cannot_be_said_is_named(block: Any, path: str):
    """A silent loss looks like a stupid model. The turn stays, so that roles still alternate."""
    it = exchange(user(block))

    assert it.dropped == (f"messages.content.{path}",)
    assert b"[content omitted: this model cannot take it]" in (it.request.body or b"")


@pytest.mark.parametrize("member", ["context", "citations"])
def test_what_a_pdf_cannot_carry_is_named(member: str):
    """The file is sent, its context and the wish for citations are not."""
    document = {"type": "document", "source": PDF, "context": "c", "citations": {"enabled": True}}

    assert f"messages.content.document.{member}" in dropped(user(document))


def test_what_anthropics_servers_did_in_earlier_turns_is_told_as_text():
    """No other model knows the block; left out, it would search again."""
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rain"}}
    turns = (USER, assistant(use, text("yes")), USER)

    assert sent_messages(*turns)[1] == {"role": "assistant", "content": "[web_search: rain]\n\nyes"}
    assert dropped(*turns) == ()


def test_thinking_of_earlier_turns_is_dropped():
    """Chat Completions has no place for it."""
    turns = (USER, assistant({"type": "thinking", "thinking": "hm", "signature": "s"}, text("yes")), USER)

    assert sent_messages(*turns)[1] == {"role": "assistant", "content": "yes"}
    assert dropped(*turns) == ("messages.content.thinking",)


def test_an_answer_of_nothing_leaves_no_message():
    """Users' turns around it become neighbours."""
    turns = (USER, assistant({"type": "thinking", "thinking": "hm"}), USER)

    assert sent_messages(*turns) == [{"role": "user", "content": [text("hi"), text("hi")]}]


def test_bytes_that_are_not_utf8_are_the_callers_mistake():
    """They hide in what is not opened before: the input of a call."""
    with pytest.raises(ApiError) as failure:
        exchange(USER, assistant({**use("t1"), "input": Raw(b'{"a":"\xff"}')}), user(result("t1")))

    assert failure.value.status == 400


def test_a_nest_too_deep_is_the_callers_mistake():
    """The decoder's stack just sufficed; what comes after it needs a little more."""
    nest: Block = ToolResult("t", "x")
    for _ in range(2_000):
        nest = ToolResult("t", [nest])
    request = Request("claude", [Turn("user", [nest])], max_tokens=1)

    with pytest.raises(ApiError, match="nested too deeply"):
        translate(request, decode_head(b'{"model":"claude"}'), "gpt-4.1", OPENAI, old_client=False)


# Parameters.


def test_the_plain_parameters():
    """The smallest request holds nothing that was not asked for."""
    assert sent(temperature=0.5, top_p=0.9) == {
        "model": "gpt-4.1",
        "messages": [USER],
        "max_completion_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
    }


def test_a_stream_asks_for_its_usage():
    """Without it a stream has no usage at all."""
    assert sent(stream=True)["stream_options"] == {"include_usage": True}


def test_zero_tokens_do_no_harm():
    """Anthropic's way to warm a cache is answered elsewhere; here it must be a legal request still."""
    assert sent(max_tokens=0)["max_completion_tokens"] == 1


def test_the_routes_parameters_apply_where_the_caller_is_silent():
    """The caller's own word counts more."""
    request = sent(parameters={"temperature": 0.1, "top_p": 0.2, "max_tokens": 7}, temperature=0.9, top_p=None)

    assert (request["temperature"], request["top_p"], request["max_completion_tokens"]) == (0.9, 0.2, 100)


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"top_k": 5}, ("top_k",)),
        ({"container": "c", "mcp_servers": []}, ("container", "mcp_servers")),
        ({"container": None}, ()),
        ({"system": [{**text("s"), "cache_control": {"type": "ephemeral"}}]}, ("cache_control",)),
        ({"cache_control": {"type": "ephemeral"}}, ("cache_control",)),
        ({"tools": [{**TOOL, "defer_loading": True}]}, ("tools.defer_loading",)),
    ],
)
def test_members_that_cannot_be_said_are_named(members: dict[str, Any], names: tuple[str, ...]):
    """The caller reads the names in a header."""
    assert dropped(**members) == names


def test_the_word_cache_control_in_a_text_is_no_member():
    """Conversations about this API are common among its users."""
    assert dropped({"role": "user", "content": '{"cache_control": 1}'}) == ()


def test_the_user_is_told_as_a_hash():
    """The provider can tell users apart and learns nothing about them."""
    assert sent(metadata={"user_id": "u1"})["safety_identifier"] == hashlib.sha256(b"u1").hexdigest()


@pytest.mark.parametrize(("theirs", "ours"), [("auto", "auto"), ("standard_only", "default")])
def test_the_service_tier(theirs: str, ours: str):
    """The names differ."""
    assert sent(service_tier=theirs)["service_tier"] == ours


def test_speed_is_a_tier_of_its_own():
    """OpenAI sells it as priority."""
    assert sent(speed="fast", service_tier="auto")["service_tier"] == "priority"
    assert dropped(speed="fast") == ()
    assert dropped(speed="fast", base_url="http://127.0.0.1:9") == ("speed",)


def test_a_session_shares_a_prompt_cache():
    """Its requests go to the same machine; the name of the session stays here."""
    key = sent(session="session-1")["prompt_cache_key"]

    assert key == sent(session="session-1")["prompt_cache_key"] != sent(session="session-2")["prompt_cache_key"]
    assert (len(key), "session" in key) == (32, False)
    assert "prompt_cache_key" not in sent()
    assert "prompt_cache_key" not in sent(session="session-1", base_url="http://127.0.0.1:9")


def test_a_compatible_server_gets_no_members_of_openais_own():
    """Some refuse what they do not know."""
    members: dict[str, Any] = {
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "base_url": "http://127.0.0.1",
    }

    assert not {"safety_identifier", "service_tier"} & set(sent(**members))
    assert dropped(**members) == ("metadata.user_id", "service_tier")


def test_stop_sequences_stay_here():
    """The provider would not say which one it met, and its newer models refuse the member."""
    assert "stop" not in sent(stop_sequences=["END"])


@pytest.mark.parametrize(
    "members",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": STRICT}}},
        {"output_format": {"type": "json_schema", "schema": STRICT}},
    ],
)
def test_structured_output(members: dict[str, Any]):
    """The older name of the member is still in use."""
    assert sent(**members)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": STRICT, "strict": True},
    }


def test_a_schema_that_strict_would_refuse_is_sent_without():
    """Better a schema that is advice than a 400."""
    schema = {"type": "object", "properties": {"a": {}}}

    format = sent(output_config={"format": {"type": "json_schema", "schema": schema}})["response_format"]  # noqa: A001

    assert "strict" not in format["json_schema"]


def test_another_format_is_named():
    """Formats of next year."""
    members = {"output_config": {"format": {"type": "grammar", "schema": {}}}}

    assert dropped(**members) == ("output_config.format",)
    assert "response_format" not in sent(**members)


def test_a_format_without_a_schema_is_the_callers_mistake():
    """It is told where."""
    with pytest.raises(ApiError) as failure:
        exchange(output_config={"format": {"type": "json_schema"}})

    assert failure.value.message == "output_config.format: a type and a schema are required"


# Tools.


def test_a_tool_is_a_function():
    """The schema passes unread."""
    tool = {"name": "read", "description": "Reads.", "input_schema": {"type": "object", "x": 1}, "type": "custom"}

    assert sent(tools=[tool])["tools"] == [
        {
            "type": "function",
            "function": {"name": "read", "description": "Reads.", "parameters": {"type": "object", "x": 1}},
        }
    ]


def test_a_tool_without_a_schema_takes_nothing():
    """The provider wants one."""
    assert sent(tools=[{"name": "now"}])["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {},
    }


def test_examples_become_part_of_the_description():
    """There is no member for them."""
    function = sent(tools=[{**TOOL, "description": "Reads.", "input_examples": [{"a": 1}]}])["tools"][0][
        "function"
    ]

    assert function["description"] == 'Reads.\n\nExamples: [{"a":1}]'


@pytest.mark.parametrize("name", ["mcp__server__" + "x" * 60, "with.dot", "é", ""])
def test_a_name_that_would_be_refused_is_changed_the_same_way_everywhere(name: str):
    """A tool, its calls in history and a choice of it must meet."""
    request = sent(
        USER,
        assistant(use("t1", name)),
        user(result("t1")),
        tools=[{**TOOL, "name": name}],
        tool_choice={"type": "tool", "name": name},
    )
    upstream = request["tools"][0]["function"]["name"]

    assert len(upstream) <= 64
    assert upstream_name(upstream) == upstream != name
    assert request["messages"][1]["tool_calls"][0]["function"]["name"] == upstream
    assert request["tool_choice"]["function"]["name"] == upstream


@pytest.mark.parametrize(
    ("tool_type", "name", "takes"),
    [
        ("bash_20250124", "bash", "command"),
        ("text_editor_20250728", "str_replace_based_edit_tool", "old_str"),
        ("memory_20250818", "memory", "new_path"),
    ],
)
def test_tools_that_the_caller_runs_become_functions(tool_type: str, name: str, takes: str):
    """Only their schema is Anthropic's; the caller runs them whoever calls."""
    function = sent(tools=[{"type": tool_type, "name": name}])["tools"][0]["function"]

    assert function["name"] == name
    assert takes in function["parameters"]["properties"]


@pytest.mark.parametrize("tool_type", ["web_search_20250305", "computer_20250124", "browser_toolset_20260801"])
def test_tools_that_cannot_be_had_are_named(tool_type: str):
    """The model must not see a tool that nobody runs."""
    members = {"tools": [{"type": tool_type, "name": "x"}], "tool_choice": {"type": "any"}}

    assert dropped(**members) == ("tool_choice", f"tools.{tool_type}")
    assert not {"tools", "tool_choice"} & set(sent(**members))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "read"}, {"type": "function", "function": {"name": "read"}}),
    ],
)
def test_the_choice_of_tools(choice: Any, said: Any):
    """The names differ."""
    assert sent(tools=[TOOL], tool_choice=choice)["tool_choice"] == said


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "gone"}, {"type": "of_next_year"}])
def test_a_choice_that_cannot_be_had_is_named(choice: Any):
    """A tool that was dropped cannot be forced."""
    members = {"tools": [TOOL], "tool_choice": choice}

    assert dropped(**members) == ("tool_choice",)
    assert "tool_choice" not in sent(**members)


def test_parallel_calls_can_be_switched_off():
    """Only beside tools: else the provider refuses the member."""
    choice = {"type": "auto", "disable_parallel_tool_use": True}

    assert sent(tools=[TOOL], tool_choice=choice)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in sent(tool_choice=choice)


def test_strict_is_passed_on_where_the_schema_allows_it():
    """A schema that does not satisfy OpenAI is a 400 there."""
    tools = [{"name": "a", "input_schema": STRICT, "strict": True}, {**TOOL, "strict": True}, TOOL]

    assert [tool["function"].get("strict") for tool in sent(tools=tools)["tools"]] == [True, None, None]
    assert dropped(tools=tools) == ("tools.strict",)


@pytest.mark.parametrize(
    ("change", "satisfies"),
    [
        ({}, True),
        ({"type": "array"}, False),
        ({"anyOf": [STRICT]}, False),
        ({"additionalProperties": True}, False),
        ({"required": []}, False),
        ({"required": "a"}, False),
        ({"properties": []}, False),
        ({"properties": {"a": {"type": "string", "pattern": "x"}}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": STRICT}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/b", "title": "b"}}}, False),
        ({"$defs": {"b": {"type": "object"}}}, False),
        ({"$defs": []}, False),
        ({"properties": {"a": {"type": ["object", "null"]}}}, False),
        ({"properties": {"a": {"type": "array", "items": {"type": "string"}}}}, True),
        ({"properties": {"a": {"type": "array", "items": {"type": "object"}}}}, False),
        ({"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, True),
        ({"properties": {"a": {"anyOf": {}}}}, False),
        ({"properties": {"a": {"oneOf": []}}}, False),
        ({"properties": {"a": True}}, False),
    ],
)
def test_what_satisfies_strict(change: dict[str, Any], satisfies: bool):  # noqa: FBT001
    """One wrong keyword is a 400 for the whole request."""
    assert satisfies_strict(Raw(json.encode({**STRICT, **change}))) is satisfies


@pytest.mark.parametrize("schema", [b"", b"[]", b'{"items":' * 5_000 + b"{}" + b"}" * 5_000])
def test_a_strange_schema_satisfies_nothing(schema: bytes):
    """It comes from a caller."""
    assert satisfies_strict(Raw(schema)) is False


# Reasoning.


@pytest.mark.parametrize(
    ("model", "wished", "tools", "effort"),
    [
        ("gpt-5", "none", False, "minimal"),
        ("gpt-5-mini", "high", True, "high"),
        ("gpt-5", "max", False, "high"),
        ("gpt-5.1", "none", False, "none"),
        ("gpt-5.1", "xhigh", False, "high"),
        ("gpt-5.2", "max", True, "xhigh"),
        ("gpt-5.4", "high", False, "high"),
        ("gpt-5.4", "high", True, None),
        ("gpt-5.4-mini", None, True, None),
        ("gpt-5.5", None, True, "none"),
        ("gpt-5.5-pro", "none", True, "low"),
        ("gpt-5.6-sol", "high", True, "none"),
        ("gpt-5.6-sol", "high", False, "high"),
        ("gpt-5.6-sol", None, False, None),
        (GPT6, None, True, "none"),
        ("gpt-10.1", None, True, "none"),
        ("gpt-5.1-codex", "none", False, "low"),
        ("o4-mini", "none", True, "low"),
        ("o3", "medium", False, "medium"),
    ],
)
def test_the_effort(model: str, wished: str | None, tools: bool, effort: str | None):  # noqa: FBT001
    """Each value is one the model accepts; beside tools the newer ones accept only "none", or nothing."""
    kin = reasoning.family(model)

    assert kin is not None
    assert reasoning.effort(kin, wished, tools=tools) == effort


@pytest.mark.parametrize(
    "model", ["gpt-4.1", "gpt-4o", "gpt-5-chat-latest", "gpt-35-turbo", "llama-4", "gpt-oss-120b"]
)
def test_other_models_get_no_effort(model: str):
    """They refuse it."""
    thinking = {"type": "enabled", "budget_tokens": 5_000}
    members = {"model": model, "thinking": thinking, "output_config": {"effort": "low"}}

    assert "reasoning_effort" not in sent(**members)
    assert dropped(**members) == ("output_config.effort", "thinking")


@pytest.mark.parametrize(
    ("members", "effort"),
    [
        ({}, None),
        ({"version": "2023-06-01"}, "none"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "between_tools"}}, "none"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}, "medium"),
        ({"output_config": {"effort": "low"}, "version": "2023-06-01"}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 16_000}}, "high"),
        ({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, "xhigh"),
        ({"thinking": {"type": "enabled"}}, "low"),
    ],
)
def test_the_wish_for_thinking(members: dict[str, Any], effort: str | None):
    """Anthropic's three ways to say it become one member."""
    assert sent(model="gpt-5.6-sol", **members).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"thinking": {"type": "adaptive"}, "model": GPT6}, ()),
        ({"thinking": {"type": "adaptive"}, "model": GPT6, "tools": [TOOL]}, ("thinking",)),
        ({"thinking": {"type": "disabled"}, "model": GPT6, "tools": [TOOL]}, ()),
        ({"thinking": {"type": "disabled"}, "model": "o4-mini"}, ("thinking",)),
        ({"thinking": {"type": "disabled"}}, ()),
        ({"output_config": {"effort": "low"}, "model": GPT6, "tools": [TOOL]}, ("output_config.effort",)),
    ],
)
def test_a_wish_that_is_not_heard_is_named(members: dict[str, Any], names: tuple[str, ...]):
    """The caller pays for thinking, or waits for it in vain."""
    assert dropped(**members) == names


@pytest.mark.parametrize(
    ("model", "members", "sampled"),
    [
        ("gpt-4.1", {}, True),
        ("gpt-5-chat-latest", {}, True),
        ("o3", {}, False),
        ("gpt-5", {}, False),
        ("gpt-5.1", {}, True),
        ("gpt-5.1", {"output_config": {"effort": "low"}}, False),
        (GPT6, {}, False),
        (GPT6, {"tools": [TOOL]}, True),
    ],
)
def test_sampling_is_left_out_while_a_model_reasons(model: str, members: dict[str, Any], sampled: bool):  # noqa: FBT001
    """Reasoning models refuse these parameters."""
    members = {"model": model, "temperature": 0.2, "top_p": 0.3, **members}

    assert ("temperature" in sent(**members)) is sampled
    assert dropped(**members) == (() if sampled else ("temperature", "top_p"))


def test_a_temperature_of_one_is_what_a_reasoning_model_uses():
    """Claude Code always sends it; nothing is lost."""
    assert dropped(model="o3", temperature=1) == ()
