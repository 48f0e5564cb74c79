"""How another server that speaks Anthropic's API differs from Anthropic's own."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from ccproxy.documents import decode
from ccproxy.errors import ApiError
from ccproxy.providers.anthropic.history import own_history
from ccproxy.providers.conversation import BILLING_HEADER


class Endpoint(Struct, frozen=True):
    """A server's ways.

    Attributes:
        is_bearer: Whether the key goes as `authorization: Bearer`, not as `x-api-key`.
        signing: How the names of its models begin that sign all their thinking: "" for all, None for none.
        is_anthropic: Whether it knows what Claude Code's attribution is; elsewhere it spoils the prompt cache.
        wants_thinking: What it says where it wants earlier thinking back that is lost; empty where it never does.
    """

    is_bearer: bool = False
    signing: str | None = ""
    is_anthropic: bool = True
    wants_thinking: str = ""

    def key_header(self, key: str) -> dict[str, str]:
        """The header that shows the key."""
        return {"authorization": f"Bearer {key}"} if self.is_bearer else {"x-api-key": key}

    def changes(self, fields: Mapping[str, Raw], model: str) -> dict[str, Any]:
        """The members of a request that cannot go there as they are, as they can."""
        members: dict[str, Any] = {}
        signs = self.signing is not None and model.startswith(self.signing)
        if (history := own_history(fields, unsigned_is_foreign=signs)) is not None:
            members["messages"] = history
        if not self.is_anthropic and (system := _without_attribution(fields)) is not None:
            members["system"] = system
        return members


ANTHROPIC = Endpoint()


class _Block(Struct, frozen=True):
    text: str = ""


def _without_attribution(fields: Mapping[str, Raw]) -> list[Raw] | None:
    """The system prompt without Claude Code's attribution; None where there is none."""
    system = bytes(fields.get("system", b""))
    if system[:1] != b"[" or BILLING_HEADER.encode() not in system:
        return None
    try:
        blocks = decode(system, list[Raw])
        first = msgspec.json.decode(blocks[0], type=_Block)
    except (ApiError, msgspec.DecodeError, UnicodeDecodeError):
        return None  # the server will say what is wrong
    return blocks[1:] if first.text.startswith(BILLING_HEADER) else None
