"""Members of a request, but for messages, tools and thinking."""

from compatibility.cells import Cell, dropped, each, feature, has, left_out, none, refused, said, same

HEADING = "Request members"


@feature(
    HEADING,
    "`model`",
    each(
        said("model", "gpt-4.1"),
        responses=said("model", "gpt-5.6"),
        gemini=said("url", has("models/gemini-3.5-flash:generateContent"), detail="in the URL"),
        deepseek=said("model", "deepseek-flash"),
        openrouter=said("model", "anthropic/claude-sonnet-4.5"),
    ),
    "Routing decides which model of which provider is asked.",
)
def test_model(cell: Cell):
    """The caller names a Claude model, the provider gets a name of its own."""
    cell.says(mark="no such mark")


@feature(
    HEADING,
    "`max_tokens`",
    each(
        said("max_completion_tokens", 4321),
        responses=said("max_output_tokens", 4321),
        gemini=said("generationConfig.maxOutputTokens", 4321),
        deepseek=said("max_tokens", 4321),
    ),
)
def test_max_tokens(cell: Cell):
    """Each provider has its own word for it, and refuses or ignores the others."""
    cell.says(mark="4321", max_tokens=4321)


@feature(
    HEADING,
    "`max_tokens: 0` (warms a cache)",
    each(
        said("max_completion_tokens", 1, detail="1"),
        responses=said("max_output_tokens", 16, detail="16"),
        gemini=said("generationConfig.maxOutputTokens", 1, detail="1"),
        deepseek=said("max_tokens", 1, detail="1"),
    ),
    "`max_tokens: 0` becomes the least that a provider takes, so a few tokens are answered.",
)
def test_max_tokens_of_zero(cell: Cell):
    """Others refuse zero: the least they take still warms the cache."""
    cell.says(mark="no such mark", max_tokens=0)


@feature(
    HEADING,
    "`system` as text",
    each(
        said("messages.0", {"role": "system", "content": "Be brief."}),
        responses=said("instructions", "Be brief."),
        gemini=said("systemInstruction.parts.0.text", "Be brief."),
    ),
)
def test_system_text(cell: Cell):
    """The model obeys it."""
    cell.says(mark="Be brief", system="Be brief.")


@feature(
    HEADING,
    "`system` as blocks",
    each(
        said("messages.0.content", "Be brief.\n\nBe kind."),
        responses=said("instructions", "Be brief.\n\nBe kind."),
        gemini=said("systemInstruction.parts", [{"text": "Be brief."}, {"text": "Be kind."}]),
    ),
)
def test_system_blocks(cell: Cell):
    """Claude Code sends several."""
    cell.says(mark="Be kind", system=[{"type": "text", "text": text} for text in ("Be brief.", "Be kind.")])


@feature(
    HEADING,
    "Claude Code's billing line in `system`",
    each(left_out("would spoil prompt caches")),
    "Claude Code puts a line for Anthropic's billing first; other providers' caches would miss because of it.",
)
def test_billing_line(cell: Cell):
    """It differs from request to request, and everything behind it would never be cached."""
    blocks = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2"},
        {"type": "text", "text": "Hi."},
    ]
    cell.says(mark="billing", system=blocks)


@feature(
    HEADING,
    "`temperature`",
    each(
        said("temperature", 0.25),
        responses=dropped("temperature"),
        gemini=said("generationConfig.temperature", 0.25),
    ),
    "OpenAI's reasoning models refuse `temperature` and `top_p` while they reason.",
)
def test_temperature(cell: Cell):
    """A caller that wants determinism must know where it gets none."""
    cell.says(mark="0.25", temperature=0.25)


@feature(
    HEADING,
    "`temperature` with thinking off",
    each(
        said("temperature", 0.25),
        gemini=said("generationConfig.temperature", 0.25, without="thinking"),
    ),
)
def test_temperature_without_thinking(cell: Cell):
    """A model that does not reason samples as it is told."""
    cell.says(mark="0.25", temperature=0.25, thinking={"type": "disabled"})


@feature(
    HEADING,
    "`top_p`",
    each(said("top_p", 0.75), responses=dropped("top_p"), gemini=said("generationConfig.topP", 0.75)),
)
def test_top_p(cell: Cell):
    """See `temperature`."""
    cell.says(mark="0.75", top_p=0.75)


@feature(
    HEADING,
    "`top_k`",
    each(dropped("top_k"), gemini=said("generationConfig.topK", 37), openrouter=said("top_k", 37)),
)
def test_top_k(cell: Cell):
    """OpenAI and DeepSeek have no such thing."""
    cell.says(mark="37", top_k=37)


@feature(
    HEADING,
    "`stream`",
    each(
        said("stream_options.include_usage", value=True, detail="`stream`, with usage"),
        responses=said("stream", value=True),
        gemini=said("url", has(":streamGenerateContent?alt=sse"), detail="`streamGenerateContent`"),
    ),
)
def test_stream(cell: Cell):
    """Chat Completions tells no usage unless asked."""
    cell.says(mark="no such mark", stream=True)


USER_ID = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"


def is_hash(value: object) -> bool:
    """Whether it is a SHA-256 in hexadecimal: what a provider may know of a user."""
    return isinstance(value, str) and len(value) == 64 and value != USER_ID


