"""What Anthropic's servers did in an earlier turn, as text."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from ccproxy.server_tools import told


def said(block: dict[str, Any]) -> str | None:
    """A block as text."""
    members = {name: Raw(msgspec.json.encode(value)) for name, value in block.items()}
    return told(block["type"], members)


def result(tool: str, content: Any) -> dict[str, Any]:
    """What a tool gave."""
    return {"type": f"{tool}_tool_result", "tool_use_id": "srvtoolu_1", "content": content}


PAGE = {"type": "web_fetch_result", "url": "https://a.org"}


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("web_search", {"query": "rain in Oslo"}, "[web_search: rain in Oslo]"),
        ("web_fetch", {"url": "https://a.org"}, "[web_fetch: https://a.org]"),
        ("code_execution", {"code": "1+1"}, "[code_execution: 1+1]"),
        ("bash_code_execution", {"command": "ls"}, "[bash_code_execution: ls]"),
        ("next_years_tool", {"n": 1}, '[next_years_tool: {"n":1}]'),
        ("web_search", {"query": 7}, '[web_search: {"query":7}]'),
    ],
)
def test_a_call_says_what_it_was_about(name: str, given: dict[str, Any], text: str):
    """A model that does not see it asks the same again."""
    assert said({"type": "server_tool_use", "id": "s", "name": name, "input": given}) == text


@pytest.mark.parametrize(
    ("tool", "content", "lines"),
    [
        ("web_search", [], []),
        (
            "web_search",
            [{"type": "web_search_result", "title": "A", "url": "https://a.org", "encrypted_content": "xyz"}],
            ["- A: https://a.org"],
        ),
        (
            "web_search",
            {"type": "web_search_tool_result_error", "error_code": "too_many_requests"},
            ["error: too_many_requests"],
        ),
        ("code_execution", {"stdout": "2", "stderr": "", "return_code": 0, "content": []}, ["2"]),
        (
            "bash_code_execution",
            {"stdout": "", "stderr": "no", "return_code": 1, "content": []},
            ["no", "return code 1"],
        ),
        ("tool_search", {"tool_references": [{"type": "tool_reference", "tool_name": "read"}]}, ["- read"]),
        ("advisor", {"type": "advisor_result", "text": "Wait."}, ["Wait."]),
        (
            "web_fetch",
            {**PAGE, "content": {"type": "document", "source": {"type": "text", "data": "words"}}},
            ["- https://a.org", "words"],
        ),
        (
            "web_fetch",
            {**PAGE, "content": {"type": "document", "source": {"type": "base64", "data": "JVBE"}}},
            ["- https://a.org"],
        ),
    ],
)
def test_a_result_says_what_can_be_read(tool: str, content: Any, lines: list[str]):
    """What is encrypted can be read by Anthropic's servers alone."""
    assert said(result(tool, content)) == "\n".join([f"[{tool} result]", *lines])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "mcp_tool_result", "tool_use_id": "m", "content": []},
        {"type": "container_upload", "file_id": "f"},
        {"type": "server_tool_use", "id": "s"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": []},
        {"type": "web_search_tool_result", "content": "x"},
    ],
)
def test_another_block_is_not_told(block: dict[str, Any]):
    """It is named as dropped."""
    assert said(block) is None
