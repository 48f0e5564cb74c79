"""Failures of a provider."""

from collections.abc import Mapping
from typing import Any

import msgspec
from compatibility.cells import KEY, Cell, does, each, feature

from ccproxy.errors import ApiError

HEADING = "Errors"


def openai(message: str, type: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:  # noqa: A002
    """An error as OpenAI and DeepSeek tell it."""
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


def google(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """An error as Gemini tells it."""
    return {"error": {"code": code, "status": status, "message": message, "details": [*details]}}


def openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    """An error as OpenRouter tells it."""
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "user_1"}


def anthropic(type: str, message: str) -> dict[str, Any]:  # noqa: A002  # Anthropic's word
    """An error as Anthropic tells it."""
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_up"}


Told = tuple[int, dict[str, Any]]


def failed(cell: Cell, told: Mapping[str, Told], headers: Mapping[str, str] = {}) -> ApiError:
    """What the caller is told; the two wires of OpenAI tell the same, DeepSeek where it has no word of its own."""
    key = cell.column.key if cell.column.key in told else "chat"
    status, document = told[key]
    error = cell.provider.error(status, headers, msgspec.json.encode(document))
    assert KEY not in error.document("req_1").decode()
    return error


def becomes(cell: Cell, error: ApiError, type: str, status: int) -> None:  # noqa: A002  # Anthropic's word
    """Reports whether the error is of this type and status."""
    cell.shows(told=(error.type, error.status) == (type, status))


INVALID = {
    "anthropic": (400, anthropic("invalid_request_error", "messages: bad")),
    "chat": (400, openai("messages: bad")),
    "gemini": (400, google(400, "INVALID_ARGUMENT", "messages: bad")),
    "openrouter": (400, openrouter(400, "messages: bad")),
}


@feature(
    HEADING,
    "400 `invalid_request_error`, in the provider's words",
    each(does()),
    "Anthropic's errors pass word for word. Others' sentences are told without keys and names of accounts.",
)
def test_invalid_request(cell: Cell):
    """Whoever wrote the request must hear what is wrong with it."""
    error = failed(cell, INVALID)
    assert "messages: bad" in error.message
    becomes(cell, error, "invalid_request_error", 400)


TOO_LONG = {
    "anthropic": (400, anthropic("invalid_request_error", "prompt is too long: 205000 tokens > 200000 maximum")),
    "chat": (
        400,
        openai(
            "This model's maximum context length is 200000 tokens. However, you requested 205000 tokens.",
            code="context_length_exceeded",
        ),
    ),
    "gemini": (
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "The input token count (205000) exceeds the maximum number of tokens allowed (200000).",
        ),
    ),
    "deepseek": (
        400,
        openai("This model's maximum context length is 200000 tokens. However, you requested 205000 tokens"),
    ),
    "openrouter": (
        400,
        openrouter(
            400,
            "This endpoint's maximum context length is 200000 tokens. However, you requested about 205000 tokens",
        ),
    ),
}


@feature(
    HEADING,
    "`prompt is too long: N tokens > M maximum`",
    each(does()),
    "At these words Claude Code compacts the conversation.",
)
def test_prompt_too_long(cell: Cell):
    """Claude Code compacts a conversation by these words alone."""
    error = failed(cell, TOO_LONG)
    assert error.status == 400
    cell.shows(told=error.message == "prompt is too long: 205000 tokens > 200000 maximum")


REFUSED = {
    "anthropic": (401, anthropic("authentication_error", f"invalid x-api-key {KEY}")),
    "chat": (401, openai(f"Incorrect API key provided: {KEY}.", code="invalid_api_key")),
    "gemini": (
        400,
        google(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}),
    ),
    "openrouter": (401, openrouter(401, "User not found.")),
}


@feature(
    HEADING,
    "CCProxy's key is refused: 502, not worth another try",
    each(does()),
    "Never a 401: the client would take its own key for wrong and drop it. No part of a key is in any message.",
)
def test_key_refused(cell: Cell):
    """The caller cannot do anything about it; its own key is not meant."""
    error = failed(cell, REFUSED)
    assert error.should_retry is False
    cell.shows(told=(error.type, error.status, error.body) == ("api_error", 502, None))


