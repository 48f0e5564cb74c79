"""What a configuration of the right shape may still have wrong: values that cannot work, alone or together."""

import importlib.util
import ipaddress
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from ccproxy.config import certificate, parameters
from ccproxy.config.problems import Problems, did_you_mean, member
from ccproxy.config.provider_types import PROVIDER_TYPES
from ccproxy.config.secret_file import PATH_WORDS
from ccproxy.config.types import Config, ProviderConfig, RouteConfig
from ccproxy.config.values import Secret


class Limit(Struct, frozen=True):
    """What a number may be."""

    low: float
    high: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        if self.high is None:
            return f"{self.low:g} or more"
        return f"{self.low:.10g} to {self.high:.10g} {self.unit}".rstrip()


LIMITS: Mapping[str, Limit] = {
    "$.port": Limit(0, 65535),
    "$.grpc_port": Limit(0, 65535),
    "$.health_port": Limit(0, 65535),
    "$.metrics_port": Limit(0, 65535),
    "$.shutdown_timeout": Limit(0, 900, "seconds"),  # no orchestrator waits longer
    "$.drain_delay": Limit(0, 900, "seconds"),
    "$.long_context_threshold": Limit(1),
    "$.retry.attempts": Limit(1, 10),
    "$.retry.budget_percent": Limit(0, 100),
    "$.retry.open_after": Limit(0, 1000),
    "$.retry.hedge_after": Limit(0, 600, "seconds"),
    # Beyond a day it was meant in another unit: the ancestor's numbers were nanoseconds.
    "$.probe_interval": Limit(0, 86_400, "seconds"),
    "$.performance.request_timeout": Limit(0.001, 86_400, "seconds"),
    "$.performance.stream_timeout": Limit(0.001, 86_400, "seconds"),
    "$.performance.first_byte_timeout": Limit(0.001, 86_400, "seconds"),
    "$.performance.silence_timeout": Limit(0.001, 86_400, "seconds"),
    "$.performance.max_request_body_size": Limit(1 << 10, 1 << 30, "bytes"),
    "$.limits.max_in_flight": Limit(0),
    "$.limits.max_body_bytes_in_flight": Limit(0),
    "$.limits.provider_queue": Limit(0, 100),  # who comes later waits longer than it takes to try again
    "$.limits.provider_wait": Limit(0, 5, "seconds"),
    "$.limits.requests_per_minute": Limit(0),
    "$.limits.tokens_per_minute": Limit(0),
    "$.limits.key_max_in_flight": Limit(0),
    "$.limits.shed_lag": Limit(0, 60, "seconds"),
    "$.limits.shed_memory_percent": Limit(0, 100),
    "$.keys[].requests_per_minute": Limit(0),
    "$.keys[].tokens_per_minute": Limit(0),
    "$.keys[].max_in_flight": Limit(0),
    "$.providers[].max_in_flight": Limit(0),
    "$.connections.max_total": Limit(1),
    "$.connections.max_per_address": Limit(1),
    "$.connections.header_timeout": Limit(0.001, 3600, "seconds"),
    "$.connections.body_timeout": Limit(0.001, 3600, "seconds"),
    "$.connections.write_timeout": Limit(0.001, 3600, "seconds"),
    "$.connections.idle_timeout": Limit(0.001, 3600, "seconds"),
}

TELEMETRY_MODULES = (
    "opentelemetry.sdk",
    "opentelemetry.exporter.otlp.proto.grpc",
    "opentelemetry.exporter.otlp.proto.http",
)
"""What `telemetry.export` needs."""

