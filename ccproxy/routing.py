"""Where a request goes. Pure: the request's model name and the configuration decide, nothing else.

The order: `provider,model` as the caller's own choice (an unknown provider is an error, not another's answer);
a route with exactly the model's name; the route `default`; without that, the one provider that can take
the name as it is.
"""

from ccproxy.call import Target
from ccproxy.config import Config, ProviderConfig, RouteConfig
from ccproxy.documents import Head
from ccproxy.errors import ApiError, Reason
from ccproxy.provider import Model

DEFAULT_ROUTE = "default"
CHOSEN_BY_CALLER = "provider,model"


class Router:
    """The operator's routes."""

    def __init__(self, config: Config) -> None:
        self._providers = {provider.name: provider for provider in config.active}
        self._routes = dict(config.routes)

    def route(self, head: Head) -> list[Target]:
        """Where the request may go, the choice first, its fallbacks after it.

        Raises:
            ApiError: NOT_FOUND, where nothing takes the model; it names the remedy.
        """
        provider, comma, model = head.model.partition(",")
        if comma and model and provider in self._providers:
            return [Target(provider, model, CHOSEN_BY_CALLER)]
        if head.model in self._routes:
            return [_target(head.model, self._routes[head.model], head.model)]
        if comma:  # another provider's answer would pass for the one that was asked for
            known = ", ".join(self._providers) or "none"
            raise ApiError(
                Reason.NOT_FOUND,
                f"model: {head.model} does not name a provider and its model; the providers are: {known}",
            )
        if DEFAULT_ROUTE in self._routes:
            return [_target(DEFAULT_ROUTE, self._routes[DEFAULT_ROUTE], head.model)]
        return [self._without_routes(head.model)]

    def name_for(self, provider: str, model: str) -> str:
        """What a caller writes as `model` to reach `model` of `provider`."""
        target = self._natural(model)
        natural = target is not None and (target.provider, target.model) == (provider, model)
        return model if natural else f"{provider},{model}"

    def named_models(self, provider: str) -> list[Model]:
        """The models that the configuration names for a provider."""
        return [Model(id=name, display_name=name) for name in self._providers[provider].models]

    def _natural(self, model: str) -> Target | None:
        try:
            return self.route(Head(model, stream=False, fields={}))[0]
        except ApiError:
            return None

    def _without_routes(self, model: str) -> Target:
        for provider in self._providers.values():
            if _takes(provider, model, alone=len(self._providers) == 1):
                return Target(provider.name, model, DEFAULT_ROUTE)
        if not self._providers:
            raise ApiError(
                Reason.NOT_FOUND,
                f"model: {model} cannot be served: no provider is configured. "
                "Set ANTHROPIC_API_KEY or OPENAI_API_KEY, or add one to `providers`.",
            )
        name = next(iter(self._providers))
        raise ApiError(
            Reason.NOT_FOUND,
            f"model: no route takes {model}. Add one to the configuration: "
            f'"routes": {{"default": {{"provider": "{name}", "model": "…"}}}} (`routes.default`)',
        )


def _takes(provider: ProviderConfig, model: str, *, alone: bool) -> bool:
    """Whether a provider takes a model's name as it is.

    Without a list of its models, Anthropic takes every Claude (and any name where nobody else could), the
    others take what is no Claude.
    """
    if provider.models:
        return model in provider.models
    if (provider.type or provider.name) == "anthropic":
        return alone or "claude" in model
    return "claude" not in model


def _target(name: str, route: RouteConfig, model: str) -> Target:
    return Target(route.provider, route.model or model, name, route.parameters)
