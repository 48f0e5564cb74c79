"""Who may ask what: the truth table of "on this host", and of the keys."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import pytest

from ccproxy.access import LOCAL, NEEDS, Access, Caller, Http, Need, is_local
from ccproxy.config import Config, KeyConfig, Secret
from ccproxy.errors import ApiError, Reason

PORT = 3456
KEY = "a-key-of-the-operator"
MONITORS = "a-key-of-the-monitor"
DETAILS = "ccproxy.v1.Status.GetStatus"
SCHEMA = "grpc.reflection.v1.ServerReflection.ServerReflectionInfo"
USE = "ccproxy.v1.Proxy.CreateMessage"
OPEN = "ccproxy.v1.Status.GetInfo"

OWN_HOSTS = (
    "localhost",
    "localhost:3456",
    "localhost:",
    "LOCALHOST",
    "LocalHost:3456",
    "127.0.0.1",
    "127.0.0.1:3456",
    "[::1]",
    "[::1]:3456",
)

FOREIGN_HOSTS = (
    "",
    " ",
    ":",
    ":3456",
    "localhost:80",
    "localhost:3457",
    "localhost:03456",
    "localhost:+3456",
    "localhost:3456 ",
    "localhost:３４５６",  # noqa: RUF001  # digits that are no ASCII
    "localhost:0",
    "localhost:-1",
    "localhost:3456:3456",
    "localhost:x",
    "localhost.",
    "localhost.:3456",
    "localhost.evil.example",
    "localhost.localdomain",
    "evil-localhost",
    "evil.example",
    "evil.example:3456",
    "sub.localhost",
    "localhost,evil.example",
    "localhost evil.example",
    "localhost/",
    "localhost@evil.example",
    "user@localhost",
    "user:password@localhost:3456",
    "evil.example#localhost",
    "evil.example?localhost",
    "http://localhost",
    "http://localhost:3456",
    "//localhost",
    "loopback",
    "ip6-localhost",
    "0.0.0.0",
    "0.0.0.0:3456",
    "0",
    "127.0.0.1.",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.example",
    "127.1",
    "127.0.1",
    "127.0.0.2",
    "127.0.0.01",
    "127.000.000.001",
    "0127.0.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "１２７.0.0.1",  # noqa: RUF001
    "127。0。0。1",
    "::1",
    "::1:3456",
    "[::1",
    "::1]",
    "[::1]]",
    "[[::1]]",
    "[::1].",
    "[::1]:80",
    "[::1]3456",
    "[::1%lo]",
    "[::1%25lo]:3456",
    "[::]",
    "[::]:3456",
    "[0:0:0:0:0:0:0:1]",
    "[::0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[127.0.0.1]",
    "localhoſt",  # noqa: RUF001  # a long s
    "lоcalhost",  # noqa: RUF001  # a Cyrillic o
    "localhost\x00",
    "localhost\t",
    "192.168.1.10:3456",
    "10.0.0.5",
    "169.254.169.254",
    "metadata.internal",
)

FORWARDING = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-anything",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "x-envoy-external-address",
    "x-original-host",
    "x-original-url",
    "tailscale-user-login",
)


def over_http(
    host: str | Sequence[str] = "localhost:3456",
    *,
    peer: str = "127.0.0.1",
    local: str | None = "127.0.0.1",
    version: tuple[int, int] = (1, 1),
    origin_form: bool = True,
    **headers: str | list[str],
) -> Caller:
    """A caller as the HTTP edge describes it; header names with `_` for `-`."""
    named = {name.replace("_", "-"): [v] if isinstance(v, str) else v for name, v in headers.items()}
    hosts = [host] if isinstance(host, str) else host
    return Caller(peer, local, named, Http(hosts, version, origin_form, PORT))


def over_grpc(peer: str = "127.0.0.1", headers: Mapping[str, Sequence[str]] | None = None) -> Caller:
    """A caller as the gRPC edge describes it."""
    return Caller(peer, None, headers or {})


def stranger(**headers: str | list[str]) -> Caller:
    """A caller of another host."""
    return over_http("gateway.example", peer="203.0.113.9", local="192.0.2.1", **headers)


def access(key: str | None = KEY, *, trust: bool = True) -> Access:
    """The rules with a key, or without one."""
    return Access(Config(apikey=None if key is None else Secret(key), trust_localhost=trust))


def scoped(*keys: KeyConfig, **settings) -> Access:
    """The rules with these keys, and a monitor's."""
    return Access(Config(keys=[KeyConfig("grafana", "monitor", key=Secret(MONITORS)), *keys], **settings))


