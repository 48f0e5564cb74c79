"""DNS rebinding: a web page makes its own name resolve to 127.0.0.1 and asks this host's service from the browser.

The scenario is that of the Model Context Protocol's conformance suite, `dns-rebinding-protection`: a foreign Host
is refused, a local one accepted. A service with a deliberately naive rule must fail the same table, or the table
would prove nothing.

Source: https://github.com/modelcontextprotocol/conformance (read 2026-11-22)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from ccproxy.access import LOCAL, Access, Caller
from ccproxy.app import Service
from ccproxy.config import Config
from ccproxy.errors import ApiError, Reason

BODY = msgspec.json.encode(
    {"model": "claude-opus-5", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]}
)

OWN = ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "localhost", "LOCALHOST:{port}"]
FOREIGN = [
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost:{port}.evil.example",
    "evil.example#localhost:{port}",
    "localhost@evil.example",
    "0.0.0.0:{port}",
    "127.0.0.2:{port}",
    "localhost:1",
    "localhost.:{port}",
    "2130706433:{port}",
    "",
]
PAGES = [
    "origin: http://evil.example",
    "origin: null",
    "sec-fetch-site: cross-site",
    "sec-fetch-site: same-site",
    "x-forwarded-host: localhost:{port}",
    "x-forwarded-for: 127.0.0.1",
    "forwarded: for=127.0.0.1;host=localhost",
]

REFUSED = (403, 403, False)
SERVED = (200, 200, True)


class Naive(Access):
    """What many services do: they believe the peer's address."""

    def check(self, method: str, caller: Caller) -> str:
        if not self.sees_details(caller):
            raise ApiError(Reason.PERMISSION_DENIED, f"{method} is for this host")
        return LOCAL

    def sees_details(self, caller: Caller) -> bool:
        return caller.peer == "127.0.0.1"


@dataclass(frozen=True)
class Row:
    """A request's Host and one more header, with `{port}` for ours; and whether it is this host's own."""

    host: str
    header: str
    own: bool

    def __str__(self) -> str:
        return f"{self.host} {self.header}"


TABLE = [
    *(Row(host, "accept: */*", own=True) for host in OWN),
    *(Row(host, "accept: */*", own=False) for host in FOREIGN),
    *(Row("localhost:{port}", page, own=False) for page in PAGES),
]


@asynccontextmanager
async def serving(access: type[Access]) -> AsyncIterator[int]:
    """A service on loopback without a key, with these rules; its port."""
    config = Config(port=0, grpc_port=0, demo=True)
    async with AsyncExitStack() as stack:
        service = Service(config, {})
        service._access = access(config)
        await service.start(stack)
        yield service.http_port


async def answer(port: int, request: str, row: Row, body: bytes = b"") -> tuple[int, bytes]:
    """The status and body of a request, written as it stands: no client would send some of these Hosts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [
        f"{request} HTTP/1.1",
        f"host: {row.host}",
        row.header,
        "connection: close",
        "content-type: application/json",
    ]
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).replace("{port}", str(port))
    writer.write(head.encode() + body)
    text = await reader.read()
    writer.close()
    return int(text.split()[1]), text.partition(b"\r\n\r\n")[2]


async def seen(port: int, row: Row) -> tuple[int, int, bool]:
    """What a request gets: the status of `/v1/messages` and of `/status`, and whether health tells details."""
    messages, _ = await answer(port, "POST /v1/messages", row, BODY)
    status, _ = await answer(port, "GET /status", row)
    _, health = await answer(port, "GET /health", row)
    return messages, status, b"performance" in health


async def mistakes(port: int) -> list[Row]:
    """The rows that are not answered as they should be."""
    return [row for row in TABLE if await seen(port, row) != (SERVED if row.own else REFUSED)]


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_only_this_hosts_own_name_is_served(row: Row):
    """A page in the operator's browser must not spend the operator's money, nor read about the installation."""
    async with serving(Access) as port:
        assert await seen(port, row) == (SERVED if row.own else REFUSED)


async def test_the_table_finds_a_naive_rule():
    """The control: a rule that looks at the peer alone fails in every foreign row."""
    async with serving(Naive) as port:
        wrong = await mistakes(port)

    assert wrong == [row for row in TABLE if not row.own]


@pytest.mark.parametrize("row", [Row("evil.example", "accept: */*", own=False)], ids=str)
@pytest.mark.parametrize("path", ["/", "/health"])
async def test_the_open_routes_stay_open(path: str, row: Row):
    """They say nothing that a page could use, and probes call this host by names of their own."""
    async with serving(Access) as port:
        status, _ = await answer(port, f"GET {path}", row)

    assert status == 200


async def test_no_answer_lets_a_page_read_it():
    """Without a CORS header the browser keeps even the open answers from the page."""
    async with serving(Access) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"OPTIONS /v1/messages HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\n"
            b"access-control-request-method: POST\r\nconnection: close\r\n\r\n"
        )
        text = await reader.read()
        writer.close()

    assert b"405" in text.partition(b"\r\n")[0]
    assert b"access-control" not in text.lower()


async def test_an_absolute_target_is_refused():
    """`GET http://localhost/` with a foreign Host: two names, of which only proxies write the first."""
    async with serving(Access) as port:
        row = Row("evil.example", "accept: */*", own=False)
        status, _ = await answer(port, f"GET http://localhost:{port}/status", row)

    assert status == 403
