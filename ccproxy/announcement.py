"""What the log says once the service is up: where it listens, and what goes where."""

import logging
from collections.abc import Sequence

from msgspec import Struct

from ccproxy import __version__
from ccproxy.config import Config
from ccproxy.routing import Line

log = logging.getLogger(__name__)


class Ports(Struct, frozen=True):
    """The ports that are really bound; 0 for what is off."""

    http: int
    grpc: int
    health: int
    metrics: int = 0


def standing(config: Config, ports: Ports, *, refused: bool) -> str:
    """How it is, in a line; `refused` where the last change of its configuration was."""
    line = f"Serves {_where(config, ports)}"
    if config.demo:
        line += "; the demo upstream answers"
    elif not config.active:
        line += "; not ready, no provider is configured"
    return f"{line}; the configuration was not loaded again" if refused else line


def _where(config: Config, ports: Ports) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    grpc_part = f", gRPC on {host}:{ports.grpc}" if ports.grpc else ", gRPC off"
    if ports.health:
        grpc_part += f", health for probes on {host}:{ports.health}"
    if ports.metrics:
        grpc_part += f", metrics on {host}:{ports.metrics}"
    scheme = "https" if config.tls.cert_file else "http"
    return f"{scheme}://{host}:{ports.http}{grpc_part}"


def announce(config: Config, ports: Ports, routes: Sequence[Line]) -> None:
    """Logs it. Where nothing real answers, the remedy is part of it."""
    log.info("CCProxy %s serves %s", __version__, _where(config, ports))
    if config.demo:
        log.warning(
            "No provider is configured: the built-in demo upstream answers. "
            "Set ANTHROPIC_API_KEY or OPENAI_API_KEY (or another provider's key), "
            "or write ~/.ccproxy/config.json, for real models."
        )
    elif not config.active:
        log.error("No provider is configured: not ready. Add one to `providers` in the configuration.")
    else:
        log.info("providers: %s", ", ".join(provider.name for provider in config.active))
        for line in routes:
            log.info("route %s: %s -> %s", line.rule, line.condition, line.target)
