"""TLS and mTLS on both edges, with real handshakes; a renewed certificate; the port for probes beside it."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from integration.process import free_ports
from integration.secure import Client, asked, create, shown_by
from unit.certificates import EXPIRED, Authority, Pair

from ccproxy import sse
from ccproxy.app import Service, running
from ccproxy.config import Config, Secret, TlsConfig

SERVING = health_pb2.HealthCheckResponse.SERVING
NOBODY = "refused"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who issues every certificate that is good."""
    return Authority(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another one."""
    return Authority(tmp_path_factory.mktemp("strangers"), "strangers")


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> Pair:
    """The service's files, which a test may change."""
    pair = Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    authority.server().copy_to(pair)
    return pair


def config(pair: Pair, client_ca: Path | None = None, **more: Any) -> Config:
    """A service with TLS."""
    tls = TlsConfig(str(pair.cert), str(pair.key), "" if client_ca is None else str(client_ca))
    return Config(port=0, grpc_port=0, demo=True, tls=tls, **more)


def serving(pair: Pair, client_ca: Path | None = None, **more: Any) -> AbstractAsyncContextManager[Service]:
    """A running service with TLS."""
    return running(config(pair, client_ca, **more), {})


@pytest.fixture
async def service(pair: Pair) -> AsyncIterator[Service]:
    """One that asks its clients for no certificate."""
    async with serving(pair) as service:
        yield service


async def words(service: Service, client: Client, **headers: str) -> tuple[str, str]:
    """How a call over each edge ends."""
    return await client.http_word(service.http_port, **headers), await client.grpc_word(
        service.grpc_port, **headers
    )


async def test_both_edges_answer_over_tls(service: Service, authority: Authority):
    """One certificate for both."""
    client = Client(authority.pair)

    assert await words(service, client) == ("200", "OK")


async def test_a_client_that_does_not_know_the_authority_hangs_up(service: Service, strangers: Authority):
    """This is what TLS is for."""
    assert await words(service, Client(strangers.pair)) == (NOBODY, NOBODY)


async def test_an_expired_certificate_is_shown_and_refused_by_clients(authority: Authority):
    """The service is up, and says at its start why nobody comes."""
    async with serving(authority.server("old", EXPIRED)) as service:
        assert await words(service, Client(authority.pair)) == (NOBODY, NOBODY)
        assert "ccproxy_tls_certificate_expiry_timestamp_seconds" in service.metrics.exposition(None)[0].decode()


async def test_plaintext_is_not_answered(service: Service):
    """A port that speaks both would let a client send its key in the open."""
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{service.http_port}/health")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(channel)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
@pytest.mark.parametrize("edge", ["http", "grpc"])
async def test_tls_1_1_is_refused(service: Service, edge: str):
    """Its hashes are broken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # else this side refuses
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    port = service.http_port if edge == "http" else service.grpc_port

    def shake() -> None:
        with socket.create_connection(("127.0.0.1", port), 5) as tcp, context.wrap_socket(tcp):
            pass

    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.to_thread(shake)


async def test_noise_is_not_logged(service: Service, strangers: Authority, caplog: pytest.LogCaptureFixture):
    """Scanners and load balancers would fill the log."""
    with caplog.at_level(logging.INFO):
        await words(service, Client(strangers.pair))
        for port in (service.http_port, service.grpc_port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)

    assert [
        record for record in caplog.records if record.name.split(".")[0] in {"ccproxy", "asyncio", "aiohttp"}
    ] == []


# Clients' certificates.


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ("good", ("200", "OK")),
        ("none", (NOBODY, NOBODY)),
        ("strange", (NOBODY, NOBODY)),
        ("expired", (NOBODY, NOBODY)),
        ("a server's", (NOBODY, NOBODY)),
    ],
)
async def test_only_a_good_client_certificate_is_let_in(
    pair: Pair, authority: Authority, strangers: Authority, shown: str, expected: tuple[str, str]
):
    """On both edges by the same rules: one that is laxer would be the way in."""
    certificates = {
        "good": authority.client(),
        "none": None,
        "strange": strangers.client(),
        "expired": authority.client("late", EXPIRED),
        "a server's": authority.server("other"),
    }
    async with serving(pair, authority.pair.cert) as service:
        assert await words(service, Client(authority.pair, certificates[shown])) == expected


async def test_a_single_client_can_be_named_as_its_own_authority(pair: Pair, authority: Authority):
    """Then it alone is let in, on both edges."""
    named, other = authority.client("named"), authority.client("other")
    async with serving(pair, named.cert) as service:
        assert await words(service, Client(authority.pair, named)) == ("200", "OK")
        assert await words(service, Client(authority.pair, other)) == (NOBODY, NOBODY)


async def test_a_client_certificate_is_no_key(pair: Pair, authority: Authority):
    """It says which machine calls, not who may spend the operator's money."""
    client = Client(authority.pair, authority.client())
    async with serving(pair, authority.pair.cert, apikey=Secret("the-key")) as service:
        assert await words(service, client) == ("401", "UNAUTHENTICATED")
        assert await words(service, client, **{"x-api-key": "the-key"}) == ("200", "OK")


async def test_who_is_local_is_told_as_without_tls(service: Service, authority: Authority):
    """A page of another site, and a name that was bound to this host, are strangers; the own page is not."""
    statuses = {}
    for name, value in [
        ("origin", "https://evil.example"),
        ("origin", f"http://localhost:{service.http_port}"),
        ("host", "evil.example"),
        ("x-forwarded-for", "203.0.113.9"),
        ("origin", f"https://localhost:{service.http_port}"),
    ]:
        statuses[value] = await Client(authority.pair).http_word(service.http_port, **{name: value})

    assert list(statuses.values()) == ["403", "403", "403", "403", "200"]


# Another certificate.


async def test_new_connections_get_the_new_certificate_and_old_ones_live_on(
    service: Service, pair: Pair, authority: Authority
):
    """Streams last for minutes, and certificates are renewed at night."""
    before = pair.pem
    client = Client(authority.pair)
    text = "[[tokens 20]] [[pace 50]]"
    request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(asked(text)))
    async with (
        client.http(service.http_port) as http,
        client.channel(service.grpc_port) as channel,
        http.stream("POST", "/v1/messages", json=asked(text, stream=True)) as response,
    ):
        events = proxy_pb2_grpc.ProxyStub(channel).StreamMessage(request)
        first = await anext(aiter(events))
        authority.server("renewed").copy_to(pair)
        await service.reload(config(pair))
        shown = [
            await asyncio.to_thread(shown_by, port, alpn)
            for port, alpn in ((service.http_port, "http/1.1"), (service.grpc_port, "h2")) * 2
        ]
        kinds = [first.WhichOneof("event"), *[event.WhichOneof("event") async for event in events]]
        names = [event.event for event in sse.events(await response.aread())]

    assert shown == [pair.pem] * 4
    assert before != pair.pem
    assert kinds[-1] == "message_stop"
    assert names[-1] == "message_stop"


