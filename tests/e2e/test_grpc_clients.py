"""The gRPC tools that operators have: grpcurl and buf curl, both written in Go."""

from typing import Any

import msgspec
import pytest
from ccproxy_pb.v1 import proxy_pb2, status_pb2
from e2e.conftest import KEY, RELAYED, TRANSLATED
from e2e.service import Service
from e2e.tools import require, run
from google.protobuf import json_format

SCHEMA = ("-import-path", "proto", "-proto", "ccproxy/v1/proxy.proto")


def grpcurl(service: Service, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """What grpcurl prints."""
    done = run([require("grpcurl"), "-plaintext", *options, service.grpc, *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


def asking(model: str, text: str) -> str:
    """A request in protobuf's JSON."""
    request: dict[str, Any] = {
        "model": model,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": {"text": text}}],
    }
    return msgspec.json.encode(request).decode()


def messages_in(output: str) -> list[Any]:
    """The JSON documents that stand one after the other in `output`."""
    return [msgspec.json.decode(document) for document in output.replace("\n}\n{", "\n}\0{").split("\0")]


def test_reflection_lists_the_services(reflecting_service: Service):
    """What `grpcurl list` shows is what people believe to be there."""
    assert set(grpcurl(reflecting_service, "list").split()) == {
        "ccproxy.v1.Proxy",
        "ccproxy.v1.Status",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize(
    "symbol", ["ccproxy.v1.Proxy", "ccproxy.v1.CreateMessageRequest", "grpc.health.v1.Health"]
)
def test_reflection_describes_what_it_lists(reflecting_service: Service, symbol: str):
    """A generated schema whose imports are missing lists well and describes nothing."""
    assert symbol in grpcurl(reflecting_service, "describe", symbol)


def test_reflection_is_off_by_default(service: Service):
    """A schema is no secret, but a switch that is not asked for is one too many."""
    done = run([require("grpcurl"), "-plaintext", service.grpc, "list"])

    assert done.returncode != 0
    assert "does not support the reflection API" in done.stderr


def test_health_over_grpc_tells_what_http_tells(reflecting_service: Service):
    """Two answers that differ are one too many for an operator at night."""
    printed = grpcurl(reflecting_service, "ccproxy.v1.Status/GetHealth")
    health = json_format.Parse(printed, status_pb2.GetHealthResponse())
    over_http = reflecting_service.get("/health").json()

    assert health.status == status_pb2.HEALTH_STATUS_HEALTHY
    assert over_http["status"] == "healthy"
    assert (health.version, health.config.port) == (over_http["version"], over_http["config"]["port"])


def test_a_message_by_reflection(reflecting_service: Service, model: str):
    """The one command that shows that gRPC works, with no file at hand."""
    printed = grpcurl(reflecting_service, "ccproxy.v1.Proxy/CreateMessage", options=("-d", asking(model, "Hello")))
    message = json_format.Parse(printed, proxy_pb2.Message())

    assert [block.text.text for block in message.content] == ["Demo answer to: Hello"]
    assert message.stop_reason == "end_turn"


def test_a_stream_by_the_schema_files(service: Service, model: str):
    """Without reflection the files in `proto` are the schema; they must compile with nothing else installed."""
    printed = grpcurl(
        service, "ccproxy.v1.Proxy/StreamMessage", options=(*SCHEMA, "-d", asking(model, "[[tokens 20]]"))
    )
    events = [json_format.ParseDict(event, proxy_pb2.MessageStreamEvent()) for event in messages_in(printed)]
    text = [event.content_block_delta.delta.text_delta.text for event in events]

    assert events[0].WhichOneof("event") == "message_start"
    assert events[-1].WhichOneof("event") == "message_stop"
    assert "".join(text) == "Demo " + " ".join(map(str, range(2, 21)))


def test_models_and_counts_by_the_schema_files(service: Service):
    """The rest of the interface, once."""
    listed = json_format.Parse(
        grpcurl(service, "ccproxy.v1.Proxy/ListModels", options=SCHEMA), proxy_pb2.ListModelsResponse()
    )
    counted = json_format.Parse(
        grpcurl(
            service,
            "ccproxy.v1.Proxy/CountTokens",
            options=(
                *SCHEMA,
                "-d",
                '{"model": "claude-demo-1", "messages": [{"role": "user", "content": {"text": "Hi"}}]}',
            ),
        ),
        proxy_pb2.CountTokensResponse(),
    )

    assert {RELAYED, TRANSLATED} <= {model.id for model in listed.data}
    assert counted.input_tokens > 0


def test_an_error_shows_its_code_reason_and_delay(reflecting_service: Service):
    """The details are what a program decides by; a tool that cannot read them shows base64."""
    limited = '[[error 429 rate_limit_error {"retry-after": "7"} slow down]]'
    done = run(
        [
            require("grpcurl"),
            "-plaintext",
            "-format-error",
            "-d",
            asking(RELAYED, limited),
            reflecting_service.grpc,
            "ccproxy.v1.Proxy/CreateMessage",
        ]
    )
    assert done.returncode != 0
    details = {
        detail["@type"].rpartition(".")[2]: detail for detail in msgspec.json.decode(done.stderr)["details"]
    }

    assert (details["ErrorInfo"]["reason"], details["ErrorInfo"]["domain"]) == ("RATE_LIMITED", "ccproxy.v1")
    assert "7s" in details["RetryInfo"].values()


def test_a_key_is_needed_where_one_is_set(locked_service: Service):
    """The gRPC port must not be the open window beside the locked door."""
    call = ("-d", asking(RELAYED, "Hello"), locked_service.grpc, "ccproxy.v1.Proxy/CreateMessage")
    without = run([require("grpcurl"), "-plaintext", *SCHEMA, *call])
    wrong = run([require("grpcurl"), "-plaintext", *SCHEMA, "-H", "x-api-key: wrong", *call])
    by_key = run([require("grpcurl"), "-plaintext", *SCHEMA, "-H", f"x-api-key: {KEY}", *call])
    by_bearer = run([require("grpcurl"), "-plaintext", *SCHEMA, "-H", f"authorization: Bearer {KEY}", *call])

    assert "Unauthenticated" in without.stderr
    assert "Unauthenticated" in wrong.stderr
    assert (by_key.returncode, by_bearer.returncode) == (0, 0)


def test_buf_curl_understands_reflection(reflecting_service: Service):
    """Another client with another idea of reflection: it asks for v1 first."""
    url = f"http://{reflecting_service.grpc}/ccproxy.v1.Status/GetInfo"
    done = run([require("buf"), "curl", "--protocol", "grpc", "--http2-prior-knowledge", url])

    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)["message"] == "LLMs API"
