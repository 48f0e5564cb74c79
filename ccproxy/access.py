"""Who may ask what. Both edges ask here, for every route and every RPC, by the name of the service's method.

The rules (decision D12): the API's name and basic health are open; details, status and metrics need the key or a
caller on this host; everything that costs money needs the key where one is set, and a caller on this host where
none is. "On this host" is more than an address: a web page, a tunnel or a sidecar also comes from 127.0.0.1, so
nothing about the request may say that it was made for another host or passed on by somebody.
"""

import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum
from hashlib import sha256

from msgspec import Struct

from ccproxy.call import Headers
from ccproxy.config import Config, Secret
from ccproxy.errors import ApiError, Reason

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_FORWARDING = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "true-client-ip",
    }
)
_FORWARDING_PREFIXES = ("x-forwarded-", "cf-", "x-envoy-", "x-original-", "tailscale-")


class Need(Enum):
    """What a method asks of its caller."""

    NOTHING = "nothing"
    DETAILS = "details"  # the key, or a caller on this host
    USE = "use"  # the key where one is set, else a caller on this host


NEEDS: Mapping[str, Need] = {
    "ccproxy.v1.Status.GetInfo": Need.NOTHING,
    "ccproxy.v1.Status.GetHealth": Need.NOTHING,  # its details are asked for apart
    "ccproxy.v1.Status.GetStatus": Need.DETAILS,
    "ccproxy.v1.Proxy.CreateMessage": Need.USE,
    "ccproxy.v1.Proxy.StreamMessage": Need.USE,
    "ccproxy.v1.Proxy.CountTokens": Need.USE,
    "ccproxy.v1.Proxy.ListModels": Need.USE,
    "ccproxy.v1.Proxy.GetModel": Need.USE,
    "grpc.health.v1.Health.Check": Need.NOTHING,  # the kubelet has no key; provider/* names ask apart
    "grpc.health.v1.Health.Watch": Need.NOTHING,
    "grpc.health.v1.Health.List": Need.NOTHING,
    "grpc.reflection.v1.ServerReflection.ServerReflectionInfo": Need.DETAILS,
    "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo": Need.DETAILS,
    "metrics": Need.DETAILS,
    "openapi": Need.NOTHING,  # a description of the interface, the same everywhere
    "hello": Need.NOTHING,
}
"""What each method needs. A method that is not here is refused."""


class Http(Struct, frozen=True):
    """What HTTP says about for whom a request was made. gRPC has none of it, and browsers cannot speak it.

    Attributes:
        hosts: Every `Host` header as it came.
        version: Such as (1, 1).
        origin_form: Whether the target is a path, not a whole URL.
        port: The port the connection came to.
    """

    hosts: Sequence[str]
    version: tuple[int, int]
    origin_form: bool
    port: int


class Caller(Struct, frozen=True):
    """Who calls, as an edge sees it.

    Attributes:
        peer: The address at the other end; empty where there is none.
        local: The address at this end; None where the edge cannot tell.
        headers: All headers or metadata, lower-case names, every value.
        http: For HTTP callers.
    """

    peer: str
    local: str | None
    headers: Headers
    http: Http | None = None


class Access:
    """The operator's rules for callers."""

    def __init__(self, config: Config) -> None:
        self._digest = _digest(config.apikey.reveal()) if isinstance(config.apikey, Secret) else None
        self._trust_localhost = config.trust_localhost

    def check(self, method: str, caller: Caller) -> None:
        """Lets `caller` use `method`, or says why not.

        Raises:
            ApiError: AUTHENTICATION_FAILED where a key would help, PERMISSION_DENIED where none is set.
        """
        need = NEEDS.get(method)
        if need is Need.NOTHING:
            return
        if need is Need.DETAILS and self.sees_details(caller):
            return
        if need is Need.USE and (self.has_key(caller) if self._digest else self._is_trusted(caller)):
            return
        if self._digest is None:
            raise ApiError(
                Reason.PERMISSION_DENIED,
                "No API key is configured, so only callers on this host are served, by its own name. "
                "Set apikey (or CCPROXY_API_KEY) to serve others.",
            )
        raise ApiError(Reason.AUTHENTICATION_FAILED, "Invalid or missing API key")

    def sees_details(self, caller: Caller) -> bool:
        """Whether `caller` may see what describes this installation."""
        return self.has_key(caller) or self._is_trusted(caller)

    def has_key(self, caller: Caller) -> bool:
        """Whether the caller shows the key, in either header. A header sent twice is no key at all."""
        if self._digest is None:
            return False
        found = False
        for presented in _presented(caller.headers):
            found |= hmac.compare_digest(_digest(presented), self._digest)
        return found

    def _is_trusted(self, caller: Caller) -> bool:
        return self._trust_localhost and is_local(caller)


def is_local(caller: Caller) -> bool:
    """Whether the request was made on this host, for this host, and passed on by nobody."""
    if not _is_loopback(caller.peer) or (caller.local is not None and not _is_loopback(caller.local)):
        return False
    if any(_tells_of_forwarding(name) for name in caller.headers):
        return False
    return caller.http is None or _is_for_this_host(caller.http, caller.headers)


def _is_for_this_host(http: Http, headers: Headers) -> bool:
    if http.version < (1, 1) or not http.origin_form or len(http.hosts) != 1:
        return False
    if not _is_own_authority(http.hosts[0], http.port):
        return False
    for origin in headers.get("origin", ()):
        scheme, _, authority = origin.partition("://")
        if scheme != "http" or not _is_own_authority(authority, http.port, implied=80):
            return False
    return all(site in {"none", "same-origin"} for site in headers.get("sec-fetch-site", ()))


def _is_own_authority(authority: str, port: int, implied: int | None = None) -> bool:
    """Whether `host` or `host:port` names this service. Without `implied`, an absent port fits any."""
    host, colon, given = authority.lower().rpartition(":")
    if not colon or authority.endswith("]"):
        host, given = authority.lower(), ""
    if host not in LOCAL_NAMES:
        return False
    return given == str(port) if given else implied in {None, port}


def _tells_of_forwarding(name: str) -> bool:
    name = name.replace("_", "-")
    return name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)  # only Python 3.13 looks through it by itself
    return bool((mapped or parsed).is_loopback)


def _presented(headers: Headers) -> list[str]:
    presented = list(_single(headers, "x-api-key"))
    for value in _single(headers, "authorization"):
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            presented.append(token.strip())
    return presented


def _single(headers: Headers, name: str) -> Sequence[str]:
    values = headers.get(name, ())
    return values if len(values) == 1 else ()


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
