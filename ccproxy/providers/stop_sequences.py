"""Stop sequences, matched here: no server of this kind tells which one it met; reasoning models refuse them.

After a match the provider is not read any further, and most count at the very end: what is missing is estimated.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from ccproxy.messages import EstimatedUsage, Request, Usage
from ccproxy.tokens import estimate, estimate_text, family_of


class Estimates(Struct, frozen=True):
    """What a request costs at `model`, where the provider does not come to say it."""

    request: Request
    model: str

    def fill(self, usage: Usage, said: str) -> Usage:
        """`usage`, with the counts that have not come; `said` is the text so far."""
        if usage.input_tokens and usage.output_tokens:
            return usage
        family = family_of(self.model)
        known = {name: count for name, count in structs.asdict(usage).items() if count}
        guessed = {"output_tokens": estimate_text(said.encode(), family)}
        if not usage.input_tokens and not usage.cache_read_input_tokens:
            guessed["input_tokens"] = estimate(self.request, family)
        return EstimatedUsage(**{**guessed, **known})


class StopSequences:
    """Text in pieces in, text without what follows a stop sequence out.

    The sequence that is complete first counts, and of those complete at once the longest: so it does not matter
    how the text is cut. Text that may be the start of a sequence is held back.
    """

    def __init__(self, sequences: Iterable[str]) -> None:
        self._sequences = tuple(dict.fromkeys(sequence for sequence in sequences if sequence))
        self._longest = max(map(len, self._sequences), default=0)
        self._held = ""
        self._said: list[str] = []
        self.matched: str | None = None

    @property
    def said(self) -> str:
        """The text that was fed, while there was something to look for."""
        return "".join(self._said)

    def feed(self, piece: str) -> str:
        """Returns the text that may go out. After a match nothing may."""
        if not self._longest:
            return piece
        if self.matched is not None:
            return ""
        self._said.append(piece)
        text = self._held + piece
        found = [(at + len(s), at, s) for s in self._sequences if (at := text.find(s)) >= 0]
        if found:
            _, start, self.matched = min(found)
            self._held = ""
            return text[:start]
        keep = self._beginning(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Returns the text held back: what follows is something else."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """How many characters at the end of `text` may begin a sequence."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(sequence.startswith(end) for sequence in self._sequences):
                return length
        return 0
