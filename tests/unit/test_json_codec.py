"""The JSON codec: nothing is lost in either direction, and nothing untrusted passes unproven."""

import os
from random import Random
from typing import Any

import msgspec
import pytest
from ccproxy_pb.v1 import content_pb2, proxy_pb2, status_pb2
from ccproxy_pb.v1.json_codec import ROUTES, JsonTextError, decode, encode
from fuzz.documents import EVENTS, HAND_WRITTEN, RECORDINGS, recorded
from fuzz.mutate import mutated, nested_results, same
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

CASES = int(os.environ.get("CCPROXY_FUZZ_CASES", "2000"))
SEED = os.environ.get("CCPROXY_FUZZ_SEED", "lossless")


def document_of(message: Any) -> Any:
    """The document that the receiver of `message` reads."""
    return msgspec.json.decode(encode(type(message).FromString(message.SerializeToString())))


def there_and_back(message_class: Any, document: Any) -> Any:
    """The document after JSON, protobuf, the wire, protobuf and JSON."""
    return document_of(decode(message_class, msgspec.json.encode(document)))


def request(**members: Any) -> proxy_pb2.CreateMessageRequest:
    """The request with these members."""
    return decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(members))


def damaged(data: bytes, random: Random) -> bytes:
    """`data` with some bytes changed, lost or repeated."""
    buffer = bytearray(data)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(buffer) + 1)
        some = random.choice((b"", bytes([random.randrange(256)]), random.choice((b'"', b"{", b"]", b",", b"\\"))))
        buffer[place : place + random.randint(0, 2)] = some
    return bytes(buffer)


# Nothing is lost.


@pytest.mark.parametrize(("message_class", "document"), HAND_WRITTEN)
def test_document_survives_protobuf(message_class: Any, document: Any):
    """A gRPC client and an HTTP client must be able to say, and to be told, the same."""
    assert same(there_and_back(message_class, document), document)


def test_recorded_documents_survive_protobuf():
    """Real traffic holds what no hand-written sample thinks of."""
    if not RECORDINGS.is_dir():
        pytest.skip("no recordings")

    lost = [
        (kind.DESCRIPTOR.name, document)
        for kind, document in recorded()
        if not same(there_and_back(kind, document), document)
    ]

    assert lost == []


def test_mutated_documents_survive_protobuf():
    """The provider adds blocks and members each quarter: what no field models must come back all the same."""
    by_class: dict[Any, list[Any]] = {}
    for message_class, document in (*HAND_WRITTEN, *recorded()):
        by_class.setdefault(message_class, []).append(document)

    for case in range(CASES):
        random = Random(f"{SEED}:{case}")  # noqa: S311  # It must repeat itself.
        message_class = random.choice(list(by_class))
        document = mutated(random.choice(by_class[message_class]), random)
        if message_class is proxy_pb2.CreateMessageRequest:
            document.pop("stream", None)

        assert same(there_and_back(message_class, document), document), (
            f"CCPROXY_FUZZ_SEED={SEED}, case {case}: {message_class.DESCRIPTOR.name} {document!r}"
        )


def test_absent_empty_and_zero_differ():
    """Rule 1: `max_tokens: 0` warms a cache, and "" is another text than none."""
    document = {"max_tokens": 0, "model": "", "messages": [{"role": "", "content": ""}]}

    assert same(there_and_back(proxy_pb2.CreateMessageRequest, document), document)


def test_role_is_any_text():
    """Rule 2: Anthropic owns the value set, and extends it."""
    assert request(messages=[{"role": "developer"}]).messages[0].role == "developer"


def test_tool_input_keeps_its_text():
    """Rule 3: the prompt cache matches prefixes, so the order of keys and the spelling of numbers stay."""
    data = b'{"messages":[{"content":[{"type":"tool_use","input":{"z":1e5,"a":[1.50]}}]}]}'

    message = decode(proxy_pb2.CreateMessageRequest, data)

    assert message.messages[0].content.blocks.blocks[0].tool_use.input_json == '{"z":1e5,"a":[1.50]}'


