"""Every route and every RPC asks `access`, and a new one that does not fails here."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
import httpx
import pytest
from ccproxy_pb.v1.json_codec import ROUTES

from ccproxy.access import NEEDS, Need
from ccproxy.app import Service, running
from ccproxy.call import Call
from ccproxy.config import Config, KeyConfig, Secret
from ccproxy.errors import ApiError, Reason
from ccproxy.gateway import Gateway
from ccproxy.rpc import Rpc

KEY = "the-operators-key"
MONITORS = "the-monitors-key"
BEARER = f"Bearer {KEY}"
FORWARDED = ("x-forwarded-for", "203.0.113.9")
"""Tests come from loopback; with this mark on it a request is a stranger's."""

ALIASES = {"/livez": "/", "/healthz": "/health", "/readyz": "/health"}
OWN = {"/api/hello", "/metrics", "/openapi.json"}
"""Routes of HTTP alone."""

Headers = list[tuple[str, str]]

RIGHT: list[Headers] = [
    [("x-api-key", KEY)],
    [("authorization", BEARER)],
    [("authorization", f"bearer {KEY}")],
    [("x-api-key", KEY), ("authorization", BEARER)],
    [("x-api-key", "wrong"), ("authorization", BEARER)],
    [("x-api-key", KEY), ("authorization", "Bearer wrong")],
    [("x-api-key", KEY), ("x-api-key", KEY), ("authorization", BEARER)],
    [("x-ccproxy-key", KEY)],
    [("x-ccproxy-key", KEY), ("x-api-key", "the-providers"), ("authorization", "Bearer the-providers")],
]
WRONG: list[Headers] = [
    [],
    [("x-api-key", "")],
    [("x-api-key", "wrong")],
    [("authorization", "Bearer wrong")],
    [("authorization", KEY)],
    [("authorization", "Basic dXNlcjpwYXNz")],
    [("x-api-key", "wrong"), ("authorization", "Bearer wrong")],
    [("x-api-key", KEY), ("x-api-key", KEY)],
    [("x-api-key", KEY), ("x-api-key", "wrong")],
    [("authorization", BEARER), ("authorization", BEARER)],
    [("x-ccproxy-key", "wrong")],
    [("x-ccproxy-key", KEY), ("x-ccproxy-key", KEY)],
]


@dataclass(frozen=True)
class Installation:
    """A running service, its clients, and all that it serves."""

    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    gateway: Gateway
    rpc: Rpc

    async def status_of(self, http_method: str, path: str, headers: Headers) -> int:
        """The status of a request to a route, with an empty body."""
        return (
            await self.http.request(http_method, path.replace("{model_id:.+}", "m"), headers=headers)
        ).status_code

    async def code_of(self, method: str, metadata: Headers) -> grpc.StatusCode:
        """The code of an RPC with an empty request; OK as soon as it answers."""
        call = self._call(method, tuple(metadata))
        try:
            if isinstance(call, grpc.aio.UnaryUnaryCall):
                await call
            else:
                await anext(aiter(call), None)
                call.cancel()
                return grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    def _call(self, method: str, metadata: tuple[tuple[str, str], ...]) -> grpc.aio.Call:
        match method.rpartition("/")[2]:
            case "StreamMessage" | "Watch":
                return self.channel.unary_stream(method)(b"", metadata=metadata)
            case "ServerReflectionInfo":
                return self.channel.stream_stream(method)(iter([b"\x3a\x00"]), metadata=metadata)
            case _:
                return self.channel.unary_unary(method)(b"", metadata=metadata)


async def installed(config: Config) -> AsyncIterator[Installation]:
    """An installation of a configuration."""
    async with running(config, {}) as service:
        url = f"http://127.0.0.1:{service.http_port}"
        async with (
            httpx.AsyncClient(base_url=url, timeout=10) as http,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
        ):
            yield Installation(http, channel, gateway(service), rpc(service))


def gateway(service: Service) -> Gateway:
    """The HTTP edge over the same objects."""
    return Gateway(service.proxy, service.status, service._access, service.metrics)


def rpc(service: Service) -> Rpc:
    """The gRPC edge over the same objects, with everything it can serve."""
    return Rpc(service.proxy, service.status, service._access, service.metrics, reflect=True)


