"""A port that serves grpc.health.v1 and nothing else, without TLS.

A kubelet has no client certificate, and knows gRPC with TLS only since Kubernetes 1.37.
"""

import grpc

from ccproxy.access import Access
from ccproxy.metrics import Metrics
from ccproxy.rpc import health
from ccproxy.rpc.binding import bind
from ccproxy.rpc.boundary import Boundary
from ccproxy.rpc.options import CONNECTIONS
from ccproxy.status import Status

WRITE_SECONDS = 30.0  # for a watcher that takes nothing
OPTIONS = (
    *CONNECTIONS,
    ("grpc.max_receive_message_length", 4096),  # the name of a service
    ("grpc.max_concurrent_streams", 100),
)


class HealthPort:
    """The server behind that port."""

    def __init__(self, status: Status, access: Access, metrics: Metrics) -> None:
        handlers = health.Health(status, access).handlers(Boundary(access, metrics, WRITE_SECONDS))
        table = grpc.method_handlers_generic_handler(health.SERVICE, handlers)
        self._server = grpc.aio.server(handlers=(table,), options=OPTIONS)

    async def start(self, host: str, port: int) -> int:
        """Binds and serves; returns the port.

        Raises:
            OSError: The address is taken or cannot be bound.
        """
        bound = bind(self._server, host, port)
        await self._server.start()
        return bound

    async def stop(self) -> None:
        """Ends it at once."""
        await self._server.stop(0)