def who(rules: Access, method: str, caller: Caller) -> str | Reason:
    """Who `caller` is let in as, or why not at all."""
    try:
        return rules.check(method, caller)
    except ApiError as error:
        return error.reason


def verdict(rules: Access, method: str, caller: Caller) -> Reason | None:
    """Why `caller` is refused; None where it is let in."""
    try:
        rules.check(method, caller)
    except ApiError as error:
        return error.reason
    return None


# On this host.


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_request_to_our_own_name_is_local(host: str):
    """Curl, SDKs and probes on this host write the name in these ways."""
    assert is_local(over_http(host))


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_request_to_another_name_is_not_local(host: str):
    """DNS rebinding: the browser believes it talks to the name in Host, whatever address that has."""
    assert not is_local(over_http(host))


def test_the_table_of_hosts_is_large():
    """A predicate with many traps needs many rows; a table that shrinks would not be noticed otherwise."""
    assert len({*OWN_HOSTS, *FOREIGN_HOSTS}) >= 60


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("localhost", "evil.example")])
def test_host_must_come_exactly_once(hosts: Sequence[str]):
    """Two readers of two Hosts may each take another one; without any, libraries make one up."""
    assert not is_local(over_http(hosts))


@pytest.mark.parametrize("version", [(0, 9), (1, 0)])
def test_old_http_is_not_local(version: tuple[int, int]):
    """HTTP/1.0 needs no Host, so nothing says for whom the request was made."""
    assert not is_local(over_http(version=version))


def test_an_absolute_target_is_not_local():
    """`GET http://localhost/` with a foreign Host: the two names disagree, and only proxies write it."""
    assert not is_local(over_http(origin_form=False))


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::1%lo", "::1%eth0"]
)
def test_a_loopback_peer_is_local(peer: str):
    """A dual-stack socket shows IPv4 peers as mapped addresses."""
    assert is_local(over_http(peer=peer))


@pytest.mark.parametrize(
    "peer",
    [
        "",
        "unix:",
        "unix:/run/ccproxy.sock",
        "localhost",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.1.1",
        "100.64.0.1",
        "128.0.0.1",
        "126.255.255.255",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "fe80::1",
        "fe80::1%lo",
        "2001:db8::1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "127.0.0.1:1234",
        "[::1]",
        "127.0.0.1, 10.0.0.1",
        "%lo",
        "not an address",
    ],
)
def test_any_other_peer_is_not_local(peer: str):
    """Only addresses the kernel itself names as loopback count; a unix socket shows an empty peer."""
    assert not is_local(over_http(peer=peer))


@pytest.mark.parametrize(
    ("local", "expected"), [("::1", True), ("192.168.1.10", False), ("", False), ("::", False)]
)
def test_this_end_must_be_loopback_too(local: str, expected: bool):  # noqa: FBT001  # a column of the table
    """A router that rewrites the source leaves the destination: what came to a LAN address is from the LAN."""
    assert is_local(over_http(local=local)) is expected


@pytest.mark.parametrize("name", FORWARDING)
@pytest.mark.parametrize("spelling", [str, lambda name: name.replace("-", "_")])
def test_a_trace_of_forwarding_is_not_local(name: str, spelling: type[str]):
    """A reverse proxy or tunnel on this host also comes from 127.0.0.1; WSGI-like ones write underscores."""
    assert not is_local(Caller("127.0.0.1", "127.0.0.1", {spelling(name): [""]}, over_http().http))


@pytest.mark.parametrize("name", FORWARDING)
def test_a_trace_of_forwarding_counts_over_grpc(name: str):
    """GRPC shows no Host, so forwarding marks are all there is to tell a sidecar by."""
    assert not is_local(over_grpc(headers={name: ["203.0.113.9"]}))


