"""The relay: what passes, what is replaced, what is read."""

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from ccproxy.call import Call, Target
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.providers.anthropic import Anthropic, RelayStream

KEY = "sk-ant-secret"
BODY = b'{ "model": "claude-x", "max_tokens": 5, "new_member": {"a":1e5}, "messages": [] }'


@pytest.fixture
def provider() -> Anthropic:
    """A relay with a key."""
    return Anthropic("anthropic", "https://api.anthropic.com", KEY)


def exchange(provider: Anthropic, body: bytes = BODY, *, model: str = "claude-x", **more):
    """One attempt."""
    parameters = more.pop("parameters", {})
    call = Call(edge="http", request_id="req_1", body=body, **more)
    return provider.exchange(call, call.head(), Target("anthropic", model, "default", parameters))


@pytest.mark.parametrize(
    "base", ["https://h.example", "https://h.example/", "https://h.example/v1", "https://h.example/v1/"]
)
def test_a_base_url_works_with_and_without_its_version(base: str):
    """Operators copy either form from the provider's pages."""
    assert exchange(Anthropic("a", base, None)).request.url == "https://h.example/v1/messages"


def test_the_body_is_the_callers_own_where_nothing_must_change(provider: Anthropic):
    """Even the blanks: prompt caches and signatures are bound to bytes."""
    assert exchange(provider).request.body is not None
    assert exchange(provider).request.body == BODY


def test_only_the_model_is_replaced_and_numbers_keep_their_spelling(provider: Anthropic):
    """A route may rename the model; nothing else is its business."""
    body = exchange(provider, model="claude-y").request.body

    assert body == b'{"model":"claude-y","max_tokens":5,"new_member":{"a":1e5},"messages":[]}'


def test_thinking_that_is_taken_out_is_named(provider: Anthropic):
    """A relay leaves nothing else out, and nothing without saying so."""
    thought = b'{"type":"thinking","thinking":"t","signature":"ccp1.x"},'
    body = b'{"model":"claude-x","messages":[{"role":"assistant","content":[%b{"type":"text","text":"a"}]}]}'

    assert exchange(provider, body % thought).dropped == ("messages.content.thinking",)
    assert exchange(provider, body % b"").dropped == ()


def test_a_null_is_silence(provider: Anthropic):
    """Some clients write every member they know; the route's parameter was meant for them, too."""
    body = exchange(provider, b'{"model":"claude-x","top_k":null}', parameters={"top_k": 3}).request.body

    assert body == b'{"model":"claude-x","top_k":3}'


def test_a_routes_parameters_apply_only_where_the_request_is_silent(provider: Anthropic):
    """The caller's own words win."""
    body = exchange(provider, parameters={"max_tokens": 9, "temperature": 0.5}).request.body

    document = msgspec.json.decode(body or b"")
    assert (document["max_tokens"], document["temperature"]) == (5, 0.5)


def test_anthropic_headers_pass_and_all_others_stay(provider: Anthropic):
    """Beta features travel in headers; credentials and cookies of the caller must not."""
    request = exchange(
        provider,
        headers={
            "anthropic-version": ["2026-10-21"],
            "anthropic-beta": ["a-1", "b-2,c-3"],
            "authorization": ["Bearer mine"],
            "x-api-key": ["mine"],
            "cookie": ["c"],
            "x-forwarded-for": ["1.2.3.4"],
        },
    ).request

    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["anthropic-beta"] == "a-1, b-2,c-3"
    assert request.headers["x-api-key"] == KEY
    assert set(request.headers) == {
        "accept-encoding",
        "content-type",
        "user-agent",
        "anthropic-version",
        "anthropic-beta",
        "x-api-key",
    }


def test_a_caller_without_a_version_speaks_the_first(provider: Anthropic):
    """The API refuses a request without one, and curl users forget it."""
    assert exchange(provider).request.headers["anthropic-version"] == "2023-06-01"


def test_without_a_key_none_is_sent():
    """A local server that speaks the API may need none."""
    assert "x-api-key" not in exchange(Anthropic("a", "http://127.0.0.1:1", None)).request.headers


