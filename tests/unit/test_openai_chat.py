"""Chat Completions, around the translation: addresses, headers, errors, models."""

from typing import Any

import msgspec
import pytest
from unit.chat import (
    DONE,
    KEY,
    answered,
    chunk,
    completion,
    exchange,
    frame,
    provider,
    sent,
    streamed,
    streaming,
)

from ccproxy.call import Call, Target
from ccproxy.documents import decode_head
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.provider import Exchange, Model, Provider
from ccproxy.providers.openai_chat import COMPATIBLE, OPENAI, OpenAIChat


def refused(status: int, error: Any, headers: dict[str, str] | None = None) -> ApiError:
    """What an error of the provider becomes."""
    body = error if isinstance(error, bytes) else msgspec.json.encode({"error": error})
    return provider().error(status, headers or {}, body)


def test_it_is_a_provider():
    """The core knows no other shape."""
    it: Provider = provider()

    assert it.name == "openai"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:9/openai/v1", "http://127.0.0.1:9/openai/v1"),
        ("https://host/api/v3", "https://host/api/v3"),
    ],
)
def test_v1_is_added_only_where_the_url_has_no_path(base_url: str, url: str):
    """Operators write both, and some servers' paths hold no v1 at all."""
    assert provider(base_url).models_request().url == f"{url}/models"
    assert exchange(base_url=base_url).request.url == f"{url}/chat/completions"


def test_only_our_own_headers_go_upstream():
    """The caller's credentials are for this gateway, not for the provider."""
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
    call = Call(edge="http", request_id="r", body=body, headers={"x-api-key": ["theirs"], "cookie": ["c"]})

    headers = provider().exchange(call, decode_head(body), Target("openai", "gpt-4.1", "d")).request.headers

    assert set(headers) == {"accept", "accept-encoding", "authorization", "content-type", "user-agent"}
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept-encoding"] == "identity"
    assert headers["accept"] == "application/json"


def test_a_stream_is_asked_for_as_a_stream():
    """Gateways in between decide by `accept` whether to buffer."""
    assert exchange(stream=True).request.headers["accept"] == "text/event-stream"


def test_a_server_without_a_key_gets_none():
    """Local servers need none, and `Bearer None` would be refused."""
    assert "authorization" not in OpenAIChat("local", "http://127.0.0.1:1", None).models_request().headers


def test_the_key_is_in_no_repr():
    """Reprs end up in logs and tracebacks."""
    assert KEY not in repr(provider())


@pytest.mark.parametrize(
    ("base_url", "member"),
    [
        ("https://api.openai.com", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://notopenai.com", "max_tokens"),
        ("http://127.0.0.1:8000", "max_tokens"),
    ],
)
def test_the_host_decides_what_caps_the_answer(base_url: str, member: str):
    """OpenAI refuses the old name for newer models; other servers may silently ignore the new one."""
    assert sent(base_url=base_url)[member] == 100


def test_a_dialect_can_be_given():
    """A gateway in front of OpenAI speaks OpenAI's dialect under another name."""
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}'
    call = Call(edge="http", request_id="r", body=body)
    limits = []
    for dialect in (OPENAI, COMPATIBLE):
        request = (
            provider("http://127.0.0.1", dialect).exchange(call, decode_head(body), Target("o", "m", "d")).request
        )
        limits.append([name for name in msgspec.json.decode(request.body or b"") if name.startswith("max")])

    assert limits == [["max_completion_tokens"], ["max_tokens"]]


def test_there_is_no_second_way():
    """A refused request is refused."""
    it: Exchange = exchange()

    assert it.recover(ApiError(Reason.INVALID_REQUEST, "no")) is None


