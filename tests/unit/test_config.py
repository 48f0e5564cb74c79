"""What the operator says: the file, the environment over it, and every mistake with its place."""

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccproxy import config
from ccproxy.config import Config, ConfigError, ProviderConfig, Secret, load

CANARY = "sk-canary-0123456789"
ANTHROPIC = {"ANTHROPIC_API_KEY": CANARY}
NESTED = b'{"routes":{"x":{"provider":"x","parameters":{"a":' + b"[" * 100_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a configuration."""
    return tmp_path


def write(home: Path, document: Any) -> Path:
    """Puts the default file into `home`: JSON text as it is, anything else encoded."""
    file = home / ".ccproxy" / "config.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(document if isinstance(document, bytes) else msgspec.json.encode(document))
    return file


def read(home: Path, document: Any = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of a file and an environment."""
    if document is not None:
        write(home, document)
    return load(None, environ or {}, home)


def problems(home: Path, document: Any = None, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with them."""
    with pytest.raises(ConfigError) as raised:
        read(home, document, environ)
    return raised.value.problems


# Where it comes from.


def test_nothing_configured_is_the_demo_on_this_host(home: Path):
    """The first command anybody runs must work."""
    assert read(home) == Config(host="127.0.0.1", port=3456, grpc_port=3457, demo=True)


def test_the_default_file_is_in_the_home_directory(home: Path):
    """Where the ancestor kept it."""
    assert read(home, {"port": 4000}).port == 4000


def test_a_named_file_is_read_instead(home: Path):
    """Two services on one host have two files."""
    write(home, {"port": 4000})
    named = home / "other.json"
    named.write_text('{"port": 5000}')

    assert load(named, {}, home).port == 5000


def test_a_named_file_must_be_there(home: Path):
    """A mistyped --config must not serve something else."""
    with pytest.raises(ConfigError, match=r"no\.json: No such file"):
        load(home / "no.json", {}, home)


def test_a_directory_in_the_place_of_the_default_file_is_a_problem(home: Path):
    """Docker makes one where a mounted file does not exist; the demo must not answer then."""
    (home / ".ccproxy" / "config.json").mkdir(parents=True)

    assert "Is a directory" in problems(home)[0]


def test_a_file_in_the_place_of_the_default_directory_is_no_configuration(home: Path):
    """There is no file to read, as where there is no directory."""
    (home / ".ccproxy").write_text("")

    assert read(home).demo


def test_nothing_is_read_from_the_working_directory(home: Path, monkeypatch: pytest.MonkeyPatch):
    """A cloned repository must not redirect the operator's prompts."""
    (home / "config.json").write_text('{"port": 1}')
    (home / ".env").write_text("CCPROXY_PORT=1")
    monkeypatch.chdir(home)

    assert load(None, {}, home / "nobody").port == 3456


def test_the_environment_is_over_the_file(home: Path):
    """A container sets variables over a baked file."""
    document = {"host": "127.0.0.1", "port": 1, "grpc_port": 2, "apikey": "old"}
    environ = {
        "CCPROXY_HOST": "0.0.0.0",
        "CCPROXY_PORT": "4001",
        "CCPROXY_GRPC_PORT": "4002",
        "CCPROXY_API_KEY": "new",
    }
    loaded = read(home, document, environ)

    assert (loaded.host, loaded.port, loaded.grpc_port, loaded.apikey) == ("0.0.0.0", 4001, 4002, Secret("new"))


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_says_nothing(home: Path, value: str):
    """Compose writes `CCPROXY_PORT=` for a variable that is not set."""
    assert read(home, {"port": 4000}, {"CCPROXY_PORT": value, "CCPROXY_API_KEY": value}).port == 4000


def test_blanks_around_a_variable_are_no_part_of_it(home: Path):
    """A secret from a file often ends in a line break."""
    assert read(home, {}, {"CCPROXY_API_KEY": " key\n"}).apikey == Secret("key")


@pytest.mark.parametrize("value", ["x", "3_456", "-1", "+1", "1.0", "0x10", "٣٤٥٦", "123456", "1e3", "3456 7"])
def test_a_port_variable_must_be_a_number(home: Path, value: str):
    """Python's int() would take some of them."""
    assert problems(home, {}, {"CCPROXY_PORT": value}) == ["CCPROXY_PORT: expected a port number"]


@pytest.mark.parametrize("variable", ["CCPROXY_PORT", "CCPROXY_GRPC_PORT"])
def test_kubernetes_own_variable_is_explained(home: Path, variable: str):
    """A Service called ccproxy sets CCPROXY_PORT=tcp://10.0.0.1:3456 in every pod: a famous trap."""
    (problem,) = problems(home, {}, {variable: "tcp://10.96.0.10:3456"})

    assert problem.startswith(f"{variable}: ")
    assert "enableServiceLinks: false" in problem


def test_an_address_as_in_a_url_is_an_address(home: Path):
    """IPv6 addresses are often written in brackets; sockets take them without."""
    assert read(home, {"host": "[::1]"}).host == "::1"


# Providers and their keys.


def test_a_key_variable_alone_enables_its_provider(home: Path):
    """The shortest way to a real model."""
    loaded = read(home, None, ANTHROPIC)

    assert (loaded.providers, loaded.demo) == ([ProviderConfig("anthropic", api_key=Secret(CANARY))], False)


def test_each_key_variable_enables_its_own_provider(home: Path):
    """One key each."""
    loaded = read(home, None, {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"})

    assert {p.name: p.api_key for p in loaded.active} == {"anthropic": Secret("a"), "openai": Secret("o")}


def test_a_key_variable_fills_in_a_provider_without_key(home: Path):
    """The file holds no secret, the environment does."""
    loaded = read(home, {"providers": [{"name": "work", "type": "anthropic"}]}, ANTHROPIC)

    assert loaded.providers == [ProviderConfig("work", type="anthropic", api_key=Secret(CANARY))]


def test_the_files_key_is_over_the_variable(home: Path):
    """The file is the more particular word."""
    loaded = read(home, {"providers": [{"name": "anthropic", "api_key": "own"}]}, ANTHROPIC)

    assert loaded.providers[0].api_key == Secret("own")


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example/anthropic",
        "https://api.anthropic.com.evil.example",
        "http://api.anthropic.com",
        "https://api.anthropic.com:8443",
        "http://127.0.0.1:8080",
    ],
)
def test_a_key_variable_never_goes_to_another_host(home: Path, url: str):
    """The environment's key is for the provider that issued it, not for whoever is written in a file."""
    loaded = read(home, {"providers": [{"name": "anthropic", "api_base_url": url}]}, ANTHROPIC)

    assert [p.api_key for p in loaded.providers] == [None]


@pytest.mark.parametrize("url", ["https://api.anthropic.com", "https://api.anthropic.com/"])
def test_a_key_variable_goes_to_the_providers_own_url_spelled_out(home: Path, url: str):
    """Writing the default down changes nothing."""
    loaded = read(home, {"providers": [{"name": "anthropic", "api_base_url": url}]}, ANTHROPIC)

    assert loaded.providers[0].api_key == Secret(CANARY)


def test_a_disabled_provider_stays_disabled(home: Path):
    """A key in the environment is no reason to send prompts where the operator said no."""
    loaded = read(home, {"providers": [{"name": "anthropic", "enabled": False}]}, ANTHROPIC)

    assert loaded.active == []


def test_a_name_in_the_file_is_not_taken_again_by_a_variable(home: Path):
    """Somebody may call a compatible provider by another one's name."""
    document = {"providers": [{"name": "anthropic", "type": "openai", "api_key": "o"}]}

    assert [p.type for p in read(home, document, ANTHROPIC).providers] == ["openai"]


@pytest.mark.parametrize(
    ("document", "environ"),
    [
        ({"providers": [{"name": "anthropic", "enabled": False}]}, {}),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}),
        ({"host": "0.0.0.0", "apikey": "key"}, {}),
        ({}, ANTHROPIC),
    ],
    ids=["a provider", "Kubernetes", "other hosts", "a key"],
)
def test_the_demo_answers_nobody_by_accident(home: Path, document: Any, environ: Mapping[str, str]):
    """Echoes in production are worse than an error."""
    assert not read(home, document, environ).demo


