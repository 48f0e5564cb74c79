"""The environment over the file."""

from pathlib import Path
from typing import Any

import pytest
from unit.configs import CANARY, loaded, places, problems, read, secret_in

from ccproxy.config import Config, ProviderConfig, Secret
from ccproxy.config.environment import variables


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory without a configuration."""
    return tmp_path


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_says_nothing(home: Path, value: str):
    """Compose writes `CCPROXY_PORT=` for a variable that is not set."""
    assert read(home, {"port": 4000}, {"CCPROXY_PORT": value, "CCPROXY_API_KEY": value}).port == 4000


def test_blanks_around_a_variable_are_no_part_of_it(home: Path):
    """A secret from a file often ends in a line break."""
    assert read(home, {}, {"CCPROXY_API_KEY": " key\n"}).apikey == Secret("key")


@pytest.mark.parametrize("value", ["x", "3_456", "+1", "1.0", "0x10", "٣٤٥٦", "1" * 16, "1e3", "3456 7"])
def test_a_port_variable_must_be_a_number(home: Path, value: str):
    """Python's int() would take some of them."""
    assert problems(home, {}, {"CCPROXY_PORT": value}) == ["CCPROXY_PORT: expected an integer"]


@pytest.mark.parametrize("variable", ["CCPROXY_PORT", "CCPROXY_GRPC_PORT"])
def test_kubernetes_own_variable_is_explained(home: Path, variable: str):
    """A Service called ccproxy sets CCPROXY_PORT=tcp://10.0.0.1:3456 in every pod: a famous trap."""
    (problem,) = problems(home, {}, {variable: "tcp://10.96.0.10:3456"})

    assert problem.startswith(f"{variable}: ")
    assert "enableServiceLinks: false" in problem


def test_a_number_beyond_the_ports_is_told_with_its_variable(home: Path):
    """The operator looks for it there, not in the file."""
    assert problems(home, {}, {"CCPROXY_PORT": "-1"}) == ["CCPROXY_PORT: expected 0 to 65535"]


def test_every_key_that_is_one_value_has_a_variable():
    """Made from the types, so a new key has one by itself."""
    missing = {
        name
        for name in Config.__struct_fields__
        if name
        not in {"keys", "providers", "routes", "tls", "performance", "retry", "limits", "connections", "telemetry"}
        and f"CCPROXY_{name.upper()}" not in variables()
    }

    assert missing == set()


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("HOST", "localhost", "host", "localhost"),
        ("TRUST_LOCALHOST", "false", "trust_localhost", False),
        ("TRUST_LOCALHOST", "0", "trust_localhost", False),
        ("GRPC_REFLECTION", "True", "grpc_reflection", True),
        ("LOG", "1", "log", True),
        ("LOG_LEVEL", "debug", "log_level", "debug"),
        ("LOG_FORMAT", "json", "log_format", "json"),
        ("LOG_FILE", "/var/log/ccproxy.log", "log_file", "/var/log/ccproxy.log"),
        ("SHUTDOWN_TIMEOUT", "1m30s", "shutdown_timeout", 90),
        ("SHUTDOWN_TIMEOUT", "12.5", "shutdown_timeout", 12.5),
        ("DRAIN_DELAY", "500ms", "drain_delay", 0.5),
        ("PROXY_URL", "http://proxy:3128", "proxy_url", Secret("http://proxy:3128")),
        ("NO_PROXY", "localhost, .svc,10.0.0.0/8,", "no_proxy", ["localhost", ".svc", "10.0.0.0/8"]),
        ("ALLOWED_IPS", "10.0.0.0/8,::1", "allowed_ips", ["10.0.0.0/8", "::1"]),
        ("LONG_CONTEXT_THRESHOLD", "100000", "long_context_threshold", 100_000),
        ("DEMO", "true", "demo", True),
        ("APIKEY", CANARY, "apikey", Secret(CANARY)),
        ("API_KEY", CANARY, "apikey", Secret(CANARY)),
    ],
)
def test_a_variable_is_read_as_its_keys_type(home: Path, name: str, text: str, key: str, value: Any):
    """All that the file can say about one value."""
    assert getattr(read(home, {}, {f"CCPROXY_{name}": text}), key) == value