@feature(
    HEADING,
    "`metadata.user_id`",
    each(
        said("safety_identifier", is_hash, detail="`safety_identifier`, hashed"),
        gemini=dropped("metadata.user_id"),
        deepseek=dropped("metadata.user_id"),
        openrouter=said("user", is_hash, detail="`user`, hashed"),
    ),
)
def test_user_id(cell: Cell):
    """A provider that is not Anthropic gets no name of the caller's user, only that it is the same one."""
    cell.says(mark=USER_ID, metadata={"user_id": USER_ID})


@feature(
    HEADING,
    "`service_tier: auto`",
    each(
        said("service_tier", "auto"),
        gemini=left_out("the default there"),
        deepseek=dropped("service_tier"),
    ),
)
def test_service_tier_auto(cell: Cell):
    """Whoever pays for a better tier gets it."""
    cell.says(mark="service", service_tier="auto")


@feature(
    HEADING,
    "`service_tier: standard_only`",
    each(
        said("service_tier", "default"),
        gemini=said("serviceTier", "standard"),
        deepseek=dropped("service_tier"),
    ),
)
def test_service_tier_standard(cell: Cell):
    """Whoever does not want to pay for one does not."""
    cell.says(mark="standard_only", service_tier="standard_only")


@feature(
    HEADING,
    "`speed: fast`",
    each(
        said("service_tier", "priority"),
        gemini=said("serviceTier", "priority"),
        deepseek=dropped("speed"),
    ),
)
def test_speed(cell: Cell):
    """Fast costs more: nobody is to believe that it was had."""
    cell.says(mark='fast"', speed="fast")


@feature(HEADING, "`cache_control` of the request", each(dropped("cache_control")))
def test_cache_control(cell: Cell):
    """It marks the last block that can be cached; see also Prompt caches."""
    cell.says(mark="ephemeral", cache_control={"type": "ephemeral"})


@feature(HEADING, "`context_management`", each(dropped("context_management")))
def test_context_management(cell: Cell):
    """Anthropic's server clears old tool results; others do not."""
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    cell.says(mark="clear_tool_uses", context_management=edits)


@feature(HEADING, "`container`", each(dropped("container")))
def test_container(cell: Cell):
    """Anthropic's server runs code in it."""
    cell.says(mark="container_1", container="container_1")


@feature(
    HEADING,
    "`mcp_servers`",
    each(refused(400, "calls no MCP servers")),
    "Without `mcp_servers` a model would answer without its tools. Claude Code calls such servers itself.",
)
def test_mcp_servers(cell: Cell):
    """Anthropic's server would call them; nobody else does."""
    cell.says(mark="mcp.example", mcp_servers=[{"type": "url", "url": "https://mcp.example", "name": "m"}])


@feature(HEADING, "`compaction`", each(dropped("compaction")))
def test_compaction(cell: Cell):
    """Anthropic's server would sum the conversation up."""
    cell.says(mark="instructions-x", compaction={"instructions": "instructions-x"})


@feature(HEADING, "`diagnostics`", each(dropped("diagnostics")))
def test_diagnostics(cell: Cell):
    """It names a message that only Anthropic knows."""
    cell.says(mark="msg_before", diagnostics={"previous_message_id": "msg_before"})


@feature(HEADING, "`inference_geo`", each(dropped("inference_geo")))
def test_inference_geo(cell: Cell):
    """Where the model runs: nobody is to believe that a provider heeds it."""
    cell.says(mark="geo-eu", inference_geo="geo-eu")


@feature(
    HEADING,
    "`fallbacks`",
    each(dropped("fallbacks"), openrouter=said("models", ["anthropic/claude-next"])),
    "OpenRouter takes three models as `vendor/name`. CCProxy's own fallbacks are configured by the operator.",
)
def test_fallbacks(cell: Cell):
    """Who may go on with another model says so."""
    cell.says(mark="claude-next", fallbacks=[{"model": "anthropic/claude-next"}])


@feature(
    HEADING,
    "`thread`",
    each(refused(400, "send the whole conversation without `thread`")),
    "The refusal of `thread` has the `error_code` at which clients send the whole conversation.",
)
def test_thread(cell: Cell):
    """To ignore it would be to answer the newest turn alone."""
    cell.says(mark="thread_1", thread={"id": "thread_1"})


@feature(HEADING, "a member that is not known", each(dropped("next_years_member")))
def test_unknown_member(cell: Cell):
    """What Anthropic adds next year reaches Anthropic, and is named elsewhere."""
    cell.says(mark="next-value", next_years_member="next-value")


@feature(
    HEADING,
    "`anthropic-beta` and other `anthropic-*` headers",
    each(left_out(), anthropic=same("headers.anthropic-beta", "beta-1")),
    "`anthropic-*` headers are Anthropic's own switches: another provider has no use for them.",
)
def test_beta_headers(cell: Cell):
    """Anthropic gets each one unchanged; a list of known ones would be old by next month."""
    cell.says(mark="beta-1", headers={"anthropic-beta": "beta-1"})


@feature(
    HEADING,
    "the caller's key for CCProxy",
    each(none(), anthropic=none()),
    "It goes to no provider, but for `auth: client`; see [security.md](security.md).",
)
def test_callers_key(cell: Cell):
    """It is not the provider's business."""
    exchange = cell.ask(headers={"x-api-key": "callers-key", "authorization": "Bearer callers-key"})
    told = "callers-key" in f"{exchange.request.headers} {exchange.request.body!r} {exchange.request.url}"
    cell.shows(told=told)
