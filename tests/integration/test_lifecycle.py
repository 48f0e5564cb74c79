"""A process from its start to its end: ready, draining, gone, and why it did not start.

The order of an end: "not ready" at once on both edges; then the listeners close; running calls end, or get one
proper error; exit code 0.
"""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from ccproxy_pb.v1 import json_codec, proxy_pb2, proxy_pb2_grpc, status_pb2, status_pb2_grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from integration.process import Process, free_ports, process

from ccproxy import cli, sse

DEMO = {"demo": True}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
SHORT = "[[tokens 20]] [[pace 100]]"  # two seconds
LONG = "[[tokens 1000]] [[pace 100]]"  # longer than any test

ServingStatus = health_pb2.HealthCheckResponse.ServingStatus


def document(text: str, **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": "claude-x", "max_tokens": 5000, "messages": [{"role": "user", "content": text}], **more}


def asking(body: dict[str, Any]) -> bytes:
    """The bytes of a call over HTTP."""
    content = msgspec.json.encode(body)
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(content) + content


class Clients:
    """One client of each edge, whose connections are open already."""

    def __init__(self, service: Process) -> None:
        self.http = httpx.AsyncClient(base_url=service.url, timeout=30)
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}")
        self.proxy = proxy_pb2_grpc.ProxyStub(self.channel)
        self.status = status_pb2_grpc.StatusStub(self.channel)
        self._health = health_pb2_grpc.HealthStub(self.channel)

    async def close(self) -> None:
        """Lets go of the connections."""
        await self.http.aclose()
        await self.channel.close()

    async def health(self, name: str) -> int:
        """A name's status in grpc.health.v1."""
        response = await self._health.Check(health_pb2.HealthCheckRequest(service=name))
        status: int = response.status
        return status

    def watch(self, name: str) -> Any:
        """An open watch of a name."""
        return self._health.Watch(health_pb2.HealthCheckRequest(service=name))


class HttpStream:
    """A stream over HTTP, read in the background."""

    def __init__(self, http: httpx.AsyncClient, text: str) -> None:
        self.begun = asyncio.Event()
        self.body = b""
        self.task = asyncio.ensure_future(self._read(http, text))

    async def _read(self, http: httpx.AsyncClient, text: str) -> None:
        async with http.stream("POST", "/v1/messages", json=document(text, stream=True)) as response:
            async for chunk in response.aiter_raw():
                self.body += chunk
                self.begun.set()

    async def events(self) -> list[str]:
        """The names of all its events, once it has ended without an error of the connection."""
        await self.task
        return [event.event for event in sse.events(self.body)]

    def last(self) -> Any:
        """Its last event's document."""
        return msgspec.json.decode(list(sse.events(self.body))[-1].data)


class GrpcStream:
    """A stream over gRPC, read in the background."""

    def __init__(self, proxy: proxy_pb2_grpc.ProxyStub, text: str) -> None:
        self.begun = asyncio.Event()
        self.kinds: list[str] = []
        request = json_codec.decode(proxy_pb2.CreateMessageRequest, msgspec.json.encode(document(text)))
        self.task = asyncio.ensure_future(self._read(proxy.StreamMessage(request)))

    async def _read(self, call: Any) -> grpc.aio.AioRpcError | None:
        try:
            async for event in call:
                self.kinds.append(msgspec.json.decode(json_codec.encode(event))["type"])
                self.begun.set()
        except grpc.aio.AioRpcError as error:
            return error
        return None


