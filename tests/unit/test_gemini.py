"""Gemini: where requests go, and what errors, counts and lists of models become."""

from typing import Any

import msgspec
import pytest
from unit.gemini import BASE, KEY, TOOL, USER, call_of, dropped, exchange, provider
from unit.test_gemini_history import SIGNED

from ccproxy.call import Target
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.provider import Exchange, Model, ModelPage, Provider
from ccproxy.providers.failures import MAX_MESSAGE_CHARACTERS
from ccproxy.providers.gemini import Gemini
from ccproxy.providers.gemini.failures import Problem, problem


def error(http: int, **members: Any) -> ApiError:
    """An error of the provider."""
    return provider().error(http, {}, msgspec.json.encode({"error": {"code": http, **members}}))


def test_it_is_a_provider():
    """The Protocol is what the core knows."""
    known: Provider = provider()
    one: Exchange = exchange()

    assert (known.name, one.dropped, known.reply_headers({"x-request-id": "a"})) == ("gemini", (), {})


@pytest.mark.parametrize(
    ("base_url", "start"),
    [
        (BASE, f"{BASE}/v1beta"),
        (f"{BASE}/v1beta/", f"{BASE}/v1beta"),
        (
            "https://h/v1/projects/p/locations/l/publishers/google",
            "https://h/v1/projects/p/locations/l/publishers/google",
        ),
        ("http://127.0.0.1:1/gemini", "http://127.0.0.1:1/gemini/v1beta"),
    ],
)
def test_the_version_is_added_where_the_url_has_none(base_url: str, start: str):
    """Operators copy either."""
    assert (provider(base_url).models_request().url) == f"{start}/models?pageSize=1000"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-3.5-flash", "models/gemini-3.5-flash"),
        ("models/gemini-3.5-flash", "models/gemini-3.5-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("a?key=b#c", "models/a%3Fkey%3Db%23c"),
    ],
)
def test_the_model_is_in_the_path(model: str, path: str):
    """Escaped: it may be the caller's."""
    assert exchange(model=model).request.url == f"{BASE}/v1beta/{path}:generateContent"


def test_a_stream_is_asked_for_as_events():
    """Without `alt` it would be a JSON list."""
    request = exchange(stream=True).request

    assert request.url.endswith(":streamGenerateContent?alt=sse")
    assert request.headers["accept"] == "text/event-stream"


def test_the_key_is_in_its_header_alone():
    """URLs and reprs end up in logs."""
    request = exchange().request

    assert request.headers["x-goog-api-key"] == KEY
    assert KEY not in request.url + repr(provider()) + repr(request)
    assert "x-goog-api-key" not in Gemini("g", "http://127.0.0.1:1", None).models_request().headers


def test_a_thread_is_refused():
    """Nobody else has the rest of the conversation."""
    with pytest.raises(ApiError, match="thread"):
        exchange(thread={"id": "t"})


