"""A gRPC client that has gone while it is written to: no mistake of anybody's, whoever notices it first."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest

from ccproxy.access import Access
from ccproxy.config import Config
from ccproxy.errors import ApiError, Reason
from ccproxy.metrics import Metrics
from ccproxy.rpc.boundary import Boundary, Rpc

METHOD = "ccproxy.v1.Status.GetInfo"  # open to everybody


class Gone:
    """The context of a call whose client is gone, or reads nothing (`hangs`)."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.aborted: list[grpc.StatusCode] = []
        self._hangs = hangs

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    async def read(self) -> bytes:
        return b""

    async def write(self, _: bytes) -> None:
        await self._fail()

    async def send_initial_metadata(self, _: Any) -> None:
        await self._fail()

    async def abort(self, code: grpc.StatusCode, *_: Any) -> None:
        self.aborted.append(code)
        await self._fail()

    async def _fail(self) -> None:
        if self._hangs:
            await asyncio.sleep(60)
        raise grpc.aio.InternalError('Failed "execute_batch": (<grpc._cython.cygrpc.SendMessageOperation>,)')


class Handlers:
    """A stream and a unary call, and whether the stream was closed."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.closed = False
        self._boundary = Boundary(Access(Config()), self.metrics, 0.1)

    async def stream(self, context: Gone) -> None:
        async def behaviour(_: bytes, __: Rpc) -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"event"
            finally:
                self.closed = True

        await self._boundary.streaming(METHOD, behaviour).stream_stream(context, context)

    async def announce(self, context: Gone) -> None:
        async def behaviour(_: bytes, rpc: Rpc) -> bytes:
            await rpc.announce({})
            return b""

        await self._boundary.unary(METHOD, behaviour).stream_unary(context, context)

    async def refuse(self, context: Gone) -> None:
        async def behaviour(_: bytes, __: Rpc) -> bytes:
            raise ApiError(Reason.NOT_FOUND, "nothing")

        await self._boundary.unary(METHOD, behaviour).stream_unary(context, context)

    def counted(self, code: str) -> bool:
        text = self.metrics.exposition(None)[0].decode()
        return f'grpc_code="{code}"' in text


@pytest.mark.parametrize("kind", ["stream", "announce", "refuse"])
async def test_a_client_that_has_gone_is_a_cancellation(caplog: pytest.LogCaptureFixture, kind: str):
    """grpc's own exception would be logged as a mistake of ours, with its text."""
    handlers = Handlers()

    with pytest.raises(asyncio.CancelledError):
        await getattr(handlers, kind)(Gone())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert handlers.counted("NOT_FOUND" if kind == "refuse" else "CANCELLED")
    assert handlers.closed == (kind == "stream")


async def test_a_client_that_reads_nothing_is_told_and_not_waited_for():
    """Its status lies ready; the handler, and with it the upstream, ends."""
    handlers, context = Handlers(), Gone(hangs=True)

    async with asyncio.timeout(3):
        with pytest.raises(asyncio.CancelledError):
            await handlers.stream(context)
    assert context.aborted == [grpc.StatusCode.DEADLINE_EXCEEDED]
    assert handlers.closed
    assert handlers.counted("DEADLINE_EXCEEDED")
