"""What the demo answers, before any dialect words it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy.demo import tokens
from ccproxy.demo.answer import ECHO_CHARACTERS, Answer, Usage, compose
from ccproxy.demo.dialect import Frame, Kind, until
from ccproxy.demo.directives import parse
from ccproxy.demo.example import example, example_arguments
from ccproxy.demo.prompt import Choice, InvalidRequestError, Prompt, Result, Tool, media, without_reminders
from ccproxy.demo.script import Call, Text, Think

READ = Tool("read", Raw(b'{"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}'))


def answer(text: str, **members: object) -> Answer:
    """The answer to `text` in a request with these members."""
    prompt = msgspec.structs.replace(Prompt(model="m", text=text, input_tokens=7), **members)
    return compose(prompt, parse(text))


@given(st.text())
def test_tokens_are_the_whole_text(text: str):
    """What is counted is what is streamed."""
    assert "".join(tokens.split(text)) == text
    assert len(tokens.split(text)) == tokens.count(text)


def test_a_long_word_is_several_tokens():
    """Text without blanks must be neither free nor one piece."""
    assert tokens.split("a" * 13 + " b ") == ["a" * 12, "a", " b", " "]


def test_the_echo_says_that_it_is_the_demo():
    """Nobody shall take an echo for a model's answer."""
    assert answer("hi").parts == (Text("Demo answer to: hi"),)


def test_the_echo_is_short():
    """An agent sends whole files; they need not come back."""
    text = answer("x" * 5000).parts[0]

    assert isinstance(text, Text)
    assert len(text.text) < ECHO_CHARACTERS + 100
    assert text.text.endswith("… (3000 more characters)")


def test_tool_results_are_reported_and_nothing_else():
    """An agent's loop must come to its end."""
    results = (Result("read", "42"), Result("toolu_1", "no", is_error=True))

    assert answer("", results=results).parts == (
        Text("Demo: tool read returned: 42\nDemo: tool toolu_1 returned an error: no"),
    )


def test_text_beside_tool_results_is_answered_too():
    """A person may interrupt a tool loop with a word."""
    parts = answer("go on", results=(Result("read", "42"),)).parts

    assert parts == (Text("Demo: tool read returned: 42\nDemo answer to: go on"),)


def test_thinking_comes_with_the_echo():
    """Thinking alone is no answer."""
    assert answer("hi [[think hm]]").parts == (Think("hm"), Text("Demo answer to: hi"))


def test_a_call_is_the_reason_to_stop():
    """Agents go on by the stop reason."""
    assert answer("[[tool read]]").stop_reason == "tool_use"


def test_an_empty_text_is_an_empty_answer():
    """Providers send answers without content; a gateway must survive them."""
    assert answer('[[say ""]]').parts == ()


def test_a_stop_sequence_ends_the_text_there():
    """The first sequence in the text counts, not the first in the request."""
    got = answer("[[say one two three]] [[say four]]", stop_sequences=("three", "two"))

    assert (got.parts, got.stop_reason, got.stop_sequence) == ((Text("one "),), "stop_sequence", "two")


def test_max_tokens_cuts_words():
    """A client must see a cut answer as cut."""
    got = answer("[[tokens 9]]", max_tokens=3)

    assert (got.parts, got.stop_reason, got.usage.output_tokens) == ((Text("Demo 2 3"),), "max_tokens", 3)


def test_max_tokens_that_suffice_change_nothing():
    """The limit is inclusive."""
    assert answer("[[tokens 3]]", max_tokens=3).stop_reason == "end_turn"


def test_max_tokens_may_end_between_two_parts():
    """Then the second one does not begin."""
    assert answer("[[think a b]][[say c]]", max_tokens=2).parts == (Think("a b"),)


def test_max_tokens_cut_a_calls_arguments():
    """This is the one way in which real models send broken arguments."""
    got = answer('[[tool run {"a": 1, "b": 2}]]', max_tokens=2)

    assert got.parts == (Call("run", '{"a": 1,'),)


def test_no_tokens_no_content():
    """`max_tokens: 0` warms a prompt cache and nothing else."""
    got = answer("[[think x]]", max_tokens=0)

    assert (got.parts, got.stop_reason) == ((), "max_tokens")


def test_a_directive_has_the_last_word_on_the_reason():
    """Every stop reason must be provokable, whatever the content."""
    got = answer("[[tool read]][[stop pause_turn]]")

    assert (got.stop_reason, got.stop_sequence) == ("pause_turn", None)


