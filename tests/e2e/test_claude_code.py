"""Claude Code through CCProxy: the reason why most people run one.

It runs for real, its tools too. The demo upstream has no model, so the prompts say what it is to do.
"""

from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import pytest
from e2e.claude_code import ClaudeCode, texts, thinking, tool_results
from e2e.conftest import ALIAS, KEY, TRANSLATED
from e2e.outside import Outside
from e2e.service import Service
from e2e.test_python_sdk import ONE_PIXEL

ECHO = '[[tool Bash {"command": "echo ccproxy-$((6*7))", "description": "Show a number"}]]'
BASH = ("--allowedTools", "Bash")

Starting = Callable[..., ClaudeCode]


@pytest.fixture
def claude(outside: Outside, tmp_path: Path) -> Starting:
    """Makes a Claude Code for a service, with further environment."""

    def make(service: Service, **settings: str) -> ClaudeCode:
        return ClaudeCode(service, outside, tmp_path, {"ANTHROPIC_AUTH_TOKEN": "test", **settings})

    return make


def test_it_runs_a_tool_and_answers_with_its_output(claude: Starting, service: Service, model: str):
    """The whole loop: the call is streamed, Bash runs here, the result goes back, the answer names it."""
    successes, failures = service.counts()
    messages = claude(service).ask(f"Run this. {ECHO}", "--model", model, *BASH)

    assert tool_results(messages) == ["ccproxy-42"]
    assert texts(messages) == ["Demo: tool Bash returned: ccproxy-42"]
    assert (messages[-1]["is_error"], messages[-1]["stop_reason"]) == (False, "end_turn")
    assert service.counts() == (successes + 2, failures)


def test_it_works_with_its_own_default_model(claude: Starting, service: Service):
    """Whoever sets only the base URL must get an answer: no route for the model's name is needed."""
    before = service.served_by("anthropic", "default")
    messages = claude(service).ask(f"Run this. {ECHO}", *BASH)

    assert messages[-1]["result"] == "Demo: tool Bash returned: ccproxy-42"
    assert service.served_by("anthropic", "default") == before + 2


def test_json_output_holds_the_answer(claude: Starting, service: Service, model: str):
    """Scripts read `--output-format json` more often than the stream of messages."""
    result = claude(service).result("Hello", "--model", model)

    assert result["subtype"] == "success"
    assert result["result"] == "Demo answer to: Hello"


def test_a_route_gives_its_model_names_to_another_provider(claude: Starting, routed_service: Service):
    """Claude Code asks for a Claude by name; the operator decides who answers."""
    before = routed_service.served_by("openai", ALIAS)
    messages = claude(routed_service, ANTHROPIC_MODEL=ALIAS).ask(f"Run this. {ECHO}", *BASH)

    assert messages[-1]["result"] == "Demo: tool Bash returned: ccproxy-42"
    assert routed_service.served_by("openai", ALIAS) == before + 2


def test_parallel_tools_and_thinking_survive_a_session_that_goes_on(
    claude: Starting, wired_service: Service, upstream: str, model: str
):
    """A second turn sends back all of the first: thinking, two calls, two results. Nothing may be refused then.

    The upstream knows its own thinking by the signature; each request of the session brings all of it back.
    """
    _, failures = wired_service.counts()
    recalled = facts(upstream)["recalled"]
    thoughts = [] if model == TRANSLATED else ["Let me see"]  # Chat Completions shows none
    session = claude(wired_service, MAX_THINKING_TOKENS="2000")
    two = "[[think Let me see]] [[say Two at once.]] " + ECHO + ECHO.replace("ccproxy-", "second-")
    first = session.ask(two, "--model", model, *BASH)

    assert thinking(first) == thoughts
    assert sorted(tool_results(first)) == ["ccproxy-42", "second-42"]
    assert sorted(texts(first)[-1].splitlines()) == [  # the tools ran side by side, and may end in any order
        "Demo: tool Bash returned: ccproxy-42",
        "Demo: tool Bash returned: second-42",
    ]
    assert (facts(upstream)["recalled"] > recalled) == bool(thoughts)

    recalled = facts(upstream)["recalled"]
    (session.folder / "notes.txt").write_text("remember the milk\n")
    read = msgspec.json.encode({"file_path": str(session.folder / "notes.txt")}).decode()
    asked = f"[[think Let me see]] [[tool Read {read}]]"
    second = session.ask(asked, "--continue", "--model", model, "--allowedTools", "Read")

    assert thinking(second) == thoughts
    assert "remember the milk" in texts(second)[-1]
    assert (facts(upstream)["recalled"] > recalled) == (bool(thoughts))
    assert wired_service.counts()[1] == failures
    assert facts(upstream)["open_streams"] == 0


def facts(upstream: str) -> dict[str, int]:
    """What the upstream has seen so far."""
    seen: dict[str, int] = httpx.get(upstream, trust_env=False).json()
    return seen


