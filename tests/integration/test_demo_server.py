"""The demo upstream over sockets: official SDK, plain HTTP, faults, and clients that leave."""

import asyncio
import time
from collections.abc import AsyncIterator

import anthropic
import httpx
import msgspec
import pytest

from ccproxy.demo import Demo
from ccproxy.demo.server import MAX_BODY

SECONDS = 5.0  # far more than anything here takes


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """A demo upstream on a free port."""
    async with Demo.serve() as demo:
        yield demo


@pytest.fixture
async def claude(demo: Demo) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The official client, pointed at it."""
    async with anthropic.AsyncAnthropic(base_url=demo.anthropic_url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
async def http(demo: Demo) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client without any key."""
    async with httpx.AsyncClient(base_url=demo.url, timeout=SECONDS) as client:
        yield client


def messages(text: str, **members: object) -> dict[str, object]:
    """Body of a Messages request."""
    message = {"role": "user", "content": text}
    return {"model": "claude-demo-1", "max_tokens": 1000, "messages": [message], **members}


def chat(text: str, **members: object) -> dict[str, object]:
    """Body of a Chat Completions request."""
    return {"model": "gpt-demo-1", "messages": [{"role": "user", "content": text}], **members}


def responses(text: str, **members: object) -> dict[str, object]:
    """Body of a Responses request."""
    return {"model": "gpt-5-demo", "input": text, **members}


def contents(text: str) -> dict[str, object]:
    """Body of a Gemini request."""
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


ANSWERED = [
    ("/anthropic/v1/messages", messages),
    ("/openai/v1/chat/completions", chat),
    ("/openai/v1/responses", responses),
    ("/deepseek/chat/completions", chat),
    ("/deepseek/v1/chat/completions", chat),
    ("/deepseek/anthropic/v1/messages", messages),
    ("/openrouter/api/v1/chat/completions", chat),
    ("/openrouter/api/v1/messages", messages),
]


async def collect(source: AsyncIterator[object], into: list[object]) -> None:
    """Reads to the end; what came before an error is kept."""
    async for item in source:
        into.append(item)  # noqa: PERF401  # a comprehension would lose them


async def eventually(demo: Demo, open_streams: int) -> None:
    """Waits until so many streams are open."""
    async with asyncio.timeout(SECONDS):
        while demo.open_streams != open_streams:  # noqa: ASYNC110  # the demo tells numbers, no events
            await asyncio.sleep(0.001)


async def test_the_sdk_gets_an_answer(claude: anthropic.AsyncAnthropic):
    """The first thing anybody tries."""
    message = await claude.messages.create(**messages("hello"))

    assert message.content[0].text == "Demo answer to: hello"


async def test_the_blocking_sdk_gets_an_answer(demo: Demo):
    """A script's client blocks its own thread, not the demo's loop."""

    def ask() -> str:
        with anthropic.Anthropic(base_url=demo.anthropic_url, api_key="any", max_retries=0) as client:
            return client.messages.create(**messages("hello")).content[0].text

    assert await asyncio.to_thread(ask) == "Demo answer to: hello"


@pytest.mark.parametrize(
    "text",
    [
        "hello there",
        '[[think hm hm]] [[say on it]] [[tool read {"path": "a"}]] [[tool list {}]]',
        "[[stop refusal]]",
        '[[say ""]]',
        "[[tokens 300]]",
    ],
)
async def test_the_folded_stream_is_the_whole_answer(claude: anthropic.AsyncAnthropic, text: str):
    """Two shapes of one answer; only ids differ."""
    whole = await claude.messages.create(**messages(text))
    async with claude.messages.stream(**messages(text)) as stream:
        folded = await stream.get_final_message()

    def facts(message: anthropic.types.Message) -> tuple[object, ...]:
        blocks = [block.model_dump(exclude={"id", "parsed_output"}) for block in message.content]
        return blocks, message.stop_reason, message.usage.output_tokens, message.usage.input_tokens

    assert facts(folded) == facts(whole)


