"""What is recorded beside messages: lists of models and counts of tokens."""

from typing import Any

import msgspec
from conformance.recordings import Recording, all_recordings, each

from ccproxy.call import Call, Target
from ccproxy.config import ProviderConfig, Secret
from ccproxy.errors import ApiError
from ccproxy.provider import Provider
from ccproxy.providers import BY_TYPE

KEY = "key-1234567890-secret"
MODELS = [r for r in all_recordings() if r.facts.api == "models"]
COUNTS = [r for r in all_recordings() if r.facts.api == "count_tokens"]


def provider_of(recording: Recording) -> Provider:
    """The provider whose wire it is, as an operator configures it."""
    name = recording.facts.provider
    config = ProviderConfig(name=name, api_key=Secret(KEY))
    return BY_TYPE[config.kind](config)


@each([r for r in MODELS if r.facts.http_status == 200])
def test_every_listed_model_is_shown(recording: Recording):
    """A model that is missing in the list cannot be chosen in a client."""
    document = msgspec.json.decode(recording.response)
    listed = [model.get("id") or model["name"].removeprefix("models/") for model in next(iter(_lists(document)))]

    models = provider_of(recording).models(recording.response).models

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