@pytest.mark.parametrize(
    "members",
    [
        {"member_of_next_year": {"a": [1]}},
        {"service_tier": None},
        {"stop_sequences": []},
        {"stop_sequences": ["a", 1]},
        {"tools": {}},
        {"max_tokens": 2**31},
        {"max_tokens": -(2**31) - 1},
        {"max_tokens": 1.0},
        {"max_tokens": True},
        {"max_tokens": "1"},
        {"temperature": 2**53 + 1},
        {"temperature": False},
        {"system": 5},
        {"thinking": "enabled"},
        {"tools": [{"name": "read"}, 5]},
        {"extra_json": "{}"},
    ],
)
def test_member_that_no_field_holds_exactly_is_extra(members: dict[str, Any]):
    """Rules 4 and 8: a wrong type must reach the core, which refuses it, and not be made to fit."""
    message = request(**members)

    assert msgspec.json.decode(message.extra_json) == members


@pytest.mark.parametrize("number", [0, 1, -1, 2**53, -(2**53), 0.1, 1e300, 5e-324])
def test_double_keeps_its_value(number: float):
    """Rule 4: a number goes to a double only where it comes back equal."""
    message = request(temperature=number)

    assert (message.extra_json, document_of(message)) == ("", {"temperature": number})


def test_number_out_of_range_stays_text():
    """1e400 is JSON, though no double: whether to refuse it is the core's affair."""
    message = decode(proxy_pb2.CreateMessageRequest, b'{"temperature":1e400}')

    assert encode(message) == b'{"temperature":1e400}'


@pytest.mark.parametrize("content", ["text", "", [], [{"type": "text", "text": "text"}]])
def test_string_and_array_stay_distinct(content: Any):
    """Rule 5: the two spellings mean the same to Anthropic, yet not to its prompt cache."""
    message = request(system=content)

    assert (message.HasField("system"), document_of(message)) == (True, {"system": content})


@pytest.mark.parametrize(
    ("block", "tag"),
    [
        ({"type": "block_of_next_year", "size": 2**70}, "block_of_next_year"),
        ({"type": "opaque", "json": "{}"}, "opaque"),
        ({"type": 5}, ""),
        ({"type": None}, ""),
        ({"text": "no type"}, ""),
        ("a string", ""),
        ([{"type": "text"}], ""),
        (None, ""),
    ],
)
def test_block_without_a_case_is_opaque(block: Any, tag: str):
    """Rule 6: a block of next year passes through today's proxy."""
    message = decode(proxy_pb2.Message, msgspec.json.encode({"content": [block]}))

    opaque = message.content[0].opaque

    assert (opaque.type, msgspec.json.decode(opaque.json)) == (tag, block)


def test_blocks_too_deep_for_protobuf_are_opaque():
    """Readers refuse 100 nested messages: deeper blocks must not make the message unreadable."""
    document = {"messages": [{"content": nested_results(60)}]}

    assert same(there_and_back(proxy_pb2.CreateMessageRequest, document), document)


@pytest.mark.parametrize("levels", range(10, 24))
def test_deepest_typed_blocks_can_be_read(levels: int):
    """The limit must leave room for what lies around the blocks and inside the last one."""
    blocks: list[Any] = [
        {"type": "document", "source": {"type": "text", "data": "innermost"}, "citations": {"enabled": True}}
    ]
    for _ in range(levels):
        blocks = [{"type": "tool_result", "content": blocks}]
    document = {"type": "message_start", "message": {"content": blocks}}

    assert same(there_and_back(proxy_pb2.MessageStreamEvent, document), document)


def test_event_type_is_its_case():
    """The gRPC case and the SSE event's name are one word."""
    events = [decode(proxy_pb2.MessageStreamEvent, msgspec.json.encode(event)) for event in EVENTS[:-1]]

    assert [event.WhichOneof("event") for event in events] == [event["type"] for event in EVENTS[:-1]]


