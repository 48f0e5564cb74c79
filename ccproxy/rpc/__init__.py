"""The gRPC edge: grpc.aio over the same `Proxy` and `Status` as HTTP.

`boundary` lets callers in and failures out, `services` are the two services, `health` and `reflection` the
standard ones, `details` what a failure says, `credentials` its TLS, `health_port` the standard health alone, and
`options` what holds for every connection.
"""

import grpc

from ccproxy.access import Access
from ccproxy.config import ConnectionsConfig
from ccproxy.descriptors import most_connections
from ccproxy.metrics import Metrics
from ccproxy.proxy import Proxy
from ccproxy.rpc import credentials, health, reflection, services
from ccproxy.rpc.binding import bind
from ccproxy.rpc.boundary import PROXY, Boundary, Handler
from ccproxy.rpc.health_port import HealthPort
from ccproxy.rpc.options import CONNECTIONS
from ccproxy.spans import Telemetry
from ccproxy.status import Status
from ccproxy.tls import Tls

MAX_REQUEST_BYTES = 32 << 20  # as over HTTP
MARGIN_BYTES = 1 << 20  # room for what is not text
MAX_MESSAGE_BYTES = MAX_REQUEST_BYTES + MARGIN_BYTES
MAX_OPTION = (1 << 31) - 1  # grpc's integers
METADATA_BYTES = 8 << 10  # of a call; grpc refuses some between this and the next, and all above it
MAX_METADATA_BYTES = 16 << 10

OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    *CONNECTIONS,
    ("grpc.max_connection_age_ms", 1_800_000),  # lets load balancers spread; running streams end in peace
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
)

__all__ = ["HealthPort", "Rpc"]


class Rpc:
    """The gRPC server: what it serves and where."""

    def __init__(  # noqa: PLR0913  # what is served, and how
        self,
        proxy: Proxy,
        status: Status,
        access: Access,
        metrics: Metrics,
        *,
        reflect: bool,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        connections: ConnectionsConfig = ConnectionsConfig(),  # noqa: B008  # it is frozen
        telemetry: Telemetry | None = None,
    ) -> None:
        boundary = Boundary(access, metrics, connections.write_timeout, telemetry)
        by_service = {
            PROXY: services.ProxyService(proxy).handlers(boundary),
            services.STATUS: services.StatusService(status, access).handlers(boundary),
            health.SERVICE: health.Health(status, access).handlers(boundary),
        }
        table = {
            f"/{service}/{name}": handler
            for service, handlers in by_service.items()
            for name, handler in handlers.items()
        }
        if reflect:
            table.update(reflection.handlers(boundary, tuple(by_service)))
        self.methods = frozenset(table)
        limits = (
            ("grpc.max_receive_message_length", min(max_request_bytes + MARGIN_BYTES, MAX_OPTION)),
            ("grpc.server_handshake_timeout_ms", max(1, round(connections.header_timeout * 1000))),
            ("grpc.max_allowed_incoming_connections", min(most_connections(connections), MAX_OPTION)),
        )
        self._server = grpc.aio.server(handlers=(_Table(table),), options=(*OPTIONS, *limits))

    async def start(self, host: str, port: int, tls: Tls | None = None) -> int:
        """Binds and serves; returns the port.

        Raises:
            OSError: The address is taken or cannot be bound.
        """
        bound = bind(self._server, host, port, None if tls is None else credentials.live(tls))
        await self._server.start()
        return bound

    async def stop(self, grace: float) -> None:
        """Refuses new calls at once, and ends running ones after `grace` seconds."""
        await self._server.stop(grace)


class _Table(grpc.GenericRpcHandler):
    """Handlers by full method path; what is not there is UNIMPLEMENTED, said by grpc."""

    def __init__(self, table: dict[str, Handler]) -> None:
        self._table = table

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        return self._table.get(handler_call_details.method)
