"""The demo as Gemini against recorded requests: what the real one took, the demo takes.

And so it does whatever our translator makes of recorded requests to Anthropic.
"""

from typing import Any

import msgspec
import pytest
from conformance.recordings import Recording, all_recordings, each
from conformance.test_gemini_requests import MODELS, REQUESTS, said
from unit.gemini import provider

from ccproxy.call import Call, Target
from ccproxy.demo import gemini
from ccproxy.demo.gemini_state import STAND_INS
from ccproxy.demo.prompt import InvalidRequestError


class About(msgspec.Struct):
    """Which model was asked."""

    model: str


ASKED = [r for r in all_recordings() if r.facts.provider == "gemini" and r.request is not None]
TAKEN = [r for r in ASKED if r.facts.http_status == 200]
REFUSED = [r for r in ASKED if r.facts.http_status == 400]


def known(value: Any) -> Any:
    """A document whose signatures, which are Google's, are the documented stand-in."""
    if isinstance(value, list):
        return [known(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: STAND_INS[0] if key == "thoughtSignature" else known(each) for key, each in value.items()}


def understand(recording: Recording) -> int:
    """The tokens of a recorded request."""
    about = msgspec.json.decode(recording.with_suffix(".meta.json").read_bytes(), type=About)
    body = msgspec.json.encode(known(msgspec.json.decode(recording.request or b"")))
    if recording.facts.api == "count_tokens":
        return int(msgspec.json.decode(gemini.count(body))["totalTokens"])
    return gemini.read(body, about.model, stream=recording.is_stream).input_tokens


@each(TAKEN)
def test_what_was_answered_is_understood(recording: Recording):
    """A demo that is stricter than the real one cries wolf."""
    assert understand(recording) > 0


@each(REFUSED)
def test_what_was_refused_is_refused(recording: Recording):
    """Else a mistake is found with a key only."""
    with pytest.raises(InvalidRequestError):
        understand(recording)


@pytest.mark.parametrize("model", MODELS)
@each(REQUESTS)
def test_our_translators_requests_are_understood(recording: Recording, model: str):
    """Every rule of the demo is one that a translation may break."""
    prompt = gemini.read(msgspec.json.encode(said(recording.request or b"", model)), model, stream=False)
    call = Call(edge="http", request_id="req_1", body=recording.request or b"")
    target = Target("gemini", model, "default")
    counted = gemini.count(provider().count_request(call, call.head(), target).body or b"")

    assert msgspec.json.decode(counted)["totalTokens"] == prompt.input_tokens
