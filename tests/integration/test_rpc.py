"""The gRPC edge on the wire: what is refused and how, health by name, reflection behind its switch."""

import asyncio
import logging
from collections.abc import AsyncIterator

import grpc
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from integration.edges import failure_of

from ccproxy.app import Service, running
from ccproxy.config import DEMO_TYPES, Config, Secret
from ccproxy.errors import ApiError, Reason
from ccproxy.proxy import Proxy
from ccproxy.rpc import details
from ccproxy.serving import Phase

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.UNKNOWN
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

FIXED = ["", "liveness", "readiness", "startup", "ccproxy.v1.Proxy", "ccproxy.v1.Status"]
KEY = "the-key-of-the-house"
STRANGER = (("x-forwarded-for", "203.0.113.9"),)

Raw = grpc.aio.UnaryUnaryMultiCallable


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A running service, with the demo upstream."""
    async with running(Config(port=0, grpc_port=0, demo=True, grpc_reflection=True), {}) as service:
        yield service


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the service."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
        yield channel


def asked(text: str = "hi") -> proxy_pb2.CreateMessageRequest:
    """A request with one user turn."""
    document = {"model": "claude-demo-1", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}
    return json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document))


async def refused(call: grpc.aio.UnaryUnaryCall) -> grpc.aio.AioRpcError:
    """The status of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_an_invalid_request(channel: grpc.aio.Channel, data: bytes):
    """grpc's own answer is UNKNOWN, with the name of a Python class."""
    error = await refused(channel.unary_unary("/ccproxy.v1.Proxy/CreateMessage")(data))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert failure_of(error).type == "invalid_request_error"


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel):
    """As every gRPC client expects."""
    error = await refused(channel.unary_unary("/ccproxy.v1.Proxy/Nope")(b""))

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_text_that_is_no_json_is_refused_with_its_place(channel: grpc.aio.Channel):
    """Embedded unread, it could say anything behind the check."""
    request = asked()
    block = request.messages.add(role="assistant").content.blocks.blocks.add()
    block.tool_use.CopyFrom(type(block.tool_use)(id="t", name="n", input_json='{"a":1},"model":"other"'))
    error = await refused(proxy_pb2_grpc.ProxyStub(channel).CreateMessage(request))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "messages.1.content.0.input_json" in (error.details() or "")


async def test_a_stream_cannot_be_asked_for_in_the_extras(channel: grpc.aio.Channel):
    """The RPC says whether it streams."""
    request = asked()
    request.extra_json = '{"stream":true}'
    error = await refused(proxy_pb2_grpc.ProxyStub(channel).CreateMessage(request))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_empty_request_is_refused_for_its_missing_model(channel: grpc.aio.Channel):
    """Both ways to ask say the same."""
    stub = proxy_pb2_grpc.ProxyStub(channel)
    empty = proxy_pb2.CreateMessageRequest()

    for error in (await refused(stub.CreateMessage(empty)), await failing_stream(stub.StreamMessage(empty))):
        assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "model: Field required")


async def failing_stream(call: grpc.aio.UnaryStreamCall) -> grpc.aio.AioRpcError:
    """The status of a stream that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value


async def test_a_failure_carries_its_reason_for_programs(channel: grpc.aio.Channel):
    """The text is for people; ErrorInfo is what a client branches on."""
    error = await refused(proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked("[[error 529 overloaded_error]]")))
    trailers = dict(error.trailing_metadata() or ())
    info = ErrorInfo()
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert status.details[0].Unpack(info)

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert (info.reason, info.domain) == ("OVERLOADED", "ccproxy.v1")
    assert info.metadata["provider"] == "anthropic"
    assert info.metadata["upstream_status"] == "529"
    assert info.metadata["http_status"] == "529"
    assert "x-ccproxy-upstream-request-id" in trailers


async def test_a_long_message_does_not_hide_the_error(channel: grpc.aio.Channel):
    """Trailers above 8 KiB fail at random, as something else."""
    error = await refused(
        proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked("[[error 400 " + "word " * 4000 + "]]"))
    )

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sum(len(k) + len(v) for k, v in error.trailing_metadata() or ()) < 6 << 10


async def test_a_mistake_of_ours_is_an_opaque_id(
    channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """grpc would send the exception's class and text."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("sk-planted-secret")

    monkeypatch.setattr(Proxy, "create_message", broken)
    error = await refused(proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked()))

    assert error.code() is grpc.StatusCode.INTERNAL
    assert (error.details() or "").startswith("Internal error ")
    assert "sk-planted-secret" not in f"{error.debug_error_string()}{caplog.text}"
    assert "ZeroDivisionError" in caplog.text


