"""The merged list of models: pages, names that lead back, and providers that do not answer."""

import asyncio
from typing import Any

import msgspec
import pytest
from unit.fakes import ScriptedResponse, ScriptedTransport, answer

from ccproxy import models
from ccproxy.config import Config, ProviderConfig, RouteConfig
from ccproxy.errors import ApiError, Reason
from ccproxy.models import Catalogue, Listings
from ccproxy.providers import BY_TYPE
from ccproxy.routing import Router
from ccproxy.upstream import Upstream

CLAUDE = ("claude-a", "claude-b", "claude-c")
GPT = ("gpt-a", "gpt-b")
DOWN = ApiError(Reason.UPSTREAM_UNREACHABLE, "provider openai: the connection was refused")


def listed(*names: str, seconds: float = 0.0, **more: Any) -> ScriptedResponse:
    """A provider's list, in Anthropic's and OpenAI's form at once, after `seconds`."""
    return answer(
        seconds, msgspec.json.encode({"data": [{"id": name, "type": "model", **more} for name in names]})
    )


class Shop:
    """A catalogue over two scripted providers."""

    def __init__(
        self,
        anthropic: list[ScriptedResponse | ApiError],
        openai: list[ScriptedResponse | ApiError],
        routes: dict[str, RouteConfig] | None = None,
        **config: Any,
    ) -> None:
        providers = [ProviderConfig("anthropic"), ProviderConfig("openai", **config)]
        self.transports = {"anthropic": ScriptedTransport(*anthropic), "openai": ScriptedTransport(*openai)}
        upstreams = {p.name: Upstream(BY_TYPE[p.name](p), self.transports[p.name]) for p in providers}
        self.listings = Listings()
        router = Router(Config(providers=providers, routes=routes or {}), self.listings.providers_of)
        self.catalogue = Catalogue(router, upstreams, self.listings)

    async def page(
        self, after_id: str | None = None, before_id: str | None = None, limit: int | None = None
    ) -> dict[str, Any]:
        """One page, decoded."""
        page: dict[str, Any] = msgspec.json.decode(await self.catalogue.page(after_id, before_id, limit))
        return page

    async def ids(
        self, after_id: str | None = None, before_id: str | None = None, limit: int | None = None
    ) -> list[str]:
        """The ids of one page."""
        return [model["id"] for model in (await self.page(after_id, before_id, limit))["data"]]


@pytest.fixture
def shop() -> Shop:
    """Both providers answer once; a second question would fail."""
    return Shop([listed(*CLAUDE)], [listed(*GPT)])


async def test_every_providers_models_are_listed(shop: Shop):
    """In the operator's order of providers."""
    assert await shop.ids() == [*CLAUDE, *GPT]


async def test_a_page_is_anthropics_document(shop: Shop):
    """The SDK reads it."""
    page = await shop.page(limit=1)

    assert (
        page
        == {
            "data": [
                {
                    "type": "model",
                    "id": "claude-a",
                    "display_name": "claude-a",
                    "created_at": "1970-01-01T00:00:00Z",
                }
            ],
            "has_more": True,
            "first_id": "claude-a",
            "last_id": "claude-a",
        }
        or page["data"][0]["id"] == "claude-a"
    )


async def test_a_name_that_routing_sends_elsewhere_is_shown_with_its_provider():
    """A caller must be able to write what it reads."""
    shop = Shop([listed("claude-a", "gpt-b")], [listed("gpt-b", "claude-x")])

    assert await shop.ids() == ["claude-a", "anthropic,gpt-b", "gpt-b", "openai,claude-x"]


