"""A route's parameters."""

from pathlib import Path
from typing import Any

import pytest
from unit.configs import loaded, problems

from ccproxy.config import parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 2.0),
        ("top_p", 0.5),
        ("max_tokens", 1),
        ("thinking", {"type": "enabled"}),
        ("a_member_of_tomorrow", None),
    ],
)
def test_members_of_a_request_are_taken(name: str, value: Any):
    """Also those that only the provider knows."""
    assert parameters.wrong(name, value) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "1"),
        ("temperature", True),
        ("temperature", None),
        ("top_p", 1.1),
        ("top_p", -1),
        ("max_tokens", 0),
        ("max_tokens", 1.0),
        ("max_tokens", True),
        ("max_tokens", "1"),
        ("model", "x"),
        ("messages", []),
        ("stream", True),
        ("maxTokens", 1),
        ("", 1),
        ("a b", 1),
    ],
)
def test_what_no_request_can_have_is_refused(name: str, value: Any):
    """Each request would fail, or stream to who does not expect it."""
    assert parameters.wrong(name, value)


def test_a_parameter_is_told_with_its_place(tmp_path: Path):
    """With the route's real name."""
    route = {"provider": "x", "parameters": {"temperature": 3}}

    assert problems(tmp_path, {"demo": True, "routes": {"gpt-4.1": route}}) == [
        '$.routes["gpt-4.1"].parameters.temperature: expected a number from 0 to 2'
    ]


def test_a_name_that_is_nearly_known_is_a_warning(tmp_path: Path):
    """Providers take members that are not known here, so it is no error."""
    route = {"provider": "x", "parameters": {"temprature": 1, "seed": 7}}

    assert loaded(tmp_path, {"demo": True, "routes": {"m": route}}).warnings == [
        "$.routes.m.parameters.temprature: is no member of a request that is known; did you mean temperature?"
    ]
