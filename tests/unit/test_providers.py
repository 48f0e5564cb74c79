"""A provider from what the operator says of it."""

import msgspec
import pytest

from ccproxy.call import Call, Target
from ccproxy.config import PROVIDER_TYPES, ProviderConfig, Secret
from ccproxy.provider import UpstreamRequest
from ccproxy.providers import BY_TYPE

BODY = msgspec.json.encode(
    {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}], "stream": True}
)


def request(config: ProviderConfig, **headers: list[str]) -> UpstreamRequest:
    """What a provider sends."""
    call = Call(
        edge="http", request_id="r", body=BODY, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    provider = BY_TYPE[config.kind](config)
    assert provider.name == config.name
    return provider.exchange(call, call.head(), Target(config.name, "m", "default")).request


def test_every_type_that_can_be_written_can_be_made():
    """The reference page lists both."""
    assert set(BY_TYPE) == set(PROVIDER_TYPES)


@pytest.mark.parametrize("kind", BY_TYPE)
def test_a_provider_is_at_its_types_address(kind: str):
    """The operator writes none for the well-known ones."""
    assert request(ProviderConfig("mine", type=kind)).url.startswith(PROVIDER_TYPES[kind].url)


@pytest.mark.parametrize("kind", BY_TYPE)
def test_a_provider_is_where_the_operator_says(kind: str):
    """A gateway, or a server of one's own."""
    config = ProviderConfig("mine", type=kind, api_base_url="http://127.0.0.1:1/base")

    assert request(config).url.startswith("http://127.0.0.1:1/base/")


@pytest.mark.parametrize("kind", BY_TYPE)
def test_a_provider_shows_its_key(kind: str):
    """In the header of its wire."""
    assert "sk-planted" in str(request(ProviderConfig(kind, api_key=Secret("sk-planted"))).headers)


@pytest.mark.parametrize("kind", BY_TYPE)
def test_the_callers_credential_stays_here(kind: str):
    """It is for CCProxy, unless the operator says otherwise."""
    sent = request(ProviderConfig(kind), x_api_key=["sk-caller"], authorization=["Bearer caller"])

    assert "caller" not in str(sent.headers)


def test_a_model_is_asked_by_the_api_that_the_operator_says():
    """Of one model alone, or of all."""
    config = ProviderConfig("openai", api="responses", model_apis={"other": "chat"})
    assert request(config).url == "https://api.openai.com/v1/responses"

    config = ProviderConfig("openai", api="responses", model_apis={"m": "chat"})
    assert request(config).url == "https://api.openai.com/v1/chat/completions"


def test_with_client_auth_the_caller_brings_the_credential():
    """And the operator's key, if one is in the environment, is not used."""
    config = ProviderConfig("anthropic", auth="client", api_key=Secret("sk-planted"))

    assert request(config, x_api_key=["sk-caller"]).headers["x-api-key"] == "sk-caller"