# What is not JSON is refused.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model":}',
        b'{"model":"a"} x',
        b'{"model":"\xff"}',
        b'{"unknown":"\xed\xa0\x80"}',
        b'{"unknown":"\\ud83d x"}',
        b'{"unknown":NaN}',
        b"\xef\xbb\xbf{}",
        b'{"messages":' + b"[" * 100_000,
        b'{"unknown":[' + b"1," * 800_000 + b"1]}",
        b'{"unknown":[' + b"[" * 600_000,
    ],
)
def test_document_that_is_no_json_object_is_refused(data: bytes):
    """An edge answers one class of error; any other exception would be an internal error."""
    with pytest.raises(JsonTextError):
        decode(proxy_pb2.CreateMessageRequest, data)


@pytest.mark.parametrize("levels", range(880, 1000, 10))
def test_depth_near_the_limit_is_an_answer_or_the_error(levels: int):
    """The parser counts Python's own frames, so where exactly it gives up is not ours to say."""
    data = b'{"type":"tool_result","content":[' * (levels // 2) + b"]}" * (levels // 2)
    try:
        message = decode(proxy_pb2.MessageStreamEvent, data)
    except JsonTextError:
        return

    assert encode(message) == data


def test_damaged_documents_are_read_or_refused():
    """Any other exception would be an internal error, and perhaps say what the document held."""
    for case in range(CASES):
        random = Random(f"{SEED}:json:{case}")  # noqa: S311  # It must repeat itself.
        message_class, document = random.choice(HAND_WRITTEN)
        data = damaged(msgspec.json.encode(document), random)
        try:
            message = decode(message_class, data)
        except JsonTextError:
            continue

        assert msgspec.json.decode(encode(message), type=msgspec.Raw), (
            f"CCPROXY_FUZZ_SEED={SEED}, case {case}: {data!r}"
        )


def test_damaged_messages_are_written_or_refused():
    """A gRPC client sends what it likes: no bytes may make a document that is not JSON."""
    for case in range(CASES):
        random = Random(f"{SEED}:wire:{case}")  # noqa: S311  # It must repeat itself.
        message_class, document = random.choice(HAND_WRITTEN)
        data = damaged(decode(message_class, msgspec.json.encode(document)).SerializeToString(), random)
        try:
            written = encode(message_class.FromString(data))
        except (DecodeError, JsonTextError):
            continue

        assert msgspec.json.decode(written, type=msgspec.Raw), f"CCPROXY_FUZZ_SEED={SEED}, case {case}: {data!r}"


def test_errors_are_value_errors():
    """A caller that does not know the codec catches what it would catch of any parser."""
    assert issubclass(JsonTextError, ValueError)


# Untrusted messages are proven.

BAD_TEXTS = [
    "{",
    "",
    '{"a":1} {"b":2}',
    '{"a":1},"b":{}',
    '{"a":NaN}',
    "{'a':1}",
    '{"a":"\\ud800"}',
    '{"a":1,}',
    "[" * 100_000,
]
BLOCK = content_pb2.ContentBlock


def with_block(block: content_pb2.ContentBlock) -> proxy_pb2.CreateMessageRequest:
    """A request whose first turn's second block is `block`."""
    first = BLOCK(text=content_pb2.TextBlock(text="first"))
    content = content_pb2.Content(blocks=content_pb2.ContentBlocks(blocks=[first, block]))
    return proxy_pb2.CreateMessageRequest(messages=[content_pb2.InputMessage(role="user", content=content)])


@pytest.mark.parametrize("text", [text for text in BAD_TEXTS if text])
def test_bad_input_json_is_refused_by_its_path(text: str):
    """Text put into a document unproven could close the object it is in, and say something else."""
    message = with_block(BLOCK(tool_use=content_pb2.ToolUseBlock(name="read", input_json=text)))

    with pytest.raises(JsonTextError) as error:
        encode(message)

    assert error.value.path == "messages.0.content.1.input_json"


@pytest.mark.parametrize("text", [*BAD_TEXTS[2:], "{", "[]", "null", '"a"', "1"])
def test_extra_json_that_is_no_object_is_refused_by_its_path(text: str):
    """Its members are merged into an object: nothing else has members."""
    message = with_block(BLOCK(text=content_pb2.TextBlock(extra_json=text)))

    with pytest.raises(JsonTextError) as error:
        encode(message)

    assert error.value.path == "messages.0.content.1.extra_json"


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_bad_opaque_json_is_refused_by_its_path(text: str):
    """An opaque block is the client's own text in the middle of the document."""
    message = with_block(BLOCK(opaque=content_pb2.OpaqueJson(type="a", json=text)))

    with pytest.raises(JsonTextError) as error:
        encode(message)

    assert error.value.path == "messages.0.content.1.opaque.json"


def test_error_message_names_the_path():
    """The edge shows it as a field violation."""
    message = proxy_pb2.CreateMessageRequest(
        tools=[proxy_pb2.Tool(input_schema_json="{}"), proxy_pb2.Tool(input_schema_json="{")]
    )

    with pytest.raises(JsonTextError, match=r"^tools\.1\.input_schema_json: not a JSON value: "):
        encode(message)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (with_block(BLOCK()), "messages.0.content.1"),
        (proxy_pb2.CreateMessageRequest(system=content_pb2.Content()), "system"),
        (
            with_block(BLOCK(image=content_pb2.ImageBlock(source=content_pb2.MediaSource()))),
            "messages.0.content.1.source",
        ),
        (proxy_pb2.MessageStreamEvent(), ""),
    ],
)
def test_union_without_a_case_is_refused_by_its_path(message: Any, path: str):
    """It has no JSON; to invent one would hide the client's mistake, or a case this schema does not know yet."""
    with pytest.raises(JsonTextError, match="no case is set") as error:
        encode(message)

    assert error.value.path == path


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_json_cannot_say_is_refused(number: float):
    """The encoder would write null, which is another value."""
    with pytest.raises(JsonTextError, match=r"^temperature: "):
        encode(proxy_pb2.CreateMessageRequest(temperature=number))


