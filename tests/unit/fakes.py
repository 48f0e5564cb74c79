"""A transport that answers from a script: the seam that `upstream` leaves for tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from ccproxy.errors import ApiError
from ccproxy.provider import UpstreamRequest

Step = bytes | ApiError | float


class ScriptedResponse:
    """Bytes to hand out, failures to raise, seconds to wait, in order; then the end."""

    def __init__(self, status: int, headers: dict[str, str], steps: Sequence[Step]) -> None:
        self.status = status
        self.headers = headers
        self._steps = list(steps)
        self._due = 0.0

    async def read(self) -> bytes:
        while self._steps:
            step = self._steps[0]
            if isinstance(step, float):
                now = asyncio.get_running_loop().time()
                self._due = self._due or now + step  # a cancelled wait goes on where it was
                await asyncio.sleep(self._due - now)
                self._due = 0.0
            self._steps.pop(0)
            if isinstance(step, float):
                continue
            if isinstance(step, ApiError):
                raise step
            return step
        return b""

    async def body(self) -> bytes:
        chunks = []
        while chunk := await self.read():
            chunks.append(chunk)
        return b"".join(chunks)


class ScriptedTransport:
    """Answers each request with the next response, and remembers what it saw."""

    def __init__(self, *responses: ScriptedResponse | ApiError) -> None:
        self._responses = list(responses)
        self.requests: list[UpstreamRequest] = []
        self.open = 0
        self.on_send: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def send(self, request: UpstreamRequest, *, stream: bool) -> AsyncIterator[ScriptedResponse]:
        assert isinstance(stream, bool)
        self.requests.append(request)
        self.on_send()
        response = self._responses.pop(0)
        if isinstance(response, ApiError):
            raise response
        self.open += 1
        try:
            yield response
        finally:
            self.open -= 1


def answer(*steps: Step, status: int = 200, **headers: str) -> ScriptedResponse:
    """A response; header names are written with underscores."""
    return ScriptedResponse(status, {k.replace("_", "-"): v for k, v in headers.items()}, steps)