def test_the_demo_can_be_asked_for(home: Path):
    """`--demo` tries the service out beside a real configuration."""
    write(home, {"providers": [{"name": "anthropic", "api_key": "a"}]})

    assert load(None, {}, home, demo=True).demo


def test_a_demo_in_the_file_takes_no_key_of_the_environment(home: Path):
    """A provider that nobody named must not appear beside the demo."""
    assert read(home, {"demo": True}, ANTHROPIC).providers == []


# Mistakes.


@pytest.mark.parametrize(
    "document", [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.1.5"}, {"host": "box"}]
)
def test_serving_other_hosts_needs_a_key(home: Path, document: Any):
    """Else anybody in the network spends the operator's money."""
    assert "a key is needed" in problems(home, document)[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "::ffff:127.0.0.1"])
def test_serving_this_host_needs_none(home: Path, host: str):
    """The default."""
    assert read(home, {"host": host}).is_loopback


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"prot": 1}, "$: unknown key prot; did you mean port?"),
        ({"apiKey": "x"}, "$: unknown key apiKey; did you mean apikey?"),
        ({"providers": [{"name": "x", "modles": []}]}, "$.providers[0]: unknown key modles; did you mean models?"),
        ({"routes": {"default": {"provder": "x"}}}, "$.routes[...]: unknown key provder; did you mean provider?"),
        ({"zzz": 1}, "$: unknown key zzz; known are host, port,"),
        ({"a - at b": 1}, "$: unknown key a - at b; known are"),
        ({"a`b": 1}, "$: unknown key a`b; known are"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(home: Path, document: Any, expected: str):
    """A mistyped setting that is ignored is found months later."""
    (problem,) = problems(home, document)

    assert problem.partition("config.json: ")[2].startswith(expected)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"port": True}, "$.port: Expected int, got bool"),
        ({"port": "3456"}, "$.port: Expected int, got str"),
        ({"port": 1.5}, "$.port: Expected int, got float"),
        ({"port": None}, "$.port: Expected int, got null"),
        ({"host": 1}, "$.host: Expected str, got int"),
        ({"apikey": 1}, "$.apikey: Expected str"),
        ({"apikey": ["a"]}, "$.apikey: Expected str"),
        ({"demo": "yes"}, "$.demo: Expected bool, got str"),
        ({"shutdown_timeout": True}, "$.shutdown_timeout: Expected float, got bool"),
        ({"providers": {}}, "$.providers: Expected array, got object"),
        ({"providers": [{}]}, "$.providers[0]: Object missing required field name"),
        ({"providers": [{"name": "a"}, {"name": 2}]}, "$.providers[1].name: Expected str, got int"),
        ({"providers": [{"name": "a", "api_key": 1}]}, "$.providers[0].api_key: Expected str"),
        ({"routes": {"default": {"provider": 1}}}, "$.routes[...].provider: Expected str, got int"),
        ([], "$: Expected object, got array"),
        (None, "$: Expected object, got null"),
    ],
)
def test_a_wrong_type_is_told_with_its_path(home: Path, document: Any, expected: str):
    """The operator goes to that place, not through the file."""
    (problem,) = problems(home, b"null" if document is None else document)

    assert problem.partition("config.json: ")[2] == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b'{\n  "port": ,\n}', "(line 2)"),
        (b"{\n\n\n  'port': 1}", "(line 4)"),
        (b'{"port": NaN}', "(line 1)"),
        (b'{"port": 1}\n}', "(line 2)"),
    ],
)
def test_bad_json_is_told_with_its_line(home: Path, text: bytes, line: str):
    """Editors show lines, not bytes."""
    (problem,) = problems(home, text)

    assert "not valid JSON" in problem
    assert line in problem


