"""PagerDuty's address for events, on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Thread
from typing import Any

import msgspec

EVENT_SECONDS = 20.0


class PagerDuty:
    """Takes events, answers as it is told, and keeps what came."""

    def __init__(self) -> None:
        self.url = ""
        self.answers = [202]
        self.events: Queue[dict[str, Any]] = Queue()

    def event(self) -> dict[str, Any]:
        """The next one that came."""
        return self.events.get(timeout=EVENT_SECONDS)

    def silent(self) -> bool:
        """Whether nothing has come that was not looked at."""
        try:
            self.events.get(timeout=1)
        except Empty:
            return True
        return False


@contextmanager
def receiving() -> Iterator[PagerDuty]:
    """PagerDuty's address for events, on loopback."""
    pagerduty = PagerDuty()

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            pagerduty.events.put(msgspec.json.decode(body))
            answers = pagerduty.answers
            self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Take) as server:
        pagerduty.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield pagerduty
        finally:
            server.shutdown()
            thread.join()