@pytest.mark.parametrize("name", ["x-request-id", "x-api-key", "user-agent", "viable", "x-forward", "cfx"])
def test_other_headers_do_not_matter(name: str):
    """SDKs send many headers of their own."""
    assert is_local(Caller("127.0.0.1", "127.0.0.1", {name: ["1"]}, over_http().http))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:3456", True),
        ("http://127.0.0.1:3456", True),
        ("http://[::1]:3456", True),
        ("http://localhost", False),  # port 80 is another site
        ("http://localhost:3000", False),
        ("https://localhost:3456", False),
        ("https://localhost", False),
        ("HTTP://localhost:3456", False),
        ("http://evil.example", False),
        ("http://evil.example:3456", False),
        ("http://localhost.evil.example:3456", False),
        ("http://localhost:3456.evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
        ("chrome-extension://abcdef", False),
    ],
)
def test_a_page_of_another_origin_is_not_local(origin: str, expected: bool):  # noqa: FBT001
    """A web page in the operator's browser runs on this host, and is not the operator."""
    assert is_local(over_http(origin=origin)) is expected


def test_every_origin_must_be_our_own():
    """A second Origin is no way around the first."""
    assert not is_local(over_http(origin=["http://localhost:3456", "http://evil.example"]))


def test_port_80_may_be_left_out_of_an_origin():
    """Browsers write no port where it is the scheme's own."""
    http = Http(["localhost"], (1, 1), origin_form=True, port=80)

    assert is_local(Caller("127.0.0.1", "127.0.0.1", {"origin": ["http://localhost"]}, http))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://localhost:3456", True),
        ("https://127.0.0.1:3456", True),
        ("http://localhost:3456", False),
        ("https://localhost", False),  # port 443
        ("https://evil.example:3456", False),
    ],
)
def test_over_tls_the_own_origin_is_https(origin: str, expected: bool):  # noqa: FBT001
    """The page of another scheme is another site."""
    http = Http(["localhost:3456"], (1, 1), origin_form=True, port=3456, scheme="https")

    assert is_local(Caller("127.0.0.1", "127.0.0.1", {"origin": [origin]}, http)) is expected


def test_port_443_may_be_left_out_of_an_origin():
    """As 80 without TLS."""
    http = Http(["localhost"], (1, 1), origin_form=True, port=443, scheme="https")

    assert is_local(Caller("127.0.0.1", "127.0.0.1", {"origin": ["https://localhost"]}, http))


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("none", True),
        ("same-origin", True),
        ("same-site", False),
        ("cross-site", False),
        ("", False),
        ("x", False),
    ],
)
def test_a_request_from_another_site_is_not_local(site: str, expected: bool):  # noqa: FBT001
    """Images and forms carry no Origin on GET; Sec-Fetch-Site tells them."""
    assert is_local(over_http(sec_fetch_site=site)) is expected


def test_a_local_grpc_caller_is_local():
    """No browser speaks gRPC, and :authority is hidden from the server: the address decides."""
    assert is_local(over_grpc())


@pytest.mark.parametrize("peer", ["", "10.0.0.1"])
def test_a_distant_grpc_caller_is_not_local(peer: str):
    """The same rule as over HTTP."""
    assert not is_local(over_grpc(peer))


# All of it at once: every column can take trust away, and none can give it back.

PEERS = {
    "127.0.0.1": True,
    "::1": True,
    "::ffff:127.0.0.1": True,
    "192.168.1.20": False,
    "::ffff:192.168.1.20": False,
}
MARKS = {
    (): True,
    (("x-forwarded-for", "127.0.0.1"),): False,  # whatever it claims
    (("forwarded", "for=127.0.0.1;host=localhost"),): False,
    (("x_real_ip", "::1"),): False,
}
ORIGINS = {None: True, "http://localhost:3456": True, "http://evil.example": False}
SITES = {None: True, "same-origin": True, "cross-site": False}
AUTHORITIES = {"localhost:3456": True, "127.0.0.1": True, "evil.example:3456": False}

Row = tuple[str, tuple[tuple[str, str], ...], str | None, str | None, str]
COMBINATIONS: list[Row] = list(product(PEERS, MARKS, ORIGINS, SITES, AUTHORITIES))