def test_limits_have_variables_too(home: Path):
    """One level deeper."""
    environ = {
        "CCPROXY_PERFORMANCE_REQUEST_TIMEOUT": "5m",
        "CCPROXY_PERFORMANCE_MAX_REQUEST_BODY_SIZE": "1MiB",
    }
    limits = read(home, {"performance": {"request_timeout": 7}}, environ).performance

    assert (limits.request_timeout, limits.max_request_body_size) == (300, 1 << 20)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("LOG", "maybe", "expected true or false"),
        ("LOG_LEVEL", "wraning", "did you mean warning?"),
        ("SHUTDOWN_TIMEOUT", "soon", "expected a duration"),
        ("PERFORMANCE_MAX_REQUEST_BODY_SIZE", "big", "expected a size"),
        ("PROXY_URL", "proxy", "expected http(s)://"),
        ("NO_PROXY", "a b", "expected a host"),
        ("ALLOWED_IPS", "::1,10.0.0.300", "expected an address"),
        ("HOST", "\udcff", "is not UTF-8"),
        ("API_KEY", "k\udcff", "is not UTF-8"),
        ("API_KEY_FILE", "/no/such/file", "No such file"),
    ],
)
def test_what_a_variable_cannot_be_is_told_with_its_name(home: Path, name: str, text: str, expected: str):
    """Alone: it leaves nothing behind that could be wrong, too."""
    (problem,) = problems(home, {}, {f"CCPROXY_{name}": text})

    assert problem.partition(": ")[0].startswith(f"CCPROXY_{name}")
    assert expected in problem


def test_nothing_is_substituted_in_a_variable(home: Path):
    """The shell did that already."""
    assert read(home, {}, {"CCPROXY_API_KEY": "${HOME}"}).apikey == Secret("${HOME}")


def test_two_spellings_of_the_key_must_agree(home: Path):
    """Else a rotated key is good, or not, by accident."""
    environ = {"CCPROXY_API_KEY": "a", "CCPROXY_APIKEY": "b"}

    assert problems(home, {}, environ) == ["CCPROXY_API_KEY: CCPROXY_APIKEY says otherwise; set one of them"]
    assert read(home, {}, {"CCPROXY_API_KEY": "a", "CCPROXY_APIKEY": "a"}).apikey == Secret("a")


def test_apikey_alone_is_not_read(home: Path):
    """The name is anybody's."""
    assert read(home, {}, {"APIKEY": CANARY}).apikey is None


def test_a_key_of_the_environment_replaces_the_files_key_file(home: Path):
    """They are two words for one thing."""
    assert read(home, {"apikey_file": "/no/such"}, {"CCPROXY_API_KEY": "a"}).apikey_file == ""


def test_a_key_file_of_the_environment_replaces_the_files_key(home: Path):
    """The other way round."""
    file = secret_in(home)
    config = read(home, {"apikey": "old"}, {"CCPROXY_API_KEY_FILE": file})

    assert (config.apikey, config.apikey_file, config.has_key) == (None, file, True)


def test_proxies_of_the_environment_are_not_used(home: Path):
    """Unless the operator says so: the proxy sees where every request goes."""
    environ = {"HTTPS_PROXY": "http://proxy:1", "https_proxy": "http://proxy:1", "NO_PROXY": "x"}

    assert (read(home, {}, environ).proxy_url, read(home, {}, environ).no_proxy) == (None, [])


def test_proxies_of_the_environment_can_be_asked_for(home: Path):
    """As the documentation says."""
    document = {"proxy_url": "${HTTPS_PROXY:-}", "no_proxy": ["${NO_PROXY:-}", "b"]}
    config = read(home, document, {"HTTPS_PROXY": "http://u:p@proxy:3128", "NO_PROXY": "localhost, .a"})

    assert (config.proxy_url, config.no_proxy) == (Secret("http://u:p@proxy:3128"), ["localhost", ".a", "b"])
    assert (read(home, document).proxy_url, read(home, document).no_proxy) == (None, ["b"])


def test_a_demo_refused_by_the_environment_does_not_come_by_itself(home: Path):
    """`CCPROXY_DEMO=false` is a word, not silence."""
    assert not read(home, {}, {"CCPROXY_DEMO": "false"}).demo


# Providers' keys.


def test_a_providers_key_can_be_in_a_file(home: Path):
    """As Docker's secrets are."""
    file = secret_in(home, f"{CANARY}\n")
    config = read(home, None, {"OPENAI_API_KEY_FILE": file})

    assert config.providers == [ProviderConfig("openai", api_key=Secret(CANARY), api_key_file=file)]


def test_a_providers_key_and_its_file_exclude_each_other(home: Path):
    """One of them would be ignored, and only the bill would tell which."""
    environ = {"OPENAI_API_KEY": "a", "OPENAI_API_KEY_FILE": secret_in(home)}

    assert places(home, None, environ) == ["OPENAI_API_KEY_FILE"]


