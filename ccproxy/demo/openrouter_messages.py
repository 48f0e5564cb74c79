"""OpenRouter's endpoint for the Anthropic Messages API.

Recorded streams have one thing that Anthropic's have not: an event of its own after the last, `data: [DONE]`.
"""

from collections.abc import Iterator

from ccproxy.demo import anthropic
from ccproxy.demo.answer import Answer
from ccproxy.demo.anthropic import error, failure, model, models, read, whole
from ccproxy.demo.dialect import Frame, Kind, Stamp
from ccproxy.demo.openrouter import REQUEST_ID
from ccproxy.demo.prompt import Prompt

__all__ = ["REQUEST_ID", "error", "failure", "frames", "model", "models", "read", "whole"]


def frames(answer: Answer, prompt: Prompt, stamp: Stamp) -> Iterator[Frame]:
    """The answer as a stream, and what follows it here."""
    yield from anthropic.frames(answer, prompt, stamp)
    yield Frame(b"event: data\ndata: [DONE]\n\n", Kind.END)
