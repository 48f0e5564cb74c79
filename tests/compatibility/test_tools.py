"""Tools: definitions, choices, names; and structured output."""

from typing import Any

import msgspec
from compatibility.cells import Cell, Declared, does, dropped, each, feature, has, said
from compatibility.wires import Used, whole

HEADING = "Tools"
STRUCTURED = "Structured output"

PATH = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"name": "read", "description": "Reads a file.", "input_schema": PATH}
STRICT = {**PATH, "required": ["path"], "additionalProperties": False}


@feature(
    HEADING,
    "a tool's name, description and schema",
    each(
        said(
            "tools.0",
            {"type": "function", "function": {"name": "read", "description": "Reads a file.", "parameters": PATH}},
            detail="`function`",
        ),
        responses=said("tools.0.parameters", PATH),
        gemini=said(
            "tools.0.functionDeclarations.0",
            {"name": "read", "description": "Reads a file.", "parametersJsonSchema": PATH},
        ),
    ),
)
def test_tool(cell: Cell):
    """The model must know what there is."""
    cell.says(mark="Reads a file", tools=[READ])


@feature(
    HEADING,
    "a tool without parameters",
    each(
        said("tools.0.function.name", "now"),
        responses=said("tools.0.name", "now"),
        gemini=said("tools.0.functionDeclarations.0", {"name": "now"}),
    ),
)
def test_tool_without_parameters(cell: Cell):
    """Gemini refuses an object without properties."""
    cell.says(mark="now", tools=[{"name": "now", "input_schema": {"type": "object", "properties": {}}}])


@feature(
    HEADING,
    "keywords of JSON Schema such as `pattern`",
    each(
        said("tools.0.function.parameters.properties.path.pattern", "^/tmp"),
        responses=said("tools.0.parameters.properties.path.pattern", "^/tmp"),
        gemini=dropped("tools.input_schema.pattern"),
    ),
    "Gemini knows a part of JSON Schema; each keyword that narrows a schema and cannot be said is named.",
)
def test_schema_keyword(cell: Cell):
    """Without it the model may answer what the schema forbids."""
    schema = {"type": "object", "properties": {"path": {"type": "string", "pattern": "^/tmp"}}}
    cell.says(mark="^/tmp", tools=[{"name": "read", "input_schema": schema}])


@feature(
    HEADING,
    "`strict`, a schema that OpenAI accepts",
    each(
        said("tools.0.function.strict", value=True),
        responses=said("tools.0.strict", value=True),
        gemini=said("toolConfig.functionCallingConfig.mode", "VALIDATED", detail="`VALIDATED`"),
        deepseek=dropped("tools.strict"),
    ),
)
def test_strict(cell: Cell):
    """The input is to follow the schema."""
    cell.says(mark='"strict":true', tools=[{**READ, "input_schema": STRICT, "strict": True}])


@feature(
    HEADING,
    "`strict`, another schema",
    each(
        dropped("tools.strict"),
        gemini=said("toolConfig.functionCallingConfig.mode", "VALIDATED", detail="`VALIDATED`"),
        openrouter=said("tools.0.function.strict", value=True),
    ),
    "OpenAI refuses a strict tool whose schema leaves a property optional: it is sent as one that is not.",
)
def test_strict_refused(cell: Cell):
    """OpenAI would answer 400 for the whole request."""
    cell.says(mark='"strict":true', tools=[{**READ, "strict": True}])


def choice(chat: object, responses: object, mode: str) -> dict[str, Declared]:
    """How a choice is said."""
    return each(
        said("tool_choice", chat, detail=f"`{chat}`" if isinstance(chat, str) else ""),
        responses=said("tool_choice", responses, detail=f"`{responses}`" if isinstance(responses, str) else ""),
        gemini=said("toolConfig.functionCallingConfig.mode", mode, detail=f"`{mode}`"),
    )


@feature(HEADING, "`tool_choice: auto`", choice("auto", "auto", "AUTO"))
def test_choice_auto(cell: Cell):
    """The model decides."""
    cell.says(mark="no such mark", tools=[READ], tool_choice={"type": "auto"})


@feature(
    HEADING,
    "`tool_choice: any`",
    choice("required", "required", "ANY"),
    "DeepSeek forces no tool while it thinks, so thinking is switched off for such a request.",
)
def test_choice_any(cell: Cell):
    """Some tool must be called."""
    cell.says(mark="no such mark", tools=[READ], tool_choice={"type": "any"})
    assert cell.column.key != "deepseek" or b'"thinking":{"type":"disabled"}' in (
        cell.exchange.request.body or b""
    )


@feature(
    HEADING,
    "`tool_choice: tool`",
    {
        **choice({"type": "function", "function": {"name": "read"}}, {"type": "function", "name": "read"}, "ANY"),
        "gemini": said("toolConfig.functionCallingConfig.allowedFunctionNames", ["read"]),
    },
)
def test_choice_tool(cell: Cell):
    """This tool must be called."""
    cell.says(mark="no such mark", tools=[READ], tool_choice={"type": "tool", "name": "read"})


@feature(HEADING, "`tool_choice: none`", choice("none", "none", "NONE"))
def test_choice_none(cell: Cell):
    """No tool may be called, but those of the history are known."""
    cell.says(mark="no such mark", tools=[READ], tool_choice={"type": "none"})


