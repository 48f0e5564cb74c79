"""OpenRouter: caches, reasoning and errors of its own."""

import base64
from typing import Any

import msgspec
import pytest
from unit import chat
from unit.chat import DONE, TOOL, USER, blocks, call, chunk, completion, exchange, frame

from ccproxy.carrier import unpack
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.providers.openrouter import OPENROUTER

HOST: dict[str, Any] = {"base_url": "https://openrouter.ai/api/v1", "dialect": OPENROUTER}
CLAUDE = "anthropic/claude-sonnet-4.5"
CACHED = {"cache_control": {"type": "ephemeral"}}
USE = {"type": "tool_use", "id": "t0", "name": "read", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t0", "content": "ok"}


def sent(*messages: Any, model: str = CLAUDE, **members: Any) -> dict[str, Any]:
    """The request that goes to OpenRouter."""
    return chat.sent(*messages, **HOST, model=model, **members)


def dropped(*messages: Any, model: str = CLAUDE, **members: Any) -> tuple[str, ...]:
    """What OpenRouter cannot be told."""
    return exchange(*messages, **HOST, model=model, **members).dropped


def turns(*thoughts: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """A conversation with a tool call, thought about before."""
    return (USER, {"role": "assistant", "content": [*thoughts, USE]}, {"role": "user", "content": [RESULT]})


def streamed(*chunks: bytes, model: str = CLAUDE, **members: Any) -> list[dict[str, Any]]:
    """The content of a streamed answer."""
    return blocks(chat.streamed(*chunks, **HOST, model=model, **members))


def content(body: bytes, model: str = CLAUDE, **members: Any) -> list[dict[str, Any]]:
    """The content of a whole answer."""
    found: list[dict[str, Any]] = chat.answered(body, **HOST, model=model, **members)["content"]
    return found


def details(thought: dict[str, Any]) -> Any:
    """What a thinking block carries."""
    carried = unpack(thought["signature"])
    assert carried is not None
    assert carried.provider == "openrouter"
    return msgspec.json.decode(carried.data)


def refused(status: int, error: dict[str, Any]) -> ApiError:
    """What an error of OpenRouter becomes."""
    body = msgspec.json.encode({"error": error, "user_id": "user_2abcdefghijklmnop"})
    return chat.provider(dialect=OPENROUTER).error(status, {"x-generation-id": "gen-1"}, body)


def test_its_own_members_are_sent():
    """They have places there."""
    request = sent(metadata={"user_id": "u"}, service_tier="standard_only", top_k=5, temperature=0.5)

    assert request["max_completion_tokens"] == 100
    assert (request["top_k"], request["temperature"], request["service_tier"]) == (5, 0.5, "default")
    assert len(request["user"]) == 64
    assert dropped(metadata={"user_id": "u"}, service_tier="auto", top_k=5) == ()


def test_a_session_of_claude_code_stays_with_one_provider():
    """Its prompt cache is there. The session's own name stays here."""
    first, again, other = (sent(session=each)["session_id"] for each in ("s-1", "s-1", "s-2"))

    assert first == again != other
    assert "s-1" not in first
    assert "session_id" not in sent()
    assert "session_id" not in chat.sent(session="s-1")


def test_cache_control_is_kept():
    """OpenRouter passes it on, or says it in the provider's own way."""
    text = {"type": "text", "text": "hi", **CACHED}
    request = sent(
        {"role": "user", "content": [text, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": [text, USE]},
        {"role": "user", "content": [{**RESULT, **CACHED}]},
        system=[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Now.", **CACHED}],
        tools=[{**TOOL, **CACHED}, {**TOOL, "name": "b", "cache_control": None}],
    )
    system, user, assistant, tool = request["messages"]

    assert system["content"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Now.", **CACHED}]
    assert user["content"] == [text, {"type": "text", "text": "there"}]
    assert assistant["content"] == [text]
    assert tool["content"] == [{"type": "text", "text": "ok", **CACHED}]
    assert [t.get("cache_control") for t in request["tools"]] == [CACHED["cache_control"], None]
    assert dropped({"role": "user", "content": [text]}) == ()


def test_a_single_cached_text_stays_a_part():
    """A string has no place for it."""
    text = {"type": "text", "text": "hi", **CACHED}

    assert sent({"role": "user", "content": [text]})["messages"][0]["content"] == [text]


def test_texts_stay_apart_once_anything_is_marked():
    """Marks move from turn to turn: a text that loses its mark must read as before, or the cache misses it."""
    answer = {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    for marked in ({"system": [{"type": "text", "text": "s", **CACHED}]}, {"tools": [{**TOOL, **CACHED}]}):
        said = sent(chat.USER, answer, chat.USER, **marked)["messages"]

        assert [m["content"] for m in said if m["role"] == "assistant"] == [answer["content"]]


def test_without_cache_control_texts_are_plain():
    """The form that every provider behind takes."""
    system = [{"type": "text", "text": "a", "cache_control": None}, {"type": "text", "text": "b"}]

    assert [m["content"] for m in sent(system=system)["messages"]] == ["a\n\nb", "hi"]


@pytest.mark.parametrize(
    ("members", "reasoning"),
    [
        ({}, None),
        ({"version": "2023-06-01"}, {"effort": "none"}),
        ({"thinking": {"type": "disabled"}}, {"effort": "none"}),
        ({"thinking": {"type": "adaptive"}}, {"enabled": True}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"effort": "max"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"max_tokens": 2048}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "model": "google/gemini-2.5-flash"},
            {"max_tokens": 2048},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "low"}},
            {"effort": "low"},
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}, "model": "x/y"}, {"effort": "medium"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "model": "anthropic/claude-opus-5.5"},
            {"effort": "medium"},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "model": "anthropic/claude-opus-4.8"},
            {"effort": "medium"},
        ),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {"enabled": True, "exclude": True}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}, "tools": [TOOL]}, {"enabled": True}),
    ],
)
def test_reasoning_is_what_the_caller_wishes(members: Any, reasoning: Any):
    """In OpenRouter's one member for all providers."""
    assert sent(**members).get("reasoning") == reasoning
    assert dropped(**members) == ()