async def test_a_tool_loop_ends(claude: anthropic.AsyncAnthropic):
    """Call, result, answer: what every agent does."""
    request = messages('[[tool read {"path": "a"}]]', tools=[{"name": "read", "input_schema": {"type": "object"}}])
    first = await claude.messages.create(**request)
    call = first.content[0]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "42"}
    conversation = [
        *request["messages"],
        {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [result]},
    ]
    last = await claude.messages.create(**{**request, "messages": conversation})

    assert (first.stop_reason, last.stop_reason) == ("tool_use", "end_turn")
    assert last.content[0].text == "Demo: tool read returned: 42"


async def test_counted_tokens_are_the_usage(claude: anthropic.AsyncAnthropic):
    """Claude Code compares both."""
    request = messages("hello there", system="Be brief.")
    message = await claude.messages.create(**request)
    del request["max_tokens"]

    assert (await claude.messages.count_tokens(**request)).input_tokens == message.usage.input_tokens


async def test_the_sdk_pages_through_the_models(claude: anthropic.AsyncAnthropic):
    """The SDK follows `has_more` and `last_id` by itself."""
    ids = [model.id async for model in claude.models.list(limit=1)]

    assert ids == ["claude-demo-1", "claude-demo-1-mini", "claude-demo-0"]
    assert (await claude.models.retrieve(ids[1])).id == ids[1]


async def test_the_sdk_raises_what_a_directive_asks_for(claude: anthropic.AsyncAnthropic):
    """Status, type, message and headers all reach the client."""
    with pytest.raises(anthropic.RateLimitError, match="slow down") as raised:
        await claude.messages.create(**messages('[[error 429 {"retry-after": "7"} slow down]]'))

    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.request_id.startswith("req_demo_")
    assert raised.value.body["error"]["type"] == "rate_limit_error"


async def test_a_wrong_directive_is_refused_with_its_grammar(claude: anthropic.AsyncAnthropic):
    """Nobody reads documentation first."""
    with pytest.raises(anthropic.BadRequestError, match=r"\[\[pace MILLISECONDS\]\]"):
        await claude.messages.create(**messages("[[pace fast]]"))


async def test_the_sdk_sees_a_failure_in_mid_stream(claude: anthropic.AsyncAnthropic):
    """After the first piece an error can only be an event."""
    got = list[object]()
    async with claude.messages.stream(**messages("[[tokens 9]][[fail 2 api_error broken]]")) as stream:
        with pytest.raises(anthropic.APIStatusError) as raised:
            await collect(stream.text_stream, got)

    assert got == ["Demo", " 2"]
    assert raised.value.body["error"] == {"type": "api_error", "message": "broken"}


async def test_a_failure_of_a_whole_answer_is_a_status(claude: anthropic.AsyncAnthropic):
    """An answer in one piece has no middle."""
    with pytest.raises(anthropic.APIStatusError) as raised:
        await claude.messages.create(**messages("[[fail 2]]"))

    assert raised.value.status_code == 529


@pytest.mark.parametrize(("path", "body"), ANSWERED)
async def test_a_cut_stream_has_its_pieces_and_no_end(http: httpx.AsyncClient, path: str, body: object):
    """Truncation must be truncation on the wire: chunks without a last one."""
    got = list[bytes]()
    async with http.stream("POST", path, json=body("[[tokens 9]][[cut 3]]", stream=True)) as response:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await collect(response.aiter_bytes(), got)

    assert b"".join(got).count(b" 3") == 1
    assert b" 4" not in b"".join(got)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cut_before_the_first_byte_is_no_answer(http: httpx.AsyncClient, *, stream: bool):
    """This is the failure that may be tried again."""
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        await http.post("/anthropic/v1/messages", json=messages("[[cut]]", stream=stream))


async def test_a_cut_document_is_half(http: httpx.AsyncClient):
    """The headers promise more than comes."""
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        await http.post("/anthropic/v1/messages", json=messages("[[cut 0]]"))


async def test_an_error_may_be_no_json(http: httpx.AsyncClient):
    """What stands between a client and a provider answers in HTML."""
    text = '[[error 502 {"Content-Type": "text/html"} <h1>Bad gateway</h1>]]'
    response = await http.post("/openai/v1/chat/completions", json=chat(text))

    assert (response.status_code, response.text) == (502, "<h1>Bad gateway</h1>")