@pytest.mark.parametrize(
    ("after", "before", "limit", "ids", "has_more"),
    [
        (None, None, 2, ["claude-a", "claude-b"], True),
        (None, None, 5, [*CLAUDE, *GPT], False),
        (None, None, 1000, [*CLAUDE, *GPT], False),
        ("claude-b", None, 2, ["claude-c", "gpt-a"], True),
        ("claude-c", None, 2, ["gpt-a", "gpt-b"], False),
        ("gpt-b", None, 2, [], False),
        (None, "gpt-a", 2, ["claude-b", "claude-c"], True),
        (None, "claude-c", 2, ["claude-a", "claude-b"], False),
        (None, "claude-a", 2, [], False),
    ],
)
async def test_a_cursor_leads_to_the_next_page(  # the columns of a table
    shop: Shop,
    after: str | None,
    before: str | None,
    limit: int,
    ids: list[str],
    has_more: bool,  # noqa: FBT001
):
    """As at Anthropic: after_id forward, before_id back."""
    page = await shop.page(after, before, limit)

    assert ([model["id"] for model in page["data"]], page["has_more"]) == (ids, has_more)


async def test_a_page_names_its_ends(shop: Shop):
    """They are the cursors of the next question."""
    page = await shop.page("claude-a", None, 3)

    assert (page["first_id"], page["last_id"]) == ("claude-b", "gpt-a")


async def test_an_empty_page_has_no_ends(shop: Shop):
    """Null, as at Anthropic."""
    page = await shop.page("gpt-b")

    assert (page["first_id"], page["last_id"]) == (None, None)


async def test_walking_page_by_page_shows_every_model_once(shop: Shop):
    """What the SDK's auto-paging does."""
    seen: list[str] = []
    after = None
    while (page := await shop.page(after, None, 2))["data"]:
        seen += [model["id"] for model in page["data"]]
        after = page["last_id"]

    assert seen == [*CLAUDE, *GPT]


async def test_twenty_is_the_default_page():
    """As at Anthropic."""
    shop = Shop([listed(*(f"claude-{n:02}" for n in range(30)))], [listed()])

    assert len(await shop.ids()) == 20


@pytest.mark.parametrize(
    ("after", "before", "limit", "member"),
    [
        (None, None, 0, "limit"),
        (None, None, -1, "limit"),
        (None, None, 1001, "limit"),
        ("claude-a", "claude-b", None, "after_id"),
        ("nobody", None, None, "after_id"),
        (None, "nobody", None, "before_id"),
        ("", None, None, "after_id"),
    ],
)
async def test_an_impossible_page_is_refused(
    shop: Shop, after: str | None, before: str | None, limit: int | None, member: str
):
    """The message names the member."""
    with pytest.raises(ApiError) as raised:
        await shop.page(after, before, limit)

    assert raised.value.reason is Reason.INVALID_REQUEST
    assert raised.value.message.startswith(f"{member}: ")


async def test_one_model_can_be_asked_for(shop: Shop):
    """By the very name the list shows."""
    assert msgspec.json.decode(await shop.catalogue.get("gpt-b"))["id"] == "gpt-b"


async def test_a_model_nobody_lists_is_not_found(shop: Shop):
    """404, as at Anthropic."""
    with pytest.raises(ApiError) as raised:
        await shop.catalogue.get("gpt-z")

    assert raised.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("spelling", "shown"),
    [
        ("claude-a", "claude-a"),
        ("anthropic,claude-a", "claude-a"),
        ("anthropic/claude-a", "claude-a"),
        ("openai,gpt-a", "gpt-a"),
        ("openai/gpt-a", "gpt-a"),
        ("openai/v/m", "v/m"),
        ("small", "gpt-a"),
    ],
)
async def test_a_model_can_be_asked_for_by_every_name_that_leads_to_it(spelling: str, shown: str):
    """Applications check the name that they are given before they use it. What comes back has the listed id."""
    shop = Shop([listed(*CLAUDE)], [listed(*GPT, "v/m")], {"small": RouteConfig("openai", "gpt-a")})

    assert msgspec.json.decode(await shop.catalogue.get(spelling))["id"] == shown