def test_a_model_that_always_reasons_is_asked_again_without_the_wish():
    """Clients that are silent about thinking mean none; such a model answers 400."""
    it = exchange(**HOST, model="x/y", thinking={"type": "disabled"})
    mandatory = ApiError(
        Reason.INVALID_REQUEST, "Reasoning is mandatory for this endpoint and cannot be disabled."
    )
    again = it.recover(mandatory)

    assert again is not None
    first, second = (msgspec.json.decode(each.request.body or b"") for each in (it, again))
    assert first == {**second, "reasoning": {"effort": "none"}}
    assert again.recover(mandatory) is None
    assert it.recover(ApiError(Reason.INVALID_REQUEST, "no")) is None


def test_structured_output_asks_only_providers_that_know_it():
    """Others would ignore the schema. A mere "none" must not exclude models that do not reason."""
    format_ = {"type": "json_schema", "schema": {"type": "object"}}
    request = sent(output_config={"format": format_}, version="2023-06-01")

    assert request["response_format"]["type"] == "json_schema"
    assert request["provider"] == {"require_parameters": True}
    assert "reasoning" not in request


def test_a_document_by_its_address_is_fetched_there():
    """OpenRouter does; CCProxy never fetches what a caller names."""
    source = {"type": "url", "url": "https://host/a.pdf"}
    ask = {"role": "user", "content": [{"type": "document", "source": source}]}
    file = {"filename": "document.pdf", "file_data": "https://host/a.pdf"}

    assert sent(ask)["messages"][0]["content"] == [{"type": "file", "file": file}]
    assert dropped(ask) == ()


def test_strict_tools_stay_strict():
    """The provider behind knows which schemas it takes."""
    assert sent(tools=[{**TOOL, "strict": True}])["tools"][0]["function"]["strict"] is True


def test_details_of_a_stream_are_joined_and_signed():
    """Claude's signature comes in a chunk of its own; without it the next turn is refused."""
    form = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    pieces = [
        b": OPENROUTER PROCESSING\n\n",
        chunk(reasoning="let ", reasoning_details=[{**form, "text": "let ", "signature": ""}]),
        chunk(reasoning="me see", reasoning_details=[{**form, "text": "me see"}]),
        chunk(reasoning_details=[{**form, "signature": "SIG"}]),
        chunk(tool_calls=[call("t0", "read", "{}")]),
        chunk("tool_calls"),
        DONE,
    ]
    thought, use = streamed(*pieces)

    whole = {**form, "text": "let me see", "signature": "SIG"}
    assert thought["thinking"] == "let me see"
    assert details(thought) == [whole]
    assert use["type"] == "tool_use"
    assert sent(*turns(thought))["messages"][1]["reasoning_details"] == [whole]
    assert dropped(*turns(thought)) == ()


