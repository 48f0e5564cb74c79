"""`claude-via-provider/model`: a pair that Claude Code's menu shows, and that no other rule may take."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_routing import BOTH, SETTINGS, head, refused, routed, router

from ccproxy.config import Config, ProviderConfig, RouteConfig
from ccproxy.errors import Reason
from ccproxy.routing import Router

ELSEWHERE = {name: RouteConfig("anthropic", name) for name in ("longContext", "background", "think", "default")}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-via-openai/gpt-5", "gpt-5"),
        ("claude-via-openai/vendor/model:free", "vendor/model:free"),
        ("claude-via-openai/a,b", "a,b"),
        ("claude-via-openai/claude-x", "claude-x"),
    ],
)
def test_an_alias_is_a_pair(name: str, model: str):
    """The provider ends at the first slash; models may have more of them."""
    assert routed(router(*BOTH), name) == ("openai", model, "provider,model")


@pytest.mark.parametrize("asked", [{}, {"thinking": {"type": "enabled"}}, {"thinking": {"type": "adaptive"}}])
def test_an_alias_is_the_callers_own_choice(asked: dict[str, Any]):
    """It says `claude`, and this one `haiku`; the rules for Claude's own names are not for it."""
    long = [{"role": "user", "content": "x" * 1_000_000}]
    name = "claude-via-openai/haiku-writer"
    sent = router(*BOTH, **{**ELSEWHERE, name: RouteConfig("anthropic", "claude-x")})

    assert routed(sent, name, messages=long, **asked) == ("openai", "haiku-writer", "provider,model")


@pytest.mark.parametrize("name", ["claude-via-nobody/gpt-5", "claude-via-openai/", "claude-via-/m"])
def test_an_alias_of_no_provider_is_not_found(name: str):
    """It looks like a Claude's name. What takes these would answer for the model that was asked for."""
    error = refused(router(*BOTH, **ELSEWHERE), name)

    assert error.reason is Reason.NOT_FOUND
    assert error.message == (
        f"model: {name} does not name a provider and its model; the providers are: anthropic, openai"
    )


@pytest.mark.parametrize(
    ("name", "route"), [("claude-via-nobody/m", "claude-via-nobody/m"), ("claude-via-x", "default")]
)
def test_what_only_begins_like_an_alias_is_just_a_name(name: str, route: str):
    """An operator may call a route so; and without a slash it is no pair."""
    routes = {"claude-via-nobody/m": RouteConfig("openai", "m"), "default": RouteConfig("openai", "m")}

    assert routed(router(*BOTH, **routes), name)[2] == route


def test_an_alias_leads_to_its_provider_whatever_other_providers_are_called():
    """The menu shows `claude-via-openai/m` for a model of openai alone."""
    sent = router(*BOTH, ProviderConfig("claude-via-openai", type="openai"))

    assert routed(sent, "claude-via-openai/m")[0] == "openai"
    assert routed(sent, sent.menu_name_for("claude-via-openai", "m"))[0] == "claude-via-openai"


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("anthropic", "claude-x", "claude-x"),
        ("openai", "gpt-5", "claude-via-openai/gpt-5"),
        ("openai", "Claude-like", "openai,Claude-like"),
        ("openai", "Anthropic.x", "Anthropic.x"),
        ("anthropic", "m", "anthropic,m"),
    ],
)
def test_only_what_the_menu_would_leave_out_gets_an_alias(provider: str, model: str, name: str):
    """Other names are shown as they are, in any letters."""
    assert router(*BOTH).menu_name_for(provider, model) == name


@given(
    config=SETTINGS,
    model=st.sampled_from(["m", "gpt-5", "claude-x", "a/b", "x,y", "claude-via-openai/m", "haiku"]),
    thinking=st.booleans(),
)
def test_a_name_of_the_menu_always_leads_back(config: Config, model: str, thinking: bool):  # noqa: FBT001
    """Who picks a model there must get that one, thinking or not."""
    sent = Router(config)
    for provider in config.active:
        name = sent.menu_name_for(provider.name, model)
        asked = head(name, thinking=thinking and name.startswith("claude-via-"))
        target = sent.route(asked)[0]

        assert (target.provider, target.model) == (provider.name, model)
        assert "claude" in name.lower() or "anthropic" in name.lower()