COMMA_LISTS = ("allowed_ips", "no_proxy")
"""Lists whose entries may be lists with commas, as `NO_PROXY` is."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")


def check(config: Config, problems: Problems) -> None:
    """Tells everything that cannot work."""
    _check_numbers(config, problems)
    _check_access(config, problems)
    _check_keys(config, problems)
    _check_network(config, problems)
    _check_files(config, problems)
    certificate.check(config.tls, problems)
    _check_telemetry(config, problems)
    _check_providers(config, problems)
    _check_routes(config, problems)


def entries(values: list[str]) -> list[str]:
    """The entries of a list whose texts may hold several."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _check_numbers(config: Config, problems: Problems) -> None:
    for kind, limit in LIMITS.items():
        for place, value in _numbers(config, kind):
            if value is not None and (value < limit.low or (limit.high is not None and value > limit.high)):
                problems.check(place, f"expected {limit}")
    if config.port and config.port == config.grpc_port and not problems.failed("$.port"):
        problems.check("$.grpc_port", f"{config.port} is the HTTP port already")
    if config.health_port and config.health_port in {config.port, config.grpc_port}:
        problems.check("$.health_port", f"{config.health_port} is another port already")
    if config.metrics_port and config.metrics_port in {config.port, config.grpc_port, config.health_port}:
        problems.check("$.metrics_port", f"{config.metrics_port} is another port already")


