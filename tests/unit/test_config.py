"""What the operator says: the file, and the environment over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from unit.configs import CANARY, problems, read, write

from ccproxy.config import Config, ConfigError, ProviderConfig, Secret, default_path, load
from ccproxy.config import read as read_all

ANTHROPIC = {"ANTHROPIC_API_KEY": CANARY}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a configuration."""
    return tmp_path


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


def test_an_address_as_in_a_url_is_an_address(home: Path):
    """IPv6 addresses are often written in brackets; sockets take them without."""
    assert read(home, {"host": "[::1]"}).host == "::1"


def test_the_file_can_be_named_by_the_environment(home: Path):
    """Containers have no command line of their own."""
    (home / "named.json").write_text('{"port": 5000}')
    environ = {"CCPROXY_CONFIG": "~/named.json"}

    assert default_path(environ, home) == home / "named.json"
    assert load(None, environ, home).port == 5000


def test_a_file_named_by_the_environment_must_be_there(home: Path):
    """As one of the command line."""
    with pytest.raises(ConfigError, match=r"no\.json: No such file"):
        load(None, {"CCPROXY_CONFIG": str(home / "no.json")}, home)


def test_the_command_line_is_over_the_environment(home: Path):
    """It is the nearer word."""
    named = home / "named.json"
    named.write_text('{"port": 5000}')

    assert load(named, {"CCPROXY_CONFIG": "/no/such"}, home).port == 5000


def test_without_a_name_it_is_the_ancestors_file(home: Path):
    """`ccproxy config path` says so."""
    assert default_path({}, home) == home / ".ccproxy" / "config.json"


def test_where_it_was_read_is_told(home: Path):
    """And whether there was anything."""
    before = read_all(None, {}, home)
    file = write(home, {"port": 4000})
    after = read_all(None, {}, home)

    assert [(each.file, each.found) for each in (before, after)] == [(file, False), (file, True)]


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


def test_a_demo_that_the_file_refuses_does_not_come_by_itself(home: Path):
    """`"demo": false` is a word, not silence."""
    assert not read(home, {"demo": False}).demo


def test_a_demo_in_the_file_takes_no_key_of_the_environment(home: Path):
    """A provider that nobody named must not appear beside the demo."""
    assert read(home, {"demo": True}, ANTHROPIC).providers == []


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