async def test_the_callers_deadline_is_told_by_us(channel: grpc.aio.Channel):
    """Our own answer comes a moment before grpc's, which says nothing of why."""
    call = proxy_pb2_grpc.ProxyStub(channel).CreateMessage(asked("[[wait 5000]]"), timeout=0.6)
    error = await refused(call)

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert failure_of(error).type == "timeout_error"


def test_headers_become_metadata_that_grpc_takes():
    """One value that is not printable fails the whole RPC."""
    assert details.initial({"X-Name": "é\x00ok\r\n"}) == (("x-name", "ok"),)


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (ApiError(Reason.RATE_LIMITED, "x", retry_after=2), "2000"),
        (ApiError(Reason.INVALID_REQUEST, "x"), "-1"),
        (ApiError(Reason.UPSTREAM_UNREACHABLE, "x"), None),
    ],
)
def test_a_clients_retry_policy_is_told_when_and_whether(error: ApiError, pushback: str | None):
    """-1 means never; without advice the client's own policy decides."""
    assert dict(details.trailers(error, "r")).get("grpc-retry-pushback-ms") == pushback


# Status.


async def test_status_says_on_grpc_what_it_says_on_http(channel: grpc.aio.Channel, service: Service):
    """The same messages are behind both."""
    stub = status_pb2_grpc.StatusStub(channel)
    info = await stub.GetInfo(status_pb2.GetInfoRequest())
    health = await stub.GetHealth(status_pb2.GetHealthRequest())
    status = await stub.GetStatus(status_pb2.GetStatusRequest())

    assert info.message == "LLMs API"
    assert health.status == status_pb2.HEALTH_STATUS_HEALTHY
    assert health.config.port == status.port == service.http_port
    assert status.demo


async def test_a_stranger_sees_the_word_and_nothing_else(channel: grpc.aio.Channel):
    """The kubelet and load balancers need no more."""
    health = await status_pb2_grpc.StatusStub(channel).GetHealth(status_pb2.GetHealthRequest(), metadata=STRANGER)

    assert json_codec.encode(health) == b'{"status":"healthy"}'


# Health by name.


@pytest.mark.parametrize("name", FIXED)
async def test_each_fixed_name_serves(channel: grpc.aio.Channel, name: str):
    """Probes, load balancers and dashboards ask by these."""
    stub = health_pb2_grpc.HealthStub(channel)
    response = await stub.Check(health_pb2.HealthCheckRequest(service=name), metadata=STRANGER)

    assert response.status == SERVING


async def test_an_unknown_name_is_not_found(channel: grpc.aio.Channel):
    """As the protocol says for Check."""
    error = await refused(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="x")))

    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_a_providers_name_is_for_those_who_may_see_details(channel: grpc.aio.Channel):
    """It says what `/status` protects. Before its first use nobody knows how it is."""
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="provider/openai")

    assert (await stub.Check(request)).status == UNKNOWN
    assert (await refused(stub.Check(request, metadata=STRANGER))).code() is grpc.StatusCode.NOT_FOUND


async def test_list_names_what_its_caller_may_see(channel: grpc.aio.Channel):
    """gRFC A90."""
    stub = health_pb2_grpc.HealthStub(channel)
    own = await stub.List(health_pb2.HealthListRequest())
    strangers = await stub.List(health_pb2.HealthListRequest(), metadata=STRANGER)

    assert set(strangers.statuses) == set(FIXED)
    assert set(own.statuses) == {*FIXED, *(f"provider/{name}" for name in DEMO_TYPES)}


async def test_watch_tells_of_the_drain_and_ends_with_the_service(channel: grpc.aio.Channel, service: Service):
    """An open Watch must not hold the end of the process."""
    stub = health_pb2_grpc.HealthStub(channel)
    ready = stub.Watch(health_pb2.HealthCheckRequest(service="readiness"))
    alive = stub.Watch(health_pb2.HealthCheckRequest(service="liveness"))
    assert (await ready.read()).status == SERVING
    assert (await alive.read()).status == SERVING

    service.serving.move(Phase.DRAINING, "shutting down")
    assert (await ready.read()).status == NOT_SERVING

    service.serving.move(Phase.STOPPING, "shutting down")
    async with asyncio.timeout(1):
        assert await ready.read() is grpc.aio.EOF
        assert await alive.read() is grpc.aio.EOF
    assert await ready.code() is grpc.StatusCode.OK


