"""HTTP: one checked request, many with h2load, and one after the other for latency."""

import http.client
import re
import shutil
import subprocess
from pathlib import Path
from time import perf_counter

import bodies
import msgspec
from bodies import Kind
from processes import KEY, BrokenError

CONNECTIONS = 32
H2LOAD_SECONDS = 300

HEADERS = {
    "content-type": "application/json",
    "accept": "application/json",
    "x-api-key": KEY,
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "fine-grained-tool-streaming-2025-05-14",
}

_STATUS = re.compile(r"^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx$", re.MULTILINE)
_DATA = re.compile(r"^traffic: .*\((\d+)\) data$", re.MULTILINE)


class Route:
    """A way to the upstream: where to send a request, and the model to ask for."""

    def __init__(self, port: int, path: str = "/v1/messages", model: str = bodies.ANTHROPIC_MODEL) -> None:
        self.port = port
        self.path = path
        self.model = model

    def request(self, kind: Kind) -> bytes:
        """The body to send."""
        return bodies.request(kind, self.model)


def h2load_binary() -> str | None:
    """Where h2load is."""
    return shutil.which("h2load")


def probe(route: Route, kind: Kind) -> bytes:
    """One answer, found whole and saying what the upstream said."""
    answer = _once(http.client.HTTPConnection("127.0.0.1", route.port, timeout=60), route, route.request(kind))
    if kind in {"burst", "paced"}:
        frames = [frame.partition(b"data: ")[2] for frame in answer.split(b"\n\n") if frame]
        events = [msgspec.json.decode(frame) for frame in frames]
        said = "".join(event["delta"].get("text", "") for event in events if "delta" in event)
        whole = events[-1] == {"type": "message_stop"} and said == bodies.text()
    else:
        whole = msgspec.json.decode(answer)["content"] == msgspec.json.decode(bodies.anthropic_answer())["content"]
    if not whole:
        raise BrokenError(f"{route.path} {route.model} {kind}: not the upstream's answer: {answer[:500]!r}")
    return answer


def load(route: Route, kind: Kind, count: int, answer_bytes: int, folder: Path) -> None:
    """Sends `count` requests over keep-alive connections; each must be answered with `answer_bytes`."""
    body = folder / f"{kind}.json"
    body.write_bytes(route.request(kind))
    headers = [part for name, value in HEADERS.items() for part in ("-H", f"{name}: {value}")]
    command = [
        *("h2load", "--h1", "-t", "1", "-n", str(count), "-c", str(min(CONNECTIONS, count)), "-d", str(body)),
        *headers,
        f"http://127.0.0.1:{route.port}{route.path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=H2LOAD_SECONDS, check=False)
    status, data = _STATUS.search(done.stdout), _DATA.search(done.stdout)
    if done.returncode or status is None or data is None:
        raise BrokenError(f"h2load: {done.stdout[-2000:]} {done.stderr[-500:]}")
    if int(status[1]) != count or int(data[1]) != count * answer_bytes:
        raise BrokenError(f"{route.model} {kind}: {count} x {answer_bytes} bytes expected: {done.stdout[-2000:]}")


def latencies(routes: list[Route], kind: Kind, count: int) -> list[list[float]]:
    """Seconds of each of `count` requests on each route: one connection each, one request at a time, in turn."""
    connections = [http.client.HTTPConnection("127.0.0.1", route.port, timeout=60) for route in routes]
    requests = [route.request(kind) for route in routes]
    seconds: list[list[float]] = [[] for _ in routes]
    for _ in range(count):
        for connection, route, body, taken in zip(connections, routes, requests, seconds, strict=True):
            before = perf_counter()
            _once(connection, route, body)
            taken.append(perf_counter() - before)
    for connection in connections:
        connection.close()
    return seconds


def _once(connection: http.client.HTTPConnection, route: Route, body: bytes) -> bytes:
    connection.request("POST", route.path, body, HEADERS)
    response = connection.getresponse()
    answer = response.read()
    if response.status != http.HTTPStatus.OK:
        raise BrokenError(f"{route.path} {route.model}: HTTP {response.status}: {answer[:500]!r}")
    return answer
