"""Server reflection, v1 and v1alpha, behind a switch and behind `access`.

The library ships v1alpha only; v1 has the same messages under another name.

Source: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from collections.abc import AsyncIterator

from ccproxy_pb.v1 import proxy_pb2, status_pb2  # noqa: F401  # puts the schema into the pool that is reflected
from grpc_health.v1 import health_pb2  # noqa: F401  # the same
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from ccproxy.rpc.boundary import Boundary, Context, Handler

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
METHOD = "ServerReflectionInfo"


def handlers(boundary: Boundary, services: tuple[str, ...]) -> dict[str, Handler]:
    """The handlers by full method path."""
    servicer = ReflectionServicer(service_names=(*services, V1, V1ALPHA))

    async def reflect(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async def parsed() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
            async for request in requests:
                yield reflection_pb2.ServerReflectionRequest.FromString(request)

        async for response in servicer.ServerReflectionInfo(parsed(), context):
            yield response.SerializeToString()

    return {f"/{name}/{METHOD}": boundary.bidirectional(f"{name}.{METHOD}", reflect) for name in (V1, V1ALPHA)}