def combined(row: Row) -> Caller:
    """The caller of a row."""
    peer, marks, origin, site, host = row
    said = {"origin": origin, "sec-fetch-site": site}
    headers = {**dict(marks), **{name: value for name, value in said.items() if value is not None}}
    return Caller(
        peer,
        "127.0.0.1",
        {name: [value] for name, value in headers.items()},
        Http([host], (1, 1), origin_form=True, port=PORT),
    )


@pytest.mark.parametrize("row", COMBINATIONS, ids=str)
def test_trust_needs_every_column(row: Row):
    """No mark of a stranger is made good by another one that says "this host"."""
    peer, marks, origin, site, host = row
    expected = all((PEERS[peer], MARKS[marks], ORIGINS[origin], SITES[site], AUTHORITIES[host]))

    assert is_local(combined(row)) is expected


def test_the_table_of_combinations_is_large_and_has_both_ends():
    """A table whose rows all say the same would prove nothing."""
    local = sum(is_local(combined(row)) for row in COMBINATIONS)

    assert len(COMBINATIONS) >= 100
    assert local == 3 * 1 * 2 * 2 * 2


@pytest.mark.parametrize("claim", ["127.0.0.1", "::1", "localhost", "10.0.0.1, 127.0.0.1"])
@pytest.mark.parametrize("name", FORWARDING)
def test_a_header_never_makes_a_peer_local(name: str, claim: str):
    """Everybody can write `x-forwarded-for: 127.0.0.1`."""
    assert not is_local(Caller("203.0.113.9", "127.0.0.1", {name: [claim]}, over_http().http))


# The key.


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": [KEY]},
        {"authorization": [f"Bearer {KEY}"]},
        {"authorization": [f"bearer {KEY}"]},
        {"authorization": [f"BEARER   {KEY} "]},
        {"x-api-key": [KEY], "authorization": [f"Bearer {KEY}"]},
        {"x-api-key": ["wrong"], "authorization": [f"Bearer {KEY}"]},
        {"x-api-key": [KEY], "authorization": ["Bearer wrong"]},
        {"x-api-key": [KEY], "authorization": ["Basic dXNlcjpwYXNz"]},
        {"x-api-key": [KEY, KEY], "authorization": [f"Bearer {KEY}"]},
        {"x-api-key": [""], "authorization": [f"Bearer {KEY}"]},
        {"x-ccproxy-key": [KEY]},
        {"x-ccproxy-key": [KEY], "x-api-key": ["the provider's"], "authorization": ["Bearer the-provider's"]},
        {"x-ccproxy-key": ["wrong"], "x-api-key": [KEY]},
        {"x-ccproxy-key": [KEY, KEY], "x-api-key": [KEY]},
    ],
)
def test_the_key_in_any_header_is_enough(headers: dict[str, list[str]]):
    """Claude Code may send both headers with different values, and its own token beside our key."""
    assert who(access(), USE, over_grpc("203.0.113.9", headers)) == "apikey"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": []},
        {"x-api-key": [""]},
        {"x-api-key": ["wrong"]},
        {"x-api-key": [KEY[:-1]]},
        {"x-api-key": [KEY + "x"]},
        {"x-api-key": [KEY.upper()]},
        {"x-api-key": [KEY, KEY]},
        {"x-api-key": [KEY, "wrong"]},
        {"x-api-key": [f"{KEY}, {KEY}"]},
        {"x-api-key": [f"Bearer {KEY}"]},
        {"authorization": [KEY]},
        {"authorization": ["Bearer"]},
        {"authorization": ["Bearer "]},
        {"authorization": [f"Basic {KEY}"]},
        {"authorization": [f"Bearer{KEY}"]},
        {"authorization": [f"Bearer {KEY}", f"Bearer {KEY}"]},
        {"x_api_key": [KEY]},
        {"api-key": [KEY]},
        {"cookie": [f"x-api-key={KEY}"]},
        {"x-ccproxy-key": [f"Bearer {KEY}"]},
        {"x-ccproxy-key": [KEY, KEY]},
        {"x-ccproxy-key": ["wrong"], "x-api-key": ["wrong"], "authorization": ["Bearer wrong"]},
    ],
)
def test_nothing_else_is_the_key(headers: dict[str, list[str]]):
    """A header sent twice is none at all: two readers could take different ones."""
    assert not access().sees_details(over_grpc("203.0.113.9", headers))


