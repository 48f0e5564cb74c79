"""The fields of Gemini's requests: their names in JSON, and what the server says of a name that is none.

Source: https://ai.google.dev/api/generate-content, the types of the `google-genai` SDK 3.6 and recorded requests.
JSON is read as protobuf's: names are in camelCase or snake_case, null is absent, a single message may stand for a
list of one, and an unknown name refuses the whole request. `parameters` and `responseSchema` are such a message,
too: most keywords of JSON Schema are no fields of theirs, while `parametersJsonSchema` takes any.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from ccproxy.demo.prompt import InvalidRequestError

REFUSED = "Invalid JSON payload received."

_UNKNOWN = re.compile(rf"{re.escape(REFUSED)} Unknown name \".*?\"(?: at '(.*?)')?: .*")


def _fields(plain: str, **messages: str) -> Mapping[str, str]:
    """Fields by name, each with the message inside it; what is empty is not looked into."""
    return {**dict.fromkeys(plain.split(), ""), **messages}


_MESSAGES: Mapping[str, Mapping[str, str]] = {
    "CountRequest": _fields("", contents="Content", generateContentRequest="Request"),
    "Request": _fields(
        "model safetySettings cachedContent serviceTier store",
        contents="Content",
        systemInstruction="Content",
        tools="Tool",
        toolConfig="ToolConfig",
        generationConfig="GenerationConfig",
    ),
    "Content": _fields("role", parts="Part"),
    "Part": _fields(
        "text thought thoughtSignature executableCode codeExecutionResult toolCall toolResponse partMetadata "
        "videoMetadata mediaResolution audioTranscription mediaProcessing speechMetadata documentMetadata "
        "spreadsheetMetadata audioMetadata",
        inlineData="Blob",
        fileData="FileData",
        functionCall="FunctionCall",
        functionResponse="FunctionResponse",
    ),
    "Blob": _fields("mimeType data"),
    "FileData": _fields("mimeType fileUri"),
    "FunctionCall": _fields("id name args"),
    "FunctionResponse": _fields("id name response willContinue scheduling", parts="ResponsePart"),
    "ResponsePart": _fields("", inlineData="Blob"),
    "Tool": _fields(
        "googleSearch googleSearchRetrieval codeExecution urlContext computerUse fileSearch googleMaps mcpServers",
        functionDeclarations="FunctionDeclaration",
    ),
    "FunctionDeclaration": _fields(
        "name description behavior parametersJsonSchema responseJsonSchema", parameters="Schema", response="Schema"
    ),
    "ToolConfig": _fields(
        "retrievalConfig includeServerSideToolInvocations", functionCallingConfig="FunctionCallingConfig"
    ),
    "FunctionCallingConfig": _fields("mode allowedFunctionNames"),
    "GenerationConfig": _fields(
        "stopSequences responseMimeType responseModalities responseJsonSchema candidateCount maxOutputTokens "
        "temperature topP topK seed presencePenalty frequencyPenalty responseLogprobs logprobs speechConfig "
        "imageConfig mediaResolution enableEnhancedCivicAnswers",
        responseSchema="Schema",
        thinkingConfig="ThinkingConfig",
    ),
    "ThinkingConfig": _fields("includeThoughts thinkingBudget thinkingLevel"),
    "Schema": _fields(
        "type format title description nullable enum maxItems minItems required minProperties maxProperties "
        "minLength maxLength pattern example propertyOrdering default minimum maximum",
        properties="map of Schema",
        anyOf="Schema",
        items="Schema",
    ),
}
_REPEATED = frozenset({"contents", "parts", "tools", "functionDeclarations", "anyOf"})
_SINGLE = frozenset({"type", "items"})  # where JSON Schema has a list, too


def message(body: bytes, name: str) -> object:
    """The message in `body`, every field under its name in camelCase.

    Raises:
        InvalidRequestError: It is no JSON, or holds a field that the message does not have.
    """
    try:
        document = msgspec.json.decode(body)
        problems: list[str] = []
        found = _normal(document, name, "", problems)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"{REFUSED} {error}") from error
    if problems:
        raise InvalidRequestError("\n".join(problems))
    return found


def violations(message: str) -> Iterator[tuple[str, str]]:
    """The field and the text of each problem in a message of `InvalidRequestError`."""
    for line in message.splitlines():
        if unknown := _UNKNOWN.fullmatch(line):
            yield unknown[1] or "", line


def _normal(value: object, kind: str, path: str, problems: list[str]) -> object:
    if isinstance(value, list):
        return [_normal(each, kind, f"{path}[{number}]", problems) for number, each in enumerate(value)]
    if not isinstance(value, dict) or not kind:
        return value
    if kind == "map of Schema":
        return {
            name: _normal(each, "Schema", f"{path}[{number}].value", problems)
            for number, (name, each) in enumerate(value.items())
        }
    fields, found = _MESSAGES[kind], dict[str, object]()
    where = f" at '{path}'" if path else ""
    for given, each in value.items():
        name = re.sub(r"_([a-z])", lambda match: match[1].upper(), given)
        problem = "Cannot find field." if name not in fields else ""
        if kind == "Schema" and name in _SINGLE and isinstance(each, list):
            problem = "Proto field is not repeating, cannot start list."
        if problem:
            problems.append(f'{REFUSED} Unknown name "{given}"{where}: {problem}')
        elif each is not None:
            inner = [each] if name in _REPEATED and isinstance(each, dict) else each
            found[name] = _normal(inner, fields[name], f"{path}.{_snake(name)}".lstrip("."), problems)
    return found


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)
