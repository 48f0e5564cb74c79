"""Where a request goes: every rule, their order, and what is said where nothing takes it."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy import routing
from ccproxy.config import Config, FallbackConfig, ProviderConfig, RouteConfig
from ccproxy.documents import Head, decode_head
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Model
from ccproxy.routing import Line, Router, default_model, input_tokens

BOTH = (ProviderConfig("anthropic"), ProviderConfig("openai"))
LOCAL_URL = "http://127.0.0.1:11434/v1"
LOCAL = ProviderConfig("local", type="openai", api_base_url=LOCAL_URL)
ANYWHERE = RouteConfig("anthropic")

Place = tuple[str, str, str]


def router(*providers: ProviderConfig, listed_by: routing.ListedBy | None = None, **routes: RouteConfig) -> Router:
    """A router over providers and routes."""
    return Router(Config(providers=list(providers), routes=routes), listed_by)


def head(model: str, **members: Any) -> Head:
    """A request."""
    return decode_head(msgspec.json.encode({"model": model, **members}))


def routed(router: Router, model: str, **members: Any) -> Place:
    """Provider, model and rule of a request's first target."""
    target = router.route(head(model, **members))[0]
    return target.provider, target.model, target.route


def reason(router: Router, model: str, **members: Any) -> str:
    """Why the first target is the first."""
    return router.route(head(model, **members))[0].reason


def refused(router: Router, model: str) -> ApiError:
    """Why nothing takes a model's name."""
    with pytest.raises(ApiError) as raised:
        routed(router, model)
    return raised.value


def said(text: str) -> list[dict[str, Any]]:
    """A conversation of one turn."""
    return [{"role": "user", "content": text}]


# What is configured.


def test_it_knows_every_model_that_the_configuration_names():
    """They have series of their own: of routes, their fallbacks and lists of providers; not the caller's own."""
    listing = ProviderConfig("openai", models=["gpt-5"])
    route = RouteConfig(
        "anthropic", "claude", fallbacks=[FallbackConfig("openai", "gpt-4.1"), FallbackConfig("openai")]
    )

    assert router(ProviderConfig("anthropic"), listing, default=route).models() == [
        ("openai", "gpt-5"),
        ("anthropic", "claude"),
        ("openai", "gpt-4.1"),
    ]


# The caller's choice.


@pytest.mark.parametrize("separator", [",", "/"])
def test_the_caller_can_choose(separator: str):
    """`provider,model` is the ancestor's way to say it, `provider/model` OpenRouter's."""
    assert routed(router(*BOTH), f"openai{separator}gpt-5") == ("openai", "gpt-5", "provider,model")


def test_the_callers_choice_is_over_every_route():
    """Who names a provider means it."""
    routes = {"openai,gpt-5": ANYWHERE, "default": ANYWHERE, "longContext": ANYWHERE}

    assert routed(router(*BOTH, **routes), "openai,gpt-5", messages=said("long " * 80_000))[0] == "openai"


@pytest.mark.parametrize("name", ["openai,meta/llama,free", "openai/meta/llama,free"])
def test_the_rest_of_a_pair_may_hold_commas_and_slashes(name: str):
    """Only the first one separates."""
    assert routed(router(*BOTH), name)[:2] == ("openai", "meta/llama,free")


@pytest.mark.parametrize("model", ["mistral,large", "openai,", ",gpt-5", ",", "meta/llama,free"])
def test_a_pair_that_names_no_provider_or_no_model_is_refused(model: str):
    """Another provider's answer would pass for the one that was asked for."""
    error = refused(router(*BOTH, default=RouteConfig("anthropic", "claude-x")), model)

    assert error.reason is Reason.NOT_FOUND
    assert "the providers are: anthropic, openai" in error.message


@pytest.mark.parametrize("model", ["meta/llama", "openai/", "/gpt-5", "/"])
def test_a_slash_without_a_provider_is_part_of_the_name(model: str):
    """So are the names of OpenRouter and others."""
    assert routed(router(*BOTH, default=RouteConfig("openai")), model) == ("openai", model, "default")


