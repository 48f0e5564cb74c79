"""What is read of a request, and how a mistake in it is told."""

from typing import Any

import msgspec
import pytest

from ccproxy import messages
from ccproxy.documents import check_budget, decode_head, decode_request, replace_members
from ccproxy.errors import ApiError, Reason
from ccproxy.messages import ContentSource, Document, Image, Text, ToolResult, Unknown


def request(*content: Any, **members: Any) -> bytes:
    """A request whose one turn holds `content`."""
    document = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}], **members}
    return msgspec.json.encode(document)


def blocks(*content: Any) -> list[messages.Block]:
    """The blocks that are read of `content`."""
    read = decode_request(request(*content)).messages[0].content
    assert isinstance(read, list)
    return read


def refusal(body: bytes) -> str:
    """What the caller is told about a request."""
    with pytest.raises(ApiError) as failure:
        decode_request(body)
    assert failure.value.reason is Reason.INVALID_REQUEST
    return failure.value.message


# The head.


def test_the_head_opens_only_what_routing_needs():
    """The rest of a megabyte stays as it came."""
    head = decode_head(b'{"model":"m","stream":true,"messages":[ 1, 2 ]}')

    assert (head.model, head.stream) == ("m", True)
    assert bytes(head.fields["messages"]) == b"[ 1, 2 ]"


def test_a_request_that_does_not_mention_streaming_is_not_streamed():
    """Anthropic's default."""
    assert decode_head(b'{"model":"m"}').stream is False


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request body is not valid JSON: Input data was truncated"),
        (b"[]", "Expected object, got array"),
        (b"{}", "model: Field required"),
        (b'{"model":1}', "model: Expected str, got int"),
        (b'{"model":""}', "model: String should have at least 1 character"),
        (b'{"model":"\xff"}', "model: not UTF-8"),
        (b'{"model":"m","\xff":1}', "The request body is not valid JSON: it is not UTF-8"),
        (b'{"model":"m","stream":"yes"}', "stream: Expected bool, got str"),
        (b'{"a":' * 100_000, "The request body is nested too deeply"),
    ],
    ids=range(9),
)
def test_a_head_that_cannot_be_read_is_the_callers_mistake(body: bytes, message: str):
    """The message names the place and no value: values may be secrets."""
    with pytest.raises(ApiError) as failure:
        decode_head(body)

    assert (failure.value.status, failure.value.message) == (400, message)


@pytest.mark.parametrize("bomb", [b"[" * 500_001, b"," * 750_001], ids=["containers", "separators"])
def test_a_document_of_many_small_values_is_refused(bomb: bytes):
    """A few megabytes of brackets become gigabytes of objects, and nobody else is served meanwhile."""
    with pytest.raises(ApiError, match="too many JSON values"):
        check_budget(bomb + b" " * (1 << 20))


def padded(document: str) -> bytes:
    """A large request."""
    blank = " " * (1 << 20)
    return f'{{"model":"m","max_tokens":1,{blank}{document}}}'.encode()


TURN = '{"role":"user","content":"a"}'
BLOCK = '{"type":"text","text":"a"}'
RESULT = '{"type":"tool_result","tool_use_id":"t","content":[%s]}'
UNKNOWN = '{"type":"zzz"}'


@pytest.mark.parametrize(
    ("document", "times"),
    [
        ('"messages":[%s]', (TURN, 100_001)),
        ('"messages":[{"role":"user","content":[%s]}]', (BLOCK, 100_000)),
        ('"messages":[{"role":"user","content":[%s]}]', (UNKNOWN, 100_000)),
        ('"messages":[{"role":"user","content":[' + RESULT + "]}]", (BLOCK, 100_000)),
        ('"messages":[],"tools":[%s]', ('{"name":"a"}', 100_001)),
    ],
    ids=["turns", "blocks", "unknown blocks", "results", "tools"],
)
def test_what_takes_too_long_to_translate_is_refused(document: str, times: tuple[str, int]):
    """Each costs microseconds of Python, and all other callers wait."""
    unit, count = times
    with pytest.raises(ApiError, match="too many messages, blocks and tools") as failure:
        decode_request(padded(document % ",".join([unit] * count)))

    assert failure.value.status == 400


@pytest.mark.parametrize("content", [f"[{BLOCK}]", '"a"', f"[{UNKNOWN}]", f"[{RESULT % BLOCK}]"])
def test_a_large_request_of_few_parts_is_read(content: str):
    """As most are: images, documents, long texts."""
    request = decode_request(padded(f'"messages":[{{"role":"user","content":{content}}}],"tools":null'))

    assert len(request.messages) == 1


def test_a_large_request_that_does_not_fit_is_told_where():
    """The count says nothing about what it cannot read."""
    with pytest.raises(ApiError, match="messages"):
        decode_request(padded('"messages":7'))


@pytest.mark.parametrize("body", [b"[" * 900_000, b"x" * (2 << 20)], ids=["small", "large"])
def test_other_documents_are_within_the_budget(body: bytes):
    """A small one cannot do harm; a large one of text is what a conversation with images is."""
    check_budget(body)


