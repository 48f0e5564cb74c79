"""`health`: for containers and scripts. Their orchestrator calls it every few seconds, so it imports little."""

from pathlib import Path

import click
import msgspec

from ccproxy.cli import ask
from ccproxy.cli.options import config_option, example, port_option, seconds
from ccproxy.cli.place import EXIT_FAILED, fail, find_service

SECONDS = 3.0
OK = 200


class _Health(msgspec.Struct, frozen=True):
    status: str


@click.command(
    epilog=example(
        "ccproxy health",
        "ccproxy health --ready",
        "ccproxy health --addr 127.0.0.1:3456",
        "ccproxy health --grpc --service readiness",
    )
)
@config_option
@port_option
@click.option("--ready", is_flag=True, help="Ask whether calls are welcome, however the providers are.")
@click.option("--grpc", is_flag=True, help="Ask over gRPC (grpc.health.v1).")
@click.option("--service", default="", metavar="NAME", help="What to ask about over gRPC, such as readiness.")
@click.option("--addr", metavar="HOST:PORT", help="Ask there; else the running or configured service.")
@click.option("-t", "--timeout", type=seconds, default=SECONDS, show_default=True, help="How long it may take.")
def health(
    file: Path | None,
    port: int | None,
    *,
    ready: bool,
    grpc: bool,
    service: str,
    addr: str | None,
    timeout: float,
) -> None:
    """Tell by the exit code whether the service is healthy.

    0: healthy or degraded (with --ready: ready; SERVING over gRPC). 1: anything else. The word is printed.
    """
    grpc = grpc or bool(service)
    if ready and grpc:
        raise click.UsageError("--ready asks over HTTP; over gRPC, ask about --service readiness")
    scheme, certificate = "http", ""
    if addr is None:
        place = find_service(file, port)
        scheme, _, addr = place.url.partition("://")
        certificate = place.certificate
        if grpc:
            addr = place.health_port or place.grpc
            certificate = "" if place.health_port else certificate
    host, colon, digits = addr.rpartition(":")
    if not (colon and host and digits.isdecimal()):
        raise click.BadParameter("expected HOST:PORT" if addr else "gRPC is switched off", param_hint="--addr")
    if grpc:
        word, good = _over_grpc(addr, service, timeout, certificate)
    else:
        word, good = _over_http(f"{scheme}://{addr}", timeout, certificate, ready=ready)
    click.echo(word)
    if not good:
        raise click.exceptions.Exit(EXIT_FAILED)


def _over_http(url: str, seconds: float, certificate: str, *, ready: bool) -> tuple[str, bool]:
    try:
        answer = ask.get(url, "/health", seconds=seconds, certificate=certificate)
        word = msgspec.json.decode(answer.body, type=_Health).status
    except ask.UnknownClientError as error:
        fail(f"{url}: {error}; or set health_port and ask with --grpc")
    except OSError:
        return "unreachable", False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "unknown", False
    if ready:  # the code speaks of the service, the word of the providers, too
        return ("ready", True) if answer.status == OK else ("not ready", False)
    return ask.printable(word), answer.status == OK and word in {"healthy", "degraded"}


def _over_grpc(addr: str, service: str, seconds: float, certificate: str) -> tuple[str, bool]:
    from ccproxy.cli import health_grpc  # noqa: PLC0415  # a third of a second of imports

    word = health_grpc.check(addr, service, seconds, certificate)
    return word, word == "SERVING"
