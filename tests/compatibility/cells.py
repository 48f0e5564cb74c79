"""A cell of the compatibility table: one feature at one provider, run and looked at.

A feature is a test. It declares, for each provider, what is to become of it; it drives the provider's real
translator; and what it then sees is compared with the declaration. What it has seen, not what was declared, is
reported, and `page` writes it down.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct

from ccproxy.call import Call, Target
from ccproxy.config import ProviderConfig, Secret
from ccproxy.errors import ApiError
from ccproxy.provider import Answer, Exchange, Provider
from ccproxy.providers import BY_TYPE

KEY = "key-1234567890-secret"
VERSION = "2026-10-21"
CALLER_MODEL = "claude-sonnet-4-5"
USER = {"role": "user", "content": "hi"}

Kind = Literal["yes", "translated", "dropped", "left out", "refused", "none"]


class Column(Struct, frozen=True):
    """A provider of the table, by one of its APIs; `model` is the one asked."""

    key: str
    type: str
    model: str
    api: Literal["auto", "chat", "responses", "anthropic"] = "auto"


COLUMNS = (
    Column("anthropic", "anthropic", CALLER_MODEL),
    Column("chat", "openai", "gpt-4.1", "chat"),
    Column("responses", "openai", "gpt-5.6", "responses"),
    Column("gemini", "gemini", "gemini-3.5-flash"),
    Column("deepseek", "deepseek", "deepseek-flash"),
    Column("openrouter", "openrouter", "anthropic/claude-sonnet-4.5"),
)

RELAYS = (
    Column("deepseek", "deepseek", "deepseek-flash", "anthropic"),
    Column("openrouter", "openrouter", "anthropic/claude-sonnet-4.5", "anthropic"),
)
"""Providers that speak Anthropic's API as well, where the operator wishes."""


class Seen(Struct, frozen=True):
    """What became of a feature.

    Attributes:
        kind: See the legend of the page.
        detail: Where it is said upstream, or what of the answer shows it; empty where that needs no word.
        dropped: What the caller is told in `x-ccproxy-dropped`.
        status: The HTTP status of a refusal.
        message: Its message.
    """

    kind: Kind
    detail: str = ""
    dropped: tuple[str, ...] = ()
    status: int = 0
    message: str = ""


class Declared(Struct, frozen=True):
    """What is expected of a cell, and how to prove it.

    Attributes:
        kind: What becomes of the feature.
        path: Where it is said in the upstream's request; names and indexes with dots between.
        value: What is there: the value itself, or what tells whether it is right.
        detail: Words for the page where the path says too little.
        dropped: The names that `x-ccproxy-dropped` tells.
        status: Of a refusal.
        message: What a refusal's message holds.
        model: The model that is asked, where it is not the column's own.
    """

    kind: Kind
    path: str = ""
    value: object = None
    detail: str = ""
    dropped: tuple[str, ...] = ()
    status: int = 0
    message: str = ""
    model: str = ""


def same(path: str = "", value: object = None) -> Declared:
    """It passes as it came: the body byte for byte, and what is outside of it at `path`."""
    return Declared("yes", path, value)


def said(path: str, value: object, *, detail: str = "", without: str = "", model: str = "") -> Declared:
    """It is said in the provider's words at `path`; `without` names what of it is dropped."""
    return Declared("translated", path, value, detail, tuple(without.split()), model=model)


def does(detail: str = "", *, without: str = "", model: str = "") -> Declared:
    """The caller gets it, by translation."""
    return Declared("translated", detail=detail, dropped=tuple(without.split()), model=model)


def dropped(*names: str, model: str = "") -> Declared:
    """It is left out, and the caller is told by `names`."""
    return Declared("dropped", dropped=names, model=model)


def left_out(detail: str = "", model: str = "") -> Declared:
    """It is left out, and nobody is told."""
    return Declared("left out", detail=detail, model=model)


def refused(status: int, message: str) -> Declared:
    """The request is an error."""
    return Declared("refused", status=status, message=message)


def none(detail: str = "") -> Declared:
    """The provider has nothing of the kind, and nothing is invented."""
    return Declared("none", detail=detail)


def each(declared: Declared, **others: Declared) -> dict[str, Declared]:
    """The same for every provider but Anthropic, which gets it as it is; `others` are exceptions."""
    return {**{column.key: declared for column in COLUMNS}, "anthropic": same(), **others}


def has(*texts: str) -> Callable[[object], bool]:
    """A value that holds these texts."""
    return lambda value: isinstance(value, str) and all(text in value for text in texts)


def feature(
    heading: str, label: str, declared: Mapping[str, Declared], note: str = ""
) -> Callable[[Callable[..., Any]], Any]:
    """Makes a test a row of the table: it runs once for each provider with the cell as `cell`."""
    if set(declared) != {column.key for column in COLUMNS}:
        raise ValueError(f"{label}: each provider is to be declared")

    def mark(test: Callable[..., Any]) -> Any:
        file, line = inspect.getsourcefile(test) or "", test.__code__.co_firstlineno
        row = Row(heading, label, note, f"{file.rpartition('/')[2]}#L{line}")
        cells = [pytest.param(Cell(row, column, declared[column.key]), id=column.key) for column in COLUMNS]
        return pytest.mark.parametrize("cell", cells)(test)

    return mark


class Row(Struct, frozen=True):
    """A row of the table. `place` is the test's file and line."""

    heading: str
    label: str
    note: str
    place: str


def provider_of(column: Column) -> Provider:
    """The provider, made as the service makes it."""
    config = ProviderConfig(name=column.key, type=column.type, api_key=Secret(KEY), api=column.api)
    return BY_TYPE[config.kind](config)


