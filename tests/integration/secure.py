"""Clients that speak TLS to both edges."""

import socket
import ssl
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import msgspec
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc
from unit.certificates import Pair

HOST = "localhost"
TRY_AGAIN = ("grpc.enable_retries", 0)


def asked(text: str = "Hello", **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": "claude-x", "max_tokens": 5000, "messages": [{"role": "user", "content": text}], **more}


@dataclass(frozen=True)
class Client:
    """Whom a client trusts, and what it shows."""

    trusts: Pair
    shows: Pair | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """For Python's ssl."""
        context = ssl.create_default_context(cafile=str(self.trusts.cert))
        if self.shows is not None:
            context.load_cert_chain(self.shows.cert, self.shows.key)
        return context

    def http(self, port: int, **more: Any) -> httpx.AsyncClient:
        """An HTTP client."""
        url = f"https://{HOST}:{port}"
        return httpx.AsyncClient(base_url=url, verify=self.context, trust_env=False, timeout=20, **more)

    def channel(self, port: int) -> grpc.aio.Channel:
        """A gRPC channel."""
        shown = (None, None) if self.shows is None else (self.shows.key.read_bytes(), self.shows.cert.read_bytes())
        credentials = grpc.ssl_channel_credentials(self.trusts.cert.read_bytes(), *shown)
        return grpc.aio.secure_channel(f"{HOST}:{port}", credentials, options=[TRY_AGAIN])

    async def http_word(self, port: int, **headers: str) -> str:
        """How a call over HTTP ends: a status, or `refused`."""
        try:
            async with self.http(port, headers=headers) as http:
                return str((await http.post("/v1/messages", json=asked())).status_code)
        except httpx.TransportError:
            return "refused"

    async def grpc_word(self, port: int, **metadata: str) -> str:
        """How a call over gRPC ends: `OK`, a status, or `refused`."""
        async with self.channel(port) as channel:
            try:
                await create(channel, **metadata)
            except grpc.aio.AioRpcError as error:
                return "refused" if error.code() is grpc.StatusCode.UNAVAILABLE else error.code().name
        return "OK"


async def create(channel: grpc.aio.Channel, text: str = "Hello", **metadata: str) -> proxy_pb2.Message:
    """One answer over gRPC."""
    request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(asked(text)))
    pairs = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    return await proxy_pb2_grpc.ProxyStub(channel).CreateMessage(request, metadata=pairs)


def shown_by(port: int, alpn: str = "http/1.1") -> str:
    """The certificate that a new connection is shown, in PEM."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    with socket.create_connection(("127.0.0.1", port), 5) as tcp, context.wrap_socket(tcp) as tls:
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)