def test_the_beta_switch_of_the_query_passes_and_nothing_else_of_it(provider: Anthropic):
    """Claude Code always sends `?beta=true`."""
    assert exchange(provider, query="x=1&beta=true&key=k").request.url.endswith("/v1/messages?beta=true")
    assert exchange(provider, query="notbeta=true").request.url.endswith("/v1/messages")


def test_our_key_never_leaves_in_an_error(provider: Anthropic):
    """Providers quote what they refuse."""
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"bad sk-ant-secret"}}'
    error = provider.error(400, {}, body)

    assert KEY.encode() not in error.document("r")
    assert KEY not in error.message
    assert b"[redacted]" in error.document("r")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_of_ours_is_not_the_callers_fault(provider: Anthropic, status: int):
    """A 401 makes the client throw its own key away (decision D13)."""
    error = provider.error(status, {}, b'{"type":"error","error":{"type":"authentication_error","message":"no"}}')

    assert (error.reason, error.status, error.should_retry) == (
        Reason.UPSTREAM_AUTHENTICATION_FAILED,
        502,
        False,
    )
    assert error.provider == "anthropic"
    assert error.upstream_status == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":1}', b"\xff", b"x" * 100_000, b"[" * 5000])
def test_any_bytes_of_an_error_give_our_own_sentence(provider: Anthropic, body: bytes):
    """Gateways in between answer with pages of HTML."""
    error = provider.error(500, {}, body)

    assert error.body is None
    assert error.message == "provider anthropic answered HTTP 500 without a usable error"


def test_retry_advice_passes(provider: Anthropic):
    """The SDK obeys both headers."""
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'
    error = provider.error(429, {"retry-after": "7", "x-should-retry": "false", "request-id": "req_up"}, body)

    assert (error.retry_after, error.should_retry, error.upstream_request_id) == (7, False, "req_up")
    assert error.headers["x-ccproxy-upstream-request-id"] == "req_up"


@pytest.mark.parametrize("body", [b"<html>", b'{"error":{"type":"api_error","message":"x"}}'])
def test_a_failing_provider_is_worth_another_try(provider: Anthropic, body: bytes):
    """As a client would take it without us; only a mistake of ours is not."""
    assert provider.error(500, {}, body).should_retry
    assert not provider.error(400, {}, body).should_retry


def test_a_redirect_is_a_broken_answer(provider: Anthropic):
    """Following it would carry the key to another host."""
    assert provider.error(302, {"location": "http://evil"}, b"").reason is Reason.UPSTREAM_INVALID_RESPONSE


def test_rate_limits_pass_and_the_account_does_not(provider: Anthropic):
    """Who pays is nobody's business."""
    reply = provider.reply_headers(
        {
            "anthropic-ratelimit-requests-remaining": "9",
            "anthropic-organization-id": "org",
            "set-cookie": "c",
            "request-id": "r\x00é1",
        }
    )

    assert reply == {
        "anthropic-ratelimit-requests-remaining": "9",
        "x-ccproxy-upstream-request-id": "r1",
    }


def test_a_whole_answer_passes_as_it_came(provider: Anthropic):
    """Opened is what it cost."""
    body = b'{ "type":"message", "new":1e5, "usage":{"input_tokens":3,"cache_read_input_tokens":4} }'
    answer = exchange(provider).answer(body)

    assert answer.body == body
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (3, 4)


@pytest.mark.parametrize(
    ("details", "thought"),
    [
        (b'{"thinking_tokens":5,"new":1}', {"thinking_tokens": 5}),
        (b'{"thinking_tokens":"five"}', UNSET),
        (b"{}", UNSET),
        (b"null", UNSET),
        (b"[1]", UNSET),
    ],
)
def test_tokens_of_thinking_are_read_where_they_are_what_we_know(
    provider: Anthropic, details: bytes, thought: dict[str, int] | UnsetType
):
    """They are for metrics alone: whatever else is there must not break an answer that only passes."""
    body = b'{"type":"message","usage":{"output_tokens":9,"output_tokens_details":%b}}' % details
    answer = exchange(provider).answer(body)

    assert (answer.body, answer.usage.output_tokens, answer.usage.output_tokens_details) == (body, 9, thought)


def test_an_error_in_a_200_is_an_error(provider: Anthropic):
    """Some endpoints that speak the API answer so."""
    with pytest.raises(ApiError) as caught:
        exchange(provider).answer(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')

    assert caught.value.reason is Reason.OVERLOADED


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"type":"completion"}', b"\xff", b"<html>"])
def test_an_answer_that_is_no_message_is_refused(provider: Anthropic, body: bytes):
    """It would break the caller's decoder instead."""
    with pytest.raises(UpstreamProtocolError):
        exchange(provider).answer(body)


def test_tokens_are_counted_by_the_provider(provider: Anthropic):
    """Anthropic counts exactly and for nothing; route parameters would be refused there."""
    call = Call(edge="http", request_id="r", body=BODY)
    request = provider.count_request(call, call.head(), Target("anthropic", "claude-x", "default", {"top_p": 1}))

    assert request.url == "https://api.anthropic.com/v1/messages/count_tokens"
    assert request.body == BODY
    assert provider.count(b'{"input_tokens":12}') == 12


def test_models_are_read_with_what_they_say_of_themselves(provider: Anthropic):
    """A fact the provider does not give is not made up."""
    body = (
        b'{"data":[{"id":"claude-x","display_name":"X","created_at":"2026-01-01T00:00:00Z",'
        b'"max_input_tokens":200000},{"id":"y"}]}'
    )
    first, second = provider.models(body).models

    assert (first.display_name, first.max_input_tokens, first.max_tokens) == ("X", 200000, None)
    assert (second.display_name, second.created_at) == ("y", "1970-01-01T00:00:00Z")
    assert provider.models_request().url == "https://api.anthropic.com/v1/models?limit=1000"


def test_all_that_a_model_says_of_itself_is_kept(provider: Anthropic):
    """Capabilities and lifecycle as they came, and what the API will say tomorrow."""
    model = (
        b'{"type":"model","id":"claude-x","display_name":"X","created_at":"2026-01-01T00:00:00Z","max_tokens":64000,'
        b'"lifecycle":"active","line":"opus","retires_at":null,"capabilities":{"new":[1.50,{}]},"tomorrow":12e400}'
    )
    [read] = provider.models(b'{"data":[%b],"has_more":false}' % model).models

    assert msgspec.json.encode(read.document()) == model


def test_a_long_list_of_models_comes_in_pages(provider: Anthropic):
    """As long as there is more, by the last id."""
    page = provider.models(b'{"data":[{"id":"a"}],"has_more":true,"last_id":"a&b"}')

    assert page.next is not None
    assert page.next.url == "https://api.anthropic.com/v1/models?limit=1000&after_id=a%26b"
    assert provider.models(b'{"data":[],"has_more":false,"last_id":"a"}').next is None
    assert provider.models(b'{"data":[],"has_more":true,"last_id":null}').next is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":[{}]}', b'{"data":[{"id":"a","x":"\xff"}]}'])
def test_a_broken_list_of_models_is_a_broken_protocol(provider: Anthropic, body: bytes):
    """It must not look like an empty list, and no caller must get bytes that are no text."""
    with pytest.raises(UpstreamProtocolError):
        provider.models(body)


def test_there_is_no_second_way_to_ask(provider: Anthropic):
    """A relay says what the caller says."""
    assert exchange(provider).recover(ApiError(Reason.INVALID_REQUEST, "x")) is None


# Streams.

START = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'
)
BLOCK = b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n'
DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'
END = (
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def fed(provider: Anthropic, *chunks: bytes) -> RelayStream:
    """A stream that has read `chunks`."""
    stream = provider_stream(provider)
    for chunk in chunks:
        stream.feed(chunk)
    return stream


def provider_stream(provider: Anthropic) -> RelayStream:
    """A new stream."""
    stream = exchange(provider).stream()
    assert isinstance(stream, RelayStream)
    return stream


def test_content_begins_with_the_first_block(provider: Anthropic):
    """Until then a failure may still be a real status."""
    stream = fed(provider, START)
    assert not stream.has_content
    stream.feed(BLOCK)
    assert stream.has_content


def test_blocks_without_event_names_are_content_too(provider: Anthropic):
    """The name is a courtesy of the protocol; the type is in the data."""
    assert fed(provider, START, b'data: {"type":"content_block_start"}\n\n').has_content


def test_an_answer_without_content_is_whole(provider: Anthropic):
    """An empty answer is legal and must not wait for content that never comes."""
    stream = fed(provider, START, END)

    assert stream.has_content
    assert stream.finished
    assert stream.take() == START + END


def test_usage_is_cumulative(provider: Anthropic):
    """`message_delta` repeats what `message_start` said, or adds to it."""
    stream = fed(provider, START, BLOCK, DELTA, END)

    assert (stream.usage.input_tokens, stream.usage.output_tokens) == (7, 9)


def test_unknown_events_pings_and_comments_pass(provider: Anthropic):
    """The API grows; a relay must not know how."""
    new = b': hello\n\nevent: ping\ndata: {"type":"ping"}\n\nevent: news\ndata: {"type":"news","x":1}\n\n'

    assert fed(provider, START, BLOCK, new).take() == START + BLOCK + new


def test_what_comes_after_the_end_is_dropped(provider: Anthropic):
    """OpenRouter's endpoint appends `[DONE]`, which SDKs cannot read."""
    stream = fed(provider, START + BLOCK + END + b"event: data\ndata: [DONE]\n\n", DELTA)

    assert stream.take() == START + BLOCK + END


def test_a_done_marker_before_the_end_is_dropped_too(provider: Anthropic):
    """It is no event of this API anywhere."""
    assert fed(provider, START, b"data: [DONE]\n\n").take() == START


def test_an_error_event_raises_after_the_frames_before_it(provider: Anthropic):
    """What the client could have seen it must see."""
    stream = provider_stream(provider)
    error = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"sk-ant-secret"}}\n\n'
    )

    with pytest.raises(ApiError) as caught:
        stream.feed(START + BLOCK + error + DELTA)

    assert stream.take() == START + BLOCK
    assert caught.value.reason is Reason.OVERLOADED
    assert KEY.encode() not in caught.value.document("r")


