"""Where things are: the state directory, the configuration, and which running service a command is about."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from msgspec import Struct

from ccproxy import daemon
from ccproxy.config import Config, ConfigError, Loaded, default_path, load, read
from ccproxy.config.certificate import fingerprint

EXIT_FAILED = 1
EXIT_NOT_RUNNING = 3
EXIT_CONFIG = 78
EXIT_ADDRESS = 98
EXIT_NOT_FOUND = 127

MAX_KEY_BYTES = 16 << 10  # as in `keys`: no header holds more


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Ends the command with one line."""
    click.echo(f"ccproxy: {message}", err=True)
    raise click.exceptions.Exit(code)


def home() -> Path:
    """The operator's home directory; a user id without a name and without HOME has none, and no file in it."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def state_folder() -> Path:
    """Where CCProxy keeps its files: `CCPROXY_HOME`, or `~/.ccproxy`."""
    own = os.environ.get("CCPROXY_HOME")
    return Path(own).expanduser().absolute() if own else home() / ".ccproxy"


def named_config(option: Path | None) -> Path | None:
    """The configuration file that the operator names, on the command line or as `CCPROXY_CONFIG`."""
    named = os.environ.get("CCPROXY_CONFIG", "").strip()
    return option or (default_path(os.environ, home()) if named else None)


def config_file(option: Path | None) -> Path:
    """The configuration file that is read, whether it is there or not."""
    return named_config(option) or state_folder() / "config.json"


def read_config(option: Path | None, *, demo: bool = False) -> Loaded:
    """The configuration, and what looks wrong in it.

    Raises:
        ConfigError: With every problem.
    """
    file = config_file(option)
    if named_config(option) is not None or file.exists():
        return read(file, os.environ, home(), demo=demo)
    # An installation with a place of its own does not read the file of another one.
    own = bool(os.environ.get("CCPROXY_HOME"))
    return read(None, os.environ, Path("/nonexistent") if own else home(), demo=demo)


def load_config(option: Path | None, *, demo: bool = False) -> Loaded:
    """The configuration; its problems end the command, one line for each."""
    try:
        return read_config(option, demo=demo)
    except ConfigError as error:
        refuse(error.problems)


def warn(loaded: Loaded) -> None:
    """Shows what looks wrong in the configuration."""
    for warning in loaded.warnings:
        click.echo(f"ccproxy: warning: {warning}", err=True)


def refuse(problems: Sequence[str]) -> NoReturn:
    """Ends the command because of the configuration."""
    for problem in problems:
        click.echo(f"ccproxy: {problem}", err=True)
    raise click.exceptions.Exit(EXIT_CONFIG)


class Place(Struct, frozen=True):
    """The service that a command is about.

    Attributes:
        state: Its files.
        info: What it says of itself, where it runs.
        config: The configuration; None where it has a mistake, and the running service does without.
    """

    state: daemon.State
    info: daemon.Info | None
    config: Config | None

    @property
    def url(self) -> str:
        """Where it is, or would be."""
        if self.info is not None:
            return self.info.url
        host = "127.0.0.1" if self.config is None else self.config.host
        scheme = "https" if self.config is not None and self.config.tls.on else "http"
        return f"{scheme}://{daemon.reachable(host)}:{self.state.port}"

    @property
    def certificate(self) -> str:
        """The SHA-256 of the certificate that it shows, or would show; empty where it speaks no TLS."""
        if self.info is not None:
            return self.info.certificate
        return fingerprint(self.config.tls) if self.config is not None and self.config.tls.on else ""

    @property
    def health_port(self) -> str:
        """`host:port` of its port for probes, or nothing."""
        if self.info is not None:
            return self.info.health
        if self.config is None or not self.config.health_port:
            return ""
        return f"{daemon.reachable(self.config.host)}:{self.config.health_port}"

    @property
    def grpc(self) -> str:
        """`host:port` of its gRPC, or nothing."""
        if self.info is not None:
            return self.info.grpc
        if self.config is None or not self.config.grpc_port:
            return ""
        return f"{daemon.reachable(self.config.host)}:{self.config.grpc_port}"


def find_service(option: Path | None, port: int | None) -> Place:
    """Finds the service: that of `port`, else of the configured one.

    Where the operator names neither, and nothing runs on the configured port, the only service in the background
    is meant: the file may have changed since it started, or have a mistake by now.
    """
    config: Config | None
    try:
        config, problems = read_config(option).config, []
    except ConfigError as error:
        config, problems = None, error.problems
    folder = state_folder()
    wanted = port or (None if config is None else config.port)
    if wanted:
        state = daemon.State(folder, wanted)
        info = found(state)
        if info is not None or port or named_config(option) or os.environ.get("CCPROXY_PORT"):
            return Place(state, info, config)
    others = [info for info in daemon.find_all(folder) if info.owner != "foreground"]
    if len(others) == 1:
        return Place(daemon.State(folder, others[0].port), others[0], config)
    if config is None:
        refuse(problems)
    return Place(daemon.State(folder, config.port), None, config)


def found(state: daemon.State) -> daemon.Info | None:
    """The running service of `state`."""
    try:
        return daemon.find(state)
    except daemon.NotProvenError as error:
        fail(str(error))


def key_of(place: Place) -> str | None:
    """The key that the service asks for, as far as it can be read here."""
    config = place.config
    if place.info is not None and place.info.config is not None:
        try:
            config = load(Path(place.info.config), os.environ, home(), demo=place.info.demo)
        except ConfigError:  # it has changed since, or was removed: the service runs without
            config = place.config
    return None if config is None else caller_key(config)


def caller_key(config: Config) -> str | None:
    """A key that is good for everything, if the configuration holds one that is more than a digest."""
    if config.apikey is not None:
        return config.apikey.reveal()
    files = [config.apikey_file]
    for each in config.keys:
        if each.scope == "all" and each.key is not None:
            return each.key.reveal()
        if each.scope == "all":
            files.append(each.key_file)
    for file in filter(None, files):
        try:
            with Path(file).open("rb") as lines:
                return lines.readline(MAX_KEY_BYTES).strip().decode("utf-8", "surrogateescape")
        except OSError:  # the service may read what this user may not
            continue
    return None