def passes(column: Column, call: Call) -> bool:
    """Whether a request passes with only its model replaced."""
    target = Target(column.key, column.model, "default")
    try:
        body = provider_of(column).exchange(call, call.head(), target).request.body or b""
    except ApiError:
        return False
    sent: dict[str, Any] = msgspec.json.decode(body)
    return sent == {**msgspec.json.decode(call.body), "model": column.model}


class Cell:
    """A feature at a provider: drives the translator and looks at what becomes of the feature."""

    def __init__(self, row: Row, column: Column, declared: Declared) -> None:
        self.row = row
        self.column = column
        self.declared = declared
        self.seen: Seen | None = None
        self.relayed: dict[str, bool] = {}  # whether the request passes as it is, by the keys of RELAYS
        self._exchange: Exchange | None = None

    @property
    def is_relay(self) -> bool:
        """Whether this is Anthropic, whose bytes pass."""
        return self.column.key == "anthropic"

    @property
    def model(self) -> str:
        """The model asked."""
        return self.declared.model or self.column.model

    @cached_property
    def provider(self) -> Provider:
        """The provider, made as the service makes it."""
        return provider_of(self.column)

    @property
    def exchange(self) -> Exchange:
        """The attempt that answers are read by; one for a plain request where none was made."""
        return self._exchange or self.ask()

    def call(
        self, *messages: object, version: str = VERSION, headers: Mapping[str, str] = {}, **members: Any
    ) -> Call:
        """A caller's request."""
        document = {"model": CALLER_MODEL, "max_tokens": 100, "messages": messages or (USER,), **members}
        named = {"anthropic-version": version, **headers}
        body = msgspec.json.encode(document)
        return Call(edge="http", request_id="req_1", body=body, headers={k: [v] for k, v in named.items()})

    def ask(self, *messages: object, **members: Any) -> Exchange:
        """An attempt at the provider."""
        call = self.call(*messages, **members)
        self._exchange = self.provider.exchange(call, call.head(), Target(self.column.key, self.model, "default"))
        return self._exchange

    def says(self, *messages: object, mark: str, **members: Any) -> None:
        """Asks, and looks where the feature is said. `mark` is what no request without the feature holds."""
        call = self.call(*messages, **members)
        if self.is_relay:
            self.relayed = {column.key: passes(column, call) for column in RELAYS}
        try:
            exchange = self.ask(*messages, **members)
        except ApiError as error:
            self._see(Seen("refused", status=error.status, message=error.message))
            return
        body = exchange.request.body or b""
        sent = {
            **msgspec.json.decode(body),
            "url": exchange.request.url,
            "headers": dict(exchange.request.headers),
        }
        found, value = _at(sent, self.declared.path) if self.declared.path else None, self.declared.value
        is_there = found is not None and bool(value(found) if callable(value) else found == value)
        if self.is_relay and body == call.body and (is_there or not self.declared.path):
            self._see(Seen("yes"))
            return
        if is_there:
            self._see(Seen("translated", self.declared.detail or _short(self.declared.path), exchange.dropped))
            return
        everything = msgspec.json.encode(sent).decode()
        assert mark not in everything, f"it is said, but not at {self.declared.path!r}: {everything}"
        if exchange.dropped:
            self._see(Seen("dropped", dropped=exchange.dropped))
        else:
            self.leaves_out()

    def answered(self, body: bytes) -> dict[str, Any]:
        """The provider's whole answer, as the caller gets it."""
        answer: Answer = self.exchange.answer(body)
        document: dict[str, Any] = msgspec.json.decode(answer.body)
        return document

    def streamed(self, *chunks: bytes) -> list[dict[str, Any]]:
        """The provider's stream, as the caller gets it: the documents of the events."""
        stream = self.exchange.stream()
        for chunk in chunks:
            stream.feed(chunk)
        stream.close()
        return events(stream.take())

    def shows(self, *, told: bool) -> None:
        """Reports whether the caller gets to see the feature."""
        if not told:
            self._see(Seen("none", self.declared.detail))
        elif self.is_relay:
            self._see(Seen("yes"))
        else:
            without = self._exchange.dropped if self._exchange is not None else ()
            self._see(Seen("translated", self.declared.detail, without))

    def leaves_out(self) -> None:
        """Reports that the feature is left out without a word."""
        self._see(Seen("left out", self.declared.detail))

    def _see(self, seen: Seen) -> None:
        """Keeps what was seen, and compares it with what was declared."""
        self.seen = seen
        declared = self.declared
        assert (seen.kind, seen.dropped, seen.status) == (declared.kind, declared.dropped, declared.status), (
            f"declared {declared.kind} {declared.dropped}, but seen {seen}; "
            "if that is right, declare it, and run make compatibility"
        )
        assert declared.message in seen.message


def events(frames: bytes) -> list[dict[str, Any]]:
    """The documents of Anthropic's events; each event is named as its document says."""
    documents = []
    for text in frames.decode().split("\n\n")[:-1]:
        name, data = text.split("\n")
        document = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {document['type']}"
        documents.append(document)
    return documents


def _at(document: Any, path: str) -> Any:
    """The value at `path`; None where there is none."""
    for name in path.split("."):
        try:
            document = document[int(name) if isinstance(document, list) else name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return document


def _short(path: str) -> str:
    """The end of a path: what a reader of the provider's reference would look for."""
    names = [name for name in path.split(".") if not name.lstrip("-").isdigit()]
    return f"`{'.'.join(names[-2:])}`"
