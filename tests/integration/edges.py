"""The two edges as clients see them, in one vocabulary, so that one test can compare them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import httpx
import msgspec
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ccproxy import sse
from ccproxy.app import Service


@dataclass(frozen=True)
class Failure:
    """A failure as the caller sees it, whichever edge told it."""

    type: str
    message: str
    http_status: int
    should_retry: bool
    retry_after: int | None
    has_request_id: bool


@dataclass
class Outcome:
    """What came back: a document, or events, and a failure where there was one."""

    document: Any = None
    events: list[Any] = field(default_factory=list)
    failure: Failure | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Edge(Protocol):
    """What both edges can do."""

    name: str

    async def create(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome: ...
    async def stream(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome: ...
    async def count(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome: ...
    async def models(self, headers: Mapping[str, str] = {}, **query: Any) -> Outcome: ...
    async def model(self, model_id: str, headers: Mapping[str, str] = {}) -> Outcome: ...


class HttpEdge:
    """Plain HTTP."""

    name = "http"

    def __init__(self, service: Service) -> None:
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.http_port}", timeout=30)

    async def create(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome:
        return self._outcome(await self.client.post("/v1/messages", json=document, headers=headers))

    async def stream(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome:
        response = await self.client.post("/v1/messages", json={**document, "stream": True}, headers=headers)
        if response.status_code != 200:
            return self._outcome(response)
        outcome = Outcome(headers=response.headers)
        for event in sse.events(response.content):
            data = msgspec.json.decode(event.data)
            if event.event == "error":
                outcome.failure = Failure(
                    data["error"]["type"],
                    data["error"]["message"],
                    http_status=0,
                    should_retry=False,
                    retry_after=None,
                    has_request_id="request_id" in data,
                )
            else:
                outcome.events.append(data)
        return outcome

    async def count(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome:
        path = "/v1/messages/count_tokens"
        return self._outcome(await self.client.post(path, json=document, headers=headers))

    async def models(self, headers: Mapping[str, str] = {}, **query: Any) -> Outcome:
        return self._outcome(await self.client.get("/v1/models", params=query, headers=headers))

    async def model(self, model_id: str, headers: Mapping[str, str] = {}) -> Outcome:
        return self._outcome(await self.client.get(f"/v1/models/{model_id}", headers=headers))

    def _outcome(self, response: httpx.Response) -> Outcome:
        document = response.json()
        if response.status_code == 200:
            return Outcome(document=document, headers=response.headers)
        after = response.headers.get("retry-after")
        return Outcome(
            failure=Failure(
                document["error"]["type"],
                document["error"]["message"],
                response.status_code,
                response.headers["x-should-retry"] == "true",
                None if after is None else int(after),
                bool(response.headers.get("request-id")),
            ),
            headers=response.headers,
        )


class GrpcEdge:
    """grpc.aio with the generated stubs."""

    name = "grpc"

    def __init__(self, service: Service) -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}")
        self.stub = proxy_pb2_grpc.ProxyStub(self.channel)

    async def create(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome:
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))
        return await self._unary(self.stub.CreateMessage(request, metadata=tuple(headers.items())))

    async def stream(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome:
        call = self.call(document, headers)
        outcome = Outcome()
        try:
            async for event in call:
                outcome.events.append(msgspec.json.decode(json_codec.encode(event)))
        except grpc.aio.AioRpcError as error:
            outcome.failure = failure_of(error)
        except asyncio.CancelledError:
            call.cancel()  # grpc.aio forgets to, where the headers have just come and the first read not begun
            raise
        outcome.headers = {**dict(await call.initial_metadata()), **dict(await call.trailing_metadata())}
        return outcome

    def call(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Any:
        """A stream, not yet read."""
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))
        return self.stub.StreamMessage(request, metadata=tuple(headers.items()))

    async def count(self, document: dict[str, Any], headers: Mapping[str, str] = {}) -> Outcome:
        request = json_codec.decode(proxy_pb2.CountTokensRequest, msgspec.json.encode(document))
        return await self._unary(self.stub.CountTokens(request, metadata=tuple(headers.items())))

    async def models(self, headers: Mapping[str, str] = {}, **query: Any) -> Outcome:
        request = proxy_pb2.ListModelsRequest(**query)
        return await self._unary(self.stub.ListModels(request, metadata=tuple(headers.items())))

    async def model(self, model_id: str, headers: Mapping[str, str] = {}) -> Outcome:
        request = proxy_pb2.GetModelRequest(model_id=model_id)
        return await self._unary(self.stub.GetModel(request, metadata=tuple(headers.items())))

    async def _unary(self, call: Any) -> Outcome:
        try:
            message = await call
        except grpc.aio.AioRpcError as error:
            return Outcome(failure=failure_of(error), headers=dict(error.trailing_metadata() or ()))
        headers = dict(await call.initial_metadata())
        return Outcome(document=msgspec.json.decode(json_codec.encode(message)), headers=headers)


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """The failure behind a status, read from its google.rpc details alone."""
    trailers = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    info, request, retry = ErrorInfo(), RequestInfo(), RetryInfo()
    after = None
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(RequestInfo.DESCRIPTOR):
            detail.Unpack(request)
        elif detail.Is(RetryInfo.DESCRIPTOR):
            detail.Unpack(retry)
            after = retry.retry_delay.seconds
    assert info.domain == "ccproxy.v1"
    return Failure(
        info.metadata["type"],
        status.message,
        int(info.metadata["http_status"]),
        trailers["x-should-retry"] == "true",
        after,
        bool(request.request_id),
    )