def test_details_of_other_kinds_stay_apart():
    """Encrypted state is whole; another index or id is another thought."""
    given: list[dict[str, Any]] = [
        {"type": "reasoning.summary", "index": 0, "summary": "a"},
        {"type": "reasoning.encrypted", "index": 0, "data": "X"},
        {"type": "reasoning.encrypted", "index": 0, "data": "Y"},
        {"type": "reasoning.summary", "index": 1, "summary": "b"},
        {"type": "reasoning.text", "index": 2, "id": "one", "text": "c"},
        {"type": "reasoning.text", "index": 2, "id": "two", "text": "d"},
        {"type": ["odd"], "text": 5},
    ]
    thought, _ = content(completion(content="hi", reasoning_details=given))

    assert details(thought) == given
    assert thought["thinking"] == "abcd"


def test_details_that_come_late_are_signed_by_themselves():
    """Some providers encrypt at the end; a closed block never reopens."""
    encrypted = {"type": "reasoning.encrypted", "data": "X", "index": 0}
    pieces = [chunk(content="hi"), chunk(reasoning_details=[encrypted]), chunk("stop"), DONE]
    text, thought = streamed(*pieces)

    assert (text["text"], thought["thinking"]) == ("hi", "")
    assert details(thought) == [encrypted]


def test_thinking_not_shown_is_carried():
    """The caller does not see it; the provider must."""
    given = [{"type": "reasoning.text", "text": "secret", "index": 0}]
    (thought, _) = content(
        completion(content="hi", reasoning="secret", reasoning_details=given),
        thinking={"type": "adaptive", "display": "omitted"},
    )

    assert thought["thinking"] == ""
    assert details(thought) == given


def test_reasoning_without_details_has_no_signature():
    """There is nothing to give back."""
    thought, _ = content(completion(content="hi", reasoning="hm", reasoning_details=None))

    assert thought == {"type": "thinking", "thinking": "hm", "signature": ""}


def test_details_of_another_makers_model_do_not_go_back():
    """It could not read them."""
    given = [{"type": "reasoning.encrypted", "data": "X", "index": 0}]
    thought, _ = content(completion(content="hi", reasoning_details=given), model="openai/gpt-6-sol")

    assert "reasoning_details" not in sent(*turns(thought))["messages"][1]
    assert dropped(*turns(thought)) == ("messages.content.thinking",)
    assert "reasoning_details" in sent(*turns(thought), model="openai/gpt-6-luna")["messages"][1]


@pytest.mark.parametrize(
    "data", [b'{"a":1}', b'[{"text":"\xff"}]', b"[" * 5000 + b"]" * 5000], ids=["object", "bytes", "deep"]
)
def test_a_forged_signature_is_dropped(data: bytes):
    """Callers may write what they like."""
    carried = b'{"p":"openrouter","m":"anthropic/x","t":"reasoning_details","d":' + data + b"}"
    signature = "ccp1." + base64.urlsafe_b64encode(carried).rstrip(b"=").decode()
    messages = turns({"type": "thinking", "thinking": "", "signature": signature})

    assert "reasoning_details" not in sent(*messages)["messages"][1]
    assert dropped(*messages) == ("messages.content.thinking",)


