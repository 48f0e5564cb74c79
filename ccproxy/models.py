"""The models of every provider, as `/v1/models` shows them.

Each id is what a caller writes as `model`: a provider's own name where routing sends that name to it, else
`provider,name`. Claude Code waits three seconds for the list, so answers are kept for a while, and a provider
that does not answer in time is left out. The models that the configuration names are shown in any case.
"""

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus

import msgspec
from msgspec import structs

from ccproxy.documents import invalid
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.provider import Model
from ccproxy.routing import Router
from ccproxy.upstream import Upstream

ASK_SECONDS = 2.5  # below Claude Code's three
KEEP_SECONDS = 300.0
KEEP_FAILURE_SECONDS = 10.0
DEFAULT_LIMIT = 20
MAX_LIMIT = 1000


class Listings:
    """Which provider was last heard to list what. Routing asks it, and never waits for it."""

    def __init__(self) -> None:
        self._ids: dict[str, frozenset[str]] = {}

    def heard(self, provider: str, models: Iterable[Model]) -> None:
        """Takes note of a provider's list."""
        self._ids[provider] = frozenset(model.id for model in models)

    def providers_of(self, model: str) -> list[str]:
        """The providers that list a model."""
        return [provider for provider, ids in self._ids.items() if model in ids]


class Catalogue:
    """The merged list, kept for a while; what is heard on the way is told to `listings`."""

    def __init__(
        self, router: Router, upstreams: Mapping[str, Upstream], listings: Listings | None = None
    ) -> None:
        self._router = router
        self._upstreams = upstreams
        self._listings = listings or Listings()
        self._kept: dict[str, tuple[float, list[Model]]] = {}

    async def page(self, after_id: str | None, before_id: str | None, limit: int | None) -> bytes:
        """One page, as Anthropic's JSON.

        Raises:
            ApiError: INVALID_REQUEST, for a limit out of range, both cursors, or one that names no model.
        """
        limit = DEFAULT_LIMIT if limit is None else limit
        if not 1 <= limit <= MAX_LIMIT:
            raise invalid(f"limit: expected 1 to {MAX_LIMIT}")
        if after_id is not None and before_id is not None:
            raise invalid("after_id: cannot be combined with before_id")
        models = await self._all()
        if before_id is not None:
            end = _position(models, before_id, "before_id")
            start = max(0, end - limit)
            has_more = start > 0
        else:
            start = 0 if after_id is None else _position(models, after_id, "after_id") + 1
            end = start + limit
            has_more = end < len(models)
        shown = models[start:end]
        return msgspec.json.encode(
            {
                "data": shown,
                "has_more": has_more,
                "first_id": shown[0].id if shown else None,
                "last_id": shown[-1].id if shown else None,
            }
        )

    async def get(self, model_id: str) -> bytes:
        """One model, as Anthropic's JSON.

        Raises:
            ApiError: NOT_FOUND.
        """
        for model in await self._all():
            if model.id == model_id:
                return msgspec.json.encode(model)
        raise ApiError(Reason.NOT_FOUND, f"model: {model_id}")

    async def _all(self) -> list[Model]:
        lists = await asyncio.gather(*(self._of(name) for name in self._upstreams))
        return [
            structs.replace(model, id=self._router.name_for(name, model.id))
            for name, models in zip(self._upstreams, lists, strict=True)
            for model in models
        ]

    async def _of(self, name: str) -> list[Model]:
        now = asyncio.get_running_loop().time()
        until, kept = self._kept.get(name, (0.0, []))
        if now < until:
            return kept
        try:
            async with asyncio.timeout(ASK_SECONDS):
                models, keep = await self._ask(name), KEEP_SECONDS
        except (ApiError, UpstreamProtocolError, TimeoutError):
            models, keep = kept or self._router.named_models(name), KEEP_FAILURE_SECONDS
        self._kept[name] = (now + keep, models)
        return models

    async def _ask(self, name: str) -> list[Model]:
        upstream, named = self._upstreams[name], self._router.named_models(name)
        request = upstream.provider.models_request()
        if request is None:
            return named
        async with upstream.transport.send(request, stream=False) as response:
            body = await response.body()
            if response.status != HTTPStatus.OK:
                raise upstream.provider.error(response.status, response.headers, body)
            models = upstream.provider.models(body)
        self._listings.heard(name, models)
        listed = {model.id for model in models}
        return models + [model for model in named if model.id not in listed]


def _position(models: list[Model], model_id: str, cursor: str) -> int:
    for position, model in enumerate(models):
        if model.id == model_id:
            return position
    raise invalid(f"{cursor}: no model has this id")
