"""`${VAR}` and `${VAR:-default}` in the texts of a configuration; `$${` stands for `${` itself."""

import re
from collections.abc import Mapping

_MARK = re.compile(
    r"(?P<escaped>\$\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^}]*)?\}"
    r"|(?P<broken>\$\{)"
)


class SubstitutionError(Exception):
    """Why a text has no value."""


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables put in, once: what a variable holds is taken as it is.

    Raises:
        SubstitutionError: For each variable that is not set and has no default, and for what is no variable.
    """
    wrong: list[str] = []
    value = _MARK.sub(lambda match: _value(match, environ, wrong), text)
    if wrong:
        raise SubstitutionError("; ".join(dict.fromkeys(wrong)))
    return value


def _value(match: re.Match[str], environ: Mapping[str, str], wrong: list[str]) -> str:
    if match["escaped"]:
        return "${"
    if match["broken"] or "${" in (match["default"] or ""):
        wrong.append("expected ${NAME} or ${NAME:-default}; for the characters themselves write $${")
        return ""
    name, default = match["name"], match["default"]
    value = environ.get(name)
    if default is not None:  # as in a shell, `:-` is for an empty variable, too
        return value or default.removeprefix(":-")
    if value is None:
        wrong.append(f"the environment variable {name} is not set; ${{{name}:-…}} gives a default")
        return ""
    if not is_text(value):
        wrong.append(f"the environment variable {name} is not UTF-8")
        return ""
    return value


def is_text(value: str) -> bool:
    """Whether a variable's value is characters; other bytes come as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
