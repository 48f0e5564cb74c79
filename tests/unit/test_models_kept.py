"""The list of models over time: kept, asked for again behind the callers' backs, and never waited for too long."""

import asyncio

import msgspec
import pytest
from unit.fakes import ScriptedResponse, answer
from unit.test_models import CLAUDE, DOWN, GPT, Shop, listed

from ccproxy import models
from ccproxy.config import ProviderConfig
from ccproxy.provider import UpstreamRequest
from ccproxy.providers import BY_TYPE


async def settled() -> None:
    """Waits until no question is under way."""
    await asyncio.wait_for(asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}), 5)


def asked(shop: Shop) -> list[int]:
    """How often each provider was asked."""
    return [len(transport.requests) for transport in shop.transports.values()]


@pytest.fixture
def shop() -> Shop:
    """Both providers answer once; a second question would fail."""
    return Shop([listed(*CLAUDE)], [listed(*GPT)])


async def test_lists_are_kept_for_a_while(shop: Shop):
    """Each start of Claude Code asks for them."""
    first = await shop.ids()

    assert await shop.ids() == first
    assert asked(shop) == [1, 1]


async def test_many_first_callers_share_one_question():
    """A service that starts under load must not ask a provider once per caller."""
    shop = Shop([listed(*CLAUDE, seconds=0.05)], [listed(*GPT, seconds=0.05)])
    lists = await asyncio.gather(*(shop.ids() for _ in range(100)))

    assert lists == [[*CLAUDE, *GPT]] * 100
    assert asked(shop) == [1, 1]


async def test_a_caller_that_leaves_takes_the_question_from_nobody():
    """Others wait for the same answer."""
    shop = Shop([listed(*CLAUDE)], [listed(*GPT, seconds=0.05)])
    leaves, stays = asyncio.ensure_future(shop.ids()), asyncio.ensure_future(shop.ids())
    await asyncio.sleep(0.01)
    leaves.cancel()

    assert await stays == [*CLAUDE, *GPT]


async def test_an_old_list_is_shown_while_a_new_one_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    """New models appear without a restart, and without anybody who waits for them."""
    monkeypatch.setattr(models, "KEEP_SECONDS", 0.0)
    shop = Shop([listed("claude-a"), listed("claude-b", seconds=0.02), listed("claude-c")], [listed()] * 3)
    first, second = await shop.ids(), await shop.ids()
    await settled()

    assert [first, second, await shop.ids()] == [["claude-a"], ["claude-a"], ["claude-b"]]


async def test_what_comes_late_is_taken(monkeypatch: pytest.MonkeyPatch):
    """The first caller gets what is there in time; the next ones get all."""
    monkeypatch.setattr(models, "WAIT_SECONDS", 0.02)
    shop = Shop([listed(*CLAUDE)], [listed(*GPT, seconds=0.1)])

    assert await shop.ids() == [*CLAUDE]
    await settled()
    assert await shop.ids() == [*CLAUDE, *GPT]
    assert asked(shop) == [1, 1]
    assert shop.listings.providers_of("gpt-a") == ["openai"]


async def test_a_silent_provider_is_waited_for_once(monkeypatch: pytest.MonkeyPatch):
    """Who comes while it is still silent need not wait all the time again."""
    monkeypatch.setattr(models, "WAIT_SECONDS", 0.2)
    shop = Shop([listed(*CLAUDE)], [answer(60.0)])
    await shop.ids()
    started = asyncio.get_running_loop().time()

    assert await shop.ids() == [*CLAUDE]
    assert asyncio.get_running_loop().time() - started < 0.1
    await shop.catalogue.close()


