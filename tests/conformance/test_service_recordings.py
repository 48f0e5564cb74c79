"""What is recorded beside messages: lists of models, counts of tokens, and Anthropic's wire at OpenRouter."""

from typing import Any

import anthropic
import httpx2
import msgspec
from conformance.recordings import Recording, all_recordings, each

from ccproxy import sse
from ccproxy.call import Call, Target
from ccproxy.config import ProviderConfig, Secret
from ccproxy.errors import ApiError
from ccproxy.provider import Provider
from ccproxy.providers import BY_TYPE

KEY = "key-1234567890-secret"
MODELS = [r for r in all_recordings() if r.facts.api == "models"]
COUNTS = [r for r in all_recordings() if r.facts.api == "count_tokens"]
RELAYED = [r for r in all_recordings() if r.facts.provider == "openrouter" and r.facts.api == "messages"]


def provider_of(recording: Recording, **members: Any) -> Provider:
    """The provider whose wire it is, as an operator configures it."""
    name = recording.facts.provider
    config = ProviderConfig(name=name, **{"type": name, "api_key": Secret(KEY), **members})
    return BY_TYPE[config.kind](config)


@each([r for r in MODELS if r.facts.http_status == 200])
def test_every_listed_model_is_shown(recording: Recording):
    """A model that is missing in the list cannot be chosen in a client."""
    document = msgspec.json.decode(recording.response)
    listed = [model.get("id") or model["name"].removeprefix("models/") for model in next(iter(_lists(document)))]

    models = provider_of(recording).models(recording.response)

    assert [model.id for model in models] == listed
    assert all(model.display_name and model.created_at.endswith("Z") for model in models)


def _lists(document: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return [document[name] for name in ("data", "models") if name in document]


@each([r for r in MODELS if r.facts.http_status >= 400])
def test_a_refused_key_is_ours(recording: Recording):
    """The caller has another key, and would drop it at a 401."""
    status = recording.facts.http_status
    failure = provider_of(recording).error(status, recording.facts.response_headers, recording.response)

    assert isinstance(failure, ApiError)
    assert (failure.status, failure.type, failure.should_retry) == (502, "api_error", False)
    assert failure.upstream_status == status


@each(COUNTS)
def test_a_count_is_the_providers(recording: Recording):
    """An estimate of ours would make a client compact too early or too late."""
    document = msgspec.json.decode(recording.response)

    count = provider_of(recording).count(recording.response)

    assert count == document.get("input_tokens", document.get("totalTokens"))


@each([r for r in COUNTS if r.facts.provider == "anthropic"])
def test_a_request_to_count_passes_as_it_came(recording: Recording):
    """Anthropic counts what it is asked for, not what we make of it."""
    body = recording.request or b""
    call = Call(edge="http", request_id="req_1", body=body)
    head = call.head()

    request = provider_of(recording).count_request(call, head, Target("anthropic", head.model, "default"))

    assert request is not None
    assert request.body == body
    assert request.url.endswith("/v1/messages/count_tokens")


@each(RELAYED)
def test_openrouters_messages_pass_through_the_relay(recording: Recording):
    """OpenRouter speaks Anthropic's wire too, with a `[DONE]` at the end that the SDKs choke on."""
    provider = provider_of(recording, type="anthropic", api_base_url="https://openrouter.ai/api")
    call = Call(edge="http", request_id="req_1", body=recording.request or b"")
    head = call.head()
    exchange = provider.exchange(call, head, Target("openrouter", head.model, "default"))
    stream = exchange.stream()
    stream.feed(recording.response)
    stream.close()
    frames = stream.take()

    recorded = [event for event in sse.events(recording.response) if event.data.strip() != b"[DONE]"]
    assert list(sse.events(frames)) == recorded
    assert exchange.request.body == recording.request
    assert accumulated(frames).usage.output_tokens == stream.usage.output_tokens


def accumulated(frames: bytes) -> anthropic.types.Message:
    """The message that the official SDK puts together."""
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=frames)
    )
    with (
        anthropic.Anthropic(
            api_key="x", base_url="http://test", http_client=httpx2.Client(transport=transport)
        ) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream,
    ):
        return stream.get_final_message()
