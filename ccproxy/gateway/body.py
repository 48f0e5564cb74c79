"""The body of a request, read no longer and no further than it may be."""

import asyncio

from aiohttp import HttpVersion11, web

from ccproxy.documents import invalid
from ccproxy.gateway.answers import too_large, too_slow
from ccproxy.limits import Arrival

BYTES_PER_SECOND = 64 << 10  # each earns a second more; chunk extensions and trailers earn nothing
MAX_FACTOR = 4  # of the time without any


async def read(request: web.Request, limit: int, seconds: float, arrival: Arrival) -> bytes:
    """The whole body.

    A client that waits to be asked for it (`Expect: 100-continue`) is asked, but not for what is refused anyway.

    Args:
        request: Whose headers are known to be fit.
        limit: The largest body, in bytes.
        seconds: How long it may take, and longer while it comes.
        arrival: Is told what comes.

    Raises:
        ApiError: 413, 408, 503 where all requests together are too large, or 400 where it is no UTF-8: a relay
            would pass that on unread.
    """
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    body = await (request.read() if request.content.is_eof() else _arriving(request, limit, seconds, arrival))
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise invalid("The request body is not valid JSON: it is not UTF-8") from error
    return body


async def _arriving(request: web.Request, limit: int, seconds: float, arrival: Arrival) -> bytes:
    arrival.expect(request.content_length or 0)
    if request.version >= HttpVersion11 and request.headers.get("expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun
    body = bytearray()
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(seconds) as deadline:
            async for part in request.content.iter_any():
                arrival.grow(len(part))
                body += part
                if len(body) > limit:
                    raise too_large(limit)
                allowed = min(seconds + len(body) / BYTES_PER_SECOND, MAX_FACTOR * seconds)
                deadline.reschedule(started + allowed)
    except TimeoutError as error:
        raise too_slow("body", min(seconds + len(body) / BYTES_PER_SECOND, MAX_FACTOR * seconds)) from error
    return bytes(body)
