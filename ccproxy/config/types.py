"""Every key of the configuration, in one place: its type, its default, what it means.

The reference page `docs/configuration.md` and the JSON Schema for editors are made from these classes; the text
under "Attributes" is what the operator reads.
"""

import ipaddress
from typing import Any, Literal

from msgspec import Struct, field

from ccproxy.config.provider_types import DEMO_APIS, DEMO_TYPES, Api
from ccproxy.config.values import MIB, Duration, Secret, Size


class KeyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One key that callers may show. Exactly one of `key`, `key_sha256` and `key_file` holds it.

    Attributes:
        name: What the log calls it.
        scope: `all`; or `monitor` for health details, `/status` and `/metrics` alone.
        key: The key itself.
        key_sha256: Its SHA-256 in hexadecimal, so that the file holds no secret.
        key_file: A file whose first line is the key. It is read again when it changes.
        requests_per_minute: How many messages it may ask for in a minute; 0 for any number. By default that of
            `limits`.
        tokens_per_minute: How many tokens they may cost in a minute: input, what is written to a cache, output.
            0 for any number. By default that of `limits`.
        max_in_flight: How many calls it may have under way; 0 for any number. By default that of `limits`.
        models: The models it may ask for, by the names it asks for; `*` stands for any text. Empty for all.
    """

    name: str
    scope: Literal["all", "monitor"] = "all"
    key: Secret | None = None
    key_sha256: str = ""
    key_file: str = ""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_in_flight: int | None = None
    models: list[str] = []


class EndpointConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One more address or key of a provider. What it leaves out is the provider's own.

    Attributes:
        api_base_url: Its address.
        api_key: Its key.
        api_key_file: A file whose first line is the key.
    """

    api_base_url: str = ""
    api_key: Secret | None = None
    api_key_file: str = ""


class ProviderConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One provider.

    Attributes:
        name: What routes and `provider,model` call it.
        type: Which wire it speaks: `anthropic`, `gemini`, `deepseek`, `openrouter`, or `openai` for every server
            with Chat Completions. By default its name.
        api_base_url: Where it is; by default the type's own address. With or without its version.
        api_key: Its key. Without one the type's variable is looked at; a local server may need none.
        api_key_file: A file whose first line is the key.
        auth: `key` sends the provider's key. `client` (Anthropic only) sends the caller's own key or token, to
            this provider and nowhere else.
        api: By which of its APIs it is asked. `openai`: `chat`, `responses`, or `auto`: Responses at OpenAI's own
            hosts for the models that need it (gpt-5 and later, the o-series, codex), else Chat Completions.
            `deepseek` and `openrouter`: `chat`, which `auto` takes, or `anthropic`: relayed to their endpoint for
            Anthropic's API. Other types have but one.
        model_apis: The same for single models, by their whole names at the provider.
        models: Its models. Named here, they are routed to it and shown in `/v1/models`.
        default_model: The model for names that are not its own, such as a Claude model's at OpenAI.
        endpoints: More addresses or keys of it. Calls go where the fewest are running; one that fails, asks for
            time or refuses its key is left alone for a while.
        max_in_flight: How many calls it serves at once; others wait a moment. 0 for any number.
        enabled: Whether it is used.
    """

    name: str
    type: str = ""
    api_base_url: str = ""
    api_key: Secret | None = None
    api_key_file: str = ""
    auth: Literal["key", "client"] = "key"
    api: Api = "auto"
    model_apis: dict[str, Api] = {}
    models: list[str] = []
    default_model: str = ""
    endpoints: list[EndpointConfig] = []
    max_in_flight: int = 0
    enabled: bool = True

    @property
    def kind(self) -> str:
        """The type it is of."""
        return self.type or self.name


def demo_providers(url: str) -> list[ProviderConfig]:
    """The providers for which the demo upstream at `url` stands in."""
    return [
        ProviderConfig(kind, api_base_url=url + path, model_apis=DEMO_APIS.get(kind, {}))
        for kind, path in DEMO_TYPES.items()
    ]


class FallbackConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a request goes that its route's target cannot serve.

    Attributes:
        provider: The provider.
        model: The model there; by default the caller's own.
    """

    provider: str
    model: str = ""


class RouteConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a request goes.

    Attributes:
        provider: The provider.
        model: The model there; by default the caller's own.
        parameters: Members of the request, such as `temperature` or `max_tokens`, for where it is silent.
        fallbacks: Where it goes if that provider cannot serve it, in order.
    """

    provider: str
    model: str = ""
    parameters: dict[str, Any] = {}
    fallbacks: list[FallbackConfig] = []


class PerformanceConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How long things may take, and how large a request may be. A caller's own deadline may end a call earlier.

    Attributes:
        request_timeout: The longest that a whole answer may take.
        stream_timeout: The longest that a stream may take.
        first_byte_timeout: The longest that a provider may take until it begins to answer a stream's request.
        silence_timeout: The longest that a stream may come without an event from the provider.
        max_request_body_size: The largest request.
    """

    request_timeout: Duration = Duration(600)
    stream_timeout: Duration = Duration(3600)
    first_byte_timeout: Duration = Duration(300)
    silence_timeout: Duration = Duration(300)
    max_request_body_size: Size = Size(32 * MIB)


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is refused before it becomes a call. Each is for this process: with replicas, for each of them.

    Attributes:
        max_in_flight: How many calls may be under way; 0 for any number.
        max_body_bytes_in_flight: How large their requests may be together; 0 for any size.
        provider_queue: How many calls may wait for a provider with `max_in_flight`.
        provider_wait: How long they may.
        requests_per_minute: How many messages each key may ask for in a minute; 0 for any number. Callers without
            a key count as one.
        tokens_per_minute: How many tokens they may cost each key in a minute: input, what is written to a cache,
            output. 0 for any number.
        key_max_in_flight: How many calls each key may have under way; 0 for any number.
        shed_lag: How late the event loop may run before new calls are refused; 0 never refuses for that.
        shed_memory_percent: How much of the memory that the control group (container, service) has may be used
            before new calls are refused; 0 never refuses for that.
    """

    max_in_flight: int = 1000
    max_body_bytes_in_flight: Size = Size(256 * MIB)
    provider_queue: int = 100
    provider_wait: Duration = Duration(5)
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    key_max_in_flight: int = 0
    shed_lag: Duration = Duration(0.25)
    shed_memory_percent: int = 85


class ConnectionsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Callers' connections: how many, and how long a slow one is waited for.

    Attributes:
        max_total: How many HTTP connections may be open. There are fewer where the process may open few files: two
            in five of those.
        max_per_address: How many of them may come from one address. This host's own are not counted.
        header_timeout: How long a request's headers, or a TLS handshake, may take; over gRPC, the first words.
        body_timeout: How long a request's body may take, and a second more for each 64 KiB that have come, up to
            four times this.
        write_timeout: How long a caller may take nothing of its answer. On Linux the kernel gives it up after two
            thirds of that over HTTP, whether it is gone or only reads nothing.
        idle_timeout: How long an HTTP connection stays open without a request.
    """

    max_total: int = 10_000
    max_per_address: int = 1_000
    header_timeout: Duration = Duration(10)
    body_timeout: Duration = Duration(30)
    write_timeout: Duration = Duration(30)
    idle_timeout: Duration = Duration(75)


class RetryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Further attempts at a call, before anything of an answer has gone to the caller.

    Attributes:
        attempts: The most there are for one call, the first included; 1 for no others.
        budget_percent: How many further attempts there may be for a hundred calls at a provider; and one a second.
        uncertain: Whether a fallback is tried also where the failed attempt may have been billed: no answer in
            time, a connection that broke, an answer that cannot be used, a server's own error.
        hedge_after: When a stream has not begun after this time, a second attempt is made beside the first, over
            another address or key or at a fallback, and the one that begins first answers. The other is cancelled,
            and may have been billed. 0 never does that.
        open_after: After how many failures in a row a provider, or one address or key of it, is left alone for a
            while: its circuit opens. It also does where half of twenty answers within thirty seconds are failures.
            0 never does that.
    """

    attempts: int = 3
    budget_percent: int = 20
    uncertain: bool = False
    hedge_after: Duration = Duration(0)
    open_after: int = 5


class TlsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS on the HTTP and the gRPC port: 1.2 or later. The files are read again when they change.

    Attributes:
        cert_file: The certificate in PEM, and behind it those that lead to its authority. Without it there is no
            TLS.
        key_file: Its private key in PEM, without a password.
        client_ca_file: The authorities of clients' certificates in PEM. With it, every client must show a
            certificate of theirs; it needs its key all the same.
    """

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""

    @property
    def on(self) -> bool:
        """Whether the ports speak TLS."""
        return bool(self.cert_file)


class TelemetryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Traces (docs/tracing.md).

    Attributes:
        export: Whether spans and metrics go to a collector by OpenTelemetry's protocol. It needs the extra `otel`;
            the standard `OTEL_*` variables say where to, and all the rest.
        propagate: Whether providers are sent the trace context (`traceparent`, `tracestate`).
    """

    export: bool = False
    propagate: bool = False


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration.

    Attributes:
        host: The address both edges bind; `::` is every one, IPv4's too. Others than this host's own need a key.
        port: The HTTP port; 0 takes a free one.
        grpc_port: The gRPC port; 0 switches gRPC off.
        health_port: A port for grpc.health.v1 alone, always without TLS: for probes that have no certificate. 0 is
            none.
        metrics_port: A port for `/metrics` alone, without TLS and without a key: for who scrapes. 0 is none.
        tls: TLS on the HTTP and the gRPC port.
        grpc_reflection: Whether gRPC clients may ask for the schema.
        apikey: The key callers must show, good for everything. Without any key only callers on this host are
            served.
        apikey_file: A file whose first line is that key. It is read again when it changes.
        keys: More keys, each with a name and a scope.
        trust_localhost: Whether a caller on this host is trusted without a key (for details, and where no key is
            set for everything).
        allowed_ips: Addresses or networks (`10.0.0.0/8`) that may connect at all; empty for any.
        proxy_url: The HTTP proxy on the way to the providers.
        no_proxy: Hosts, `.suffixes`, addresses and networks that are reached without it.
        ca_file: A file of certificates that are trusted for providers, beside the system's.
        log: Whether each request is logged.
        log_level: The least that is logged.
        log_format: `json`, `text`, or `auto`: text on a terminal, else JSON.
        log_file: Where the log goes instead of standard error; `~` is the home directory.
        shutdown_timeout: How long running answers get to end after SIGTERM.
        drain_delay: How long the ports stay open after "not ready"; by default 5s in Kubernetes, else 0.
        long_context_threshold: Input tokens (estimated) above which the route `longContext` is taken.
        providers: The upstreams.
        routes: A model's name, or `longContext`, `background`, `think`, `default`, to where it goes.
        retry: Further attempts at a call that failed.
        probe_interval: How often a provider that nobody calls is asked for its list of models, to know whether it
            works. That costs nothing. 0 never asks.
        performance: How long things may take, and how large a request may be.
        limits: What is refused before it becomes a call.
        connections: Callers' connections: how many, and how long a slow one is waited for.
        telemetry: Traces, and what is told of them.
        demo: Whether the built-in demo upstream stands in for the providers.
    """

    host: str = "127.0.0.1"
    port: int = 3456
    grpc_port: int = 3457
    health_port: int = 0
    metrics_port: int = 0
    tls: TlsConfig = TlsConfig()
    grpc_reflection: bool = False
    apikey: Secret | None = None
    apikey_file: str = ""
    keys: list[KeyConfig] = []
    trust_localhost: bool = True
    allowed_ips: list[str] = []
    proxy_url: Secret | None = None
    no_proxy: list[str] = []
    ca_file: str = ""
    log: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = "auto"
    log_file: str = ""
    shutdown_timeout: Duration = Duration(30)
    drain_delay: Duration | None = None
    long_context_threshold: int = 60_000
    providers: list[ProviderConfig] = field(default_factory=list)
    routes: dict[str, RouteConfig] = field(default_factory=dict)
    retry: RetryConfig = RetryConfig()
    probe_interval: Duration = Duration(0)
    performance: PerformanceConfig = PerformanceConfig()
    limits: LimitsConfig = LimitsConfig()
    connections: ConnectionsConfig = ConnectionsConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    demo: bool = False

    @property
    def active(self) -> list[ProviderConfig]:
        """The enabled providers."""
        return [provider for provider in self.providers if provider.enabled]

    def type_of(self, provider: str) -> str:
        """The type of a provider, by its name. The demo's have their types' names, and are not here."""
        return next((each.kind for each in self.active if each.name == provider), provider)

    @property
    def is_loopback(self) -> bool:
        """Whether only callers on this host can reach the service."""
        return is_loopback(self.host)

    @property
    def has_key(self) -> bool:
        """Whether callers can show a key at all."""
        return self.apikey is not None or bool(self.apikey_file) or bool(self.keys)


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) is this host itself."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