@pytest.fixture
async def keyed() -> AsyncIterator[Installation]:
    """With a key."""
    config = Config(port=0, grpc_port=0, grpc_reflection=True, demo=True, apikey=Secret(KEY))
    async for each in installed(config):
        yield each


@pytest.fixture
async def keyless() -> AsyncIterator[Installation]:
    """Without a key: for this host alone."""
    async for each in installed(Config(port=0, grpc_port=0, grpc_reflection=True, demo=True)):
        yield each


@pytest.fixture
async def wary() -> AsyncIterator[Installation]:
    """With a key, and this host is not trusted."""
    config = Config(
        port=0, grpc_port=0, grpc_reflection=True, demo=True, apikey=Secret(KEY), trust_localhost=False
    )
    async for each in installed(config):
        yield each


@pytest.fixture
async def monitored() -> AsyncIterator[Installation]:
    """With a key that is good for all, and one for a monitor."""
    config = Config(
        port=0,
        grpc_port=0,
        grpc_reflection=True,
        demo=True,
        apikey=Secret(KEY),
        keys=[KeyConfig("grafana", "monitor", key=Secret(MONITORS))],
    )
    async for each in installed(config):
        yield each


@pytest.fixture
async def listed() -> AsyncIterator[Installation]:
    """Only other hosts may connect."""
    config = Config(
        port=0, grpc_port=0, grpc_reflection=True, demo=True, apikey=Secret(KEY), allowed_ips=["203.0.113.0/24"]
    )
    async for each in installed(config):
        yield each


def routes(installation: Installation) -> Iterator[tuple[str, str, Need]]:
    """Every route with what it needs, HEAD included."""
    for http_method, path, method, _ in installation.gateway.routes():
        yield http_method, path, NEEDS[method]
        if http_method == "GET":
            yield "HEAD", path, NEEDS[method]


def methods(installation: Installation) -> Iterator[tuple[str, Need]]:
    """Every RPC with what it needs."""
    for method in sorted(installation.rpc.methods):
        yield method, NEEDS[method.removeprefix("/").replace("/", ".")]


async def let_in(installation: Installation, headers: Headers) -> set[str]:
    """What answers these headers with anything but a refusal."""
    opened = {
        f"{http_method} {path}"
        for http_method, path, _ in routes(installation)
        if await installation.status_of(http_method, path, headers) not in {401, 403}
    }
    refusals = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    return opened | {
        method
        for method, _ in methods(installation)
        if await installation.code_of(method, headers) not in refusals
    }


def needing(installation: Installation, *needs: Need) -> set[str]:
    """What needs one of these."""
    return {f"{http_method} {path}" for http_method, path, need in routes(installation) if need in needs} | {
        method for method, need in methods(installation) if need in needs
    }


# What there is.


async def test_every_route_is_in_the_table(keyed: Installation):
    """`access` refuses what is not in it; here it is noticed before anybody calls."""
    assert {method for _, _, method, _ in keyed.gateway.routes()} <= set(NEEDS)


async def test_every_rpc_is_in_the_table(keyed: Installation):
    """The same for gRPC."""
    assert {method.removeprefix("/").replace("/", ".") for method in keyed.rpc.methods} <= set(NEEDS)


async def test_every_line_of_the_table_is_served(keyed: Installation):
    """A line for nothing is a trap for the next who reuses its name."""
    served = {method for _, _, method, _ in keyed.gateway.routes()}
    served |= {method.removeprefix("/").replace("/", ".") for method in keyed.rpc.methods}

    assert set(NEEDS) == served


async def test_the_router_has_no_other_routes(keyed: Installation):
    """A route that was added around `routes()` would ask nobody."""
    runner = keyed.gateway.runner()
    in_router = {
        (route.method, route.resource.canonical) for route in runner.app.router.routes() if route.resource
    }
    named = {(http_method, path.replace("{model_id:.+}", "{model_id}")) for http_method, path, _ in routes(keyed)}

    assert in_router == named
    assert len(runner.app.router.routes()) == len(named)


async def test_the_schemas_routes_are_the_routers(keyed: Installation):
    """Authors of clients read the routes in the schema's options; aliases and HTTP's own are beside them."""
    served = {
        (http_method, path.replace("{model_id:.+}", "{model_id}"))
        for http_method, path, _, _ in keyed.gateway.routes()
        if path not in OWN and path not in ALIASES
    }

    assert {(route.method, route.path) for route in ROUTES} == served


