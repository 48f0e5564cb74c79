"""The command line.

Exit codes: 0 done; 1 it did not work out, in one line on standard error; 2 a mistake on the command line; 3 the
service does not run (`status`, `models`, `reload`); 78 a mistake in the configuration (EX_CONFIG); 98 an address
that cannot be bound; 127 Claude Code is not installed (`code`, which else passes on Claude Code's own).

Each command is a module's function of the same name, and imported when it is asked for: a container calls
`ccproxy health` every few seconds, and pays for no server.
"""

import difflib
import errno
from collections.abc import Mapping
from importlib import import_module

import click

from ccproxy import __version__
from ccproxy.cli.place import fail, home

COMMANDS: Mapping[str, tuple[str, str]] = {
    "start": ("service", "Start the service."),
    "stop": ("service", "End the service."),
    "restart": ("service", "End the service and start it again."),
    "reload": ("service", "Load the configuration again."),
    "status": ("report", "Show how the service is doing."),
    "health": ("health", "Tell by the exit code whether the service is healthy."),
    "logs": ("logs", "Print the log."),
    "code": ("code", "Run Claude Code through CCProxy."),
    "env": ("code", "Print what a shell needs to use CCProxy."),
    "models": ("report", "List the models that can be asked for."),
    "explain": ("configuration", "Show where a request would go, and why."),
    "config": ("configuration", "Write, check and show the configuration."),
    "completion": ("about", "Print what makes a shell complete commands."),
    "version": ("about", "Show what is installed."),
}
"""Every command: its module, and its line in the list."""

_home = home


class Commands(click.Group):
    """The commands, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names, in the order of the list."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"ccproxy.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Lists them without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; for a name that is none, the nearest one is told."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Runs it. What the system refuses is one line: no disk, no permission, no such file."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `| head` has seen enough; click knows what to do
                raise
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command has an example: ccproxy COMMAND --help",
)
@click.version_option(__version__, prog_name="ccproxy", message="%(prog)s %(version)s")
def main() -> None:
    """CCProxy lets any Claude client use any model, over HTTP and gRPC."""
