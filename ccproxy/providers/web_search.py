"""Anthropic's web search where another provider has one of its own: what is asked, and the sources it names.

Sources: the types of the `anthropic` SDK 2.13 (`WebSearchTool20260318Param`); recorded requests and answers of
OpenAI, OpenRouter and Gemini. Anthropic's own blocks for results hold encrypted content that only its servers can
make, so sources become text.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy.documents import Head, invalid
from ccproxy.messages import Request, Tool
from ccproxy.providers.caller_request import is_structured

_TYPE = "web_search_"  # and the date of a version


class WebSearch(Struct, frozen=True):
    """What a search may do. Only one of the lists of domains is there; `user_location` goes on as it came."""

    type: str | None = None
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: Raw | UnsetType = UNSET

    @property
    def limits(self) -> set[str]:
        """The members that narrow it."""
        told = {
            "max_uses": self.max_uses is not None,
            "allowed_domains": bool(self.allowed_domains),
            "blocked_domains": bool(self.blocked_domains),
            "user_location": self.location is not UNSET,
        }
        return {name for name, is_told in told.items() if is_told}

    @property
    def location(self) -> Raw | UnsetType:
        """Where the user is, where that is told."""
        is_told = self.user_location is not UNSET and bytes(self.user_location) != b"null"
        return self.user_location if is_told else UNSET


def wanted_search(head: Head) -> WebSearch | None:
    """The search that a request asks for; None where it asks for none.

    Raises:
        ApiError: INVALID_REQUEST, where it is none.
    """
    raw = bytes(head.fields.get("tools", b"null"))
    if _TYPE.encode() not in raw:
        return None
    try:
        tools = msgspec.json.decode(raw, type=list[WebSearch] | None) or []
    except msgspec.DecodeError as error:
        raise invalid("tools: a web search is not what the API documents") from error
    return next((tool for tool in tools if (tool.type or "").startswith(_TYPE)), None)


def awaits_sources(request: Request, head: Head) -> bool:
    """Whether sources may follow the text: where a search was asked for, and no structured output."""
    return wanted_search(head) is not None and not is_structured(request, head)


def others(tools: list[Tool] | None, search: WebSearch | None) -> list[Tool]:
    """The tools but for the search."""
    return [tool for tool in tools or () if search is None or not (tool.type or "").startswith(_TYPE)]


class _Cited(Struct):
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Annotation(_Cited):
    """The Responses API has a citation's members here, Chat Completions one level below."""

    url_citation: _Cited | None = None


class Sources:
    """The sources of one answer, each once.

    Args:
        shown: Whether they may follow the text; see `awaits_sources`.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._titles: dict[str, str] = {}  # by address

    def add(self, url: str | None, title: str | None) -> None:
        """A page that was read."""
        if url:
            self._titles.setdefault(url, " ".join((title or "").split()))

    def cite(self, annotations: Raw) -> None:
        """What the annotations of an answer cite. One that spans a part of the text is a link there already."""
        try:
            cited = msgspec.json.decode(annotations, type=list[_Annotation] | None) or []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # of some other kind
        for annotation in cited:
            citation = annotation.url_citation or annotation
            if (citation.end_index or 0) <= (citation.start_index or 0):
                self.add(citation.url, citation.title)

    @property
    def text(self) -> str:
        """The sources as text that follows the answer's; empty where there are none."""
        if not (self._shown and self._titles):
            return ""
        lines = [f"- {title}: {url}" if title else f"- {url}" for url, title in self._titles.items()]
        return "\n".join(["\n\nSources:", *lines])