async def test_watch_of_an_unknown_name_stays_open(channel: grpc.aio.Channel):
    """The name may come; the protocol says SERVICE_UNKNOWN until then."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="x"))

    assert (await watch.read()).status == SERVICE_UNKNOWN
    assert not watch.done()
    watch.cancel()


# Reflection.


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_names_every_service(channel: grpc.aio.Channel, version: str):
    """grpcurl and others need nothing else."""
    response = await reflected(channel, version, reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {service.name for service in response.list_services_response.service}

    assert {"ccproxy.v1.Proxy", "ccproxy.v1.Status", "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("symbol", ["ccproxy.v1.Proxy", "ccproxy.v1.MessageStreamEvent", "grpc.health.v1.Health"])
async def test_reflection_knows_every_message(channel: grpc.aio.Channel, symbol: str):
    """A service whose messages are not found cannot be called."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    response = await reflected(channel, "v1", request)

    assert response.file_descriptor_response.file_descriptor_proto


async def test_reflection_is_not_for_strangers(channel: grpc.aio.Channel):
    """It is a switch for those who run the service."""
    call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(metadata=STRANGER)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_reflection_is_off_by_default():
    """Nobody asked for it."""
    async with (
        running(Config(port=0, grpc_port=0, demo=True), {}) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
    ):
        call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def reflected(
    channel: grpc.aio.Channel, version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    """The answer to one question."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await call.write(request)
    response = await call.read()
    await call.done_writing()
    return response


# The port.


async def test_a_taken_port_is_refused_and_named(service: Service):
    """With grpc's default a second process would share the port, and nobody would notice."""
    with pytest.raises(OSError, match=str(service.grpc_port)):
        async with running(Config(port=0, grpc_port=service.grpc_port, demo=True), {}):
            pass


async def test_metrics_count_by_the_usual_names(channel: grpc.aio.Channel, service: Service):
    """Dashboards for go-grpc-prometheus fit."""
    stub = proxy_pb2_grpc.ProxyStub(channel)
    await stub.CreateMessage(asked())
    await refused(stub.CreateMessage(asked("[[error 429]]")))
    text = service.metrics.exposition(None)[0].decode()

    for code in ("OK", "RESOURCE_EXHAUSTED"):
        line = 'grpc_method="CreateMessage",grpc_service="ccproxy.v1.Proxy",grpc_type="unary"} 1.0'
        assert any(f'grpc_code="{code}"' in found and line in found for found in text.splitlines()), code


@pytest.mark.parametrize("method", ["CreateMessage", "StreamMessage", "CountTokens", "ListModels"])
async def test_a_caller_without_the_key_is_refused_before_its_message_is_read(method: str):
    """It may be 32 MiB large, and a connection has a thousand at a time: no stranger may fill the memory so."""
    config = Config(port=0, grpc_port=0, demo=True, apikey=Secret(KEY))
    async with (
        running(config, {}) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
    ):
        call = channel.stream_unary(f"/ccproxy.v1.Proxy/{method}")(timeout=10)  # sends its headers, and waits
        error = await refused(call)

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", ["CreateMessage", "StreamMessage", "GetModel"])
async def test_a_request_without_a_message_is_the_callers_mistake(channel: grpc.aio.Channel, method: str):
    """No client library sends one; whoever writes frames by hand is told."""
    call = channel.stream_unary(f"/ccproxy.v1.Proxy/{method}")(timeout=10)
    await call.done_writing()
    error = await refused(call)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no message" in (error.details() or "")


async def test_without_the_key_nothing_is_served_that_costs_money():
    """Over gRPC as over HTTP, by the same code."""
    config = Config(port=0, grpc_port=0, demo=True, apikey=Secret(KEY))
    async with (
        running(config, {}) as service,
        grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
    ):
        stub = proxy_pb2_grpc.ProxyStub(channel)
        error = await refused(stub.CreateMessage(asked()))
        answer = await stub.CreateMessage(asked(), metadata=(("authorization", f"Bearer {KEY}"),))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert answer.role == "assistant"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keeps what is logged for the tests that read it."""
    caplog.set_level(logging.INFO)