@pytest.mark.parametrize(
    ("status", "members", "reason", "http"),
    [
        (400, {"message": "no", "status": "INVALID_ARGUMENT"}, Reason.INVALID_REQUEST, 400),
        (400, {"details": [{"reason": "API_KEY_INVALID"}, 1]}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (401, {"status": "UNAUTHENTICATED"}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (403, {"status": "PERMISSION_DENIED"}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (400, {"message": "Enable Billing", "status": "FAILED_PRECONDITION"}, Reason.BILLING, 402),
        (400, {"message": "location", "status": "FAILED_PRECONDITION"}, Reason.PERMISSION_DENIED, 403),
        (404, {"status": "NOT_FOUND"}, Reason.NOT_FOUND, 404),
        (429, {"status": "RESOURCE_EXHAUSTED"}, Reason.RATE_LIMITED, 429),
        (500, {"message": "secret", "status": "INTERNAL"}, Reason.INTERNAL, 500),
        (503, {"message": "The model is overloaded."}, Reason.OVERLOADED, 529),
        (504, {"status": "DEADLINE_EXCEEDED"}, Reason.TIMEOUT, 504),
    ],
)
def test_errors_keep_their_class(status: int, members: Any, reason: Reason, http: int):
    """Clients decide by it."""
    failure = error(status, **members)

    assert (failure.reason, failure.status, failure.provider) == (reason, http, "gemini")
    assert failure.message
    assert "secret" not in failure.message
    assert failure.should_retry is (status >= 500 or status == 429)


@pytest.mark.parametrize(
    ("delay", "seconds"), [("34s", 34), ("0.2s", 1), ("99999s", 3600), ("soon", None), (5, None), (None, None)]
)
def test_the_time_to_wait_is_in_the_body(delay: Any, seconds: int | None):
    """Gemini sends no `retry-after`."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]

    assert error(429, message="quota", details=details).retry_after == seconds


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        (
            "The input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576).",
            "prompt is too long: 1200000 tokens > 1048576 maximum",
        ),
        (
            "The input token count exceeds the maximum number of tokens allowed 1048576.",
            "prompt is too long",
        ),
    ],
)
def test_a_prompt_too_long_is_said_in_anthropics_words(message: str, ours: str):
    """At them Claude Code compacts."""
    assert error(400, message=message).message == ours


def test_an_unknown_model_is_named_in_anthropics_form():
    """Clients show it."""
    assert error(404, message="models/gemini-9 is not found for API version v1beta").message == "model: gemini-9"


def test_no_secret_is_passed_on():
    """Providers quote the key they refuse."""
    message = error(400, message=f"{KEY} AIza{'a' * 35} {'x' * 9_000}").message

    assert message.startswith("[redacted] [redacted] x")
    assert len(message) == MAX_MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[1]", b'{"error":{"code":"x","details":3}}', b"\xff", b"[" * 9999]
)
def test_any_body_gives_an_error(body: bytes):
    """Proxies in between answer in HTML."""
    assert problem(body) in {Problem(), Problem(reasons=frozenset())}
    assert provider().error(400, {}, body).message == "provider gemini answered HTTP 400 without a usable error"


def test_an_error_may_be_in_a_list():
    """So it comes from the streaming method."""
    assert problem(b'[{"error":{"message":"m","status":"NOT_FOUND"}}]') == Problem("m", "NOT_FOUND")


def test_refused_state_is_left_out_of_a_second_try():
    """It may be another key's; the stand-in is accepted."""
    first = exchange(*SIGNED, tools=[TOOL])
    again = first.recover(error(400, message="Corrupted thought signature."))

    assert again is not None
    assert b'"thoughtSignature":"sig"' in (first.request.body or b"")
    assert b"skip_thought_signature_validator" in (again.request.body or b"")
    assert b'"thoughtSignature":"sig"' not in (again.request.body or b"")
    assert again.recover(error(400, message="Corrupted thought signature.")) is None
    assert first.recover(error(400, message="else")) is None


def test_tokens_are_counted_with_system_and_tools():
    """Bare contents would leave them out; a count has no `max_tokens`."""
    call = call_of({"model": "claude", "messages": [USER], "system": "s", "tools": [TOOL]})
    request = provider().count_request(call, call.head(), Target("gemini", "gemini-3.5-flash", "default"))
    asked = msgspec.json.decode(request.body or b"")["generateContentRequest"]

    assert request.url == f"{BASE}/v1beta/models/gemini-3.5-flash:countTokens"
    assert asked["model"] == "models/gemini-3.5-flash"
    assert {"contents", "systemInstruction", "tools"} <= set(asked)
    assert provider().count(b'{"totalTokens":12}') == 12


def test_a_conversation_with_calls_is_counted():
    """Arguments are not opened here: what writes the document must take them as they are."""
    used = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {"a": 1}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]}
    call = call_of({"model": "claude", "messages": [USER, used, result], "tools": [TOOL]})
    request = provider().count_request(call, call.head(), Target("gemini", "gemini-2.5-flash", "default"))

    asked = msgspec.json.decode(request.body or b"")["generateContentRequest"]
    assert asked["contents"][1]["parts"] == [{"functionCall": {"name": "read", "args": {"a": 1}}}]


def test_models_that_generate_content_are_listed():
    """Others embed, or answer nothing that we can pass on."""
    listed = [
        {
            "name": "models/gemini-3.5-flash",
            "displayName": "Gemini 3.5 Flash",
            "inputTokenLimit": 100,
            "outputTokenLimit": 10,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        },
        {"name": "models/plain", "supportedGenerationMethods": ["generateContent"]},
        {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/none"},
    ]

    assert provider().models(msgspec.json.encode({"models": listed})) == ModelPage(
        [
            Model("gemini-3.5-flash", "Gemini 3.5 Flash", max_input_tokens=100, max_tokens=10),
            Model("plain", "plain"),
        ]
    )
    with pytest.raises(UpstreamProtocolError):
        provider().models(b"[]")


@pytest.mark.parametrize("thinks", [True, False])
def test_a_model_tells_whether_it_thinks(thinks: bool):  # noqa: FBT001
    """Gemini says so of its newer models; of the others nothing is known."""
    listed = [{"name": "models/a", "supportedGenerationMethods": ["generateContent"], "thinking": thinks}]
    [model] = provider().models(msgspec.json.encode({"models": listed})).models

    assert model.facts == {"capabilities": {"thinking": {"supported": thinks}}}


def test_a_long_list_of_models_comes_in_pages():
    """The token is Google's text and may hold anything: it must not become a parameter of its own."""
    more = provider().models(b'{"nextPageToken":"a&key=b/="}').next

    assert more is not None
    assert more.url == f"{BASE}/v1beta/models?pageSize=1000&pageToken=a%26key%3Db%2F%3D"
    assert more.headers == provider().models_request().headers
    assert provider().models(b'{"nextPageToken":""}').next is None


def test_what_cannot_be_said_is_named():
    """The caller sees it in a header."""
    assert dropped(
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        tools=[{**TOOL, "defer_loading": True}],
        metadata={"user_id": "u"},
        container="c",
    ) == ("cache_control", "container", "metadata.user_id", "tools.defer_loading")