def test_claudes_own_thinking_goes_to_claude():
    """A conversation may have been with Anthropic itself before."""
    thoughts = (
        {"type": "thinking", "thinking": "hm", "signature": "EpAC"},
        {"type": "redacted_thinking", "data": "X"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
    )
    form = {"format": "anthropic-claude-v1"}

    assert sent(*turns(*thoughts))["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "EpAC", **form, "index": 0},
        {"type": "reasoning.encrypted", "data": "X", **form, "index": 1},
    ]
    assert dropped(*turns(*thoughts)) == ("messages.content.thinking",)
    assert "reasoning_details" not in sent(*turns(*thoughts), model="x/y")["messages"][1]


@pytest.mark.parametrize("broken", [5, {"a": 1}, ["text"], "text"])
def test_details_that_are_none_break_the_protocol(broken: Any):
    """Nothing of the kind is documented."""
    with pytest.raises(UpstreamProtocolError):
        content(completion(content="hi", reasoning_details=broken))


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_what_hit_its_limit_was_cut(finish: str):
    """Also where only the model's own word says so."""
    choice = {"index": 0, "finish_reason": finish, "native_finish_reason": "max_output_tokens"}
    body = msgspec.json.encode({"choices": [{**choice, "message": {"content": "hi"}}]})
    events = chat.streamed(frame({"choices": [{**choice, "delta": {"content": "hi"}}]}), DONE, **HOST)

    assert chat.answered(body, **HOST)["stop_reason"] == "max_tokens"
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("status", "error", "reason", "http"),
    [
        (400, {"message": "x is not a valid model ID", "code": 400}, Reason.NOT_FOUND, 404),
        (404, {"message": "No endpoints found for x/y.", "code": 404}, Reason.NOT_FOUND, 404),
        (402, {"message": "requires more credits, or fewer max_tokens", "code": 402}, Reason.BILLING, 402),
        (401, {"message": "No auth", "code": 401}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (403, {"message": "flagged", "code": 403, "metadata": {"reasons": ["hate"]}}, Reason.INVALID_REQUEST, 400),
        (403, {"message": "no", "code": 403}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (422, {"message": "no", "code": 422}, Reason.INVALID_REQUEST, 400),
        (408, {"message": "late", "code": 408}, Reason.TIMEOUT, 504),
        (502, {"message": "down", "code": 502}, Reason.INTERNAL, 500),
        (503, {"message": "none", "code": 503}, Reason.OVERLOADED, 529),
        (524, {"message": "late", "code": 524}, Reason.TIMEOUT, 504),
        (529, {"message": "busy", "code": 529}, Reason.OVERLOADED, 529),
        (
            429,
            {"message": "busy", "code": 429, "metadata": {"error_type": "rate_limit_exceeded"}},
            Reason.RATE_LIMITED,
            429,
        ),
        (
            502,
            {"message": "busy", "code": 502, "metadata": {"error_type": "provider_overloaded"}},
            Reason.OVERLOADED,
            529,
        ),
        (400, {"message": "no", "code": 400, "metadata": {"error_type": 5}}, Reason.INVALID_REQUEST, 400),
        (400, {"message": "no", "code": 400, "metadata": None}, Reason.INVALID_REQUEST, 400),
    ],
)
def test_errors_keep_their_class(status: int, error: dict[str, Any], reason: Reason, http: int):
    """Whether it is told by a status, a number or a kind."""
    failure = refused(status, error)

    assert (failure.reason, failure.status, failure.upstream_request_id) == (reason, http, "gen-1")
    assert "user_2" not in failure.message


def test_an_unknown_model_is_named():
    """Clients show it as it is."""
    assert refused(400, {"message": "x/y is not a valid model ID", "code": 400}).message == "model: x/y"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"error": {"message": "no function named x", "code": null}}', "no function named x"),
        ('{"code":400,"msg":"not found"}', "Provider returned error"),
        ("<html>", "Provider returned error"),
        ({"error": {}}, "Provider returned error"),
        (
            '{"error": {"message": "maximum context length is 10 tokens, you requested 20"}}',
            "prompt is too long: 20 tokens > 10 maximum",
        ),
    ],
)
def test_the_providers_own_words_are_told(raw: Any, message: str):
    """`Provider returned error` helps nobody to mend a request."""
    error = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "P"}}

    assert refused(400, error).message == message


def test_a_prompt_too_long_is_known_by_its_kind():
    """Claude Code compacts the conversation."""
    metadata = {"error_type": "context_length_exceeded"}

    assert refused(413, {"message": "Too much", "metadata": metadata}).message == "prompt is too long"