async def test_a_route_asks_for_the_rpc_of_the_schema(keyed: Installation):
    """Both edges let the same callers do the same."""
    by_route = {
        (m, path.replace("{model_id:.+}", "{model_id}")): method for m, path, method, _ in keyed.gateway.routes()
    }
    needs = {
        route.rpc: (
            NEEDS[by_route[route.method, route.path]],
            NEEDS[route.rpc.removeprefix("/").replace("/", ".")],
        )
        for route in ROUTES
    }

    assert {rpc for rpc, (over_http, over_grpc) in needs.items() if over_http is not over_grpc} == set()


async def test_an_alias_asks_for_what_it_stands_for(keyed: Installation):
    """`/healthz` must not be more open than `/health`."""
    asked = {path: method for _, path, method, _ in keyed.gateway.routes()}

    assert {alias: asked[alias] for alias in ALIASES} == {alias: asked[path] for alias, path in ALIASES.items()}


async def test_the_open_routes_are_these(keyed: Installation):
    """Whoever opens another one changes this line, too."""
    opened = {path for http_method, path, need in routes(keyed) if need is Need.NOTHING and http_method == "GET"}

    assert opened == {"/", "/health", "/api/hello", "/openapi.json", *ALIASES}


async def test_the_open_rpcs_are_these(keyed: Installation):
    """The same for gRPC."""
    assert {method for method, need in methods(keyed) if need is Need.NOTHING} == {
        "/ccproxy.v1.Status/GetInfo",
        "/ccproxy.v1.Status/GetHealth",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
    }


# Whom they let in.


@pytest.mark.parametrize("headers", WRONG, ids=str)
async def test_a_stranger_without_the_key_gets_the_open_ones(keyed: Installation, headers: Headers):
    """No key, a wrong key, a key twice: over HTTP and gRPC alike."""
    assert await let_in(keyed, [FORWARDED, *headers]) == needing(keyed, Need.NOTHING)


@pytest.mark.parametrize("headers", RIGHT, ids=str)
async def test_a_stranger_with_the_key_gets_all(keyed: Installation, headers: Headers):
    """In either header, and also where the other one is wrong."""
    everything = needing(keyed, *Need)

    assert await let_in(keyed, [FORWARDED, *headers]) == everything


@pytest.mark.parametrize("headers", WRONG, ids=str)
async def test_this_host_without_the_key_gets_details(keyed: Installation, headers: Headers):
    """The documentation's "or localhost"; what costs money needs the key here, too."""
    assert await let_in(keyed, headers) == needing(keyed, Need.NOTHING, Need.DETAILS, Need.SCHEMA)


@pytest.mark.parametrize("headers", [[], [("x-api-key", "wrong")]], ids=str)
async def test_this_host_gets_all_where_no_key_is_set(keyless: Installation, headers: Headers):
    """It runs without configuration; a client's own key is not looked at."""
    assert await let_in(keyless, headers) == needing(keyless, *Need)


@pytest.mark.parametrize("headers", [[], [("x-api-key", KEY)], [("x-api-key", "")]], ids=str)
async def test_a_stranger_gets_the_open_ones_where_no_key_is_set(keyless: Installation, headers: Headers):
    """No key opens what has none."""
    assert await let_in(keyless, [FORWARDED, *headers]) == needing(keyless, Need.NOTHING)


@pytest.mark.parametrize("headers", WRONG, ids=str)
async def test_this_host_is_a_stranger_where_it_is_not_trusted(wary: Installation, headers: Headers):
    """`trust_localhost: false`, for pods: sidecars and port-forwards come from 127.0.0.1."""
    assert await let_in(wary, headers) == needing(wary, Need.NOTHING)


async def test_the_key_counts_where_this_host_is_not_trusted(wary: Installation):
    """The way in that remains."""
    assert await let_in(wary, [("x-api-key", KEY)]) == needing(wary, *Need)


@pytest.mark.parametrize("name", ["x-api-key", "x-ccproxy-key"])
async def test_a_monitor_gets_details_and_no_more(monitored: Installation, name: str):
    """A key in a dashboard's configuration is worth no money."""
    opened = await let_in(monitored, [FORWARDED, (name, MONITORS)])

    assert opened == needing(monitored, Need.NOTHING, Need.DETAILS)


