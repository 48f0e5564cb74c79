"""Problems and their places."""

import pytest

from ccproxy.config import ConfigError
from ccproxy.config.problems import Problems, did_you_mean, member


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("port", "$.port"),
        ("claude-haiku-4-5", "$.claude-haiku-4-5"),
        ("claude-3.5-sonnet", '$["claude-3.5-sonnet"]'),
        ("a,b", '$["a,b"]'),
        ("", '$[""]'),
        ('"', '$["\\""]'),
    ],
)
def test_a_member_with_an_odd_name_is_quoted(name: str, place: str):
    """Model names have dots."""
    assert member("$", name) == place


@pytest.mark.parametrize(
    ("place", "failed"),
    [
        ('$.routes["a.b"]', True),
        ('$.routes["a.b"].provider', True),
        ('$.routes["a.b"].fallbacks[0].model', True),
        ("$.routes", False),
        ('$.routes["a.bc"]', False),
        ("$.routes.a", False),
    ],
)
def test_what_is_in_a_value_that_could_not_be_read_is_not_looked_at(place: str, *, failed: bool):
    """A stand-in is there."""
    problems = Problems()
    problems.fail('$.routes["a.b"]', "expected an object")
    problems.check(place, "is odd")

    assert problems.failed(place) is failed
    assert len(problems.lines) == (1 if failed else 2)


def test_a_value_of_a_variable_is_told_with_its_name():
    """So is what is in it."""
    problems = Problems()
    problems.came_from("$.no_proxy", "CCPROXY_NO_PROXY")
    problems.note("$.no_proxy[1]", "is odd")

    assert problems.lines == ["CCPROXY_NO_PROXY: is odd"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("prot", "port"), ("apiKey", "api_key"), ("API-KEY", "api_key"), ("xyz", "")],
)
def test_the_nearest_name_is_meant(name: str, meant: str):
    """However it is written."""
    assert did_you_mean(name, ["port", "api_key"]) == meant


def test_a_problem_is_one_line_of_printable_characters():
    """Terminals obey others."""
    assert ConfigError(["a\n\x1b[31m"]).problems == ["a��[31m"]