@pytest.mark.parametrize(
    ("status", "error", "reason", "http"),
    [
        (400, {"message": "bad", "code": "invalid_value"}, Reason.INVALID_REQUEST, 400),
        (422, {"message": "bad"}, Reason.INVALID_REQUEST, 400),
        (401, {"message": "bad key", "code": "invalid_api_key"}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (403, {"message": "country"}, Reason.UPSTREAM_AUTHENTICATION_FAILED, 502),
        (402, {"message": "Insufficient Balance"}, Reason.BILLING, 402),
        (404, {"message": "no", "code": "model_not_found"}, Reason.NOT_FOUND, 404),
        (400, {"message": "no", "code": "model_not_found"}, Reason.NOT_FOUND, 404),
        (413, {"message": "large"}, Reason.REQUEST_TOO_LARGE, 413),
        (429, {"message": "slow", "code": "rate_limit_exceeded"}, Reason.RATE_LIMITED, 429),
        (429, {"message": "pay", "type": "insufficient_quota"}, Reason.BILLING, 402),
        (429, {"message": "pay", "code": "insufficient_quota"}, Reason.BILLING, 402),
        (500, {"message": "oops"}, Reason.INTERNAL, 500),
        (503, {"message": "busy"}, Reason.OVERLOADED, 529),
        (504, {"message": "late"}, Reason.TIMEOUT, 504),
        (302, {"message": "moved"}, Reason.UPSTREAM_INVALID_RESPONSE, 502),
    ],
)
def test_errors_keep_their_class(status: int, error: Any, reason: Reason, http: int):
    """Clients retry, compact or give up by it."""
    failure = refused(status, error)

    assert (failure.reason, failure.status, failure.upstream_status) == (reason, http, status)
    assert failure.provider == "openai"


@pytest.mark.parametrize(
    ("status", "error", "retry"),
    [
        (400, {"message": "bad"}, False),
        (401, {"message": "bad key"}, False),
        (429, {"message": "slow"}, True),
        (429, {"message": "pay", "code": "insufficient_quota"}, False),
        (500, {"message": "oops"}, True),
        (503, {"message": "busy"}, True),
    ],
)
def test_a_retry_is_advised_where_it_can_help(status: int, error: Any, retry: bool):  # noqa: FBT001
    """A client that retries an empty account only waits; one that gives up on a 500 gives up too soon."""
    assert refused(status, error).should_retry is retry


def test_the_providers_own_advice_on_retrying_counts():
    """It knows better than the status."""
    assert refused(500, {"message": "oops"}, {"x-should-retry": "false"}).should_retry is False


@pytest.mark.parametrize(
    ("message", "ours"),
    [
        (
            "This model's maximum context length is 128000 tokens. Your messages resulted in 130001 tokens.",
            "prompt is too long: 130001 tokens > 128000 maximum",
        ),
        (
            "This model's maximum context length is 4,097 tokens. However, you requested 5,000 tokens (in all).",
            "prompt is too long: 5000 tokens > 4097 maximum",
        ),
        (
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
            "prompt is too long: 300000 tokens > 272000 maximum",
        ),
        ("Your input is too long.", "prompt is too long"),
    ],
)
def test_a_prompt_too_long_is_said_in_anthropics_words(message: str, ours: str):
    """Claude Code compacts the conversation when it reads them."""
    failure = refused(400, {"message": message, "code": "context_length_exceeded"})

    assert (failure.type, failure.message) == ("invalid_request_error", ours)


def test_a_prompt_too_long_is_known_without_its_code():
    """Compatible servers copy OpenAI's sentence, not always its code."""
    failure = refused(
        400, {"message": "This model's maximum context length is 10 tokens, you requested 20 tokens"}
    )

    assert failure.message == "prompt is too long: 20 tokens > 10 maximum"


def test_an_unknown_model_is_named_in_anthropics_form():
    """Clients show it as it is."""
    failure = refused(404, {"message": "The model `gpt-9` does not exist", "code": "model_not_found"})

    assert failure.message == "model: gpt-9"


def test_a_refused_key_is_not_echoed():
    """The provider's message quotes the operator's key; the caller is somebody else."""
    failure = refused(401, {"message": f"Incorrect API key provided: {KEY}"})

    assert failure.message == "provider openai refused the configured credential"


@pytest.mark.parametrize(
    "secret", [KEY, "sk-abcdef******1234", "org-abcdefghij", "proj_abcdefghij", "Bearer abc"], ids=range(5)
)
def test_secrets_are_cut_out_of_a_message(secret: str):
    """A message passes to the caller; account names and keys do not."""
    message = refused(400, {"message": f"Bad thing with {secret} in it"}).message

    assert secret.removeprefix("Bearer ") not in message
    assert message.endswith(" in it")


def test_a_long_message_is_cut():
    """Some servers quote the whole request."""
    assert len(refused(400, {"message": "x" * 9_000}).message) == 2_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'{"error":{"message":{}}}',
        b"\xff",
        b"[" * 9_999,
        b'{"error":"' + b"x" * 70_000,
    ],
    ids=range(8),
)
def test_any_body_gives_an_error(body: bytes):
    """A proxy in between answers in its own way."""
    assert refused(400, body).message == "provider openai answered HTTP 400 without a usable error"