def test_a_route_may_be_named_like_a_pair():
    """What the operator wrote comes first."""
    named = router(*BOTH, **{"mistral,large": RouteConfig("openai", "gpt-5")})

    assert routed(named, "mistral,large") == ("openai", "gpt-5", "mistral,large")


def test_a_route_named_with_a_slash_is_over_the_provider():
    """The slash may be part of a name; a comma never is."""
    named = router(*BOTH, **{"openai/gpt-5": RouteConfig("anthropic", "claude-x")})

    assert routed(named, "openai/gpt-5") == ("anthropic", "claude-x", "openai/gpt-5")


def test_a_disabled_provider_cannot_be_chosen():
    """The operator's word is over the caller's."""
    only = router(ProviderConfig("openai", enabled=False), ProviderConfig("anthropic", models=["claude-x"]))

    assert refused(only, "openai,gpt-5").reason is Reason.NOT_FOUND


# Routes by name.


def test_a_route_takes_its_own_name():
    """Claude Code asks for claude-…; the operator sends it elsewhere."""
    sent = router(*BOTH, **{"claude-haiku": RouteConfig("openai", "gpt-5-mini")})

    assert routed(sent, "claude-haiku") == ("openai", "gpt-5-mini", "claude-haiku")


def test_a_route_by_name_is_over_every_condition():
    """The particular before the general."""
    others = dict.fromkeys(["default", "longContext", "background", "think"], ANYWHERE)
    sent = router(*BOTH, **{"claude-haiku": RouteConfig("openai", "m")}, **others)

    assert routed(sent, "claude-haiku", thinking=True, messages=said("long " * 80_000))[2] == "claude-haiku"


@pytest.mark.parametrize("name", ["default", "longContext", "background", "think"])
def test_a_special_route_is_not_taken_by_its_name(name: str):
    """A model that happens to be called so says nothing about the request."""
    routes = {name: RouteConfig("openai", "elsewhere"), "default": RouteConfig("anthropic", "claude-x")}

    assert routed(router(*BOTH, **routes), name) == ("anthropic", "claude-x", "default")


def test_a_route_without_model_keeps_the_callers():
    """Only the provider is changed."""
    assert routed(router(*BOTH, default=RouteConfig("openai")), "anything")[1] == "anything"


def test_a_claude_name_is_not_sent_to_a_provider_that_cannot_know_it():
    """`default_model` is for names that are not its own."""
    providers = (ProviderConfig("openai", default_model="gpt-4o"), ProviderConfig("anthropic"))

    assert routed(router(*providers, default=RouteConfig("openai")), "claude-x")[1] == "gpt-4o"


def test_a_claude_name_that_a_provider_lists_is_its_own():
    """Some servers have Claude models behind Chat Completions."""
    providers = (ProviderConfig("openai", default_model="gpt-4o", models=["claude-x"]),)

    assert routed(router(*providers, default=RouteConfig("openai")), "claude-x")[1] == "claude-x"


def test_without_a_default_model_the_name_stays():
    """A server of the operator's own may know any name."""
    assert routed(router(LOCAL, default=RouteConfig("local")), "claude-x")[1] == "claude-x"


def test_a_route_carries_its_parameters():
    """They apply where the request is silent; what decides how the answer is read is not theirs."""
    parameters = {"temperature": 0, "stream": True, "model": "m", "messages": []}
    target = router(*BOTH, default=RouteConfig("openai", "m", parameters)).route(head("x"))[0]

    assert target.parameters == {"temperature": 0}


def test_each_route_has_its_own_parameters():
    """The ancestor applied those of `default` to every route."""
    routes = {"a": RouteConfig("openai", "m", {"top_k": 1}), "default": RouteConfig("openai", "m", {"top_k": 2})}
    over = router(*BOTH, **routes)

    assert [over.route(head(name))[0].parameters["top_k"] for name in ("a", "b")] == [1, 2]


@pytest.mark.parametrize(
    ("members", "applied"), [({}, {"top_k": 1}), ({"top_k": None}, {"top_k": 1}), ({"top_k": 2}, {})]
)
def test_a_request_is_silent_where_it_has_nothing_or_null(members: dict[str, Any], applied: dict[str, Any]):
    """Some clients write every member they know."""
    asked = head("x", **members)
    target = router(*BOTH, default=RouteConfig("openai", "m", {"top_k": 1})).route(asked)[0]

    assert target.silent(asked) == applied