def reason(error: grpc.aio.AioRpcError | None) -> str:
    """The reason in a failure's details."""
    assert error is not None
    trailers = dict(error.trailing_metadata() or ())
    info = ErrorInfo()
    Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    return info.reason


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home directory."""
    return tmp_path / "home"


@contextlib.asynccontextmanager
async def serving(home: Path, **config: Any) -> AsyncIterator[tuple[Process, Clients]]:
    """A ready process and its clients."""
    with process(home, {**DEMO, **config}) as service:
        await asyncio.to_thread(service.until_ready)
        clients = Clients(service)
        await clients.http.get("/")
        await clients.status.GetInfo(status_pb2.GetInfoRequest())
        try:
            yield service, clients
        finally:
            await clients.close()


async def streaming(clients: Clients, text: str) -> tuple[HttpStream, GrpcStream]:
    """A stream on each edge that has begun."""
    over_http, over_grpc = HttpStream(clients.http, text), GrpcStream(clients.proxy, text)
    async with asyncio.timeout(10):
        await over_http.begun.wait()
        await over_grpc.begun.wait()
    return over_http, over_grpc


async def gone(service: Process) -> tuple[int, float]:
    """The exit code, and the seconds from now."""
    started = time.monotonic()
    code = await asyncio.to_thread(service.exit_code)
    return code, time.monotonic() - started


async def until_unready(clients: Clients) -> httpx.Response:
    """The first answer of /health that is not 200."""
    async with asyncio.timeout(10):
        while True:
            response = await clients.http.get("/health", headers={"x-forwarded-for": "203.0.113.9"})
            if response.status_code != 200:
                return response
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def stuck(service: Process, clients: Clients) -> AsyncIterator[None]:
    """A stream whose client reads nothing: its buffers are full, so nothing more can reach it."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.http_port))
        client.sendall(asking(document("[[tokens 100000]]", stream=True, max_tokens=100_000)))
        await asyncio.sleep(1)
        assert 'requests_in_flight{interface="http"} 1.0' in (await clients.http.get("/metrics")).text
        yield


async def until_refused(service: Process) -> None:
    """Waits until nothing listens on the HTTP port."""
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


# Ready.


async def test_it_is_ready_soon(home: Path):
    """Ten seconds is what the documented readiness probe allows; the figure itself is only noted."""
    with process(home, DEMO) as service:
        seconds = await asyncio.to_thread(service.until_ready)
    print(f"ready after {seconds:.2f} s")  # noqa: T201  # a figure, shown by `pytest -rP`

    assert seconds < 10


async def test_all_parts_serve_once_it_is_ready(home: Path):
    """Probes of both kinds."""
    async with serving(home) as (_, clients):
        states = [await clients.health(name) for name in ("", "liveness", "readiness", "startup")]

    assert states == [ServingStatus.SERVING] * 4


async def test_it_says_where_it_serves(home: Path):
    """The first line a person looks for."""
    async with serving(home) as (service, _):
        await asyncio.to_thread(
            service.until_said,
            f"serves http://127.0.0.1:{service.http_port}, gRPC on 127.0.0.1:{service.grpc_port}",
        )


async def test_without_a_grpc_port_there_is_no_grpc(home: Path):
    """`grpc_port: 0` switches it off; HTTP does not mind."""
    with process(home, {**DEMO, "grpc_port": 0}) as service:
        await asyncio.to_thread(service.until_ready)
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", service.grpc_port))

        assert taken != 0
        await asyncio.to_thread(service.until_said, "gRPC off")


async def test_without_grpc_it_ends_as_well(home: Path):
    """The drain has one edge less."""
    with process(home, {**DEMO, "grpc_port": 0}) as service:
        await asyncio.to_thread(service.until_ready)
        service.terminate()

        assert (await gone(service))[0] == 0


async def test_without_a_provider_in_kubernetes_it_is_not_ready(home: Path):
    """The demo must not answer there: the pod lives, gets no calls, and its log names the remedy."""
    with process(home, {}, KUBERNETES) as service:
        await asyncio.to_thread(service.until_ready, "/")
        async with httpx.AsyncClient(base_url=service.url) as http:
            health = await http.get("/health")
            call = await http.post("/v1/messages", json=document("hello"))
        await asyncio.to_thread(service.until_said, "Add one to `providers`")

    assert health.json()["status"] == "unhealthy"
    assert (call.status_code, "no provider is configured" in call.json()["error"]["message"]) == (404, True)


# Drain.


async def test_a_drain_says_unhealthy_at_once(home: Path):
    """`/health` is 503 while `/` stays 200: load balancers turn away, and nobody kills the pod."""
    async with serving(home, drain_delay=60) as (service, clients):
        asked = service.terminate()
        response = await until_unready(clients)
        seconds = time.monotonic() - asked
        info = await clients.http.get("/")

    assert (response.status_code, response.content) == (503, b'{"status":"unhealthy"}')
    assert seconds < 3  # the grace is 30
    assert info.status_code == 200


async def test_a_drain_takes_readiness_away_and_leaves_liveness(home: Path):
    """The same moment and the same truth in grpc.health.v1."""
    async with serving(home, drain_delay=60) as (service, clients):
        service.terminate()
        await until_unready(clients)
        states = {name: await clients.health(name) for name in ("", "readiness", "ccproxy.v1.Proxy", "liveness")}

    assert states == {
        "": ServingStatus.NOT_SERVING,
        "readiness": ServingStatus.NOT_SERVING,
        "ccproxy.v1.Proxy": ServingStatus.NOT_SERVING,
        "liveness": ServingStatus.SERVING,
    }