@pytest.mark.parametrize("body", [b'{"error":"no such thing"}', b'{"message":"no such thing","code":400}'])
def test_other_shapes_of_errors_are_read(body: bytes):
    """Compatible servers leave out the envelope or the inner object."""
    assert refused(400, body).message == "no such thing"


def test_a_servers_own_failure_is_not_quoted():
    """Its text helps nobody to mend a request, and may hold internals."""
    assert refused(500, {"message": "db at 10.0.0.1"}).message == "provider openai failed (HTTP 500)"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500"}, 2),
        ({"retry-after-ms": "soon"}, None),
        ({"x-ratelimit-reset-requests": "12ms"}, 1),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "1s"}, 1),
        ({"x-ratelimit-reset-tokens": "1.2s"}, 2),
        ({"x-ratelimit-reset-tokens": "2d1h"}, 3600),
        ({"x-ratelimit-reset-tokens": "1.2.3s"}, None),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-reset-tokens": ""}, None),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "9s"}, 9),
        (
            {
                "x-ratelimit-reset-requests": "2s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "9s",
                "x-ratelimit-remaining-tokens": "500",
            },
            2,
        ),
    ],
)
def test_the_wait_is_told_in_whole_seconds(headers: dict[str, str], seconds: int | None):
    """Clients sleep as long as they are told; the limit that is used up is the one to wait for."""
    assert refused(429, {"message": "slow"}, headers).retry_after == seconds


def test_no_wait_is_told_where_waiting_does_not_help():
    """OpenAI sends its limits with every answer."""
    assert refused(400, {"message": "bad"}, {"x-ratelimit-reset-requests": "2s"}).retry_after is None


def test_the_providers_request_id_is_kept():
    """Its support asks for it."""
    assert refused(500, {}, {"x-request-id": "req_abc\n"}).upstream_request_id == "req_abc"


def test_a_refusal_tells_the_limits_too():
    """That is when a client needs them."""
    error = refused(429, {"message": "slow"}, {"x-ratelimit-remaining-tokens": "0", "x-request-id": "req_1"})

    assert error.headers == {
        "anthropic-ratelimit-tokens-remaining": "0",
        "x-ccproxy-upstream-request-id": "req_1",
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"message": "slow", "code": "rate_limit_exceeded"}, Reason.RATE_LIMITED),
        ({"message": "busy", "code": 503}, Reason.OVERLOADED),
        ({"message": "pay", "code": "insufficient_quota"}, Reason.BILLING),
        ({"message": "bad", "type": "invalid_request_error"}, Reason.INVALID_REQUEST),
        ({"message": "who knows"}, Reason.INTERNAL),
        ("text", Reason.INTERNAL),
    ],
)
def test_an_error_inside_an_answer_is_an_error(error: Any, reason: Reason):
    """Servers that have sent status 200 report failures in its body, whole or streamed."""
    document = {"error": error, "choices": [{"delta": {"content": ""}}]}
    with pytest.raises(ApiError) as whole:
        exchange().answer(msgspec.json.encode(document))
    with pytest.raises(ApiError) as streamed:
        streaming().feed(frame(document))

    assert (whole.value.reason, streamed.value.reason) == (reason, reason)


def test_a_null_error_is_none():
    """Some servers send every member always."""
    stream = streaming()
    stream.feed(frame({"error": None, "id": "c", "choices": []}))

    assert b"message_start" in stream.take()


def test_rate_limits_reach_the_caller_in_anthropics_names():
    """Claude Code shows them."""
    headers = {"x-ratelimit-limit-requests": "100", "x-request-id": "req_1"}

    assert provider().reply_headers(headers) == {
        "anthropic-ratelimit-requests-limit": "100",
        "x-ccproxy-upstream-request-id": "req_1",
    }


def test_no_headers_give_no_headers():
    """An empty header is worse than none."""
    assert provider().reply_headers({}) == {}


def test_tokens_are_not_counted():
    """The API has no way; the core estimates."""
    body = b'{"model":"m"}'
    call = Call(edge="http", request_id="r", body=body)
    with pytest.raises(ApiError) as failure:
        provider().count(b"")

    it: Provider = provider()
    assert it.count_request(call, decode_head(body), Target("o", "m", "d")) is None
    assert failure.value.reason is Reason.UNSUPPORTED