# Conditions.


def test_a_long_request_has_a_route():
    """The model for it has a larger window."""
    sent = Router(
        Config(
            long_context_threshold=100,
            providers=list(BOTH),
            routes={"longContext": RouteConfig("openai", "big"), "default": ANYWHERE},
        )
    )

    assert routed(sent, "claude-x", messages=said("long " * 100)) == ("openai", "big", "longContext")
    assert routed(sent, "claude-x", messages=said("long " * 60))[2] == "default"
    assert reason(sent, "claude-x", messages=said("long " * 1_000)) == (
        "the estimated 1,132 tokens are above long_context_threshold 100"
    )


def test_the_threshold_itself_is_not_long():
    """Above it, as the ancestor had it."""
    asked = head("claude-x", messages=said("x" * 400))
    config = Config(
        long_context_threshold=input_tokens(asked),
        providers=list(BOTH),
        routes={"longContext": RouteConfig("openai", "big"), "default": ANYWHERE},
    )

    assert Router(config).route(asked)[0].route == "default"


def test_many_images_are_long_however_short_their_addresses():
    """A request of a few kilobytes can fill a window."""
    images = [{"type": "image", "source": {"type": "url", "url": "https://h.example/x.png"}}] * 40
    sent = router(*BOTH, longContext=ANYWHERE, default=ANYWHERE)

    assert routed(sent, "claude-x", messages=[{"role": "user", "content": images}])[2] == "longContext"


def test_nothing_is_estimated_where_it_cannot_matter(monkeypatch: pytest.MonkeyPatch):
    """Opening a conversation costs more than all other rules together."""
    monkeypatch.setattr(routing, "input_tokens", lambda _: pytest.fail("estimated"))
    short = router(*BOTH, longContext=ANYWHERE, default=ANYWHERE)
    without = router(*BOTH, default=ANYWHERE)

    assert routed(short, "claude-x", messages=said("x" * 38_000))[2] == "default"
    assert routed(without, "claude-x", messages=said("x" * 1_000_000))[2] == "default"


JSON_BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=30)),
    st.just({"type": "image", "source": {"type": "url", "url": "u"}}),
    st.just({"type": "document", "source": {"type": "file", "file_id": "f"}}),
    st.just({"type": "document", "source": {"type": "base64", "media_type": "m", "data": "A" * 9_000}}),
    st.builds(
        lambda text: {"type": "tool_result", "tool_use_id": "t", "content": text}, st.text(max_size=30) | st.none()
    ),
    st.just({"type": "tool_use", "id": "t", "name": "n", "input": {}}),
)


@given(
    turns=st.lists(st.lists(JSON_BLOCKS, max_size=4), max_size=4),
    tools=st.lists(st.sampled_from([{}, {"name": "n", "description": "d", "input_schema": {}}]), max_size=4),
    system=st.text(max_size=30),
)
def test_no_estimate_is_above_the_quick_bound(turns: list[Any], tools: list[Any], system: str):
    """Else a long request would be missed."""
    messages = [{"role": "user", "content": blocks} for blocks in turns]
    asked = head("m", messages=messages, tools=tools, system=system)

    assert routing._may_exceed(asked.fields, input_tokens(asked) - 1)


def test_a_request_that_the_types_do_not_fit_is_estimated_as_text():
    """A relay passes what is newer than these types."""
    text = "long " * 100

    assert input_tokens(head("m", messages=text)) == pytest.approx(
        input_tokens(head("m", messages=said(text))), abs=10
    )


def test_the_estimate_is_about_the_prompt_alone():
    """What a typed request needs otherwise is not asked for: a count of tokens has no max_tokens."""
    asked = head("m", messages=said("x" * 360), temperature="wrong")

    assert input_tokens(asked) == input_tokens(head("m", messages=said("x" * 360)))


@pytest.mark.parametrize(
    "model", ["claude-3-5-haiku-latest", "claude-haiku-4-5", "us.anthropic.Claude-3-Haiku-v1"]
)
def test_every_claude_haiku_is_background(model: str):
    """The ancestor knew one generation."""
    sent = router(*BOTH, background=RouteConfig("openai", "small"), default=ANYWHERE)

    assert routed(sent, model) == ("openai", "small", "background")