def test_members_are_replaced_in_place():
    """The rest must reach Anthropic byte for byte: prompt caches depend on it."""
    head = decode_head(b'{"a":[ 1.0 ],"model":"m","b":"\\u00e9"}')

    assert replace_members(head.fields, {"model": "n", "c": 2}) == b'{"a":[ 1.0 ],"model":"n","b":"\\u00e9","c":2}'


# Mistakes in a request.


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"messages": 5}, "messages: Expected array, got int"),
        ({"messages": ["x"]}, "messages.0: Expected object, got str"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content: Expected str | array, got int"),
        ({"max_tokens": "x"}, "max_tokens: Expected int, got str"),
        ({"tools": [{"name": 1}]}, "tools.0.name: Expected str | null, got int"),
        ({"system": [{"type": "image"}]}, "system.0.type: Input tag is not one of the expected values"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id: Expected str | null, got int"),
    ],
)
def test_a_mistake_is_told_by_its_path(members: dict[str, Any], message: str):
    """In Anthropic's notation, which client libraries and their users know."""
    assert refusal(request({"type": "text", "text": "x"}, **members)) == message


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("a", "messages.0.content.0: Expected object, got str"),
        ({"type": "text"}, "messages.0.content.0.text: Field required"),
        ({"text": "a"}, "messages.0.content.0.type: Field required"),
        ({"type": 5}, "messages.0.content.0.type: Expected str"),
        ({"type": "image", "source": 5}, "messages.0.content.0.source: Expected object, got int"),
        ({"type": "image", "source": {"x": 5}}, "messages.0.content.0.source.type: Field required"),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": 5},
            "messages.0.content.0.content: Expected str | array | null, got int",
        ),
        ({"type": "tool_result"}, "messages.0.content.0.tool_use_id: Field required"),
    ],
)
def test_a_mistake_in_a_block_is_told_by_its_path(block: Any, message: str):
    """Also beside a block of an unknown type, which takes another way through the decoder."""
    assert refusal(request(block)) == message
    assert refusal(request(block, {"type": "of_next_year"})) == message


def test_a_missing_member_is_named():
    """It has no place of its own."""
    assert refusal(b'{"model":"m","messages":[]}') == "max_tokens: Field required"


def test_the_decoders_own_words_are_passed_on_without_a_path():
    """A mistake of the whole has none."""
    assert refusal(b"5") == "Expected object, got int"


# Unknown types.


def test_a_block_of_an_unknown_type_is_known_by_its_name():
    """Anthropic adds types every few months; a refused conversation helps nobody."""
    assert blocks({"type": "of_next_year", "x": 1}, {"type": "text", "text": "a"}) == [
        Unknown("of_next_year"),
        Text("a"),
    ]


@pytest.mark.parametrize(
    ("block", "read"),
    [
        ({"type": "compaction", "content": "We spoke of a."}, Text("We spoke of a.")),
        ({"type": "compaction", "content": None}, Unknown("compaction")),
        ({"type": "tool_reference", "tool_name": "read"}, Text("read")),
        ({"type": "tool_reference"}, Unknown("tool_reference")),
    ],
)
def test_a_block_that_is_as_good_as_a_text_is_one(block: dict[str, Any], read: object):
    """A summary is all that is left of a conversation; without it the model has forgotten everything."""
    turn = {"role": "user", "content": [block]}
    request = decode_request(msgspec.json.encode({"model": "m", "max_tokens": 1, "messages": [turn]}))

    assert request.messages[0].content == [read]


def test_unknown_types_are_found_inside_others():
    """Results and documents hold blocks, images hold sources."""
    unknown = {"type": "new"}
    document = {"type": "document", "source": {"type": "content", "content": [unknown]}}

    assert blocks(
        {"type": "image", "source": unknown},
        {"type": "tool_result", "tool_use_id": "t", "content": [unknown, {"type": "text", "text": "a"}]},
        {"type": "tool_result", "tool_use_id": "u"},
        document,
        {"type": "tool_result", "tool_use_id": "v", "content": "a"},
        {"type": "image", "source": {"type": "url", "url": "u"}},
    ) == [
        Image(Unknown("new")),
        ToolResult("t", [Unknown("new"), Text("a")]),
        ToolResult("u"),
        Document(ContentSource([Unknown("new")])),
        ToolResult("v", "a"),
        Image(messages.UrlSource("u")),
    ]


def test_turns_beside_one_with_an_unknown_type_stay_as_they_are():
    """Only what is not understood is replaced."""
    turns = [{"role": "user", "content": "hi"}, {"role": "user", "content": [{"type": "new"}]}]
    read = decode_request(msgspec.json.encode({"model": "m", "max_tokens": 1, "messages": turns}))

    assert [turn.content for turn in read.messages] == ["hi", [Unknown("new")]]


@pytest.mark.parametrize("depth", range(150, 345))
def test_a_nest_of_documents_is_read_or_refused(depth: int):
    """Where the stack just suffices for the decoder, what comes after it needs a little more."""
    nest = b'{"type":"document","source":{"type":"content","content":['
    content = nest * depth + b'{"type":"new"}' + b"]}}" * depth
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[' + content + b"]}]}"

    try:
        decode_request(body)
    except ApiError as failure:
        assert failure.message == "The request body is nested too deeply"  # noqa: PT017  # either is right