def test_a_key_file_that_is_not_there_is_told_with_its_variable(home: Path):
    """And the provider does not vanish silently."""
    assert places(home, {"providers": [{"name": "openai"}]}, {"OPENAI_API_KEY_FILE": "/no/such"}) == [
        "OPENAI_API_KEY_FILE"
    ]


def test_a_key_that_no_header_can_carry_is_told_with_its_variable(home: Path):
    """It is in no file."""
    assert places(home, {"providers": [{"name": "openai"}]}, {"OPENAI_API_KEY": "a\nb"}) == ["OPENAI_API_KEY"]
    assert places(home, {}, {"OPENAI_API_KEY": "a\nb"}) == ["OPENAI_API_KEY"]


def test_who_sends_the_callers_key_gets_none_of_the_environment(home: Path):
    """The operator's key must not pay for callers that bring their own."""
    config = read(home, {"providers": [{"name": "anthropic", "auth": "client"}]}, {"ANTHROPIC_API_KEY": CANARY})

    assert [provider.api_key for provider in config.providers] == [None]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.deepseek.com",
        "https://api.deepseek.com/",
        "https://api.deepseek.com/v1",
        "https://api.deepseek.com/anthropic",
        "https://API.deepseek.com:443/v1",
    ],
)
def test_a_providers_own_host_gets_its_key_by_any_path(home: Path, url: str):
    """The path chooses the API or its version, not who is paid."""
    document = {"providers": [{"name": "deepseek", "api_base_url": url}]}

    assert read(home, document, {"DEEPSEEK_API_KEY": CANARY}).providers[0].api_key == Secret(CANARY)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.deepseek.com",
        "http://api.deepseek.com:443",
        "https://api.deepseek.com:8443",
        "https://api.deepseek.com.example.org",
        "https://deepseek.com",
        "http://127.0.0.1:11434/v1",
    ],
)
def test_no_other_host_gets_a_providers_key(home: Path, url: str):
    """It would be given away with the first request."""
    document = {"providers": [{"name": "deepseek", "api_base_url": url}]}
    config = loaded(home, document, {"DEEPSEEK_API_KEY": CANARY}).config

    assert [provider.api_key for provider in config.providers] == [None]


@pytest.mark.parametrize("url", ["https://[api", "https://api.deepseek.com:x"])
def test_an_address_that_is_none_is_told_and_gets_no_key(home: Path, url: str):
    """It must not end in a traceback."""
    document = {"providers": [{"name": "deepseek", "api_base_url": url}]}

    assert places(home, document, {"DEEPSEEK_API_KEY": CANARY}) == ["$.providers[0].api_base_url"]


# Typos.


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CCPROXY_PROT", "CCPROXY_PORT"),
        ("CCPROXY_LOGLEVEL", "CCPROXY_LOG_LEVEL"),
        ("CCPROXY_TRUST_LOCALHOSTS", "CCPROXY_TRUST_LOCALHOST"),
        ("CCPROXY_CONF", "CCPROXY_CONFIG"),
    ],
)
def test_a_variable_that_looks_like_ours_is_a_warning(home: Path, name: str, meant: str):
    """No error: the variable may be somebody else's."""
    assert loaded(home, {}, {name: "1"}).warnings == [f"{name}: is not read; did you mean {meant}?"]


def test_the_ancestors_variables_for_providers_are_a_warning(home: Path):
    """They were in its Compose files."""
    (warning,) = loaded(home, {}, {"CCPROXY_PROVIDERS_0_API_KEY": CANARY}).warnings

    assert warning.startswith("CCPROXY_PROVIDERS_0_API_KEY: is not read; ")
    assert CANARY not in warning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CCPROXY_SERVICE_HOST", "10.96.0.10"),
        ("CCPROXY_SERVICE_PORT", "3456"),
        ("CCPROXY_SERVICE_PORT_HTTP", "3456"),
        ("CCPROXY_PORT_3456_TCP", "tcp://10.96.0.10:3456"),
        ("CCPROXY_PORT_3456_TCP_PROTO", "tcp"),
        ("CCPROXY_GRPC_SERVICE_HOST", "10.96.0.10"),
        ("CCPROXY_GRPCS_PORT", "tcp://10.96.0.10:3457"),
        ("CCPROXY_HOME", "/x"),
        ("CCPROXY_BUILD_COMMIT", "x"),
        ("CCPROXY_VERSION", "1"),
        ("PATH", "/bin"),
    ],
)
def test_other_variables_are_nobodys_business(home: Path, name: str, value: str):
    """Kubernetes sets a dozen for each Service."""
    assert loaded(home, {}, {name: value}).warnings == []
