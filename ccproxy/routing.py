"""Where a request goes. Pure: the request, the configuration and what is known of models decide, nothing else.

The order, first match wins; `docs/routing.md` tells it to operators:

    provider,model   the caller's own choice; also provider/model and claude-via-provider/model. An unknown pair is
                     never another's to answer
    <a name>         a route with exactly the model's name
    longContext      more input than long_context_threshold, estimated offline
    background       a Claude Haiku: what Claude Code asks for titles and summaries
    think            thinking is on
    listed           the one provider that lists the model
    default          everything else; without that route what a provider can take by itself (`automatic`)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ccproxy.call import Target
from ccproxy.config import PROVIDER_TYPES, Config, ProviderConfig, RouteConfig
from ccproxy.documents import Head, decode_request, replace_members
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Model
from ccproxy.tokens import estimate, estimate_text, most_tokens

CHOSEN_BY_CALLER = "provider,model"
LONG_CONTEXT = "longContext"
BACKGROUND = "background"
THINK = "think"
LISTED = "listed"
DEFAULT_ROUTE = "default"
AUTOMATIC = "automatic"

ALIAS = "claude-via-"
"""Begins a pair for Claude Code's menu, which leaves out what says neither `claude` nor `anthropic`."""

SPECIAL_ROUTES = frozenset({LONG_CONTEXT, BACKGROUND, THINK, DEFAULT_ROUTE})
"""Routes with a condition of their own. A model that happens to be called so does not take them by its name."""

FIXED_MEMBERS = frozenset({"model", "messages", "stream"})
"""What a route's parameters cannot set: its target, the conversation, and how the caller reads the answer."""

THINKING_TYPES = frozenset({"enabled", "adaptive", "between_tools"})

_PROMPT: Sequence[str] = ("messages", "system", "tools")

ListedBy = Callable[[str], Sequence[str]]
"""The providers that are known to list a model. It answers at once, from memory."""


class Line(Struct, frozen=True):
    """One rule as a person reads it. `target` is `provider,model`, or `provider` where the name stays."""

    rule: str
    condition: str
    target: str
    parameters: Mapping[str, Any] = {}
    fallbacks: tuple[str, ...] = ()


