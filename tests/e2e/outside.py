"""The world outside, as far as these tests let a client see it: an HTTP proxy that lets nothing through."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Thread


class Outside:
    """Remembers whom clients wanted to reach: `CONNECT host:443`, or `GET http://host/path`."""

    def __init__(self) -> None:
        self.url = ""
        self._asked: list[str] = []
        self._lock = Lock()

    def note(self, line: bytes) -> None:
        """Notes the first line of a request."""
        with self._lock:
            self._asked.append(line.decode("latin-1").rpartition(" ")[0])

    def take(self) -> list[str]:
        """What was asked for since the last time."""
        with self._lock:
            asked, self._asked = self._asked, []
        return asked


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def listening() -> Iterator[Outside]:
    """Listens on loopback and refuses everything."""
    outside = Outside()

    class Refuse(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            outside.note(self.rfile.readline())
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    with _Server(("127.0.0.1", 0), Refuse) as server:
        outside.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield outside
        finally:
            server.shutdown()
            thread.join()
