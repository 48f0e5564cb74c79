"""What several commands' options have in common."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: Any) -> float:
    """A time as in the configuration: `30`, `30s`, `500ms`, `2m`, `1h`."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|)", str(value))
    if found is None:
        raise click.BadParameter(f"{value!r} is not a time; write 30, 30s, 500ms or 2m.")
    return float(found[1]) * UNITS[found[2]]


def example(*lines: str) -> str:
    """A command's examples, as its help shows them."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-c FILE`."""
    return click.option(
        "-c",
        "--config",
        "file",
        type=click.Path(path_type=Path),
        help="The configuration file; else CCPROXY_CONFIG, else ~/.ccproxy/config.json.",
    )(command)


def port_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-p PORT`."""
    return click.option(
        "-p", "--port", type=click.IntRange(1, 65535), help="The service on this port, not on the configured one."
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