class Router:
    """The operator's routes.

    Args:
        config: The configuration.
        listed_by: Which providers list a model, as far as that is known.
    """

    def __init__(self, config: Config, listed_by: ListedBy | None = None) -> None:
        self._providers = {provider.name: provider for provider in config.active}
        self._routes = {name: route for name, route in config.routes.items() if self._places(route)}
        self._parameters = {
            name: {k: v for k, v in route.parameters.items() if k not in FIXED_MEMBERS}
            for name, route in self._routes.items()
        }
        self._named = _by_model(self._providers)
        self._threshold = config.long_context_threshold
        self._listed_by = listed_by

    def route(self, head: Head) -> list[Target]:
        """Where the request may go, the choice first, its fallbacks after it.

        Raises:
            ApiError: NOT_FOUND, where nothing takes the model; it names the remedy.
        """
        return self._route(head, self._listed_by)

    def _route(self, head: Head, listed_by: ListedBy | None) -> list[Target]:
        return (
            self._chosen(head.model)
            or self._exact(head.model)
            or self._special(head)
            or self._listed(head.model, listed_by)
            or self._default(head.model)
        )

    def name_for(self, provider: str, model: str) -> str:
        """What a caller writes as `model` to reach `model` of `provider`.

        What was learned plays no part: a name that was read once must hold after a restart, and at a replica.
        """
        try:
            target = self._route(Head(model, stream=False, fields={}), None)[0]
        except ApiError:
            return f"{provider},{model}"
        return model if (target.provider, target.model) == (provider, model) else f"{provider},{model}"

    def menu_name_for(self, provider: str, model: str) -> str:
        """The same for Claude Code's menu: a name that it shows."""
        name = self.name_for(provider, model)
        return name if _is_shown_in_menu(name) else f"{ALIAS}{provider}/{model}"

    def called(self, name: str) -> Target | None:
        """What a name alone stands for; None where it is just one of all those that nobody else takes."""
        try:
            target = self.route(Head(name, stream=False, fields={}))[0]
        except ApiError:
            return None
        is_substitute = target.route in {DEFAULT_ROUTE, AUTOMATIC} and target.model != name
        return None if is_substitute else target

    def named_models(self, provider: str) -> list[Model]:
        """The models that the configuration names for a provider."""
        return [Model(id=name, display_name=name) for name in self._providers[provider].models]

    def models(self) -> list[tuple[str, str]]:
        """Every provider and model that the configuration names together."""
        listed = [(provider.name, model) for provider in self._providers.values() for model in provider.models]
        routed = [(route.provider, route.model) for route in self._routes.values()]
        fallbacks = [(each.provider, each.model) for route in self._routes.values() for each in route.fallbacks]
        return [(provider, model) for provider, model in listed + routed + fallbacks if model]

    def table(self) -> list[Line]:
        """Every rule that can match, in their order."""
        names = ", ".join(self._providers) or "none"
        lines = [Line(CHOSEN_BY_CALLER, f"the model is provider,model (of {names})", "that provider")]
        exact = [name for name in self._routes if name not in SPECIAL_ROUTES]
        lines += [self._line(name, f"the model is {name}") for name in exact]
        conditions = {
            LONG_CONTEXT: f"more than {self._threshold:,} input tokens, estimated",
            BACKGROUND: "a Claude Haiku",
            THINK: "thinking is on",
        }
        lines += [self._line(name, what) for name, what in conditions.items() if name in self._routes]
        lines += [
            Line(LISTED, f"the model is {', '.join(provider.models)}", provider.name)
            for provider in self._providers.values()
            if provider.models
        ]
        if DEFAULT_ROUTE in self._routes:
            return [*lines, self._line(DEFAULT_ROUTE, "any other model")]
        return lines + self._automatic_lines()

    def _chosen(self, name: str) -> list[Target]:
        pairs = [name.partition(",")]
        if name.startswith(ALIAS):
            pairs.append(name.removeprefix(ALIAS).partition("/"))
        if name not in self._routes:  # names with a slash are common, and may be a route's
            pairs.append(name.partition("/"))
        for provider, _, model in pairs:
            if model and provider in self._providers:
                why = f"the request asks for the provider {provider} by name"
                return [Target(provider, model, CHOSEN_BY_CALLER, reason=why)]
        return []

    def _exact(self, name: str) -> list[Target]:
        if name in self._routes and name not in SPECIAL_ROUTES:
            return self._along(name, name, "there is a route with exactly the model's name")
        if "," in name or (name.startswith(ALIAS) and "/" in name):
            # Another provider's answer would pass for the one that was asked for.
            known = ", ".join(self._providers) or "none"
            raise ApiError(
                Reason.NOT_FOUND,
                f"model: {name} does not name a provider and its model; the providers are: {known}",
            )
        return []

    def _special(self, head: Head) -> list[Target]:
        if LONG_CONTEXT in self._routes and _may_exceed(head.fields, self._threshold):
            tokens = input_tokens(head)
            if tokens > self._threshold:
                why = f"the estimated {tokens:,} tokens are above long_context_threshold {self._threshold:,}"
                return self._along(LONG_CONTEXT, head.model, why)
        if BACKGROUND in self._routes and _is_haiku(head.model):
            return self._along(BACKGROUND, head.model, "the model is a Claude Haiku")
        if THINK in self._routes and (mode := _thinking(head.fields)):
            return self._along(THINK, head.model, f"thinking is on ({mode})")
        return []

    def _listed(self, model: str, listed_by: ListedBy | None) -> list[Target]:
        named = self._named.get(model, ())
        if len(named) == 1:
            why = f"{named[0]} is the one provider whose models name it"
            return [Target(named[0], model, LISTED, reason=why)]
        # Learned lists come and go; where a Claude model goes must not change with them.
        if named or listed_by is None or _is_claude(model):
            return []
        learned = [name for name in listed_by(model) if name in self._providers]
        if len(learned) == 1 and _may_have(self._providers[learned[0]], model):
            why = f"{learned[0]} is the one provider known to list it"
            return [Target(learned[0], model, LISTED, reason=why)]
        return []

    def _default(self, model: str) -> list[Target]:
        if DEFAULT_ROUTE in self._routes:
            return self._along(DEFAULT_ROUTE, model, "no other rule takes the request")
        found = self._automatic(model)
        if isinstance(found, Target):
            return [found]
        raise ApiError(Reason.NOT_FOUND, f"model: {self._remedy(model, found)}")

    def _automatic(self, model: str) -> Target | list[str]:
        """What takes a model without any route; else the providers that could, which are none or too many."""
        providers = self._providers.values()
        own = [each for each in providers if not _is_foreign(each)]
        foreign = [each for each in providers if _is_foreign(each)]
        if _is_claude(model):
            for provider in own:
                if _may_have(provider, model):
                    why = f"there is no default route, and {provider.name} has Claude models"
                    return Target(provider.name, model, AUTOMATIC, reason=why)
        if _begins_as_claude(model):
            for provider in foreign:
                if substitute := default_model(provider):
                    why = f"there is no default route, and {provider.name} has {substitute} for Claude's names"
                    return Target(provider.name, substitute, AUTOMATIC, reason=why)
            return []
        able = [each.name for each in foreign or own if _may_have(each, model)]
        if len(able) != 1:
            return able
        why = f"there is no default route, and {able[0]} is the one provider that can have it"
        return Target(able[0], model, AUTOMATIC, reason=why)

    def _remedy(self, model: str, able: list[str]) -> str:
        if not self._providers:
            return (
                f"{model} cannot be served: no provider is configured. "
                "Set ANTHROPIC_API_KEY or OPENAI_API_KEY (or another provider's key), or add one to `providers`."
            )
        provider = self._providers[able[0]] if able else next(iter(self._providers.values()))
        target = default_model(provider) or next(iter(provider.models), "…")
        several = f"{model} could be a model of {' or '.join(able)}: write {able[0]},{model}. Or " if able else ""
        return (
            f"{several or f'no route takes {model}. '}{'add' if several else 'Add'} one to the configuration: "
            f'"routes": {{"default": {{"provider": "{provider.name}", "model": "{target}"}}}} (`routes.default`)'
        )

    def _places(self, route: RouteConfig) -> list[tuple[str, str]]:
        """The route's target and its fallbacks, without those that are not in use; model is empty for its own."""
        every = [(route.provider, route.model), *((each.provider, each.model) for each in route.fallbacks)]
        return [(provider, model) for provider, model in every if provider in self._providers]

    def _along(self, name: str, model: str, reason: str) -> list[Target]:
        """The targets of a route for a request that asks for `model`."""
        route, parameters = self._routes[name], self._parameters[name]
        return [
            Target(provider, at or _own_name(self._providers[provider], model), name, parameters, reason)
            for provider, at in self._places(route)
        ]

    def _line(self, name: str, condition: str) -> Line:
        route = self._routes[name]
        places = self._places(route)
        target, *fallbacks = [f"{provider},{model}" if model else provider for provider, model in places]
        return Line(name, condition, target, route.parameters, tuple(fallbacks))

    def _automatic_lines(self) -> list[Line]:
        lines = []
        for condition, example in (("a Claude model", "claude-…"), ("any other model", "…")):
            found = self._automatic(example)
            if isinstance(found, Target):
                target = found.provider if found.model == example else f"{found.provider},{found.model}"
                lines.append(Line(AUTOMATIC, f"no default route: {condition}", target))
        return lines


