"""The list of models. OpenAI tells a model's id and date alone; OpenRouter tells more, in members of its own.

Sources: https://platform.openai.com/docs/api-reference/models/list and
https://openrouter.ai/docs/api-reference/list-available-models (read 2026-11-25).
"""

import re
from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct, structs

from ccproxy.provider import UNKNOWN_DATE, Model
from ccproxy.providers.answers import decode

WHAT = "the list of models"
YEAR_10000 = 253_402_300_800  # Unix time; RFC 3339 ends there


class _List(Struct, frozen=True):
    data: list[Raw]


class _Named(Struct, frozen=True):
    id: str


class _TopProvider(Struct, frozen=True):
    """The best of a model's providers, at OpenRouter."""

    max_completion_tokens: int | None = None


class _Architecture(Struct, frozen=True):
    input_modalities: list[str] | None = None


class _Listed(Struct, frozen=True):
    """A model. `created` is a Unix time; what follows it, OpenRouter tells. `expiration_date` is YYYY-MM-DD."""

    id: str
    created: float | None = None
    name: str | None = None
    context_length: int | None = None
    top_provider: _TopProvider | None = None
    architecture: _Architecture | None = None
    supported_parameters: list[str] | None = None
    expiration_date: str | None = None


_OTHER_PURPOSE = re.compile(
    r"(?:^|[-_.])(?:embedding|whisper|tts|dall|sora|image|audio|realtime|transcribe|moderation|instruct)(?:[-_.]|$)"
    r"|^(?:babbage|davinci)-"
)
"""Models of OpenAI's that are not for conversations in text; its list does not say which."""


def read(body: bytes, *, named_by_openai: bool = False) -> list[Model]:
    """Reads the list.

    Args:
        body: The answer.
        named_by_openai: Whether it is OpenAI's own, whose names tell what a model is for.

    Raises:
        UpstreamProtocolError: It is none.
    """
    models = [_model(_listed(bytes(raw))) for raw in decode(body, _List, WHAT).data]
    if not named_by_openai:
        return models
    return [structs.replace(model, converses=_converses(model.id)) for model in models]


def _converses(name: str) -> bool:
    """Whether a model may be for conversations; of a fine-tuned one (`ft:base:owner:…`) the base tells."""
    base = name.split(":")[1] if name.startswith("ft:") else name
    return _OTHER_PURPOSE.search(base) is None


def _listed(raw: bytes) -> _Listed:
    try:
        return msgspec.json.decode(raw, type=_Listed)
    except (msgspec.DecodeError, UnicodeDecodeError):  # some servers mean other things by OpenRouter's members
        return _Listed(decode(raw, _Named, WHAT).id)


def _model(listed: _Listed) -> Model:
    top = listed.top_provider
    return Model(
        id=listed.id,
        display_name=listed.name or listed.id,
        created_at=_date(listed.created),
        max_input_tokens=listed.context_length,
        max_tokens=None if top is None else top.max_completion_tokens,
        facts=_facts(listed),
    )


def _date(unix: float | None) -> str:
    if unix is None or not 0 < unix < YEAR_10000:
        return UNKNOWN_DATE
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _facts(listed: _Listed) -> dict[str, object]:
    """What is told of the capabilities and of the end. Where nothing is told, nothing is said."""
    capabilities: dict[str, object] = {}
    if listed.architecture is not None and (inputs := listed.architecture.input_modalities) is not None:
        capabilities["image_input"] = {"supported": "image" in inputs}
        capabilities["pdf_input"] = {"supported": "file" in inputs}
    if (parameters := listed.supported_parameters) is not None:
        capabilities["structured_outputs"] = {"supported": "structured_outputs" in parameters}
        capabilities["thinking"] = {"supported": "reasoning" in parameters}
    facts: dict[str, object] = {"capabilities": capabilities} if capabilities else {}
    if listed.expiration_date and re.fullmatch(r"\d{4}-\d\d-\d\d", listed.expiration_date, re.ASCII):
        facts["lifecycle"] = "deprecated"
        facts["retires_at"] = f"{listed.expiration_date}T00:00:00Z"
    return facts
