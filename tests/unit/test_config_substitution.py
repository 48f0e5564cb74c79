"""`${VAR}` in the texts of a configuration."""

from pathlib import Path

import pytest
from unit.configs import CANARY, problems, read

from ccproxy.config import Secret
from ccproxy.config.substitution import SubstitutionError, substitute

ENVIRON = {"A": "one", "B": "two", "EMPTY": "", "NESTED": "${A}", "BYTES": "\udcff"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("x-${A}-${B}", "x-one-two"),
        ("${EMPTY}", ""),
        ("${A:-no}", "one"),
        ("${NO:-default}", "default"),
        ("${NO:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${NO:-a:-b $ {c}", "a:-b $ {c"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $ {A} $$ }", "$A $ {A} $$ }"),
        ("${NESTED}", "${A}"),
        ("", ""),
    ],
)
def test_variables_are_put_in_once(text: str, expected: str):
    """As people know it from shells and Compose."""
    assert substitute(text, ENVIRON) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${NO}", "NO is not set"),
        ("${NO}${NO2}", "NO2 is not set"),
        ("${A", "expected ${NAME}"),
        ("${}", "expected ${NAME}"),
        ("${A B}", "expected ${NAME}"),
        ("${1A}", "expected ${NAME}"),
        ("${A-x}", "expected ${NAME}"),
        ("${NO:-${A}}", "expected ${NAME}"),
        ("${BYTES}", "BYTES is not UTF-8"),
    ],
)
def test_what_has_no_value_is_an_error(text: str, expected: str):
    """A literal `${KEY}` sent as a key is refused by the provider, hours later."""
    with pytest.raises(SubstitutionError) as raised:
        substitute(text, ENVIRON)

    assert expected in str(raised.value)


def test_it_works_in_every_text(tmp_path: Path):
    """Keys, addresses, lists, choices, durations, the deepest parameter."""
    document = {
        "log_level": "${LEVEL:-debug}",
        "drain_delay": "${DELAY:-2s}",
        "providers": [
            {"name": "openai", "api_key": "${KEY}", "api_base_url": "http://${HOST}:80/v1", "models": ["${MODEL}"]}
        ],
        "routes": {"default": {"provider": "openai", "parameters": {"metadata": {"user_id": "u-${MODEL}"}}}},
    }
    config = read(tmp_path, document, {"KEY": CANARY, "HOST": "box", "MODEL": "m"})
    (provider,) = config.providers

    assert (config.log_level, config.drain_delay) == ("debug", 2)
    assert (provider.api_key, provider.api_base_url) == (Secret(CANARY), "http://box:80/v1")
    assert provider.models == ["m"]
    assert config.routes["default"].parameters == {"metadata": {"user_id": "u-m"}}


def test_keys_are_never_replaced(tmp_path: Path):
    """A route's name is what it says."""
    document = {"demo": True, "routes": {"${A}": {"provider": "x"}}}

    assert list(read(tmp_path, document, ENVIRON).routes) == ["${A}"]


def test_an_unset_variable_is_told_with_its_place(tmp_path: Path):
    """And with its name."""
    document = {"providers": [{"name": "openai", "api_key": "${NO_SUCH_KEY}"}]}

    (problem,) = problems(tmp_path, document)

    assert problem.startswith("$.providers[0].api_key: the environment variable NO_SUCH_KEY is not set; ")