@pytest.mark.parametrize("text", [b"", b"{", b'{"host": "\xff"}', b"\xef\xbb\xbf{}", NESTED, b"\x00"])
def test_what_is_no_json_at_all_is_one_problem(home: Path, text: bytes):
    """Truncated, not UTF-8, nested without end: never a traceback."""
    (problem,) = problems(home, text)

    assert "not valid JSON" in problem


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"port": -1}, "$.port"),
        ({"port": 65536}, "$.port"),
        ({"port": 10**30}, "$.port"),
        ({"grpc_port": -1}, "$.grpc_port"),
        ({"port": 4000, "grpc_port": 4000}, "$.grpc_port"),
        ({"shutdown_timeout": -1}, "$.shutdown_timeout"),
        ({"shutdown_timeout": 901}, "$.shutdown_timeout"),
        ({"drain_delay": -0.1}, "$.drain_delay"),
        ({"drain_delay": 1e9}, "$.drain_delay"),
        ({"apikey": ""}, "$.apikey"),
        ({"apikey": " key"}, "$.apikey"),
        ({"apikey": "key\n"}, "$.apikey"),
        ({"apikey": "k\u0000y"}, "$.apikey"),
        ({"host": ""}, "$.host"),
        ({"providers": [{"name": "openai,x", "type": "openai"}]}, "$.providers[0].name"),
        ({"providers": [{"name": "", "type": "openai"}]}, "$.providers[0].name"),
        ({"providers": [{"name": "openai"}, {"name": "openai"}]}, "$.providers[1].name"),
        ({"providers": [{"name": "mine"}]}, "$.providers[0].type"),
        ({"providers": [{"name": "mine", "type": "other"}]}, "$.providers[0].type"),
        ({"providers": [{"name": "openai", "api_key": ""}]}, "$.providers[0].api_key"),
        ({"providers": [{"name": "openai", "api_key": "k\r\nx: y"}]}, "$.providers[0].api_key"),
        (
            {"providers": [{"name": "openai"}], "routes": {"default": {"provider": "x"}}},
            "$.routes.default.provider",
        ),
        (
            {
                "providers": [{"name": "openai", "enabled": False}],
                "routes": {"m": {"provider": "openai"}},
            },
            "$.routes.m.provider",
        ),
    ],
)
def test_a_value_that_cannot_work_is_told_with_its_place(home: Path, document: Any, place: str):
    """At the start, not at the first request."""
    (problem,) = problems(home, document)

    assert problem.startswith(f"{place}: ")