@pytest.mark.parametrize("choice", [Choice("any"), Choice("tool", "read")])
def test_a_forced_tool_is_called(choice: Choice):
    """Frameworks force a tool to get structured output and fail without the call."""
    assert answer("hi", tools=(READ,), choice=choice).parts == (Call("read", '{"path":"demo"}'),)


def test_a_forced_tool_must_exist():
    """Providers refuse this, too."""
    with pytest.raises(InvalidRequestError, match="'write' not found"):
        answer("hi", tools=(READ,), choice=Choice("tool", "write"))


def test_no_tool_is_called_where_none_is_allowed():
    """`tool_choice: none` is the client's promise that nobody answers a call."""
    assert answer("hi [[tool read]]", choice=Choice("none")).parts == (Text("Demo answer to: hi"),)


def test_parallel_calls_can_be_switched_off():
    """A client that asked for one call may not be able to answer two."""
    assert answer("[[tool a]][[tool b]]", choice=Choice(parallel=False)).parts == (Call("a"),)


def test_a_structured_answer_fits_its_schema():
    """Claude Code asks for such answers, and would fail on an echo."""
    assert answer("hi", schema=READ.schema).parts == (Text('{"path":"demo"}'),)


def test_usage_counts_thinking_as_output():
    """So do all providers."""
    assert answer("[[think a b]][[say c]]").usage == Usage(7, 3, thinking_tokens=2)


def test_usage_can_be_overridden():
    """Cache hits exist in no demo, yet must be translated right."""
    usage = answer('[[usage {"cache_read_input_tokens": 5, "output_tokens": 99}]]').usage

    assert (usage.cache_read_input_tokens, usage.output_tokens, usage.input_tokens) == (5, 99, 7)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (b"{}", "demo"),
        (b"null", None),
        (b'{"type": "object"}', {}),
        (b'{"type": ["integer", "null"], "minimum": 3}', 3),
        (b'{"type": "number"}', 1),
        (b'{"type": "boolean"}', True),
        (b'{"type": "null"}', None),
        (b'{"enum": ["a", "b"]}', "a"),
        (b'{"const": 5}', 5),
        (b'{"type": "string", "default": "x"}', "x"),
        (b'{"anyOf": [{"type": "integer"}, {"type": "null"}]}', 1),
        (b'{"type": "array", "items": {"type": "integer"}}', []),
        (b'{"type": "array", "items": {"type": "integer"}, "minItems": 2}', [1, 1]),
        (b'{"$ref": "#/$defs/P", "$defs": {"P": {"type": "integer"}}}', 1),
        (b'{"$ref": "https://example.com/x"}', None),
        (b'{"properties": {"a": {}}, "required": ["a", "b"]}', {"a": "demo", "b": None}),
    ],
)
def test_examples_follow_the_usual_keywords(schema: bytes, value: object):
    """Clients validate the arguments of a call."""
    assert msgspec.json.decode(example(Raw(schema))) == value


def test_a_schema_that_refers_to_itself_ends():
    """One request must not stop the process."""
    schema = Raw(
        b'{"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}'
    )

    assert len(example(schema)) < 100_000


def test_arguments_are_always_an_object():
    """No provider sends anything else, whatever the schema says."""
    assert example_arguments(Raw(b'{"type": "string"}')) == "{}"


def test_a_schema_nested_too_deep_is_refused():
    """It must not become a 500."""
    with pytest.raises(InvalidRequestError):
        example(Raw(b'{"not":' * 100_000 + b"{}" + b"}" * 100_000))


def test_reminders_are_not_what_the_user_said():
    """Claude Code adds whole files to a text; their brackets are no directives."""
    assert (
        without_reminders("<system-reminder>[[x]]</system-reminder>\nhi <system-reminder>y")
        == "hi <system-reminder>y"
    )


def test_media_are_named_by_their_size():
    """A person sees that an image came through, and whole."""
    assert media("image", "image/png", "aGVsbG8=") == "[image image/png, 5 bytes]"


@pytest.mark.parametrize(("pieces", "kept"), [(0, b"a"), (1, b"a1"), (2, b"a1b2"), (9, b"a1b2c")])
def test_a_fault_comes_after_its_pieces_and_before_the_end(pieces: int, kept: bytes):
    """A broken stream must never look complete."""
    frames = [
        Frame(b"a"),
        Frame(b"1", Kind.PIECE),
        Frame(b"b"),
        Frame(b"2", Kind.PIECE),
        Frame(b"c"),
        Frame(b"end", Kind.END),
    ]

    assert b"".join(frame.data for frame in until(frames, pieces)) == kept
