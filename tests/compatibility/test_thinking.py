"""Thinking: modes, effort, display; and what was thought, carried through the conversation."""

from typing import Any

from compatibility.cells import COLUMNS, Cell, does, dropped, each, feature, left_out, none, said
from compatibility.wires import Thought, Used, text, whole

HEADING = "Thinking and effort"
CARRIED = "Reasoning in the conversation"

REASONS = "gpt-5.1"
"""A model that Chat Completions lets reason."""

TOOLS = [{"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]


@feature(
    HEADING,
    "`adaptive`",
    each(
        dropped("thinking"),
        responses=said("reasoning", {"summary": "auto"}),
        gemini=said("generationConfig.thinkingConfig", {"includeThoughts": True}),
        deepseek=said("thinking", {"type": "enabled"}),
        openrouter=said("reasoning", {"enabled": True}),
    ),
    "`gpt-4.1` does not reason. OpenAI's other models take an effort there, and show no thinking.",
)
def test_adaptive(cell: Cell):
    """The model decides how much it thinks."""
    cell.says(mark="adaptive", thinking={"type": "adaptive"})


@feature(
    HEADING,
    "`enabled` with `budget_tokens`",
    each(
        said("reasoning_effort", "medium", model=REASONS),
        responses=said("reasoning.effort", "medium"),
        gemini=said("generationConfig.thinkingConfig.thinkingLevel", "MEDIUM"),
        deepseek=said("reasoning_effort", "high"),
        openrouter=said("reasoning.max_tokens", 4000),
    ),
    "A budget becomes an effort where no budget can be said: below 2,000 `low`, 8,000 `medium`, 24,000 `high`, "
    "else `xhigh`.",
)
def test_budget(cell: Cell):
    """Older Claude models are told so."""
    cell.says(mark="4000", max_tokens=9000, thinking={"type": "enabled", "budget_tokens": 4000})


@feature(
    HEADING,
    "`enabled` with `budget_tokens`, Gemini 2.5 and newer Claude models",
    each(
        said("reasoning_effort", "medium", model=REASONS),
        responses=said("reasoning.effort", "medium"),
        gemini=said("generationConfig.thinkingConfig.thinkingBudget", 4000, model="gemini-2.5-flash"),
        deepseek=said("reasoning_effort", "high"),
        openrouter=said("reasoning.effort", "medium", model="anthropic/claude-opus-4.8"),
    ),
)
def test_budget_of_older_models(cell: Cell):
    """Gemini 2.5 takes a budget, later Claude models do not."""
    cell.says(mark="4000", max_tokens=9000, thinking={"type": "enabled", "budget_tokens": 4000})


@feature(
    HEADING,
    "`disabled`",
    each(
        left_out("it never reasons"),
        responses=said("reasoning.effort", "none"),
        gemini=said("generationConfig.thinkingConfig.thinkingLevel", "MINIMAL", without="thinking"),
        deepseek=said("thinking.type", "disabled"),
        openrouter=said("reasoning.effort", "none"),
    ),
    "Gemini 3 and models that must reason get the least there is, and `thinking` is named as dropped.",
)
def test_disabled(cell: Cell):
    """It costs, and it takes time."""
    cell.says(mark="disabled", thinking={"type": "disabled"})


@feature(
    HEADING,
    "`between_tools`",
    each(
        left_out("it never reasons"),
        responses=said("reasoning.effort", "none"),
        gemini=said("generationConfig.thinkingConfig.thinkingLevel", "MINIMAL", without="thinking"),
        deepseek=said("thinking.type", "disabled"),
        openrouter=said("reasoning.effort", "none"),
    ),
    "`between_tools` counts as `disabled`: nobody else thinks between tools only.",
)
def test_between_tools(cell: Cell):
    """Sonnet 5.5 knows it."""
    cell.says(mark="between_tools", thinking={"type": "between_tools"})


@feature(
    HEADING,
    "silence of an older client (`anthropic-version: 2023-06-01`)",
    each(
        left_out("it never reasons"),
        responses=said("reasoning.effort", "none"),
        gemini=said("generationConfig.thinkingConfig.thinkingLevel", "MINIMAL"),
        deepseek=said("thinking.type", "disabled"),
        openrouter=said("reasoning.effort", "none"),
    ),
    "In that version who does not ask for thinking gets none; in later ones the model's default counts.",
)
def test_silence_of_an_older_client(cell: Cell):
    """It does not expect to pay for thoughts."""
    cell.says(mark="reasoning", version="2023-06-01")


def effort(wish: str, openai: str, gemini: str, deepseek: str) -> dict[str, Any]:
    """How an effort is said."""
    responses = "xhigh" if wish in {"xhigh", "max"} else openai
    return each(
        said("reasoning_effort", openai, model=REASONS, detail=f"`{openai}`"),
        responses=said("reasoning.effort", responses, detail=f"`{responses}`"),
        gemini=said("generationConfig.thinkingConfig.thinkingLevel", gemini, detail=f"`{gemini}`"),
        deepseek=said("reasoning_effort", deepseek, detail=f"`{deepseek}`"),
        openrouter=said("reasoning.effort", wish, detail=f"`{wish}`"),
    )


@feature(HEADING, "`effort: low`", effort("low", "low", "LOW", "low"))
def test_effort_low(cell: Cell):
    """Each provider has its own steps."""
    cell.says(mark="effort", output_config={"effort": "low"})


@feature(HEADING, "`effort: medium`", effort("medium", "medium", "MEDIUM", "high"))
def test_effort_medium(cell: Cell):
    """DeepSeek takes it for high itself."""
    cell.says(mark="effort", output_config={"effort": "medium"})


@feature(HEADING, "`effort: high`", effort("high", "high", "HIGH", "high"))
def test_effort_high(cell: Cell):
    """Each provider has its own steps."""
    cell.says(mark="effort", output_config={"effort": "high"})


@feature(
    HEADING,
    "`effort: xhigh`",
    effort("xhigh", "high", "HIGH", "high"),
    "An effort that a model does not have becomes the nearest it has.",
)
def test_effort_xhigh(cell: Cell):
    """The most that there is."""
    cell.says(mark="effort", output_config={"effort": "xhigh"})


@feature(HEADING, "`effort: max`", effort("max", "high", "HIGH", "max"))
def test_effort_max(cell: Cell):
    """The most that there is."""
    cell.says(mark="effort", output_config={"effort": "max"})


@feature(
    HEADING,
    "`effort` of a model that does not reason",
    each(
        dropped("output_config.effort"),
        responses=dropped("output_config.effort", model="gpt-4.1"),
        gemini=dropped("output_config.effort", model="gemini-2.0-flash"),
        deepseek=said("reasoning_effort", "low"),
        openrouter=said("reasoning.effort", "low"),
    ),
)
def test_effort_of_a_model_that_does_not_reason(cell: Cell):
    """It would answer 400."""
    cell.says(mark="effort", output_config={"effort": "low"})


def shown(content: list[dict[str, Any]]) -> bool:
    """Whether what was thought is readable."""
    return any(block["type"] == "thinking" and block["thinking"] == "Let me think." for block in content)


@feature(
    HEADING,
    "thinking is shown",
    each(does(), chat=none("OpenAI's Chat Completions shows none")),
    "OpenAI shows a summary of what was thought, and Gemini as well.",
)
def test_thinking_is_shown(cell: Cell):
    """Users want to see what takes so long."""
    cell.ask(thinking={"type": "adaptive"})
    answer = cell.answered(whole(cell.column.key, Thought("Let me think."), text("Yes.")))
    cell.shows(told=shown(answer["content"]))


@feature(
    HEADING,
    "`display: omitted`",
    each(does("no text, the state is kept"), chat=none("OpenAI's Chat Completions shows none")),
)
def test_display_omitted(cell: Cell):
    """The text is not wanted, but what the provider wants back must be kept."""
    thinking = {"type": "adaptive", "display": "omitted"}
    if cell.is_relay:
        cell.says(mark="omitted", thinking=thinking)
        return
    cell.ask(thinking=thinking, tools=TOOLS)
    answer = cell.answered(whole(cell.column.key, Thought("Let me think."), Used("a", "read"), stop="calls"))
    blocks = [block for block in answer["content"] if block["type"] == "thinking"]
    assert not shown(answer["content"])
    cell.shows(told=bool(blocks) and all(block["signature"] and not block["thinking"] for block in blocks))


USER = {"role": "user", "content": "hi"}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "It rains"}


def continued(content: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The conversation after an answer with a call."""
    return USER, {"role": "assistant", "content": content}, {"role": "user", "content": [RESULT]}


def thought_by(cell: Cell) -> list[dict[str, Any]]:
    """What the caller keeps of the provider's answer with a thought and a call."""
    cell.ask(tools=TOOLS, thinking={"type": "adaptive"})
    body = whole(cell.column.key, Thought("Let me think.", "state-42"), Used("a", "read"), stop="calls")
    content: list[dict[str, Any]] = cell.answered(body)["content"]
    return content


def holds_state(value: object) -> bool:
    """Whether it is the state that the provider gave."""
    return "state-42" in str(value)


@feature(
    CARRIED,
    "thinking goes back to the provider that thought it",
    each(
        none("there is none"),
        responses=said("input.1.encrypted_content", "state-42"),
        gemini=said("contents.1.parts.0.thoughtSignature", "state-42"),
        deepseek=said("messages.1.reasoning_content", "Let me think."),
        openrouter=said("messages.1.reasoning_details", holds_state),
    ),
    "What a provider wants back travels in the `signature` of thinking blocks; CCProxy stores nothing.",
)
def test_thinking_goes_back(cell: Cell):
    """DeepSeek and Gemini refuse the conversation without; OpenAI's models forget what they were about."""
    content = thought_by(cell)
    if cell.column.key == "chat":
        cell.shows(told=any(block["type"] == "thinking" for block in content))
    else:
        cell.says(*continued(content), mark="no such mark", tools=TOOLS, thinking={"type": "adaptive"})


CLAUDES = {"type": "thinking", "thinking": "Let me think.", "signature": "EqQBsigned"}
CALL = {"type": "tool_use", "id": "a", "name": "read", "input": {"path": "a"}}


@feature(
    CARRIED,
    "Claude's own thinking",
    each(
        dropped("messages.content.thinking"),
        openrouter=said("messages.1.reasoning_details.0.signature", "EqQBsigned"),
    ),
    "Thinking that Anthropic has signed goes to Claude's models at OpenRouter, and to nobody else.",
)
def test_claudes_thinking_moved(cell: Cell):
    """A conversation may change its provider. Nobody else can read the signature."""
    cell.says(*continued([CLAUDES, CALL]), mark="EqQBsigned", tools=TOOLS)


@feature(
    CARRIED,
    "Claude's `redacted_thinking`",
    each(
        dropped("messages.content.redacted_thinking"),
        openrouter=said("messages.1.reasoning_details.0.data", "EqQBsealed"),
    ),
)
def test_redacted_thinking_moved(cell: Cell):
    """It is sealed by Anthropic."""
    sealed = {"type": "redacted_thinking", "data": "EqQBsealed"}
    cell.says(*continued([sealed, CALL]), mark="EqQBsealed", tools=TOOLS)


def moved(cell: Cell, key: str) -> list[dict[str, Any]]:
    """What the caller keeps of another provider's answer."""
    other = next(column for column in COLUMNS if column.key == key)
    return thought_by(Cell(cell.row, other, cell.declared))


@feature(
    CARRIED,
    "another provider's thinking",
    each(dropped("messages.content.thinking"), anthropic=dropped("messages.content.thinking")),
    "Thinking of another provider is left out for Anthropic, which would refuse the whole conversation "
    "(`Invalid signature in thinking block`); the rest of it stays.",
)
def test_others_thinking_moved(cell: Cell):
    """A conversation may change its provider, there and back."""
    content = moved(cell, "responses" if cell.column.key == "gemini" else "gemini")
    assert any(block["type"] == "thinking" for block in content)
    cell.says(*continued(content), mark="Let me think", tools=TOOLS)
    assert b"It rains" in (cell.exchange.request.body or b"")


@feature(
    CARRIED,
    "a call without the provider's own state",
    each(
        said("messages.1.tool_calls.0.id", "a"),
        responses=said("input.1.call_id", "a"),
        gemini=said(
            "contents.1.parts.0.thoughtSignature",
            "skip_thought_signature_validator",
            detail="with Google's stand-in",
        ),
        deepseek=said("messages.1.reasoning_content", "", detail="with an empty text"),
    ),
    "DeepSeek wants the reasoning of calls back: where it is lost an empty text goes there, and where that is "
    "refused the request goes again without thinking. Gemini takes Google's documented stand-in.",
)
def test_call_without_state(cell: Cell):
    """The conversation was with another provider, or the client dropped its thinking."""
    cell.says(*continued([CALL]), mark="no such mark", tools=TOOLS)
