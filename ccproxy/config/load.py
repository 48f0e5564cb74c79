"""Reads the configuration: a JSON file, and the environment over it.

    ~/.ccproxy/config.json (or --config FILE, or CCPROXY_CONFIG); over it
    a CCPROXY_* variable for every key that is a single value;
    a provider's own key variable (ANTHROPIC_API_KEY, OPENAI_API_KEY) enables it where the file is silent

Nothing is read from the working directory. Secrets are `Secret`s: no `repr`, log or error shows one.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, structs

from ccproxy.config import checks, environment, json_file, secret_file
from ccproxy.config.problems import ConfigError, Problems
from ccproxy.config.shape import Shape
from ccproxy.config.types import Config, EndpointConfig, ProviderConfig, TlsConfig
from ccproxy.config.values import Secret

Holder = TypeVar("Holder", ProviderConfig, EndpointConfig)


class Loaded(Struct, frozen=True):
    """A configuration and where it comes from.

    Attributes:
        config: The configuration.
        file: The file that was looked for.
        found: Whether it was there; the default one need not be.
        warnings: What is probably meant otherwise, one line each.
    """

    config: Config
    file: Path
    found: bool
    warnings: list[str] = []


def default_path(environ: Mapping[str, str], home: Path) -> Path:
    """The file that is read where the command line names none."""
    named = environment.value_of(environment.FILE, environ)
    return Path(environment.path(named, home)) if named else home / ".ccproxy" / "config.json"


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
    return read(path, environ, home, demo=demo).config


def read(path: Path | None, environ: Mapping[str, str], home: Path, *, demo: bool = False) -> Loaded:
    """As `load`, with where it was read and what looks wrong but is not.

    Raises:
        ConfigError: With every problem that can be told at once.
    """
    problems = Problems()
    file = path or default_path(environ, home)
    required = path is not None or bool(environment.value_of(environment.FILE, environ))
    document = json_file.read(file, problems, required=required)
    config = Config()
    if not problems.failed("$"):
        config = Shape(problems, environ).struct(Config, document, "$")
    config = environment.with_variables(config, environ, problems)
    config = _tidy(config, home)
    config = _with_key_files(config, problems)
    config = environment.with_key_variables(config, environ, home, problems)
    if demo or _is_alone(config, document, environ):
        config = structs.replace(config, demo=True)
    checks.check(config, problems)
    if problems.lines:
        raise ConfigError(problems.lines)
    environment.look_for_typos(environ, problems)
    if not _is_in_pod(environ):  # there a mounted file is anybody's, and there is nobody else
        _look_at_mode(file, document, problems)
    lists = {name: checks.entries(getattr(config, name)) for name in checks.COMMA_LISTS}
    return Loaded(structs.replace(config, **lists), file, file.is_file(), problems.warnings)


def _is_alone(config: Config, document: Any, environ: Mapping[str, str]) -> bool:
    """Whether the demo answers by itself: nothing configured, on this host, outside Kubernetes (D16)."""
    if (isinstance(document, dict) and "demo" in document) or environment.value_of("CCPROXY_DEMO", environ):
        return False  # the operator said it
    return not config.providers and config.is_loopback and not _is_in_pod(environ)


def _is_in_pod(environ: Mapping[str, str]) -> bool:
    return "KUBERNETES_SERVICE_HOST" in environ


def _tidy(config: Config, home: Path) -> Config:
    """Writes addresses and paths in one way."""
    return structs.replace(
        config,
        host=config.host.removeprefix("[").removesuffix("]"),  # as in a URL
        proxy_url=config.proxy_url if config.proxy_url and config.proxy_url.reveal() else None,
        apikey_file=environment.path(config.apikey_file, home),
        ca_file=environment.path(config.ca_file, home),
        log_file=environment.path(config.log_file, home),
        tls=TlsConfig(
            environment.path(config.tls.cert_file, home),
            environment.path(config.tls.key_file, home),
            environment.path(config.tls.client_ca_file, home),
        ),
        keys=[structs.replace(key, key_file=environment.path(key.key_file, home)) for key in config.keys],
        providers=[
            structs.replace(
                provider,
                api_key_file=environment.path(provider.api_key_file, home),
                endpoints=[
                    structs.replace(each, api_key_file=environment.path(each.api_key_file, home))
                    for each in provider.endpoints
                ],
            )
            for provider in config.providers
        ],
    )


def _with_key_files(config: Config, problems: Problems) -> Config:
    """Reads the providers' key files, and looks whether the callers' can be read: those are read again later."""
    _secret(config.apikey_file, "$.apikey_file", problems)
    for index, key in enumerate(config.keys):
        _secret(key.key_file, f"$.keys[{index}].key_file", problems)
    return structs.replace(
        config,
        providers=[
            _with_provider_files(provider, f"$.providers[{index}]", problems)
            for index, provider in enumerate(config.providers)
        ],
    )


def _with_provider_files(provider: ProviderConfig, at: str, problems: Problems) -> ProviderConfig:
    used = provider.enabled
    endpoints = [
        _with_key_file(endpoint, f"{at}.endpoints[{number}].api_key_file", problems, used=used)
        for number, endpoint in enumerate(provider.endpoints)
    ]
    provider = _with_key_file(provider, f"{at}.api_key_file", problems, used=used)
    return structs.replace(provider, endpoints=endpoints)


def _with_key_file(holder: Holder, place: str, problems: Problems, *, used: bool) -> Holder:
    if holder.api_key_file and holder.api_key is not None:
        problems.check(place, "api_key is there, too; leave one out")
    elif holder.api_key_file and used:  # where it is not, the file may be elsewhere
        return structs.replace(holder, api_key=_secret(holder.api_key_file, place, problems))
    return holder


def _secret(file: str, place: str, problems: Problems) -> Secret | None:
    if not file:
        return None
    try:
        return secret_file.read(file)
    except secret_file.SecretFileError as error:
        problems.fail(place, str(error))
        return None


def _look_at_mode(file: Path, document: Any, problems: Problems) -> None:
    """Warns of keys that every user of this host can read."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    if mode & stat.S_IROTH and _holds_secrets(document):
        problems.warn(str(file), f"holds keys that others may read; run: chmod 600 {file}")


def _holds_secrets(document: Any) -> bool:
    """Whether a file has a key itself, not the name of a variable that has it."""
    places: list[tuple[Any, str]] = [(document, "apikey"), (document, "proxy_url")]
    providers = document.get("providers", [])
    places += [(each, "api_key") for each in providers]
    places += [(each, "api_key") for provider in providers for each in provider.get("endpoints", [])]
    places += [(each, "key") for each in document.get("keys", [])]
    values = [each.get(name) for each, name in places]
    return any(value and "${" not in value for value in values)
