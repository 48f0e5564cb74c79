"""The grammar of the demo's directives."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccproxy.demo.directives import GRAMMAR, MAX_DIRECTIVES, DirectiveError, parse
from ccproxy.demo.script import Call, Cut, Error, Fail, Script, Text, Think

PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["[[", "]]", "{", "}", '"', "\\", " ", "\n", "0", "429", "a_b", '{"a": "]]"}', '"x"']),
    st.sampled_from([f"[[{name}" for name in GRAMMAR]),
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_text_is_a_script_or_a_directive_error(text: str):
    """People type anything; nothing but a 400 that explains itself may come of it."""
    with suppress(DirectiveError):
        assert isinstance(parse(text), Script)


@given(st.text())
def test_a_json_string_says_any_text(text: str):
    """A test must be able to have every character answered, brackets and newlines among them."""
    assert parse(f"[[say {msgspec.json.encode(text).decode()}]]").parts == (Text(text),)


@pytest.mark.parametrize("name", GRAMMAR)
def test_every_documented_directive_is_known(name: str):
    """The grammar in the error message must not promise what does not exist."""
    with pytest.raises(DirectiveError) as raised:
        parse(f"[[{name} \x00")

    assert "no such directive" not in str(raised.value)


def test_parts_stay_in_the_order_they_were_written():
    """The order of blocks is what translators get wrong, so a text must be able to choose it."""
    script = parse('[[think hm]] [[say one]] [[tool read {"path": "a"}]] [[say two]]')

    assert script.parts == (Think("hm"), Text("one"), Call("read", '{"path": "a"}'), Text("two"))


def test_json_may_hold_brackets_and_closings_in_its_strings():
    """Real arguments hold code; a search for `]]` would cut them."""
    arguments = '{"code": "a[[0]] = {\\"]]\\"", "list": [[1], [2]]}'

    assert parse(f"[[tool run {arguments}]] tail") == Script(said="tail", parts=(Call("run", arguments),))


def test_directives_are_not_part_of_what_was_said():
    """The echo shows what a person would have asked a model."""
    assert parse("Hello [[pace 5]] there [[wait 1]]").said == "Hello there"


@pytest.mark.parametrize(
    "text", ["[[1, 2]]", "[[ -f x ]]", "[[tool.ruff]]", "[[Page]]", "a]] [b]", "[[[", "[[ say x]]"]
)
def test_other_double_brackets_are_text(text: str):
    """People paste shell, TOML and lists; those must not be refused."""
    assert parse(text) == Script(said=text)


def test_error_takes_all_its_arguments():
    """Retry rules read the status, the type, a header and the message."""
    script = parse('[[error 429 rate_limit_error {"retry-after": "7"} slow down]]')

    assert script.error == Error(429, "rate_limit_error", "slow down", {"retry-after": "7"})


def test_error_needs_a_status_alone():
    """The shortest form is the one that is typed most."""
    assert parse("[[error 529]]").error == Error(529)


def test_a_word_without_underscore_is_the_message():
    """Type and message are both optional; this is how they are told apart."""
    assert parse("[[error 500 boom]]").error == Error(500, None, "boom")


def test_stop_sequence_may_be_named():
    """A translator must be tested with a sequence that is not in the text."""
    script = parse("[[stop stop_sequence END]]")

    assert (script.stop, script.stop_sequence) == ("stop_sequence", "END")


def test_cut_without_a_number_comes_before_the_first_byte():
    """A connection that dies without an answer is another fault than one that dies in it."""
    assert (parse("[[cut]]").cut, parse("[[cut 3]]").cut) == (Cut(None), Cut(3))


def test_fail_has_a_usual_type():
    """Overload is what breaks real streams."""
    assert parse("[[fail 2]]").fail == Fail(2, "overloaded_error")


def test_tokens_are_numbered_words():
    """A lost, doubled or swapped piece must be seen by the reader."""
    assert parse("[[tokens 4]]").parts == (Text("Demo 2 3 4"),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[jump]]", "no such directive"),
        ("[[say]]", "the text is missing"),
        ("[[say hello", 'closing "]]" is missing'),
        ('[[say "a" b]]', "more than the grammar allows"),
        ('[[say "a]]', "does not end"),
        ("[[tool read {nope}]]", "not JSON"),
        ("[[tool read [1]]]", "a JSON object is missing"),
        ('[[tool read {"a": [', "does not end"),
        ("[[tool]]", "the tool's name"),
        ("[[pace fast]]", "the pace is missing or malformed"),
        ("[[pace 99999999]]", "between 0 and"),
        ("[[pace 1]][[pace 2]]", "given twice"),
        ("[[error 200]]", "between 400 and 599"),
        ('[[error 400 {"a": 1}]]', "headers must be strings"),
        ('[[error 400 {"a": "b\\n"}]]', "not allowed"),
        ('[[error 400 {"Content-Length": "1"}]]', "belongs to the connection"),
        ("[[cut x]]", "the number of pieces"),
        ('[[usage {"tokens": 1}]]', "known members"),
        ('[[usage {"input_tokens": -1}]]', "known members"),
        ("[[say x]]" * (MAX_DIRECTIVES + 1), "no more than"),
        ("[[tool x " + '{"a":' * 100_000 + "1" + "}" * 100_000 + "]]", "not JSON"),
    ],
)
def test_a_wrong_directive_names_its_problem(text: str, problem: str):
    """Whoever mistypes a directive must learn the right form from the answer alone."""
    with pytest.raises(DirectiveError, match=r"Write it as|Known are") as raised:
        parse(text)

    assert problem in str(raised.value)
