"""`completion`, `version`."""

import os
import platform
from importlib.metadata import version as version_of

import click
import msgspec
from click.shell_completion import get_completion_class

from ccproxy.cli.options import example, json_option
from ccproxy.cli.place import fail


@click.command(
    epilog=example(
        'eval "$(ccproxy completion bash)"',
        'eval "$(ccproxy completion zsh)"',
        "ccproxy completion fish | source",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options; it belongs into its start-up file."""
    made = get_completion_class(shell)
    if made is None:
        fail(f"there is no completion for {shell}")
    click.echo(made(ctx.find_root().command, {}, "ccproxy", "_CCPROXY_COMPLETE").source())


@click.command(epilog=example("ccproxy version", "ccproxy version --json"))
@json_option
def version(*, as_json: bool) -> None:
    """Show what is installed."""
    from ccproxy.status import build_from  # noqa: PLC0415  # it imports more than `completion` needs

    build = build_from(os.environ)
    facts = {
        "version": build.version,
        "commit": build.commit,
        "date": build.date,
        "python": platform.python_version(),
        "grpc": version_of("grpcio"),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        click.echo(msgspec.json.encode(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name:<9} {value}")
