"""Any file and any environment is a configuration or is explained."""

import re
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.configs import CANARY, problems, read

from ccproxy.config import Config, ConfigError, ProviderConfig, RouteConfig
from ccproxy.config.environment import variables

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def members(fields: tuple[str, ...], **likely: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with known and unknown keys, of fitting and of any values."""
    known = {name: likely.get(name, VALUES) | VALUES for name in fields}
    return st.tuples(st.fixed_dictionaries({}, optional=known), st.dictionaries(TEXT, VALUES, max_size=1)).map(
        lambda both: {**both[1], **both[0]}
    )


NAMES = st.sampled_from(["anthropic", "openai", "mine", "", "a b"])
HOSTS = st.sampled_from(["127.0.0.1", "::1", "0.0.0.0", "localhost"])
SECONDS = st.floats(-1, 1000)
PORTS = st.integers(-1, 70_000)
PROVIDERS = st.lists(
    members(
        ProviderConfig.__struct_fields__,
        name=NAMES,
        type=NAMES,
        api_base_url=TEXT | st.sampled_from(["https://api.example", "http://[", "http://h:99999"]),
        api_key=TEXT,
        models=st.lists(TEXT, max_size=2),
        enabled=st.booleans(),
    ),
    max_size=2,
)
ROUTES = st.dictionaries(
    TEXT,
    members(
        RouteConfig.__struct_fields__,
        provider=NAMES,
        model=TEXT,
        parameters=st.dictionaries(TEXT, VALUES, max_size=2),
    ),
    max_size=2,
)
DOCUMENTS = members(
    Config.__struct_fields__,
    host=HOSTS,
    port=PORTS,
    grpc_port=PORTS,
    grpc_reflection=st.booleans(),
    apikey=TEXT,
    trust_localhost=st.booleans(),
    shutdown_timeout=SECONDS,
    drain_delay=SECONDS,
    providers=PROVIDERS,
    routes=ROUTES,
    demo=st.booleans(),
)
any_file = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


PLACE = re.compile(r"\$[.\[:]|\$: |CCPROXY_[A-Z_]+: |[A-Z]+_API_KEY(_FILE)?: |/\S*config\.json: ")


def accepted_or_explained(home: Path, text: bytes, environ: Mapping[str, str]) -> None:
    """Loads; where that fails, each problem is one line that a terminal can show, with its place."""
    try:
        config = read(home, text, environ)
    except ConfigError as error:
        lines = error.problems
    else:
        lines = [] if config.is_loopback or config.has_key else ["open to all"]
    assert [line for line in lines if not PLACE.match(line) or not line.isprintable()] == []


@any_file
@given(document=DOCUMENTS | VALUES)
def test_any_json_is_a_configuration_or_explained(tmp_path: Path, document: Any):
    """Nothing in a file may end in a traceback."""
    accepted_or_explained(tmp_path, msgspec.json.encode(document), {})


@any_file
@given(text=st.binary(max_size=60) | st.text(string.printable, max_size=60).map(str.encode))
def test_any_bytes_are_a_configuration_or_explained(tmp_path: Path, text: bytes):
    """Nor may a file that is no JSON."""
    accepted_or_explained(tmp_path, text, {})


@any_file
@given(
    environ=st.dictionaries(
        st.sampled_from([*variables(), "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENAI_API_KEY_FILE"]),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
        | st.integers(-5, 99_999).map(str)
        | st.sampled_from(["true", "0.0.0.0", "10.0.0.0/8", "5m", "\udcff"]),
    )
)
def test_any_environment_is_a_configuration_or_explained(tmp_path: Path, environ: dict[str, str]):
    """Nor may the environment."""
    accepted_or_explained(tmp_path, b"{}", environ)


# A good configuration, changed.

GOOD: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 3456,
    "apikey": CANARY,
    "keys": [{"name": "ci", "scope": "monitor", "key": CANARY}],
    "allowed_ips": ["10.0.0.0/8"],
    "proxy_url": f"http://u:{CANARY}@proxy:3128",
    "no_proxy": ["localhost"],
    "log_level": "info",
    "shutdown_timeout": "30s",
    "drain_delay": 5,
    "providers": [
        {"name": "anthropic", "api_key": CANARY},
        {"name": "local", "type": "openai", "api_base_url": "http://127.0.0.1:1/v1", "models": ["m"]},
    ],
    "routes": {
        "default": {"provider": "anthropic", "fallbacks": [{"provider": "local", "model": "m"}]},
        "gpt-4.1": {"provider": "local", "parameters": {"temperature": 0.5, "max_tokens": 10}},
    },
    "performance": {"request_timeout": "5m", "max_request_body_size": "1MiB"},
}
WRONG: list[Any] = [None, True, -1, 1.5, 10**30, "", " ", "\n", "${NO_SUCH}", "${", [], [None], {}, {"x": 1}]


def spots(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value in a document."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from spots(each, (*at, key))


def changed(value: Any, at: tuple[str | int, ...], new: Any) -> Any:
    """The document with another value in one place."""
    if not at:
        return new
    copy = value.copy()
    copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


def test_a_good_configuration_is_taken(tmp_path: Path):
    """Else its changes prove nothing."""
    assert len(read(tmp_path, GOOD).active) == 2


def test_every_change_of_a_good_configuration_is_taken_or_explained(tmp_path: Path):
    """Every value replaced by every wrong one; and no problem shows a secret."""
    changes = [changed(GOOD, at, new) for at in spots(GOOD) for new in WRONG]
    for document in changes:
        accepted_or_explained(tmp_path, msgspec.json.encode(document), {})
        try:
            shown = repr(read(tmp_path, document))
        except ConfigError as error:
            shown = repr(error)
        assert CANARY not in shown

    assert len(changes) > 500


def test_a_mistyped_key_anywhere_is_found(tmp_path: Path):
    """One letter too many in each known key, one at a time."""
    random = Random(1)  # noqa: S311  # the same letters each time
    missed = []
    for at in spots(GOOD):
        if not at or not isinstance(at[-1], str) or at[-2:-1] in {("routes",), ("parameters",)}:
            continue
        owner = GOOD
        for key in at[:-1]:
            owner = owner[key]
        typo = at[-1] + random.choice(string.ascii_lowercase)
        document = changed(GOOD, at[:-1], {typo if key == at[-1] else key: value for key, value in owner.items()})
        if not any(f"did you mean {at[-1]}?" in line for line in problems(tmp_path, document)):
            missed.append(at)

    assert missed == []
