"""One question of grpc.health.v1."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a refused connection is an answer here, not a warning

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def check(addr: str, service: str, seconds: float) -> str:
    """The word for `service`: SERVING, NOT_SERVING, SERVICE_UNKNOWN; or unreachable."""
    with grpc.insecure_channel(addr, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        try:
            response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=seconds)
        except grpc.RpcError as error:
            unknown = error.code() is grpc.StatusCode.NOT_FOUND
            return "SERVICE_UNKNOWN" if unknown else "unreachable"
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
