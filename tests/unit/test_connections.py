"""What is opened for a configuration, and what is kept for the next."""

from pathlib import Path

import pytest
from msgspec import structs
from unit.certificates import Authority

from ccproxy.config import Config, EndpointConfig, ProviderConfig, Secret
from ccproxy.connections import Connections, close

A = ProviderConfig("a", type="openai", api_base_url="http://127.0.0.1:1", api_key=Secret("one"))
B = ProviderConfig("b", type="openai", api_base_url="http://127.0.0.1:2")


async def test_a_provider_that_stays_as_it_is_keeps_its_connections_and_its_past():
    """The others' are handed back, to be closed when nobody uses them."""
    connections = Connections()
    before, nothing = await connections.open(Config(providers=[A, B]))
    after, retired = await connections.open(
        Config(providers=[structs.replace(A, api_key=Secret("two")), B], long_context_threshold=5)
    )

    assert nothing == []
    assert after["b"] is before["b"]
    assert after["a"] is not before["a"]
    assert retired == [before["a"].transport]
    await close(retired)
    await connections.close()


async def test_the_way_out_is_part_of_a_provider():
    """Another proxy means other connections for all."""
    connections = Connections()
    before, _ = await connections.open(Config(providers=[A]))
    after, retired = await connections.open(Config(providers=[A], no_proxy=["127.0.0.1"]))

    assert after["a"] is not before["a"]
    assert len(retired) == 1
    await close(retired)
    await connections.close()


async def test_other_certificates_in_the_same_file_are_another_way_out(tmp_path: Path):
    """A renewed bundle of authorities would else be read and not used."""
    trusted = tmp_path / "ca.crt"
    config = Config(providers=[A], ca_file=str(trusted))
    connections = Connections()
    opened = []
    for authority in (Authority(tmp_path, "one"), Authority(tmp_path, "two")):
        trusted.write_text(authority.pair.pem)
        opened += [(await connections.open(config))[0]["a"], (await connections.open(config))[0]["a"]]

    assert opened[0] is opened[1]
    assert opened[1] is not opened[2]
    assert opened[2] is opened[3]
    await close([opened[0].transport])
    await connections.close()


async def test_what_cannot_be_opened_changes_nothing():
    """All or nothing."""
    connections = Connections()
    before, _ = await connections.open(Config(providers=[A]))
    with pytest.raises(OSError, match="ca_file"):
        await connections.open(Config(providers=[A], ca_file="/nonexistent"))
    again, retired = await connections.open(Config(providers=[A]))

    assert again["a"] is before["a"]
    assert retired == []
    await connections.close()


async def test_each_endpoint_is_a_way_of_its_own():
    """What it leaves out is the provider's."""
    more = [
        EndpointConfig(api_key=Secret("two")),
        EndpointConfig(api_base_url="http://127.0.0.1:3"),
    ]
    connections = Connections()
    upstreams, _ = await connections.open(Config(providers=[structs.replace(A, endpoints=more)]))
    requests = [each.provider.models_request() for each in upstreams["a"].endpoints]

    assert [(r.url, r.headers["authorization"]) for r in requests if r] == [
        ("http://127.0.0.1:1/v1/models", "Bearer one"),
        ("http://127.0.0.1:1/v1/models", "Bearer two"),
        ("http://127.0.0.1:3/v1/models", "Bearer one"),
    ]
    assert [each.label for each in upstreams["a"].endpoints] == ["a#1", "a#2", "a#3"]
    await connections.close()
