"""What the operator says: `types` has every key, `load` reads them from a file and the environment."""

from ccproxy.config.certificate import Certificate, CertificateError
from ccproxy.config.load import Loaded, default_path, load, read
from ccproxy.config.problems import ConfigError
from ccproxy.config.provider_types import DEMO_TYPES, PROVIDER_TYPES, Api
from ccproxy.config.types import (
    Config,
    ConnectionsConfig,
    EndpointConfig,
    FallbackConfig,
    KeyConfig,
    LimitsConfig,
    PerformanceConfig,
    ProviderConfig,
    RetryConfig,
    RouteConfig,
    TelemetryConfig,
    TlsConfig,
    demo_providers,
    is_loopback,
)
from ccproxy.config.values import Duration, Secret, Size

__all__ = [
    "DEMO_TYPES",
    "PROVIDER_TYPES",
    "Api",
    "Certificate",
    "CertificateError",
    "Config",
    "ConfigError",
    "ConnectionsConfig",
    "Duration",
    "EndpointConfig",
    "FallbackConfig",
    "KeyConfig",
    "LimitsConfig",
    "Loaded",
    "PerformanceConfig",
    "ProviderConfig",
    "RetryConfig",
    "RouteConfig",
    "Secret",
    "Size",
    "TelemetryConfig",
    "TlsConfig",
    "default_path",
    "demo_providers",
    "is_loopback",
    "load",
    "read",
]