def test_an_error_in_a_chunk_is_seen_before_its_choices():
    """The chunk that holds it looks like an answer."""
    choices = [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    with pytest.raises(ApiError) as failure:
        streamed(frame({"error": {"code": 429, "message": "Slow down"}, "choices": choices}))

    assert failure.value.reason is Reason.RATE_LIMITED


def listing(*models: dict[str, Any]) -> bytes:
    """A list of models."""
    return msgspec.json.encode({"data": models})


def test_a_model_comes_with_what_it_can_do():
    """Only what is told: a capability that nobody speaks of is neither there nor missing."""
    told = {
        "id": "x/y",
        "architecture": {"input_modalities": ["text", "image"]},
        "supported_parameters": ["tools", "reasoning"],
    }
    [model] = chat.provider(dialect=OPENROUTER).models(listing(told)).models

    assert model.facts == {
        "capabilities": {
            "image_input": {"supported": True},
            "pdf_input": {"supported": False},
            "structured_outputs": {"supported": False},
            "thinking": {"supported": True},
        }
    }


def test_a_model_with_an_end_is_deprecated():
    """Whoever picks it should know; a model without one may still end, so nothing is said of it."""
    dates = ["2026-12-31", None, "soon", ""]
    listed = [{"id": "x/y", "expiration_date": date, "architecture": {}} for date in dates]
    ended, *others = chat.provider(dialect=OPENROUTER).models(listing(*listed)).models

    assert ended.facts == {"lifecycle": "deprecated", "retires_at": "2026-12-31T00:00:00Z"}
    assert [model.facts for model in others] == [{}, {}, {}]


def test_models_come_with_what_is_known_of_them():
    """Clients size their prompts by it."""
    full = {
        "id": CLAUDE,
        "name": "Anthropic: Claude Sonnet 4.5",
        "created": 1747930371,
        "context_length": 1000000,
        "top_provider": {"max_completion_tokens": 64000},
    }
    bare = {"id": "x/y", "name": None, "context_length": None, "top_provider": {"max_completion_tokens": None}}
    first, second = chat.provider(dialect=OPENROUTER).models(listing(full, bare)).models

    assert (first.display_name, first.max_input_tokens, first.max_tokens) == (full["name"], 1000000, 64000)
    assert first.created_at == "2025-05-22T16:12:51Z"
    assert (second.display_name, second.max_input_tokens, second.max_tokens) == ("x/y", None, None)


def test_the_generation_is_named():
    """OpenRouter's support asks for it."""
    headers = chat.provider(dialect=OPENROUTER).reply_headers({"x-generation-id": "gen-1"})

    assert headers == {"x-ccproxy-upstream-request-id": "gen-1"}


@pytest.mark.parametrize(
    ("usage", "header"),
    [
        ({"cost": 0.066407}, "0.066407"),
        ({"cost": 0.0000012}, "0.0000012"),
        ({"cost": 0}, "0"),
        ({"cost": 120}, "120"),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "much"}, None),
        ({}, None),
    ],
)
def test_what_an_answer_cost_is_told(usage: dict[str, Any], header: str | None):
    """OpenRouter knows, in dollars; nobody else in between could tell."""
    document = msgspec.json.decode(completion(content="hi"))
    answer = exchange(dialect=OPENROUTER).answer(msgspec.json.encode({**document, "usage": usage}))

    assert answer.headers.get("x-ccproxy-cost") == header


@pytest.mark.parametrize(
    ("fallbacks", "models", "is_whole"),
    [
        ([{"model": "openai/gpt-5.6-sol"}], ["openai/gpt-5.6-sol"], True),
        ([{"model": "openrouter,openai/o4-mini"}], ["openai/o4-mini"], True),
        ([{"model": f"a/{n}"} for n in range(5)], ["a/0", "a/1", "a/2"], False),
        ([{"model": "claude-next"}, {"model": "a/b"}], ["a/b"], False),
        ([{"model": "a/b", "speed": "fast"}], ["a/b"], False),
        ([{"model": "claude-next"}], None, False),
        ("default", None, False),
        ([{"model": 7}], None, False),
        ([{}], None, False),
    ],
)
def test_fallbacks_are_further_models(fallbacks: Any, models: list[str] | None, *, is_whole: bool):
    """OpenRouter goes on with them by itself; Claude's bare names are none of its own."""
    assert sent(USER, fallbacks=fallbacks).get("models") == models
    assert ("fallbacks" not in dropped(USER, fallbacks=fallbacks)) is is_whole


def test_the_same_reasoning_is_carried_in_the_same_bytes():
    """A stream brings its members in another order; a cache that is asked again must find it."""
    detail = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "f", "index": 0}
    same = {"type": "reasoning.text", "format": "f", "index": 0}
    pieces = ({**same, "text": "h"}, {**same, "text": "m"}, {**same, "signature": "s"})
    whole = content(completion(content="a", reasoning="hm", reasoning_details=[detail]))
    chunks = [chunk(reasoning_details=[piece]) for piece in pieces]

    assert streamed(*chunks, chunk("stop", content="a"), DONE) == whole


def test_openais_models_are_known_by_their_name_behind_a_maker():
    """They refuse what others take, and `require_parameters` would find nobody who takes it."""
    thinking = {"thinking": {"type": "adaptive"}}

    assert "temperature" not in sent(USER, model="openai/o4-mini", temperature=0.5, **thinking)
    assert "temperature" in dropped(USER, model="openai/o4-mini", temperature=0.5, **thinking)
    assert sent(USER, model="openai/o4-mini", system="s")["messages"][0]["role"] == "system"