def _check_telemetry(config: Config, problems: Problems) -> None:
    if config.telemetry.export and not all(_is_installed(name) for name in TELEMETRY_MODULES):
        problems.check("$.telemetry.export", "needs the extra `otel`: pip install 'ccproxy-gateway[otel]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package that it is in
        return False


def _numbers(config: Config, kind: str) -> list[tuple[str, Any]]:
    """The values of a kind of place, and where each is: `$.keys[].name` is in every key."""
    found: list[tuple[str, Any]] = [("$", config)]
    for part in kind.split(".")[1:]:
        name, several, _ = part.partition("[")
        found = [(f"{at}.{name}", getattr(value, name)) for at, value in found]
        if several:
            found = [(f"{at}[{index}]", each) for at, value in found for index, each in enumerate(value)]
    return found


def _check_access(config: Config, problems: Problems) -> None:
    if config.apikey is not None:
        _check_key(config.apikey, "$.apikey", "leave it out to serve callers on this host only", problems)
    if config.apikey is not None and config.apikey_file:
        problems.check("$.apikey_file", "apikey is there, too; leave one out")
    host = config.host
    if not host:
        problems.check("$.host", "is empty; 127.0.0.1 serves this host, 0.0.0.0 others too")
    elif not _is_host(host):
        problems.check("$.host", "expected an address or a host's name")
    elif not (config.is_loopback or config.has_key or _unread_key(problems)):
        problems.check(
            "$.host",
            f"{host} can be reached from other hosts, so a key is needed: set apikey or CCPROXY_API_KEY",
        )
    for index, entry in enumerate(config.allowed_ips):
        if wrong := next((w for part in entries([entry]) if (w := _wrong_network(part))), ""):
            problems.check(f"$.allowed_ips[{index}]", wrong)


def _unread_key(problems: Problems) -> bool:
    """Whether a key is meant to be there, but could not be read."""
    return any(problems.failed(place) for place in ("$.apikey", "$.apikey_file", "$.keys"))


def _check_key(key: Secret, place: str, instead: str, problems: Problems) -> None:
    """A key must be one that a header can carry."""
    text = key.reveal()
    if not text:
        problems.check(place, f"is empty; {instead}")
    elif not text.isprintable() or text != text.strip():
        problems.check(place, "holds line breaks or begins or ends with a blank, which no header can carry")


def _check_keys(config: Config, problems: Problems) -> None:
    counts = Counter(key.name for key in config.keys)
    for index, key in enumerate(config.keys):
        place = f"$.keys[{index}]"
        if not re.fullmatch(r"[A-Za-z0-9._@-]+", key.name):
            problems.check(f"{place}.name", "expected letters, digits, dot, dash, underscore or @")
        elif key.name in {"apikey", "local"}:  # as a call's `caller` they are the main key, and no key at all
            problems.check(f"{place}.name", f"{key.name} has a meaning of its own; take another name")
        elif counts[key.name] > 1 and key.name in {other.name for other in config.keys[:index]}:
            problems.check(f"{place}.name", f"{key.name} is there twice")
        given = [key.key is not None, bool(key.key_sha256), bool(key.key_file)]
        unread = any(problems.failed(f"{place}.{name}") for name in ("key", "key_sha256", "key_file"))
        if sum(given) != 1 and not unread:
            problems.check(place, "expected exactly one of key, key_sha256 and key_file")
        if key.key is not None:
            _check_key(key.key, f"{place}.key", "leave the entry out", problems)
        for number, model in enumerate(key.models):
            _check_model(model, f"{place}.models[{number}]", problems)
        if key.key_sha256 and not re.fullmatch(r"[0-9A-Fa-f]{64}", key.key_sha256):
            problems.check(f"{place}.key_sha256", "expected the 64 hexadecimal digits of a SHA-256")


def _check_network(config: Config, problems: Problems) -> None:
    if config.proxy_url is not None and not _is_proxy(config.proxy_url.reveal()):
        problems.check("$.proxy_url", "expected http(s)://[user:password@]host:port")
    for index, entry in enumerate(config.no_proxy):
        place = f"$.no_proxy[{index}]"
        for part in entries([entry]):
            if _HOST.fullmatch(part.removeprefix(".")) is not None or not _wrong_network(part):
                continue
            hint = "; a suffix is written .example.com" if part.startswith("*.") else ""
            problems.check(place, f"expected a host, a .suffix, an address or a network{hint}")


def _check_files(config: Config, problems: Problems) -> None:
    for name in ("ca_file", "log_file"):
        file = getattr(config, name)
        if file and (not Path(file).is_absolute() or not file.isprintable()):
            problems.check(f"$.{name}", PATH_WORDS)
        elif file and name == "ca_file":
            _check_certificates(Path(file), problems)


def _check_certificates(file: Path, problems: Problems) -> None:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would block
            problems.check("$.ca_file", f"{file} is not a file")
        elif b"-----BEGIN CERTIFICATE-----" not in file.read_bytes():
            problems.check("$.ca_file", f"{file} holds no PEM certificate")
    except OSError as error:
        problems.check("$.ca_file", f"{file}: {error.strerror}")


def _check_providers(config: Config, problems: Problems) -> None:
    seen: set[str] = set()
    for index, provider in enumerate(config.providers):
        at = f"$.providers[{index}]"
        if not re.fullmatch(r"[A-Za-z0-9._-]+", provider.name):
            problems.check(f"{at}.name", "expected letters, digits, dot, dash or underscore")
        elif provider.name in seen:
            problems.check(f"{at}.name", f"{provider.name} is there twice")
        seen.add(provider.name)
        if provider.kind not in PROVIDER_TYPES and not problems.failed(f"{at}.name"):
            near = did_you_mean(provider.kind, PROVIDER_TYPES)
            hint = f"; did you mean {near}?" if near else ""
            problems.check(f"{at}.type", f"expected one of {', '.join(PROVIDER_TYPES)}{hint}")
        if provider.api_key is not None:
            _check_key(
                provider.api_key, f"{at}.api_key", "leave it out for a provider that asks for none", problems
            )
        if provider.api_base_url and not _is_base_url(provider.api_base_url):
            problems.check(f"{at}.api_base_url", "expected http(s)://host[:port][/path] and nothing else")
        _check_auth(provider, at, problems)
        _check_apis(provider, at, problems)
        _check_endpoints(provider, at, problems)
        for number, model in enumerate(provider.models):
            _check_model(model, f"{at}.models[{number}]", problems)
        if provider.default_model:
            _check_model(provider.default_model, f"{at}.default_model", problems)


def _check_auth(provider: ProviderConfig, at: str, problems: Problems) -> None:
    if provider.auth != "client":
        return
    if provider.kind != "anthropic":
        problems.check(f"{at}.auth", "client is for providers of the type anthropic: callers have its keys")
    elif (
        provider.api_key is not None
        or provider.api_key_file
        or any(each.api_key is not None or each.api_key_file for each in provider.endpoints)
    ):
        problems.check(f"{at}.auth", "client sends the caller's key, so leave api_key and api_key_file out")


def _check_apis(provider: ProviderConfig, at: str, problems: Problems) -> None:
    places = {f"{at}.api": provider.api}
    for model, api in provider.model_apis.items():
        place = member(f"{at}.model_apis", model)
        _check_model(model, place, problems)
        places[place] = api
    known = PROVIDER_TYPES.get(provider.kind)
    if known is None:  # told as its type
        return
    expected = f"expected one of {', '.join(known.apis)} for a provider of the type {provider.kind}"
    if not known.apis:
        expected = f"leave it out: a provider of the type {provider.kind} is asked by one API only"
    for place, api in places.items():
        if api not in known.apis and (known.apis or api != "auto"):
            problems.check(place, expected)


def _check_endpoints(provider: ProviderConfig, at: str, problems: Problems) -> None:
    for number, endpoint in enumerate(provider.endpoints):
        place = f"{at}.endpoints[{number}]"
        given = endpoint.api_base_url or endpoint.api_key is not None or endpoint.api_key_file
        if not given and not any(problems.failed(f"{place}.{name}") for name in ("api_key", "api_key_file")):
            problems.check(place, "expected an api_base_url, an api_key or an api_key_file")
        if endpoint.api_key is not None:
            _check_key(endpoint.api_key, f"{place}.api_key", "leave it out for the provider's own", problems)
        if endpoint.api_base_url and not _is_base_url(endpoint.api_base_url):
            problems.check(f"{place}.api_base_url", "expected http(s)://host[:port][/path] and nothing else")


def _check_model(name: str, place: str, problems: Problems) -> None:
    if not name or name != name.strip() or not name.isprintable():
        problems.check(place, "expected a model's name")


def _check_routes(config: Config, problems: Problems) -> None:
    unread = any(_unread_providers(config, problems))
    for name, route in config.routes.items():
        at = member("$.routes", name)
        if not name or name != name.strip():
            problems.check(at, "expected a model's name, or longContext, background, think or default, as the key")
        targets = [(at, route.provider, route.model)]
        for index, fallback in enumerate(route.fallbacks):
            targets.append((f"{at}.fallbacks[{index}]", fallback.provider, fallback.model))
        for place, provider, model in targets:
            if model:
                _check_model(model, f"{place}.model", problems)
            if not unread and not config.demo:
                _check_target(provider, f"{place}.provider", config, problems)
        _check_parameters(route, f"{at}.parameters", problems)


def _unread_providers(config: Config, problems: Problems) -> Iterator[bool]:
    """Whether it is not known which providers there are."""
    yield problems.failed("$.providers")
    for index in range(len(config.providers)):
        yield from (problems.failed(f"$.providers[{index}].{name}") for name in ("name", "enabled"))


def _check_target(name: str, place: str, config: Config, problems: Problems) -> None:
    names = [provider.name for provider in config.active]
    if name in names:
        return
    if any(provider.name == name for provider in config.providers):
        problems.check(place, f"{name} is not enabled")
        return
    near = did_you_mean(name, names)
    problems.check(place, f"no provider is named {name}" + (f"; did you mean {near}?" if near else ""))


def _check_parameters(route: RouteConfig, place: str, problems: Problems) -> None:
    for name, value in route.parameters.items():
        at = member(place, name)
        wrong = parameters.wrong(name, value)
        if wrong:
            problems.check(at, wrong)
        elif near := parameters.near(name):
            problems.warn(at, f"is no member of a request that is known; did you mean {near}?")


def _is_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None or ("/" not in host and not _wrong_network(host))


def _wrong_network(text: str) -> str:
    """What is wrong with an address or a network; empty where nothing is."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            return f"its network is written {ipaddress.ip_network(text, strict=False)}"
        except ValueError:
            return "expected an address or a network, such as 10.1.2.3 or 10.0.0.0/8"
    return ""


def _is_proxy(url: str) -> bool:
    if re.fullmatch(r"https?://([^\s/?#@]+@)?[A-Za-z0-9._\[\]:-]+/?", url) is None:
        return False
    return url.isprintable() and _has_host(url)


def _is_base_url(url: str) -> bool:
    """Whether a path can be put behind `url`: no user, query or fragment that could move it elsewhere."""
    if re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+(/[A-Za-z0-9._~/-]*)?", url) is None:
        return False
    return _has_host(url)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not pair, or a port beyond 65535
        return False