NO_CREDIT = {
    "anthropic": (402, anthropic("billing_error", "no credit")),
    "chat": (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota")),
    "gemini": (400, google(400, "FAILED_PRECONDITION", "Please enable billing.")),
    "deepseek": (402, openai("Insufficient Balance", "unknown_error")),
    "openrouter": (402, openrouter(402, "This request requires more credits")),
}


@feature(
    HEADING, "402 `billing_error`", each(does()), "OpenAI says it with a 429, which is not worth another try."
)
def test_no_credit(cell: Cell):
    """No other try will help, and a client that tries again and again costs everybody."""
    error = failed(cell, NO_CREDIT)
    assert error.should_retry is False
    becomes(cell, error, "billing_error", 402)


NOT_FOUND = {
    "anthropic": (404, anthropic("not_found_error", "model: no-such")),
    "chat": (404, openai("The model `no-such` does not exist", code="model_not_found")),
    "gemini": (404, google(404, "NOT_FOUND", "models/no-such is not found for API version v1beta")),
    "deepseek": (
        400,
        openai("The supported API model names are deepseek-flash or deepseek-v4-pro, but you passed no-such."),
    ),
    "openrouter": (400, openrouter(400, "no-such is not a valid model ID")),
}


@feature(HEADING, "404 `not_found_error`, `model: NAME`", each(does()))
def test_unknown_model(cell: Cell):
    """DeepSeek and OpenRouter say it with a 400; Claude Code asks for another model by the 404."""
    error = failed(cell, NOT_FOUND)
    assert error.message == "model: no-such"
    becomes(cell, error, "not_found_error", 404)


TOO_LARGE = {
    "anthropic": (413, anthropic("request_too_large", "too large")),
    "chat": (413, openai("too large")),
    "gemini": (413, google(413, "INVALID_ARGUMENT", "too large")),
    "openrouter": (413, openrouter(413, "too large")),
}


@feature(HEADING, "413 `request_too_large`", each(does()))
def test_too_large(cell: Cell):
    """To try again is useless."""
    becomes(cell, failed(cell, TOO_LARGE), "request_too_large", 413)


LIMITED = {
    "anthropic": (429, anthropic("rate_limit_error", "slow down")),
    "chat": (429, openai("slow down", "requests", "rate_limit_exceeded")),
    "gemini": (429, google(429, "RESOURCE_EXHAUSTED", "slow down")),
    "openrouter": (429, openrouter(429, "slow down")),
}


@feature(HEADING, "429 `rate_limit_error`", each(does()))
def test_rate_limit(cell: Cell):
    """Another try makes sense, later."""
    error = failed(cell, LIMITED)
    assert error.should_retry is True
    becomes(cell, error, "rate_limit_error", 429)


@feature(
    HEADING,
    "`retry-after`",
    each(does(), chat=does("from `x-ratelimit-reset-*` too"), gemini=does("from `RetryInfo` too")),
    "OpenAI tells in `x-ratelimit-reset-*` when its limits are whole again, Gemini in the error's details.",
)
def test_retry_after(cell: Cell):
    """Who tries again too early makes it worse."""
    told: list[int | None] = [failed(cell, LIMITED, {"retry-after": "34"}).retry_after]
    if cell.column.key in {"chat", "responses"}:
        headers = {"x-ratelimit-reset-requests": "34s", "x-ratelimit-remaining-requests": "0"}
        told.append(failed(cell, LIMITED, headers).retry_after)
    if cell.column.key == "gemini":
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
        told.append(failed(cell, {"gemini": (429, google(429, "RESOURCE_EXHAUSTED", "x", info))}).retry_after)
    cell.shows(told=set(told) == {34})


FAILED = {
    "anthropic": (500, anthropic("api_error", "inside")),
    "chat": (500, openai("inside", "server_error")),
    "gemini": (500, google(500, "INTERNAL", "inside")),
    "openrouter": (500, openrouter(500, "inside")),
}


@feature(
    HEADING,
    "500 `api_error`, worth another try",
    each(does()),
    "What a provider says of its own failure is not passed on, but for Anthropic's.",
)
def test_failed(cell: Cell):
    """A provider's stack trace is nobody's business."""
    error = failed(cell, FAILED)
    assert error.should_retry is True
    assert cell.is_relay or "inside" not in error.message
    becomes(cell, error, "api_error", 500)


SLOW = {
    "anthropic": (504, anthropic("timeout_error", "slow")),
    "chat": (504, openai("slow")),
    "gemini": (504, google(504, "DEADLINE_EXCEEDED", "slow")),
    "openrouter": (524, openrouter(524, "slow")),
}


@feature(HEADING, "504 `timeout_error`", each(does()))
def test_timeout(cell: Cell):
    """Another try makes sense."""
    becomes(cell, failed(cell, SLOW), "timeout_error", 504)


BUSY = {
    "anthropic": (529, anthropic("overloaded_error", "busy")),
    "chat": (503, openai("busy", "server_error")),
    "gemini": (503, google(503, "UNAVAILABLE", "The model is overloaded.")),
    "openrouter": (503, openrouter(503, "no available provider")),
}


@feature(HEADING, "529 `overloaded_error`", each(does()), "Others say it with a 503.")
def test_overloaded(cell: Cell):
    """Clients wait longer at it."""
    becomes(cell, failed(cell, BUSY), "overloaded_error", 529)


FORBIDDEN = {
    "anthropic": (403, anthropic("permission_error", "no")),
    "chat": (403, openai("Country, region, or territory not supported")),
    "gemini": (403, google(403, "PERMISSION_DENIED", "no")),
    "openrouter": (403, openrouter(403, "no")),
}
FLAGGED = {"openrouter": (403, openrouter(403, "flagged", reasons=["violence"], flagged_input="x"))}


@feature(
    HEADING,
    "a provider's 403: 502, as for a refused key",
    each(does(), openrouter=does("but moderation is a 400")),
    "A 403 is about CCProxy's account, which is none of the caller's business.",
)
def test_forbidden(cell: Cell):
    """Only OpenRouter means the request by it, where it moderates."""
    told = failed(cell, FORBIDDEN)
    if cell.column.key == "openrouter":
        assert failed(cell, FLAGGED).type == "invalid_request_error"
    becomes(cell, told, "api_error", 502)


@feature(
    HEADING,
    "an error that is no JSON",
    each(does("an error of CCProxy's own")),
    "Gateways in between answer HTML: it is never shown.",
)
def test_not_json(cell: Cell):
    """A page of a gateway in between may be anything."""
    error = cell.provider.error(502, {}, b"<html>bad gateway</html>")
    assert "html" not in error.message
    cell.shows(told=(error.type, error.should_retry) == ("api_error", True))
