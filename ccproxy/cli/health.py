"""`health`: for containers and scripts. Their orchestrator calls it every few seconds, so it imports little."""

import ssl
from pathlib import Path

import click
import msgspec

from ccproxy.cli import ask
from ccproxy.cli.options import config_option, example, port_option, seconds
from ccproxy.cli.place import EXIT_FAILED, fail, find_service

SECONDS = 3.0
OK = 200
PEM = click.Path(exists=True, dir_okay=False)


class _Health(msgspec.Struct, frozen=True):
    status: str


@click.command(
    epilog=example(
        "ccproxy health",
        "ccproxy health --ready",
        "ccproxy health --grpc --service readiness",
        "ccproxy health --addr gateway.example:3456 --tls",
        "ccproxy health --addr 10.0.0.7:3456 --ca ca.crt --server-name gateway.example",
    )
)
@config_option
@port_option
@click.option("--ready", is_flag=True, help="Ask whether calls are welcome, however the providers are.")
@click.option("--grpc", is_flag=True, help="Ask over gRPC (grpc.health.v1).")
@click.option("--service", default="", metavar="NAME", help="What to ask about over gRPC, such as readiness.")
@click.option("--addr", metavar="HOST:PORT", help="Ask there; else the running or configured service.")
@click.option("--tls", is_flag=True, help="Speak TLS with --addr; so do the options below.")
@click.option("--ca", type=PEM, metavar="FILE", help="Who vouches for its certificate; else the system's.")
@click.option(
    "--server-name", metavar="NAME", default="", help="What its certificate names; else the host of --addr."
)
@click.option("--cert", type=PEM, metavar="FILE", help="A certificate to show it.")
@click.option("--key", type=PEM, metavar="FILE", help="The key of --cert, if it is not in that file.")
@click.option("-t", "--timeout", type=seconds, default=SECONDS, show_default=True, help="How long it may take.")
def health(  # noqa: PLR0913  # one for each option
    file: Path | None,
    port: int | None,
    *,
    ready: bool,
    grpc: bool,
    service: str,
    addr: str | None,
    tls: bool,
    ca: str | None,
    server_name: str,
    cert: str | None,
    key: str | None,
    timeout: float,
) -> None:
    """Tell by the exit code whether the service is healthy.

    0: healthy or degraded (with --ready: ready; SERVING over gRPC). 1: anything else. The word is printed.
    """
    grpc = grpc or bool(service)
    if ready and grpc:
        raise click.UsageError("--ready asks over HTTP; over gRPC, ask about --service readiness")
    scheme = "http"
    certificate: str | ask.Vouched = ""
    if tls or ca or server_name or cert or key:
        scheme, certificate = "https", _vouched(addr, ask.Vouched(ca or "", server_name, cert or "", key or ""))
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


def _vouched(addr: str | None, vouched: ask.Vouched) -> ask.Vouched:
    """How an address is known, if that can be."""
    if addr is None:
        raise click.UsageError(
            "--tls, --ca, --server-name, --cert and --key are for --addr: without it, the running "
            "or configured service is known by its own certificate"
        )
    if vouched.key and not vouched.certificate:
        raise click.UsageError("--key is the key of --cert")
    try:
        vouched.context()
    except OSError as error:
        raise click.BadParameter(
            f"cannot be used: {error.strerror or error}", param_hint="--ca, --cert, --key"
        ) from error
    return vouched


def _over_http(url: str, seconds: float, certificate: str | ask.Vouched, *, ready: bool) -> tuple[str, bool]:
    try:
        answer = ask.get(url, "/health", seconds=seconds, certificate=certificate)
        word = msgspec.json.decode(answer.body, type=_Health).status
    except ask.UnknownClientError as error:
        fail(f"{url}: {error}; or set health_port and ask with --grpc")
    except ssl.SSLCertVerificationError as error:
        fail(f"{url}: {error.verify_message}")
    except OSError:
        return "unreachable", False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "unknown", False
    if ready:  # the code speaks of the service, the word of the providers, too
        return ("ready", True) if answer.status == OK else ("not ready", False)
    return ask.printable(word), answer.status == OK and word in {"healthy", "degraded"}


def _over_grpc(addr: str, service: str, seconds: float, certificate: str | ask.Vouched) -> tuple[str, bool]:
    from ccproxy.cli import health_grpc  # noqa: PLC0415  # a third of a second of imports

    word = health_grpc.check(addr, service, seconds, certificate)
    return word, word == "SERVING"
