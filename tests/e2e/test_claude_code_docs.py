"""What docs/claude-code.md says, done as it says."""

import re
from pathlib import Path

import pytest
from e2e.claude_code import QUIET
from e2e.service import Service
from e2e.tools import PROJECT, clean_environment, require, run

from ccproxy.config import load

PAGE = (PROJECT / "docs" / "claude-code.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's code in one language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a reader: Claude Code in PATH, and nothing set up yet."""
    home = clean_environment(tmp_path)
    folder = Path(require("claude")).parent
    return {**home, **QUIET, "PATH": f"{folder}:{home['PATH']}", "NO_PROXY": "localhost,127.0.0.1"}


@pytest.mark.parametrize("options", ["", " --model openai,gpt-demo-1"], ids=["relayed", "translated"])
def test_the_commands_of_the_page_print_what_it_says(
    environment: dict[str, str], service: Service, tmp_path: Path, options: str
):
    """A reader who copies them and sees something else leaves."""
    (exports,) = [block for block in blocks("sh") if "ANTHROPIC_BASE_URL" in block]
    (command,) = [block for block in blocks("sh") if "claude -p" in block]
    script = exports.removesuffix("claude\n").replace("3456", str(service.port)) + command.strip() + options
    done = run([require("bash"), "-ec", script], env=environment, cwd=tmp_path, seconds=100)

    assert done.stdout == "Demo: tool Bash returned: it-works-42\n", done.stderr
    assert done.stdout.strip() in PAGE


def test_the_settings_of_the_page_are_enough(environment: dict[str, str], service: Service, tmp_path: Path):
    """With them, no variable is needed."""
    (settings,) = [block for block in blocks("json") if "ANTHROPIC_BASE_URL" in block]
    folder = tmp_path / ".claude"
    folder.mkdir()
    (folder / "settings.json").write_text(settings.replace("3456", str(service.port)))
    done = run([require("claude"), "-p", "Hello"], env=environment, cwd=tmp_path, seconds=100)

    assert done.stdout == "Demo answer to: Hello\n", done.stderr


def test_the_configuration_of_the_page_is_valid(tmp_path: Path):
    """An operator who copies it must not be refused."""
    (configuration,) = [block for block in blocks("json") if "routes" in block]
    file = tmp_path / "config.json"
    file.write_text(configuration)
    config = load(file, {"ANTHROPIC_API_KEY": "sk-a", "OPENAI_API_KEY": "sk-o"}, tmp_path)

    assert [provider.name for provider in config.active] == ["anthropic", "openai"]
    assert config.routes["claude-sonnet-5-5"].provider == "openai"
