"""Arguments of a call that come in pieces, each with the path it belongs to.

Source: `PartialArg` in the types of the `google-genai` SDK 3.4. Vertex AI sends them where a client asks; CCProxy
does not, but a server in between may.
"""

import re
from typing import Any

from ccproxy.errors import UpstreamProtocolError
from ccproxy.providers.gemini.wire import PartialArgument

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\['([^']*)'\]")
MAX_STEPS = 64

_EXACT = 1 << 53  # below it a float that is whole is that integer


class PartialArguments:
    """Puts them together."""

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}  # a text that is not whole yet, by its path

    def add(self, piece: PartialArgument) -> None:
        """Takes a piece.

        Raises:
            UpstreamProtocolError: Its path leads nowhere.
        """
        value: Any = None
        if piece.string_value is not None:
            texts = self._texts.setdefault(piece.json_path, [])
            texts.append(piece.string_value)
            value = "".join(texts)
            if piece.will_continue:
                return
            del self._texts[piece.json_path]
        elif piece.number_value is not None:
            value = _plain(piece.number_value)
        elif piece.bool_value is not None:
            value = piece.bool_value
        elif piece.json_path in self._texts:
            value = "".join(self._texts.pop(piece.json_path))
        self._put(piece.json_path, value)

    def finish(self) -> dict[str, Any]:
        """The arguments, with the texts that nobody said were whole."""
        for path, texts in self._texts.items():
            self._put(path, "".join(texts))
        self._texts = {}
        return self.value

    def _put(self, path: str, value: Any) -> None:
        steps = _steps(path)
        place: Any = self.value
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            last = following is None
            fresh: Any = value if last else [] if isinstance(following, int) else {}
            if isinstance(step, str) and isinstance(place, dict):
                place[step] = fresh if last else place.get(step, fresh)
            elif isinstance(step, int) and isinstance(place, list) and step <= len(place):
                if step == len(place):
                    place.append(fresh)
                elif last:
                    place[step] = fresh
            else:
                raise UpstreamProtocolError("a piece of a call's arguments belongs nowhere")
            place = place[step]


def _plain(number: float) -> float:
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 1
    while at < len(path) and len(steps) < MAX_STEPS:
        match = _STEP.match(path, at)
        if match is None:
            break
        name, index, quoted = match.groups()
        steps.append(int(index) if index is not None else name or quoted or "")
        at = match.end()
    if not path.startswith("$") or at != len(path) or not steps:
        raise UpstreamProtocolError("the path of a piece of a call's arguments is none")
    return steps
