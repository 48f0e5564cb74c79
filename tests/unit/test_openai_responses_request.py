"""The Responses API: what a request becomes."""

from typing import Any

import msgspec
import pytest
from unit.chat import KEY, TOOL, USER
from unit.responses import ASKED, call, dropped, exchange, provider, sent

from ccproxy.call import Target
from ccproxy.documents import decode_head
from ccproxy.errors import ApiError
from ccproxy.messages import Block, Request, ToolResult, Turn
from ccproxy.providers.openai_chat import OPENAI
from ccproxy.providers.openai_responses.request import translate

STRICT = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def test_a_request():
    """The whole of a small one."""
    assert sent(system="Be", stream=True) == {
        "model": "gpt-5.6",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "instructions": "Be",
        "reasoning": {"summary": "auto"},
        "store": False,
        "max_output_tokens": 100,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
    }


def test_only_our_own_headers_go_upstream():
    """The caller's credentials are for this gateway."""
    request = exchange(headers={"x-api-key": "theirs"}).request

    assert set(request.headers) == {"accept", "accept-encoding", "authorization", "content-type", "user-agent"}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/responses")


def test_a_thread_is_refused():
    """Only Anthropic has the rest of it."""
    with pytest.raises(ApiError) as failure:
        exchange(thread={"id": "t"})

    assert failure.value.details == {"error_code": "thread_unsupported_request"}


def test_an_answer_is_allowed_the_least_that_the_api_demands():
    """Less is a 400: "Expected a value >= 16"."""
    assert [sent(max_tokens=limit)["max_output_tokens"] for limit in (0, 15, 17)] == [16, 16, 17]


def test_tools_are_flat_and_say_whether_they_are_strict():
    """Where `strict` is absent the API takes it for true."""
    tools = [{**TOOL, "description": "Reads"}, {"name": "no", "input_schema": STRICT, "strict": True}]

    assert sent(tools=tools)["tools"] == [
        {
            "type": "function",
            "name": "read",
            "strict": False,
            "parameters": {"type": "object"},
            "description": "Reads",
        },
        {"type": "function", "name": "no", "strict": True, "parameters": STRICT},
    ]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "read"}, {"type": "function", "name": "read"}),
    ],
)
def test_a_choice_of_tools(choice: dict[str, Any], said: Any):
    """In the API's words."""
    assert sent(tools=[TOOL], tool_choice=choice)["tool_choice"] == said


def test_parallel_calls_can_be_forbidden():
    """As Anthropic's callers do."""
    choice = {"type": "auto", "disable_parallel_tool_use": True}

    assert sent(tools=[TOOL], tool_choice=choice)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in sent(tools=[TOOL], tool_choice={"type": "auto"})


@pytest.mark.parametrize(("choice", "paths"), [({"type": "any"}, ("tool_choice",)), ({"type": "auto"}, ())])
def test_a_choice_without_tools_is_not_sent(choice: dict[str, Any], paths: tuple[str, ...]):
    """It would be refused."""
    assert "tool_choice" not in sent(tool_choice=choice)
    assert dropped(tool_choice=choice) == paths


def test_a_name_that_is_refused_is_changed():
    """MCP tools have long ones."""
    name = sent(tools=[{**TOOL, "name": "mcp.x" + "y" * 80}])["tools"][0]["name"]

    assert (len(name), name.startswith("mcp_x")) == (64, True)


@pytest.mark.parametrize(
    ("model", "thinking", "effort", "said"),
    [
        ("gpt-5.6", ASKED, None, {"summary": "auto"}),
        ("gpt-5.6", ASKED, "high", {"effort": "high", "summary": "auto"}),
        ("gpt-5.6", ASKED, "max", {"effort": "xhigh", "summary": "auto"}),
        ("gpt-5.6", {**ASKED, "display": "omitted"}, "low", {"effort": "low"}),
        ("gpt-5.6", {**ASKED, "display": "omitted"}, None, None),
        ("gpt-5.6", {"type": "disabled"}, None, {"effort": "none"}),
        ("gpt-5.6", {"type": "enabled", "budget_tokens": 4_000}, None, {"effort": "medium", "summary": "auto"}),
        ("gpt-5.4", ASKED, "low", {"effort": "low", "summary": "auto"}),
        ("gpt-5.4", ASKED, None, None),
        ("o3", {"type": "disabled"}, None, {"effort": "low"}),
        ("gpt-4.1", ASKED, "high", None),
    ],
)
def test_reasoning(model: str, thinking: Any, effort: str | None, said: Any):
    """Tools do not forbid it here; a summary is asked for where there is one to be seen."""
    config = {} if effort is None else {"output_config": {"effort": effort}}

    assert sent(model=model, thinking=thinking, tools=[TOOL], **config).get("reasoning") == said


