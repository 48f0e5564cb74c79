"""The conversation: Anthropic's turns as input items, in order.

A call's output may come anywhere after it, but each call needs one. Reasoning goes back unchanged before the item
that it preceded: alone it is refused ("Item 'rs_…' of type 'reasoning' was provided without its required following
item"), and so is reasoning that another model encrypted.

Sources: https://platform.openai.com/docs/guides/reasoning and /docs/guides/function-calling (read 2026-11-22).
"""

import re
from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ccproxy import carrier
from ccproxy.carrier import Carried
from ccproxy.messages import (
    Base64Source,
    Block,
    Document,
    FileSource,
    Image,
    Request,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
    Unknown,
    UrlSource,
)
from ccproxy.providers.conversation import (
    Parts,
    blocks_of,
    content_of,
    data_url,
    is_cached,
    pdf_name,
    results_in,
    steps,
    system_blocks,
)
from ccproxy.providers.openai_chat.history import INTERRUPTED, NO_OUTPUT, OMITTED, call_id
from ccproxy.providers.openai_chat.tools import upstream_name
from ccproxy.providers.openai_responses.wire import (
    Breakpoint,
    FunctionCall,
    FunctionCallOutput,
    InputFile,
    InputImage,
    InputItem,
    InputMessage,
    InputText,
    OutputText,
    Part,
    Reasoning,
)

PROVIDER = "openai"  # in the carrier: who made the state
REASONING = "reasoning"
PHASE = "phase"

_FAMILY = re.compile(r"gpt-[\d.]+|o\d+|codex")


class Phase(Struct, frozen=True):
    """What a message of the model is: `commentary` on the way, or the `final_answer`."""

    phase: str


def signature(model: str, state: Reasoning | Phase) -> str:
    """The signature that carries state of `model` through the caller's conversation."""
    kind = PHASE if isinstance(state, Phase) else REASONING
    return carrier.pack(Carried(PROVIDER, model, kind, Raw(msgspec.json.encode(state))))


def state_of(text: str, model: str) -> Reasoning | Phase | None:
    """The state that a signature carries, where `model` can read it."""
    carried = carrier.unpack(text)
    if carried is None or carried.provider != PROVIDER or _family(carried.model) != _family(model):
        return None
    types: dict[str, type[Reasoning | Phase]] = {REASONING: Reasoning, PHASE: Phase}
    try:
        return msgspec.json.decode(carried.data, type=types[carried.kind])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _family(model: str) -> str:
    match = _FAMILY.match(model)
    return match[0] if match else model


MAX_MARKS = 3  # a request writes four caches, and OpenAI itself marks the newest message


def conversation(
    request: Request, model: str, role: str, dropped: set[str], *, marked: bool = False
) -> tuple[str, list[InputItem]]:
    """The instructions (empty where there are none) and all items.

    Args:
        request: The caller's request.
        model: The model that is to read them.
        role: What a system message is called: "system" or "developer".
        dropped: Gets the path of what cannot be said.
        marked: Whether texts are marked for the cache: the first ones, whose prefix is the most stable.
            Instructions cannot be marked, so a system prompt that is to be cached becomes the first message.
    """
    writer = _Writer(model, role, dropped, MAX_MARKS if marked else 0)
    system = system_blocks(request)
    instructions = ""
    if marked and any(is_cached(block.cache_control) for block in system):
        writer.lead(system)
    else:
        instructions = writer.text(system)
    for answer, others in steps(request.messages):
        writer.answer(answer)
        used = writer.outputs(answer, others)
        for turn in others:
            writer.turn(turn, used)
    return instructions, writer.items


def without_reasoning(items: Sequence[InputItem]) -> list[InputItem]:
    """The conversation without state that a server refuses."""
    return [item for item in items if not isinstance(item, Reasoning)]