@feature(
    HEADING,
    "`disable_parallel_tool_use`",
    each(
        said("parallel_tool_calls", value=False),
        gemini=does("only the first call is told"),
        deepseek=dropped("tool_choice.disable_parallel_tool_use"),
    ),
    "Gemini cannot be told to make one call at a time: CCProxy hands the first call on and leaves out the others.",
)
def test_one_call_at_a_time(cell: Cell):
    """Some agents cannot take two."""
    asked = {"tools": [READ], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    if cell.column.key == "gemini":
        cell.ask(**asked)
        answer = cell.answered(whole("gemini", Used("a", "read"), Used("b", "read"), stop="calls"))
        cell.shows(told=[block["type"] for block in answer["content"]] == ["tool_use"])
    else:
        cell.says(mark="parallel", **asked)


LONG = "mcp__server__" + "x" * 60
DOTTED = "files.read"


def restored(cell: Cell, name: str) -> None:
    """Asks with a tool of this name, and reports whether the caller gets it back under its name."""
    exchange = cell.ask(tools=[{**READ, "name": name}])
    body = (exchange.request.body or b"").decode()
    if cell.is_relay:
        cell.shows(told=name in body)
        return
    sent = _names(cell.column.key, exchange.request.body or b"")
    assert all(len(each) <= 64 or cell.column.key == "gemini" for each in sent)
    answer = cell.answered(whole(cell.column.key, Used("a", sent[0]), stop="calls"))
    cell.shows(told=answer["content"][-1]["name"] == name)


def _names(column: str, body: bytes) -> list[str]:
    tools = msgspec.json.decode(body)["tools"]
    if column == "gemini":
        return [function["name"] for function in tools[0]["functionDeclarations"]]
    return [(tool.get("function") or tool)["name"] for tool in tools]


RENAMED = "renamed there and back"


@feature(
    HEADING,
    "names longer than 64 characters",
    each(does(RENAMED), gemini=does()),
    "A tool whose name a provider refuses has another name there, the same each time; the caller never sees it.",
)
def test_long_name(cell: Cell):
    """MCP makes such names; Anthropic takes 128 characters."""
    restored(cell, LONG)


@feature(HEADING, "names with a dot", each(does(RENAMED), gemini=does()))
def test_dotted_name(cell: Cell):
    """OpenAI refuses them."""
    restored(cell, DOTTED)


@feature(
    HEADING,
    "`input_examples`",
    each(
        said("tools.0.function.description", has("Examples:", "b.txt"), detail="in the description"),
        responses=said("tools.0.description", has("Examples:", "b.txt"), detail="in the description"),
        gemini=said(
            "tools.0.functionDeclarations.0.description", has("Examples:", "b.txt"), detail="in the description"
        ),
    ),
)
def test_input_examples(cell: Cell):
    """They help a model to call a tool well."""
    cell.says(mark="b.txt", tools=[{**READ, "input_examples": [{"path": "b.txt"}]}])


@feature(
    HEADING,
    "`eager_input_streaming`",
    each(dropped("tools.eager_input_streaming")),
    "Inputs are streamed as soon as the provider tells them; see Streams.",
)
def test_eager_streaming(cell: Cell):
    """Anthropic's own switch."""
    cell.says(mark="eager", tools=[{**READ, "eager_input_streaming": True}])


@feature(
    HEADING,
    "`defer_loading`",
    each(dropped("tools.defer_loading")),
    "A tool with `defer_loading` is sent as any other.",
)
def test_defer_loading(cell: Cell):
    """Tools are searched by Anthropic's server."""
    cell.says(mark="defer", tools=[{**READ, "defer_loading": True}])


@feature(HEADING, "`allowed_callers`", each(dropped("tools.allowed_callers")))
def test_allowed_callers(cell: Cell):
    """Code that Anthropic's server runs may call tools."""
    cell.says(mark="code_execution", tools=[{**READ, "allowed_callers": ["code_execution_20260120"]}])


TOLD = "told in the system prompt"
FORMAT: dict[str, Any] = {"type": "json_schema", "schema": STRICT}
AS_SCHEMA = each(
    said("response_format.json_schema.schema", STRICT),
    responses=said("text.format.schema", STRICT),
    gemini=said("generationConfig.responseJsonSchema", STRICT),
    deepseek=said("messages.0.content", has("JSON schema", '"additionalProperties":false'), detail=TOLD),
)


@feature(
    STRUCTURED,
    "`output_config.format`",
    AS_SCHEMA,
    "DeepSeek knows JSON, but no schema: the schema is told in the system prompt, and nothing enforces it.",
)
def test_output_format(cell: Cell):
    """The answer is to follow a schema."""
    cell.says(mark="additionalProperties", output_config={"format": FORMAT})


@feature(STRUCTURED, "`output_format` (its older name)", AS_SCHEMA)
def test_older_output_format(cell: Cell):
    """Older SDKs say it so."""
    cell.says(mark="additionalProperties", output_format=FORMAT)


@feature(STRUCTURED, "a format beside tools", AS_SCHEMA)
def test_output_format_beside_tools(cell: Cell):
    """Agents answer in a schema after calls."""
    cell.says(mark="additionalProperties", output_config={"format": FORMAT}, tools=[READ])


@feature(
    STRUCTURED,
    "a format beside tools, Gemini before 3",
    {
        **AS_SCHEMA,
        "gemini": said(
            "systemInstruction.parts.0.text",
            has("additionalProperties"),
            detail=TOLD,
            without="output_config.format",
            model="gemini-2.5-flash",
        ),
    },
)
def test_output_format_beside_tools_before(cell: Cell):
    """Gemini 2.5 takes no schema beside tools."""
    cell.says(mark="additionalProperties", output_config={"format": FORMAT}, tools=[READ])