async def test_chat_completions_stream(http: httpx.AsyncClient):
    """The other dialect, over a socket, byte for byte to its end."""
    request = chat("hi", stream=True, stream_options={"include_usage": True})
    response = await http.post("/openai/v1/chat/completions", json=request)
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    chunks = [msgspec.json.decode(line) for line in lines[:-1]]

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert lines[-1] == "[DONE]"
    assert chunks[-1]["usage"]["total_tokens"] == 8
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks[:-1]) == "Demo answer to: hi"


async def test_chat_completions_answer_whole(http: httpx.AsyncClient):
    """Without `stream` it is one document, with the id in OpenAI's header."""
    response = await http.post("/openai/v1/chat/completions", json=chat("hi"))

    assert response.json()["choices"][0]["message"]["content"] == "Demo answer to: hi"
    assert response.headers["x-request-id"].startswith("req_demo_")


GEMINI = "/gemini/v1beta/models/gemini-3-demo"


async def test_gemini_answers_whole_and_streamed(http: httpx.AsyncClient):
    """Its paths say the model and whether it is a stream, not its bodies."""
    whole = await http.post(f"{GEMINI}:generateContent", json=contents("hi"))
    stream = await http.post(f"{GEMINI}:streamGenerateContent?alt=sse", json=contents("hi"))

    assert whole.json()["candidates"][0]["content"]["parts"][0]["text"] == "Demo answer to: hi"
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.text.count("data: ") > 1


async def test_gemini_counts_and_lists(http: httpx.AsyncClient):
    """The count is the usage to come; the list has the model that answered."""
    counted = (await http.post(f"{GEMINI}:countTokens", json=contents("hi"))).json()
    answer = (await http.post(f"{GEMINI}:generateContent", json=contents("hi"))).json()
    listed = (await http.get("/gemini/v1beta/models")).json()["models"]

    assert counted["totalTokens"] == answer["usageMetadata"]["promptTokenCount"]
    assert (await http.get(GEMINI)).json() == listed[0]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/gemini/v1beta/models/none", 404, "NOT_FOUND"),
        ("POST", f"{GEMINI}:generateContent", 400, "INVALID_ARGUMENT"),
        ("POST", f"{GEMINI}:streamGenerateContent", 400, "INVALID_ARGUMENT"),
        ("POST", f"{GEMINI}:embedContent", 405, "INVALID_ARGUMENT"),
    ],
)
async def test_gemini_refuses_in_its_words(
    http: httpx.AsyncClient, method: str, path: str, status: int, kind: str
):
    """A client of a provider understands nothing else."""
    response = await http.request(method, path)

    assert (response.status_code, response.json()["error"]["status"]) == (status, kind)


@pytest.mark.parametrize("base", ["/openai/v1", "/deepseek", "/deepseek/v1", "/openrouter/api/v1"])
async def test_models_of_others(http: httpx.AsyncClient, base: str):
    """The list and its members agree, also where an id has a slash."""
    models = (await http.get(f"{base}/models")).json()["data"]

    assert (await http.get(f"{base}/models/{models[0]['id']}")).json() == models[0]


@pytest.mark.parametrize(("path", "body"), ANSWERED)
@pytest.mark.parametrize("stream", [False, True])
async def test_every_wire_answers(http: httpx.AsyncClient, path: str, body: object, *, stream: bool):
    """Whole and streamed, at the addresses that the page about the demo names."""
    response = await http.post(path, json=body("hi", stream=stream))

    assert response.status_code == 200
    assert ("Demo" in response.text, "hi" in response.text) == (True, True)
    assert ("text/event-stream" in response.headers["content-type"]) is stream


@pytest.mark.parametrize(("path", "body"), ANSWERED)
async def test_every_wire_fails_in_mid_stream(http: httpx.AsyncClient, path: str, body: object):
    """The pieces before it, the error, and no end that looks well."""
    response = await http.post(path, json=body("[[tokens 9]][[fail 3 api_error broken]]", stream=True))

    assert '" 3"' in response.text
    assert '" 4"' not in response.text
    assert '"message":"broken"' in response.text.replace(": ", ":")
    assert '"stop"' not in response.text


