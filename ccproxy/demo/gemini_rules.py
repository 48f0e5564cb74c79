"""What Gemini refuses in a request that is well-formed.

Sources: https://ai.google.dev/gemini-api/docs/function-calling and /thought-signatures, recorded errors, and error
texts quoted in public issues; where none was found, the text is the demo's own.
"""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from ccproxy.demo.gemini_asked import Content, FunctionDeclaration, GenerationConfig, Part, Request, ThinkingConfig
from ccproxy.demo.gemini_state import is_third, is_valid
from ccproxy.demo.prompt import InvalidRequestError

MAX_STOP_SEQUENCES = 5
MAX_FUNCTIONS = 512

_REQUEST = "* GenerateContentRequest"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_IN_RESPONSES = frozenset({"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"})
_LEVELS = frozenset({"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH"})
_JSON = "application/json"


def check(request: Request, model: str) -> None:
    """Goes through all rules.

    Raises:
        InvalidRequestError: One of them is broken.
    """
    for problem in _problems(request, model):
        raise InvalidRequestError(problem)


def place(part: Part) -> str:
    """What a signature belongs to."""
    if part.function_call is not None:
        return f"call {part.function_call.name}"
    return "thought" if part.thought else "text"


def _problems(request: Request, model: str) -> Iterator[str]:
    yield from _contents(request.contents)
    yield from _order(request.contents)
    yield from _media(request.contents, model)
    yield from _signatures(request.contents, model)
    yield from _functions(request)
    yield from _calling(request)
    yield from _parameters(request.generation_config, has_functions=bool(request.functions), model=model)
    yield from _thinking(request.generation_config.thinking_config, model)


def _contents(contents: tuple[Content, ...]) -> Iterator[str]:
    if not contents:
        yield f"{_REQUEST}.contents: contents is not specified"
    for number, content in enumerate(contents):
        where = f"{_REQUEST}.contents[{number}].parts"
        if content.role not in {"user", "model"}:
            yield "Please use a valid role: user, model."
        if not content.parts:
            yield f"{where}: contents.parts must not be empty."
        for at, part in enumerate(content.parts):
            if _data(part) != 1:
                yield f"{where}[{at}].data: required oneof field 'data' must have one initialized field"


def _data(part: Part) -> int:
    """How many kinds of data a part has."""
    code, tool = (part.executable_code, part.code_execution_result), (part.tool_call, part.tool_response)
    given = (part.text, part.inline_data, part.file_data, part.function_call, part.function_response, *code, *tool)
    return sum(each is not None for each in given)


class _Turn(Struct):
    """Neighbouring contents of one role, which are one turn. `number` is that of the first, from 0."""

    number: int
    role: str
    parts: list[Part]

    @property
    def calls(self) -> list[Part]:
        """The parts with calls."""
        return [part for part in self.parts if part.function_call is not None]

    @property
    def responses(self) -> int:
        """How many calls it answers."""
        return _responses(self.parts)


def _responses(parts: Iterable[Part]) -> int:
    return sum(part.function_response is not None for part in parts)


def _turns(contents: tuple[Content, ...]) -> list[_Turn]:
    turns: list[_Turn] = []
    for number, content in enumerate(contents):
        if turns and turns[-1].role == content.role:
            turns[-1].parts.extend(content.parts)
        else:
            turns.append(_Turn(number, content.role, list(content.parts)))
    return turns


