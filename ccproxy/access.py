"""Who may ask what. Both edges ask here, for every route and every RPC, by the name of the service's method.

The rules (decision D12): the API's name and basic health are open; details, status and metrics need a key or a
caller on this host; everything that costs money needs a key that is good for all where there is one, and a caller
on this host where there is none. "On this host" is more than an address: a web page, a tunnel or a sidecar also
comes from 127.0.0.1, so nothing about the request may say that it was made for another host or passed on by
somebody.

The peer is who the connection comes from. What a header says about that can only take trust away.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Literal

from msgspec import Struct

from ccproxy.call import Headers
from ccproxy.config import Config
from ccproxy.errors import ApiError, Reason
from ccproxy.keys import Key, KeyRing

LOCAL: Final = "local"
"""The name of a caller who is let in without a key."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

SHARED_HEADERS = ("x-api-key", "authorization")
"""Where a key is. A provider's own is in the same places."""

OWN_HEADER = "x-ccproxy-key"
"""Where a key is, too: for callers whose credential for the provider takes the usual places (`auth: client`)."""

_PLACES = (*SHARED_HEADERS, OWN_HEADER)

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

_PORTS = {"http": 80, "https": 443}
"""What a scheme means that names no port."""

_MAPPED_BITS = 96  # of an IPv6 address: what stands before the IPv4 address that it holds

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Need(Enum):
    """What a method asks of its caller."""

    NOTHING = "nothing"
    DETAILS = "details"  # any key, or a caller on this host
    SCHEMA = "schema"  # a key that is good for all, or a caller on this host
    USE = "use"  # a key that is good for all where there is one, else a caller on this host


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
    "grpc.reflection.v1.ServerReflection.ServerReflectionInfo": Need.SCHEMA,
    "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo": Need.SCHEMA,
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
        scheme: `https` where that port speaks TLS.
    """

    hosts: Sequence[str]
    version: tuple[int, int]
    origin_form: bool
    port: int
    scheme: Literal["http", "https"] = "http"


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
    """The operator's rules for callers.

    Raises:
        OSError: As `KeyRing`.
    """

    def __init__(self, config: Config) -> None:
        self._keys = KeyRing(config)
        self._serves_keys = self._keys.has("all")
        self._shows_keys = config.has_key
        self._trust_localhost = config.trust_localhost
        self._allowed = [_network(each) for each in config.allowed_ips]

    def use(self, other: "Access") -> None:
        """Follows the rules of `other` from now on: both edges hold this object."""
        self.__dict__.update(other.__dict__)

    def check(self, method: str, caller: Caller) -> str:
        """Lets `caller` use `method`, or says why not.

        Returns:
            Who was let in: the name of the key, or LOCAL; empty where the method is open to everybody.

        Raises:
            ApiError: AUTHENTICATION_FAILED where a key would help, else PERMISSION_DENIED.
        """
        need = NEEDS.get(method)
        if need is Need.NOTHING:
            return ""
        self.check_address(caller)
        key = self._key(caller)
        if key is not None and need is not None and (key.scope == "all" or need is Need.DETAILS):
            return key.name
        if self._opens_to_this_host(need) and self._is_trusted(caller):
            return LOCAL
        raise self._refusal(need, key)

    def check_address(self, caller: Caller) -> None:
        """Lets `caller` connect, or says why not: all that is asked where there is no key to show.

        Raises:
            ApiError: PERMISSION_DENIED.
        """
        if not self._may_connect(caller):
            raise ApiError(Reason.PERMISSION_DENIED, "This address is not one of those that are served here")

    def sees_details(self, caller: Caller) -> bool:
        """Whether `caller` may see what describes this installation."""
        return self._may_connect(caller) and (self._key(caller) is not None or self._is_trusted(caller))

    def without_keys(self, headers: Headers) -> Headers:
        """`headers` without one of SHARED_HEADERS that holds a key: what might be passed on must not show it."""
        held = [
            name
            for name in SHARED_HEADERS
            if name in headers and self._keys.find([_secret(name, value) for value in headers[name]])
        ]
        return {name: values for name, values in headers.items() if name not in held} if held else headers

    def _opens_to_this_host(self, need: Need | None) -> bool:
        return need in {Need.DETAILS, Need.SCHEMA} or (need is Need.USE and not self._serves_keys)

    def _refusal(self, need: Need | None, key: Key | None) -> ApiError:
        if key is not None and key.scope == "monitor":
            return ApiError(
                Reason.PERMISSION_DENIED,
                "This key's scope is `monitor`, which is not enough here: it shows health, status and metrics. "
                "Use a key with the scope `all`.",
            )
        if not (self._shows_keys if need is Need.DETAILS else self._serves_keys):
            missing = "No API key with the scope `all`" if self._shows_keys else "No API key"
            return ApiError(
                Reason.PERMISSION_DENIED,
                f"{missing} is configured, so only callers on this host are served, by its own name. "
                "Set apikey (or CCPROXY_API_KEY) to serve others.",
            )
        return ApiError(Reason.AUTHENTICATION_FAILED, "Invalid or missing API key")

    def _key(self, caller: Caller) -> Key | None:
        return self._keys.find(_presented(caller.headers))

    def _is_trusted(self, caller: Caller) -> bool:
        return self._trust_localhost and is_local(caller)

    def _may_connect(self, caller: Caller) -> bool:
        """Whether the operator's list of addresses has the caller's. This host is on it only if it is named."""
        if not self._allowed:
            return True
        address = _address(caller.peer)
        return address is not None and any(address in network for network in self._allowed)


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
        if scheme != http.scheme or not _is_own_authority(authority, http.port, implied=_PORTS[http.scheme]):
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


def _is_loopback(text: str) -> bool:
    address = _address(text)
    return address is not None and address.is_loopback


def _address(text: str) -> Address | None:
    """An address without its zone; one of IPv4 as such, also where a dual-stack socket shows it in IPv6's form."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped  # only Python 3.13 looks through it by itself
    return parsed


def _network(text: str) -> Network:
    """A network, or the network of one address; of IPv4 where it is written in IPv6's form."""
    network = ipaddress.ip_network(text, strict=False)
    address = network.network_address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped and network.prefixlen >= _MAPPED_BITS:
        return ipaddress.IPv4Network((address.ipv4_mapped, network.prefixlen - _MAPPED_BITS))
    return network


def _presented(headers: Headers) -> list[str]:
    """What may be a key. A header that is sent twice is none: two readers could take different ones."""
    presented = []
    for name in _PLACES:
        values = headers.get(name, ())
        if len(values) == 1 and (secret := _secret(name, values[0])):
            presented.append(secret)
    return presented


def _secret(name: str, value: str) -> str:
    """The part of a header that may be a key."""
    if name != "authorization":
        return value
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
