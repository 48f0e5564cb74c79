"""Documents changed at random, as a client of another version, or a hostile one, would write them."""

from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 5.0, 0.5, -0.0, 1e300,
    2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**64, 10**40,
    "", "text", "\u00fcn\u00efc\u00f6d\u00e9 \U0001f600", "nul \x00 and \u2028", '{"a":1}',
    [], {}, [[]], [None], ["a", 1], [{}], {"": {}},
    {"type": None}, {"type": 5}, {"type": "opaque", "json": "{}"}, {"type": "text"},
    {"type": "text", "text": None}, {"type": "block_of_next_year", "size": 2**60},
    {"type": "ephemeral", "ttl": ["5m"]}, {"extra_json": "{}", "input_json": "{"},
)  # fmt: skip
ODD_NAMES = (
    "type", "text", "content", "input", "source", "usage", "index", "title", "name", "id", "role", "data",
    "citations", "extra_json", "input_json", "opaque", "blocks", "json", "max_tokens", "temperature",
    "stop_sequences", "cache_control", "system", "messages", "tools", "tool_choice", "delta", "message", "",
    "Type", "\u00e9",
)  # fmt: skip
DEEP = 40  # More levels of blocks than a message may hold typed.


def mutated(document: Any, random: Random) -> Any:
    """Return a changed copy of `document`, which stays an object where it is one."""
    copy = _copied(document)
    for _ in range(random.randint(1, 5)):
        containers = list(_containers(copy))
        if containers:
            _change(random.choice(containers), random)
    return copy


def same(one: Any, other: Any) -> bool:
    """Say whether two decoded documents are equal as JSON: 1 is 1.0, but True is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and bool(one == other)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copied(element) for element in value]
    return value


def _containers(value: Any) -> Any:
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)


def _change(container: Any, random: Random) -> None:
    """Add, drop, replace, wrap, unwrap, move or repeat one member or element."""
    odd = _odd(random)
    places = list(container) if isinstance(container, dict) else list(range(len(container)))
    if not places or random.random() < 0.2:
        _add(container, odd, random)
        return
    place = random.choice(places)
    value = container[place]
    match random.choice(("drop", "replace", "wrap", "unwrap", "move")):
        case "drop":
            del container[place]
        case "replace":
            container[place] = odd
        case "wrap":
            container[place] = random.choice(([value], {"type": value}))
        case "unwrap":
            container[place] = value[0] if isinstance(value, list) and value else odd
        case _:
            _add(container, _copied(value), random)
            if random.random() < 0.5:
                container.pop(place, None) if isinstance(container, dict) else container.pop(place)


def _add(container: Any, value: Any, random: Random) -> None:
    if isinstance(container, dict):
        container[random.choice(ODD_NAMES)] = value
    else:
        container.insert(random.randint(0, len(container)), value)


def _odd(random: Random) -> Any:
    if random.random() < 0.02:
        return nested_results(DEEP)
    return _copied(random.choice(ODD_VALUES))


def nested_results(levels: int) -> list[Any]:
    """Return blocks inside blocks."""
    blocks: list[Any] = [{"type": "text", "text": "innermost"}]
    for _ in range(levels):
        blocks = [{"type": "tool_result", "tool_use_id": "t", "content": blocks}]
    return blocks
