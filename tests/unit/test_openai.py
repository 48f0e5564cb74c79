"""Which of OpenAI's dialects a request is said in."""

import msgspec
import pytest
from unit.chat import KEY, TOOL, completion
from unit.responses import OWN, call, exchange, provider

from ccproxy.call import Target
from ccproxy.config import Api
from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.provider import Exchange, Provider
from ccproxy.providers.openai import OpenAI

ELSEWHERE = (
    "Function tools with reasoning_effort are not supported for gpt-x in /v1/chat/completions. "
    "Please use /v1/responses instead."
)


def path(made: Exchange) -> str:
    """Where it goes, below the version."""
    return made.request.url.split("/v1/")[1]


def refused(message: str = ELSEWHERE, status: int = 400) -> ApiError:
    """An error of the provider."""
    return provider().error(status, {}, msgspec.json.encode({"error": {"message": message}}))


def test_it_is_a_provider():
    """The core knows no other shape."""
    it: Provider = provider()

    assert it.name == "openai"
    assert KEY not in repr(it)


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5.6-sol", "gpt-6-astra", "o3", "o4-mini", "codex-mini-latest"])
def test_reasoning_models_are_asked_by_responses(model: str):
    """Chat Completions refuses their tools, and loses their reasoning between calls."""
    assert path(exchange(model=model, api="auto")) == "responses"


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4o", "omni", "claude-x"])
def test_other_models_are_asked_by_chat_completions(model: str):
    """They need nothing else."""
    assert path(exchange(model=model, api="auto")) == "chat/completions"


def test_other_servers_are_asked_by_chat_completions():
    """Whatever they call their models: few of them know Responses."""
    assert path(exchange(base_url="http://127.0.0.1:9/v1", model="gpt-5.6", api="auto")) == "chat/completions"


@pytest.mark.parametrize(("api", "where"), [("chat", "chat/completions"), ("responses", "responses")])
def test_the_operator_decides(api: Api, where: str):
    """Who knows the server better."""
    for model in ("gpt-4.1", "gpt-5.6"):
        assert path(exchange(model=model, api=api)) == where


@pytest.mark.parametrize("api", ["auto", "chat", "responses"])
def test_a_models_own_api_goes_before_the_providers(api: Api):
    """One server may have models of both kinds, and only its operator knows."""
    apis: dict[str, Api] = {"one": "chat", "other": "responses", "gpt-5.6": "auto"}
    it = OpenAI("openai", OWN, KEY, api, apis)

    def first(model: str) -> Exchange:
        asked = call(max_tokens=9)
        return it.exchange(asked, asked.head(), Target("openai", model, "default"))

    assert [path(first(model)) for model in apis] == ["chat/completions", "responses", "responses"]
    assert first("one").recover(refused()) is None
    assert (path(first("one-2026")) == "responses") is (api == "responses")


def test_a_model_is_counted_by_the_api_that_it_is_asked_by():
    """OpenAI counts on Responses alone."""
    it = OpenAI("openai", OWN, KEY, "auto", {"gpt-5.6": "chat", "gpt-4.1": "responses"})
    asked = call()
    requests = {
        model: it.count_request(asked, asked.head(), Target("openai", model, "default"))
        for model in ("gpt-5.6", "gpt-4.1")
    }

    assert requests["gpt-5.6"] is None
    assert requests["gpt-4.1"] is not None


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("message", [ELSEWHERE, "This model is only supported in v1/responses."])
def test_what_chat_completions_sends_to_responses_goes_there(message: str, status: int):
    """A model that the rule does not know yet is served all the same."""
    first = exchange(model="gpt-x", api="auto", tools=[TOOL])
    again = first.recover(refused(message, status))

    assert again is not None
    assert path(again) == "responses"
    assert again.recover(refused(message, status)) is None


@pytest.mark.parametrize("failure", [refused("no such tool"), refused(ELSEWHERE, 500), refused(ELSEWHERE, 429)])
def test_another_failure_is_one(failure: ApiError):
    """It would fail there as well."""
    assert exchange(model="gpt-x", api="auto").recover(failure) is None


def test_who_wants_chat_completions_alone_gets_it_alone():
    """The operator said so."""
    assert exchange(model="gpt-x", api="chat").recover(refused()) is None


def test_an_undecided_exchange_reads_chat_completions():
    """Unless it is refused, it is one of them."""
    made = exchange(model="gpt-x", api="auto", top_k=1)

    assert made.dropped == ("top_k",)
    assert b"hello" in made.answer(completion(content="hello")).body
    assert not made.stream().finished


@pytest.mark.parametrize(
    ("base_url", "model", "counted"),
    [
        (OWN, "gpt-5.6", True),
        ("https://eu.api.openai.com/v1", "gpt-5.6", True),
        (OWN, "gpt-4.1", False),
        ("https://mine.openai.azure.com/openai/v1", "gpt-5.6", False),
        ("https://notopenai.com", "gpt-5.6", False),
        ("nowhere", "gpt-5.6", False),
    ],
)
def test_openai_counts_for_the_models_asked_by_responses(base_url: str, model: str, counted: bool):  # noqa: FBT001
    """Of others nobody knows that they can."""
    asked = call(max_tokens=msgspec.UNSET)
    request = provider(base_url).count_request(asked, asked.head(), Target("openai", model, "default"))

    assert (request is not None) is counted


def test_what_counts_as_input_is_sent_to_be_counted():
    """And nothing that the count refuses."""
    asked = call(max_tokens=msgspec.UNSET, system="Be", tools=[TOOL], stream=True, temperature=1)
    request = provider().count_request(asked, asked.head(), Target("openai", "gpt-5.6", "default"))

    assert request is not None
    assert request.url == "https://api.openai.com/v1/responses/input_tokens"
    assert set(msgspec.json.decode(request.body or b"")) == {
        "model",
        "input",
        "instructions",
        "tools",
        "reasoning",
    }


def test_a_count_is_read():
    """It is one number."""
    assert provider().count(b'{"object":"response.input_tokens","input_tokens":18}') == 18
    with pytest.raises(UpstreamProtocolError):
        provider().count(b"{}")


def test_errors_headers_and_models_are_those_of_the_server():
    """They are the same in both dialects."""
    it = provider()

    assert it.error(401, {}, b"").reason is Reason.UPSTREAM_AUTHENTICATION_FAILED
    assert it.reply_headers({"x-request-id": "r"}) == {"x-ccproxy-upstream-request-id": "r"}
    assert it.models_request().url == "https://api.openai.com/v1/models"
    assert [model.id for model in it.models(b'{"data":[{"id":"gpt-5.6"}]}').models] == ["gpt-5.6"]
