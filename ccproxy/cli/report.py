"""`status`, `models`: what the running service says."""

from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
from msgspec import Raw, Struct

from ccproxy.cli import ask
from ccproxy.cli.options import config_option, example, json_option, port_option
from ccproxy.cli.place import EXIT_NOT_RUNNING, Place, fail, find_service, key_of

OK = 200

T = TypeVar("T")


class _Providers(Struct, frozen=True):
    count: int = 0
    active: list[str] = []


class _Status(Struct, frozen=True):
    version: str
    status: str
    uptime: str
    pid: int
    providers: _Providers = _Providers()
    demo: bool = False


class _Requests(Struct, frozen=True):
    total: int
    success: int
    failed: int


class _Latency(Struct, frozen=True):
    avg_ms: int
    p50_ms: int
    p95_ms: int
    p99_ms: int


class _Performance(Struct, frozen=True):
    memory_mb: float
    requests: _Requests
    latency: _Latency


class _Health(Struct, frozen=True):
    status: str
    performance: _Performance | None = None


class _Model(Struct, frozen=True):
    id: str


class _Models(Struct, frozen=True):
    data: list[_Model]


class _Message(Struct, frozen=True):
    message: str


class _Error(Struct, frozen=True):
    error: _Message


@click.command(epilog=example("ccproxy status", "ccproxy status --json"))
@config_option
@port_option
@json_option
def status(file: Path | None, port: int | None, *, as_json: bool) -> None:
    """Show how the service is doing. The exit code is 3 where it does not run."""
    place = find_service(file, port)
    key = key_of(place)
    try:
        health = ask.get(place.url, "/health", key, certificate=place.certificate)
        facts = ask.get(place.url, "/status", key, certificate=place.certificate)
        word = _decoded(health.body, _Health)
    except ConnectionRefusedError:
        _not_running(place, as_json=as_json)
    except OSError as error:
        fail(f"{place.url} does not answer: {error.strerror or error}")
    if word is None:
        fail(f"something else than CCProxy answers on {place.url}", EXIT_NOT_RUNNING)
    if as_json:
        _print_json(place, Raw(health.body), Raw(facts.body) if facts.status == OK else None)
        return
    known = _decoded(facts.body, _Status) if facts.status == OK else None
    for name, text in _table(place, word, known):
        click.echo(f"{name:<10} {ask.printable(text)}")


@click.command(epilog=example("ccproxy models", "ccproxy models --json"))
@config_option
@port_option
@json_option
def models(file: Path | None, port: int | None, *, as_json: bool) -> None:
    """List the models that can be asked for. The exit code is 3 where the service does not run."""
    place = find_service(file, port)
    try:
        answer = ask.get(
            place.url, "/v1/models?limit=1000", key_of(place), seconds=30.0, certificate=place.certificate
        )
    except ConnectionRefusedError:
        fail(f"CCProxy is not running on {place.url}; start it with: ccproxy start", EXIT_NOT_RUNNING)
    except OSError as error:
        fail(f"{place.url} does not answer: {error.strerror or error}")
    if answer.status != OK:
        error_ = _decoded(answer.body, _Error)
        fail(f"{place.url} refuses: {ask.printable(error_.error.message) if error_ else answer.status}")
    if as_json:
        click.echo(answer.body)
        return
    page = _decoded(answer.body, _Models)
    if page is None:
        fail(f"something else than CCProxy answers on {place.url}", EXIT_NOT_RUNNING)
    for model in page.data:
        click.echo(ask.printable(model.id))


def _decoded(body: bytes, type_: type[T]) -> T | None:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _not_running(place: Place, *, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(msgspec.json.encode({"running": False, "url": place.url}))
    else:
        click.echo(f"CCProxy is not running on {place.url}; start it with: ccproxy start")
    raise click.exceptions.Exit(EXIT_NOT_RUNNING)


def _print_json(place: Place, health: Raw, facts: Raw | None) -> None:
    document: dict[str, Any] = {"running": True, "url": place.url, "grpc": place.grpc or None}
    info = place.info
    document |= {
        "pid": info and info.pid,
        "owner": info and info.owner,
        "config": info and info.config,
        "log": info and info.log,
        "health": health,
        "status": facts,
    }
    click.echo(msgspec.json.encode(document))


def _table(place: Place, health: _Health, facts: _Status | None) -> list[tuple[str, str]]:
    rows = [("state", health.status)]
    if facts is not None:
        rows = [
            ("state", f"{facts.status}, {health.status}"),
            ("version", facts.version),
            ("uptime", facts.uptime),
        ]
    rows.append(("HTTP", place.url))
    if place.grpc:
        rows.append(("gRPC", place.grpc))
    if facts is not None:
        names = ", ".join(facts.providers.active) or "none"
        rows.append(("providers", f"{names} (the demo upstream)" if facts.demo else names))
        rows.append(("process", str(facts.pid)))
    if place.info is not None:
        rows.append(
            ("started by", {"start": "ccproxy start", "code": "ccproxy code"}.get(place.info.owner, "hand"))
        )
        rows.append(("config", place.info.config or "the default one"))
        rows.append(("log", place.info.log or "standard error"))
    performance = health.performance
    if performance is None:
        rows.append(("details", "are for callers with the key"))
        return rows
    requests, latency = performance.requests, performance.latency
    rows.append(("requests", f"{requests.total}: {requests.success} succeeded, {requests.failed} failed"))
    half, most, all_but_one = latency.p50_ms, latency.p95_ms, latency.p99_ms
    parts = f"half within {half} ms, 95 % within {most} ms, 99 % within {all_but_one} ms (last five minutes)"
    rows.append(("latency", f"{latency.avg_ms} ms on average; {parts}"))
    rows.append(("memory", f"{performance.memory_mb:g} MiB"))
    return rows
