"""Counts of tokens, lists of models, prompt caches."""

from typing import Any

import msgspec
from compatibility.cells import Cell, Declared, does, dropped, each, feature, none, said

from ccproxy.call import Target

COUNT = "Counting tokens"
MODELS = "Models"
CACHES = "Prompt caches"

TOOLS = [{"name": "read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}]


def counted(cell: Cell, **members: Any) -> bytes | None:
    """The request for a count; None where the provider has none."""
    call = cell.call(**members)
    body = msgspec.json.decode(call.body)
    del body["max_tokens"]  # a count has none
    call = msgspec.structs.replace(call, body=msgspec.json.encode(body), _head=None)
    request = cell.provider.count_request(call, call.head(), Target(cell.column.key, cell.model, "default"))
    return None if request is None else request.body or b""


ANSWERS = {"gemini": b'{"totalTokens":42}'}


@feature(
    COUNT,
    "counted by the provider",
    each(does(), chat=none("estimated"), deepseek=none("estimated"), openrouter=none("estimated")),
    "Where a provider counts nothing, CCProxy estimates by the length of what a model reads.",
)
def test_count(cell: Cell):
    """Claude Code compacts by it."""
    body = counted(cell)
    count = None if body is None else cell.provider.count(ANSWERS.get(cell.column.key, b'{"input_tokens":42}'))
    assert count in {None, 42}
    cell.shows(told=count == 42)


@feature(COUNT, "with `system` and `tools`", each(does(), chat=none(), deepseek=none(), openrouter=none()))
def test_count_of_all(cell: Cell):
    """Most tokens of an agent are there."""
    body = counted(cell, system="Be brief.", tools=TOOLS)
    cell.shows(told=body is not None and b"Be brief." in body and b'"read"' in body)


OPENAI = {"object": "list", "data": [{"id": "m-1", "object": "model", "created": 1_700_000_000, "owned_by": "x"}]}
LISTS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "data": [
            {
                "type": "model",
                "id": "m-1",
                "display_name": "Model One",
                "created_at": "2023-11-14T22:13:20Z",
                "max_input_tokens": 200_000,
                "max_tokens": 64_000,
                "capabilities": {"thinking": {"supported": True}},
                "lifecycle": "active",
            }
        ],
        "has_more": False,
    },
    "chat": OPENAI,
    "responses": OPENAI,
    "gemini": {
        "models": [
            {
                "name": "models/m-1",
                "displayName": "Model One",
                "inputTokenLimit": 200_000,
                "outputTokenLimit": 64_000,
                "supportedGenerationMethods": ["generateContent"],
            }
        ]
    },
    "deepseek": {"object": "list", "data": [{"id": "m-1", "object": "model", "owned_by": "deepseek"}]},
    "openrouter": {
        "data": [
            {
                "id": "m-1",
                "name": "Model One",
                "created": 1_700_000_000,
                "context_length": 200_000,
                "top_provider": {"max_completion_tokens": 64_000},
            }
        ]
    },
}


def listed(cell: Cell) -> dict[str, object]:
    """The provider's only model, as `/v1/models` shows it."""
    assert cell.provider.models_request() is not None
    (model,) = cell.provider.models(msgspec.json.encode(LISTS[cell.column.key])).models
    return model.document()


@feature(MODELS, "`id`", each(does()))
def test_model_id(cell: Cell):
    """It is what a caller writes."""
    cell.shows(told=listed(cell)["id"] == "m-1")


@feature(MODELS, "`display_name`", each(none("the id"), gemini=does(), openrouter=does()))
def test_display_name(cell: Cell):
    """It is what a picker shows."""
    cell.shows(told=listed(cell)["display_name"] == "Model One")


@feature(
    MODELS,
    "`created_at`",
    each(does(), gemini=none(), deepseek=none()),
    "A date that is not known is 1970, as Anthropic writes it.",
)
def test_created_at(cell: Cell):
    """OpenAI and OpenRouter give it as Unix time."""
    cell.shows(told=listed(cell).get("created_at") == "2023-11-14T22:13:20Z")


@feature(MODELS, "`max_input_tokens`", each(does(), chat=none(), responses=none(), deepseek=none()))
def test_max_input_tokens(cell: Cell):
    """A client knows when to compact; nothing is invented where nothing is told."""
    cell.shows(told=listed(cell).get("max_input_tokens") == 200_000)


@feature(MODELS, "`max_tokens`", each(does(), chat=none(), responses=none(), deepseek=none()))
def test_max_tokens(cell: Cell):
    """A client knows how much it may ask for."""
    cell.shows(told=listed(cell).get("max_tokens") == 64_000)


@feature(
    MODELS,
    "`capabilities`, `lifecycle`",
    each(none()),
    "What Anthropic says of a model passes whole; nobody else says it in such words.",
)
def test_capabilities(cell: Cell):
    """A client chooses by them."""
    cell.shows(told="capabilities" in listed(cell))


@feature(
    MODELS,
    "a list of several pages",
    each(none("it is one page"), gemini=does()),
    "`/v1/models` shows all pages of all providers, with names that Claude Code's menu takes; "
    "see [claude-code.md](claude-code.md).",
)
def test_pages(cell: Cell):
    """A model on a later page cannot be chosen if nobody asks for it."""
    more = {"has_more": True, "last_id": "m-1", "nextPageToken": "m-1"}
    following = cell.provider.models(msgspec.json.encode({**LISTS[cell.column.key], **more})).next
    cell.shows(told=following is not None and "m-1" in following.url)


