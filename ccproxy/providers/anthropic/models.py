"""Anthropic's list of models. What a model says of itself passes as it is, known here or not.

Source: https://platform.claude.com/docs/en/api/models/list (read 2026-11-25).
"""

from msgspec import Raw, Struct

from ccproxy.errors import UpstreamProtocolError
from ccproxy.provider import UNKNOWN_DATE, Model
from ccproxy.providers.anthropic.wire import read

MAX_PAGE = 1000


class Listed(Struct, frozen=True):
    """A page. `last_id` is the next page's cursor."""

    data: list[Raw]
    has_more: bool = False
    last_id: str | None = None

    @property
    def cursor(self) -> str:
        """What asks for the next page; empty at the end."""
        return self.last_id or "" if self.has_more else ""

    def models(self) -> list[Model]:
        """The models of the page."""
        return [_model(bytes(raw)) for raw in self.data]


class _Info(Struct, frozen=True):
    id: str
    display_name: str | None = None
    created_at: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None


_KNOWN = frozenset({"type", *_Info.__struct_fields__})


def page(body: bytes) -> Listed:
    """Reads a page.

    Raises:
        UpstreamProtocolError: It is something else.
    """
    try:
        body.decode()  # what stays Raw is not looked at again
    except UnicodeDecodeError as error:
        raise UpstreamProtocolError("the list of models is not UTF-8") from error
    return read(body, Listed)


def _model(raw: bytes) -> Model:
    info = read(raw, _Info)
    return Model(
        id=info.id,
        display_name=info.display_name or info.id,
        created_at=info.created_at or UNKNOWN_DATE,
        max_input_tokens=info.max_input_tokens,
        max_tokens=info.max_tokens,
        facts={name: value for name, value in read(raw, dict[str, Raw]).items() if name not in _KNOWN},
    )
