"""Where a gRPC server listens."""

import grpc


def bind(server: grpc.aio.Server, host: str, port: int, credentials: grpc.ServerCredentials | None = None) -> int:
    """Binds `server`, with TLS where there are credentials; returns the port.

    Raises:
        OSError: The address is taken or cannot be bound.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot bind {host}:{port} for gRPC") from error