@pytest.mark.parametrize("model", ["haiku-writer", "claude-opus-5"])
def test_others_are_not_background(model: str):
    """A haiku is also a poem."""
    assert routed(router(*BOTH, background=RouteConfig("openai"), default=ANYWHERE), model)[2] == "default"


@pytest.mark.parametrize(
    "thinking",
    [
        True,
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "adaptive"},
        {"type": "between_tools"},
    ],
)
def test_thinking_has_a_route(thinking: Any):
    """In every form a client can ask for it."""
    sent = router(*BOTH, think=RouteConfig("openai", "o3"), default=ANYWHERE)

    assert routed(sent, "claude-x", thinking=thinking) == ("openai", "o3", "think")


@pytest.mark.parametrize("thinking", [False, None, {"type": "disabled"}, {"type": "new"}, {}, "enabled", 1, []])
def test_what_is_not_thinking_is_not_routed_so(thinking: Any):
    """Also what no provider will understand."""
    sent = router(*BOTH, think=RouteConfig("openai", "o3"), default=ANYWHERE)

    assert routed(sent, "claude-x", thinking=thinking)[2] == "default"


def test_thinking_that_is_not_utf8_is_nobodys():
    """Whoever takes the request will say what is wrong."""
    sent = router(*BOTH, think=RouteConfig("openai", "o3"), default=ANYWHERE)
    asked = decode_head(b'{"model":"m","thinking":{"type":"\xff"}}')

    assert sent.route(asked)[0].route == "default"


def test_conditions_have_an_order():
    """Length, then background, then thinking: what cannot be served elsewhere comes first."""
    names = ["longContext", "background", "think", "default"]
    routes = {name: RouteConfig("openai", name) for name in names}
    asked = {"thinking": True, "messages": said("long " * 80_000)}
    taken = []
    for name in names:
        taken.append(routed(router(*BOTH, **routes), "claude-haiku-4-5", **asked)[2])
        del routes[name]

    assert taken == names


# Models that a provider lists.


def test_a_model_that_one_provider_names_goes_there():
    """Just before `default`."""
    providers = (ProviderConfig("anthropic"), ProviderConfig("openai", models=["gpt-5", "claude-like"]))
    sent = router(*providers, default=ANYWHERE)

    assert routed(sent, "gpt-5") == ("openai", "gpt-5", "listed")
    assert routed(sent, "claude-like") == ("openai", "claude-like", "listed")
    assert routed(sent, "gpt-4")[2] == "default"


def test_a_condition_is_over_a_listed_model():
    """The operator wrote the route; the list says only what is there."""
    providers = (ProviderConfig("anthropic", models=["m"]), ProviderConfig("openai"))

    assert routed(router(*providers, think=RouteConfig("openai", "o3")), "m", thinking=True)[2] == "think"


def test_a_model_that_two_providers_name_is_not_decided_by_that():
    """Chance must not choose."""
    providers = (
        ProviderConfig("a", type="openai", models=["m"]),
        ProviderConfig("b", type="openai", models=["m"]),
    )
    sent = router(*providers, listed_by=lambda _: ["a"], default=RouteConfig("b"))

    assert routed(sent, "m") == ("b", "m", "default")


def listings(**lists: list[str]) -> routing.ListedBy:
    """What is known of live lists."""
    return lambda model: [name for name, models in lists.items() if model in models]


def test_a_model_that_one_provider_is_known_to_list_goes_there():
    """What `/v1/models` shows can be asked for by its own name."""
    sent = router(*BOTH, listed_by=listings(openai=["gpt-5"]), default=ANYWHERE)

    assert routed(sent, "gpt-5") == ("openai", "gpt-5", "listed")
    assert routed(sent, "gpt-4")[2] == "default"


@pytest.mark.parametrize(
    "known",
    [
        listings(openai=["gpt-5"], anthropic=["gpt-5"]),
        listings(gone=["gpt-5"]),
        listings(limited=["gpt-5"]),
    ],
    ids=["two", "not in use", "not among those that the operator names"],
)
def test_what_is_known_decides_only_without_doubt(known: routing.ListedBy):
    """The operator's words are over a provider's."""
    limited = ProviderConfig("limited", type="openai", models=["gpt-4"])

    assert routed(router(*BOTH, limited, listed_by=known, default=ANYWHERE), "gpt-5")[2] == "default"


