"""A name server as Kubernetes has one for headless Services: one name, several addresses."""

import socket
import socketserver
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread

HEADER = struct.Struct("!6H")
ADDRESS = 1  # the type A
ANSWER = 0x8580  # a response, authoritative, without an error


@contextmanager
def serving(addresses: Sequence[str]) -> Iterator[str]:
    """Answers every question for an address with all of `addresses`, and others with none; its own address."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            query, server = self.request
            server.sendto(answer(query, addresses), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def answer(query: bytes, addresses: Sequence[str]) -> bytes:
    """The answer to a query with one question (RFC 1035, section 4.1)."""
    end = query.index(b"\0", HEADER.size) + 5  # the name's end, the type and the class
    question = query[HEADER.size : end]
    (kind,) = struct.unpack("!H", question[-4:-2])
    found = addresses if kind == ADDRESS else ()
    (number,) = struct.unpack_from("!H", query)
    records = [
        struct.pack("!HHHIH", 0xC000 | HEADER.size, ADDRESS, 1, 5, 4) + socket.inet_aton(address)
        for address in found
    ]
    return HEADER.pack(number, ANSWER, 1, len(records), 0, 0) + question + b"".join(records)