def _order(contents: tuple[Content, ...]) -> Iterator[str]:
    """The order of turns. Neighbours of one role are fine: Google's SDK returns a content for every chunk."""
    called = 0
    for turn in _turns(contents):
        if turn.number == 0 and turn.role != "user":
            yield "Please ensure that multiturn requests alternate between user and model."
        calls = len(turn.calls)
        if calls and turn.role != "model":
            yield (
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        if turn.responses and not called:
            yield "Please ensure that function response turn comes immediately after a function call turn."
        if turn.responses != called:
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        called = calls
    if contents[-1].role == "model":
        yield "Please ensure that multiturn requests ends with a user role or a function response."


def _media(contents: tuple[Content, ...], model: str) -> Iterator[str]:
    for part in (part for content in contents for part in content.parts):
        if part.inline_data is not None:
            kind = part.inline_data.mime_type
            if kind.startswith("image/") and kind not in _IMAGES:
                yield f"Unsupported MIME type: {kind}"
        inner = part.function_response.parts if part.function_response is not None else ()
        if inner and not is_third(model):
            yield "Multimodal function responses are not supported for this model."
        for each in inner:
            if each.inline_data is None or each.inline_data.mime_type not in _IN_RESPONSES:
                kind = each.inline_data.mime_type if each.inline_data is not None else ""
                yield f"Unsupported MIME type in a function response: {kind}"


def _signatures(contents: tuple[Content, ...], model: str) -> Iterator[str]:
    """Whether each signature is the demo's, and, in the current turn, whether the first call of a step has one.

    The current turn begins with the last content of the user that answers no call.
    """
    openings = (n for n, each in enumerate(contents) if each.role == "user" and not _responses(each.parts))
    start = max(openings)
    for turn in _turns(contents):
        for part in turn.parts:
            if part.thought_signature and not is_valid(part.thought_signature, model, place(part)):
                yield "Corrupted thought signature."
        first = next(iter(turn.calls), Part())
        if turn.number > start and is_third(model) and first.function_call and not first.thought_signature:
            where = f"function call `default_api:{first.function_call.name}` , position {turn.number + 1}"
            yield (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools "
                "to work correctly, and missing thought_signature may lead to degraded model performance. "
                f"Additional data, {where}. "
                "Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )


def _functions(request: Request) -> Iterator[str]:
    if len(request.functions) > MAX_FUNCTIONS:
        yield f"{_REQUEST}.tools: at most {MAX_FUNCTIONS} function declarations are supported"
    names = set[str]()
    for at, tool in enumerate(request.tools):
        for number, function in enumerate(tool.function_declarations):
            where = f"{_REQUEST}.tools[{at}].function_declarations[{number}]"
            yield from (f"{where}{problem}" for problem in _function(function))
            if function.name in names:
                yield f"Duplicate function declaration found: {function.name}"
            names.add(function.name)


def _function(function: FunctionDeclaration) -> Iterator[str]:
    if not _NAME.fullmatch(function.name):
        yield (
            ".name: Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, "
            "A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128."
        )
    schema = function.parameters_json_schema
    if function.parameters is not None and schema is not None:
        yield ": parameters and parameters_json_schema are mutually exclusive"
    yield from (f".parameters_json_schema{problem}" for problem in _references(schema, ""))


def _references(schema: object, path: str) -> Iterator[str]:
    """Where something stands beside a reference: only names with a `$` may."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema and not all(name.startswith("$") for name in schema):
        yield f"{path}: no field but those that begin with $ may be set beside $ref"
    for name, value in schema.items():
        if name in {"properties", "$defs"} and isinstance(value, dict):
            for key, each in value.items():
                yield from _references(each, f"{path}.{name}.{key}")
        elif name in {"anyOf", "oneOf", "prefixItems"} and isinstance(value, list):
            for number, each in enumerate(value):
                yield from _references(each, f"{path}.{name}[{number}]")
        elif name in {"items", "additionalProperties"}:
            yield from _references(value, f"{path}.{name}")


def _calling(request: Request) -> Iterator[str]:
    config = request.tool_config.function_calling_config
    if config is None:
        return
    if not request.functions:
        yield "Function calling config is set without function_declarations."
    if config.allowed_function_names and config.mode not in {"ANY", "VALIDATED"}:
        yield "Please set allowed_function_names only when function calling mode is ANY."
    for name in config.allowed_function_names:
        if name not in {function.name for function in request.functions}:
            yield f"Allowed function name {name} is not found in function_declarations."


def _parameters(config: GenerationConfig, *, has_functions: bool, model: str) -> Iterator[str]:
    where = f"{_REQUEST}.generation_config"
    if len(config.stop_sequences) > MAX_STOP_SEQUENCES:
        yield f"{where}.stop_sequences: at most {MAX_STOP_SEQUENCES} stop sequences are supported"
    if config.response_schema is not None and config.response_json_schema is not None:
        yield f"{where}: response_schema and response_json_schema are mutually exclusive"
    schema = config.response_schema if config.response_schema is not None else config.response_json_schema
    if schema is not None and config.response_mime_type not in {_JSON, "text/x.enum"}:
        yield f"{where}.response_schema: a response schema needs the response_mime_type '{_JSON}'"
    if has_functions and config.response_mime_type == _JSON and not is_third(model):
        yield f"Function calling with a response mime type: '{_JSON}' is unsupported"
    yield from (
        f"{where}.response_json_schema{problem}" for problem in _references(config.response_json_schema, "")
    )


def _thinking(config: ThinkingConfig, model: str) -> Iterator[str]:
    level, budget = config.thinking_level, config.thinking_budget
    if level is not None and budget is not None:
        yield "You can only set only one of thinking budget and thinking level."
    if level is not None and level.upper() not in _LEVELS:
        yield f"Invalid value at 'generation_config.thinking_config.thinking_level', \"{level}\""
    if level is not None and not is_third(model):
        yield "Thinking level is not supported for this model."
    if budget == 0 and "-pro" in model:
        yield "Budget 0 is invalid. This model only works in thinking mode."
