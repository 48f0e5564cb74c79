"""Configurations of the right shape that cannot work."""

from pathlib import Path
from typing import Any

import pytest
from unit.configs import CANARY, places, problems, read

from ccproxy.config import Secret

SHA = "ab" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a configuration."""
    return tmp_path


@pytest.mark.parametrize(
    "document", [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.1.5"}, {"host": "box"}]
)
def test_serving_other_hosts_needs_a_key(home: Path, document: Any):
    """Else anybody in the network spends the operator's money."""
    assert "a key is needed" in problems(home, document)[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "::ffff:127.0.0.1"])
def test_serving_this_host_needs_none(home: Path, host: str):
    """The default."""
    assert read(home, {"host": host}).is_loopback


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"port": -1}, "$.port"),
        ({"port": 65536}, "$.port"),
        ({"port": 10**30}, "$.port"),
        ({"grpc_port": -1}, "$.grpc_port"),
        ({"port": 4000, "grpc_port": 4000}, "$.grpc_port"),
        ({"metrics_port": 65536}, "$.metrics_port"),
        ({"metrics_port": 4000, "port": 4000}, "$.metrics_port"),
        ({"metrics_port": 4000, "grpc_port": 4000}, "$.metrics_port"),
        ({"metrics_port": 4000, "health_port": 4000}, "$.metrics_port"),
        ({"shutdown_timeout": -1}, "$.shutdown_timeout"),
        ({"shutdown_timeout": 901}, "$.shutdown_timeout"),
        ({"drain_delay": -0.1}, "$.drain_delay"),
        ({"drain_delay": 1e9}, "$.drain_delay"),
        ({"apikey": ""}, "$.apikey"),
        ({"apikey": " key"}, "$.apikey"),
        ({"apikey": "key\n"}, "$.apikey"),
        ({"apikey": "k\u0000y"}, "$.apikey"),
        ({"host": ""}, "$.host"),
        ({"host": "a b"}, "$.host"),
        ({"host": "10.0.0.0/8"}, "$.host"),
        ({"host": "http://localhost"}, "$.host"),
        ({"host": "localhost:3456"}, "$.host"),
        ({"long_context_threshold": 0}, "$.long_context_threshold"),
        ({"performance": {"request_timeout": 0}}, "$.performance.request_timeout"),
        ({"performance": {"request_timeout": 30_000_000_000}}, "$.performance.request_timeout"),
        ({"performance": {"stream_timeout": 0}}, "$.performance.stream_timeout"),
        ({"performance": {"first_byte_timeout": "2d"}}, "$.performance.first_byte_timeout"),
        ({"performance": {"silence_timeout": 0}}, "$.performance.silence_timeout"),
        ({"limits": {"max_in_flight": -1}}, "$.limits.max_in_flight"),
        ({"limits": {"provider_queue": 101}}, "$.limits.provider_queue"),
        ({"limits": {"provider_wait": "6s"}}, "$.limits.provider_wait"),
        ({"limits": {"shed_memory_percent": 101}}, "$.limits.shed_memory_percent"),
        ({"keys": [{"name": "a", "key": "k", "max_in_flight": -1}]}, "$.keys[0].max_in_flight"),
        ({"keys": [{"name": "a", "key": "k", "requests_per_minute": -1}]}, "$.keys[0].requests_per_minute"),
        ({"keys": [{"name": "a", "key": "k", "models": ["m", ""]}]}, "$.keys[0].models[1]"),
        ({"providers": [{"name": "openai", "max_in_flight": -1}]}, "$.providers[0].max_in_flight"),
        ({"connections": {"max_total": 0}}, "$.connections.max_total"),
        ({"connections": {"header_timeout": 0}}, "$.connections.header_timeout"),
        ({"connections": {"write_timeout": "2h"}}, "$.connections.write_timeout"),
        ({"performance": {"max_request_body_size": 1023}}, "$.performance.max_request_body_size"),
        ({"performance": {"max_request_body_size": "2GiB"}}, "$.performance.max_request_body_size"),
        ({"ca_file": "/no/such"}, "$.ca_file"),
        ({"ca_file": "/dev/null"}, "$.ca_file"),
        ({"ca_file": "relative.pem"}, "$.ca_file"),
        ({"log_file": "relative.log"}, "$.log_file"),
        ({"log_file": "/a\0b"}, "$.log_file"),
        ({"allowed_ips": ["localhost"]}, "$.allowed_ips[0]"),
        ({"allowed_ips": ["::1", "10.0.0.1/8"]}, "$.allowed_ips[1]"),
        ({"no_proxy": ["a", "*.b"]}, "$.no_proxy[1]"),
        ({"no_proxy": ["http://a"]}, "$.no_proxy[0]"),
        ({"no_proxy": ["*"]}, "$.no_proxy[0]"),
        ({"providers": [{"name": "openai", "models": [""]}]}, "$.providers[0].models[0]"),
        ({"providers": [{"name": "openai", "default_model": " "}]}, "$.providers[0].default_model"),
        ({"providers": [{"name": "openai", "auth": "client"}]}, "$.providers[0].auth"),
        ({"providers": [{"name": "anthropic", "auth": "client", "api_key": "a"}]}, "$.providers[0].auth"),
        ({"demo": True, "routes": {"": {"provider": "x"}}}, '$.routes[""]'),
        ({"demo": True, "routes": {"m": {"provider": "x", "model": " y"}}}, "$.routes.m.model"),
        (
            {"providers": [{"name": "openai"}], "routes": {"m": {"provider": "opnai"}}},
            "$.routes.m.provider",
        ),
        (
            {
                "providers": [{"name": "openai"}],
                "routes": {"m": {"provider": "openai", "fallbacks": [{"provider": "openai"}, {"provider": "x"}]}},
            },
            "$.routes.m.fallbacks[1].provider",
        ),
        (
            {"demo": True, "routes": {"m": {"provider": "x", "fallbacks": [{"provider": "y", "model": " "}]}}},
            "$.routes.m.fallbacks[0].model",
        ),
        ({"providers": [{"name": "openai,x", "type": "openai"}]}, "$.providers[0].name"),
        ({"providers": [{"name": "", "type": "openai"}]}, "$.providers[0].name"),
        ({"providers": [{"name": "openai"}, {"name": "openai"}]}, "$.providers[1].name"),
        ({"providers": [{"name": "mine"}]}, "$.providers[0].type"),
        ({"providers": [{"name": "mine", "type": "other"}]}, "$.providers[0].type"),
        ({"providers": [{"name": "openai", "api_key": ""}]}, "$.providers[0].api_key"),
        ({"providers": [{"name": "openai", "api_key": "k\r\nx: y"}]}, "$.providers[0].api_key"),
        (
            {"providers": [{"name": "openai"}], "routes": {"default": {"provider": "x"}}},
            "$.routes.default.provider",
        ),
        (
            {
                "providers": [{"name": "openai", "enabled": False}],
                "routes": {"m": {"provider": "openai"}},
            },
            "$.routes.m.provider",
        ),
    ],
)
def test_a_value_that_cannot_work_is_told_with_its_place(home: Path, document: Any, place: str):
    """At the start, not at the first request."""
    (problem,) = problems(home, document)

    assert problem.startswith(f"{place}: ")