@pytest.mark.parametrize("headers", [[], [("x-api-key", KEY)], [("x-forwarded-for", "203.0.113.9")]], ids=str)
async def test_an_address_that_is_not_listed_gets_the_open_ones(listed: Installation, headers: Headers):
    """With the right key, too, and whatever a header says of the address. Probes go on."""
    assert await let_in(listed, headers) == needing(listed, Need.NOTHING)


async def test_an_address_that_is_not_listed_gets_the_word_of_health(listed: Installation):
    """Its route is open, its details are not."""
    assert (await listed.http.get("/health", headers=[("x-api-key", KEY)])).json() == {"status": "healthy"}


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "evil.example")],
        [("host", "localhost.evil.example")],
        [("origin", "http://evil.example")],
        [("sec-fetch-site", "cross-site")],
        [("via", "1.1 proxy")],
        [("x_forwarded_for", "203.0.113.9")],
    ],
    ids=str,
)
async def test_a_web_page_on_this_host_gets_the_open_ones(keyless: Installation, headers: Headers):
    """DNS rebinding and cross-site requests come from the operator's own browser."""
    opened = {
        f"{http_method} {path}"
        for http_method, path, _ in routes(keyless)
        if await keyless.status_of(http_method, path, headers) not in {401, 403}
    }

    assert opened == {
        f"{http_method} {path}" for http_method, path, need in routes(keyless) if need is Need.NOTHING
    }


# What they say.


async def test_a_refusal_is_401_where_a_key_would_help(keyed: Installation):
    """With Anthropic's type on both edges."""
    over_http = await keyed.http.get("/status", headers=[FORWARDED])

    assert (over_http.status_code, over_http.json()["error"]["type"]) == (401, "authentication_error")
    assert await keyed.code_of("/ccproxy.v1.Status/GetStatus", [FORWARDED]) is grpc.StatusCode.UNAUTHENTICATED


async def test_a_refusal_is_403_where_there_is_no_key(keyless: Installation):
    """A client that is told 401 asks its user for a key that does not exist."""
    over_http = await keyless.http.get("/status", headers=[FORWARDED])

    assert (over_http.status_code, over_http.json()["error"]["type"]) == (403, "permission_error")
    assert await keyless.code_of("/ccproxy.v1.Status/GetStatus", [FORWARDED]) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_monitor_is_told_403_on_both_edges(monitored: Installation):
    """Its key is right, so a 401 would send its operator the wrong way."""
    headers = [FORWARDED, ("x-api-key", MONITORS)]
    over_http = await monitored.http.post("/v1/messages", headers=headers)

    assert (over_http.status_code, over_http.json()["error"]["type"]) == (403, "permission_error")
    assert "scope" in over_http.json()["error"]["message"]
    assert await monitored.code_of("/ccproxy.v1.Proxy/CreateMessage", headers) is grpc.StatusCode.PERMISSION_DENIED


async def test_a_monitor_sees_the_details_of_health(monitored: Installation):
    """That is what its key is for."""
    headers = [FORWARDED, ("x-api-key", MONITORS)]

    assert "performance" in (await monitored.http.get("/health", headers=headers)).json()


RAW = [
    b"x-api-key: \xff\xfe\x80",
    b"x-api-key: " + "ключ".encode(),
    b"x-api-key: \xc3",
    b"authorization: Bearer \xff",
    b"authorization: \xff \xff",
    b"authorization: Bearer\xa0x",
    b"x-ccproxy-key: \xed\xb3\xbf",
    b"x-api-key: \xff\r\nauthorization: Bearer \xfe\r\nx-ccproxy-key: \xfd",
    b"x-api-key: " + b"\x80" * 8000,
]


