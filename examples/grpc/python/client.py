"""A gRPC client of CCProxy in Python: `pip install ccproxy-gateway`, then `python client.py`.

CCPROXY_GRPC is the address (127.0.0.1:3457), CCPROXY_KEY the key where one is needed. `python client.py watch`
prints the service's health whenever it changes.
"""

import os
import sys
from collections.abc import Iterable

import grpc
from ccproxy_pb.v1.content_pb2 import Content, ContentBlock, ContentBlocks, InputMessage, ToolResultBlock
from ccproxy_pb.v1.proxy_pb2 import CreateMessageRequest, Message, Tool
from ccproxy_pb.v1.proxy_pb2_grpc import ProxyStub
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

Metadata = tuple[tuple[str, str], ...]

MODEL = os.environ.get("CCPROXY_MODEL", "claude-demo-1")

# Spreads calls over every address that the name has, and leaves out those that cannot serve at the moment.
# With one address nothing changes: `dns:///ccproxy-headless.ccproxy.svc:3457` is where it counts.
BALANCED = """{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": "ccproxy.v1.Proxy"}
}"""


def user(text: str) -> InputMessage:
    """What the user says."""
    return InputMessage(role="user", content=Content(text=text))


def turn(role: str, blocks: Iterable[ContentBlock]) -> InputMessage:
    """What somebody says in several blocks."""
    return InputMessage(role=role, content=Content(blocks=ContentBlocks(blocks=blocks)))


def asking(*messages: InputMessage, tools: tuple[Tool, ...] = ()) -> CreateMessageRequest:
    """A request."""
    return CreateMessageRequest(model=MODEL, max_tokens=200, messages=messages, tools=tools)


def text_of(message: Message) -> str:
    """The text of an answer."""
    return "".join(block.text.text for block in message.content if block.WhichOneof("block") == "text")


def stream(proxy: ProxyStub, key: Metadata) -> None:
    """Prints an answer while it is made. To leave early: `events.cancel()`; else the provider goes on."""
    events = proxy.StreamMessage(asking(user("Count with me")), timeout=60, metadata=key)
    for event in events:
        if event.WhichOneof("event") == "content_block_delta":
            print(event.content_block_delta.delta.text_delta.text, end="", flush=True)
    print()


def use_tools(proxy: ProxyStub, key: Metadata) -> None:
    """Calls the tools that the model asks for until it has an answer."""
    read = Tool(name="read", description="Reads a file", input_schema_json='{"type": "object"}')
    messages = [user('[[tool read {"path": "notes.txt"}]]')]  # the demo obeys this; a model decides by itself
    while True:
        answer = proxy.CreateMessage(asking(*messages, tools=(read,)), timeout=60, metadata=key)
        calls = [block.tool_use for block in answer.content if block.WhichOneof("block") == "tool_use"]
        if not calls:
            print("tools:", text_of(answer))
            return
        results = []
        for call in calls:
            print("tools:", call.name, call.input_json)  # the input is JSON text
            result = ToolResultBlock(tool_use_id=call.id, content=Content(text="three lines"))
            results.append(ContentBlock(tool_result=result))
        # The answer goes back as it came, thinking and all, then the results.
        messages.append(turn("assistant", answer.content))
        messages.append(turn("user", results))


def explain(error: grpc.RpcError) -> None:
    """Prints why a call failed, by the details that every error of CCProxy has."""
    trailing = dict(error.trailing_metadata() or ())
    status = Status.FromString(trailing.get("grpc-status-details-bin", b""))
    info, retry = ErrorInfo(), RetryInfo()
    for detail in status.details:
        detail.Unpack(info)  # fills in the one that it is
        detail.Unpack(retry)
    wait = retry.retry_delay.seconds
    print(f"error: {error.code().name} {info.reason} ({info.metadata['type']}), again in {wait} s")


def main() -> None:
    """Shows each kind of call."""
    key: Metadata = (("x-api-key", os.environ["CCPROXY_KEY"]),) if "CCPROXY_KEY" in os.environ else ()
    address = os.environ.get("CCPROXY_GRPC", "127.0.0.1:3457")
    with grpc.insecure_channel(address, [("grpc.service_config", BALANCED)]) as channel:
        proxy, health = ProxyStub(channel), HealthStub(channel)

        if sys.argv[1:] == ["watch"]:
            for change in health.Watch(HealthCheckRequest(service="readiness")):
                print("health:", HealthCheckResponse.ServingStatus.Name(change.status), flush=True)
            return

        # Wait for the connection, and no longer than ten seconds for the whole answer.
        answer, call = proxy.CreateMessage.with_call(
            asking(user("Hello")), timeout=10, metadata=key, wait_for_ready=True
        )
        print("whole:", text_of(answer), "from", dict(call.initial_metadata())["x-ccproxy-provider"])

        stream(proxy, key)
        use_tools(proxy, key)

        try:
            proxy.CreateMessage(asking(user('[[error 429 {"retry-after": "7"}]]')), timeout=10, metadata=key)
        except grpc.RpcError as error:
            explain(error)

        try:
            proxy.CreateMessage(asking(user("[[wait 5000]]")), timeout=0.5, metadata=key)
        except grpc.RpcError as error:
            print("deadline:", error.code().name)

        status = health.Check(HealthCheckRequest(service="readiness"), timeout=2).status
        print("health:", HealthCheckResponse.ServingStatus.Name(status))


if __name__ == "__main__":
    main()