@pytest.mark.parametrize("presented", ["", "None", "anything"])
def test_without_a_key_none_fits(presented: str):
    """Where no key is set, the empty key does not open."""
    assert not access(None).sees_details(stranger(x_api_key=presented))


@pytest.mark.parametrize("key", ["ключ-🔑", "é", "k" * 10_000])
def test_any_text_can_be_a_key(key: str):
    """compare_digest refuses text that is not ASCII, so digests are compared."""
    assert access(key).sees_details(stranger(x_api_key=key))


def test_bytes_that_are_no_text_are_a_wrong_key():
    """Aiohttp hands such bytes over as lone surrogates; encoding them must not raise."""
    assert not access().sees_details(stranger(x_api_key="\udcff\udc80"))


def test_a_key_survives_the_way_through_surrogates():
    """The same bytes on both sides are the same key, also where they are not UTF-8."""
    assert access("\udcff").sees_details(stranger(x_api_key="\udcff"))


# What each method asks.


@pytest.mark.parametrize("method", sorted(m for m, need in NEEDS.items() if need is Need.NOTHING))
def test_open_methods_are_open_to_everybody(method: str):
    """Probes have no key and come from other hosts."""
    assert verdict(access(), method, stranger()) is None


@pytest.mark.parametrize("method", sorted(m for m, need in NEEDS.items() if need is not Need.NOTHING))
@pytest.mark.parametrize(
    ("key", "reason"), [(KEY, Reason.AUTHENTICATION_FAILED), (None, Reason.PERMISSION_DENIED)]
)
def test_all_others_are_closed_to_strangers(method: str, key: str | None, reason: Reason):
    """401 where a key would help, 403 where there is none to show."""
    assert verdict(access(key), method, stranger()) is reason


@pytest.mark.parametrize("method", sorted(m for m, need in NEEDS.items() if need is not Need.NOTHING))
def test_all_others_are_open_to_the_key(method: str):
    """From anywhere: that is what the key is for."""
    assert verdict(access(), method, stranger(x_api_key=KEY)) is None


def test_details_are_open_on_this_host_although_a_key_is_set():
    """The specification: "API key or localhost"."""
    assert verdict(access(), DETAILS, over_http()) is None


def test_use_needs_the_key_on_this_host_too_where_one_is_set():
    """A tunnel without marks also comes from 127.0.0.1, and every call costs money."""
    assert verdict(access(), USE, over_http()) is Reason.AUTHENTICATION_FAILED


@pytest.mark.parametrize("method", [DETAILS, USE])
def test_without_a_key_this_host_may_do_all(method: str):
    """It runs with no configuration."""
    assert verdict(access(None), method, over_http()) is None


@pytest.mark.parametrize("method", [DETAILS, USE])
@pytest.mark.parametrize(
    ("key", "reason"), [(KEY, Reason.AUTHENTICATION_FAILED), (None, Reason.PERMISSION_DENIED)]
)
def test_trust_in_this_host_can_be_switched_off(method: str, key: str | None, reason: Reason):
    """In a pod, sidecars and port-forwards come from 127.0.0.1."""
    assert verdict(access(key, trust=False), method, over_http()) is reason


def test_basic_health_is_open_but_details_are_asked_for():
    """One route, two answers."""
    rules = access()

    assert (rules.sees_details(stranger()), rules.sees_details(over_http())) == (False, True)


def test_a_wrong_key_takes_nothing_away_from_this_host():
    """The specification says "API key or localhost": either is enough."""
    assert access().sees_details(over_http(x_api_key="wrong"))


@pytest.mark.parametrize("method", ["", "ccproxy.v1.Status.NewMethod", "GetInfo", "/"])
@pytest.mark.parametrize("caller", [stranger(x_api_key=KEY), over_http()])
def test_a_method_without_a_rule_is_refused(method: str, caller: Caller):
    """A new route is closed until somebody says who may use it."""
    assert verdict(access(), method, caller) is Reason.AUTHENTICATION_FAILED


def test_the_refusal_names_the_remedy():
    """Who serves without a key learns how to serve others."""
    with pytest.raises(ApiError, match="CCPROXY_API_KEY"):
        access(None).check(USE, stranger())


