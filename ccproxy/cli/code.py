"""`code`, `env`: Claude Code and other clients, pointed at CCProxy by their environment alone.

No file of Claude Code is touched. Source for the variables: https://code.claude.com/docs/en/llm-gateway.
"""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import click
import msgspec
from msgspec import Struct

from ccproxy import daemon
from ccproxy.cli.options import config_option, example, port_option
from ccproxy.cli.place import (
    EXIT_CONFIG,
    EXIT_NOT_FOUND,
    caller_key,
    fail,
    find_service,
    key_of,
    load_config,
    named_config,
    state_folder,
)
from ccproxy.cli.service import START_SECONDS, start_in_background
from ccproxy.config import Config

PLACEHOLDER = "ccproxy"  # without any token, Claude Code asks for a login
API_TIMEOUT_MS = "600000"  # ten minutes: what the service gives a whole answer
LOCAL = ("127.0.0.1", "localhost")
OTHER_CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
LEAVE_SECONDS = 5.0  # an idle service ends at once; one with running calls ends by itself, and nobody waits for it
KEY_HEADER = "x-ccproxy-key"
TRUST = "NODE_EXTRA_CA_CERTS"  # beside what is trusted anyway; a certificate that names its own issuer is enough


class Environment(Struct, frozen=True):
    """How a client's environment differs from this one. The names in `secret` hold the operator's key."""

    values: dict[str, str]
    removed: tuple[str, ...]
    secret: tuple[str, ...] = ()


class PassThrough(click.Command):
    """A command without options of its own: every argument is somebody else's, `--help` and `--` too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Takes all of them as they are."""
        ctx.params["arguments"] = tuple(args)
        return []


@click.command(cls=PassThrough, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def code(ctx: click.Context, arguments: Sequence[str]) -> None:
    """Run Claude Code through CCProxy; every argument is Claude Code's.

    The service is started where it does not run, and ends with the last Claude Code that uses it.
    """
    program = os.environ.get("CLAUDE_PATH") or "claude"
    claude = shutil.which(program)
    if claude is None:
        fail(
            f"{program} is not installed: npm install -g @anthropic-ai/claude-code, or set CLAUDE_PATH",
            EXIT_NOT_FOUND,
        )
    config = load_config(None).config
    key = _needed_key(config)
    with daemon.using(daemon.State(state_folder(), config.port), LEAVE_SECONDS):
        info, new = start_in_background(
            config, named_config(None), demo=False, seconds=START_SECONDS, owner="code"
        )
        if new:
            click.echo(f"ccproxy: serves {info.url} for Claude Code; log: {info.log}", err=True)
        changes = client_environment(config, info.url, key, os.environ)
        environ = {**os.environ, **changes.values}
        for name in changes.removed:
            environ.pop(name, None)
        result = _run([claude, *arguments], environ)
    ctx.exit(result)


@click.command(
    epilog=example('eval "$(ccproxy env)"', "ccproxy env --shell fish | source", "ccproxy env --shell json")
)
@config_option
@port_option
@click.option("--shell", type=click.Choice(["sh", "fish", "json"]), default="sh", show_default=True)
@click.option("--reveal", is_flag=True, help="Print CCProxy's key, too, where one is configured.")
def env(file: Path | None, port: int | None, *, shell: str, reveal: bool) -> None:
    """Print what a shell needs, so that Claude Code and Anthropic's SDKs use CCProxy."""
    place = find_service(file, port)
    config = place.config or load_config(file).config
    changes = client_environment(config, place.url, key_of(place), os.environ)
    hidden = () if reveal else changes.secret
    shown = {name: value for name, value in changes.values.items() if name not in hidden}
    if shell == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2))
    for line in [] if shell == "json" else _exports(shell, shown, changes.removed):
        click.echo(line)
    for name in hidden:
        click.echo(f"ccproxy: {name} would hold the key; --reveal prints it", err=True)


def client_environment(config: Config, url: str, key: str | None, environ: Mapping[str, str]) -> Environment:
    """What a client of the service at `url` needs.

    Where a provider gets the caller's own key or login (`auth: client`), those stay, and CCProxy's key has a
    header of its own. Else a key in the environment is the provider's, and not for CCProxy.
    """
    values = {"ANTHROPIC_BASE_URL": url, "API_TIMEOUT_MS": API_TIMEOUT_MS, **_no_proxy(environ)}
    if config.tls.on and not environ.get(TRUST):
        values[TRUST] = config.tls.cert_file
    if all(provider.auth != "client" for provider in config.active):
        values["ANTHROPIC_AUTH_TOKEN"] = key or PLACEHOLDER
        secret = ("ANTHROPIC_AUTH_TOKEN",) if key else ()
        return Environment(values, ("ANTHROPIC_API_KEY", *OTHER_CLOUDS), secret)
    if key is None:
        return Environment(values, OTHER_CLOUDS)
    others = [
        line
        for line in environ.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines()
        if line.partition(":")[0].strip().lower() != KEY_HEADER
    ]
    values["ANTHROPIC_CUSTOM_HEADERS"] = "\n".join([*others, f"{KEY_HEADER}: {key}"])
    return Environment(values, OTHER_CLOUDS, ("ANTHROPIC_CUSTOM_HEADERS",))


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """The hosts that are reached without the machine's HTTP proxy, this one among them, in both spellings."""
    text = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    hosts = [host for part in text.split(",") if (host := part.strip())]
    hosts += [host for host in LOCAL if host not in hosts]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(hosts))


def _needed_key(config: Config) -> str | None:
    """CCProxy's key, which Claude Code will have to show."""
    key = caller_key(config)
    if key is None and config.has_key:
        fail("CCProxy's key cannot be read from its configuration: set CCPROXY_API_KEY to it", EXIT_CONFIG)
    return key


def _exports(shell: str, values: Mapping[str, str], removed: Sequence[str]) -> list[str]:
    if shell == "fish":
        return [
            *(f"set -gx {name} {_fish(value)}" for name, value in values.items()),
            *(f"set -e {name}" for name in removed),
        ]
    return [
        *(f"export {name}={shlex.quote(value)}" for name, value in values.items()),
        f"unset {' '.join(removed)}",
    ]


def _fish(value: str) -> str:
    """In fish, only these two mean something between single quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs a program to its end, in this terminal; what signals say is for it."""
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)

    def pass_on_unless_typed(number: int, frame: FrameType | None) -> None:
        if not _in_foreground():  # else the terminal has told the program already; twice means "quit" there
            pass_on(number, frame)

    handlers = {
        signal.SIGINT: pass_on_unless_typed,
        signal.SIGQUIT: pass_on_unless_typed,
        signal.SIGTERM: pass_on,
        signal.SIGHUP: pass_on,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        children.append(subprocess.Popen(command, env=environ))  # noqa: S603  # what the operator names
        result = children[0].wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - result if result < 0 else result


def _in_foreground() -> bool:
    """Whether this process is one of those that its terminal sends ^C to."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
