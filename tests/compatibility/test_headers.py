"""Headers of a provider's answers."""

import msgspec
from compatibility.cells import Cell, does, each, feature, none
from compatibility.wires import text, whole

HEADERS = "Headers of an answer"

LIMITS = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "x-ratelimit-limit-requests": "50",
    "x-ratelimit-remaining-requests": "49",
}


@feature(
    HEADERS,
    "`anthropic-ratelimit-*-limit` and `-remaining`",
    each(does(), gemini=none(), deepseek=none("none was recorded"), openrouter=none("none was recorded")),
    "Gemini, DeepSeek and OpenRouter name no rate limits; should they send OpenAI's headers, these are told.",
)
def test_rate_limits(cell: Cell):
    """Clients slow down before they are told to."""
    theirs = {"anthropic": "anthropic-", "chat": "x-ratelimit", "responses": "x-ratelimit"}.get(cell.column.key)
    sent = {name: value for name, value in LIMITS.items() if theirs is not None and name.startswith(theirs)}
    reply = cell.provider.reply_headers(sent)
    told = [reply.get(f"anthropic-ratelimit-requests-{kind}") for kind in ("limit", "remaining")]
    cell.shows(told=told == ["50", "49"])


RESET = "2026-11-25T00:06:00Z"


@feature(
    HEADERS,
    "`anthropic-ratelimit-*-reset`",
    each(
        does("durations become times"),
        gemini=none(),
        deepseek=none("none was recorded"),
        openrouter=none("none was recorded"),
    ),
)
def test_reset_times(cell: Cell):
    """When a limit is whole again."""
    names = {"anthropic": "anthropic-ratelimit-requests-reset"}
    value = RESET if cell.is_relay else "6m0s"
    sent = {
        names.get(cell.column.key, "x-ratelimit-reset-requests"): value,
        "date": "Wed, 25 Nov 2026 00:00:00 GMT",
    }
    if cell.column.key in {"gemini", "deepseek", "openrouter"}:
        sent = {}
    reply = cell.provider.reply_headers(sent)
    cell.shows(told=reply.get("anthropic-ratelimit-requests-reset") == RESET)


IDS = {
    "anthropic": "request-id",
    "chat": "x-request-id",
    "responses": "x-request-id",
    "deepseek": "x-ds-trace-id",
    "openrouter": "x-generation-id",
}


@feature(
    HEADERS,
    "the provider's request id (`x-ccproxy-upstream-request-id`)",
    each(does(), gemini=none("it sends none")),
    "`request-id` is CCProxy's own; the provider's is beside it, with answers and errors.",
)
def test_request_id(cell: Cell):
    """Support of a provider asks for it."""
    sent = {IDS[cell.column.key]: "up-1"} if cell.column.key in IDS else {}
    reply = cell.provider.reply_headers(sent)
    error = cell.provider.error(500, sent, b"{}")
    told = reply.get("x-ccproxy-upstream-request-id") == "up-1" and error.upstream_request_id == "up-1"
    cell.shows(told=told)


@feature(
    HEADERS, "what a whole answer cost (`x-ccproxy-cost`)", each(none(), anthropic=none(), openrouter=does("USD"))
)
def test_cost(cell: Cell):
    """Only OpenRouter names a price."""
    body = msgspec.json.decode(whole(cell.column.key, text("hi")))
    if cell.column.key == "openrouter":
        body["usage"]["cost"] = 0.5
    headers = cell.exchange.answer(msgspec.json.encode(body)).headers
    cell.shows(told=headers.get("x-ccproxy-cost") == "0.5")


@feature(HEADERS, "the name of the operator's account", each(none(), anthropic=none()), "It is kept back.")
def test_account(cell: Cell):
    """Callers need not know whose account it is."""
    sent = {"anthropic-organization-id": "org-1", "openai-organization": "org-1", "x-goog-user-project": "org-1"}
    cell.shows(told="org-1" in str(cell.provider.reply_headers(sent)))