def test_the_refusal_repeats_nothing_of_the_caller():
    """A mistyped key is a secret too."""
    with pytest.raises(ApiError) as raised:
        access().check(USE, stranger(x_api_key="sk-mistyped"))

    assert raised.value.message == "Invalid or missing API key"


# What may be passed on.


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"x-api-key": [KEY]}, set()),
        ({"authorization": [f"Bearer {KEY}"]}, set()),
        ({"authorization": [f"bearer  {KEY}"], "x-api-key": ["sk-ant-1"]}, {"x-api-key"}),
        ({"x-api-key": [KEY], "authorization": ["Bearer sk-ant-1"]}, {"authorization"}),
        ({"x-api-key": [MONITORS], "x-ccproxy-key": [KEY]}, {"x-ccproxy-key"}),
        ({"x-api-key": [KEY], "x-ccproxy-key": ["wrong"]}, {"x-ccproxy-key"}),
        ({"x-api-key": ["sk-ant-1", KEY]}, set()),
        ({"x-api-key": ["sk-ant-1"], "user-agent": [KEY]}, {"x-api-key", "user-agent"}),
        ({"authorization": [f"Basic {KEY}"]}, {"authorization"}),
        ({}, set()),
    ],
)
def test_a_key_of_ours_is_not_passed_on(headers: dict[str, list[str]], left: set[str]):
    """With `auth: client` a caller's credential goes to the provider, which must not learn our keys by mistake."""
    rules = scoped(KeyConfig("claude-code", key=Secret(KEY)))

    assert set(rules.without_keys(headers)) == left


# Who it was.


def test_the_key_is_told_by_its_name():
    """Logs show who called, and never a part of the key."""
    rules = scoped(KeyConfig("claude-code", key=Secret(KEY)))

    assert who(rules, USE, stranger(x_api_key=KEY)) == "claude-code"


def test_the_key_of_apikey_is_told_as_such():
    """It has no name of its own."""
    assert who(access(), USE, stranger(x_api_key=KEY)) == "apikey"


def test_a_caller_on_this_host_is_told_as_local():
    """There is no key to name."""
    assert who(access(None), USE, over_http()) == LOCAL


def test_a_key_is_told_before_the_host():
    """It says more: who on this host it was."""
    assert who(access(), DETAILS, over_http(x_api_key=KEY)) == "apikey"


def test_an_open_method_names_nobody():
    """Nobody was asked."""
    assert who(access(), OPEN, over_http(x_api_key=KEY)) == ""


# Scopes.


@pytest.mark.parametrize("method", sorted(m for m, need in NEEDS.items() if need is Need.DETAILS))
def test_a_monitor_sees_details(method: str):
    """Health details, status, metrics: what it is for."""
    assert who(scoped(), method, stranger(x_api_key=MONITORS)) == "grafana"


def test_a_monitor_sees_the_details_of_health():
    """They are asked for apart."""
    assert scoped().sees_details(stranger(x_api_key=MONITORS))


@pytest.mark.parametrize("others", [(), (KeyConfig("claude-code", key=Secret(KEY)),)])
@pytest.mark.parametrize("method", sorted(m for m, need in NEEDS.items() if need in {Need.USE, Need.SCHEMA}))
def test_a_monitor_may_do_nothing_else(method: str, others: tuple[KeyConfig, ...]):
    """A key in a dashboard's configuration must not be worth money; 403, because the key itself is right."""
    assert who(scoped(*others), method, stranger(x_api_key=MONITORS)) is Reason.PERMISSION_DENIED


def test_a_monitor_is_told_what_is_missing():
    """Else its operator would look for a wrong key."""
    with pytest.raises(ApiError, match="scope is `monitor`, which is not enough"):
        scoped().check(USE, stranger(x_api_key=MONITORS))


def test_of_two_keys_the_better_one_counts():
    """Either header may hold either key."""
    rules = scoped(KeyConfig("claude-code", key=Secret(KEY)))
    seen = {
        who(rules, USE, stranger(x_api_key=first, authorization=f"Bearer {second}"))
        for first, second in [(KEY, MONITORS), (MONITORS, KEY)]
    }

    assert seen == {"claude-code"}


def test_a_monitors_key_does_not_close_this_host():
    """With no key that is good for all, callers on this host are served as before."""
    assert who(scoped(), USE, over_http()) == LOCAL


