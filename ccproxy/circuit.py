"""The circuit of one way to a provider: closed, open, half-open; and the two states that are no failure of it.

    CLOSED ── 5 failures in a row, or half of 20 within 30 s ──► OPEN ── its time is over ──► HALF_OPEN
       ▲                                                          ▲                              │
       │                                                          └───────── the probe fails ────┤
       └───────────────────── the probe's content begins ────────────────────────────────────────┘

A rate limit makes it rest: others are preferred for a while. A refused credential is neither: it stays until one
is accepted. What we refuse ourselves, and callers who leave, never count.

Nothing here reads a clock: every step is told the time, in seconds of a monotonic one.
"""

import math
import random
from collections import deque
from collections.abc import Callable
from enum import IntEnum

from ccproxy.errors import RULES, ApiError

FAILURES_IN_A_ROW = 5
WINDOW_SECONDS = 30.0
WINDOW_SLOTS = 10
WINDOW_LEAST = 20  # answers before their rate says anything
WINDOW_RATE = 0.5
OPEN_SECONDS = 5.0  # doubled each time it opens again soon
MAX_OPEN_SECONDS = 60.0
JITTER = 0.2  # of the open time, so that replicas do not ask in step
REST_SECONDS = 5.0  # after a 429 that says no time
MAX_REST_SECONDS = 300.0
REFUSED_SECONDS = 60.0  # others are preferred after a refused credential


