"""What the demo needs of Gemini's requests.

Source: https://ai.google.dev/api/generate-content and https://ai.google.dev/api/tokens. The model and whether to
stream are in the URL.
"""

import msgspec
from msgspec import Raw

from ccproxy.demo import tokens
from ccproxy.demo.gemini_asked import (
    Content,
    CountRequest,
    FunctionDeclaration,
    FunctionResponse,
    Part,
    Request,
    asked,
)
from ccproxy.demo.gemini_rules import check
from ccproxy.demo.gemini_state import STAND_INS
from ccproxy.demo.prompt import (
    MEDIA_TOKENS,
    MESSAGE_TOKENS,
    Choice,
    InvalidRequestError,
    Prompt,
    Result,
    Tool,
    json_tokens,
    media,
    without_reminders,
)


def read(body: bytes, model: str, *, stream: bool) -> Prompt:
    """What the demo needs of a request.

    Args:
        body: The JSON document.
        model: The model in the URL, with or without `models/`.
        stream: Whether the URL asks for a stream.

    Raises:
        InvalidRequestError: The request is none, or breaks one of Gemini's rules.
    """
    request = asked(body, Request)
    name = model.removeprefix("models/")
    check(request, name)
    config = request.generation_config
    tools, choice = _choice(request)
    turn = _last_turn(request.contents)
    return Prompt(
        model=name,
        text="\n".join(filter(None, (_shown(part) for part in turn if part.function_response is None))),
        results=tuple(_result(part.function_response) for part in turn if part.function_response is not None),
        input_tokens=_input_tokens(request),
        stream=stream,
        stream_usage=True,
        shows_thinking=config.thinking_config.include_thoughts,
        max_tokens=config.max_output_tokens,
        stop_sequences=config.stop_sequences,
        tools=tools,
        choice=choice,
        schema=_schema(request),
        recalled=_recalled(request.contents),
    )


def _recalled(contents: tuple[Content, ...]) -> int:
    """How much state comes back; the rules have seen that it is the demo's own."""
    states = [part.thought_signature for content in contents for part in content.parts]
    return sum(state not in {None, *STAND_INS} for state in states)


def count_tokens(body: bytes) -> int:
    """The `promptTokenCount` that the same request would have. Bare contents are counted without all the rest.

    Raises:
        InvalidRequestError: The request is none.
    """
    counted = asked(body, CountRequest)
    request = counted.generate_content_request
    if request is None:
        return _input_tokens(Request(counted.contents))
    if counted.contents:
        raise InvalidRequestError("contents and generate_content_request are mutually exclusive")
    if not (request.model or "").startswith("models/"):
        raise InvalidRequestError("* GenerateContentRequest.model: unexpected model name format")
    return _input_tokens(request)


def _last_turn(contents: tuple[Content, ...]) -> list[Part]:
    """What follows the last answer."""
    start = max((number + 1 for number, content in enumerate(contents) if content.role == "model"), default=0)
    return [part for content in contents[start:] for part in content.parts]


def _shown(part: Part) -> str:
    """A part as the echo shows it."""
    if part.text is not None:
        return without_reminders(part.text)
    if part.inline_data is not None:
        data = part.inline_data
        return media("image" if data.mime_type.startswith("image/") else "document", data.mime_type, data.data)
    return f"[file {part.file_data.file_uri}]" if part.file_data is not None else "[part]"


def _result(response: FunctionResponse) -> Result:
    """What a function returned; `output` and `error` are the documented members, anything else is its own text."""
    is_error = "error" in response.response
    value = response.response.get("error" if is_error else "output", response.response)
    lines = [value if isinstance(value, str) else msgspec.json.encode(value).decode()]
    lines += [_shown(Part(inline_data=part.inline_data)) for part in response.parts]
    return Result(response.name, "\n".join(filter(None, lines)), is_error=is_error)


def _choice(request: Request) -> tuple[tuple[Tool, ...], Choice]:
    """The tools that may be called, and whether one must be: of those that are allowed any will do."""
    config = request.tool_config.function_calling_config
    allowed = config.allowed_function_names if config is not None else ()
    tools = tuple(
        Tool(function.name, _arguments(function))
        for function in request.functions
        if not allowed or function.name in allowed
    )
    kinds = {"ANY": Choice("any"), "NONE": Choice("none")}
    return tools, kinds.get(config.mode, Choice()) if config is not None else Choice()


def _arguments(function: FunctionDeclaration) -> Raw:
    if function.parameters is not None:
        return _raw(_as_json_schema(function.parameters))
    return Raw(b"{}") if function.parameters_json_schema is None else _raw(function.parameters_json_schema)


def _schema(request: Request) -> Raw | None:
    """The schema that the answer must have; JSON without one is any object."""
    config = request.generation_config
    if config.response_schema is not None:
        return _raw(_as_json_schema(config.response_schema))
    if config.response_json_schema is not None:
        return _raw(config.response_json_schema)
    return Raw(b'{"type":"object"}') if config.response_mime_type == "application/json" else None


def _as_json_schema(schema: object) -> object:
    """A `Schema` message as JSON Schema: its types are an enum, in capitals."""
    if isinstance(schema, list):
        return [_as_json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else _as_json_schema(value)
        for name, value in schema.items()
    }


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def _input_tokens(request: Request) -> int:
    """Tokens of system instruction, contents and functions."""
    contents = sum(MESSAGE_TOKENS + sum(map(_tokens, content.parts)) for content in request.contents)
    functions = sum(json_tokens(_raw(function)) for function in request.functions)
    return contents + sum(map(_tokens, request.system_instruction.parts)) + functions


def _tokens(part: Part) -> int:
    if part.text is not None:
        return tokens.count(part.text)
    if part.function_call is not None:
        return tokens.count(part.function_call.name) + json_tokens(_raw(part.function_call.args))
    if part.function_response is not None:
        response = part.function_response
        return json_tokens(_raw(response.response)) + MEDIA_TOKENS * len(response.parts)
    return MEDIA_TOKENS