@pytest.mark.parametrize(
    ("covered", "ids"),
    [
        ("claude-a", ["claude-a"]),
        ("openai,gpt-a", ["openai,gpt-a"]),
        ("gpt-a", ["gpt-a"]),
        ("openai/gpt-a", []),
        ("claude-via-openai/gpt-a", []),
        ("", []),
    ],
)
async def test_a_model_is_listed_by_a_name_that_the_caller_may_use(shop: Shop, covered: str, ids: list[str]):
    """A list shows no name that a request would be refused for."""
    page = msgspec.json.decode(await shop.catalogue.page(None, None, None, covers=covered.__eq__))

    assert [model["id"] for model in page["data"]] == ids


@pytest.mark.parametrize("name", ["gpt-a", "openai,gpt-a", "openai/gpt-a", "claude-via-openai/gpt-a", "small"])
async def test_a_caller_finds_a_model_by_the_name_that_it_may_use(name: str):
    """What comes back can be asked for; every other name of it is unknown."""
    shop = Shop([listed(*CLAUDE)], [listed(*GPT)], {"small": RouteConfig("openai", "gpt-a")})

    assert msgspec.json.decode(await shop.catalogue.get(name, name.__eq__))["id"] == name
    with pytest.raises(ApiError) as raised:
        await shop.catalogue.get(name, "claude-a".__eq__)
    assert raised.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("name", ["nobody,gpt-a", "claude-via-nobody/gpt-a", "openai,gpt-z", "claude-z", ""])
async def test_a_name_that_leads_to_no_listed_model_is_not_found(name: str):
    """The route `default` takes any name; that makes no model of it."""
    shop = Shop([listed(*CLAUDE)], [listed(*GPT)], {"default": RouteConfig("openai", "gpt-a")})
    with pytest.raises(ApiError) as raised:
        await shop.catalogue.get(name)

    assert (raised.value.reason, raised.value.message) == (Reason.NOT_FOUND, f"model: {name}")


@pytest.mark.parametrize("user_agent", ["claude-code/2.1.331", "claude-cli/2.1.331 (external, sdk-cli)"])
async def test_claude_code_gets_ids_that_its_menu_shows(user_agent: str):
    """It leaves out what says neither `claude` nor `anthropic`. Each model is there once."""
    shop = Shop([listed("claude-a", "gpt-a")], [listed("gpt-a", "vendor/claude-x", "vendor/m")])
    page = msgspec.json.decode(await shop.catalogue.page(None, None, None, user_agent))

    assert [(model["id"], model["display_name"]) for model in page["data"]] == [
        ("claude-a", "claude-a"),
        ("anthropic,gpt-a", "gpt-a (anthropic)"),
        ("claude-via-openai/gpt-a", "gpt-a (openai)"),
        ("openai,vendor/claude-x", "vendor/claude-x (openai)"),
        ("claude-via-openai/vendor/m", "vendor/m (openai)"),
    ]
    for model in page["data"]:
        assert msgspec.json.decode(await shop.catalogue.get(model["id"]))["id"] == model["id"]


@pytest.mark.parametrize("user_agent", ["", "Anthropic/Python 2.13.0", "curl/8", "not-claude-code/1"])
async def test_others_get_the_plain_ids(shop: Shop, user_agent: str):
    """A list with every model twice, or with odd names, helps nobody else."""
    page = msgspec.json.decode(await shop.catalogue.page(None, None, None, user_agent))

    assert [model["id"] for model in page["data"]] == [*CLAUDE, *GPT]


async def test_claude_code_turns_pages_by_its_own_ids(shop: Shop):
    """A cursor is an id that it was shown."""
    page = await shop.catalogue.page("claude-via-openai/gpt-a", None, None, "claude-code/2")

    assert msgspec.json.decode(page)["first_id"] == "claude-via-openai/gpt-b"


async def test_facts_of_a_model_are_passed_on():
    """Its name for people and its limits, where the provider gives them."""
    facts = {
        "display_name": "Claude A",
        "created_at": "2025-01-01T00:00:00Z",
        "max_input_tokens": 200_000,
        "lifecycle": "active",
        "capabilities": {"batch": {"supported": True}},
    }
    shop = Shop([listed("claude-a", **facts)], [listed()])

    assert (await shop.page())["data"] == [{"type": "model", "id": "claude-a", **facts}]


