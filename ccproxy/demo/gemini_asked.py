"""Requests of Gemini's `generateContent` and `countTokens` as Structs, as far as the demo looks at them.

Source: https://ai.google.dev/api/generate-content.
"""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ccproxy.demo.gemini_fields import REFUSED, message
from ccproxy.demo.prompt import InvalidRequestError


class Blob(Struct, frozen=True, rename="camel"):
    """Inline data, base64."""

    mime_type: str
    data: str = ""


class FileData(Struct, frozen=True, rename="camel"):
    """A file by its URI."""

    file_uri: str
    mime_type: str = ""


class FunctionCall(Struct, frozen=True):
    """A call of an earlier turn."""

    name: str
    args: dict[str, object] = {}


class ResponsePart(Struct, frozen=True, rename="camel"):
    """Media inside the response of a function."""

    inline_data: Blob | None = None


class FunctionResponse(Struct, frozen=True):
    """What a function returned: `output` or `error`, or any other members."""

    name: str
    response: dict[str, object] = {}
    parts: tuple[ResponsePart, ...] = ()


class Part(Struct, frozen=True, rename="camel"):
    """A part of a content: one kind of data, and the state that belongs to it."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: object = None
    code_execution_result: object = None
    tool_call: object = None
    tool_response: object = None
    thought: bool = False
    thought_signature: str | None = None


class Content(Struct, frozen=True):
    """A turn of the conversation, or the system instruction, whose role does not matter."""

    parts: tuple[Part, ...] = ()
    role: str = "user"


class FunctionDeclaration(Struct, frozen=True, rename="camel"):
    """A function, its arguments described in one of two ways."""

    name: str
    description: str = ""
    parameters: dict[str, object] | None = None
    parameters_json_schema: object = None


class Tool(Struct, frozen=True, rename="camel"):
    """Functions; what the provider runs itself is not looked at."""

    function_declarations: tuple[FunctionDeclaration, ...] = ()


class FunctionCallingConfig(Struct, frozen=True, rename="camel"):
    """Which functions may or must be called."""

    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] = "AUTO"
    allowed_function_names: tuple[str, ...] = ()


class ToolConfig(Struct, frozen=True, rename="camel"):
    """How tools may be used."""

    function_calling_config: FunctionCallingConfig | None = None


class ThinkingConfig(Struct, frozen=True, rename="camel"):
    """Thinking. A budget of -1 lets the model choose."""

    include_thoughts: bool = False
    thinking_budget: Annotated[int, Meta(ge=-1, le=32_768)] | None = None
    thinking_level: str | None = None


class GenerationConfig(Struct, frozen=True, rename="camel"):
    """Parameters of the answer."""

    stop_sequences: tuple[str, ...] = ()
    candidate_count: Annotated[int, Meta(ge=1, le=1)] = 1
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[float, Meta(ge=1)] | None = None
    response_mime_type: str = "text/plain"
    response_schema: dict[str, object] | None = None
    response_json_schema: object = None
    thinking_config: ThinkingConfig = ThinkingConfig()


class Request(Struct, frozen=True, rename="camel"):
    """Body of `models/{model}:generateContent`, also streamed. `model` comes in `countTokens` only."""

    contents: tuple[Content, ...] = ()
    model: str | None = None
    system_instruction: Content = Content()
    tools: tuple[Tool, ...] = ()
    tool_config: ToolConfig = ToolConfig()
    generation_config: GenerationConfig = GenerationConfig()

    @property
    def functions(self) -> list[FunctionDeclaration]:
        """All declared functions."""
        return [function for tool in self.tools for function in tool.function_declarations]


class CountRequest(Struct, frozen=True, rename="camel"):
    """Body of `models/{model}:countTokens`: contents alone, or a whole request."""

    contents: tuple[Content, ...] = ()
    generate_content_request: Request | None = None


_Asked = TypeVar("_Asked", Request, CountRequest)


def asked(body: bytes, kind: type[_Asked]) -> _Asked:
    """The request in `body`.

    Raises:
        InvalidRequestError: It is none.
    """
    try:
        return msgspec.convert(message(body, kind.__name__), kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"{REFUSED} {error}") from error