async def test_another_authority_of_clients_counts_for_new_connections(
    pair: Pair, authority: Authority, strangers: Authority, tmp_path: Path
):
    """To take one away is the way to shut its clients out; a remembered session must not open the door."""
    trusted = tmp_path / "clients.crt"
    trusted.write_text(authority.pair.pem)
    ours, theirs = Client(authority.pair, authority.client()), Client(authority.pair, strangers.client())
    async with serving(pair, trusted) as service:
        before = [await words(service, client) for client in (ours, theirs)]
        trusted.write_text(strangers.pair.pem)
        await service.reload(config(pair, trusted))

        assert before == [("200", "OK"), (NOBODY, NOBODY)]
        assert [await words(service, client) for client in (ours, theirs)] == before[::-1]


@pytest.mark.parametrize("how", ["another key", "no key", "no TLS"])
async def test_a_broken_pair_changes_nothing(service: Service, pair: Pair, authority: Authority, how: str):
    """Half a renewal must not take a service down."""
    before = pair.pem
    if how == "another key":
        pair.key.write_bytes(authority.server("other").key.read_bytes())
    elif how == "no key":
        pair.key.unlink()
    other = Config(demo=True) if how == "no TLS" else config(pair)

    with pytest.raises(OSError, match="tls"):
        await service.reload(other)

    assert await words(service, Client(authority.pair)) == ("200", "OK")
    assert await asyncio.to_thread(shown_by, service.http_port) == before


async def test_a_thousand_handshakes_while_certificates_change_all_succeed(
    service: Service, pair: Pair, authority: Authority
):
    """A connection sees one certificate or the other, never half of both."""
    one, two = authority.server("one"), authority.server("two")
    outcomes: list[tuple[str, str]] = []
    done = asyncio.Event()

    async def connect() -> None:
        while not done.is_set():
            outcomes.append(await words(service, Client(authority.pair)))

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(connect())
        for turn in range(20):
            (one, two)[turn % 2].copy_to(pair)
            await service.reload(config(pair))
            await asyncio.sleep(0.05)
        done.set()

    assert len(outcomes) > 20
    assert set(outcomes) == {("200", "OK")}


# The port for probes.


@pytest.fixture
async def probed(pair: Pair, authority: Authority) -> AsyncIterator[Service]:
    """A service that asks for certificates, with a port for those who have none."""
    (port,) = free_ports(1)
    async with serving(pair, authority.pair.cert, health_port=port) as service:
        yield service


async def test_a_probe_without_a_certificate_has_a_port(probed: Service):
    """The kubelet has none, and knows no TLS here before Kubernetes 1.37."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{probed.health_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answers = {
            name: (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status
            for name in ("", "liveness", "readiness")
        }

    assert set(answers.values()) == {SERVING}


async def test_the_port_for_probes_serves_nothing_else(probed: Service):
    """It is plaintext: nobody may be led to send a prompt or a key there."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{probed.health_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await create(channel)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_the_port_for_probes_tells_strangers_no_providers(probed: Service):
    """As the other ports."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{probed.health_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        listed = await stub.List(health_pb2.HealthListRequest(), metadata=(("x-forwarded-for", "203.0.113.9"),))

    assert [name for name in listed.statuses if name.startswith("provider/")] == []
    assert "readiness" in listed.statuses


async def test_a_watch_there_ends_with_the_service(probed: Service):
    """Else each end would wait for its prober."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{probed.health_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        seen = [(await anext(aiter(watch))).status]
        await probed.drain(asyncio.Event())
        seen += [answer.status async for answer in watch]

    assert seen == [SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


async def test_a_port_for_probes_that_is_taken_is_told(pair: Pair):
    """With its number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)):
            async with serving(pair, health_port=port):
                pass
