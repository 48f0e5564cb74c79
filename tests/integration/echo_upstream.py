"""A provider that remembers what it was sent: Anthropic's wire, a short answer, failures on demand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

USAGE = {
    "input_tokens": 11,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 2},
}
MESSAGE = {
    "id": "msg_up_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-up-1",
    "content": [{"type": "text", "text": "canary-answer"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "canary-error"}}

FAST = "fast"
BREAKS = "breaks"  # in the middle of a stream
HANGS = "hangs"  # after the first piece


class Upstream:
    """Its `url`, the headers of every request (`seen`, lower-case names), and how many it is to refuse yet."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[dict[str, str]] = []
        self.refusals = 0
        self.behaviour = FAST

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers `/v1/messages` and its count of tokens."""
        self.seen.append({name.lower(): value for name, value in request.headers.items()})
        headers = {"request-id": f"req_up_{len(self.seen)}"}
        if self.refusals:
            self.refusals -= 1
            return _json(OVERLOADED, 529, headers)
        if request.path.endswith("/count_tokens"):
            return _json({"input_tokens": 11}, 200, headers)
        if not msgspec.json.decode(await request.read()).get("stream"):
            return _json(MESSAGE, 200, headers)
        response = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
        await response.prepare(request)
        for type_, event in _events(self.behaviour):
            data = msgspec.json.encode({"type": type_, **event})
            await asyncio.sleep(0.005)  # so that they come one by one
            await response.write(b"event: %b\ndata: %b\n\n" % (type_.encode(), data))
        if self.behaviour == HANGS:
            await asyncio.sleep(60)
        return response


def _json(document: dict[str, Any], status: int, headers: dict[str, str]) -> web.Response:
    body = msgspec.json.encode(document)
    return web.Response(body=body, status=status, headers={**headers, "content-type": "application/json"})


def _events(behaviour: str) -> list[tuple[str, dict[str, Any]]]:
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    opening: list[tuple[str, dict[str, Any]]] = [
        ("message_start", {"message": start}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "canary-answer"}}),
    ]
    if behaviour == BREAKS:
        return [*opening, ("error", {"error": OVERLOADED["error"]})]
    if behaviour == HANGS:
        return opening
    return [
        *opening,
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE}),
        ("message_stop", {}),
    ]


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """A running one."""
    it = Upstream()
    app = web.Application()
    app.router.add_post("/v1/messages", it.answer)
    app.router.add_post("/v1/messages/count_tokens", it.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield it
    finally:
        await runner.cleanup()