def test_a_claude_model_does_not_move_when_a_list_becomes_known():
    """The operator gave Claude's names to another provider; a list that was fetched since must not take them."""
    sent = router(*BOTH, listed_by=listings(anthropic=["claude-x"]), default=RouteConfig("openai", "gpt-5"))

    assert routed(sent, "claude-x") == ("openai", "gpt-5", "default")


# Without a default route.


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
    assert routed(router(*BOTH), model) == (provider, model, "automatic")


def test_alone_anthropic_takes_any_name():
    """An Anthropic-compatible server has models of its own."""
    assert routed(router(ProviderConfig("local", type="anthropic")), "kimi-k2")[0] == "local"


def test_a_list_of_models_is_taken_at_its_word():
    """The operator says what the provider has."""
    listed = router(ProviderConfig("openai", models=["gpt-5"]), ProviderConfig("other", type="openai"))

    assert [routed(listed, model)[0] for model in ("gpt-5", "o3")] == ["openai", "other"]


def test_a_claude_model_goes_to_the_first_anthropic_provider_that_can_have_it():
    """Two accounts may have different models."""
    providers = (ProviderConfig("a", type="anthropic", models=["claude-y"]), ProviderConfig("anthropic"))

    assert routed(router(*providers), "claude-x")[0] == "anthropic"


def test_claude_names_go_to_a_foreign_providers_default_model():
    """A key of OpenAI alone serves Claude Code."""
    assert routed(router(ProviderConfig("openai")), "claude-x") == ("openai", "gpt-5.4", "automatic")


def test_the_first_foreign_provider_with_a_default_model_stands_in():
    """The operator's order is the rank."""
    providers = (
        LOCAL,
        ProviderConfig("b", type="openai", api_base_url=LOCAL_URL, default_model="llama3"),
        ProviderConfig("openai"),
    )

    assert routed(router(*providers), "claude-x")[:2] == ("b", "llama3")


def test_a_claude_model_elsewhere_is_not_replaced():
    """OpenRouter has it, under a name of its own."""
    assert routed(router(ProviderConfig("openai")), "anthropic/claude-x")[1] == "anthropic/claude-x"


def test_a_server_on_anthropics_wire_may_have_other_models():
    """DeepSeek's, for one; its default model says so."""
    deepseek = ProviderConfig("deepseek", type="anthropic", default_model="deepseek-flash")

    assert routed(router(deepseek), "claude-x")[:2] == ("deepseek", "deepseek-flash")
    assert routed(router(deepseek, ProviderConfig("anthropic")), "claude-x")[:2] == ("anthropic", "claude-x")
    assert routed(router(deepseek, ProviderConfig("anthropic")), "deepseek-pro")[:2] == (
        "deepseek",
        "deepseek-pro",
    )


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        (ProviderConfig("openai"), "gpt-5.4"),
        (ProviderConfig("openai", api_base_url=LOCAL_URL), "gpt-5.4"),
        (ProviderConfig("mine", type="openai"), "gpt-5.4"),
        (ProviderConfig("mine", type="openai", api_base_url="https://api.openai.com/v1"), "gpt-5.4"),
        (ProviderConfig("openai", default_model="gpt-4o"), "gpt-4o"),
        (ProviderConfig("openai", models=["gpt-5.4", "o3"]), "gpt-5.4"),
        (ProviderConfig("openai", models=["o3"]), ""),
        (LOCAL, ""),
        (ProviderConfig("unheard-of"), ""),
        (ProviderConfig("anthropic"), ""),
    ],
)
def test_a_types_default_model_is_for_the_types_own_service(provider: ProviderConfig, model: str):
    """Another server that speaks its wire has models of its own."""
    assert default_model(provider) == model