@pytest.mark.parametrize(("path", "body"), ANSWERED)
async def test_every_wire_has_errors(http: httpx.AsyncClient, path: str, body: object):
    """With the status, the headers and the message that a directive asks for."""
    response = await http.post(path, json=body('[[error 429 rate_limit_error {"retry-after": "7"} slow down]]'))

    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.json()["error"]["message"] == "slow down"


async def test_openrouter_adds_a_done_to_anthropics_events(http: httpx.AsyncClient):
    """Anthropic's SDKs cannot read it, so whoever relays must leave it out."""
    ends = [
        (await http.post(path, json=messages("hi", stream=True))).text.endswith("event: data\ndata: [DONE]\n\n")
        for path in ("/openrouter/api/v1/messages", "/deepseek/anthropic/v1/messages")
    ]

    assert ends == [True, False]


async def test_responses_count_tokens(http: httpx.AsyncClient):
    """OpenAI's own count, and the usage that comes of it."""
    counted = (await http.post("/openai/v1/responses/input_tokens", json=responses("hello there"))).json()
    answer = (await http.post("/openai/v1/responses", json=responses("hello there"))).json()

    assert counted == {"object": "response.input_tokens", "input_tokens": answer["usage"]["input_tokens"]}


async def test_a_model_of_responses_is_sent_there(http: httpx.AsyncClient):
    """A gateway that asks the wrong wire first can find the right one by these words."""
    response = await http.post("/openai/v1/chat/completions", json=chat("hi", model="gpt-5.5"))

    assert response.status_code == 400
    assert "v1/responses" in response.json()["error"]["message"]


async def test_thinking_that_comes_back_is_counted(demo: Demo, http: httpx.AsyncClient):
    """And what is not the demo's own is refused, in the word that the provider has for it."""
    wish = {"include": ["reasoning.encrypted_content"]}
    thought, said = (await http.post("/openai/v1/responses", json=responses("[[think hm]] hi", **wish))).json()[
        "output"
    ]
    own = await http.post("/openai/v1/responses", json={"model": "gpt-5-demo", "input": [thought, said]})
    foreign = {**thought, "encrypted_content": "gAAAA"}
    other = await http.post("/openai/v1/responses", json={"model": "gpt-5-demo", "input": [foreign, said]})

    assert (own.status_code, demo.recalled) == (200, 1)
    assert (other.status_code, other.json()["error"]["code"]) == (400, "invalid_encrypted_content")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/anthropic/v1/models/none", 404, "not_found_error"),
        ("GET", "/openai/v1/models/none", 404, "invalid_request_error"),
        ("GET", "/deepseek/models/none", 404, "invalid_request_error"),
        ("GET", "/deepseek/anthropic/v1/none", 404, "not_found_error"),
        ("GET", "/openrouter/api/v1/messages", 405, "invalid_request_error"),
        ("GET", "/anthropic/v1/messages", 405, "invalid_request_error"),
        ("POST", "/openai/v1/embeddings", 404, "invalid_request_error"),
        ("POST", "/anthropic/v1/messages", 400, "invalid_request_error"),
    ],
)
async def test_refusals_are_in_the_dialect(
    http: httpx.AsyncClient, method: str, path: str, status: int, kind: str
):
    """A client of a provider understands nothing else."""
    response = await http.request(method, path)

    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


COUNTED = ["/anthropic/v1/messages/count_tokens", "/openai/v1/responses/input_tokens"]
GENERATED = [
    f"/gemini/v1beta/models/gemini-demo-1:{what}"
    for what in ("generateContent", "countTokens", "streamGenerateContent?alt=sse")
]


@pytest.mark.parametrize("path", [*(path for path, _ in ANSWERED), *COUNTED, *GENERATED])
@pytest.mark.parametrize("body", [b"\xff", b'{"model":"m\xff"}', b'{"\xff":1}', '{"model":"é"}'.encode("utf-16")])
async def test_a_body_that_is_no_utf_8_is_refused(http: httpx.AsyncClient, path: str, body: bytes):
    """As providers do. An error of the demo's own would look like a provider that fails, and be tried again."""
    response = await http.post(path, content=body, headers={"content-type": "application/json"})

    assert response.status_code == 400
    assert "UTF-8" in response.json()["error"]["message"]