@pytest.mark.parametrize(
    "url",
    [
        "api.example",
        "ftp://api.example",
        "https://",
        "https://user:pw@api.example",
        "https://api.example?x=1",
        "https://api.example/v1#x",
        "https://api.example/v1 ",
        "https://api.example\\@evil.example",
        "https://[::1",
        "https://api.example:99999",
        "https://api.example:0",
        "https://api.example:x",
        "https://:443",
        "HTTPS://api.example",
        "https://api.example/%2e%2e",
        "https://api.example/v1\n",
    ],
)
def test_a_base_url_is_scheme_host_and_path_alone(home: Path, url: str):
    """What is put behind a `?`, `#` or `@` would end up elsewhere than it says."""
    (problem,) = problems(home, {"providers": [{"name": "openai", "api_base_url": url}]})

    assert problem.startswith("$.providers[0].api_base_url: ")


@pytest.mark.parametrize(
    "url", ["https://api.example", "http://127.0.0.1:8080/v1", "http://[::1]:9000", "https://a-b.example/x_y/~z/"]
)
def test_other_base_urls_are_taken(home: Path, url: str):
    """Compatible servers stand anywhere."""
    loaded = read(home, {"providers": [{"name": "openai", "api_base_url": url}]})

    assert loaded.providers[0].api_base_url == url


def test_routes_of_the_demo_need_no_provider(home: Path):
    """`--demo` sets the whole table aside."""
    assert read(home, {"demo": True, "routes": {"default": {"provider": "x"}}}).demo


