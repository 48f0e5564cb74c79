"""What goes wrong, as the official Python SDK shows it: applications catch classes, the SDK retries by rules."""

from collections.abc import Callable, Iterator

import anthropic
import httpx
import pytest
from anthropic import Anthropic
from e2e.conftest import ALIAS, KEY, RELAYED, TRANSLATED
from e2e.service import Service
from e2e.test_python_sdk import asking, text_of

ERRORS = [
    ("[[error 400]]", anthropic.BadRequestError, "invalid_request_error", 400),
    ("[[error 402]]", anthropic.APIStatusError, "billing_error", 402),
    ("[[error 404]]", anthropic.NotFoundError, "not_found_error", 404),
    ("[[error 413]]", anthropic.APIStatusError, "request_too_large", 413),
    ("[[error 429]]", anthropic.RateLimitError, "rate_limit_error", 429),
    ("[[error 500]]", anthropic.InternalServerError, "api_error", 500),
    ("[[error 504]]", anthropic.InternalServerError, "timeout_error", 504),
    ("[[error 529]]", anthropic.OverloadedError, "overloaded_error", 529),
    ("[[cut]]", anthropic.InternalServerError, "api_error", 502),
]


@pytest.fixture
def client(service: Service) -> Iterator[Anthropic]:
    """A client that leaves retrying to its caller."""
    with Anthropic(base_url=service.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("directive", "expected", "kind", "status"), ERRORS, ids=[row[0] for row in ERRORS])
def test_an_error_before_the_answer_is_the_class_applications_catch(  # a table
    client: Anthropic,
    model: str,
    directive: str,
    expected: type[anthropic.APIStatusError],
    kind: str,
    status: int,
    stream: bool,  # noqa: FBT001  # a parameter of the test
):
    """`except anthropic.RateLimitError` must work whoever the provider is, and before a stream as without one."""
    with pytest.raises(expected) as caught:
        client.messages.create(model=model, max_tokens=100, messages=asking(directive), stream=stream)

    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert (caught.value.request_id or "").startswith("req_")


def test_retry_after_reaches_the_application(client: Anthropic, model: str):
    """Who comes back too early is refused again, and some providers count that too."""
    limited = '[[error 429 rate_limit_error {"retry-after": "7"} slow down]]'
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(model=model, max_tokens=100, messages=asking(limited))

    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [401, 403])
def test_a_providers_refused_credential_is_not_the_callers(client: Anthropic, model: str, status: int):
    """A 401 would make the client throw away its own key, which is fine."""
    with pytest.raises(anthropic.InternalServerError) as caught:
        client.messages.create(model=model, max_tokens=100, messages=asking(f"[[error {status}]]"))

    assert (caught.value.status_code, caught.value.type) == (502, "api_error")


@pytest.mark.parametrize(
    ("directive", "calls"),
    [
        ("[[error 500]]", 2),
        ("[[error 529]]", 2),
        ('[[error 502 {"content-type": "text/html"} <h1>Bad gateway</h1>]]', 2),
        ("[[error 400]]", 1),
        ("[[error 401]]", 1),
    ],
)
def test_the_sdk_retries_what_another_try_can_help(service: Service, model: str, directive: str, calls: int):
    """It follows `x-should-retry`. Wrong one way, users see passing failures; the other way, they wait in vain."""
    before = service.counts()
    with (
        Anthropic(base_url=service.url, api_key="any", max_retries=1) as client,
        pytest.raises(anthropic.APIError),
    ):
        client.messages.create(model=model, max_tokens=100, messages=asking(directive))

    assert service.counts() == (before[0], before[1] + calls)


@pytest.mark.parametrize("directive", ["[[fail 3]]", "[[cut 3]]"])
def test_a_failure_in_mid_stream_raises_and_never_looks_like_an_end(client: Anthropic, model: str, directive: str):
    """An agent that takes half an answer for a whole one deletes the other half of a file."""
    seen = []
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(
            model=model, max_tokens=100, messages=asking(f"[[tokens 20]] {directive}")
        ) as stream,
    ):
        seen.extend(event.type for event in stream)

    assert "content_block_delta" in seen
    assert not {"message_delta", "message_stop"} & set(seen)


def test_a_failure_before_the_first_block_of_a_stream_is_a_status(client: Anthropic):
    """Until something was shown, the SDK can try again without anybody noticing; but only on a real status."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model=TRANSLATED, max_tokens=100, messages=asking("[[fail 0]]"), stream=True)

    assert caught.value.status_code >= 500


@pytest.mark.parametrize("model", [RELAYED, ALIAS])
def test_leaving_a_stream_stops_the_provider(
    routed_service: Service, upstream: str, eventually: Callable[[Callable[[], bool]], None], model: str
):
    """What nobody reads is billed all the same, for as long as the provider goes on."""

    def facts() -> dict[str, int]:
        return httpx.get(upstream, trust_env=False).json()

    before = facts()["aborted"]
    with (
        Anthropic(base_url=routed_service.url, api_key="any", max_retries=0) as client,
        client.messages.stream(
            model=model, max_tokens=1000, messages=asking("[[tokens 1000]] [[pace 100]]")
        ) as stream,
    ):
        next(stream.text_stream)

    eventually(lambda: facts()["aborted"] == before + 1 and facts()["open_streams"] == 0)


def test_a_route_answers_a_claudes_name_with_another_providers_model(routed_service: Service):
    """Applications with a fixed model name are the reason why routes exist."""
    before = routed_service.served_by("openai", ALIAS)
    with Anthropic(base_url=routed_service.url, api_key="any", max_retries=0) as client:
        message = client.messages.create(model=ALIAS, max_tokens=100, messages=asking("Hello"))

    assert text_of(message) == "Demo answer to: Hello"
    assert routed_service.served_by("openai", ALIAS) == before + 1


def test_a_wrong_key_is_an_authentication_error(locked_service: Service, model: str):
    """Whoever can reach the port could spend the operator's money."""
    with (
        Anthropic(base_url=locked_service.url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.create(model=model, max_tokens=100, messages=asking("Hello"))

    assert caught.value.type == "authentication_error"


@pytest.mark.parametrize("header", ["api_key", "auth_token"], ids=["x-api-key", "bearer"])
def test_the_right_key_opens_in_either_header(locked_service: Service, model: str, header: str):
    """`ANTHROPIC_API_KEY` and `ANTHROPIC_AUTH_TOKEN` send it in different ones, and people use both."""
    with Anthropic(base_url=locked_service.url, max_retries=0, **{header: KEY}) as client:
        assert client.messages.create(model=model, max_tokens=100, messages=asking("Hello")).content
        assert client.models.list().data