def test_models_are_listed():
    """A date that is not known is not invented: it keeps Anthropic's stand-in for unknown."""
    created = {"gpt-4.1": 1744316542.5, "x": None, "y": 0, "z": 999_999_999_999}
    body = msgspec.json.encode({"data": [{"id": id, "created": at} for id, at in created.items()]})  # noqa: A001

    listed = [(model.id, model.display_name, model.created_at) for model in provider().models(body).models]

    unknown = "1970-01-01T00:00:00Z"
    assert listed == [
        ("gpt-4.1", "gpt-4.1", "2025-04-10T20:22:22Z"),
        ("x", "x", unknown),
        ("y", "y", unknown),
        ("z", "z", unknown),
    ]


OTHERS = [
    *("text-embedding-3-small", "whisper-1", "tts-1-hd", "dall-e-3", "gpt-image-2", "gpt-4o-audio-preview"),
    *("gpt-realtime", "gpt-4o-transcribe", "gpt-4o-mini-tts", "omni-moderation-latest", "sora-2", "davinci-002"),
    *("gpt-3.5-turbo-instruct", "babbage-002"),
]
CONVERSING = [
    *("gpt-4.1", "gpt-5.6-sol", "gpt-6-astra", "o4-mini", "chatgpt-4o-latest", "codex-mini-latest", "next-model"),
    "ft:gpt-4o-mini:acme:image-tagger:abc",
]


def test_models_for_another_purpose_are_known_at_openai_by_their_names():
    """Its list does not tell; elsewhere a name means anything."""
    body = msgspec.json.encode({"data": [{"id": id} for id in (*OTHERS, *CONVERSING)]})  # noqa: A001
    own = provider().models(body).models
    local = provider("http://localhost:8080").models(body).models

    assert [model.id for model in own if not model.converses] == OTHERS
    assert [model.id for model in own if model.converses] == CONVERSING
    assert all(model.converses for model in local)


def test_effort_reaches_a_model_of_openais_behind_its_makers_name():
    """Proxies of several providers name it so."""
    asked = exchange(base_url="http://localhost:4000", model="openai/o4-mini", output_config={"effort": "low"})

    assert msgspec.json.decode(asked.request.body or b"")["reasoning_effort"] == "low"
    assert "output_config.effort" not in asked.dropped


@pytest.mark.parametrize(
    ("told", "tier"),
    [("default", "standard"), ("priority", "priority"), ("flex", None), (None, None), ({"a": 1}, None)],
)
def test_the_tier_of_an_answer_is_told_in_anthropics_words(told: Any, tier: str | None):
    """What it costs depends on it."""
    body = msgspec.json.decode(completion(content="a"))
    usage = {"id": "chatcmpl-1", "choices": [], "usage": body["usage"], "service_tier": told}
    whole = answered(msgspec.json.encode({**body, "service_tier": told}))["usage"]
    written = streamed(chunk("stop", content="a"), frame(usage), DONE)[-2]["usage"]

    assert whole.get("service_tier") == written.get("service_tier") == tier


@pytest.mark.parametrize(
    "strange", [{"architecture": "llama"}, {"created": "now"}, {"name": {}}, {"supported_parameters": 3}]
)
def test_a_member_that_means_another_thing_elsewhere_costs_the_facts_alone(strange: dict[str, Any]):
    """Many servers speak this wire; one odd member must not hide all of a server's models."""
    body = msgspec.json.encode({"data": [{"id": "a", **strange}, {"id": "b", "created": 1}]})

    assert provider().models(body).models == [Model("a", "a"), Model("b", "b", "1970-01-01T00:00:01Z")]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":[{}]}', b'{"data":[{"id":"\xff"}]}', b"\xff"])
def test_a_broken_list_of_models_is_a_broken_protocol(body: bytes):
    """It must not look like an empty list."""
    with pytest.raises(UpstreamProtocolError):
        provider().models(body)


def test_a_chunk_that_is_none_breaks_the_protocol():
    """Skipping it would lose text without anyone noticing."""
    with pytest.raises(UpstreamProtocolError):
        streaming().feed(chunk(content="a") + b"data: {\n\n")