@pytest.mark.parametrize(
    "keys",
    [
        [{"name": "ci", "key": "a"}],
        [{"name": "ci", "key_sha256": SHA}, {"name": "grafana", "scope": "monitor", "key_sha256": SHA.upper()}],
    ],
)
def test_named_keys_are_keys(home: Path, keys: Any):
    """With one, other hosts may be served."""
    assert read(home, {"host": "0.0.0.0", "keys": keys}).has_key


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ([{"name": "a"}], "$.keys[0]"),
        ([{"name": "a", "key": "x", "key_sha256": SHA}], "$.keys[0]"),
        ([{"name": "a", "key_sha256": SHA[:-1]}], "$.keys[0].key_sha256"),
        ([{"name": "a", "key_sha256": "g" * 64}], "$.keys[0].key_sha256"),
        ([{"name": "a", "key": ""}], "$.keys[0].key"),
        ([{"name": "a", "key": " x"}], "$.keys[0].key"),
        ([{"name": "", "key": "x"}], "$.keys[0].name"),
        ([{"name": "a b", "key": "x"}], "$.keys[0].name"),
        ([{"name": "a", "key": "x"}, {"name": "a", "key": "y"}], "$.keys[1].name"),
        ([{"name": "a", "key": "x", "scope": "al"}], "$.keys[0].scope"),
    ],
)
def test_a_named_key_that_cannot_be_one_is_told(home: Path, keys: Any, place: str):
    """Callers would be refused without anybody knowing why."""
    assert places(home, {"keys": keys}) == [place]


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy:3128",
        "https://user:pass@proxy.example:8443/",
        "http://u%40:p@10.0.0.1:1",
        "http://[::1]:3128",
        "http://proxy",
    ],
)
def test_a_proxy_is_a_url(home: Path, url: str):
    """With a password or without."""
    assert read(home, {"proxy_url": url}).proxy_url == Secret(url)


@pytest.mark.parametrize(
    "url", ["proxy:3128", "socks5://proxy:1", "http://", "http://u:p@", "http://a/b", "http://a:0", "http://a b:1"]
)
def test_what_is_no_proxy_is_told_without_its_password(home: Path, url: str):
    """The value may hold one."""
    assert problems(home, {"proxy_url": url}) == ["$.proxy_url: expected http(s)://[user:password@]host:port"]


@pytest.mark.parametrize(
    "entry", ["localhost", ".svc", "a-b.example", "10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"]
)
def test_hosts_suffixes_addresses_and_networks_are_reached_without_a_proxy(home: Path, entry: str):
    """As in `NO_PROXY`."""
    assert read(home, {"no_proxy": [entry]}).no_proxy == [entry]


def test_a_network_that_is_nearly_right_is_told_right(home: Path):
    """10.0.0.1/8 is meant for one host by some, for the network by others."""
    assert problems(home, {"allowed_ips": ["10.0.0.1/8"]}) == [
        "$.allowed_ips[0]: its network is written 10.0.0.0/8"
    ]


@pytest.mark.parametrize("host", ["box", "a.example", "my_box", "fe80::1", "0.0.0.0", "::"])
def test_a_host_is_an_address_or_a_name(home: Path, host: str):
    """Both can be bound."""
    assert read(home, {"host": host, "apikey": "k"}).host == host


def test_a_certificate_file_is_looked_into(home: Path):
    """A key, or a DER file, by mistake."""
    file = home / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\n")

    assert read(home, {"ca_file": str(file)}).ca_file == str(file)
    file.write_text("-----BEGIN PRIVATE KEY-----\n")
    assert problems(home, {"ca_file": str(file)}) == [f"$.ca_file: {file} holds no PEM certificate"]


def test_a_disabled_provider_is_told_apart_from_none(home: Path):
    """The remedy differs."""
    document = {
        "providers": [{"name": "openai", "enabled": False}],
        "routes": {"a": {"provider": "openai"}, "b": {"provider": "opnai"}},
    }

    assert problems(home, document) == [
        "$.routes.a.provider: openai is not enabled",
        "$.routes.b.provider: no provider is named opnai",
    ]


def test_routes_are_not_told_wrong_by_a_provider_that_is(home: Path):
    """What follows from a mistake is none."""
    document = {"providers": [{"nam": "openai"}], "routes": {"a": {"provider": "openai"}}}

    assert places(home, document) == ["$.providers[0].nam"]


