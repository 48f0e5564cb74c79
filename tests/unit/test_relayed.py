"""DeepSeek and OpenRouter by their own endpoints for Anthropic's API."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from ccproxy.call import Call, Target
from ccproxy.config import Api, ProviderConfig, Secret
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Exchange, Provider
from ccproxy.providers import BY_TYPE

KEY = "key-1234567890-planted"
KINDS = ["deepseek", "openrouter"]
USER = {"role": "user", "content": "hi"}
ATTRIBUTION = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=0001;"}
SYSTEM = {"type": "text", "text": "You are Claude Code."}


def provider(kind: str, url: str = "", api: Api = "anthropic", apis: Mapping[str, Api] = {}) -> Provider:
    """A provider with a key that is easy to find."""
    config = ProviderConfig(
        "mine", type=kind, api_base_url=url, api_key=Secret(KEY), api=api, model_apis=dict(apis)
    )
    return BY_TYPE[kind](config)


def call(headers: dict[str, list[str]] | None = None, **members: Any) -> Call:
    """A caller's request."""
    document = {"model": "m", "max_tokens": 5, "new_member": {"a": 1}, "messages": [USER], **members}
    return Call(edge="http", request_id="r", body=msgspec.json.encode(document), headers=headers or {})


def attempt(
    it: Provider, model: str = "m", headers: dict[str, list[str]] | None = None, **members: Any
) -> Exchange:
    """One attempt."""
    asked = call(headers, **members)
    return it.exchange(asked, asked.head(), Target("mine", model, "default"))


def sent(kind: str, model: str = "m", **members: Any) -> dict[str, Any]:
    """The request that goes to the provider."""
    document: dict[str, Any] = msgspec.json.decode(attempt(provider(kind), model, **members).request.body or b"")
    return document


@pytest.mark.parametrize(
    ("kind", "base", "messages", "models"),
    [
        ("deepseek", "", "https://api.deepseek.com/anthropic/v1/messages", "https://api.deepseek.com/v1/models"),
        ("deepseek", "https://h/v1/", "https://h/anthropic/v1/messages", "https://h/v1/models"),
        ("deepseek", "https://h/anthropic", "https://h/anthropic/v1/messages", "https://h/v1/models"),
        ("deepseek", "https://h/anthropic/v1/", "https://h/anthropic/v1/messages", "https://h/v1/models"),
        ("deepseek", "https://h/deep", "https://h/deep/anthropic/v1/messages", "https://h/deep/models"),
        ("openrouter", "", "https://openrouter.ai/api/v1/messages", "https://openrouter.ai/api/v1/models"),
        ("openrouter", "https://h/api", "https://h/api/v1/messages", "https://h/api/v1/models"),
        ("openrouter", "https://h/api/v1/", "https://h/api/v1/messages", "https://h/api/v1/models"),
    ],
)
def test_an_address_works_as_the_operator_has_it(kind: str, base: str, messages: str, models: str):
    """The providers' pages give it with and without its version, and DeepSeek's with `/anthropic`, too."""
    it = provider(kind, base)
    listing = it.models_request()

    assert attempt(it).request.url == messages
    assert listing is not None
    assert listing.url == models  # neither endpoint lists models