def test_set_field_wins_over_an_extra_member():
    """A client of an older schema sends a member that has become a field since."""
    message = proxy_pb2.CreateMessageRequest(model="field", extra_json='{"model":"extra","top_k":5}')

    assert msgspec.json.decode(encode(message)) == {"model": "field", "top_k": 5}


def test_type_of_a_block_is_its_case():
    """An extra "type" would make of a block that was typed another one."""
    message = with_block(BLOCK(text=content_pb2.TextBlock(text="a", extra_json='{"type":"tool_use"}')))

    assert msgspec.json.decode(encode(message))["messages"][0]["content"][1] == {"type": "text", "text": "a"}


def test_stream_in_extra_json_is_refused():
    """Rule 7: the RPC says whether to stream; a member could only contradict it."""
    with pytest.raises(JsonTextError, match=r"^extra_json\.stream: "):
        encode(proxy_pb2.CreateMessageRequest(extra_json='{"stream":true}'))


def test_escaped_stream_in_extra_json_is_refused():
    """The name counts, not its spelling."""
    with pytest.raises(JsonTextError):
        encode(proxy_pb2.CreateMessageRequest(extra_json='{"str\\u0065am":true}'))


def test_stream_in_a_document_is_refused():
    """It would be lost: the caller chooses the RPC by it and takes it out."""
    with pytest.raises(JsonTextError, match=r"^stream: "):
        request(model="a", stream=True)


