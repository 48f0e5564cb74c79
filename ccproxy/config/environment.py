"""The environment over the file: `CCPROXY_*` for its keys, and the providers' own key variables.

Facts about the variables that are not ours: Kubernetes sets `NAME_SERVICE_HOST`, `NAME_PORT=tcp://…` and
`NAME_PORT_3456_TCP…` in every pod for each Service of the namespace
(https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
"""

import difflib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, inspect, structs

from ccproxy.config import secret_file
from ccproxy.config.problems import Problems
from ccproxy.config.provider_types import PROVIDER_TYPES
from ccproxy.config.shape import Shape, not_none, struct_type
from ccproxy.config.substitution import is_text
from ccproxy.config.types import Config, ProviderConfig
from ccproxy.config.values import Secret

PREFIX = "CCPROXY_"
FILE = "CCPROXY_CONFIG"
CLIENT_CERTIFICATE = "CCPROXY_CLIENT_CERT_FILE"  # what the commands show to a service that asks for one
CLIENT_KEY = "CCPROXY_CLIENT_KEY_FILE"
ALIASES = {"CCPROXY_API_KEY": "CCPROXY_APIKEY", "CCPROXY_API_KEY_FILE": "CCPROXY_APIKEY_FILE"}

_KUBERNETES = re.compile(
    r"CCPROXY_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_LINK = re.compile(r"(tcp|udp|sctp)://")
_ANCESTORS = re.compile(r"CCPROXY_PROVIDERS_[0-9]+_[A-Z_]+")
_NEAR = 0.75  # PROT is as near to PORT, HOME not to HOST
_WORDS = {"true": True, "1": True, "false": False, "0": False}


class Variable(Struct, frozen=True):
    """A variable: the members of the key it is for, and that key's type."""

    members: tuple[str, ...]
    type: inspect.Type

    @property
    def place(self) -> str:
        """The key's place in the file."""
        return ".".join(("$", *self.members))


@cache
def variables() -> Mapping[str, Variable]:
    """Every variable that stands for a key: the scalars and the lists of texts, two levels deep."""
    found: dict[str, Variable] = {}
    for outer in struct_type(Config).fields:
        if isinstance(outer.type, inspect.StructType):
            for inner in outer.type.fields:
                name = f"{PREFIX}{outer.name}_{inner.name}".upper()
                found[name] = Variable((outer.name, inner.name), inner.type)
        elif not _is_nested(outer.type):
            found[f"{PREFIX}{outer.name}".upper()] = Variable((outer.name,), outer.type)
    for alias, name in ALIASES.items():
        found[alias] = found[name]
    return found


def _is_nested(type_: inspect.Type) -> bool:
    if isinstance(type_, inspect.ListType):
        return not isinstance(type_.item_type, inspect.StrType)
    return isinstance(type_, inspect.DictType)


def value_of(name: str, environ: Mapping[str, str]) -> str:
    """A variable's text without the blanks around it. Empty and not set are the same (Compose writes `NAME=`)."""
    return environ.get(name, "").strip()


def with_variables(config: Config, environ: Mapping[str, str], problems: Problems) -> Config:
    """Lays the CCPROXY_* variables over the file."""
    changes: dict[str, Any] = {}
    for name, variable in variables().items():
        text = value_of(name, environ)
        twin = ALIASES.get(name)
        if not text:
            continue
        if twin and value_of(twin, environ) not in {"", text}:
            problems.note(name, f"{twin} says otherwise; set one of them")
            continue
        problems.came_from(variable.place, name)
        value = _value(text, variable, problems)
        outer, *inner = variable.members
        if inner:
            value = structs.replace(changes.get(outer) or getattr(config, outer), **{inner[0]: value})
        changes[outer] = value
    if "apikey" in changes:  # the file's word about the same key
        changes.setdefault("apikey_file", "")
    elif "apikey_file" in changes:
        changes["apikey"] = None
    return structs.replace(config, **changes)


def _value(text: str, variable: Variable, problems: Problems) -> Any:
    """A variable's value; its type's stand-in where it has none."""
    type_ = not_none(variable.type)
    value: Any = text
    stand_in: Any = ""
    match type_:
        case inspect.IntType() if re.fullmatch(r"-?[0-9]{1,15}", text):  # int() would also take 3_456
            value = int(text)
        case inspect.IntType():
            hint = ""
            if _LINK.match(text):
                hint = "; Kubernetes sets it for a Service of that name: set enableServiceLinks: false"
            problems.fail(variable.place, f"expected an integer{hint}")
            return 0
        case inspect.BoolType() if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        case inspect.BoolType():
            problems.fail(variable.place, "expected true or false")
            return False
        case inspect.ListType():
            value = [each.strip() for each in text.split(",") if each.strip()]
            stand_in = []
        case inspect.LiteralType(values=values):
            stand_in = values[0]
        case inspect.CustomType(cls=cls):
            stand_in = Secret("") if cls is Secret else cls()
        case _:
            pass
    if not is_text(text):
        problems.fail(variable.place, "is not UTF-8")
        return stand_in
    return Shape(problems, None).value(type_, value, variable.place, stand_in)


def look_for_typos(environ: Mapping[str, str], problems: Problems) -> None:
    """Warns of variables that are not read although they look as if they were."""
    known = {name.removeprefix(PREFIX): name for name in (*variables(), FILE, CLIENT_CERTIFICATE, CLIENT_KEY)}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known.values():
            continue
        if _KUBERNETES.fullmatch(name) or _LINK.match(environ[name]):
            continue
        if _ANCESTORS.fullmatch(name):
            problems.warn(name, "is not read; write ${NAME} into the file, or set the provider's own key variable")
            continue
        near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=_NEAR)
        if near:
            problems.warn(name, f"is not read; did you mean {known[near[0]]}?")


