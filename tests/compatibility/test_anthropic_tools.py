"""Tools that Anthropic defines: some the caller runs, some Anthropic's server."""

import msgspec
from compatibility.cells import Cell, Declared, does, dropped, each, feature, left_out, none, said
from compatibility.wires import text, whole

DEFINED = "Tools that Anthropic defines"


def function(*words: str) -> dict[str, Declared]:
    """A tool that the caller runs: a function with a schema as Anthropic documents it."""

    def holds(schema: object) -> bool:
        return isinstance(schema, dict) and set(words) <= set(schema["properties"])

    return each(
        said("tools.0.function.parameters", holds, detail="a function"),
        responses=said("tools.0.parameters", holds, detail="a function"),
        gemini=said("tools.0.functionDeclarations.0.parametersJsonSchema", holds, detail="a function"),
    )


@feature(DEFINED, "`bash`", function("command", "restart"))
def test_bash(cell: Cell):
    """The caller runs it; only its schema is Anthropic's."""
    cell.says(mark="bash", tools=[{"type": "bash_20250124", "name": "bash"}])


@feature(DEFINED, "`text_editor`", function("command", "path", "old_str", "new_str", "insert_line", "view_range"))
def test_text_editor(cell: Cell):
    """The caller runs it; only its schema is Anthropic's."""
    name = "str_replace_based_edit_tool"
    cell.says(mark=name, tools=[{"type": "text_editor_20250728", "name": name}])


@feature(DEFINED, "`memory`", function("command", "path", "file_text", "old_path", "new_path"))
def test_memory(cell: Cell):
    """The caller runs it; only its schema is Anthropic's."""
    cell.says(mark="memory", tools=[{"type": "memory_20250818", "name": "memory"}])


def of_anthropic(kind: str) -> dict[str, Declared]:
    """A tool that only Anthropic has."""
    return each(dropped(f"tools.{kind}"))


@feature(DEFINED, "`computer`", of_anthropic("computer_20250124"))
def test_computer(cell: Cell):
    """Other models are not trained for its pictures and places."""
    size = {"display_width_px": 1024, "display_height_px": 768}
    cell.says(mark="computer", tools=[{"type": "computer_20250124", "name": "computer", **size}])


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@feature(
    DEFINED,
    "`web_search`",
    each(
        dropped("tools.web_search_20250305"),
        responses=said("tools.0.type", "web_search"),
        gemini=said("tools.0.googleSearch", {}),
        openrouter=said("tools.0.type", "openrouter:web_search"),
    ),
    "The provider's own search takes the place of Anthropic's; its blocks of results are not made up.",
)
def test_web_search(cell: Cell):
    """Claude Code's WebSearch asks for it alone."""
    cell.says(mark="web_search", tools=[SEARCH])


@feature(
    DEFINED,
    "`max_uses` of `web_search`",
    each(
        dropped("tools.web_search_20250305"),
        responses=said("max_tool_calls", 3),
        gemini=dropped("tools.max_uses"),
        openrouter=said("tools.0.parameters.max_uses", 3),
    ),
)
def test_web_search_limit(cell: Cell):
    """Searches cost."""
    cell.says(mark="max_uses", tools=[{**SEARCH, "max_uses": 3}])


CITED = {"type": "url_citation", "url": "https://example.com", "title": "W", "start_index": 0, "end_index": 0}
SOURCES = "\n\nSources:\n- W: https://example.com"


@feature(
    DEFINED,
    "sources of a web search",
    each(
        none(),
        responses=left_out("where the text does not link them"),
        gemini=does("as text"),
        openrouter=does("as text"),
    ),
    "Sources that the text does not link follow it. Anthropic's own blocks hold what only its servers can make.",
)
def test_web_search_sources(cell: Cell):
    """An answer from the web is worth as much as its sources."""
    cell.ask(tools=[SEARCH])
    body = msgspec.json.decode(whole(cell.column.key, text("It rains.")))
    match cell.column.key:
        case "anthropic":
            body["content"][0]["citations"] = [
                {"type": "web_search_result_location", "url": "https://example.com"}
            ]
        case "responses":
            body["output"][0]["content"][0]["annotations"] = [CITED]
        case "gemini":
            pages = [{"web": {"uri": CITED["url"], "title": CITED["title"]}}]
            body["candidates"][0]["groundingMetadata"] = {"groundingChunks": pages}
        case "openrouter":
            body["choices"][0]["message"]["annotations"] = [{"type": "url_citation", "url_citation": CITED}]
    block = cell.answered(msgspec.json.encode(body))["content"][0]
    told = bool(block.get("citations")) or block["text"] == f"It rains.{SOURCES}"
    if cell.column.key == "responses" and not told:
        cell.leaves_out()
    else:
        cell.shows(told=told)


@feature(DEFINED, "`web_fetch`", of_anthropic("web_fetch_20250910"))
def test_web_fetch(cell: Cell):
    """Anthropic's server fetches."""
    cell.says(mark="web_fetch", tools=[{"type": "web_fetch_20250910", "name": "web_fetch"}])


@feature(DEFINED, "`code_execution`", of_anthropic("code_execution_20250825"))
def test_code_execution(cell: Cell):
    """Anthropic's server runs code."""
    cell.says(mark="code_execution", tools=[{"type": "code_execution_20250825", "name": "code_execution"}])


@feature(DEFINED, "`tool_search`", of_anthropic("tool_search_tool_bm25_20251119"))
def test_tool_search(cell: Cell):
    """Anthropic's server looks tools up."""
    name = "tool_search_tool_bm25"
    cell.says(mark=name, tools=[{"type": f"{name}_20251119", "name": name}])


@feature(DEFINED, "a tool of a type that is not known", of_anthropic("next_years_tool_20270101"))
def test_unknown_tool(cell: Cell):
    """What Anthropic adds next year reaches Anthropic, and is named elsewhere."""
    cell.says(mark="next", tools=[{"type": "next_years_tool_20270101", "name": "next"}])
