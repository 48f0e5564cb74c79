"""What the operator says: `types` has every key, `load` reads them from a file and the environment."""

from ccproxy.config.load import Loaded, default_path, load, read
from ccproxy.config.problems import ConfigError
from ccproxy.config.types import (
    DEMO_TYPES,
    PROVIDER_TYPES,
    Api,
    Config,
    Duration,
    EndpointConfig,
    FallbackConfig,
    KeyConfig,
    LimitsConfig,
    PerformanceConfig,
    ProviderConfig,
    RetryConfig,
    RouteConfig,
    Secret,
    Size,
    demo_providers,
    is_loopback,
)

__all__ = [
    "DEMO_TYPES",
    "PROVIDER_TYPES",
    "Api",
    "Config",
    "ConfigError",
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
    "default_path",
    "demo_providers",
    "is_loopback",
    "load",
    "read",
]
