"""Calls of tools in the conversation, and their results."""

from typing import Any

from compatibility.cells import Cell, dropped, each, feature, has, said

HEADING = "Tool calls and results in the conversation"

DATA = "QUFBQUFBQUE="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": DATA}}
TOOLS = [{"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]


def used(id: str = "toolu_1", path: str = "a.txt") -> dict[str, Any]:  # noqa: A002  # Anthropic's word
    """A call."""
    return {"type": "tool_use", "id": id, "name": "read", "input": {"path": path}}


def result(content: object = "It rains", id: str = "toolu_1", **members: Any) -> dict[str, Any]:  # noqa: A002
    """A result."""
    return {"type": "tool_result", "tool_use_id": id, "content": content, **members}


def text(said: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": said}


def history(*results: dict[str, Any], calls: tuple[dict[str, Any], ...] = (used(),)) -> tuple[dict[str, Any], ...]:
    """A conversation with calls and what the user answers."""
    return (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [*calls]},
        {"role": "user", "content": [*results]},
    )


@feature(
    HEADING,
    "`tool_use`",
    each(
        said("messages.1.tool_calls.0.function.arguments", '{"path":"a.txt"}', detail="`tool_calls`"),
        responses=said("input.1.arguments", '{"path":"a.txt"}', detail="`function_call`"),
        gemini=said("contents.1.parts.0.functionCall", {"name": "read", "args": {"path": "a.txt"}}),
    ),
)
def test_tool_use(cell: Cell):
    """What the model called before."""
    cell.says(*history(result()), mark="a.txt", tools=TOOLS)


@feature(
    HEADING,
    "`tool_result` as text",
    each(
        said(
            "messages.2", {"role": "tool", "tool_call_id": "toolu_1", "content": "It rains"}, detail="`role: tool`"
        ),
        responses=said("input.2.output.0.text", "It rains", detail="`function_call_output`"),
        gemini=said("contents.2.parts.0.functionResponse.response", {"output": "It rains"}),
    ),
)
def test_result_text(cell: Cell):
    """What the tool said."""
    cell.says(*history(result()), mark="It rains", tools=TOOLS)


@feature(
    HEADING,
    "`tool_result` as blocks",
    each(
        said("messages.2.content", "It rains\nand snows"),
        responses=said("input.2.output.0.text", "It rains\nand snows"),
        gemini=said("contents.2.parts.0.functionResponse.response.output", "It rains\nand snows"),
    ),
)
def test_result_blocks(cell: Cell):
    """In one text, where a result is one."""
    cell.says(*history(result([text("It rains"), text("and snows")])), mark="It rains", tools=TOOLS)


@feature(
    HEADING,
    "`tool_result` with an image",
    each(
        said("messages.3.content.0.image_url.url", has(DATA), detail="in the next message"),
        responses=said("input.2.output.0.image_url", has(DATA), detail="`input_image` in it"),
        gemini=said(
            "contents.2.parts.0.functionResponse.parts.0.inlineData.data", DATA, detail="`inlineData` in it"
        ),
        deepseek=dropped("messages.content.image"),
    ),
    "Chat Completions takes text in a result and nothing else: the image follows in a user's message.",
)
def test_result_image(cell: Cell):
    """Claude Code reads images by a tool."""
    cell.says(*history(result([IMAGE])), mark=DATA, tools=TOOLS)


@feature(
    HEADING,
    "`tool_result` with a PDF",
    each(
        said("messages.3.content.0.file.file_data", has(DATA), detail="in the next message"),
        responses=said("input.2.output.0.file_data", has(DATA), detail="`input_file` in it"),
        gemini=said(
            "contents.2.parts.0.functionResponse.parts.0.inlineData.data", DATA, detail="`inlineData` in it"
        ),
        deepseek=dropped("messages.content.document"),
    ),
)
def test_result_pdf(cell: Cell):
    """Claude Code reads PDF files by a tool."""
    cell.says(*history(result([PDF])), mark=DATA, tools=TOOLS)


@feature(
    HEADING,
    "`is_error`",
    each(
        said("messages.2.content", "Error: no such file"),
        responses=said("input.2.output.0.text", "Error: no such file"),
        gemini=said("contents.2.parts.0.functionResponse.response", {"error": "no such file"}),
    ),
)
def test_result_error(cell: Cell):
    """A model that takes an error for a result goes on as if all was well."""
    cell.says(*history(result("no such file", is_error=True)), mark="no such file", tools=TOOLS)


@feature(
    HEADING,
    "`tool_result` without content",
    each(
        said("messages.2.content", "(no output)"),
        responses=said("input.2.output.0.text", "(no output)"),
        gemini=said("contents.2.parts.0.functionResponse.response", {"output": ""}),
    ),
    "An empty result becomes `(no output)` where servers refuse an empty one.",
)
def test_result_empty(cell: Cell):
    """Some servers refuse an empty message."""
    cell.says(*history(result("")), mark="no such mark", tools=TOOLS)


TWO = (used(), used("toolu_2", "b.txt"))


@feature(
    HEADING,
    "results in another order than the calls, with text before",
    each(
        said("messages.3.content", "It snows", detail="in the calls' order"),
        responses=said("input.4.output.0.text", "It snows", detail="in the calls' order"),
        gemini=said(
            "contents.2.parts.1.functionResponse.response.output", "It snows", detail="in the calls' order"
        ),
    ),
    "All answers to a turn's calls stand directly behind it, in the calls' order, as the providers demand.",
)
def test_results_out_of_order(cell: Cell):
    """Anthropic takes any order; the others refuse the conversation."""
    mixed = (text("So:"), result("It snows", "toolu_2"), result("It rains", "toolu_1"))
    cell.says(*history(*mixed, calls=TWO), mark="It snows", tools=TOOLS)


@feature(
    HEADING,
    "a call without a result",
    each(
        said("messages.2.content", has("interrupted"), detail="an error in its place"),
        responses=said("input.2.output", has("interrupted"), detail="an error in its place"),
        gemini=said(
            "contents.2.parts.0.functionResponse.response.error",
            has("interrupted"),
            detail="an error in its place",
        ),
    ),
    "A call that was interrupted gets an error as its result; Anthropic itself refuses such a conversation.",
)
def test_missing_result(cell: Cell):
    """A user who interrupts a tool leaves such a call."""
    cell.says(*history(text("Stop")), mark="interrupted", tools=TOOLS)


@feature(
    HEADING,
    "a result without a call",
    each(
        said("messages.0.content", has("It rains"), detail="as text"),
        responses=said("input.0.content.1.text", has("It rains"), detail="as text"),
        gemini=said("contents.0.parts.1.text", has("It rains"), detail="as text"),
    ),
)
def test_orphan_result(cell: Cell):
    """A client that cut the history leaves one."""
    cell.says({"role": "user", "content": [result()]}, mark="It rains", tools=TOOLS)


LONG_ID = "toolu_" + "x" * 60


@feature(
    HEADING,
    "ids longer than 40 characters",
    each(
        said("messages.1.tool_calls.0.id", lambda value: len(value) <= 40, detail="shortened in both places"),
        responses=said("input.1.call_id", lambda value: len(value) <= 40, detail="shortened in both places"),
        gemini=said("contents.2.parts.0.functionResponse.name", "read", detail="by name and order"),
    ),
)
def test_long_ids(cell: Cell):
    """They come from conversations with other providers, and OpenAI refuses them."""
    cell.says(*history(result(id=LONG_ID), calls=(used(LONG_ID),)), mark="no such mark", tools=TOOLS)
    body = (cell.exchange.request.body or b"").decode()
    assert cell.is_relay or LONG_ID not in body