def test_a_name_that_several_could_have_is_not_found():
    """Chance must not choose; the message says how the caller can."""
    error = refused(router(ProviderConfig("a", type="openai"), ProviderConfig("b", type="openai")), "m")

    assert error.reason is Reason.NOT_FOUND
    assert error.message == (
        "model: m could be a model of a or b: write a,m. Or add one to the configuration: "
        '"routes": {"default": {"provider": "a", "model": "gpt-5.4"}} (`routes.default`)'
    )


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        (LOCAL, "…"),
        (ProviderConfig("local", type="openai", api_base_url=LOCAL_URL, models=["llama3"]), "llama3"),
    ],
)
def test_what_nothing_takes_is_not_found_with_the_remedy(provider: ProviderConfig, model: str):
    """The message is the only documentation that is read at that moment."""
    error = refused(router(provider), "claude-x")
    remedy = f'"routes": {{"default": {{"provider": "local", "model": "{model}"}}}} (`routes.default`)'

    assert error.reason is Reason.NOT_FOUND
    assert error.message == f"model: no route takes claude-x. Add one to the configuration: {remedy}"


def test_without_any_provider_the_remedy_is_a_key():
    """A route would not help."""
    error = refused(router(), "claude-x")

    assert error.reason is Reason.NOT_FOUND
    assert "ANTHROPIC_API_KEY or OPENAI_API_KEY" in error.message


# Fallbacks.


def test_fallbacks_follow_the_choice():
    """With the route's name and parameters; without a model of their own they keep the caller's."""
    fallbacks = [FallbackConfig("anthropic"), FallbackConfig("openai", "gpt-4o")]
    targets = router(*BOTH, default=RouteConfig("openai", "gpt-5", {"top_k": 1}, fallbacks)).route(
        head("claude-x")
    )

    assert [(t.provider, t.model, t.route, t.parameters) for t in targets] == [
        ("openai", "gpt-5", "default", {"top_k": 1}),
        ("anthropic", "claude-x", "default", {"top_k": 1}),
        ("openai", "gpt-4o", "default", {"top_k": 1}),
    ]


def test_a_target_that_is_not_in_use_is_passed_over():
    """The next one is what the operator wanted then."""
    sent = router(
        ProviderConfig("anthropic"), default=RouteConfig("openai", "m", {}, [FallbackConfig("anthropic")])
    )

    assert routed(sent, "claude-x") == ("anthropic", "claude-x", "default")


def test_a_route_without_any_target_in_use_is_none():
    """The next rule takes the request."""
    sent = router(ProviderConfig("anthropic"), m=RouteConfig("openai"), think=RouteConfig("openai"))

    assert routed(sent, "m", thinking=True)[2] == "automatic"


PROVIDERS = st.builds(
    ProviderConfig,
    name=st.sampled_from(["anthropic", "openai", "other"]),
    type=st.sampled_from(["anthropic", "openai"]),
    models=st.lists(st.sampled_from(["claude-x", "gpt-5", "m"]), max_size=2),
    default_model=st.sampled_from(["", "m"]),
    enabled=st.booleans(),
)
ROUTES = st.builds(
    RouteConfig,
    provider=st.sampled_from(["anthropic", "openai", "other"]),
    model=st.sampled_from(["", "m"]),
    fallbacks=st.lists(st.builds(FallbackConfig, provider=st.sampled_from(["anthropic", "other"])), max_size=1),
)
NAMES = ["claude-x", "claude-haiku-4-5", "gpt-5", "m", "openai,m", "other/m", "default", "x,y", "a/b"]
SETTINGS = st.builds(
    Config,
    providers=st.lists(PROVIDERS, max_size=3, unique_by=lambda provider: provider.name),
    routes=st.dictionaries(
        st.sampled_from(["default", "longContext", "background", "think", *NAMES]), ROUTES, max_size=4
    ),
    long_context_threshold=st.sampled_from([1, 60_000]),
)


@given(config=SETTINGS, model=st.sampled_from(NAMES), thinking=st.booleans(), known=st.sampled_from(["", "other"]))
def test_a_target_is_always_a_provider_in_use(config: Config, model: str, thinking: bool, known: str):  # noqa: FBT001
    """Whatever is configured: a target, or NOT_FOUND."""
    sent = Router(config, lambda _: [known] if known else [])
    with suppress(ApiError):
        targets = sent.route(head(model, thinking=thinking, messages=said("hello")))

        assert {target.provider for target in targets} <= {provider.name for provider in config.active}
        assert all(target.model and target.route and target.reason for target in targets)


