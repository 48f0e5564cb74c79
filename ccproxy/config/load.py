"""What the operator says: a JSON file, and the environment over it.

    ~/.ccproxy/config.json (or --config FILE); over it
    CCPROXY_HOST, CCPROXY_PORT, CCPROXY_GRPC_PORT, CCPROXY_API_KEY;
    a provider's own key variable (ANTHROPIC_API_KEY, OPENAI_API_KEY) enables it where the file is silent

Nothing is read from the working directory. Secrets are `Secret`s: no `repr`, log or error shows one.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import structs

from ccproxy.config.types import PROVIDER_TYPES, Config, Duration, ProviderConfig, RouteConfig, Secret, Size

MAX_SHUTDOWN_SECONDS = 900.0


class ConfigError(Exception):
    """What is wrong with a configuration: one line per problem, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [_one_line(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


def load(path: Path | None, environ: Mapping[str, str], home: Path, *, demo: bool = False) -> Config:
    """Reads the configuration.

    Args:
        path: The file the operator names; None for the default one, which may be absent.
        environ: The environment.
        home: The operator's home directory.
        demo: Whether the demo upstream answers, whatever is configured.

    Raises:
        ConfigError: With every problem that can be told at once.
    """
    config = _read(path or home / ".ccproxy" / "config.json", required=path is not None)
    problems: list[str] = []
    config = _with_environment(config, environ, problems)
    config = structs.replace(config, host=config.host.removeprefix("[").removesuffix("]"))  # as in a URL
    config = _with_key_variables(config, environ)
    config = structs.replace(config, demo=True) if demo else _with_demo(config, environ)
    problems += _problems(config)
    if problems:
        raise ConfigError(problems)
    return config


def _read(file: Path, *, required: bool) -> Config:
    try:
        text = file.read_bytes()
    except OSError as error:
        if not required and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return Config()
        raise ConfigError([f"{file}: {error.strerror}"]) from error
    try:
        return msgspec.json.decode(text, type=Config, dec_hook=_secret)
    except msgspec.ValidationError as error:
        raise ConfigError([f"{file}: {_explain(str(error))}"]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError([f"{file}: not valid JSON: {_line(text, str(error))}"]) from error


def _secret(type: type, value: Any) -> Any:  # noqa: A002  # msgspec's hook
    if type is Secret and isinstance(value, str):
        return Secret(value)
    if type is Duration and isinstance(value, int | float) and not isinstance(value, bool):
        return Duration(value)
    if type is Size and isinstance(value, int) and not isinstance(value, bool):
        return Size(value)
    raise ValueError("Expected `str`")


def _one_line(problem: str) -> str:
    """A problem as a terminal and a log can show it, whatever the file's keys and names hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in problem)


def _line(text: bytes, error: str) -> str:
    """The parser's words, with the line they are about."""
    match = re.search(r"\(byte (\d+)\)", error)
    if not match:
        return error
    line = text.count(b"\n", 0, int(match[1])) + 1
    return error.replace(match[0], f"(line {line})")


def _explain(error: str) -> str:
    """Turns msgspec's words into a place and a reason, with the nearest known key for an unknown one."""
    match = re.fullmatch(r"(?P<what>.*?)(?: - at `(?P<path>\$[^`]*)`)?", error, re.DOTALL)
    what, path = (match["what"], match["path"] or "") if match else (error, "")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    if unknown:
        owner = ProviderConfig if "providers" in path else RouteConfig if "routes" in path else Config
        near = difflib.get_close_matches(unknown[1], owner.__struct_fields__, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(owner.__struct_fields__)}"
        return f"{path or '$'}: unknown key {unknown[1]}{hint}"
    return f"{path or '$'}: {what.replace('`', '')}"


def _with_environment(config: Config, environ: Mapping[str, str], problems: list[str]) -> Config:
    """Lays the CCPROXY_* variables over the file."""
    changes: dict[str, Any] = {}
    read: dict[str, tuple[str, Callable[[str], Any]]] = {
        "CCPROXY_HOST": ("host", str),
        "CCPROXY_PORT": ("port", _port),
        "CCPROXY_GRPC_PORT": ("grpc_port", _port),
        "CCPROXY_API_KEY": ("apikey", Secret),
    }
    for variable, (name, convert) in read.items():
        value = environ.get(variable, "").strip()
        if not value:
            continue
        try:
            changes[name] = convert(value)
        except ValueError:
            hint = ""
            if value.startswith("tcp://"):  # Kubernetes writes NAME_PORT for a Service called NAME
                hint = "; Kubernetes sets it for a Service of that name: set enableServiceLinks: false"
            problems.append(f"{variable}: expected a port number{hint}")
    return structs.replace(config, **changes)


def _port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value):  # int() would also take 3_456
        raise ValueError("not a port number")
    return int(value)


def _with_key_variables(config: Config, environ: Mapping[str, str]) -> Config:
    """Gives each provider the key of its variable, and enables the providers whose key alone is there."""
    providers = []
    for provider in config.providers:
        known = PROVIDER_TYPES.get(provider.kind)
        url = known.url if known else ""
        key = _variable(known.variables if known else (), environ)
        # A key of the environment goes to its own provider only.
        own_url = provider.api_base_url.rstrip("/") in {"", url}
        providers.append(
            structs.replace(provider, api_key=Secret(key))
            if provider.api_key is None and key and own_url
            else provider
        )
    named = {name for provider in providers for name in (provider.type, provider.name)}
    for type_, known in PROVIDER_TYPES.items():
        key = _variable(known.variables, environ)
        if key and type_ not in named and not config.demo:
            providers.append(ProviderConfig(type_, api_key=Secret(key)))
    return structs.replace(config, providers=providers)


def _variable(names: tuple[str, ...], environ: Mapping[str, str]) -> str:
    return next((value for name in names if (value := environ.get(name, "").strip())), "")


def _with_demo(config: Config, environ: Mapping[str, str]) -> Config:
    """With nothing configured, on this host and outside Kubernetes, the demo upstream answers (D16)."""
    alone = not config.providers and config.is_loopback and "KUBERNETES_SERVICE_HOST" not in environ
    return structs.replace(config, demo=True) if alone else config


def _problems(config: Config) -> list[str]:
    problems = []
    for name in ("port", "grpc_port"):
        value = getattr(config, name)
        if not 0 <= value <= 65535:  # noqa: PLR2004  # what TCP has
            problems.append(f"$.{name}: expected 0 to 65535, got {value}")
    if config.port and config.port == config.grpc_port:
        problems.append(f"$.grpc_port: {config.port} is the HTTP port already")
    for name, seconds in (("shutdown_timeout", config.shutdown_timeout), ("drain_delay", config.drain_delay)):
        if seconds is not None and not 0 <= seconds <= MAX_SHUTDOWN_SECONDS:
            problems.append(f"$.{name}: expected 0 to {MAX_SHUTDOWN_SECONDS:g} seconds")
    problems += _access_problems(config)
    problems += _provider_problems(config)
    names = {provider.name for provider in config.active}
    if not config.demo:
        problems += [
            f"$.routes.{name}.provider: no enabled provider is named {route.provider}"
            for name, route in config.routes.items()
            if route.provider not in names
        ]
    return problems


def _access_problems(config: Config) -> list[str]:
    problems = []
    if config.apikey is not None and not config.apikey.reveal():
        problems.append("$.apikey: is empty; leave it out to serve callers on this host only")
    elif config.apikey is not None and not _fits_header(config.apikey):
        problems.append("$.apikey: holds line breaks or begins or ends with a blank, which no header can carry")
    if not config.host:
        problems.append("$.host: is empty; 127.0.0.1 serves this host, 0.0.0.0 others too")
    elif not config.is_loopback and not config.has_key:
        problems.append(
            f"$.host: {config.host} can be reached from other hosts, so a key is needed: "
            "set apikey or CCPROXY_API_KEY"
        )
    return problems


def _provider_problems(config: Config) -> list[str]:
    problems = []
    seen: set[str] = set()
    for index, provider in enumerate(config.providers):
        at = f"$.providers[{index}]"
        if not re.fullmatch(r"[A-Za-z0-9._-]+", provider.name):
            problems.append(f"{at}.name: expected letters, digits, dot, dash or underscore")
        if provider.name in seen:
            problems.append(f"{at}.name: {provider.name} is there twice")
        seen.add(provider.name)
        if (provider.type or provider.name) not in PROVIDER_TYPES:
            problems.append(f"{at}.type: expected one of {', '.join(PROVIDER_TYPES)}")
        if provider.api_key is not None and not provider.api_key.reveal():
            problems.append(f"{at}.api_key: is empty; leave it out for a provider that asks for none")
        elif provider.api_key is not None and not _fits_header(provider.api_key):
            problems.append(f"{at}.api_key: holds line breaks or begins or ends with a blank")
        if provider.api_base_url and not _is_base_url(provider.api_base_url):
            problems.append(f"{at}.api_base_url: expected http(s)://host[:port][/path] and nothing else")
    return problems


def _fits_header(key: Secret) -> bool:
    text = key.reveal()
    return text.isprintable() and text == text.strip()


def _is_base_url(url: str) -> bool:
    """Whether a path can be put behind `url`: no user, query or fragment that could move it elsewhere."""
    if re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~/-]*)?", url) is None:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not pair, or a port beyond 65535
        return False
