"""The caller's own credential: what is passed on, what is not, and whose failure a refusal is."""

import msgspec
import pytest

from ccproxy.call import Call, Target
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import UpstreamRequest
from ccproxy.providers.anthropic import Anthropic, Relay

URL = "https://api.anthropic.com"
BODY = b'{"model":"claude-x","max_tokens":5,"messages":[]}'
MINE = "sk-ant-mine"
TOKEN = "sk-ant-oat01-mine"


@pytest.fixture
def provider() -> Anthropic:
    """A relay that every caller brings a credential to. The configured key must play no part."""
    return Anthropic("anthropic", URL, "sk-ours", client_auth=True)


def attempt(provider: Anthropic, headers: dict[str, list[str]], caller: str = "") -> Relay:
    """One attempt."""
    call = Call(edge="http", request_id="r", body=BODY, headers=headers, caller=caller)
    return provider.exchange(call, call.head(), Target("anthropic", "claude-x", "default"))


def shown(request: UpstreamRequest) -> dict[str, str]:
    """The headers that could hold a credential."""
    return {k: v for k, v in request.headers.items() if k in {"x-api-key", "authorization", "x-ccproxy-key"}}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": [MINE]},
        {"authorization": [f"Bearer {TOKEN}"]},
        {"authorization": [f"bearer  {TOKEN}"]},
        {"x-api-key": [MINE], "authorization": [f"Bearer {TOKEN}"]},
    ],
)
def test_a_credential_is_passed_as_it_came(provider: Anthropic, headers: dict[str, list[str]]):
    """Which header holds it tells Anthropic what it is."""
    sent = shown(attempt(provider, {**headers, "x-ccproxy-key": ["ours"]}).request)

    assert sent == {name: values[0] for name, values in headers.items()}


def test_betas_of_a_token_pass(provider: Anthropic):
    """An OAuth token is refused without its own."""
    headers = {"authorization": [f"Bearer {TOKEN}"], "anthropic-beta": ["oauth-2025-04-20,x"]}

    assert attempt(provider, headers).request.headers["anthropic-beta"] == "oauth-2025-04-20,x"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": []},
        {"x-api-key": [""]},
        {"x-api-key": [" "]},
        {"x-api-key": ["a", "b"]},
        {"x-api-key": ["sk-\x00"]},
        {"x-api-key": ["sk-é"]},
        {"authorization": ["Basic dTpw"]},
        {"authorization": ["Bearer"]},
        {"authorization": ["Bearer "]},
        {"authorization": [f"Bearer {TOKEN}", f"Bearer {TOKEN}"]},
        {"cookie": ["c"]},
    ],
)
def test_without_a_credential_it_is_the_callers_failure(provider: Anthropic, headers: dict[str, list[str]]):
    """A 401 makes the client ask its user to log in: here, that is what helps."""
    with pytest.raises(ApiError) as caught:
        attempt(provider, headers)

    assert (caught.value.reason, caught.value.status) == (Reason.AUTHENTICATION_FAILED, 401)
    assert caught.value.message.endswith("own credential: send x-api-key or Authorization: Bearer, once")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": ["ours"], "x-ccproxy-key": ["ours"]},
        {"authorization": ["Bearer ours"], "x-ccproxy-key": ["ours"]},
    ],
)
def test_our_own_key_is_not_passed_on(provider: Anthropic, headers: dict[str, list[str]]):
    """Some callers put it everywhere."""
    with pytest.raises(ApiError) as caught:
        attempt(provider, headers)

    assert caught.value.status == 401


@pytest.mark.parametrize("caller", ["", "local"])
def test_without_a_key_of_ours_any_credential_is_the_callers(provider: Anthropic, caller: str):
    """A caller on this host needs none."""
    assert shown(attempt(provider, {"x-api-key": [MINE]}, caller).request) == {"x-api-key": MINE}


