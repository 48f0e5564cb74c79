"""The command line's own decisions: environments, times, which service is meant. Processes are in tests/e2e."""

import importlib
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from ccproxy import cli
from ccproxy.cli import code, options, place
from ccproxy.config import Config, KeyConfig, ProviderConfig, Secret

URL = "http://127.0.0.1:3456"
OWN = Secret("sk-own")


def test_every_listed_command_is_there():
    """The list is written by hand, so that it can be printed without importing any."""
    for name, (module, line) in cli.COMMANDS.items():
        command = getattr(importlib.import_module(f"ccproxy.cli.{module}"), name)
        assert isinstance(command, click.Command)
        assert line.endswith(".")


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("1.5s", 1.5)]
)
def test_a_time_has_a_unit(text: str, seconds: float):
    """The same as in the configuration."""
    assert options.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1d", "1e9", "nan", "1 s", "9999999999"])
def test_anything_else_is_no_time(text: str):
    """And is refused in words."""
    with pytest.raises(click.BadParameter, match="is not a time"):
        options.seconds(text)


# What a client gets.


def environment(config: Config, environ: dict[str, str] | None = None) -> code.Environment:
    """The changes for a client of this configuration."""
    return code.client_environment(config, URL, place.caller_key(config), environ or {})


def test_a_client_gets_a_placeholder_where_there_is_no_key():
    """Without any token, Claude Code asks for a login."""
    changes = environment(Config())

    assert changes.values["ANTHROPIC_AUTH_TOKEN"] == "ccproxy"
    assert changes.secret == ()
    assert "ANTHROPIC_API_KEY" in changes.removed


def test_a_client_gets_the_key():
    """And what prints it is told that it is one."""
    changes = environment(Config(apikey=OWN))

    assert changes.values["ANTHROPIC_AUTH_TOKEN"] == "sk-own"
    assert changes.secret == ("ANTHROPIC_AUTH_TOKEN",)


def test_a_clients_own_login_is_left_alone_where_it_must_pass():
    """With no key of ours there is nothing to add."""
    changes = environment(Config(providers=[ProviderConfig("anthropic", auth="client")]))

    assert {"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"}.isdisjoint(changes.values)
    assert "ANTHROPIC_API_KEY" not in changes.removed


def test_a_disabled_provider_asks_for_no_login():
    """It gets nothing."""
    config = Config(providers=[ProviderConfig("anthropic", auth="client", enabled=False)])

    assert "ANTHROPIC_API_KEY" in environment(config).removed


def test_our_key_joins_the_clients_own_headers():
    """An old one of ours gives way."""
    config = Config(apikey=OWN, providers=[ProviderConfig("anthropic", auth="client")])
    changes = environment(config, {"ANTHROPIC_CUSTOM_HEADERS": "x-a: b\nX-CCProxy-Key: old"})

    assert changes.values["ANTHROPIC_CUSTOM_HEADERS"] == "x-a: b\nx-ccproxy-key: sk-own"
    assert changes.secret == ("ANTHROPIC_CUSTOM_HEADERS",)


@pytest.mark.parametrize(
    ("environ", "hosts"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "a, b ,"}, "a,b,127.0.0.1,localhost"),
        ({"NO_PROXY": "localhost", "no_proxy": "a"}, "localhost,127.0.0.1"),
    ],
)
def test_this_host_is_reached_without_the_machines_proxy(environ: dict[str, str], hosts: str):
    """Else a proxy for everything swallows the first hop."""
    values = environment(Config(), environ).values

    assert (values["NO_PROXY"], values["no_proxy"]) == (hosts, hosts)


def test_what_fish_reads_is_what_was_meant():
    """Its quotes have two exceptions."""
    assert code._fish("a'b\\c $d") == "'a\\'b\\\\c $d'"


# The caller's key.


def test_the_key_may_be_in_a_file(tmp_path: Path):
    """Its first line."""
    file = tmp_path / "key"
    file.write_text("sk-file\nmore\n")

    assert place.caller_key(Config(apikey_file=str(file))) == "sk-file"
    assert place.caller_key(Config(keys=[KeyConfig("me", key_file=str(file))])) == "sk-file"


def test_a_key_for_monitors_is_none_for_clients():
    """It would be refused at the first message."""
    keys = [KeyConfig("watch", scope="monitor", key=OWN), KeyConfig("me", key=Secret("sk-me"))]

    assert place.caller_key(Config(keys=keys[:1])) is None
    assert place.caller_key(Config(keys=keys)) == "sk-me"


@pytest.mark.parametrize(
    "config", [Config(), Config(apikey_file="/nowhere"), Config(keys=[KeyConfig("me", key_sha256="0" * 64)])]
)
def test_a_key_that_cannot_be_read_is_none(config: Config):
    """Of a digest there is no way back."""
    assert place.caller_key(config) is None


# Where things are.


def test_the_state_is_in_the_home_or_where_the_operator_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """And the configuration in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CCPROXY_HOME", raising=False)
    monkeypatch.delenv("CCPROXY_CONFIG", raising=False)
    default = place.config_file(None)
    monkeypatch.setenv("CCPROXY_HOME", "~/other")
    moved = place.config_file(None)
    monkeypatch.setenv("CCPROXY_CONFIG", "~/mine.json")

    assert default == tmp_path / ".ccproxy" / "config.json"
    assert moved == tmp_path / "other" / "config.json"
    assert place.config_file(None) == tmp_path / "mine.json"
    assert place.config_file(Path("named")) == Path("named")


def test_an_installation_of_its_own_reads_no_other_ones_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Else both would want the same port."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ccproxy").mkdir()
    (tmp_path / ".ccproxy" / "config.json").write_bytes(msgspec.json.encode({"port": 4711}))
    own = place.read_config(None).config
    monkeypatch.setenv("CCPROXY_HOME", str(tmp_path / "other"))

    assert (own.port, place.read_config(None).config.port) == (4711, 3456)


def test_secrets_are_shown_as_set():
    """Wherever they are."""
    from ccproxy.cli.configuration import _shown  # noqa: PLC0415  # it is all of it that is needed here

    provider = ProviderConfig("openai", api_key=Secret("sk-provider"))
    shown: Any = _shown(Config(apikey=OWN, providers=[provider], keys=[KeyConfig("me", key=Secret("sk-me"))]))

    assert (shown["apikey"], shown["providers"][0]["api_key"], shown["keys"][0]["key"]) == ("(set)",) * 3
    assert (shown["proxy_url"], shown["shutdown_timeout"]) == (None, 30.0)
