"""`config`, `explain`: what the operator has said, and what it means."""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from ccproxy.cli.options import config_option, example, json_option
from ccproxy.cli.place import EXIT_FAILED, config_file, fail, load_config, warn
from ccproxy.config import Config, Secret
from ccproxy.routing import Router

FIRST = b"""{
  "host": "127.0.0.1",
  "port": 3456,
  "grpc_port": 3457,
  "providers": [],
  "routes": {}
}
"""
SET = "(set)"


@click.group()
def config() -> None:
    """Write, check and show the configuration."""


@config.command(epilog=example("ccproxy config init", "ccproxy config init ./config.json"))
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(file: Path | None, *, force: bool) -> None:
    """Write a small valid configuration, which only its owner may read."""
    target = config_file(file)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(FIRST)
        if force:
            new.replace(target)
        else:
            os.link(new, target)  # which a file that is there refuses, however late it came
    except FileExistsError:
        fail(f"{target} is there already; --force writes over it")
    finally:
        new.unlink(missing_ok=True)
    click.echo(f"{target} is written. Add a provider to it, then: ccproxy start")


@config.command(epilog=example("ccproxy config check", "ccproxy config check ./config.json"))
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check(file: Path | None) -> None:
    """Tell every problem of the configuration at once. The exit code is 78 where there is one."""
    loaded = load_config(file)
    warn(loaded)
    found = loaded.config
    names = ", ".join(provider.name for provider in found.active) or "none"
    where = config_file(file)
    what = "is valid" if where.exists() else "is not there, which is valid"
    click.echo(f"{where} {what}; providers: {names}{' (the demo upstream answers)' if found.demo else ''}")


@config.command(epilog=example("ccproxy config show", "ccproxy config show --json"))
@config_option
@json_option
def show(file: Path | None, *, as_json: bool) -> None:
    """Print the configuration as it counts: the file, the environment and the defaults. Secrets are not shown."""
    found = load_config(file).config
    document = _shown(found)
    if as_json:
        click.echo(msgspec.json.encode(document))
        return
    click.echo(f"# {config_file(file)} and the environment")
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
    click.echo("# where requests go, by the first rule that fits")
    for rule in Router(found).table():
        fallbacks = "".join(f", else {each}" for each in rule.fallbacks)
        click.echo(f"{rule.rule}: {rule.condition} -> {rule.target}{fallbacks}")


@config.command(epilog=example("ccproxy config path"))
@config_option
def path(file: Path | None) -> None:
    """Print where the configuration is read from."""
    click.echo(config_file(file))


@click.command(epilog=example("ccproxy explain request.json", "ccproxy explain - < request.json"))
@config_option
@json_option
@click.argument("request", type=click.File("rb"))
def explain(file: Path | None, request: Any, *, as_json: bool) -> None:
    """Show where the request in the file REQUEST (- for standard input) would go, and why.

    Nothing is sent. The exit code is 1 where it would be refused.
    """
    from ccproxy import explain as explaining  # noqa: PLC0415  # it imports what routes and translates

    found = load_config(file).config
    explanation = explaining.explain(found, request.read())
    if as_json:
        click.echo(msgspec.json.encode(explanation))
    else:
        click.echo("\n".join(explanation.lines()))
    if explanation.problems:
        raise click.exceptions.Exit(EXIT_FAILED)


def _shown(found: Config) -> Any:
    return msgspec.to_builtins(found, enc_hook=_without_secrets)


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Secret):
        return SET
    return int(value) if isinstance(value, int) else float(value)  # a size, a duration