async def test_a_drain_is_told_to_those_who_watch(home: Path):
    """Client-side load balancing hears of it without asking, and the watch ends in peace."""
    async with serving(home, drain_delay=0.3) as (service, clients):
        watch = clients.watch("readiness")
        first = await watch.read()
        service.terminate()
        second = await watch.read()
        end = await watch.read()

        assert (first.status, second.status) == (ServingStatus.SERVING, ServingStatus.NOT_SERVING)
        assert (end, await watch.code()) == (grpc.aio.EOF, grpc.StatusCode.OK)


async def test_new_calls_are_taken_until_load_balancers_have_heard(home: Path):
    """Within `drain_delay` they still send some."""
    async with serving(home, drain_delay=60) as (service, clients):
        service.terminate()
        await until_unready(clients)
        response = await clients.http.post("/v1/messages", json=document("hello"))

    assert response.status_code == 200


async def test_running_streams_end_properly(home: Path):
    """Two seconds of stream, a grace of thirty: both get their message_stop, and the process ends with them."""
    async with serving(home, drain_delay=0.2) as (service, clients):
        over_http, over_grpc = await streaming(clients, SHORT)
        service.terminate()
        events = await over_http.events()
        failure = await over_grpc.task
        code, seconds = await gone(service)

    assert (events[-1], "error" in events) == ("message_stop", False)
    assert (over_grpc.kinds[-1], failure) == ("message_stop", None)
    assert (code, seconds < 2) == (0, True)


async def test_the_listener_closes_while_streams_run(home: Path):
    """New connections go to another replica; the running stream is not touched."""
    async with serving(home) as (service, clients):
        over_http, _ = await streaming(clients, SHORT)
        service.terminate()
        await until_refused(service)
        running = not over_http.task.done()
        events = await over_http.events()

    assert running
    assert events[-1] == "message_stop"


async def test_a_whole_answer_under_way_is_given(home: Path):
    """Not only streams are in flight."""
    async with serving(home) as (service, clients):
        asking = asyncio.ensure_future(clients.http.post("/v1/messages", json=document("[[wait 1000]]")))
        await asyncio.sleep(0.3)
        service.terminate()
        response = await asking
        code, _ = await gone(service)

    assert (response.status_code, code) == (200, 0)


async def test_in_a_drain_each_answer_is_its_connections_last(home: Path):
    """A client's pool would otherwise keep calling the process that ends: kept connections know no balancer."""
    async with serving(home, drain_delay=60) as (service, clients):
        before = await clients.http.post("/v1/messages", json=document("hello"))
        service.terminate()
        await until_unready(clients)
        after = await clients.http.post("/v1/messages", json=document("hello"))

    assert "connection" not in before.headers
    assert (after.status_code, after.headers["connection"]) == (200, "close")


async def test_a_stream_that_outlives_the_port_takes_its_connection_along(home: Path):
    """Its headers were sent long before, so only the connection itself can say that there is no next call."""
    async with serving(home) as (service, clients):
        other, _ = await streaming(clients, "[[tokens 50]] [[pace 100]]")  # the process goes on for this one
        reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
        writer.write(asking(document(SHORT, stream=True)))
        await reader.readuntil(b"message_start")
        service.terminate()
        async with asyncio.timeout(4):
            rest = await reader.read()
        running = not other.task.done()
        writer.close()

    assert b"message_stop" in rest
    assert running


async def test_the_connection_of_a_stream_takes_one_more_call_in_a_drain(home: Path):
    """Closed without a word at the stream's end, it could take a call down that was just being sent."""
    async with serving(home, drain_delay=60) as (service, clients):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
        writer.write(asking(document(SHORT, stream=True)))
        await reader.readuntil(b"message_start")
        service.terminate()
        await until_unready(clients)
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(asking(document("hello")))
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer.lower()


async def test_kept_connections_close_with_the_port(home: Path):
    """Whoever has one is told so at once, rather than refused with the next call."""
    async with serving(home) as (service, clients):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        over_http, _ = await streaming(clients, SHORT)
        service.terminate()
        async with asyncio.timeout(1.5):
            await reader.read()
        running = not over_http.task.done()
        await over_http.task
        writer.close()

    assert running


