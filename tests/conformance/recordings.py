"""Recorded answers of real providers, used in place: the folder that CCPROXY_RECORDINGS names.

A recording is a response (`.response.json` or `.response.sse`), mostly its request, and facts about both. A test
over recordings states an invariant; what single recordings hold is nobody's promise.
"""

import os
from functools import cache
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("CCPROXY_RECORDINGS", PROJECT.parent / "shared" / "recordings"))
ABSENT = "no recordings: CCPROXY_RECORDINGS names no folder that exists"


class Facts(Struct, frozen=True):
    """What is known of a recording."""

    provider: str
    api: str
    http_status: int
    model: str | None = None
    stream: bool = False
    response_headers: dict[str, str] = {}


class Recording(Struct, frozen=True):
    """One exchange. `path` lacks the suffixes."""

    path: Path
    facts: Facts

    @property
    def name(self) -> str:
        """Its provider and file."""
        return f"{self.facts.provider}/{self.path.name}"

    @property
    def is_stream(self) -> bool:
        """Whether its answer is a stream of server-sent events."""
        return self.with_suffix(".response.sse").is_file()

    @property
    def response(self) -> bytes:
        """The body of the answer."""
        return self.with_suffix(".response.sse" if self.is_stream else ".response.json").read_bytes()

    @property
    def request(self) -> bytes | None:
        """The body of the request, where it was recorded."""
        file = self.with_suffix(".request.json")
        return file.read_bytes() if file.is_file() else None

    def with_suffix(self, suffix: str) -> Path:
        """One of its files."""
        return self.path.with_name(self.path.name + suffix)


class _Turn(Struct):
    role: str


class _Asked(Struct):
    messages: list[_Turn] = []
    mcp_servers: list[msgspec.Raw] = []


@cache
def all_recordings() -> tuple[Recording, ...]:
    """Every recording, in order of its path; none where the folder is absent."""
    return tuple(
        Recording(meta.with_name(meta.name.removesuffix(".meta.json")), _facts(meta))
        for meta in sorted(FOLDER.glob("*/*.meta.json"))
    )


def recordings(*providers: str, api: str) -> list[Recording]:
    """The recordings of some providers' API."""
    return [r for r in all_recordings() if r.facts.provider in providers and r.facts.api == api]


def is_anthropics_alone(recording: Recording) -> bool:
    """Whether others refuse a request to Anthropic: it begins the answer, or names MCP servers."""
    asked = msgspec.json.decode(recording.request or b"{}", type=_Asked)
    return bool(asked.mcp_servers) or (bool(asked.messages) and asked.messages[-1].role == "assistant")


def asked_of_claude() -> list[Recording]:
    """Requests to Anthropic that were answered, but for those that others refuse."""
    answered = [r for r in recordings("anthropic", api="messages") if r.facts.http_status == 200]
    return [r for r in answered if r.request is not None and not is_anthropics_alone(r)]


def each(found: list[Recording]) -> pytest.MarkDecorator:
    """Runs a test for every recording; where there are none, it is skipped with the reason."""
    cases = [pytest.param(recording, id=recording.name) for recording in found]
    absent = pytest.param(None, id="absent", marks=pytest.mark.skip(reason=ABSENT))
    return pytest.mark.parametrize("recording", cases or [absent])


def _facts(meta: Path) -> Facts:
    return msgspec.json.decode(meta.read_bytes(), type=Facts)