class State(IntEnum):
    """The numbers are those of the metric `ccproxy_upstream_circuit_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Circuit:
    """What is known of one way to a provider.

    Args:
        open_after: How many failures in a row open it; 0 for a circuit that nothing opens.
        jitter: 0 to 1.

    Attributes:
        state: Whether calls go there.
        reason: Of its last opening, or of its credential's refusal: a value of `errors.Reason`. Empty at first.
        refused: Whether the provider last refused the credential.
        used: Whether anything has been heard from it.
        running: Calls that are there now.
        called_at: When the last one went there.
    """

    def __init__(self, open_after: int = FAILURES_IN_A_ROW, jitter: Callable[[], float] = random.random) -> None:
        self.state = State.CLOSED
        self.reason = ""
        self.refused = False
        self.used = False
        self.running = 0
        self.called_at = -math.inf
        self._on_change: Callable[[], None] | None = None
        self._jitter = jitter
        self._in_a_row = 0
        self._open_after = open_after
        self._limit = open_after
        self._slots: deque[list[float]] = deque(maxlen=WINDOW_SLOTS)  # [number, answers, failures]
        self._until = 0.0
        self._open_seconds = 0.0
        self._closed_at = 0.0
        self._resting_until = 0.0
        self._probing = False

    def watch(self, on_change: Callable[[], None]) -> None:
        """Calls `on_change` after every change of `state`, `refused` and `used`."""
        self._on_change = on_change

    def admits(self, now: float) -> bool:
        """Whether a call may go there: any while closed, one at a time to probe once the open time is over."""
        return self.state is State.CLOSED or (not self._probing and now >= self._until)

    def wait(self, now: float) -> float:
        """Seconds until a call may go there again; at least one while a probe is under way."""
        return 0.0 if self.admits(now) else max(self._until - now, 1.0)

    def rests(self, now: float) -> bool:
        """Whether others are to be preferred: it asked for time, or refused our credential a moment ago."""
        return now < self._resting_until

    def steady(self, now: float) -> bool:
        """Whether it is closed, and has been for as long as it was last open: a flapping one is never steady."""
        return self.state is State.CLOSED and not self.refused and now >= self._closed_at + self._open_seconds

    def begin(self, now: float) -> "Permit":
        """A call goes there. Only where `admits` allows it."""
        if not self.admits(now):
            raise RuntimeError("the circuit is open")
        probes = self.state is not State.CLOSED
        if probes:
            self._probing = True
            self._move(State.HALF_OPEN)
        self.running += 1
        self.called_at = now
        return Permit(self, probes=probes)

    def heard(self) -> None:
        """It answered, and accepted the credential."""
        self._in_a_row = 0
        self._limit = self._open_after
        self._accept()

    def accepted(self, now: float) -> None:
        """Content began: the probe, if this was it, has done its work."""
        self._accept()
        if self.state is State.HALF_OPEN:
            self._closed_at = now
            self._limit = 1  # until an answer is complete, the first failure opens it again
            self._in_a_row = 0
            self._slots.clear()
            self._move(State.CLOSED)

    def count(self, now: float, *, failed: bool, reason: str = "") -> None:
        """Counts one answer, or one failure that is the provider's."""
        slot = float(int(now / (WINDOW_SECONDS / WINDOW_SLOTS)))
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append([slot, 0, 0])
        self._slots[-1][1] += 1
        if not failed:
            self.heard()
            return
        self.used = True
        self._slots[-1][2] += 1
        self._in_a_row += 1
        if not self._open_after or self.state is State.OPEN:
            return
        if self._in_a_row >= self._limit or self._rate(slot) or self._probing:
            self._open(now, reason)

    def rest(self, now: float, seconds: float | None) -> None:
        """It asked for time."""
        self.used = True
        self._resting_until = now + min(seconds or REST_SECONDS, MAX_REST_SECONDS)

    def refuse(self, now: float, reason: str) -> None:
        """It refuses our credential. It is asked again now and then: keys are renewed."""
        self.used = True
        self._resting_until = now + REFUSED_SECONDS
        if not self.refused:
            self.refused, self.reason = True, reason
            self._changed()

    def release(self, now: float, *, probes: bool) -> None:
        """A call is over. A probe that said nothing leaves the question to the next caller."""
        self.running -= 1
        if probes:
            self._probing = False
            if self.state is State.HALF_OPEN:
                self._until = now
                self._move(State.OPEN)

    def _accept(self) -> None:
        changed = self.refused or not self.used
        self.refused, self.used = False, True
        if changed:
            self._changed()

    def _rate(self, slot: float) -> bool:
        recent = [each for each in self._slots if each[0] > slot - WINDOW_SLOTS]
        answers, failures = sum(each[1] for each in recent), sum(each[2] for each in recent)
        return answers >= WINDOW_LEAST and failures >= answers * WINDOW_RATE

    def _open(self, now: float, reason: str) -> None:
        soon = self._open_seconds and now < self._closed_at + 2 * self._open_seconds
        again = soon or self.state is State.HALF_OPEN
        self._open_seconds = min(self._open_seconds * 2, MAX_OPEN_SECONDS) if again else OPEN_SECONDS
        self._until = now + self._open_seconds * (1 + JITTER * (2 * self._jitter() - 1))
        self._in_a_row = 0
        self.reason = reason
        self._move(State.OPEN)

    def _move(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._changed()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()


class Permit:
    """One call's leave to go there. What it hears is told here; after `close` nothing is heard any more."""

    __slots__ = ("_circuit", "_counted", "_open", "_probes")

    def __init__(self, circuit: Circuit, *, probes: bool) -> None:
        self._circuit = circuit
        self._probes = probes
        self._counted = False
        self._open = True

    def content(self, now: float) -> None:
        """The answer's content began."""
        if self._open:
            self._circuit.accepted(now)

    def succeeded(self, now: float) -> None:
        """The answer is complete."""
        if self._open and not self._counted:
            self._counted = True
            self._circuit.accepted(now)
            self._circuit.count(now, failed=False)

    def failed(self, error: ApiError, now: float) -> None:
        """The provider failed, or said no. What says nothing about it changes nothing."""
        if not self._open or self._counted or error.provider is None:
            return
        match RULES[error.reason].circuit:
            case "counts":
                self._counted = True
                self._circuit.count(now, failed=True, reason=error.reason)
            case "rests":
                self._circuit.rest(now, error.retry_after)
            case "refuses":
                self._circuit.refuse(now, error.reason)
            case "answers":
                self._circuit.accepted(now)  # it answered, and nothing was wrong with it
            case _:
                pass

    def close(self, now: float) -> None:
        """The call is over."""
        if self._open:
            self._open = False
            self._circuit.release(now, probes=self._probes)
