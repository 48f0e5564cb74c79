"""One line of the log: JSON for machines, or text for people. No control character gets through in either."""

import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from ccproxy.logs.requests import Entry

MAX_NAME = 200  # characters of a model's name: the caller chooses it

_ID = re.compile(r"(?!sk-)[A-Za-z0-9._:-]{0,128}")  # what an upstream puts into a header can be anything else


class Line(Struct, frozen=True):
    """What waits in the queue. `fields` are written after the message."""

    created: float
    level: int
    logger: str
    message: str
    fields: Entry | Mapping[str, object] = {}

    def members(self) -> dict[str, object]:
        """Its fields, without the empty ones."""
        fields = structs.asdict(self.fields) if isinstance(self.fields, Entry) else dict(self.fields)
        fields.pop("level", None)
        for name in ("model", "requested_model"):
            if name in fields:
                fields[name] = str(fields[name])[:MAX_NAME]
        if not _ID.fullmatch(str(fields.get("upstream_request_id", ""))):
            del fields["upstream_request_id"]
        if not fields.get("more", 1):
            del fields["more"]
        return {
            name: visible(value) if isinstance(value, str) else value
            for name, value in fields.items()
            if value is not None and value != ""
        }


def visible(text: str) -> str:
    """`text` with every character that a terminal could obey written as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_json(line: Line) -> str:
    """One JSON object."""
    stamp = datetime.fromtimestamp(line.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    level = logging.getLevelName(line.level).lower()
    head = {"ts": stamp, "level": level, "msg": visible(line.message), "logger": line.logger}
    if isinstance(line.fields, Entry) and (members := _as_they_are(line.fields)):
        return f"{msgspec.json.encode(head).decode()[:-1]},{members[1:]}"
    return msgspec.json.encode({**head, **line.members()}).decode()


def _as_they_are(entry: Entry) -> str:
    """The members of nearly every entry: those in which nothing is to be cut or made visible; else empty."""
    if entry.level != logging.INFO or max(len(entry.model), len(entry.requested_model)) > MAX_NAME:
        return ""
    if not _ID.fullmatch(entry.upstream_request_id):
        return ""
    text = msgspec.json.encode(entry)
    return text.decode() if text.isascii() and b"\\" not in text and b"\x7f" not in text else ""


class Text:
    """Lines for people."""

    _COLOURS: Mapping[int, str] = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31"}

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def __call__(self, line: Line) -> str:
        """One line: time (UTC), level, message, fields."""
        stamp = datetime.fromtimestamp(line.created, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
        level = f"{logging.getLevelName(line.level).lower():<7}"
        colour = self._COLOURS.get(line.level)
        if self._colour and colour is not None:
            level = f"\x1b[{colour}m{level}\x1b[0m"
        fields = "".join(f" {name}={_word(value)}" for name, value in line.members().items())
        return f"{stamp} {level} {visible(line.message)}{fields}"


def _word(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'"{text}"' if " " in text else text