@pytest.mark.parametrize("path", ["/status", "/health", "/v1/messages"])
@pytest.mark.parametrize("lines", RAW, ids=str)
async def test_bytes_that_are_no_text_are_a_wrong_key(keyed: Installation, path: str, lines: bytes):
    """`compare_digest` raises on text that is not ASCII; on the wire anything can come."""
    host = keyed.http.base_url.netloc
    reader, writer = await asyncio.open_connection(keyed.http.base_url.host, keyed.http.base_url.port)
    head = b"GET %s HTTP/1.1\r\nhost: %s\r\nvia: x\r\nconnection: close\r\n%s\r\n\r\n"
    writer.write(head % (path.encode(), host, lines))
    answer = await reader.read()
    writer.close()
    status = int(answer.split()[1])

    assert status == {"/status": 401, "/health": 200, "/v1/messages": 405}[path]
    assert b"performance" not in answer


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("x-api-key", KEY)], "apikey"),
        ([("x-api-key", "wrong"), ("x-ccproxy-key", KEY)], "apikey"),
    ],
    ids=str,
)
async def test_a_call_names_its_key(headers: Headers, expected: str, monkeypatch: pytest.MonkeyPatch):
    """For logs, on both edges; never the key."""
    assert await callers(monkeypatch, headers, apikey=Secret(KEY)) == [expected, expected]


async def test_a_call_without_a_key_is_named_local(monkeypatch: pytest.MonkeyPatch):
    """There is nobody else it could be."""
    assert await callers(monkeypatch, []) == ["local", "local"]


async def test_a_call_does_not_carry_a_key_of_ours(monkeypatch: pytest.MonkeyPatch):
    """What a provider with `auth: client` is sent comes from its headers; a key of the provider's stays there."""
    headers = [("x-api-key", KEY), ("authorization", "Bearer the-providers")]
    calls = await calls_of(monkeypatch, headers, apikey=Secret(KEY))

    assert [(call.headers.get("x-api-key"), call.headers["authorization"]) for call in calls] == [
        (None, ["Bearer the-providers"])
    ] * 2


async def callers(monkeypatch: pytest.MonkeyPatch, headers: Headers, **settings) -> list[str]:
    """Who the core is told has called, over HTTP and over gRPC."""
    return [call.caller for call in await calls_of(monkeypatch, headers, **settings)]


async def calls_of(monkeypatch: pytest.MonkeyPatch, headers: Headers, **settings) -> list[Call]:
    """The calls that reach the core, over HTTP and over gRPC."""
    seen: list[Call] = []

    async def create_message(call: Call) -> None:
        seen.append(call)
        raise ApiError(Reason.CONFLICT, "seen")

    config = Config(port=0, grpc_port=0, demo=True, **settings)
    async with running(config, {}) as service:
        monkeypatch.setattr(service.proxy, "create_message", create_message)
        url = f"http://127.0.0.1:{service.http_port}"
        async with (
            httpx.AsyncClient(base_url=url, timeout=10) as http,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel,
        ):
            await http.post("/v1/messages", json={}, headers=headers)
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/ccproxy.v1.Proxy/CreateMessage")(b"", metadata=tuple(headers))
    return seen


@pytest.mark.parametrize("path", ["/health", "/healthz", "/readyz"])
async def test_health_shows_details_to_those_who_may_see_them(keyed: Installation, path: str):
    """One word for strangers, the whole document with the key or on this host."""
    seen = [
        "performance" in (await keyed.http.get(path, headers=headers)).json()
        for headers in ([FORWARDED], [FORWARDED, ("x-api-key", "wrong")], [FORWARDED, ("x-api-key", KEY)], [])
    ]

    assert seen == [False, False, True, True]


async def test_refusals_are_counted_by_edge(keyed: Installation):
    """Somebody who guesses keys is seen in the metrics."""
    await keyed.http.get("/status", headers=[FORWARDED])
    await keyed.code_of("/ccproxy.v1.Status/GetStatus", [FORWARDED])
    exposition = (await keyed.http.get("/metrics")).text

    assert 'ccproxy_auth_failures_total{interface="http",reason="authentication_failed"} 1.0' in exposition
    assert 'ccproxy_auth_failures_total{interface="grpc",reason="authentication_failed"} 1.0' in exposition


async def test_an_unknown_path_is_not_found_for_everybody(keyed: Installation):
    """It tells a stranger nothing that the source does not."""
    assert await keyed.status_of("GET", "/nothing", [FORWARDED]) == 404


async def test_an_unknown_rpc_is_unimplemented(keyed: Installation):
    """What grpc says of what is not served."""
    assert await keyed.code_of("/ccproxy.v1.Status/Nothing", []) is grpc.StatusCode.UNIMPLEMENTED
