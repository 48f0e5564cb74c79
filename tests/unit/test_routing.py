"""Where a request goes: the caller's choice, a route by name, `default`, the provider that takes the name."""

from typing import Any

import pytest

from ccproxy.call import Target
from ccproxy.config import Config, ProviderConfig, RouteConfig
from ccproxy.documents import Head
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Model
from ccproxy.routing import CHOSEN_BY_CALLER, DEFAULT_ROUTE, Router

BOTH = (ProviderConfig("anthropic"), ProviderConfig("openai"))


def router(*providers: ProviderConfig, **routes: RouteConfig) -> Router:
    """A router over providers and routes."""
    return Router(Config(providers=list(providers), routes=routes))


def routed(router: Router, model: str) -> Target:
    """The first target of a model's name."""
    return router.route(Head(model, stream=False, fields={}))[0]


def refused(router: Router, model: str) -> ApiError:
    """Why nothing takes a model's name."""
    with pytest.raises(ApiError) as raised:
        routed(router, model)
    return raised.value


def test_the_caller_can_choose():
    """`provider,model` is the ancestor's way to say it."""
    assert routed(router(*BOTH), "openai,gpt-5") == Target("openai", "gpt-5", CHOSEN_BY_CALLER)


def test_the_callers_choice_is_over_every_route():
    """Who names a provider means it."""
    routes = {"openai,gpt-5": RouteConfig("anthropic"), DEFAULT_ROUTE: RouteConfig("anthropic")}

    assert routed(router(*BOTH, **routes), "openai,gpt-5").provider == "openai"


def test_a_model_may_hold_a_comma_and_slashes():
    """OpenRouter's names have slashes; only the first comma separates."""
    assert routed(router(*BOTH), "openai,meta/llama,free").model == "meta/llama,free"


@pytest.mark.parametrize("model", ["mistral,large", "openai,", ",gpt-5", ","])
def test_a_pair_that_names_no_provider_or_no_model_is_refused(model: str):
    """Another provider's answer would pass for the one that was asked for."""
    error = refused(router(*BOTH, default=RouteConfig("anthropic", "claude-x")), model)

    assert error.reason is Reason.NOT_FOUND
    assert "the providers are: anthropic, openai" in error.message


def test_a_route_may_be_named_like_a_pair():
    """What the operator wrote comes first."""
    named = router(*BOTH, **{"mistral,large": RouteConfig("openai", "gpt-5")})

    assert routed(named, "mistral,large") == Target("openai", "gpt-5", "mistral,large")


def test_a_disabled_provider_cannot_be_chosen():
    """The operator's word is over the caller's."""
    only = router(ProviderConfig("openai", enabled=False), ProviderConfig("anthropic", models=["claude-x"]))

    assert refused(only, "openai,gpt-5").reason is Reason.NOT_FOUND


def test_a_route_takes_its_own_name():
    """Claude Code asks for claude-…; the operator sends it elsewhere."""
    target = routed(router(*BOTH, **{"claude-haiku": RouteConfig("openai", "gpt-5-mini")}), "claude-haiku")

    assert target == Target("openai", "gpt-5-mini", "claude-haiku")


def test_a_route_is_over_default():
    """The particular before the general."""
    routes = {"m": RouteConfig("openai"), DEFAULT_ROUTE: RouteConfig("anthropic")}

    assert routed(router(*BOTH, **routes), "m").route == "m"


def test_a_route_without_model_keeps_the_callers():
    """Only the provider is changed."""
    assert routed(router(*BOTH, default=RouteConfig("openai")), "anything").model == "anything"


def test_a_route_carries_its_parameters():
    """They apply where the request is silent."""
    parameters: dict[str, Any] = {"temperature": 0}

    assert routed(router(*BOTH, default=RouteConfig("openai", "m", parameters)), "x").parameters == parameters


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("claude-opus-4", "anthropic"),
        ("gpt-5", "openai"),
        ("o3", "openai"),
        ("us.anthropic.claude-x", "anthropic"),
    ],
)
def test_without_routes_the_name_says_the_provider(model: str, provider: str):
    """Two keys in the environment are a whole configuration."""
    assert routed(router(*BOTH), model) == Target(provider, model, DEFAULT_ROUTE)


def test_alone_anthropic_takes_any_name():
    """An Anthropic-compatible server has models of its own."""
    assert routed(router(ProviderConfig("local", type="anthropic")), "kimi-k2").provider == "local"


def test_a_list_of_models_is_taken_at_its_word():
    """The operator says what the provider has."""
    listed = router(ProviderConfig("openai", models=["gpt-5"]), ProviderConfig("other", type="openai"))

    assert [routed(listed, model).provider for model in ("gpt-5", "o3")] == ["openai", "other"]


def test_the_first_provider_that_takes_a_name_gets_it():
    """The operator's order is the rank."""
    assert (
        routed(router(ProviderConfig("a", type="openai"), ProviderConfig("b", type="openai")), "m").provider == "a"
    )


def test_what_nothing_takes_is_not_found_with_the_remedy():
    """The message is the only documentation that is read at that moment."""
    error = refused(router(ProviderConfig("openai")), "claude-x")
    remedy = '"routes": {"default": {"provider": "openai", "model": "…"}} (`routes.default`)'

    assert error.reason is Reason.NOT_FOUND
    assert error.message == f"model: no route takes claude-x. Add one to the configuration: {remedy}"


def test_without_any_provider_the_remedy_is_a_key():
    """A route would not help."""
    error = refused(router(), "claude-x")

    assert error.reason is Reason.NOT_FOUND
    assert "ANTHROPIC_API_KEY or OPENAI_API_KEY" in error.message


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("anthropic", "claude-x", "claude-x"),
        ("openai", "gpt-5", "gpt-5"),
        ("anthropic", "gpt-5", "anthropic,gpt-5"),
        ("openai", "claude-x", "openai,claude-x"),
        ("anthropic", "openai,x", "anthropic,openai,x"),
    ],
)
def test_a_listed_name_leads_back_to_its_provider(provider: str, model: str, name: str):
    """What /v1/models shows must be what a caller can write."""
    both = router(*BOTH)

    assert both.name_for(provider, model) == name
    assert routed(both, name).provider == provider


def test_a_name_that_nothing_takes_is_listed_with_its_provider():
    """Else the list would show a model that is then not found."""
    assert router(ProviderConfig("openai")).name_for("openai", "claude-x") == "openai,claude-x"


def test_configured_models_can_be_listed():
    """For a provider that cannot be asked."""
    named = router(ProviderConfig("openai", models=["gpt-5"])).named_models("openai")

    assert named == [Model(id="gpt-5", display_name="gpt-5")]