def _by_model(providers: Mapping[str, ProviderConfig]) -> dict[str, list[str]]:
    """The providers whose models in the configuration name a model."""
    named: dict[str, list[str]] = {}
    for name, provider in providers.items():
        for model in dict.fromkeys(provider.models):
            named.setdefault(model, []).append(name)
    return named


def default_model(provider: ProviderConfig) -> str:
    """The model for names that are not a provider's own, empty where there is none.

    The type's default is for the type's own service: another server that speaks its wire has models of its own.
    """
    if provider.default_model:
        return provider.default_model
    known = PROVIDER_TYPES.get(provider.kind)
    if known is None or (provider.name != provider.kind and provider.api_base_url not in {"", known.url}):
        return ""
    return known.default_model if _may_have(provider, known.default_model) else ""


def input_tokens(head: Head) -> int:
    """The estimated input tokens of a request. One that the types do not fit is estimated as text."""
    read: dict[str, Raw] = {name: head.fields[name] for name in _PROMPT if name in head.fields}
    try:
        return estimate(decode_request(replace_members(read, {"model": "", "max_tokens": 1})))
    except ApiError:
        return estimate_text(b" ".join(map(bytes, read.values())))


def _may_exceed(fields: Mapping[str, Raw], threshold: int) -> bool:
    """Whether an estimate is worth its time: it opens the whole conversation."""
    return most_tokens([bytes(fields[name]) for name in _PROMPT if name in fields]) > threshold


class _Thinking(Struct, frozen=True):
    type: str


def _thinking(fields: Mapping[str, Raw]) -> str:
    """How thinking is on; empty where it is not."""
    try:
        thinking = msgspec.json.decode(fields.get("thinking", b"null"), type=_Thinking | bool | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""  # whoever takes the request will say what is wrong
    if isinstance(thinking, _Thinking):
        return thinking.type if thinking.type in THINKING_TYPES else ""
    return "true" if thinking else ""


def _is_claude(model: str) -> bool:
    return "claude" in model.lower()


def _is_shown_in_menu(name: str) -> bool:
    """Source: https://code.claude.com/docs/en/llm-gateway-protocol (model discovery)."""
    return _is_claude(name) or "anthropic" in name.lower()


def _begins_as_claude(model: str) -> bool:
    """Whether it is Anthropic's own name of a Claude model: what its clients ask for by themselves."""
    return model.lower().startswith("claude")


def _is_haiku(model: str) -> bool:
    return _is_claude(model) and "haiku" in model.lower()


def _is_foreign(provider: ProviderConfig) -> bool:
    """Whether its models are no Claude models. A server may speak Anthropic's wire and have others."""
    return provider.kind != "anthropic" or not _is_claude(provider.default_model or "claude")


def _may_have(provider: ProviderConfig, model: str) -> bool:
    """Whether a provider can have a model: a list of models in the configuration is taken at its word."""
    return not provider.models or model in provider.models


def _own_name(provider: ProviderConfig, model: str) -> str:
    """The model that `provider` is asked for where nobody names one there."""
    if _begins_as_claude(model) and _is_foreign(provider) and model not in provider.models:
        return default_model(provider) or model
    return model