@pytest.mark.parametrize(
    ("kind", "members", "place", "told"),
    [
        (
            "anthropic",
            {"api": "chat"},
            "api",
            "leave it out: a provider of the type anthropic is asked by one API only",
        ),
        (
            "anthropic",
            {"api": "anthropic"},
            "api",
            "leave it out: a provider of the type anthropic is asked by one API only",
        ),
        (
            "openai",
            {"api": "anthropic"},
            "api",
            "expected one of auto, chat, responses for a provider of the type openai",
        ),
        (
            "deepseek",
            {"model_apis": {"m": "responses"}},
            "model_apis.m",
            "expected one of auto, chat, anthropic for a provider of the type deepseek",
        ),
        (
            "gemini",
            {"model_apis": {"gemini-3.5-flash": "responses"}},
            'model_apis["gemini-3.5-flash"]',
            "leave it out: a provider of the type gemini is asked by one API only",
        ),
        ("openai", {"model_apis": {"": "chat"}}, 'model_apis[""]', "expected a model's name"),
        (
            "openai",
            {"model_apis": {"m": "chats"}},
            "model_apis.m",
            "expected one of anthropic, auto, chat, responses; did you mean chat?",
        ),
    ],
)
def test_an_api_that_would_not_be_used_is_told(
    home: Path, kind: str, members: dict[str, Any], place: str, told: str
):
    """The operator would take it for what is done."""
    provider = {"name": "mine", "type": kind, **members}

    assert problems(home, {"providers": [provider]}) == [f"$.providers[0].{place}: {told}"]


def test_of_an_unknown_type_only_the_type_is_told(home: Path):
    """Which APIs it has nobody knows."""
    assert places(home, {"providers": [{"name": "x", "api": "chat"}]}) == ["$.providers[0].type"]


@pytest.mark.parametrize("kind", ["deepseek", "openrouter"])
def test_a_provider_with_an_endpoint_for_anthropics_api_may_be_relayed(home: Path, kind: str):
    """For all of its models, or for some."""
    relayed = {"name": kind, "api": "anthropic", "model_apis": {"m": "chat"}}
    config = read(home, {"providers": [relayed, {"name": "b", "type": kind, "model_apis": {"m": "anthropic"}}]})

    assert config.providers[0].api == "anthropic"
    assert config.providers[1].model_apis == {"m": "anthropic"}


@pytest.mark.parametrize("kind", ["deepseek", "openrouter"])
def test_the_callers_own_key_is_sent_to_no_relay_but_anthropic(home: Path, kind: str):
    """A caller's key for Anthropic is none for another who speaks the same API."""
    document = {"providers": [{"name": kind, "api": "anthropic", "auth": "client"}]}

    assert places(home, document) == ["$.providers[0].auth"]


def test_a_model_may_have_its_own_api(home: Path):
    """Whatever type the others are of, `auto` means what is done anyway."""
    mine = {"name": "mine", "type": "openai", "model_apis": {"llama:8b": "responses", "b": "${API:-chat}"}}
    config = read(home, {"providers": [mine, {"name": "anthropic", "api": "auto"}]})

    assert config.providers[0].model_apis == {"llama:8b": "responses", "b": "chat"}


def test_the_callers_own_key_may_be_sent_to_anthropic(home: Path):
    """For subscriptions."""
    config = read(home, {"providers": [{"name": "work", "type": "anthropic", "auth": "client"}]})

    assert config.providers[0].auth == "client"


def test_no_problem_shows_a_secret_wherever_it_is_planted(home: Path):
    """Problems end up in logs and issues."""
    document = {
        "port": CANARY,
        "apikey": f" {CANARY}",
        "proxy_url": f"http://u:{CANARY}@",
        "log_level": CANARY,
        "shutdown_timeout": CANARY,
        "allowed_ips": [CANARY],
        "no_proxy": [f"{CANARY}@x"],
        "keys": [{"name": "a", "key": f"{CANARY}\n", "key_sha256": CANARY}, CANARY],
        "providers": [
            {"name": "openai", "api_key": f"{CANARY}${{", "api_base_url": f"https://u:{CANARY}@h"},
            {"name": "anthropic", "enabled": CANARY, "models": {"a": CANARY}},
        ],
        "routes": {"m": {"provider": "openai", "parameters": {"temperature": CANARY}}},
    }
    told = problems(home, document, {"CCPROXY_LOG": CANARY, "CCPROXY_GRPC_PORT": CANARY})

    assert len(told) > 12
    assert CANARY not in "\n".join(told)
