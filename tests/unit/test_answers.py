"""What is the same in every answer."""

import msgspec
import pytest

from ccproxy.errors import UpstreamProtocolError
from ccproxy.messages import StopDetails, Usage
from ccproxy.providers.answers import CallIds, Collector, counted, decode, message_id


def test_ids_of_calls_are_unique_and_fit_anthropic():
    """A client matches results by them, and the conversation may move to Anthropic, which refuses a dot."""
    ids = CallIds("msg_1")
    made = [ids.make(given) for given in ("call_1", "call_1", "x.weather:0", None, "")]

    assert made[0] == "call_1"
    assert len(set(made)) == 5
    assert all(each.replace("_", "").isalnum() for each in made)


def test_an_answer_without_an_id_gets_the_same_one_each_time():
    """Translation knows no randomness: the folded stream equals the whole answer."""
    assert message_id("chat.1", b"") == "msg_chat_1"
    assert message_id(None, b"a") == message_id("", b"a") != message_id(None, b"b")


@pytest.mark.parametrize("document", [b"{", b'"\xff"', b"[" * 10_000])
def test_what_is_no_json_is_the_providers_fault(document: bytes):
    """Any bytes may come."""
    with pytest.raises(UpstreamProtocolError):
        decode(document, dict[str, list[str]], "it")


def test_the_two_counts_that_sdks_read_unasked_are_there():
    """A missing one is a crash in the client."""
    assert counted(Usage(output_tokens=2)) == Usage(input_tokens=0, output_tokens=2)


def test_a_whole_answer_is_collected_as_a_stream_would_be_written():
    """Neighbouring pieces are one block; a signature ends its thinking."""
    collector = Collector({"a_b": "a.b"})
    collector.start("msg_1", "m")
    for piece in ("p", "q", ""):
        collector.thinking(piece)
    collector.signature("s")
    collector.thinking("r")
    for piece in ("t", "u", ""):
        collector.text(piece)
    collector.signature("v")
    collector.tool(0, "id", "a_b", " ")
    collector.finish("refusal", Usage(), stop_details=StopDetails())
    message = msgspec.json.decode(collector.body)

    assert [list(block.values())[1:] for block in message["content"]] == [
        ["pq", "s"],
        ["r", ""],
        ["tu"],
        ["", "v"],
        ["id", "a.b", {}],
    ]
    assert message["stop_details"]["type"] == "refusal"


@pytest.mark.parametrize(("name", "arguments"), [("", "{}"), ("a", "[]"), ("a", '{"b":')])
def test_a_call_that_cannot_be_run_is_refused(name: str, arguments: str):
    """The client would run something else."""
    with pytest.raises(UpstreamProtocolError):
        Collector({}).tool(0, "id", name, arguments)
