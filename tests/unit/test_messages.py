"""The Anthropic Messages API as types: how an answer is written."""

import msgspec

from ccproxy import messages
from ccproxy.messages import Event, encode_events


def test_events_become_frames():
    """The name is repeated outside the document: SDKs ignore events without one."""
    events = [Event("ping", b'{"type":"ping"}'), Event("message_stop", b'{"type":"message_stop"}')]

    assert encode_events(events) == b"".join(event.encode() for event in events)
    assert events[0].encode() == messages.PING == b'event: ping\ndata: {"type":"ping"}\n\n'


def test_facts_that_a_provider_does_not_give_are_absent():
    """A count of zero would be a claim."""
    message = messages.Message(
        "msg_1", "assistant", "m", [messages.Text("hi")], "end_turn", None, messages.Usage(input_tokens=3)
    )

    assert msgspec.json.encode(message) == (
        b'{"type":"message","id":"msg_1","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],'
        b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3}}'
    )