@pytest.mark.parametrize("own", [{}, {"x-ccproxy-key": ["a", "b"]}])
def test_a_key_of_ours_in_the_credentials_place_is_not_passed_on(provider: Anthropic, own: dict[str, list[str]]):
    """It let the caller in; that it was in the usual place is no reason to tell Anthropic."""
    with pytest.raises(ApiError) as caught:
        attempt(provider, {"x-api-key": ["ours"], **own}, "apikey")

    assert caught.value.status == 401
    assert "CCProxy's own key belongs in x-ccproxy-key here" in caught.value.message


def test_tokens_are_counted_with_the_callers_credential(provider: Anthropic):
    """The same rule."""
    call = Call(edge="http", request_id="r", body=BODY, headers={"x-api-key": [MINE]})
    target = Target("anthropic", "claude-x", "default")

    assert shown(provider.count_request(call, call.head(), target)) == {"x-api-key": MINE}
    with pytest.raises(ApiError, match="own credential"):
        provider.count_request(Call(edge="http", request_id="r", body=BODY), call.head(), target)


def test_models_cannot_be_asked_for(provider: Anthropic):
    """Nobody's credential is there."""
    assert provider.models_request() is None


DOCUMENT = b'{"type":"error","error":{"type":"%b","message":"no, sk-ant-mine"},"request_id":"req_up"}'


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (401, b"authentication_error", Reason.AUTHENTICATION_FAILED),
        (403, b"permission_error", Reason.PERMISSION_DENIED),
    ],
)
def test_a_refusal_reaches_the_caller_word_for_word(provider: Anthropic, status: int, kind: bytes, reason: Reason):
    """It is about the caller's own credential, and the client knows what to do."""
    error = provider.error(status, {"request-id": "req_up"}, DOCUMENT % kind)

    assert (error.reason, error.status, error.type) == (reason, status, kind.decode())
    assert error.document("r") == DOCUMENT % kind
    assert (error.should_retry, error.provider, error.upstream_status) == (False, "anthropic", status)


def test_a_refusal_without_words_is_still_the_callers(provider: Anthropic):
    """A gateway in between may answer with a page."""
    error = provider.error(401, {}, b"<h1>no</h1>")

    assert (error.reason, error.status) == (Reason.AUTHENTICATION_FAILED, 401)


def test_other_failures_are_what_they_are(provider: Anthropic):
    """Only the two about credentials change sides."""
    assert provider.error(429, {}, b"").reason is Reason.RATE_LIMITED


def event(kind: bytes, message: str) -> bytes:
    """An error event."""
    document = {"type": "error", "error": {"type": kind.decode(), "message": message}}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(document)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (b"authentication_error", Reason.AUTHENTICATION_FAILED),
        (b"permission_error", Reason.PERMISSION_DENIED),
        (b"overloaded_error", Reason.OVERLOADED),
    ],
)
def test_a_failure_in_a_stream_names_no_credential(provider: Anthropic, kind: bytes, reason: Reason):
    """Whoever writes down what a client receives must not write that."""
    headers = {"x-api-key": ['sk-"quoted"'], "authorization": [f"Bearer {TOKEN}"]}
    stream = attempt(provider, headers).stream()
    with pytest.raises(ApiError) as caught:
        stream.feed(event(kind, f'bad sk-"quoted" and {TOKEN}'))

    told = caught.value.document("r") + caught.value.message.encode()
    assert caught.value.reason is reason
    assert b"quoted" not in told
    assert TOKEN.encode() not in told
    assert told.count(b"[redacted]") == 4


def test_nothing_shows_the_credential_by_accident(provider: Anthropic):
    """Objects end up in tracebacks and logs."""
    relay = attempt(provider, {"authorization": [f"Bearer {TOKEN}"]})

    assert TOKEN not in f"{relay!r} {relay.request!r} {relay._failures!r} {provider!r}"
    assert relay.request.secrets == (TOKEN,)