@pytest.mark.parametrize(
    "message",
    [
        proxy_pb2.CreateMessageRequest(stop_sequences=[""] * 300_000),
        proxy_pb2.CreateMessageRequest(messages=[content_pb2.InputMessage(role="")] * 300_000),
        proxy_pb2.CreateMessageRequest(extra_json="{" + ",".join(f'"{i}":1' for i in range(300_000)) + "}"),
        proxy_pb2.CreateMessageRequest(extra_json="{" + '"a":1,' * 800_000 + '"a":1}'),
        proxy_pb2.CreateMessageRequest(tools=[proxy_pb2.Tool(extra_json='{"a":1,"b":2,"c":3}')] * 90_000),
    ],
    ids=["strings", "messages", "members", "separators", "all together"],
)
def test_message_of_too_many_values_is_refused(message: Any):
    """A few megabytes of empty elements would stall the event loop for seconds."""
    with pytest.raises(JsonTextError, match="too many"):
        encode(message)


def test_message_nested_beyond_the_stack_is_refused():
    """No parser makes such a message, but code may."""
    message = proxy_pb2.Message()
    inner = message.content.add()
    for _ in range(400):
        inner = inner.tool_result.content.blocks.blocks.add()
    inner.text.text = "innermost"

    with pytest.raises(JsonTextError, match="too deeply"):
        encode(message)


# Status.


def test_info_is_the_documented_json():
    """The specification's example, byte for byte once compacted."""
    message = status_pb2.GetInfoResponse(message="LLMs API", version="1.0.0")

    assert encode(message) == b'{"message":"LLMs API","version":"1.0.0"}'


def test_basic_health_is_the_documented_json():
    """What an unknown caller gets: no other member may appear."""
    assert encode(status_pb2.GetHealthResponse(status=status_pb2.HEALTH_STATUS_HEALTHY)) == b'{"status":"healthy"}'


def test_detailed_health_is_the_documented_json():
    """Monitoring scripts read these names, and need numbers where a JSON mapping of protobuf has strings."""
    message = status_pb2.GetHealthResponse(
        status=status_pb2.HEALTH_STATUS_DEGRADED,
        timestamp=Timestamp(seconds=1737109800, nanos=123_456_789),
        uptime_nanos=7945000000000,
        version="1.0.0",
        config=status_pb2.HealthConfig(host="127.0.0.1", port=3456, providers=2, api_key_configured=True),
        performance=status_pb2.Performance(
            memory_mb=15.2,
            goroutines=23,
            requests=status_pb2.RequestStats(total=1250, success=1198, failed=52),
            latency=status_pb2.LatencyStats(avg_ms=245, p50_ms=200, p95_ms=450, p99_ms=890),
        ),
    )

    assert encode(message) == (
        b'{"status":"degraded","timestamp":"2025-01-17T10:30:00Z","uptime":7945000000000,"version":"1.0.0",'
        b'"config":{"host":"127.0.0.1","port":3456,"providers":2,"api_key_configured":true},'
        b'"performance":{"memory_mb":15.2,"goroutines":23,'
        b'"requests":{"total":1250,"success":1198,"failed":52},'
        b'"latency":{"avg_ms":245,"p50_ms":200,"p95_ms":450,"p99_ms":890}}}'
    )


def test_status_without_counts_says_zero():
    """`jq .providers.count` must print 0 at the start, and not null."""
    message = status_pb2.GetStatusResponse(
        service="CCProxy", status=status_pb2.SERVICE_STATE_RUNNING, providers=status_pb2.ProviderSummary()
    )

    assert encode(message) == (
        b'{"service":"CCProxy","version":"","status":"running","uptime":"","pid":0,"host":"","port":0,'
        b'"api_key_configured":false,"providers":{"count":0,"active":[]}}'
    )


def test_unset_health_has_no_json():
    """A status that nobody set is a mistake, not a health."""
    with pytest.raises(JsonTextError, match=r"^status: "):
        encode(status_pb2.GetHealthResponse())


def test_routes_name_methods_as_the_wire_does():
    """The gRPC edge looks a call's method up as it arrives."""
    assert ("/ccproxy.v1.Proxy/StreamMessage", "POST", "/v1/messages", True) in ROUTES
