"""The models of every provider, as `/v1/models` shows them.

Each id is what a caller writes as `model`: a provider's own name where routing sends that name to it, else
`provider,name`. Claude Code's menu leaves out ids that say neither `claude` nor `anthropic`, so Claude Code gets
`claude-via-provider/name` in the place of these, and names for people that tell the provider; models that are
known to be for something else than conversations are left out there.

Claude Code waits three seconds for the list. So what was heard is kept: an old list is shown at once, and a new
one asked for meanwhile. One question to a provider is under way at a time, whoever waits for it. The first callers
get what has come within `WAIT_SECONDS`; what comes later, the next ones get. Models that the configuration names
are shown in any case. A list is all that is ever asked for, which costs nothing.

A caller who may not ask for a model does not see it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct, structs

from ccproxy.documents import invalid
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.provider import Model, UpstreamRequest
from ccproxy.routing import Router
from ccproxy.upstream import Upstream

WAIT_SECONDS = 2.5  # of a caller; below Claude Code's three
ASK_SECONDS = 30.0  # for all pages of a provider
KEEP_SECONDS = 300.0
KEEP_FAILURE_SECONDS = 10.0
MAX_PAGES = 20
DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
CLAUDE_CODE = ("claude-code/", "claude-cli/")
"""Begins Claude Code's `user-agent`: the first where it asks for its menu (seen in 2.1)."""


Covers = Callable[[str], bool]
"""Whether a caller may ask for a model by this name."""


def _anything(_: str) -> bool:
    return True


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


class _Question(Struct, frozen=True):
    """A question to a provider that is under way. Callers wait for it until `until`, in the loop's seconds."""

    task: "asyncio.Future[None]"
    until: float


class Catalogue:
    """The merged list; what is heard of a provider is told to `listings`."""

    def __init__(
        self, router: Router, upstreams: Mapping[str, Upstream], listings: Listings | None = None
    ) -> None:
        self._router = router
        self._upstreams = upstreams
        self._listings = listings or Listings()
        self._heard: dict[str, list[Model]] = {}
        self._fresh_until: dict[str, float] = {}
        self._asking: dict[str, _Question] = {}

    def refresh(self) -> None:
        """Asks the providers whose lists are old, and does not wait for them."""
        for name in self._upstreams:
            self._question(name)

    async def close(self) -> None:
        """Gives up the questions that are under way."""
        tasks = [question.task for question in self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def page(
        self,
        after_id: str | None,
        before_id: str | None,
        limit: int | None,
        user_agent: str = "",
        covers: Covers = _anything,
    ) -> bytes:
        """One page, as Anthropic's JSON; for Claude Code with ids that its menu shows.

        Raises:
            ApiError: INVALID_REQUEST, for a limit out of range, both cursors, or one that names no model.
        """
        limit = DEFAULT_LIMIT if limit is None else limit
        if not 1 <= limit <= MAX_LIMIT:
            raise invalid(f"limit: expected 1 to {MAX_LIMIT}")
        if after_id is not None and before_id is not None:
            raise invalid("after_id: cannot be combined with before_id")
        show = self._in_menu if user_agent.startswith(CLAUDE_CODE) else self._shown
        listed = await self._all()
        if show == self._in_menu:
            listed = [(name, model) for name, model in listed if model.converses]
        offered = (self._offered(show(name, model), name, model, covers) for name, model in listed)
        models = [model for model in offered if model is not None]
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
                "data": [model.document() for model in shown],
                "has_more": has_more,
                "first_id": shown[0].id if shown else None,
                "last_id": shown[-1].id if shown else None,
            }
        )

    async def get(self, model_id: str, covers: Covers = _anything) -> bytes:
        """One model, as Anthropic's JSON: by an id of either list, or by another name that leads to it.

        Raises:
            ApiError: NOT_FOUND.
        """
        found = await self._found(model_id) if covers(model_id) else None
        if found is None:
            raise ApiError(Reason.NOT_FOUND, f"model: {model_id}")
        known = found if covers(found.id) else structs.replace(found, id=model_id)
        return msgspec.json.encode(known.document())

    async def _found(self, model_id: str) -> Model | None:
        listed = await self._all()
        for show in (self._shown, self._in_menu):
            for name, model in listed:
                if (shown := show(name, model)).id == model_id:
                    return shown
        target = self._router.called(model_id)
        for name, model in listed:
            if target is not None and (name, model.id) == (target.provider, target.model):
                return self._shown(name, model)
        return None

    def _offered(self, shown: Model, provider: str, model: Model, covers: Covers) -> Model | None:
        """The model under a name that the caller may ask for; None where there is none."""
        if covers(shown.id):
            return shown
        chosen = f"{provider},{model.id}"
        return structs.replace(shown, id=chosen) if covers(chosen) else None

    def _shown(self, provider: str, model: Model) -> Model:
        return structs.replace(model, id=self._router.name_for(provider, model.id))

    def _in_menu(self, provider: str, model: Model) -> Model:
        name = self._router.menu_name_for(provider, model.id)
        if name == model.id:
            return model
        return structs.replace(model, id=name, display_name=f"{model.display_name} ({provider})")

    async def _all(self) -> list[tuple[str, Model]]:
        """Every provider's models, with its name."""
        asked = {name: question for name in self._upstreams if (question := self._question(name))}
        awaited = [question for name, question in asked.items() if name not in self._heard]
        if awaited:
            wait = max(question.until for question in awaited) - asyncio.get_running_loop().time()
            await asyncio.wait([question.task for question in awaited], timeout=max(0.0, wait))
        return [(name, model) for name in self._upstreams for model in self._of(name)]

    def _of(self, name: str) -> list[Model]:
        heard = self._heard.get(name, [])
        listed = {model.id for model in heard}
        return heard + [model for model in self._router.named_models(name) if model.id not in listed]

    def _question(self, name: str) -> _Question | None:
        """The question to a provider that is under way; a new one where its list is old."""
        now = asyncio.get_running_loop().time()
        if name not in self._asking and now >= self._fresh_until.get(name, now):
            request = self._upstreams[name].provider.models_request()
            if request is not None:
                task = asyncio.ensure_future(self._ask(name, request))
                self._asking[name] = _Question(task, now + WAIT_SECONDS)
                task.add_done_callback(lambda _: self._asking.pop(name))
        return self._asking.get(name)

    async def _ask(self, name: str, request: UpstreamRequest) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                self._heard[name] = await self._listed_by(self._upstreams[name], request)
        except (ApiError, UpstreamProtocolError, TimeoutError):
            keep = KEEP_FAILURE_SECONDS  # what was heard before stays
        else:
            keep = KEEP_SECONDS
            self._listings.heard(name, self._heard[name])
        self._fresh_until[name] = asyncio.get_running_loop().time() + keep

    async def _listed_by(self, upstream: Upstream, request: UpstreamRequest) -> list[Model]:
        """A provider's whole list, page by page."""
        models: dict[str, Model] = {}
        asked: set[str] = set()
        following: UpstreamRequest | None = request
        while following is not None and following.url not in asked and len(asked) < MAX_PAGES:
            asked.add(following.url)
            async with upstream.transport.send(following, stream=False) as response:
                body = await response.body()
                if response.status != HTTPStatus.OK:
                    raise upstream.provider.error(response.status, response.headers, body)
            page = upstream.provider.models(body)
            for model in page.models:
                models.setdefault(model.id, model)
            following = page.next
        return list(models.values())


def _position(models: list[Model], model_id: str, cursor: str) -> int:
    for position, model in enumerate(models):
        if model.id == model_id:
            return position
    raise invalid(f"{cursor}: no model has this id")