def test_each_is_shown_its_key_as_it_documents():
    """`x-api-key` is no header of OpenRouter's."""
    deepseek, openrouter = (attempt(provider(kind)).request.headers for kind in KINDS)

    assert deepseek["x-api-key"] == KEY
    assert "authorization" not in deepseek
    assert openrouter["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in openrouter


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_is_the_callers_own_but_for_the_model(kind: str):
    """A relay keeps what a translator would not know."""
    it = provider(kind)

    assert attempt(it).request.body == call().body
    assert attempt(it).dropped == ()
    assert attempt(it, "other").request.body == call(model="other").body


@pytest.mark.parametrize("kind", KINDS)
def test_anthropics_headers_pass_and_the_callers_credentials_stay(kind: str):
    """Beta features travel in headers; the caller's key is CCProxy's."""
    mine = {
        "anthropic-beta": ["a,b"],
        "anthropic-version": ["2026-10-21"],
        "x-api-key": ["mine"],
        "authorization": ["Bearer mine"],
    }
    headers = attempt(provider(kind), headers=mine).request.headers

    assert (headers["anthropic-beta"], headers["anthropic-version"]) == ("a,b", "2026-10-21")
    assert "mine" not in str(headers)


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_estimated(kind: str):
    """Neither has a path that counts them."""
    it, asked = provider(kind), call()

    assert it.count_request(asked, asked.head(), Target("mine", "m", "default")) is None
    with pytest.raises(ApiError) as caught:
        it.count(b'{"input_tokens":1}')
    assert caught.value.reason is Reason.UNSUPPORTED


def test_models_are_read_from_the_providers_own_list():
    """With what it says of them."""
    body = b'{"data":[{"id":"anthropic/claude-x","name":"X","context_length":9}]}'
    (model,) = provider("openrouter").models(body).models

    assert (model.id, model.display_name, model.max_input_tokens) == ("anthropic/claude-x", "X", 9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversation_that_only_anthropic_remembers_is_refused(kind: str):
    """The rest of it is nowhere; the newest turn alone would be answered."""
    with pytest.raises(ApiError, match="thread"):
        attempt(provider(kind), thread={"id": "t"})


@pytest.mark.parametrize("kind", KINDS)
def test_single_models_are_relayed_or_translated(kind: str):
    """Claude's models lose nothing by a relay; others are better known to Chat Completions."""
    translating = provider(kind, api="auto", apis={"anthropic/claude-x": "anthropic"})
    relaying = provider(kind, apis={"m": "chat"})

    assert attempt(translating, "anthropic/claude-x").request.url.endswith("/messages")
    assert attempt(translating, "anthropic/claude-y").request.url.endswith("/chat/completions")
    assert attempt(relaying).request.url.endswith("/chat/completions")
    assert attempt(relaying, "other").request.url.endswith("/messages")


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_word_of_the_operator_all_is_translated(kind: str):
    """The relay is opt-in."""
    assert attempt(provider(kind, api="auto")).request.url.endswith("/chat/completions")
    assert attempt(provider(kind, api="chat")).request.url.endswith("/chat/completions")


def test_it_tells_no_secret_of_itself():
    """It ends up in logs."""
    assert repr(provider("deepseek")).startswith("Relayed(")
    assert KEY not in repr(provider("deepseek"))


# The conversation.

CARRIED = {"type": "thinking", "thinking": "hm", "signature": "ccp1.eyJwIjoiZ2VtaW5pIn0"}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "EqQBCg"}
TEXT = {"type": "text", "text": "hello"}


def thought(kind: str, model: str) -> list[Any]:
    """What is left of three thoughts."""
    turns = [USER, {"role": "assistant", "content": [CARRIED, UNSIGNED, SIGNED, TEXT]}, USER]
    content: list[Any] = sent(kind, model, messages=turns)["messages"][1]["content"]
    return content


@pytest.mark.parametrize(("kind", "model"), [("deepseek", "claude-x"), ("openrouter", "z-ai/glm-5")])
def test_thinking_that_nobody_signs_goes_back(kind: str, model: str):
    """It is the model's own: "thinking must be passed back". What carries another provider's state is not."""
    assert thought(kind, model) == [UNSIGNED, SIGNED, TEXT]


def test_a_claude_model_gets_signed_thinking_alone():
    """All else it answers with 400, as at Anthropic."""
    assert thought("openrouter", "anthropic/claude-x") == [SIGNED, TEXT]


@pytest.mark.parametrize("kind", KINDS)
def test_claude_codes_attribution_stays_here(kind: str):
    """Only Anthropic knows what it is. It may change with every request, and the prompt cache begins with it."""
    assert sent(kind, system=[ATTRIBUTION, SYSTEM])["system"] == [SYSTEM]


@pytest.mark.parametrize(
    "system", ["x-anthropic-billing-header", [SYSTEM, ATTRIBUTION], ["x-anthropic-billing-header"], [SYSTEM]]
)
def test_another_system_prompt_stays_as_it_is(system: Any):
    """Also one that the server will refuse."""
    assert sent("deepseek", system=system)["system"] == system


def test_a_system_prompt_that_cannot_be_read_stays_as_it_is():
    """The server says best what is wrong with it."""
    body = b'{"model":"m","system":["x-anthropic-billing-header\xff"]}'
    asked = Call(edge="http", request_id="r", body=body)
    made = provider("deepseek").exchange(asked, asked.head(), Target("mine", "m", "default"))

    assert made.request.body == body


def test_anthropic_gets_the_attribution():
    """There it belongs."""
    asked = call(system=[ATTRIBUTION, SYSTEM])
    made = BY_TYPE["anthropic"](ProviderConfig("anthropic")).exchange(
        asked, asked.head(), Target("anthropic", "m", "default")
    )

    assert made.request.body == asked.body


# Failures.

LOST = {
    "error": {
        "message": "The `content[].thinking` in the thinking mode must be passed back to the API.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request_error",
    }
}
"""As DeepSeek's endpoint says it: not in Anthropic's envelope."""


def failure(kind: str, status: int, document: Any) -> ApiError:
    """What a failure means."""
    return provider(kind).error(
        status, {"x-ds-trace-id": "t", "x-generation-id": "t"}, msgspec.json.encode(document)
    )


def anthropics(kind: str, message: str) -> dict[str, Any]:
    """A failure in Anthropic's envelope, as OpenRouter's endpoint tells it."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "gen-1"}


def test_where_deepseek_misses_thinking_it_is_asked_without():
    """A conversation that was with another provider would otherwise be at its end."""
    first = attempt(provider("deepseek"), thinking={"type": "enabled", "budget_tokens": 9})
    again = first.recover(failure("deepseek", 400, LOST))

    assert again is not None
    assert again.request.url == first.request.url
    assert msgspec.json.decode(again.request.body or b"")["thinking"] == {"type": "disabled"}
    assert again.dropped == ("thinking",)
    assert again.recover(failure("deepseek", 400, LOST)) is None


def test_another_failure_is_one():
    """It would fail again; and OpenRouter never says so."""
    assert attempt(provider("deepseek")).recover(failure("deepseek", 400, anthropics("x", "no"))) is None
    assert attempt(provider("openrouter")).recover(failure("openrouter", 400, LOST)) is None


@pytest.mark.parametrize(
    ("kind", "status", "document", "reason", "type_", "message"),
    [
        ("deepseek", 400, LOST, Reason.INVALID_REQUEST, "invalid_request_error", LOST["error"]["message"]),
        (
            "openrouter",
            400,
            anthropics("invalid_request_error", "max_tokens: too large"),
            Reason.INVALID_REQUEST,
            "invalid_request_error",
            "max_tokens: too large",
        ),
        (
            "openrouter",
            400,
            anthropics("invalid_request_error", "This endpoint's maximum context length is 9 tokens"),
            Reason.INVALID_REQUEST,
            "invalid_request_error",
            "prompt is too long",
        ),
        ("openrouter", 402, anthropics("api_error", "x"), Reason.BILLING, "billing_error", "no credit"),
        ("openrouter", 404, anthropics("not_found_error", "no"), Reason.NOT_FOUND, "not_found_error", "no"),
        (
            "openrouter",
            429,
            anthropics("rate_limit_error", "x"),
            Reason.RATE_LIMITED,
            "rate_limit_error",
            "limits",
        ),
        (
            "openrouter",
            503,
            anthropics("overloaded_error", "x"),
            Reason.OVERLOADED,
            "overloaded_error",
            "overloaded",
        ),
        (
            "openrouter",
            529,
            anthropics("overloaded_error", "x"),
            Reason.OVERLOADED,
            "overloaded_error",
            "overloaded",
        ),
    ],
)
def test_a_failure_is_told_as_anthropic_would(  # a table
    kind: str, status: int, document: Any, reason: Reason, type_: str, message: str
):
    """Whichever of two envelopes it came in, clients and metrics read one."""
    error = failure(kind, status, document)
    told = msgspec.json.decode(error.document("req_ours"))

    assert (error.reason, error.provider, error.upstream_status) == (reason, "mine", status)
    assert error.upstream_request_id == "t"
    assert (told["type"], told["error"]["type"], told["request_id"]) == ("error", type_, "req_ours")
    assert message in told["error"]["message"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_the_callers_fault(kind: str, status: int):
    """A 401 makes the client throw its own key away (decision D13)."""
    error = failure(kind, status, anthropics("authentication_error", f"{KEY} is wrong"))

    assert (error.reason, error.status) == (Reason.UPSTREAM_AUTHENTICATION_FAILED, 502)
    assert KEY.encode() not in error.document("r")


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_in_mid_stream_shows_no_key(kind: str):
    """Providers quote what they refuse."""
    event = msgspec.json.encode(anthropics("overloaded_error", f"no {KEY}"))

    with pytest.raises(ApiError) as caught:
        attempt(provider(kind)).stream().feed(b"event: error\ndata: %b\n\n" % event)

    assert caught.value.reason is Reason.OVERLOADED
    assert KEY.encode() not in caught.value.document("r")


def test_headers_of_both_apis_are_told():
    """A Claude model behind OpenRouter may name Anthropic's limits."""
    headers = {"anthropic-ratelimit-requests-limit": "5", "x-generation-id": "gen-1", "set-cookie": "c"}

    assert provider("openrouter").reply_headers(headers) == {
        "anthropic-ratelimit-requests-limit": "5",
        "x-ccproxy-upstream-request-id": "gen-1",
    }