MARK = {"type": "ephemeral"}


EXPLICIT = {"mode": "explicit"}


def kept(path: str, responses: Declared) -> dict[str, Declared]:
    """A mark that OpenRouter takes as it is."""
    openrouter = said(path, MARK, detail="`cache_control`")
    return each(dropped("cache_control"), responses=responses, openrouter=openrouter)


def breakpoint_at(path: str) -> Declared:
    """A mark as OpenAI has it, from gpt-5.6 on."""
    return said(f"{path}.prompt_cache_breakpoint", EXPLICIT, detail="`prompt_cache_breakpoint`")


@feature(
    CACHES,
    "`cache_control` in `system`",
    kept("messages.0.content.0.cache_control", breakpoint_at("input.0.content.0")),
    "Others cache by themselves what stays at the beginning. gpt-5.6 and later take marks, too.",
)
def test_cached_system(cell: Cell):
    """A system prompt is the longest thing that stays."""
    cell.says(mark="ephemeral", system=[{"type": "text", "text": "Be brief.", "cache_control": MARK}])


@feature(
    CACHES,
    "`cache_control` on a text",
    kept("messages.0.content.0.cache_control", breakpoint_at("input.0.content.0")),
)
def test_cached_text(cell: Cell):
    """Claude Code marks its last message."""
    block = {"type": "text", "text": "hi", "cache_control": MARK}
    cell.says({"role": "user", "content": [block]}, mark="ephemeral")


@feature(CACHES, "`cache_control` on a tool", kept("tools.0.cache_control", dropped("tools.cache_control")))
def test_cached_tool(cell: Cell):
    """All tools before it are cached with it."""
    cell.says(mark="ephemeral", tools=[{**TOOLS[0], "cache_control": MARK}])


@feature(
    CACHES,
    "`cache_control` on a tool's result",
    kept("messages.2.content.0.cache_control", breakpoint_at("input.2.output.0")),
)
def test_cached_result(cell: Cell):
    """In an agent's loop the last thing is a result."""
    result = {"type": "tool_result", "tool_use_id": "a", "content": "It rains", "cache_control": MARK}
    call = {"type": "tool_use", "id": "a", "name": "read", "input": {}}
    turns = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    )
    cell.says(*turns, mark="ephemeral", tools=TOOLS)


PIXEL = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}


def named(place: str, responses: Declared, deepseek: str = "") -> dict[str, Declared]:
    """A mark that OpenRouter takes elsewhere alone; `deepseek` is what DeepSeek does without."""
    return each(
        dropped("cache_control"),
        responses=responses,
        deepseek=dropped("cache_control", *([deepseek] if deepseek else [])),
        openrouter=dropped(f"messages.content.{place}.cache_control"),
    )


@feature(
    CACHES,
    "`cache_control` on an image",
    named("image", breakpoint_at("input.0.content.0"), "messages.content.image"),
)
def test_cached_image(cell: Cell):
    """A screenshot that a conversation is about."""
    block = {"type": "image", "source": PIXEL, "cache_control": MARK}
    cell.says({"role": "user", "content": [block]}, mark="ephemeral")


@feature(
    CACHES,
    "`cache_control` on a document",
    named("document", breakpoint_at("input.0.content.0"), "messages.content.document"),
)
def test_cached_document(cell: Cell):
    """A long file that many questions are about."""
    block = {"type": "document", "source": PDF, "cache_control": MARK}
    cell.says({"role": "user", "content": [block]}, mark="ephemeral")


@feature(
    CACHES,
    "`cache_control` on a call",
    named("tool_use", dropped("messages.content.tool_use.cache_control")),
)
def test_cached_call(cell: Cell):
    """It ends what the model said."""
    call = {"type": "tool_use", "id": "a", "name": "read", "input": {}, "cache_control": MARK}
    turns = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "It rains"}]},
    )
    cell.says(*turns, mark="ephemeral", tools=TOOLS)


SESSION = "0f0e0d0c-session"


@feature(
    CACHES,
    "Claude Code's session stays where its cache is",
    each(
        none(),
        anthropic=none(),
        chat=does("`prompt_cache_key`, hashed"),
        responses=does("`prompt_cache_key`, hashed"),
        openrouter=does("`session_id`"),
    ),
    "The header `x-claude-code-session-id` names a session. Anthropic needs no such hint.",
)
def test_session(cell: Cell):
    """A conversation that changes the machine misses its cache."""
    first, other = (cell.ask(headers={"x-claude-code-session-id": name}) for name in (SESSION, "another"))
    silent = cell.ask()
    bodies = {exchange.request.body for exchange in (first, other, silent)}
    assert len(bodies) in {1, 3}
    cell.shows(told=len(bodies) == 3)


@feature(
    CACHES,
    "the same request is the same bytes",
    each(does()),
    "What a cache has seen before is said in the same bytes: nothing random or dated is in a request.",
)
def test_stable_bytes(cell: Cell):
    """Prompt caches are keyed by bytes."""
    asked = {"system": "Be brief.", "tools": TOOLS}
    cell.shows(told=cell.ask(**asked).request.body == cell.ask(**asked).request.body)
