"""The port for `/metrics` alone: what it serves, to whom, and until when."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from integration.process import free_ports, process
from unit.certificates import Authority

from ccproxy.app import running
from ccproxy.config import Config, Secret, TlsConfig

KEY = "canary-key-of-the-operator"


def configured(port: int, **more: Any) -> Config:
    """A service with the port."""
    return Config(**{"port": 0, "grpc_port": 0, "metrics_port": port, "demo": True, **more})


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_ports(1)[0]


async def test_there_is_no_such_port_unless_it_is_configured():
    """Nothing listens that nobody asked for."""
    async with running(Config(port=0, grpc_port=0, demo=True), {}) as service:
        assert service.metrics_port == 0


async def test_it_serves_the_same_numbers_without_a_key(port: int):
    """Who scrapes has none. The HTTP port asks this host's callers too, where they are not trusted."""
    config = configured(port, apikey=Secret(KEY), trust_localhost=False)
    async with running(config, {}) as service, httpx.AsyncClient() as client:
        guarded = f"http://127.0.0.1:{service.http_port}/metrics"
        refused = await client.get(guarded)
        shown = await client.get(guarded, headers={"x-api-key": KEY})
        open_ = await client.get(f"http://127.0.0.1:{service.metrics_port}/metrics")

    assert refused.status_code == 401
    assert (open_.status_code, open_.headers["content-type"]) == (200, shown.headers["content-type"])
    assert {line for line in open_.text.splitlines() if line.startswith("# TYPE")} == {
        line for line in shown.text.splitlines() if line.startswith("# TYPE")
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/health", 404),
        ("GET", "/status", 404),
        ("POST", "/v1/messages", 404),
        ("GET", "/v1/models", 404),
        ("GET", "/metrics/", 404),
        ("POST", "/metrics", 405),
        ("HEAD", "/metrics", 200),
        ("GET", "/metrics", 200),
    ],
)
async def test_it_serves_nothing_else(port: int, method: str, path: str, status: int):
    """It asks for no key, so it must have nothing that needs one."""
    async with running(configured(port), {}), httpx.AsyncClient() as client:
        answer = await client.request(method, f"http://127.0.0.1:{port}{path}")

    assert answer.status_code == status
    assert answer.headers["server"] == "ccproxy"
    assert answer.headers.get("access-control-allow-origin") is None


async def test_an_address_that_may_not_connect_gets_no_numbers(port: int):
    """`allowed_ips` holds for every port."""
    config = configured(port, allowed_ips=["192.0.2.1"])
    async with running(config, {}), httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    assert answer.status_code == 403
    assert "ccproxy_requests_total" not in answer.text


async def test_it_quotes_nothing_of_what_it_cannot_read(port: int):
    """As the HTTP port."""
    async with running(configured(port), {}) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"garbage sk-planted-secret\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        scraped, _ = service.metrics.exposition(None)

    assert answer.split()[1] == b"400"
    assert b"sk-planted-secret" not in answer
    assert b'ccproxy_rejected_total{interface="metrics",reason="malformed"} 1.0' in scraped


async def test_a_port_that_is_taken_is_told_by_its_key(port: int):
    """Three ports could be meant."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(OSError, match=f"metrics_port: 127.0.0.1:{port} is in use"):
            async with running(configured(port), {}):
                pass


def test_a_process_that_drains_is_scraped_to_its_end(tmp_path: Path, port: int):
    """A pod that ends has a story to tell: how long its streams took, and what it cut."""
    config = {"metrics_port": port, "demo": True, "drain_delay": "0s", "shutdown_timeout": "20s"}
    with process(tmp_path / "home", config) as service:
        service.until_ready()
        service.until_said(f"metrics on 127.0.0.1:{port}")
        ask = {
            "model": "claude-demo-1",
            "max_tokens": 100,
            "stream": True,
            "messages": [{"role": "user", "content": "[[tokens 60]] [[pace 50]]"}],
        }
        with httpx.stream("POST", f"{service.url}/v1/messages", json=ask, timeout=10) as stream:
            service.terminate()
            service.until_said("shutting down")
            with pytest.raises(httpx.TransportError):
                while True:
                    httpx.get(f"{service.url}/health", timeout=1)
                    service.pause()
            seen = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
            stream.read()
        code = service.exit_code()

    assert "ccproxy_draining 1.0" in seen
    assert 'ccproxy_streams_active{interface="http"} 1.0' in seen
    assert code == 0


async def test_it_is_plain_also_where_the_others_speak_tls(port: int, tmp_path: Path):
    """Who scrapes has no certificate to show, and would ask an address that none names."""
    authority = Authority(tmp_path)
    pair = authority.server()
    tls = TlsConfig(cert_file=str(pair.cert), key_file=str(pair.key), client_ca_file=str(authority.pair.cert))
    async with running(configured(port, tls=tls), {}), httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")

    assert answer.status_code == 200
    assert "ccproxy_tls_certificate_expiry_timestamp_seconds" in answer.text
