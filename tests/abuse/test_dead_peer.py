"""A peer that is gone without a word, as when a cable is pulled. Needs a network of its own: Linux and root."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest
from abuse.wire import post
from ccproxy_pb.v1 import json_codec, proxy_pb2

from ccproxy import rpc
from ccproxy.app import running
from ccproxy.config import Config, ConnectionsConfig, Duration, Secret

HERE, THERE = "10.213.77.1", "10.213.77.2"
KEY = "the-key-of-the-house"
WRITE_SECONDS = 3.0  # of which the kernel takes two thirds
ASK = {
    "model": "claude-x",
    "max_tokens": 100_000,
    "messages": [{"role": "user", "content": "[[tokens 99999]] [[pace 20]]"}],
}

CLIENT = """
import socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
client.sendall(sys.stdin.buffer.read())
while part := client.recv(65536):
    sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
"""


GRPC_CLIENT = """
import sys, grpc
with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)]) as channel:
    call = channel.unary_stream("/ccproxy.v1.Proxy/StreamMessage")
    stream = call(sys.stdin.buffer.read(), metadata=[("x-ccproxy-key", sys.argv[2])], wait_for_ready=True)
    for message in stream:
        pass
"""
KEEPALIVE_MS = 1000


def ip(*arguments: str) -> bool:
    """Runs iproute2's `ip`; whether it did what it was asked."""
    return subprocess.run(["ip", *arguments], check=False, capture_output=True).returncode == 0


@pytest.fixture
def far_away() -> Iterator[str]:
    """The name of another network, with this host and one other in it."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs Linux, root and iproute2")
    name = f"ccproxy-{os.getpid()}"
    link = f"cc{os.getpid()}"
    if not ip("netns", "add", name):
        pytest.skip("this container may make no network of its own")
    try:
        made = (
            ip("link", "add", link, "type", "veth", "peer", "name", "far", "netns", name)
            and ip("address", "add", f"{HERE}/30", "dev", link)
            and ip("link", "set", link, "up")
            and ip("-n", name, "address", "add", f"{THERE}/30", "dev", "far")
            and ip("-n", name, "link", "set", "far", "up")
        )
        if not made:
            pytest.skip("this container may make no network of its own")
        yield name
    finally:
        ip("netns", "delete", name)
        ip("link", "delete", link)


@pytest.mark.netns
async def test_a_peer_that_is_gone_is_given_up(far_away: str):
    """Its stream, upstream and connection end soon; the kernel alone would take a quarter of an hour."""
    limits = ConnectionsConfig(write_timeout=Duration(WRITE_SECONDS))
    config = Config(host=HERE, port=0, grpc_port=0, demo=True, apikey=Secret(KEY), connections=limits)
    async with running(config, {}) as service:
        client = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", far_away, sys.executable, "-c", CLIENT, HERE, str(service.http_port)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert client.stdin is not None
            assert client.stdout is not None
            body = msgspec.json.encode({**ASK, "stream": True})
            client.stdin.write(post(body, f"x-ccproxy-key: {KEY}"))
            client.stdin.close()
            assert b"200 OK" in await asyncio.wait_for(client.stdout.readline(), 10)
            assert service.proxy.running == 1

            assert ip("-n", far_away, "route", "add", "blackhole", f"{HERE}/32")
            gone = asyncio.get_running_loop().time()
            async with asyncio.timeout(WRITE_SECONDS + 2):
                while service.proxy.running or service._gateway.gate.open:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.01)
            print(f"given up after {asyncio.get_running_loop().time() - gone:.1f} s")  # noqa: T201  # `pytest -rP`
        finally:
            client.kill()
            await client.wait()


@pytest.mark.netns
@pytest.mark.parametrize("text", ["[[wait 600000]]", "[[tokens 99999]] [[pace 20]]"], ids=["silent", "streaming"])
async def test_a_grpc_peer_that_is_gone_is_given_up(far_away: str, monkeypatch: pytest.MonkeyPatch, text: str):
    """The same over gRPC, where a ping finds out: also while nothing is sent because a provider thinks."""
    short = {
        "grpc.keepalive_time_ms": KEEPALIVE_MS,
        "grpc.keepalive_timeout_ms": KEEPALIVE_MS,
        "grpc.http2.ping_timeout_ms": KEEPALIVE_MS,
    }
    assert short.keys() <= dict(rpc.OPTIONS).keys()
    monkeypatch.setattr(rpc, "OPTIONS", tuple({**dict(rpc.OPTIONS), **short}.items()))
    document = {**ASK, "messages": [{"role": "user", "content": text}]}
    message = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))
    async with running(Config(host=HERE, port=0, grpc_port=0, demo=True, apikey=Secret(KEY)), {}) as service:
        address = f"{HERE}:{service.grpc_port}"
        client = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", far_away, sys.executable, "-c", GRPC_CLIENT, address, KEY),
            stdin=subprocess.PIPE,
        )
        try:
            assert client.stdin is not None
            client.stdin.write(message.SerializeToString())
            client.stdin.close()
            async with asyncio.timeout(10):
                while not service.proxy.running:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.01)
            await asyncio.sleep(3 * KEEPALIVE_MS / 1000)
            assert service.proxy.running == 1  # a peer that is there is not given up

            assert ip("-n", far_away, "route", "add", "blackhole", f"{HERE}/32")
            gone = asyncio.get_running_loop().time()
            async with asyncio.timeout(10):
                while service.proxy.running:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            print(f"given up after {asyncio.get_running_loop().time() - gone:.1f} s")  # noqa: T201
        finally:
            client.kill()
            await client.wait()