async def test_who_was_let_in_before_the_port_closed_is_answered(home: Path):
    """The request is a round trip behind the connection, and nobody else can answer it."""
    async with serving(home) as (service, clients):
        over_http, _ = await streaming(clients, SHORT)
        reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
        await clients.http.get("/")  # so that it has been accepted
        service.terminate()
        await until_refused(service)
        writer.write(asking(document("hello")))
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        await over_http.task

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close\r\n" in answer.lower()


async def test_who_says_nothing_holds_nobody_for_long(home: Path):
    """A connection without a request, as browsers and port checks make them."""
    async with serving(home) as (service, clients):
        _, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
        await clients.http.get("/")
        service.terminate()
        code, seconds = await gone(service)
        writer.close()

    assert (code, seconds < 3) == (0, True)


async def test_in_kubernetes_a_drain_waits_by_itself(home: Path):
    """Every kube-proxy must hear of it first; else one in five calls of a rollout fails."""
    with process(home, DEMO, KUBERNETES) as service:
        await asyncio.to_thread(service.until_ready)
        service.terminate()
        await asyncio.sleep(1.5)
        async with httpx.AsyncClient(base_url=service.url) as http:
            health = await http.get("/health")
            call = await http.post("/v1/messages", json=document("hello"))

    assert (health.status_code, call.status_code) == (503, 200)


# Beyond the grace.


async def test_streams_beyond_the_grace_get_one_proper_error(home: Path):
    """Truncation never looks like success, and says that another try makes sense."""
    async with serving(home, shutdown_timeout=2) as (service, clients):
        over_http, over_grpc = await streaming(clients, LONG)
        asked = service.terminate()
        events = await over_http.events()
        failure = await over_grpc.task
        code, _ = await gone(service)
        seconds = time.monotonic() - asked

    assert (events.count("error"), events[-1], "message_stop" in events) == (1, "error", False)
    assert over_http.last()["error"]["type"] == "overloaded_error"
    assert failure is not None
    assert (failure.code(), reason(failure)) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert "message_stop" not in over_grpc.kinds
    assert (code, seconds < 4) == (0, True)


async def test_a_whole_answer_beyond_the_grace_is_a_503(home: Path):
    """There the status is not out yet, so it can be a real one."""
    async with serving(home, shutdown_timeout=1.5) as (service, clients):
        asking = asyncio.ensure_future(clients.http.post("/v1/messages", json=document("[[wait 20000]]")))
        await asyncio.sleep(0.3)
        service.terminate()
        response = await asking
        code, _ = await gone(service)

    assert (response.status_code, response.json()["error"]["type"], code) == (503, "overloaded_error", 0)


async def test_a_client_that_reads_no_more_holds_nobody(home: Path):
    """No last word can reach it, and no more than the grace is waited for it."""
    async with serving(home, shutdown_timeout=2) as (service, clients), stuck(service, clients):
        service.terminate()
        code, seconds = await gone(service)

    assert (code, seconds < 4) == (0, True)


@pytest.mark.parametrize("drain_delay", [0, 60])
async def test_a_second_signal_ends_at_once(home: Path, drain_delay: int):
    """Whoever presses ^C twice means it; even so, streams get their last word."""
    async with serving(home, shutdown_timeout=60, drain_delay=drain_delay) as (service, clients):
        over_http, over_grpc = await streaming(clients, LONG)
        service.terminate()
        await until_unready(clients) if drain_delay else await until_refused(service)
        asked = service.terminate()
        events = await over_http.events()
        failure = await over_grpc.task
        code, _ = await gone(service)
        seconds = time.monotonic() - asked

    assert (code, seconds < 2) == (0, True)
    assert (events[-1], reason(failure)) == ("error", "SHUTTING_DOWN")


async def test_a_second_signal_waits_for_no_client(home: Path):
    """Not even for one that reads no more."""
    async with serving(home, shutdown_timeout=60) as (service, clients), stuck(service, clients):
        service.terminate()
        await until_refused(service)
        service.terminate()
        code, seconds = await gone(service)

    assert (code, seconds < 3) == (0, True)


# Idle.


async def test_an_idle_service_ends_at_once(home: Path):
    """With a connection of each edge open."""
    async with serving(home) as (service, _):
        service.terminate()
        code, seconds = await gone(service)

    assert (code, seconds < 3) == (0, True)


async def test_signals_without_end_change_nothing(home: Path):
    """However often it is asked, and however late: the exit code is 0, and nothing is said about it."""
    async with serving(home) as (service, _):
        while service.popen.poll() is None:
            service.terminate()
            await asyncio.sleep(0.005)

    assert service.popen.returncode == 0
    assert "Traceback" not in service.stderr