@pytest.mark.parametrize("kind", ["authentication_error", "permission_error"])
def test_a_refused_key_in_mid_stream_is_not_the_callers_fault(provider: Anthropic, kind: str):
    """The same rule as for a status."""
    error = b'event: error\ndata: {"type":"error","error":{"type":"%b","message":"no"}}\n\n' % kind.encode()

    with pytest.raises(ApiError) as caught:
        fed(provider, error)

    assert caught.value.type == "api_error"
    assert caught.value.body is None


def test_an_unknown_error_type_keeps_its_name(provider: Anthropic):
    """Clients of tomorrow may know it."""
    with pytest.raises(ApiError) as caught:
        fed(provider, b'event: error\ndata: {"type":"error","error":{"type":"new_error","message":"x"}}\n\n')

    assert (caught.value.type, caught.value.reason) == ("new_error", Reason.INTERNAL)


@pytest.mark.parametrize(
    "frame",
    [b"data: nonsense\n\n", b"data: []\n\n", b'event: error\ndata: {"type":"error"}\n\n', b"data: \xff\n\n"],
)
def test_a_frame_that_cannot_be_read_breaks_the_stream(provider: Anthropic, frame: bytes):
    """Passing it on would break the client instead."""
    with pytest.raises(UpstreamProtocolError):
        fed(provider, START, frame)


def test_an_end_without_message_stop_is_an_error(provider: Anthropic):
    """Truncation must never look like success."""
    stream = fed(provider, START, BLOCK, DELTA)

    with pytest.raises(UpstreamProtocolError, match="without message_stop"):
        stream.close()


def test_a_last_frame_without_its_blank_line_counts(provider: Anthropic):
    """Some servers end so."""
    stream = fed(provider, START + BLOCK + END.rstrip(b"\n"))
    stream.close()

    assert stream.finished
    assert stream.take() == START + BLOCK + END