async def test_a_body_that_is_too_large_is_refused(http: httpx.AsyncClient):
    """At Anthropic's own limit."""
    response = await http.post("/anthropic/v1/messages", content=b" " * (MAX_BODY + 1))

    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")


async def test_nothing_of_the_headers_comes_back(http: httpx.AsyncClient):
    """Somebody will send a real key."""
    headers = {"authorization": "Bearer sk-secret", "x-api-key": "sk-secret"}
    response = await http.post("/anthropic/v1/messages", json=messages("hi"), headers=headers)

    assert response.status_code == 200
    assert "sk-secret" not in response.text + str(response.headers)


@pytest.mark.parametrize(("path", "body"), ANSWERED)
async def test_a_client_that_leaves_in_mid_stream_is_noticed(
    demo: Demo, http: httpx.AsyncClient, path: str, body: object
):
    """This is how a test proves that a gateway closes its upstream."""
    async with http.stream("POST", path, json=body("[[tokens 9]][[pace 10000]]", stream=True)) as response:
        await anext(response.aiter_bytes())
        assert demo.open_streams == 1
    await eventually(demo, open_streams=0)

    assert demo.aborted == 1


async def test_a_client_that_leaves_before_the_first_byte_is_noticed(demo: Demo, http: httpx.AsyncClient):
    """Also an answer that has not begun must be given up."""
    request = messages("[[wait 60000]]", stream=True)
    asking = asyncio.ensure_future(http.post("/anthropic/v1/messages", json=request))
    await eventually(demo, open_streams=1)
    asking.cancel()
    await eventually(demo, open_streams=0)

    assert demo.aborted == 1


async def test_a_client_that_leaves_is_no_mistake_of_the_demo(demo: Demo):
    """Whether a write or the cancellation hears of it first is chance; aiohttp would log the one as an error."""
    with pytest.raises(asyncio.CancelledError), demo._under_way(is_stream=True):
        raise ConnectionResetError

    assert (demo.aborted, demo.open_streams) == (1, 0)


async def test_a_complete_stream_is_not_aborted(demo: Demo, http: httpx.AsyncClient):
    """Otherwise the number would say nothing."""
    await http.post("/anthropic/v1/messages", json=messages("hi", stream=True))
    await eventually(demo, open_streams=0)

    assert demo.aborted == 0


async def test_the_facts_are_served(demo: Demo, http: httpx.AsyncClient):
    """A test in another process reads them here."""
    await http.post("/anthropic/v1/messages", json=messages("hi"))
    facts = (await http.get("/")).json()

    assert facts == {
        "service": "ccproxy demo upstream",
        "requests": 1,
        "open_streams": 0,
        "aborted": 0,
        "recalled": 0,
    }
    assert demo.requests == 1


async def test_pace_and_wait_take_their_time(http: httpx.AsyncClient):
    """A time-out can be tested only by an upstream that is slow."""
    start = time.monotonic()
    await http.post("/anthropic/v1/messages", json=messages("[[tokens 3]][[pace 20]][[wait 40]]", stream=True))

    assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "localhost", "::"])
async def test_only_loopback_is_served(host: str):
    """It asks for no key, so nobody else may reach it."""
    with pytest.raises(ValueError, match=host):
        async with Demo.serve(host=host):
            pass


async def test_the_demo_leaves_with_its_block():
    """It lives in another program's loop, which must come to its end, even with a stream under way."""
    async with httpx.AsyncClient(timeout=SECONDS) as client:
        async with Demo.serve() as demo:
            request = client.build_request(
                "POST",
                f"{demo.anthropic_url}/v1/messages",
                json=messages("[[tokens 9]][[pace 60000]]", stream=True),
            )
            response = await client.send(request, stream=True)
        await response.aclose()
        with pytest.raises(httpx.ConnectError):
            await client.get(demo.url)


async def test_two_demos_know_nothing_of_each_other():
    """Tests run beside each other."""
    async with Demo.serve() as one, Demo.serve() as other, httpx.AsyncClient() as client:
        await client.get(f"{one.openai_url}/models")

        assert (one.requests, other.requests) == (1, 0)
