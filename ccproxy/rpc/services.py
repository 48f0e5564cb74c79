"""`ccproxy.v1.Proxy` and `ccproxy.v1.Status` over the core.

The core speaks JSON documents; the schema's codec turns a message into the very document an HTTP caller would
have sent, and an answer's document into its message. So both edges cannot differ.
"""

from collections.abc import AsyncGenerator
from typing import TypeAlias, TypeVar

from ccproxy_pb.v1 import json_codec
from ccproxy_pb.v1.proxy_pb2 import (
    CountTokensRequest,
    CountTokensResponse,
    CreateMessageRequest,
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    Message,
    MessageStreamEvent,
    Model,
)
from ccproxy_pb.v1.status_pb2 import GetHealthRequest, GetInfoRequest, GetStatusRequest

from ccproxy import sse
from ccproxy.access import Access
from ccproxy.documents import invalid
from ccproxy.errors import ApiError, Reason
from ccproxy.proxy import Proxy
from ccproxy.rpc.boundary import PROXY, Boundary, Handler, Rpc, parse
from ccproxy.status import Status

STATUS = "ccproxy.v1.Status"

Handlers: TypeAlias = "dict[str, Handler]"
Answer = TypeVar("Answer", Message, MessageStreamEvent, CountTokensResponse, ListModelsResponse, Model)


class ProxyService:
    """The Messages API, typed."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def handlers(self, boundary: Boundary) -> Handlers:
        """The handlers by method name."""
        return {
            "CreateMessage": boundary.unary(f"{PROXY}.CreateMessage", self.create_message),
            "StreamMessage": boundary.streaming(f"{PROXY}.StreamMessage", self.stream_message),
            "CountTokens": boundary.unary(f"{PROXY}.CountTokens", self.count_tokens),
            "ListModels": boundary.unary(f"{PROXY}.ListModels", self.list_models),
            "GetModel": boundary.unary(f"{PROXY}.GetModel", self.get_model),
        }

    async def create_message(self, request: bytes, rpc: Rpc) -> bytes:
        """POST /v1/messages."""
        reply = await self._proxy.create_message(rpc.call(_document(parse(CreateMessageRequest, request))))
        await rpc.announce(reply.headers)
        return _message(Message, reply.body)

    async def stream_message(self, request: bytes, rpc: Rpc) -> AsyncGenerator[bytes, None]:
        """POST /v1/messages with "stream": true."""
        body = _streamed(_document(parse(CreateMessageRequest, request)))
        async with self._proxy.stream_message(rpc.call(body)) as stream:
            await rpc.announce(stream.headers)
            async for frames in stream:
                for event in sse.events(frames):
                    yield _message(MessageStreamEvent, event.data)

    async def count_tokens(self, request: bytes, rpc: Rpc) -> bytes:
        """POST /v1/messages/count_tokens."""
        reply = await self._proxy.count_tokens(rpc.call(_document(parse(CountTokensRequest, request))))
        await rpc.announce(reply.headers)
        return _message(CountTokensResponse, reply.body)

    async def list_models(self, request: bytes, rpc: Rpc) -> bytes:
        """GET /v1/models."""
        asked = parse(ListModelsRequest, request)
        reply = await self._proxy.list_models(
            asked.after_id if asked.HasField("after_id") else None,
            asked.before_id if asked.HasField("before_id") else None,
            asked.limit if asked.HasField("limit") else None,
            next(iter(rpc.headers.get("user-agent", ())), ""),
            rpc.who,
        )
        await rpc.announce(reply.headers)
        return _message(ListModelsResponse, reply.body)

    async def get_model(self, request: bytes, rpc: Rpc) -> bytes:
        """GET /v1/models/{id}."""
        reply = await self._proxy.get_model(parse(GetModelRequest, request).model_id, rpc.who)
        await rpc.announce(reply.headers)
        return _message(Model, reply.body)


class StatusService:
    """What the service says about itself."""

    def __init__(self, status: Status, access: Access) -> None:
        self._status = status
        self._access = access

    def handlers(self, boundary: Boundary) -> Handlers:
        """The handlers by method name."""
        return {
            "GetInfo": boundary.unary(f"{STATUS}.GetInfo", self.get_info),
            "GetHealth": boundary.unary(f"{STATUS}.GetHealth", self.get_health),
            "GetStatus": boundary.unary(f"{STATUS}.GetStatus", self.get_status),
        }

    async def get_info(self, request: bytes, rpc: Rpc) -> bytes:
        """GET /."""
        parse(GetInfoRequest, request)
        await rpc.announce({})
        return self._status.info().SerializeToString()

    async def get_health(self, request: bytes, rpc: Rpc) -> bytes:
        """GET /health."""
        parse(GetHealthRequest, request)
        await rpc.announce({})
        return self._status.health(detailed=self._access.sees_details(rpc.caller)).SerializeToString()

    async def get_status(self, request: bytes, rpc: Rpc) -> bytes:
        """GET /status."""
        parse(GetStatusRequest, request)
        await rpc.announce({})
        return self._status.status().SerializeToString()


def _document(message: CreateMessageRequest | CountTokensRequest) -> bytes:
    """The JSON document that says the same as `message`."""
    try:
        return json_codec.encode(message)
    except json_codec.JsonTextError as error:
        raise invalid(str(error)) from error


def _streamed(document: bytes) -> bytes:
    """The document with the member that asks for a stream; the schema leaves it to the RPC."""
    return b'{"stream":true}' if document == b"{}" else document[:-1] + b',"stream":true}'


def _message(message_class: type[Answer], document: bytes) -> bytes:
    """The message that says the same as an answer's document."""
    try:
        return json_codec.decode(message_class, document).SerializeToString()
    except json_codec.JsonTextError as error:
        raise ApiError(Reason.UPSTREAM_INVALID_RESPONSE, "The provider's answer is not valid JSON") from error
