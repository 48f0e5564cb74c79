"""Configurations in the style of the Go ancestor's samples, without the keys that did nothing, load."""

from pathlib import Path
from typing import Any

import pytest
from unit.configs import places, read

MIXED = {
    "host": "127.0.0.1",
    "port": 3456,
    "log": True,
    "log_file": "~/.ccproxy/ccproxy.log",
    "apikey": "your-secret-api-key",
    "proxy_url": "",
    "shutdown_timeout": "30s",
    "providers": [
        {
            "name": "anthropic",
            "api_base_url": "https://api.anthropic.com",
            "api_key": "${ANTHROPIC_API_KEY}",
            "models": ["claude-3-opus-20240229", "claude-3-5-haiku-20241022"],
            "enabled": True,
        },
        {
            "name": "openai",
            "api_base_url": "https://api.openai.com/v1",
            "api_key": "${OPENAI_API_KEY}",
            "models": ["gpt-4.1", "o1"],
            "enabled": True,
        },
    ],
    "routes": {
        "default": {
            "provider": "openai",
            "model": "gpt-4.1",
            "parameters": {"temperature": 0.7},
        },
        "longContext": {"provider": "anthropic", "model": "claude-3-opus-20240229"},
        "background": {
            "provider": "anthropic",
            "model": "claude-3-5-haiku-20241022",
            "parameters": {"temperature": 0.3, "max_tokens": 1000},
        },
        "think": {"provider": "openai", "model": "o1", "parameters": {"top_p": 0.9}},
        "claude-3.5-sonnet": {"provider": "openai", "model": "gpt-4.1"},
    },
    "performance": {"request_timeout": "30s", "max_request_body_size": 10485760},
}
SIMPLE = {
    "providers": [
        {
            "name": "openai",
            "api_base_url": "https://api.openai.com/v1",
            "api_key": "sk-...",
            "models": ["gpt-4o-mini"],
            "enabled": True,
        }
    ],
    "routes": {"default": {"provider": "openai", "model": "gpt-4o-mini"}},
}
MINIMAL = {"providers": [{"name": "anthropic", "api_key": "sk-ant-..."}]}
KEYS = {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}


@pytest.mark.parametrize("document", [MIXED, SIMPLE, MINIMAL], ids=["mixed", "simple", "minimal"])
def test_its_samples_load(tmp_path: Path, document: Any):
    """Half of them did not load where they came from."""
    assert read(tmp_path, document, KEYS).active


def test_names_of_routes_are_kept_as_they_are(tmp_path: Path):
    """Its parser lower-cased them and split them at dots, so that they were never taken."""
    assert list(read(tmp_path, MIXED, KEYS).routes) == list(MIXED["routes"])  # type: ignore[call-overload]


def test_keys_that_never_did_anything_are_told_to_be_left_out(tmp_path: Path):
    """All of them at once."""
    document = {
        **SIMPLE,
        "providers": [{**SIMPLE["providers"][0], "transformers": [], "message_format": "x"}],  # type: ignore[dict-item]
        "routes": {"default": {"provider": "openai", "conditions": []}},
        "performance": {"metrics_enabled": True, "rate_limit_enabled": False, "circuit_breaker_enabled": True},
    }

    assert places(tmp_path, document) == [
        "$.providers[0].transformers",
        "$.providers[0].message_format",
        "$.routes.default.conditions",
        "$.performance.metrics_enabled",
        "$.performance.rate_limit_enabled",
        "$.performance.circuit_breaker_enabled",
    ]
