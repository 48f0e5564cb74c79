"""Requests that are made to cost more than they weigh: 32 MiB each, over both edges, as large as a request may be.

The bounds are those of the design: the loop stands still for 250 ms at most, and 200 MB of memory at most are
taken beside what is there. Time is the processor's, so that a busy machine does not fail the test.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import msgspec
import pytest
from ccproxy_pb.v1.content_pb2 import Content, InputMessage
from ccproxy_pb.v1.proxy_pb2 import CreateMessageRequest

MIB = 1 << 20
SIZE = 32 * MIB
MAX_STALL_SECONDS = 0.25
MAX_BYTES = 200_000_000
HEAD = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"hi"}],'
TEXT = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"'

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


class Bombed:
    """The measured process and its two ports."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.ports = self._line()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.ports['http']}", timeout=60)
        options = [("grpc.max_send_message_length", 2 * SIZE)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.ports['grpc']}", options=options)

    def start(self) -> None:
        """Measures anew."""
        self._tell()
        self._line()

    def measured(self) -> dict[str, float]:
        """What was measured since."""
        self._tell()
        return self._line()

    def _tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline())


@pytest.fixture(scope="module")
def bombed() -> Iterator[Bombed]:
    """A service that measures itself."""
    command = [sys.executable, str(Path(__file__).with_name("measured.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        it = Bombed(process)
        yield it
        it.http.close()
        it.channel.close()
        process.kill()


def filled(start: bytes, unit: bytes, end: bytes, between: bytes = b"") -> bytes:
    """A document of SIZE bytes, about."""
    count = (SIZE - len(start) - len(end)) // (len(unit) + len(between))
    return start + between.join([unit] * count) + end


def members(start: bytes, end: bytes) -> bytes:
    """A document of millions of names."""
    return start + b",".join(b'"%x":1' % number for number in range(SIZE // 12)) + end


BOMBS = {
    "one long string": lambda: filled(TEXT, b"x", b'"}]}'),
    "escapes": lambda: filled(TEXT, b"\\u0041", b'"}]}'),
    "arrays": lambda: filled(HEAD + b'"x":[', b"[]", b"]}", b","),
    "objects": lambda: filled(HEAD + b'"x":[', b"{}", b"]}", b","),
    "names": lambda: members(HEAD + b'"x":{', b"}}"),
    "names at the top": lambda: members(HEAD, b"}"),
    "numbers at the edge of floats": lambda: filled(HEAD + b'"x":[', b"4.9e-324", b"]}", b","),
    "depth": lambda: HEAD + b'"x":' + b"[" * (SIZE // 2 - 50) + b"]" * (SIZE // 2 - 50) + b"}",
    "digits": lambda: filled(HEAD + b'"x":', b"9", b"}"),
    "short strings": lambda: filled(HEAD + b'"x":[', b'"a"', b"]}", b","),
    "blanks": lambda: filled(HEAD, b" ", b'"x":1}'),
    "a table": lambda: filled(TEXT, b'12,3.5,a name,\\"b\\",', b'"}]}'),
    "quotes behind a table": lambda: filled(HEAD + b'"y":"' + b"," * MIB + b'","x":[', b'""', b"]}"),
    "backslashes in a table": lambda: filled(TEXT + b"," * MIB, b"\\\\\\\\", b'"}]}'),
    "turns": lambda: filled(HEAD[:-2] + b",", b'{"role":"user","content":"a"}', b"]}", b","),
}
HARMLESS = {"one long string", "escapes", "digits", "blanks", "a table", "backslashes in a table"}
"""What is large and no bomb: it goes on to the provider, whom nobody can reach here."""


@pytest.mark.parametrize("kind", BOMBS)
def test_a_json_bomb_stalls_nobody(bombed: Bombed, kind: str):
    """It is refused as the caller's mistake, soon, and the next caller is served."""
    body = BOMBS[kind]()
    assert SIZE * 0.7 < len(body) <= SIZE
    bombed.start()
    response = bombed.http.post("/v1/messages", content=body, headers={"content-type": "application/json"})
    measured = bombed.measured()

    assert response.status_code == (502 if kind in HARMLESS else 400)
    assert measured["stall"] <= MAX_STALL_SECONDS
    assert measured["memory"] <= MAX_BYTES
    assert bombed.http.get("/").status_code == 200


def extra(start: str, unit: str, end: str, between: str = ",") -> bytes:
    """A message with JSON text that the schema does not know."""
    count = (SIZE - MIB) // (len(unit) + len(between))
    text = start + between.join([unit] * count) + end
    return CreateMessageRequest(model="claude-x", max_tokens=9, extra_json=text).SerializeToString()


def turn(text: str) -> CreateMessageRequest:
    """A request with one turn."""
    message = InputMessage(role="user", content=Content(text=text))
    return CreateMessageRequest(model="claude-x", max_tokens=9, messages=[message])


MESSAGES = {
    "one long string": lambda: turn("x" * (SIZE - MIB)).SerializeToString(),
    "turns of two bytes": lambda: turn("a").SerializeToString() + b"\x12\x00" * (SIZE // 2 - MIB),
    "tools of two bytes": lambda: turn("a").SerializeToString() + b"\x2a\x00" * (SIZE // 2 - MIB),
    "arrays": lambda: extra('{"x":[', "[]", "]}"),
    "objects": lambda: extra('{"x":[', "{}", "]}"),
    "numbers": lambda: extra('{"x":[', "1e308", "]}"),
    "short strings": lambda: extra('{"x":[', '"a"', "]}"),
    "a table": lambda: extra('{"x":"', "12,3.5,a name", '"}'),
    "depth": lambda: extra('{"x":', "[", "]}", ""),
    "digits": lambda: extra('{"x":', "9", "}", ""),
}
SENT_ON = {"one long string", "a table", "digits"}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_that_is_a_bomb_stalls_nobody(bombed: Bombed, kind: str):
    """Two bytes on the wire can be seventy in memory, and JSON text stands in messages, too."""
    data = MESSAGES[kind]()
    create = bombed.channel.unary_unary("/ccproxy.v1.Proxy/CreateMessage")
    bombed.start()
    with pytest.raises(grpc.RpcError) as caught:
        create(data, timeout=60)
    measured = bombed.measured()

    refused = grpc.StatusCode.UNAVAILABLE if kind in SENT_ON else grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.code() is refused
    assert measured["stall"] <= MAX_STALL_SECONDS
    assert measured["memory"] <= MAX_BYTES
