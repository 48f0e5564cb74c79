"""From what a request says and what its directives ask for to one answer, still in no dialect."""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ccproxy.demo import tokens
from ccproxy.demo.example import example, example_arguments
from ccproxy.demo.prompt import Choice, InvalidRequestError, Prompt, Result, Tool
from ccproxy.demo.script import Call, Part, Script, Text, Think, UsageChange

ECHO_CHARACTERS = 2000  # an agent's tool may return megabytes


class Usage(Struct, frozen=True):
    """Tokens in Anthropic's sense: cached ones are not part of `input_tokens`, thinking is part of the output."""

    input_tokens: int
    output_tokens: int
    thinking_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0


class Answer(Struct, frozen=True):
    """A whole answer. `stop_reason` is Anthropic's word, or any other that a directive gave."""

    parts: tuple[Part, ...]
    stop_reason: str
    stop_sequence: str | None
    usage: Usage


def compose(prompt: Prompt, script: Script) -> Answer:
    """The answer to `prompt`.

    Raises:
        InvalidRequestError: the request forces a tool that it does not define.
    """
    parts = _content(prompt, script)
    parts, sequence = _until(parts, prompt.stop_sequences)
    parts, is_cut = _within(parts, prompt.max_tokens)
    parts = tuple(part for part in parts if part != Text(""))  # no provider sends an empty text
    if is_cut:
        reason, sequence = "max_tokens", None
    elif sequence is not None:
        reason = "stop_sequence"
    else:
        reason = "tool_use" if any(isinstance(part, Call) for part in parts) else "end_turn"
    if script.stop:
        reason = script.stop
        sequence = (script.stop_sequence or sequence) if reason == "stop_sequence" else None
    return Answer(parts, reason, sequence, _usage(prompt, parts, script.usage))


def piece_text(part: Part) -> str:
    """What is streamed of a part, and what its tokens are counted from."""
    return part.arguments if isinstance(part, Call) else part.text


def echo(prompt: Prompt, said: str) -> str:
    """The answer that nobody asked for otherwise."""
    lines = [_returned(result) for result in prompt.results]
    if said or not lines:
        lines.append(f"Demo answer to: {_short(said) or '(no text)'}")
    return "\n".join(lines)


def _returned(result: Result) -> str:
    verb = "returned an error" if result.is_error else "returned"
    return f"Demo: tool {result.tool} {verb}: {_short(result.text)}"


def _short(text: str) -> str:
    if len(text) <= ECHO_CHARACTERS:
        return text
    return f"{text[:ECHO_CHARACTERS]}… ({len(text) - ECHO_CHARACTERS} more characters)"


def _content(prompt: Prompt, script: Script) -> tuple[Part, ...]:
    parts = _allowed(script.parts, prompt)
    if any(not isinstance(part, Think) for part in parts):
        return parts
    if tool := _forced(prompt.choice, prompt.tools):
        return (*parts, Call(tool.name, example_arguments(tool.schema)))
    if prompt.schema is not None:
        return (*parts, Text(example(prompt.schema)))
    return (*parts, Text(echo(prompt, script.said)))


def _allowed(parts: tuple[Part, ...], prompt: Prompt) -> tuple[Part, ...]:
    """`parts` without the thinking and the calls that the request does not allow."""
    choice = prompt.choice
    most = {"none": 0}.get(choice.kind, len(parts) if choice.parallel else 1)
    allowed, calls = list[Part](), 0
    for part in parts:
        if isinstance(part, Think) and not prompt.thinks:
            continue
        if isinstance(part, Call):
            calls += 1
            if calls > most:
                continue
        allowed.append(part)
    return tuple(allowed)


def _forced(choice: Choice, tools: tuple[Tool, ...]) -> Tool | None:
    if choice.kind not in {"any", "tool"}:
        return None
    for tool in tools:
        if choice.kind == "any" or tool.name == choice.name:
            return tool
    wanted = f"tool '{choice.name}'" if choice.kind == "tool" else "a tool to call"
    raise InvalidRequestError(f"tool_choice: {wanted} not found in provided tools")


def _until(parts: tuple[Part, ...], sequences: tuple[str, ...]) -> tuple[tuple[Part, ...], str | None]:
    """`parts` up to the first stop sequence in a text, and that sequence."""
    for number, part in enumerate(parts):
        if not isinstance(part, Text):
            continue
        found = [(at, text) for text in sequences if text and (at := part.text.find(text)) >= 0]
        if found:
            at, sequence = min(found)
            return (*parts[:number], Text(part.text[:at])), sequence
    return parts, None


def _within(parts: tuple[Part, ...], most: int | None) -> tuple[tuple[Part, ...], bool]:
    """`parts` cut to so many tokens, and whether they were cut."""
    if most is None:
        return parts, False
    if most == 0:  # a prompt cache is warmed: there is no answer, however short it would be
        return (), True
    kept, left = list[Part](), most
    for part in parts:
        pieces = tokens.split(piece_text(part))
        if len(pieces) <= left:
            kept.append(part)
            left -= len(pieces)
            continue
        if left:
            kept.append(_with_text(part, "".join(pieces[:left])))
        return tuple(kept), True
    return tuple(kept), False


def _with_text(part: Part, text: str) -> Part:
    return replace(part, arguments=text) if isinstance(part, Call) else replace(part, text=text)


def _usage(prompt: Prompt, parts: tuple[Part, ...], change: UsageChange) -> Usage:
    counted = Usage(
        input_tokens=prompt.input_tokens,
        output_tokens=sum(tokens.count(piece_text(part)) for part in parts),
        thinking_tokens=sum(tokens.count(part.text) for part in parts if isinstance(part, Think)),
    )
    changed = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not msgspec.UNSET}
    return replace(counted, **changed)
