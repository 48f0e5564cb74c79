"""A streamed answer on its way to the caller: the gate before it, the pings in it, its bounds."""

import asyncio
from collections.abc import Callable, Mapping

from ccproxy.errors import ApiError, Reason, UpstreamProtocolError
from ccproxy.messages import PING, Usage
from ccproxy.patience import Patience
from ccproxy.provider import Stream
from ccproxy.sse import KEEP_ALIVE
from ccproxy.upstream import UpstreamResponse

GATE_SECONDS = 20.0  # then the 200 goes out with a comment, so that the connection stays open
PING_SECONDS = 15.0  # of silence; Claude Code gives a stream up after 300
SILENCE_SECONDS = 300.0  # without a whole event: bytes alone are no progress
MAX_STREAM_BYTES = 64 << 20


class MessageStream:
    """A streamed answer. Iterate it for whole frames of server-sent events, as they come.

    Iteration raises ApiError where the answer fails after it has begun. `watch` is told the frames as they come.
    """

    def __init__(
        self,
        response: UpstreamResponse,
        stream: Stream,
        patience: Patience,
        headers: Mapping[str, str],
        provider: str,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.headers = headers
        self._response = response
        self._stream = stream
        self._patience = patience
        self._provider = provider
        self._silence_seconds = silence_seconds
        self._loop = asyncio.get_running_loop()
        self._held = b""
        self._failure: ApiError | None = None
        self._begun = False  # a ping is an event: not before message_start is out
        self._read = 0
        self.watch: Callable[[bytes], None] | None = None
        self._progress_at = self._loop.time()

    @property
    def usage(self) -> Usage:
        """The tokens known so far."""
        return self._stream.usage

    @property
    def has_content(self) -> bool:
        """Whether content has begun."""
        return self._stream.has_content

    @property
    def finished(self) -> bool:
        """Whether the frames handed over last were the last."""
        return self._stream.finished and self._failure is None and not self._held

    async def open(self) -> None:
        """Waits until content has begun, or for GATE_SECONDS.

        Raises:
            ApiError: The answer failed before it began.
        """
        gate = self._loop.time() + GATE_SECONDS
        while not (self._stream.has_content or self._stream.finished):
            try:
                chunk = await self._patience.wait(self._response.read, min(gate, self._silent_at))
            except TimeoutError:
                if self._loop.time() >= self._silent_at:
                    raise self._silent() from None
                self._held = self._held or KEEP_ALIVE
                return
            self._held += self._take(chunk)
            if self._failure is not None and not self._stream.has_content:
                raise self._failure

    def __aiter__(self) -> "MessageStream":
        return self

    async def __anext__(self) -> bytes:
        if self._held:
            frames, self._held = self._held, b""
            self._begun = frames is not KEEP_ALIVE
            return frames
        while self._failure is None:
            if self._stream.finished:
                raise StopAsyncIteration
            try:
                until = min(self._loop.time() + PING_SECONDS, self._silent_at)
                chunk = await self._patience.wait(self._response.read, until)
            except TimeoutError:
                if self._loop.time() >= self._silent_at:
                    raise self._silent() from None
                return PING if self._begun else KEEP_ALIVE
            frames = self._take(chunk)
            if frames:
                self._begun = True
                return frames
        raise self._failure

    def _take(self, chunk: bytes) -> bytes:
        """The frames that `chunk` completes; a failure behind them waits until they are out."""
        self._read += len(chunk)
        try:
            if chunk:
                self._stream.feed(chunk)
            else:
                self._stream.close()
        except ApiError as error:
            self._failure = error if error.provider else error.by(self._provider, self._response.status)
        except UpstreamProtocolError as error:
            self._failure = broken(error).by(self._provider, self._response.status)
        frames = self._stream.take()
        if self.watch is not None and frames:
            self.watch(frames)
        if self._failure is None and not self._stream.finished:
            self._failure = self._beyond(frames)
        return frames

    def _beyond(self, frames: bytes) -> ApiError | None:
        """What is wrong with an answer that has no end, or does not come on."""
        now = self._loop.time()
        if frames:
            self._progress_at = now
        elif now >= self._silent_at:
            return self._silent()
        if self._read > MAX_STREAM_BYTES:
            message = f"provider {self._provider} streamed more than {MAX_STREAM_BYTES >> 20} MiB"
            return ApiError(Reason.UPSTREAM_INVALID_RESPONSE, message)  # our limit: says nothing of the provider
        return None

    @property
    def _silent_at(self) -> float:
        """When the provider has been silent for too long."""
        return self._progress_at + self._silence_seconds

    def _silent(self) -> ApiError:
        message = f"provider {self._provider}: no event for {self._silence_seconds:g} s"
        return ApiError(Reason.TIMEOUT, message).by(self._provider)


def broken(error: UpstreamProtocolError) -> ApiError:
    """What breaks the provider's protocol, as the caller sees it."""
    return ApiError(Reason.UPSTREAM_INVALID_RESPONSE, f"The provider's answer cannot be used: {error}")
