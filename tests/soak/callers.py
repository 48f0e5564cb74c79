"""Those who ask, over both edges: each request has its answer checked, or is left."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp
import grpc
import msgspec
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc
from integration.edges import failure_of
from integration.process import Process
from soak.asked import Ask

from ccproxy import sse
from ccproxy.errors import RULES

PATIENCE = 60.0  # seconds for one request; far beyond all that may be
STAY = 0.05  # seconds that a caller stays who leaves without an answer
CHANNELS = 4

_BYTES = msgspec.json.Encoder()


class Callers:
    """Clients of both edges. `ask` says what was wrong with the answer; nothing where it was right."""

    def __init__(self, service: Process) -> None:
        self._service = service
        self._stack = AsyncExitStack()
        self._turn = 0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._http = await self._stack.enter_async_context(
            aiohttp.ClientSession(self._service.url, connector=connector, timeout=aiohttp.ClientTimeout(None))
        )
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [
            await self._stack.enter_async_context(
                grpc.aio.insecure_channel(f"127.0.0.1:{self._service.grpc_port}", options)
            )
            for _ in range(CHANNELS)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(self, ask: Ask) -> str:
        """Makes one request."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await (self._over_http(ask) if ask.edge == "http" else self._over_grpc(ask))
        except TimeoutError:
            return f"no end within {PATIENCE:g} s"
        except (aiohttp.ClientError, grpc.RpcError, KeyError, msgspec.MsgspecError) as error:
            return f"{type(error).__name__}: {error}"

    async def _over_http(self, ask: Ask) -> str:
        match ask.kind:
            case "health" | "models":
                async with self._http.get("/health" if ask.kind == "health" else "/v1/models") as response:
                    await response.read()
                    return "" if response.status == 200 else f"status {response.status}"
            case "leave":
                return await self._leave_http(ask)
            case "count":
                async with self._http.post("/v1/messages/count_tokens", json=ask.document) as response:
                    return _counted(await response.json())
            case "message":
                async with self._http.post(
                    "/v1/messages", json={**ask.document, "stream": ask.stream}
                ) as response:
                    body = await response.read()
                return _judged(ask, *_read(body, events=ask.stream and response.status == 200))

    async def _leave_http(self, ask: Ask) -> str:
        document = {**ask.document, "stream": ask.stream}
        if not ask.stream:
            try:
                async with asyncio.timeout(STAY), self._http.post("/v1/messages", json=document):
                    return "it was answered"
            except TimeoutError:
                return ""
        async with self._http.post("/v1/messages", json=document) as response:
            begun = await response.content.readany()
            response.close()
        return "" if b"message_start" in begun else f"begins with {begun[:100]!r}"

    async def _over_grpc(self, ask: Ask) -> str:
        self._turn += 1
        channel = self._channels[self._turn % CHANNELS]
        proxy = proxy_pb2_grpc.ProxyStub(channel)
        match ask.kind:
            case "health":
                await status_pb2_grpc.StatusStub(channel).GetHealth(status_pb2.GetHealthRequest())
                return ""
            case "models":
                await proxy.ListModels(proxy_pb2.ListModelsRequest())
                return ""
            case "count":
                request = json_codec.decode(proxy_pb2.CountTokensRequest, _BYTES.encode(ask.document))
                return _counted(msgspec.json.decode(json_codec.encode(await proxy.CountTokens(request))))
            case "leave":
                return await self._leave_grpc(proxy, ask)
            case "message":
                return await self._message_grpc(proxy, ask)

    async def _message_grpc(self, proxy: Any, ask: Ask) -> str:
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, _BYTES.encode(ask.document))
        ended = error = said = ""
        try:
            if ask.stream:
                async for event in proxy.StreamMessage(request):
                    ended = event.WhichOneof("event") or ""
            else:
                message = await proxy.CreateMessage(request)
                ended = "message_stop" if message.content else ""
        except grpc.aio.AioRpcError as failed:
            failure = failure_of(failed)
            error, said = failure.type, failure.message
        return _judged(ask, ended, error, said)

    async def _leave_grpc(self, proxy: Any, ask: Ask) -> str:
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, _BYTES.encode(ask.document))
        call = proxy.StreamMessage(request) if ask.stream else proxy.CreateMessage(request)
        if ask.stream:
            begun = await call.read() is not grpc.aio.EOF
        else:
            await asyncio.sleep(STAY)
            begun = not call.done()
        call.cancel()
        return "" if begun else "it had ended"


def _read(body: bytes, *, events: bool) -> tuple[str, str, str]:
    """The last event (`message_stop` for a whole answer), the error's type, and its words."""
    last = ""
    if events:
        *_, event = sse.events(body)
        last, body = event.event, event.data
    document = msgspec.json.decode(body)
    if document["type"] == "error":
        return last, document["error"]["type"], document["error"]["message"]
    return last or ("message_stop" if document["content"] else ""), "", ""


def _judged(ask: Ask, ended: str, error: str, said: str) -> str:
    wanted = "" if ask.outcome.reason is None else RULES[ask.outcome.reason].type
    if error != wanted:
        return f"{error or 'an answer'} in the place of {wanted or 'an answer'} {said}".rstrip()
    return "" if error or ended == "message_stop" else f"ends with {ended or 'nothing'}"


def _counted(document: Any) -> str:
    return "" if document.get("input_tokens", 0) > 0 else f"counted {document}"