def test_it_writes_a_file(claude: Starting, service: Service, model: str):
    """An argument that arrives with a changed blank, quote or umlaut ends up in somebody's code."""
    session = claude(service)
    content = "def f():\n\treturn \"ä\\n\" + '[[x]]'  # 東京 🙂\n"
    write = msgspec.json.encode({"file_path": str(session.folder / "f.py"), "content": content}).decode()
    session.ask(f"[[tool Write {write}]]", "--model", model, "--allowedTools", "Write")

    assert (session.folder / "f.py").read_text() == content


def test_it_shows_an_image_to_the_model(claude: Starting, service: Service, model: str):
    """It reads pictures as tool results, which Chat Completions cannot hold: they must not get lost on the way."""
    session = claude(service)
    picture = session.folder / "a.png"
    picture.write_bytes(ONE_PIXEL)
    read = msgspec.json.encode({"file_path": str(picture)}).decode()
    messages = session.ask(f"[[tool Read {read}]]", "--model", model, "--allowedTools", "Read")

    blind = model == "deepseek,deepseek-demo-1"  # it takes text only, and CCProxy says so in the image's place
    assert ("[image omitted" if blind else "[image image/png,") in texts(messages)[-1]


def test_it_understands_that_a_prompt_is_too_long(claude: Starting, service: Service):
    """It knows one wording only, Anthropic's, and makes room by itself where it reads that."""
    too_long = (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    )
    session = claude(service)
    result = session.ask(f"[[error 400 context_length_exceeded {too_long}]]", "--model", TRANSLATED)[-1]

    assert result["terminal_reason"] == "prompt_too_long"
    assert "~9000 tokens (limit 8192)" in result["result"]


def test_it_shows_an_error_of_the_provider_in_the_providers_words(claude: Starting, service: Service, model: str):
    """Whoever sees only "API Error" cannot help themselves."""
    session = claude(service, CLAUDE_CODE_MAX_RETRIES="0")
    result = session.ask("[[error 400 invalid_request_error No such thing]]", "--model", model)[-1]

    assert (result["is_error"], result["api_error_status"]) == (True, 400)
    assert "No such thing" in result["result"]


def test_a_broken_answer_is_an_error_and_not_half_an_answer(claude: Starting, service: Service, model: str):
    """A cut answer that looks whole is acted upon."""
    session = claude(service, CLAUDE_CODE_MAX_RETRIES="0")
    result = session.ask("[[tokens 20]] [[cut 3]]", "--model", model)[-1]

    assert result["is_error"]
    assert "cut off" in result["result"]


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_it_shows_its_key_to_a_service_that_asks_for_one(
    outside: Outside, tmp_path: Path, locked_service: Service, variable: str
):
    """Either variable may hold the key; people have one or the other set already."""
    session = ClaudeCode(locked_service, outside, tmp_path, {variable: KEY})

    assert session.ask("Hello")[-1]["result"] == "Demo answer to: Hello"


def test_a_wrong_key_is_reported_as_one(claude: Starting, locked_service: Service):
    """It must not look like an outage, or people wait for it to pass."""
    session = claude(locked_service, ANTHROPIC_AUTH_TOKEN="wrong", CLAUDE_CODE_MAX_RETRIES="0")
    result = session.ask("Hello")[-1]

    assert (result["is_error"], result["api_error_status"]) == (True, 401)


def test_another_providers_models_that_it_discovers_can_be_used(claude: Starting, service: Service):
    """Its model menu shows what says `claude` or `anthropic`, so other providers' models must be called so."""
    session = claude(service, CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1")
    session.ask("Hello")
    found = msgspec.json.decode((session.home / ".claude/cache/gateway-models.json").read_bytes())["models"]
    before = service.served_by("openai", "provider,model")
    aliases = [model["id"] for model in found if model["id"].startswith("claude-via-openai/")]
    answers = [session.ask(f"Run this. {ECHO}", "--model", alias, *BASH)[-1] for alias in aliases]

    assert {
        "claude-demo-1": "Claude Demo 1 (demo upstream, no model)",
        "claude-via-openai/gpt-demo-1": "gpt-demo-1 (openai)",
        "claude-via-openai/gpt-demo-1-mini": "gpt-demo-1-mini (openai)",
    }.items() <= {model["id"]: model["display_name"] for model in found}.items()
    assert len(aliases) > 1
    assert {answer["result"] for answer in answers} == {"Demo: tool Bash returned: ccproxy-42"}
    assert service.served_by("openai", "provider,model") == before + 2 * len(aliases)


def test_it_reaches_nobody_but_the_service(claude: Starting, service: Service, outside: Outside):
    """Behind a gateway there is often no other way out; and these tests must keep to this machine."""
    claude(service).ask(f"Run this. {ECHO}", *BASH)

    assert outside.take() == []


def test_its_probes_are_answered(service: Service):
    """It asks these by itself; an error here shows up as a warning nobody can explain."""
    assert service.get("/v1/models?limit=1000").json()["has_more"] is False
    for path in ("/", "/api/hello"):
        assert httpx.head(service.url + path, trust_env=False).status_code == httpx.codes.OK
