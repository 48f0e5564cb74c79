"""`grpc.health.v1`, over the same truth as `/health`.

The servicer of grpcio-health-checking has no `List`, keeps `stop` waiting for the whole grace while a `Watch` is
open, and turns `liveness` off in a drain; so its messages are used and its servicer is not.

Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md and gRFC A90 (List).
"""

from collections.abc import AsyncGenerator

from grpc_health.v1 import health_pb2

from ccproxy.access import Access
from ccproxy.errors import ApiError, Reason
from ccproxy.rpc.boundary import Boundary, Handler, Rpc, parse
from ccproxy.serving import Phase
from ccproxy.status import Status

SERVICE = "grpc.health.v1.Health"
MAX_LISTED = 100  # gRFC A90

_PRIVATE = "provider/"  # names that say what /status protects

ServingStatus = health_pb2.HealthCheckResponse.ServingStatus


class Health:
    """Check, Watch and List."""

    def __init__(self, status: Status, access: Access) -> None:
        self._status = status
        self._access = access

    def handlers(self, boundary: Boundary) -> dict[str, Handler]:
        """The handlers by method name."""
        return {
            "Check": boundary.unary(f"{SERVICE}.Check", self.check),
            "Watch": boundary.streaming(f"{SERVICE}.Watch", self.watch),
            "List": boundary.unary(f"{SERVICE}.List", self.list),
        }

    async def check(self, request: bytes, rpc: Rpc) -> bytes:
        """One service's status now."""
        name = parse(health_pb2.HealthCheckRequest, request).service
        services = self._visible(rpc)
        if name not in services:
            raise ApiError(Reason.NOT_FOUND, "unknown service")
        return _response(services[name]).SerializeToString()

    async def watch(self, request: bytes, rpc: Rpc) -> AsyncGenerator[bytes, None]:
        """One service's status now and at every change, until the process stops."""
        name = parse(health_pb2.HealthCheckRequest, request).service
        serving = self._status.serving
        last: bytes | None = None
        while True:
            services = self._visible(rpc)
            known = _response(services[name]) if name in services else _unknown()
            now = known.SerializeToString()
            if now != last:
                yield now
                last = now
            if serving.phase is Phase.STOPPING:
                return  # else the server would wait for this stream with its stop
            await serving.changed()

    async def list(self, request: bytes, rpc: Rpc) -> bytes:
        """Every service's status."""
        parse(health_pb2.HealthListRequest, request)
        services = self._visible(rpc)
        if len(services) > MAX_LISTED:
            raise ApiError(Reason.REQUEST_TOO_LARGE, f"there are more than {MAX_LISTED} services")
        response = health_pb2.HealthListResponse()
        for name, state in services.items():
            response.statuses[name].CopyFrom(_response(state))
        return response.SerializeToString()

    def _visible(self, rpc: Rpc) -> dict[str, bool | None]:
        services = self._status.services()
        if self._access.sees_details(rpc.caller):
            return services
        return {name: state for name, state in services.items() if not name.startswith(_PRIVATE)}


def _response(state: bool | None) -> health_pb2.HealthCheckResponse:  # noqa: FBT001  # three states, not a switch
    if state is None:
        return health_pb2.HealthCheckResponse(status=ServingStatus.UNKNOWN)
    return health_pb2.HealthCheckResponse(status=ServingStatus.SERVING if state else ServingStatus.NOT_SERVING)


def _unknown() -> health_pb2.HealthCheckResponse:
    return health_pb2.HealthCheckResponse(status=ServingStatus.SERVICE_UNKNOWN)
