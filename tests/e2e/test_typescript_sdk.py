"""The official TypeScript SDK: the same protocol in other hands, with another parser of events."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from e2e.conftest import RELAYED, TRANSLATED, WIRES
from e2e.service import Service
from e2e.tools import require, require_module, run

SCRIPT = Path(__file__).with_name("typescript_sdk.mjs")


@pytest.fixture(scope="module", params=WIRES.values(), ids=WIRES)
def said(request: pytest.FixtureRequest, wired_service: Service, upstream: str) -> Any:
    """What the script tells of its calls, and the upstream of them."""
    sdk = require_module("@anthropic-ai/sdk")
    before = httpx.get(upstream, trust_env=False).json()["recalled"]
    done = run([require("node"), str(SCRIPT), str(sdk), wired_service.url, request.param], seconds=60)
    assert done.returncode == 0, done.stderr
    recalled = httpx.get(upstream, trust_env=False).json()["recalled"] - before
    return {**msgspec.json.decode(done.stdout), "model": request.param, "recalled": recalled}


def test_create_answers_a_whole_message(said: Any):
    """The first thing anybody tries."""
    assert said["create"]["text"] == "Demo answer to: Hello"
    assert said["create"]["stop"] == "end_turn"
    assert said["create"]["requestId"].startswith("req_")


def test_text_streams_in_pieces_that_add_up_to_the_final_message(said: Any):
    """A stream that comes in one lump is no stream, and one that loses a piece is wrong."""
    stream = said["stream"]
    assert stream["pieces"] > 10
    assert stream["streamed"] == stream["text"]
    assert stream["stop"] == "end_turn"
    assert stream["usage"]["output_tokens"] == 20
    assert (stream["events"][0], stream["events"][-1]) == ("message_start", "message_stop")


def test_a_tool_loop_with_parallel_calls_ends_in_an_answer(said: Any):
    """The heart of every agent: call, run, give the results back, and be understood."""
    assert said["toolLoop"] == [
        {"stop": "tool_use", "text": ""},
        {
            "stop": "end_turn",
            "text": "Demo: tool weather returned: Paris is sunny\nDemo: tool weather returned: Rome is sunny",
        },
    ]


def test_the_sdks_own_tool_runner_runs_to_the_end(said: Any):
    """It calls functions by itself; half of the protocol is in its hands, not the application's."""
    assert said["toolRunner"]["seen"] == ["Paris"]
    assert said["toolRunner"]["text"].endswith("returned: Paris is sunny")


def test_thinking_goes_back_to_who_thought_it(said: Any):
    """The SDK puts the signature together from the stream; a changed one would be refused here."""
    hidden = said["model"] == TRANSLATED
    assert said["thinking"] == {
        "thoughts": [] if hidden else ["Let me see"],
        "text": "Looking.",
        "final": "Demo: tool weather returned: Paris is sunny",
    }
    assert (said["recalled"] == 0) == hidden


def test_the_reason_of_an_end_is_told(said: Any):
    """Each of them asks something else of the application."""
    assert said["refused"]["stop"] == "refusal"
    assert said["stopped"] == {"text": "one", "stop": "stop_sequence"}
    assert said["full"]["stop"] == "max_tokens"
    assert said["full"]["text"].endswith(" 20")


def test_an_answer_has_the_form_that_was_asked_for(said: Any):
    """DeepSeek promises an object, and no more."""
    loose = said["model"] == "deepseek,deepseek-demo-1"
    assert msgspec.json.decode(said["formed"]["text"]) == ({} if loose else {"city": "demo"})


def test_an_error_is_the_class_applications_catch(said: Any):
    """`catch (e) { if (e instanceof Anthropic.RateLimitError) …` must work whoever the provider is."""
    assert said["limited"] == {"raised": "RateLimitError", "isApiError": True, "seen": []}


@pytest.mark.parametrize("kind", ["broken", "cut"])
def test_a_failure_in_mid_stream_raises_and_never_looks_like_an_end(said: Any, kind: str):
    """An agent that takes half an answer for a whole one deletes the other half of a file."""
    failure = said[kind]
    assert failure["isApiError"]
    assert "content_block_delta" in failure["seen"]
    assert "message_stop" not in failure["seen"]


def test_models_are_listed_page_by_page_and_tokens_counted(said: Any):
    """Both are part of what the SDK offers, and neither is a message."""
    assert {RELAYED, TRANSLATED} <= set(said["models"])
    assert len(set(said["models"])) == len(said["models"])
    assert said["counted"] > 0