class _Writer:
    """Writes the items."""

    def __init__(self, model: str, role: str, dropped: set[str], marks: int) -> None:
        self.items: list[InputItem] = []
        self._model = model
        self._role = role
        self._parts = _Parts(dropped, marks)

    def lead(self, system: Iterable[Block]) -> None:
        """The system prompt as the first message."""
        if parts := self._parts.of(system):
            self.items.append(InputMessage(self._role, [*parts]))

    def answer(self, blocks: Iterable[Block]) -> None:
        """What the assistant said; reasoning waits for the item that it belongs to, a phase for its message."""
        pending: list[InputItem] = []
        phase: str | UnsetType = UNSET
        for block in blocks:
            if isinstance(block, Thinking):
                match state_of(block.signature, self._model):
                    case None:
                        self._parts.drop(block)
                    case Phase() as state:
                        phase = state.phase
                    case state:
                        pending.append(state)
            elif (item := self._said(block, phase)) is not None:
                self.items += [*pending, item]
                pending.clear()
                phase = UNSET
        if pending:
            self._parts.dropped.add("messages.content.thinking")

    def _said(self, block: Block, phase: str | UnsetType) -> InputItem | None:
        match block:
            case Text():
                self._parts.cannot_mark("text", block.cache_control)
                return InputMessage("assistant", [OutputText(block.text)], phase) if block.text else None
            case ToolUse():
                self._parts.cannot_mark("tool_use", block.cache_control)
                return FunctionCall(call_id(block.id), upstream_name(block.name), bytes(block.input).decode())
            case _:
                self._parts.drop(block)
                return None

    def outputs(self, answer: Iterable[Block], others: Iterable[Turn]) -> set[int]:
        """Answers every call; returns the identities of the result blocks used."""
        results = results_in(others)
        used = set()
        for call in answer:
            if not isinstance(call, ToolUse):
                continue
            result = results.get(call.id)
            output: str | list[Part] = INTERRUPTED
            if result is not None:
                used.add(id(result))
                output = self._parts.output(result)
            self.items.append(FunctionCallOutput(call_id(call.id), output))
        return used

    def turn(self, turn: Turn, used: set[int]) -> None:
        """What came before the assistant spoke again, but for the results in `used`."""
        rest = [block for block in blocks_of(turn) if id(block) not in used]
        if turn.role == "system":
            if text := self.text(rest):
                self.items.append(InputMessage(self._role, [InputText(text)]))
        elif rest:
            self._user(self._parts.of(rest) or [InputText(OMITTED)])

    def text(self, blocks: Iterable[Block]) -> str:
        """The text of a place that takes only text."""
        texts = []
        for block in blocks:
            if isinstance(block, Text):
                texts.append(block.text)
            else:
                self._parts.drop(block)
        return "\n\n".join(text for text in texts if text)

    def _user(self, parts: Sequence[Part]) -> None:
        last = self.items[-1] if self.items else None
        if isinstance(last, InputMessage) and last.role == "user":
            last.content.extend(parts)
        else:
            self.items.append(InputMessage("user", [*parts]))


class _Parts(Parts[Part]):
    """The parts of a message. `marks` is how many more of them may be marked for the cache."""

    def __init__(self, dropped: set[str], marks: int) -> None:
        super().__init__(dropped)
        self._marks = marks
        self._takes_marks = marks > 0

    def text(self, text: Text) -> list[Part]:
        """See `Parts.text`."""
        if not text.text:
            return []
        if not (self._marks and is_cached(text.cache_control)):
            return [InputText(text.text)]
        self._marks -= 1
        return [InputText(text.text, Breakpoint())]

    def image(self, image: Image) -> list[Part]:
        """See `Parts.image`."""
        source = image.source
        match source:
            case Base64Source():
                return self._marked([InputImage(data_url(source))], image.cache_control)
            case UrlSource():
                return self._marked([InputImage(source.url)], image.cache_control)
            case FileSource() | Unknown():
                self.drop_source(image)
                return []
            case _:
                assert_never(source)

    def document(self, document: Document) -> list[Part]:
        """See `Parts.document`."""
        return self._marked(super().document(document), document.cache_control)

    def file(self, document: Document) -> list[Part]:
        """See `Parts.file`."""
        source = document.source
        if document.context and isinstance(source, Base64Source | UrlSource):
            self.dropped.add("messages.content.document.context")
        match source:
            case Base64Source(media_type="application/pdf"):
                return [InputFile(filename=pdf_name(document), file_data=data_url(source))]
            case UrlSource():
                return [InputFile(file_url=source.url)]
            case _:
                self.drop_source(document)
                return []

    def orphan(self, result: ToolResult) -> list[Part]:
        """See `Parts.orphan`."""
        output = self.output(result)
        told = InputText("Result of an earlier tool call:")
        return [told, InputText(output)] if isinstance(output, str) else [told, *output]

    def output(self, result: ToolResult) -> str | list[Part]:
        """A result: as text where it is only that, the form that every server takes.

        Where marks are taken, a text is a part also without one: marks move, and what they leave must not change.
        """
        parts = self.of(content_of(result))
        texts = [part.text for part in parts if isinstance(part, InputText)]
        if len(texts) < len(parts):
            parts = [InputText("Error:"), *parts] if result.is_error else parts
            return self._marked(parts, result.cache_control)
        text = "\n".join(texts) or NO_OUTPUT
        text = f"Error: {text}" if result.is_error else text
        if not self._takes_marks:
            return text
        if any(part.prompt_cache_breakpoint is not UNSET for part in parts):
            return [InputText(text, Breakpoint())]
        return self._marked([InputText(text)], result.cache_control)

    def cannot_mark(self, place: str, cache_control: Raw | UnsetType) -> None:
        """Notes a mark that has no place: what the model said takes none."""
        if self._takes_marks and is_cached(cache_control):
            self.dropped.add(f"messages.content.{place}.cache_control")

    def _marked(self, parts: list[Part], cache_control: Raw | UnsetType) -> list[Part]:
        """The parts with a mark at their end, where one is wanted and there are marks left."""
        if not (parts and self._marks and is_cached(cache_control)):
            return parts
        if parts[-1].prompt_cache_breakpoint is UNSET:
            self._marks -= 1
        return [*parts[:-1], msgspec.structs.replace(parts[-1], prompt_cache_breakpoint=Breakpoint())]
