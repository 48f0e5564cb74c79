"""What the log says once the service is up."""

import logging

import pytest

from ccproxy.announcement import Ports, announce
from ccproxy.config import Config, ProviderConfig
from ccproxy.routing import Router

PORTS = Ports(3456, 3457, 0)


def told(config: Config, caplog: pytest.LogCaptureFixture, ports: Ports = PORTS) -> list[tuple[str, str]]:
    """Level and text of each line."""
    with caplog.at_level(logging.INFO, "ccproxy.announcement"):
        announce(config, ports, Router(config).table())
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_it_says_where_it_listens_and_what_goes_where(caplog: pytest.LogCaptureFixture):
    """The first thing an operator looks for."""
    lines = told(Config(providers=[ProviderConfig("openai")]), caplog)

    assert lines[0][1].endswith("serves http://127.0.0.1:3456, gRPC on 127.0.0.1:3457")
    assert lines[1] == ("INFO", "providers: openai")
    assert all(text.startswith("route ") for _, text in lines[2:])


@pytest.mark.parametrize(
    ("ports", "end"),
    [
        (Ports(1, 0, 0), "http://[::1]:1, gRPC off"),
        (Ports(1, 2, 3), "http://[::1]:1, gRPC on [::1]:2, health for probes on [::1]:3"),
    ],
)
def test_every_port_is_named_as_a_url_needs_it(ports: Ports, end: str, caplog: pytest.LogCaptureFixture):
    """An IPv6 address in brackets; what is off is said to be."""
    assert told(Config(host="::1", providers=[ProviderConfig("openai")]), caplog, ports)[0][1].endswith(end)


@pytest.mark.parametrize(("config", "level"), [(Config(demo=True), "WARNING"), (Config(), "ERROR")])
def test_where_nothing_real_answers_the_remedy_is_named(
    config: Config, level: str, caplog: pytest.LogCaptureFixture
):
    """In the demo, and without any provider."""
    last = told(config, caplog)[-1]

    assert last[0] == level
    assert "provider" in last[1]