def test_a_monitors_key_takes_nothing_away_from_this_host():
    """As a wrong one: who leaves it out is let in."""
    assert who(scoped(), SCHEMA, over_http(x_api_key=MONITORS)) == LOCAL


def test_a_stranger_is_told_403_where_only_monitors_have_keys():
    """No key that it could send would help with messages."""
    with pytest.raises(ApiError, match="No API key with the scope `all` is configured") as raised:
        scoped().check(USE, stranger())

    assert raised.value.reason is Reason.PERMISSION_DENIED


def test_a_stranger_is_told_401_where_a_monitors_key_would_help():
    """It would, for details."""
    assert who(scoped(), DETAILS, stranger()) is Reason.AUTHENTICATION_FAILED


def test_a_monitors_key_opens_no_unknown_method():
    """A new route is closed for it, too."""
    assert who(scoped(), "ccproxy.v1.Status.NewMethod", stranger(x_api_key=MONITORS)) is Reason.PERMISSION_DENIED


# Which addresses may connect.

LISTED = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:172.16.0.0/108"]


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("10.0.0.1", True),
        ("10.255.255.255", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8::1", True),
        ("2001:db8::1%eth0", True),
        ("2001:db9::1", False),
        ("172.16.0.1", True),
        ("::ffff:172.31.255.255", True),
        ("172.32.0.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),
        ("unix:", False),
        ("10.0.0.1, 127.0.0.1", False),
    ],
)
@pytest.mark.parametrize("method", [DETAILS, SCHEMA, USE])
def test_only_listed_addresses_are_served(method: str, peer: str, expected: bool):  # noqa: FBT001
    """Also with the right key, and also on this host: a tunnel's end is on this host, too."""
    rules = Access(Config(apikey=Secret(KEY), allowed_ips=LISTED))
    refused = who(rules, method, over_http(peer=peer, x_api_key=KEY)) is Reason.PERMISSION_DENIED

    assert refused is not expected


@pytest.mark.parametrize("method", sorted(m for m, need in NEEDS.items() if need is Need.NOTHING))
def test_open_methods_are_open_to_every_address(method: str):
    """The kubelet's address is in nobody's list, and a probe that is refused restarts the pod."""
    assert who(Access(Config(allowed_ips=LISTED)), method, stranger()) == ""


def test_an_address_outside_sees_no_details_of_health():
    """The route is open, what it protects is not."""
    rules = Access(Config(apikey=Secret(KEY), allowed_ips=LISTED))

    assert not rules.sees_details(stranger(x_api_key=KEY))


@pytest.mark.parametrize("name", FORWARDING)
def test_a_header_never_makes_an_address_a_listed_one(name: str):
    """The peer is who the connection comes from."""
    rules = Access(Config(apikey=Secret(KEY), allowed_ips=LISTED))
    caller = Caller("203.0.113.9", "192.0.2.1", {name: ["10.0.0.1"], "x-api-key": [KEY]}, over_http().http)

    assert who(rules, USE, caller) is Reason.PERMISSION_DENIED


def test_all_of_ipv6_is_nothing_of_ipv4():
    """A dual-stack socket's mapped addresses are IPv4's."""
    rules = Access(Config(apikey=Secret(KEY), allowed_ips=["::/0"]))

    assert who(rules, USE, stranger(x_api_key=KEY)) is Reason.PERMISSION_DENIED
    assert who(rules, USE, over_http(peer="2001:db8::1", x_api_key=KEY)) == "apikey"


def test_this_host_may_be_listed():
    """As every other address."""
    assert who(Access(Config(allowed_ips=["127.0.0.1"])), USE, over_http()) == LOCAL


# Keys in files.


def test_a_keys_file_is_read_at_the_start(tmp_path: Path):
    """A mistyped path must not start a service that nobody can use."""
    with pytest.raises(OSError, match=r"key apikey: .*missing: No such file or directory"):
        Access(Config(apikey_file=str(tmp_path / "missing")))


def test_the_key_of_a_file_is_a_key(tmp_path: Path):
    """Docker and Kubernetes mount secrets as files."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "key").chmod(0o600)

    assert who(Access(Config(apikey_file=str(tmp_path / "key"))), USE, stranger(x_api_key=KEY)) == "apikey"
