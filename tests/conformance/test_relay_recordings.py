"""Every recorded exchange of Anthropic's API through the relay: nothing lost, wherever the network cuts it.

Some are OpenRouter's, whose endpoint speaks the same.
"""

import random

import httpx2
import msgspec
import pytest
from anthropic import Anthropic as Client
from conformance.recordings import ABSENT, Recording, recordings

from ccproxy import sse
from ccproxy.call import Call, Target
from ccproxy.config import ProviderConfig
from ccproxy.errors import ApiError
from ccproxy.providers import BY_TYPE
from ccproxy.providers.anthropic import Anthropic, RelayStream

ALL = recordings("anthropic", "openrouter", api="messages")
STREAMS = [r for r in ALL if r.is_stream and r.facts.http_status == 200]
ANSWERS = [r for r in ALL if not r.is_stream and r.facts.http_status == 200]
ERRORS = [r for r in ALL if r.facts.http_status >= 400]
LISTS = [r for r in recordings("anthropic", api="models") if r.facts.http_status == 200]
ASKED = [r for r in ALL if r.request is not None]

pytestmark = pytest.mark.skipif(not ALL, reason=ABSENT)

PROVIDER = Anthropic("anthropic", "https://api.anthropic.com", "sk-test")


def relayed(chunks: list[bytes]) -> tuple[bytes, RelayStream]:
    """What the relay makes of chunks."""
    stream = RelayStream(PROVIDER)
    out = b""
    for chunk in chunks:
        stream.feed(chunk)
        out += stream.take()
    stream.close()
    return out + stream.take(), stream


def cut(data: bytes, seed: int) -> list[bytes]:
    """`data` in some twenty pieces."""
    generator = random.Random(seed)  # noqa: S311  # repeatable, not secret
    places = sorted(generator.sample(range(len(data) + 1), min(20, len(data))))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize("recording", LISTS, ids=lambda r: r.name)
def test_every_model_of_a_list_passes_as_it_came(recording: Recording):
    """With all that Anthropic says of it."""
    shown = [msgspec.json.encode(model.document()) for model in PROVIDER.models(recording.response).models]

    assert [msgspec.json.decode(model) for model in shown] == msgspec.json.decode(recording.response)["data"]


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.name)
def test_every_event_of_a_stream_passes_as_it_came(recording: Recording):
    """A relay that opens an event may change it. OpenRouter's end marker is no event: SDKs read each as JSON."""
    out, stream = relayed([recording.response])
    events = list(sse.events(recording.response.replace(b"\r\n", b"\n")))

    assert list(sse.events(out)) == [event for event in events if event.data != b"[DONE]"]
    assert stream.finished


@pytest.mark.parametrize("recording", [r for r in ALL if r.facts.provider == "openrouter"], ids=lambda r: r.name)
def test_a_recording_of_openrouters_endpoint_passes_the_provider_that_relays_to_it(recording: Recording):
    """The whole way: the address, the request's bytes, the answer's bytes but for the end marker."""
    assert recording.request is not None
    provider = BY_TYPE["openrouter"](ProviderConfig("openrouter", api="anthropic"))
    exchange = provider.exchange(*asked(recording.request, msgspec.json.decode(recording.request)["model"]))
    stream = exchange.stream()
    stream.feed(recording.response)
    stream.close()
    out = stream.take()

    assert exchange.request.url == "https://openrouter.ai/api/v1/messages"
    assert exchange.request.body == recording.request
    assert recording.response.removesuffix(b"event: data\ndata: [DONE]\n\n") == out


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.name)
def test_where_a_stream_is_cut_does_not_matter(recording: Recording):
    """The network cuts anywhere, also inside a character."""
    whole, _ = relayed([recording.response])

    for seed in range(5):
        assert relayed(cut(recording.response, seed))[0] == whole
    if len(recording.response) < 20_000:
        assert relayed([recording.response[i : i + 1] for i in range(len(recording.response))])[0] == whole


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.name)
def test_a_stream_cut_short_is_an_error_and_keeps_its_events(recording: Recording):
    """Whatever came before the break reaches the caller; then the truth."""
    data = recording.response
    stop = data.index(b"event: message_stop")
    stream = RelayStream(PROVIDER)
    stream.feed(data[:stop])
    taken = stream.take()

    with pytest.raises(Exception, match="without message_stop"):
        stream.close()
    assert list(sse.events(taken)) == list(sse.events(data[:stop]))


@pytest.mark.parametrize("recording", STREAMS, ids=lambda r: r.name)
def test_usage_is_what_the_official_sdk_accumulates(recording: Recording):
    """Metrics and bills are read from it."""
    out, stream = relayed([recording.response])
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=out)
    )
    with (
        Client(api_key="x", base_url="http://test", http_client=httpx2.Client(transport=transport)) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as accumulated,
    ):
        message = accumulated.get_final_message()

    assert stream.usage.output_tokens == message.usage.output_tokens
    assert stream.usage.input_tokens == message.usage.input_tokens


@pytest.mark.parametrize("recording", ANSWERS, ids=lambda r: r.name)
def test_a_whole_answer_passes_byte_for_byte(recording: Recording):
    """Nothing lost, nothing reordered, numbers spelled as they came."""
    exchange = PROVIDER.exchange(*asked(b'{"model":"m","max_tokens":1,"messages":[]}', "m"))
    answer = exchange.answer(recording.response)

    assert answer.body == recording.response
    assert answer.usage.output_tokens == msgspec.json.decode(recording.response)["usage"]["output_tokens"]


@pytest.mark.parametrize("recording", ASKED, ids=lambda r: r.name)
def test_a_request_passes_byte_for_byte_or_with_only_its_model_replaced(recording: Recording):
    """Prompt caches are keyed by bytes; signatures and new members must survive."""
    body = recording.request
    assert body is not None
    document = msgspec.json.decode(body)

    assert PROVIDER.exchange(*asked(body, document["model"])).request.body == body
    replaced = PROVIDER.exchange(*asked(body, "another")).request.body
    assert replaced is not None
    assert msgspec.json.decode(replaced) == {**document, "model": "another"}
    assert list(msgspec.json.decode(replaced)) == list(document)


@pytest.mark.parametrize("recording", ERRORS, ids=lambda r: r.name)
def test_an_error_keeps_its_words_unless_it_is_about_our_key(recording: Recording):
    """Claude Code's recovery reads Anthropic's wording; a refused key of ours must not log the caller out."""
    status = recording.facts.http_status
    error = PROVIDER.error(status, recording.facts.response_headers, recording.response)

    assert isinstance(error, ApiError)
    if status in {401, 403}:
        assert (error.status, error.type, error.should_retry) == (502, "api_error", False)
        assert error.body is None
    else:
        document = msgspec.json.decode(recording.response)
        assert error.status == status
        assert error.document("req_x") == recording.response
        assert error.type == document["error"]["type"]


def asked(body: bytes, model: str):
    """The arguments of `Provider.exchange` for a request that goes to `model`."""
    call = Call(edge="http", request_id="req_1", body=body)
    return call, call.head(), Target("anthropic", model, "default")