@given(config=SETTINGS, model=st.sampled_from(NAMES))
def test_a_listed_name_always_leads_back(config: Config, model: str):
    """What /v1/models shows is what a caller can write."""
    sent = Router(config)
    for provider in config.active:
        assert routed(sent, sent.name_for(provider.name, model))[:2] == (provider.name, model)


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("anthropic", "claude-x", "claude-x"),
        ("openai", "gpt-5", "gpt-5"),
        ("anthropic", "gpt-5", "anthropic,gpt-5"),
        ("openai", "claude-x", "openai,claude-x"),
        ("anthropic", "openai,x", "anthropic,openai,x"),
        ("anthropic", "openai/x", "anthropic,openai/x"),
    ],
)
def test_a_listed_name_is_as_short_as_it_can_be(provider: str, model: str, name: str):
    """The provider is named only where the model alone would lead elsewhere."""
    assert router(*BOTH).name_for(provider, model) == name


def test_a_listed_name_does_not_depend_on_what_was_learned():
    """It must hold after a restart, when nothing is known yet."""
    sent = router(*BOTH, listed_by=listings(openai=["gpt-5"]), default=ANYWHERE)

    assert sent.name_for("openai", "gpt-5") == "openai,gpt-5"


@given(config=SETTINGS, known=st.lists(st.sampled_from(["anthropic", "openai", "other"]), unique=True))
def test_what_was_learned_never_leads_a_listed_name_elsewhere(config: Config, known: list[str]):
    """A provider's own list is where the name was read."""
    sent = Router(config, lambda model: known if model == "m" else [])
    for provider in config.active:
        if provider.name in known:
            assert routed(sent, sent.name_for(provider.name, "m"))[:2] == (provider.name, "m")


def test_a_name_that_nothing_takes_is_listed_with_its_provider():
    """Else the list would show a model that is then not found."""
    assert router(LOCAL).name_for("local", "claude-x") == "local,claude-x"


def test_configured_models_can_be_listed():
    """For a provider that cannot be asked."""
    named = router(ProviderConfig("openai", models=["gpt-5"])).named_models("openai")

    assert named == [Model(id="gpt-5", display_name="gpt-5")]


# The table.


def test_the_table_shows_every_rule_in_order():
    """What an operator reads at the start."""
    routes = {
        "default": RouteConfig("anthropic"),
        "think": RouteConfig("openai", "o3"),
        "claude-x": RouteConfig("openai", "gpt-5", {"temperature": 0}, [FallbackConfig("anthropic")]),
        "longContext": RouteConfig("openai", "big"),
        "background": RouteConfig("openai", "small"),
    }
    providers = (ProviderConfig("anthropic"), ProviderConfig("openai", models=["gpt-5", "o3"]))

    assert router(*providers, **routes).table() == [
        Line("provider,model", "the model is provider,model (of anthropic, openai)", "that provider"),
        Line("claude-x", "the model is claude-x", "openai,gpt-5", {"temperature": 0}, ("anthropic",)),
        Line("longContext", "more than 60,000 input tokens, estimated", "openai,big"),
        Line("background", "a Claude Haiku", "openai,small"),
        Line("think", "thinking is on", "openai,o3"),
        Line("listed", "the model is gpt-5, o3", "openai"),
        Line("default", "any other model", "anthropic"),
    ]


@pytest.mark.parametrize(
    ("providers", "expected"),
    [
        (BOTH, [("a Claude model", "anthropic"), ("any other model", "openai")]),
        ((ProviderConfig("openai"),), [("a Claude model", "openai,gpt-5.4"), ("any other model", "openai")]),
        ((LOCAL,), [("any other model", "local")]),
        ((), []),
    ],
)
def test_the_table_shows_what_happens_without_a_default_route(
    providers: tuple[ProviderConfig, ...], expected: list[tuple[str, str]]
):
    """Where nothing is configured, something still happens."""
    lines = router(*providers).table()[1:]

    assert [(line.condition, line.target) for line in lines] == [
        (f"no default route: {condition}", target) for condition, target in expected
    ]
