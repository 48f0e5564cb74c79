"""Claude Code itself: the real program in a home of its own, which can reach the service and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from e2e.outside import Outside
from e2e.service import Service
from e2e.tools import clean_environment, require, run

SECONDS = 100.0

QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}


class ClaudeCode:
    """Claude Code in `home`, configured by its environment only. Each `ask` is a process of its own."""

    def __init__(self, service: Service, outside: Outside, home: Path, settings: Mapping[str, str]) -> None:
        self.home = home
        self.folder = home / "work"
        self.folder.mkdir()
        self._program = require("claude")
        self._environment = {
            **clean_environment(home),
            **QUIET,
            "ANTHROPIC_BASE_URL": service.url,
            "HTTP_PROXY": outside.url,
            "HTTPS_PROXY": outside.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            **settings,
        }

    def ask(self, prompt: str, *options: str) -> list[dict[str, Any]]:
        """Runs `claude -p`, and returns its own account of what happened. The last message is the result."""
        printed = self._run(prompt, "--output-format", "stream-json", "--verbose", *options)
        messages = [msgspec.json.decode(line) for line in printed.splitlines()]
        assert messages[-1]["type"] == "result", printed
        return messages

    def result(self, prompt: str, *options: str) -> dict[str, Any]:
        """The same, and the result alone."""
        result = msgspec.json.decode(self._run(prompt, "--output-format", "json", *options), type=dict[str, Any])
        assert result["type"] == "result", result
        return result

    def _run(self, prompt: str, *options: str) -> str:
        done = run(
            [self._program, "-p", prompt, *options], env=self._environment, cwd=self.folder, seconds=SECONDS
        )
        assert done.stdout, done.stderr
        return done.stdout


def tool_results(messages: list[dict[str, Any]]) -> list[str]:
    """What the tools that it ran gave back."""
    return [
        block["content"]
        for message in messages
        if message["type"] == "user"
        for block in message["message"]["content"]
        if block["type"] == "tool_result"
    ]


def thinking(messages: list[dict[str, Any]]) -> list[str]:
    """What the model is seen to think."""
    return [block["thinking"] for block in _said(messages) if block["type"] == "thinking" and block["thinking"]]


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """What the model says, block by block."""
    return [block["text"] for block in _said(messages) if block["type"] == "text"]


def _said(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        block for message in messages if message["type"] == "assistant" for block in message["message"]["content"]
    ]