def with_key_variables(config: Config, environ: Mapping[str, str], home: Path, problems: Problems) -> Config:
    """Gives each provider the key of its variable, and enables the providers whose key alone is there."""
    providers = []
    for index, provider in enumerate(config.providers):
        if provider.enabled and _takes_variable(provider):
            key, file, variable = _key(provider.kind, environ, home, problems)
            if variable:
                problems.came_from(f"$.providers[{index}].api_key", variable)
            providers.append(structs.replace(provider, api_key=key, api_key_file=file))
        else:
            providers.append(provider)
    named = {name for provider in providers for name in (provider.type, provider.name)}
    if not config.demo and not problems.failed("$.providers"):
        for type_ in PROVIDER_TYPES:
            key, file, variable = (None, "", "") if type_ in named else _key(type_, environ, home, problems)
            if variable:
                problems.came_from(f"$.providers[{len(providers)}]", variable)
                providers.append(ProviderConfig(type_, api_key=key, api_key_file=file))
    return structs.replace(config, providers=providers)


def _takes_variable(provider: ProviderConfig) -> bool:
    """Whether a provider's key is looked for in the environment: a key of it goes to its own provider only."""
    known = PROVIDER_TYPES.get(provider.kind)
    keyless = provider.api_key is None and not provider.api_key_file and provider.auth == "key"
    own = known is not None and (not provider.api_base_url or _origin(provider.api_base_url) == _origin(known.url))
    return keyless and own


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; a port where none is written is the scheme's own."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # it is told as a problem; in any case it is nobody's own
        return "", "", None
    return parts.scheme, parts.hostname or "", port or {"https": 443, "http": 80}.get(parts.scheme)


def _key(type_: str, environ: Mapping[str, str], home: Path, problems: Problems) -> tuple[Secret | None, str, str]:
    """A type's key in the environment, the file and the variable that it came from; empty where none did."""
    names = PROVIDER_TYPES[type_].variables
    name = next((each for each in names if value_of(each, environ)), "")
    in_file = next((f"{each}_FILE" for each in names if value_of(f"{each}_FILE", environ)), "")
    if name and in_file:
        problems.note(in_file, f"{name} is set, too; unset one of them")
    if name or not in_file:
        return (Secret(value_of(name, environ)), "", name) if name else (None, "", "")
    file = path(value_of(in_file, environ), home)
    try:
        return secret_file.read(file), file, in_file
    except secret_file.SecretFileError as error:
        problems.note(in_file, str(error))
        return None, file, in_file


def path(text: str, home: Path) -> str:
    """A path with its `~` expanded."""
    return str(home / text[2:]) if text.startswith("~/") else text
