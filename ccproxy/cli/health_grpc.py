"""One question of grpc.health.v1."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a refused connection is an answer here, not a warning

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ccproxy.cli import ask

NO_PROXY = ("grpc.enable_http_proxy", 0)


def check(addr: str, service: str, seconds: float, certificate: str | ask.Vouched = "") -> str:
    """The word for `service`: SERVING, NOT_SERVING, SERVICE_UNKNOWN; or unreachable.

    Args:
        addr: `host:port`.
        service: What is asked about.
        seconds: How long it may take.
        certificate: The SHA-256 of the certificate that is shown there, or who vouches for it; empty for a port
            without TLS.
    """
    try:
        with _channel(addr, seconds, certificate) as channel:
            stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
            response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
    except grpc.RpcError as error:
        unknown = error.code() is grpc.StatusCode.NOT_FOUND
        return "SERVICE_UNKNOWN" if unknown else "unreachable"
    except OSError:
        return "unreachable"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)


@contextmanager
def _channel(addr: str, seconds: float, certificate: str | ask.Vouched) -> Iterator[grpc.Channel]:
    """A channel to `addr`. gRPC cannot compare a certificate, so it is told to trust the one that was compared."""
    if not certificate:
        with grpc.insecure_channel(addr, options=[NO_PROXY]) as channel:
            yield channel
        return
    if isinstance(certificate, ask.Vouched):
        vouched, name = certificate, certificate.name
        roots = Path(vouched.authorities).read_bytes() if vouched.authorities else None
    else:
        shown = ask.shown_by(addr, certificate, seconds)
        vouched, name, roots = ask.Vouched(), shown.name, shown.pem.encode()
    chain, key = (Path(file).read_bytes() if file else None for file in vouched.own())
    credentials = grpc.ssl_channel_credentials(roots, key or chain, chain)
    options = [NO_PROXY, *([("grpc.ssl_target_name_override", name)] if name else [])]
    with grpc.secure_channel(addr, credentials, options=options) as channel:
        yield channel
