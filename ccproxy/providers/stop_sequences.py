"""Stop sequences, matched here: no server of this kind tells which one it met; reasoning models refuse them."""

from collections.abc import Iterable


class StopSequences:
    """Text in pieces in, text without what follows a stop sequence out.

    The sequence that is complete first counts, and of those complete at once the longest: so it does not matter
    how the text is cut. Text that may be the start of a sequence is held back.
    """

    def __init__(self, sequences: Iterable[str]) -> None:
        self._sequences = tuple(dict.fromkeys(sequence for sequence in sequences if sequence))
        self._longest = max(map(len, self._sequences), default=0)
        self._held = ""
        self.matched: str | None = None

    def feed(self, piece: str) -> str:
        """Returns the text that may go out. After a match nothing may."""
        if not self._longest:
            return piece
        if self.matched is not None:
            return ""
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