@pytest.mark.parametrize(
    "url",
    [
        "api.example",
        "ftp://api.example",
        "https://",
        "https://user:pw@api.example",
        "https://api.example?x=1",
        "https://api.example/v1#x",
        "https://api.example/v1 ",
        "https://api.example\\@evil.example",
        "https://[::1",
        "https://api.example:99999",
        "https://api.example:0",
        "https://api.example:x",
        "https://:443",
        "HTTPS://api.example",
        "https://api.example/%2e%2e",
        "https://api.example/v1\n",
    ],
)
def test_a_base_url_is_scheme_host_and_path_alone(home: Path, url: str):
    """What is put behind a `?`, `#` or `@` would end up elsewhere than it says."""
    (problem,) = problems(home, {"providers": [{"name": "openai", "api_base_url": url}]})

    assert problem.startswith("$.providers[0].api_base_url: ")


@pytest.mark.parametrize(
    "url", ["https://api.example", "http://127.0.0.1:8080/v1", "http://[::1]:9000", "https://a-b.example/x_y/~z/"]
)
def test_other_base_urls_are_taken(home: Path, url: str):
    """Compatible servers stand anywhere."""
    loaded = read(home, {"providers": [{"name": "openai", "api_base_url": url}]})

    assert loaded.providers[0].api_base_url == url


def test_every_problem_is_told_at_once(home: Path):
    """Mending one mistake to be told the next is a poor way to configure."""
    document = {"port": -1, "host": "0.0.0.0", "shutdown_timeout": -1, "providers": [{"name": "x"}]}

    assert len(problems(home, document, {"CCPROXY_GRPC_PORT": "x"})) == 5


def test_routes_of_the_demo_need_no_provider(home: Path):
    """`--demo` sets the whole table aside."""
    assert read(home, {"demo": True, "routes": {"default": {"provider": "x"}}}).demo


# Secrets.


def shown(value: object) -> list[str]:
    """Every way Python has to show a value."""
    return [repr(value), str(value), f"{value}", f"{value!a}", "%s %r" % (value, value), format(value)]  # noqa: UP031


def test_no_object_shows_a_secret(home: Path):
    """Configurations end up in logs and tracebacks."""
    document = {"apikey": CANARY, "providers": [{"name": "openai", "api_key": CANARY}]}
    loaded = read(home, document, ANTHROPIC)
    objects = [loaded, loaded.apikey, loaded.providers, *loaded.providers, *(p.api_key for p in loaded.providers)]

    assert [text for value in objects for text in shown(value) if CANARY in text] == []


def test_a_secret_cannot_be_written_as_json():
    """Nobody dumps the configuration by accident."""
    with pytest.raises(TypeError, match="Secret"):
        msgspec.json.encode(Config(apikey=Secret(CANARY)))


def test_no_problem_shows_a_secret(home: Path):
    """What is wrong with a key is told without it."""
    document = {
        "port": -1,
        "apikey": f"{CANARY}\n",
        "providers": [{"name": "x", "api_key": f" {CANARY}", "api_base_url": f"https://u:{CANARY}@h"}],
    }

    assert CANARY not in "\n".join(problems(home, document, {"CCPROXY_PORT": CANARY}))


def test_a_secret_equals_its_like_alone():
    """Tests and change detection compare them; a plain string is no secret."""
    assert (Secret("a") == Secret("a"), Secret("a") == Secret("b"), Secret("a") == "a") == (True, False, False)


def test_a_secret_can_be_a_key_of_a_set():
    """Equal secrets have equal hashes."""
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


# Any file.

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
        config.ProviderConfig.__struct_fields__,
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
        config.RouteConfig.__struct_fields__,
        provider=NAMES,
        model=TEXT,
        parameters=st.dictionaries(TEXT, VALUES, max_size=2),
    ),
    max_size=2,
)
DOCUMENTS = members(
    config.Config.__struct_fields__,
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


def accepted_or_explained(home: Path, text: bytes, environ: Mapping[str, str]) -> None:
    """Loads; where that fails, each problem must be one line that a terminal can show."""
    try:
        loaded = read(home, text, environ)
    except ConfigError as error:
        lines = error.problems
    else:
        lines = [] if loaded.is_loopback or loaded.apikey is not None else [""]
    assert all(line and line.isprintable() for line in lines)


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
        st.sampled_from(
            ["CCPROXY_HOST", "CCPROXY_PORT", "CCPROXY_GRPC_PORT", "CCPROXY_API_KEY", "ANTHROPIC_API_KEY"]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
        | st.integers(-5, 99_999).map(str),
    )
)
def test_any_environment_is_a_configuration_or_explained(tmp_path: Path, environ: dict[str, str]):
    """Nor may the environment."""
    accepted_or_explained(tmp_path, b"{}", environ)
