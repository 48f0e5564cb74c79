"""The floor of gRPC: a bare grpc.aio server that answers with bytes it was given.

Run as `echo.py PORT FILE`; the file is a msgpack map from a full method path to the messages to answer with.
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import uvloop


class Echo(grpc.GenericRpcHandler):
    """Answers every call to a method with the same messages: one to `Create…`, all to `Stream…`."""

    def __init__(self, answers: dict[str, list[bytes]]) -> None:
        self._handlers = {
            method: _streaming(messages) if "/Stream" in method else _unary(messages[0])
            for method, messages in answers.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method."""
        return self._handlers.get(handler_call_details.method)


def _unary(message: bytes) -> Any:
    async def behaviour(_request: bytes, _context: Any) -> bytes:
        return message

    return grpc.unary_unary_rpc_method_handler(behaviour)


def _streaming(messages: list[bytes]) -> Any:
    async def behaviour(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for message in messages:
            yield message

    return grpc.unary_stream_rpc_method_handler(behaviour)


async def serve(port: int, answers: dict[str, list[bytes]]) -> None:
    """Serves until killed."""
    server = grpc.aio.server(handlers=(Echo(answers),), options=(("grpc.so_reuseport", 0),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    recorded = msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=dict[str, list[bytes]])
    uvloop.run(serve(int(sys.argv[1]), recorded))
