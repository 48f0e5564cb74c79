"""What the soak asks for: a mixture of everything that callers do, the same in every run."""

import random
from collections.abc import Iterator
from typing import Any, Literal

from faults.table import FAULTS, FINE, Fault, Outcome
from faults.wires import WIRES
from msgspec import Struct, structs

from ccproxy.config.types import DEMO_TYPES

Kind = Literal["message", "leave", "count", "models", "health"]
Edge = Literal["http", "grpc"]

SEED = 4711
FAULTY, LEAVING = 0.20, 0.05  # of all requests
OTHERS: tuple[Kind, ...] = ("count", "models", "health")
OTHER = 0.10  # of all requests: one of these
DEMO = 0.15  # of the good messages: answered by the demo
GRPC = 0.3
WAITING = 0.01  # of the faulty ones: each takes a caller's time until we give the provider up
LARGE, LARGE_BYTES = 0.05, 40_000

TOO_LARGE = frozenset({"giant_event_first", "giant_event", "giant_answer", "gzip_bomb", "endless"})
"""Faults of many megabytes: with them the memory's figure would be theirs. The fault matrix has them."""
CLOSED = "closed"
"""The place that refuses connections; the one fault of a place that needs nothing else."""


class Ask(Struct, frozen=True):
    """One request.

    Attributes:
        kind: What is asked for; `leave` is a message whose caller does not wait for its end.
        edge: Over which port.
        stream: Whether the answer is to be a stream.
        model: The model, with its provider.
        prompt: What is said.
        outcome: What must come of it.
        waits: Whether the provider is waited for in vain.
        number: Which request of the soak it is. The prompt says it: so the provider's side of it can be found.
    """

    kind: Kind
    edge: Edge
    stream: bool = False
    model: str = ""
    prompt: str = ""
    outcome: Outcome = FINE
    waits: bool = False
    number: int = 0

    @property
    def mark(self) -> str:
        """What no other request says."""
        return f"request {self.number}."

    @property
    def document(self) -> dict[str, Any]:
        """The request's JSON, without `stream`."""
        document = {"model": self.model, "messages": [{"role": "user", "content": f"{self.prompt} {self.mark}"}]}
        return document if self.kind == "count" else {**document, "max_tokens": 500}


def mixture(seed: int = SEED) -> Iterator[Ask]:
    """Requests without end."""
    for number, ask in enumerate(_mixture(seed), 1):
        yield structs.replace(ask, number=number)


def _mixture(seed: int) -> Iterator[Ask]:
    chance = random.Random(seed)  # noqa: S311  # to be the same each time is what it is for
    quick = [fault for fault in FAULTS if _usable(fault) and not fault.waits]
    waiting = [fault for fault in FAULTS if _usable(fault) and fault.waits == "bytes"]
    while True:
        edge: Edge = "grpc" if chance.random() < GRPC else "http"
        stream = chance.random() < 0.5
        place = chance.random()
        if place < FAULTY:
            fault = chance.choice(waiting if chance.random() < WAITING else quick)
            yield _faulty(fault, edge, chance.choice(sorted(WIRES)), stream=stream)
        elif place < FAULTY + LEAVING:
            yield _left(chance, edge, stream=stream)
        elif place < FAULTY + LEAVING + OTHER:
            model = f"demo-{chance.choice(sorted(DEMO_TYPES))},demo-model"
            yield Ask(chance.choice(OTHERS), edge, model=model, prompt="How long is this?")
        else:
            yield _good(chance, edge, stream=stream)


def _usable(fault: Fault) -> bool:
    return fault.name not in TOO_LARGE and fault.place in {"", CLOSED}


def _faulty(fault: Fault, edge: Edge, wire: str, *, stream: bool) -> Ask:
    if fault.outcome(wire, stream=stream) is None:
        stream = not stream
    outcome = fault.outcome(wire, stream=stream)
    assert outcome is not None
    provider = CLOSED if fault.place else wire
    return Ask("message", edge, stream, f"{provider},{fault.name}", "Hello", outcome, bool(fault.waits))


def _left(chance: random.Random, edge: Edge, *, stream: bool) -> Ask:
    """Whoever waits for a whole answer leaves while the provider is silent, a reader of a stream in its middle."""
    wire = chance.choice(sorted(WIRES))
    if not stream:
        return Ask("leave", edge, stream, f"{wire},silent", "Hello")
    if chance.random() < 0.5:
        return Ask("leave", edge, stream, f"{wire},stall_mid_stream", "Hello")
    return Ask(
        "leave", edge, stream, f"demo-{chance.choice(sorted(DEMO_TYPES))},demo-model", "[[tokens 200]] [[pace 20]]"
    )


def _good(chance: random.Random, edge: Edge, *, stream: bool) -> Ask:
    prompt = "x" * LARGE_BYTES if chance.random() < LARGE else "Hello"
    if chance.random() < DEMO:
        return Ask("message", edge, stream, f"demo-{chance.choice(sorted(DEMO_TYPES))},demo-model", prompt)
    return Ask("message", edge, stream, f"{chance.choice(sorted(WIRES))},good", prompt)
