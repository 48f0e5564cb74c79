"""A port that serves `/metrics` and nothing else, without TLS and without a key.

Who scrapes often has neither a key nor a certificate, and what is there to see are numbers: no prompt, no key, no
caller. Who may come is a matter of `allowed_ips` and of the network. It opens first and closes last, so that a
process that ends is seen to its end.
"""

import errno
import logging
from functools import partial

from aiohttp import web
from msgspec import structs

from ccproxy.access import Access, Caller
from ccproxy.config import ConnectionsConfig
from ccproxy.errors import ApiError, internal
from ccproxy.gateway.answers import from_aiohttp, refusal
from ccproxy.gateway.connections import Gate, Handler, Runner, Terms
from ccproxy.ids import new_request_id
from ccproxy.metrics import Metrics

EDGE = "metrics"
MAX_CONNECTIONS = 64  # scrapers are few, and each takes its answer at once
MAX_FIELD_BYTES = 8 << 10  # one header

log = logging.getLogger(__name__)


class MetricsPort:
    """The server behind that port."""

    def __init__(self, access: Access, metrics: Metrics, connections: ConnectionsConfig) -> None:
        self._access = access
        self._metrics = metrics
        limits = structs.replace(connections, max_total=MAX_CONNECTIONS)
        app = web.Application(client_max_size=1)
        app.router.add_get("/metrics", self._exposition)
        app.on_response_prepare.append(_sign)
        self._runner = Runner(
            app,
            Terms(self._boundary, limits, Gate(limits), partial(metrics.rejected, EDGE)),
            handle_signals=False,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=connections.idle_timeout,
            max_field_size=MAX_FIELD_BYTES,
            shutdown_timeout=0.5,
        )

    async def start(self, host: str, port: int) -> int:
        """Binds and serves; returns the port.

        Raises:
            OSError: The address is taken or cannot be bound.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
            raise OSError(error.errno, f"metrics_port: {host}:{port} {what}") from error
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Ends it at once."""
        await self._runner.cleanup()

    async def _boundary(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return refusal(error, new_request_id())
        except web.HTTPException as error:
            return refusal(from_aiohttp(error, request), new_request_id())
        except ConnectionError:
            raise  # the scraper has gone
        except Exception as error:  # noqa: BLE001  # the outermost line: a mistake of ours becomes an opaque id
            return refusal(internal(error, log), new_request_id())

    async def _exposition(self, request: web.Request) -> web.Response:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self._access.check_address(Caller(peer[0] if isinstance(peer, tuple) else "", None, {}))
        body, content_type = self._metrics.exposition(request.headers.get("accept"))
        return web.Response(body=body, headers={"content-type": content_type})


async def _sign(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """A server that names no version."""
    response.headers["server"] = "ccproxy"