async def test_a_silent_provider_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch):
    """Its connection must not stay open for good, and it is asked again later."""
    monkeypatch.setattr(models, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(models, "ASK_SECONDS", 0.03)
    monkeypatch.setattr(models, "KEEP_FAILURE_SECONDS", 0.0)
    shop = Shop([listed()], [answer(60.0), listed(*GPT)])
    await shop.ids()
    await settled()

    assert await shop.ids() == [*GPT]


async def test_asking_before_anybody_asks_waits_for_nobody(shop: Shop):
    """It is done at the start, which a provider must not hold up. The first caller then finds the list."""
    shop.catalogue.refresh()
    assert asked(shop) == [0, 0]
    await settled()

    assert await shop.ids() == [*CLAUDE, *GPT]
    assert asked(shop) == [1, 1]


async def test_nothing_runs_after_the_end():
    """A question that outlives the service would use a closed connection."""
    shop = Shop([answer(60.0)], [answer(60.0)])
    shop.catalogue.refresh()
    await asyncio.sleep(0.01)
    assert [transport.open for transport in shop.transports.values()] == [1, 1]
    await shop.catalogue.close()

    assert [transport.open for transport in shop.transports.values()] == [0, 0]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_last_good_list_outlives_a_failure(monkeypatch: pytest.MonkeyPatch):
    """Models do not vanish because a list call failed once."""
    monkeypatch.setattr(models, "KEEP_SECONDS", 0.0)
    shop = Shop([listed(), listed(), listed()], [listed(*GPT), DOWN, DOWN])
    lists = []
    for _ in range(3):
        lists.append(await shop.ids())
        await settled()

    assert lists == [[*GPT]] * 3
    assert asked(shop)[1] == 2  # the failure is kept for a while


async def test_a_failure_is_kept_for_a_short_while():
    """A provider that is down is not asked by every caller."""
    shop = Shop([listed()], [DOWN])
    await shop.ids()
    await shop.ids()

    assert len(shop.transports["openai"].requests) == 1


async def test_a_failure_is_forgotten_soon(monkeypatch: pytest.MonkeyPatch):
    """Its models come back without a restart, and the first who asks then sees them."""
    monkeypatch.setattr(models, "KEEP_FAILURE_SECONDS", 0.0)
    shop = Shop([listed()], [DOWN, listed(*GPT)])

    assert [await shop.ids(), await shop.ids()] == [[], [*GPT]]


# Pages of a provider's list.


def page(*names: str, last: str | None) -> ScriptedResponse:
    """A page of Anthropic's list, with another behind it where it has a last id."""
    data = [{"id": name} for name in names]
    return answer(msgspec.json.encode({"data": data, "has_more": last is not None, "last_id": last}))


async def test_a_list_is_read_to_its_last_page():
    """A model on the second page is as good as one on the first."""
    shop = Shop([page("claude-a", last="claude-a"), page("claude-b", "claude-a", last=None)], [listed()])

    assert await shop.ids() == ["claude-a", "claude-b"]
    assert [request.url.partition("?")[2] for request in shop.transports["anthropic"].requests] == [
        "limit=1000",
        "limit=1000&after_id=claude-a",
    ]


async def test_a_page_that_fails_takes_the_list_with_it():
    """Half a list would pass for the whole one for minutes."""
    shop = Shop([page("claude-a", last="claude-a"), answer(b"{}", status=500)], [listed(*GPT)])

    assert await shop.ids() == [*GPT]


async def test_a_list_that_goes_round_in_circles_ends():
    """A server that knows no cursors gives its first page for ever."""
    shop = Shop([page("claude-a", last="claude-a"), page("claude-a", last="claude-a")], [listed()])

    assert await shop.ids() == ["claude-a"]


async def test_a_list_without_an_end_ends():
    """No provider has that many pages."""
    shop = Shop([page(f"claude-{n}", last=f"claude-{n}") for n in range(50)], [listed()])

    assert len((await shop.page(limit=1000))["data"]) == models.MAX_PAGES


async def test_a_list_is_all_that_is_asked_for(shop: Shop):
    """It costs nothing. A completion would be billed."""
    await shop.ids()
    requests = [request for transport in shop.transports.values() for request in transport.requests]

    assert {(request.method, request.body) for request in requests} == {("GET", None)}


@pytest.mark.parametrize("kind", sorted(BY_TYPE))
def test_every_provider_lists_without_cost(kind: str):
    """As above, for each of them."""
    request = BY_TYPE[kind](ProviderConfig(kind, api_base_url="http://127.0.0.1:1")).models_request()

    assert isinstance(request, UpstreamRequest)
    assert (request.method, request.body, "/models" in request.url) == ("GET", None, True)