@pytest.mark.parametrize(("model", "included"), [("gpt-5.6", True), ("o3", True), ("gpt-4.1", False)])
def test_encrypted_reasoning_is_asked_of_who_reasons(model: str, included: bool):  # noqa: FBT001
    """Others refuse to be asked."""
    assert ("include" in sent(model=model)) is included


@pytest.mark.parametrize(
    ("model", "members", "paths"),
    [
        ("gpt-4.1", {"thinking": ASKED, "output_config": {"effort": "low"}}, ("output_config.effort", "thinking")),
        ("o3", {"thinking": {"type": "disabled"}}, ("thinking",)),
        ("gpt-5.6", {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, (
            "output_config.effort",
        )),
        ("gpt-5.6", {"thinking": ASKED, "output_config": {"effort": "low"}}, ()),
    ],
)  # fmt: skip
def test_what_a_model_cannot_do_is_named(model: str, members: Any, paths: tuple[str, ...]):
    """The caller asked for it."""
    assert dropped(model=model, **members) == paths


def test_sampling_is_for_models_that_do_not_reason():
    """The others refuse it."""
    still = {"thinking": {"type": "disabled"}, "temperature": 0.5, "top_p": 0.9}

    assert {"temperature": 0.5, "top_p": 0.9}.items() <= sent(**still).items()
    assert not {"temperature", "top_p"} & set(sent(temperature=0.5, top_p=1))
    assert dropped(temperature=0.5, top_p=1, top_k=4) == ("temperature", "top_k")


def test_structured_output():
    """Under another name than in Chat Completions."""
    config = {"format": {"type": "json_schema", "schema": STRICT}}

    assert sent(output_config=config)["text"] == {
        "format": {"type": "json_schema", "name": "output", "schema": STRICT, "strict": True}
    }
    assert "text" not in sent()


def test_the_user_and_the_tier():
    """The user only as a hash."""
    said = sent(metadata={"user_id": "me"}, service_tier="standard_only")

    assert (len(said["safety_identifier"]), said["service_tier"]) == (64, "default")


def test_a_session_shares_a_prompt_cache():
    """Its requests go to the same machine; the name of the session stays here."""
    session = {"x-claude-code-session-id": "session-1"}
    key = sent(headers=session)["prompt_cache_key"]

    assert key == sent(headers=session)["prompt_cache_key"]
    assert (len(key), "session" in key) == (32, False)
    assert "prompt_cache_key" not in sent()
    assert "prompt_cache_key" not in sent(headers=session, base_url="http://127.0.0.1:9")


def test_stop_sequences_are_matched_here():
    """The API has no member for them."""
    assert "stop" not in sent(stop_sequences=["END"])
    assert dropped(stop_sequences=["END"]) == ()


def test_what_is_unknown_is_named():
    """Nothing is lost without a word."""
    assert dropped(container={"id": "c"}) == ("container",)


def test_arguments_that_are_not_utf_8_are_refused():
    """They are opened only here."""
    asked = call(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "r", "input": {"a": "!"}}]}, USER
    )
    asked.body = asked.body.replace(b'"!"', b'"\xff"')

    with pytest.raises(ApiError, match="not UTF-8"):
        provider().exchange(asked, asked.head(), Target("openai", "gpt-5.6", "d"))


def test_nesting_that_is_too_deep_is_refused():
    """The decoder's stack just sufficed; what comes after it needs a little more."""
    nest: Block = ToolResult("t", "x")
    for _ in range(2_000):
        nest = ToolResult("t", [nest])
    request = Request("claude", [Turn("user", [nest])], max_tokens=1)

    with pytest.raises(ApiError, match="nested too deeply"):
        translate(request, decode_head(b'{"model":"claude"}'), "gpt-5.6", OPENAI, old_client=False)


def test_the_request_is_json():
    """As the API takes it."""
    assert msgspec.json.decode(exchange(tools=[TOOL]).request.body or b"")["store"] is False