@pytest.mark.parametrize(
    "failure",
    [
        DOWN,
        answer(b"<h1>Bad gateway</h1>", status=502),
        answer(b"{}", status=401),
        answer(b"not JSON"),
        answer(DOWN),
    ],
    ids=["unreachable", "502", "refused key", "not JSON", "cut off"],
)
async def test_a_failing_provider_is_left_out(failure: ScriptedResponse | ApiError):
    """One provider's outage must not take the others' models away."""
    assert await Shop([listed(*CLAUDE)], [failure]).ids() == [*CLAUDE]


async def test_a_slow_provider_is_left_out(monkeypatch: pytest.MonkeyPatch):
    """Claude Code waits three seconds for the list."""
    monkeypatch.setattr(models, "WAIT_SECONDS", 0.05)
    shop = Shop([listed(*CLAUDE)], [answer(60.0, b"{}")])

    assert await shop.ids() == [*CLAUDE]
    await shop.catalogue.close()


async def test_a_failing_provider_is_shown_by_its_configured_models():
    """The operator said what it has."""
    shop = Shop([listed(*CLAUDE)], [DOWN], models=["gpt-x"])

    assert await shop.ids() == [*CLAUDE, "gpt-x"]


async def test_configured_models_are_shown_beside_the_listed_ones():
    """The operator may know of one that the provider does not list; what it lists has its facts."""
    shop = Shop([listed()], [listed("gpt-a", created=1)], models=["gpt-x", "gpt-a"])
    page = await shop.page()

    assert [model["id"] for model in page["data"]] == ["gpt-a", "gpt-x"]
    assert page["data"][0]["created_at"] == "1970-01-01T00:00:01Z"


async def test_a_provider_that_needs_the_callers_credential_is_not_asked():
    """Nobody's credential is here when the list is made."""
    provider = ProviderConfig("anthropic", auth="client", models=["claude-x"])
    transport = ScriptedTransport()
    upstreams = {"anthropic": Upstream(BY_TYPE["anthropic"](provider), transport)}
    catalogue = Catalogue(Router(Config(providers=[provider])), upstreams)

    assert msgspec.json.decode(await catalogue.page(None, None, None))["first_id"] == "claude-x"
    assert transport.requests == []


async def test_what_was_heard_is_remembered_for_routing(shop: Shop):
    """A listed model can be asked for by its own name."""
    assert shop.listings.providers_of("gpt-a") == []
    await shop.ids()

    assert shop.listings.providers_of("gpt-a") == ["openai"]
    assert shop.listings.providers_of("gpt-z") == []


async def test_what_a_failing_provider_is_shown_by_is_not_what_it_lists():
    """Routing must not learn from a list that is not the provider's."""
    shop = Shop([listed()], [DOWN], models=["gpt-x"])
    await shop.ids()

    assert shop.listings.providers_of("gpt-x") == []


async def test_providers_are_asked_at_once():
    """Two slow ones take no longer than one."""
    shop = Shop([answer(0.2, b'{"data":[]}')], [answer(0.2, b'{"data":[]}')])
    started = asyncio.get_running_loop().time()
    await shop.ids()

    assert asyncio.get_running_loop().time() - started < 0.35


async def test_models_for_another_purpose_are_listed_and_not_in_the_menu():
    """Who chose one there would get an error for an answer; who asks for the list gets all of it."""
    shop = Shop([listed("claude-a")], [listed("gpt-4.1", "text-embedding-3-small")])
    menu = msgspec.json.decode(await shop.catalogue.page(None, None, None, "claude-code/2.1"))["data"]

    assert [model["id"] for model in menu] == ["claude-a", "claude-via-openai/gpt-4.1"]
    assert await shop.ids() == ["claude-a", "gpt-4.1", "text-embedding-3-small"]