async def test_an_interrupt_ends_it_as_well(home: Path):
    """^C in the foreground."""
    async with serving(home) as (service, _):
        service.popen.send_signal(signal.SIGINT)
        code, seconds = await gone(service)

    assert (code, seconds < 3) == (0, True)
    assert "Traceback" not in service.stderr


async def test_an_open_health_watch_holds_nobody(home: Path):
    """Load balancers keep one open for as long as the server lives."""
    async with serving(home) as (service, clients):
        watch = clients.watch("")
        await watch.read()
        service.terminate()
        code, seconds = await gone(service)

    assert (code, seconds < 3) == (0, True)


async def test_an_open_reflection_stream_holds_nobody_for_long(home: Path):
    """Its client may never close it; it is no call of ours that deserves the grace."""
    async with serving(home, grpc_reflection=True) as (service, clients):
        call = reflection_pb2_grpc.ServerReflectionStub(clients.channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        await call.read()
        service.terminate()
        code, seconds = await gone(service)

    assert (code, seconds < 3) == (0, True)


async def test_a_calm_end_says_little(home: Path):
    """Two lines, and no traceback."""
    async with serving(home) as (service, _):
        service.terminate()
        await gone(service)

    assert [msgspec.json.decode(line)["msg"] for line in service.stderr.splitlines()[-2:]] == [
        "shutting down: running calls get 30 s",
        "stopped",
    ]


# Why it did not start.


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("name", ["port", "grpc_port"])
async def test_a_taken_port_is_one_clear_line(home: Path, taken: int, name: str):
    """The most common mistake of all: a second copy."""
    with process(home, {**DEMO, name: taken}) as service:
        code, seconds = await gone(service)

    (line,) = service.stderr.splitlines()
    assert (code, seconds < 5) == (98, True)
    assert line.startswith("ccproxy: ")
    assert f"127.0.0.1:{taken}" in line


async def test_two_services_never_share_a_port(home: Path, tmp_path: Path):
    """Without gRPC's default of SO_REUSEPORT: half of the calls would go to a copy nobody knows of."""
    async with serving(home) as (service, _):
        with process(tmp_path / "other", {**DEMO, "grpc_port": service.grpc_port}) as second:
            code, _ = await gone(second)

    assert code == 98


async def test_a_bad_configuration_is_one_line_for_each_problem(home: Path):
    """All at once, each with its place, and no traceback."""
    config = {"port": -1, "host": "0.0.0.0", "shutdown_timeout": -5, "providers": [{"name": "mine"}]}
    with process(home, config) as service:
        code, _ = await gone(service)
    places = [line.split(": ")[1] for line in service.stderr.splitlines()]

    assert (code, places) == (78, ["$.port", "$.shutdown_timeout", "$.host", "$.providers[0].type"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prot": 1}', '{"port": true}', "\x00"])
async def test_an_unreadable_configuration_is_one_line(home: Path, text: str):
    """Whatever is in the file."""
    with process(home, text) as service:
        code, _ = await gone(service)

    (line,) = service.stderr.splitlines()
    assert (code, line.startswith("ccproxy: ")) == (78, True)


async def test_a_port_of_kubernetes_making_is_explained(home: Path):
    """`CCPROXY_PORT=tcp://…` comes from a Service of that name."""
    with process(home, DEMO, {"CCPROXY_PORT": "tcp://10.96.0.10:3456"}) as service:
        code, _ = await gone(service)

    (line,) = service.stderr.splitlines()
    assert (code, "enableServiceLinks: false" in line) == (78, True)


def test_a_user_without_a_home_has_no_file(monkeypatch: pytest.MonkeyPatch):
    """Containers run under ids that no passwd file knows: nothing is read then, and nothing breaks."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)

    assert not cli._home().exists()


async def test_no_secret_is_said_at_the_start(home: Path):
    """Neither the operator's key nor a provider's."""
    provider = {"name": "openai", "api_key": "sk-canary-provider", "api_base_url": "http://127.0.0.1:9"}
    config = {"demo": False, "apikey": "sk-canary-own", "providers": [provider]}
    async with serving(home, **config) as (service, _):
        service.terminate()
        await gone(service)

    assert "sk-canary" not in service.stderr


def test_free_ports_differ():
    """The tests' own tool: two services side by side need four of them."""
    assert len(set(free_ports(4))) == 4
