"""What the tests of the demo's dialects have in common: a request in, the answer's documents out."""

from types import ModuleType
from typing import Any

import msgspec

from ccproxy.demo.answer import compose
from ccproxy.demo.dialect import Dialect, Frame, Stamp
from ccproxy.demo.directives import parse
from ccproxy.demo.prompt import Prompt

STAMP = Stamp("word", 1)


def user(content: object) -> dict[str, object]:
    """A message of the user."""
    return {"role": "user", "content": content}


def body(*messages: dict[str, object], **members: object) -> bytes:
    """A Chat Completions request with these messages."""
    return msgspec.json.encode({"model": "m", "messages": messages, **members})


def whole(dialect: Dialect | ModuleType, prompt: Prompt) -> dict[str, Any]:
    """The document that answers `prompt`."""
    return msgspec.json.decode(dialect.whole(compose(prompt, parse(prompt.text)), prompt, STAMP))


def frames(dialect: Dialect | ModuleType, prompt: Prompt) -> list[Frame]:
    """The stream that answers `prompt`."""
    return list(dialect.frames(compose(prompt, parse(prompt.text)), prompt, STAMP))


def data(frame: Frame) -> dict[str, Any]:
    """The document in a frame."""
    return msgspec.json.decode(frame.data.partition(b"data: ")[2])


def chunks(dialect: Dialect | ModuleType, prompt: Prompt) -> list[dict[str, Any]]:
    """The chunks of a stream of Chat Completions, without comments and its [DONE]."""
    *others, last = frames(dialect, prompt)
    assert last.data == b"data: [DONE]\n\n"
    return [data(frame) for frame in others if not frame.data.startswith(b":")]


def deltas(dialect: Dialect | ModuleType, prompt: Prompt) -> list[dict[str, Any]]:
    """What the chunks add."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(dialect, prompt)]
