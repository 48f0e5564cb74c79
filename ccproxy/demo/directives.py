r"""Directives: how a text tells the demo what to do.

    directive = "[[" name *(blanks argument) [blanks] "]]"
    name      = lower-case ASCII letters, digits, "_" and "-", directly after "[["
    TEXT      = a JSON string, or else all characters up to the next "]]", trimmed
    OBJECT    = a JSON object; brackets, "]]" and "}" inside its strings are its own

A name must be followed by a blank or by "]]"; any other "[[" (`[[1, 2]]`, `[[ -f x ]]`, `[[tool.ruff]]`) is text.
`GRAMMAR` lists the directives.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from ccproxy.demo.prompt import InvalidRequestError
from ccproxy.demo.script import Call, Cut, Error, Fail, Part, Script, Text, Think, UsageChange

GRAMMAR: Mapping[str, str] = MappingProxyType(
    {
        "say": "[[say TEXT]]",
        "think": "[[think TEXT]]",
        "tool": '[[tool NAME {"argument": "value"}]]',
        "tokens": "[[tokens N]]",
        "stop": "[[stop REASON]] or [[stop stop_sequence TEXT]]",
        "pace": "[[pace MILLISECONDS]]",
        "wait": "[[wait MILLISECONDS]]",
        "error": '[[error STATUS error_type {"header": "value"} TEXT]], all but STATUS optional',
        "cut": "[[cut]] or [[cut PIECES]]",
        "fail": "[[fail PIECES error_type TEXT]], all but PIECES optional",
        "usage": '[[usage {"cache_read_input_tokens": 5}]]',
    }
)

MAX_DIRECTIVES = 256
MAX_OUTPUT_TOKENS = 100_000
MAX_PACE_MS = 60_000
MAX_WAIT_MS = 600_000
MAX_PIECES = 1_000_000

_OPEN = re.compile(r"\[\[([a-z][a-z0-9_-]*+)(?=\s|\]\])")
_CLOSE = re.compile(r"\s*\]\]")
_INTEGER = re.compile(r"\s+([0-9]{1,9})(?=\s|\]\])")
_TOOL = re.compile(r"\s+([A-Za-z0-9_.:/-]{1,128})(?=\s|\]\])")
_REASON = re.compile(r"\s+([a-z][a-z_]*+)(?=\s|\]\])")
_ERROR_TYPE = re.compile(r"\s+([a-z]++(?:_[a-z]++)++)(?=\s|\]\])")  # an underscore tells it from a message
_BLANKS = re.compile(r"\s+")
_JSON_MARK = re.compile(r'"(?:[^"\\]|\\.)*+("?)|[{}\[\]]', re.DOTALL)
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,1024}")
_FRAMING = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})


class DirectiveError(InvalidRequestError):
    """A directive that is unknown or not written as its grammar says."""

    def __init__(self, name: str, problem: str) -> None:
        if name in GRAMMAR:
            grammar = f"Write it as {GRAMMAR[name]}."
        else:
            grammar = f"Known are: {', '.join(GRAMMAR)}. A blank after the brackets makes it plain text."
        super().__init__(f"Demo directive [[{name[:40]}]]: {problem}. {grammar}")


class _Arguments:
    """Reads the arguments of one directive from left to right."""

    def __init__(self, name: str, text: str, at: int) -> None:
        self.name = name
        self.at = at
        self._text = text

    def wrong(self, problem: str) -> DirectiveError:
        return DirectiveError(self.name, problem)

    def optional(self, pattern: re.Pattern[str]) -> str | None:
        """The word that `pattern` finds here."""
        found = pattern.match(self._text, self.at)
        if not found:
            return None
        self.at = found.end()
        return found[1]

    def word(self, pattern: re.Pattern[str], what: str) -> str:
        word = self.optional(pattern)
        if word is None:
            raise self.wrong(f"{what} is missing or malformed")
        return word

    def integer(self, what: str, most: int, least: int = 0) -> int:
        number = int(self.word(_INTEGER, what))
        if not least <= number <= most:
            raise self.wrong(f"{what} must be between {least} and {most}")
        return number

    def ahead(self) -> str:
        """The first character of the next argument; empty at the end of the directive."""
        blanks = _BLANKS.match(self._text, self.at)
        if not blanks or self._text.startswith("]]", blanks.end()):
            return ""
        return self._text[blanks.end() : blanks.end() + 1]

    def text(self) -> str:
        if self.ahead() == '"':
            value = msgspec.json.decode(self._json())
            return str(value)
        if not self.ahead():
            raise self.wrong("the text is missing")
        end = self._text.find("]]", self.at)
        if end < 0:
            raise self.wrong('the closing "]]" is missing')
        text, self.at = self._text[self.at : end].strip(), end
        return text

    def optional_text(self) -> str | None:
        return self.text() if self.ahead() else None

    def object(self) -> str:
        """The text of a JSON object."""
        if self.ahead() != "{":
            raise self.wrong("a JSON object is missing")
        return self._json()

    def end(self) -> int:
        close = _CLOSE.match(self._text, self.at)
        if not close:
            raise self.wrong('there is more than the grammar allows, or the closing "]]" is missing')
        return close.end()

    def _json(self) -> str:
        """The text of the JSON string, object or array that starts here, checked by a real decoder."""
        blanks = _BLANKS.match(self._text, self.at)
        start = blanks.end() if blanks else self.at
        self.at = self._json_end(start)
        value = self._text[start : self.at]
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise self.wrong(f"this is not JSON: {error}") from error
        return value

    def _json_end(self, start: int) -> int:
        depth = 0
        for mark in _JSON_MARK.finditer(self._text, start):
            if mark[0][0] == '"':
                if not mark[1]:
                    break
            else:
                depth += 1 if mark[0] in "{[" else -1
            if depth <= 0:
                return mark.end()
        raise self.wrong("the JSON value does not end")


def parse(text: str) -> Script:
    """What the directives in `text` ask for.

    Raises:
        DirectiveError: a directive is unknown, malformed or given twice.
    """
    script, said, at, seen = Script(), list[str](), 0, list[str]()
    while opening := _OPEN.search(text, at):
        said.append(text[at : opening.start()])
        name = opening[1]
        read = _READERS.get(name)
        if not read:
            raise DirectiveError(name, "there is no such directive")
        if len(seen) == MAX_DIRECTIVES:
            raise DirectiveError(name, f"a text may hold no more than {MAX_DIRECTIVES} directives")
        if name in seen and name not in _REPEATABLE:
            raise DirectiveError(name, "it is given twice")
        seen.append(name)
        arguments = _Arguments(name, text, opening.end())
        script = read(script, arguments)
        at = arguments.end()
    said.append(text[at:])
    return replace(script, said=_joined(said))


def _joined(said: list[str]) -> str:
    """Text around directives, without the hole that a directive between two blanks leaves."""
    whole = said[0]
    for piece in said[1:]:
        whole += piece.lstrip(" ") if not whole or whole[-1].isspace() else piece
    return whole.strip() if len(said) > 1 else whole


def _say(script: Script, arguments: _Arguments) -> Script:
    return _with(script, Text(arguments.text()))


def _think(script: Script, arguments: _Arguments) -> Script:
    return _with(script, Think(arguments.text()))


def _tool(script: Script, arguments: _Arguments) -> Script:
    name = arguments.word(_TOOL, "the tool's name")
    return _with(script, Call(name, arguments.object() if arguments.ahead() else "{}"))


def _tokens(script: Script, arguments: _Arguments) -> Script:
    """Numbered words, so that a lost or doubled one is seen."""
    number = arguments.integer("the number of tokens", MAX_OUTPUT_TOKENS)
    words = ["Demo", *map(str, range(2, number + 1))] if number else []
    return _with(script, Text(" ".join(words)))


def _stop(script: Script, arguments: _Arguments) -> Script:
    reason = arguments.word(_REASON, "the stop reason")
    sequence = arguments.optional_text() if reason == "stop_sequence" else None
    return replace(script, stop=reason, stop_sequence=sequence)


def _pace(script: Script, arguments: _Arguments) -> Script:
    return replace(script, pace_ms=arguments.integer("the pace", MAX_PACE_MS))


def _wait(script: Script, arguments: _Arguments) -> Script:
    return replace(script, wait_ms=arguments.integer("the wait", MAX_WAIT_MS))


def _error(script: Script, arguments: _Arguments) -> Script:
    status = arguments.integer("the HTTP status", most=599, least=400)
    kind = arguments.optional(_ERROR_TYPE)
    headers = _headers(arguments) if arguments.ahead() == "{" else {}
    return replace(script, error=Error(status, kind, arguments.optional_text(), headers))


def _headers(arguments: _Arguments) -> dict[str, str]:
    try:
        headers = msgspec.json.decode(arguments.object(), type=dict[str, str])
    except msgspec.ValidationError as error:
        raise arguments.wrong("headers must be strings") from error
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise arguments.wrong("a header's name or value has a character that is not allowed")
        if name.lower() in _FRAMING:
            raise arguments.wrong(f"the header {name} belongs to the connection")
    return headers


def _cut(script: Script, arguments: _Arguments) -> Script:
    after = arguments.integer("the number of pieces", MAX_PIECES) if arguments.ahead() else None
    return replace(script, cut=Cut(after))


def _fail(script: Script, arguments: _Arguments) -> Script:
    usual = Fail(arguments.integer("the number of pieces", MAX_PIECES))
    kind = arguments.optional(_ERROR_TYPE) or usual.type
    message = arguments.optional_text()
    return replace(script, fail=Fail(usual.after, kind, usual.message if message is None else message))


def _usage(script: Script, arguments: _Arguments) -> Script:
    try:
        usage = msgspec.json.decode(arguments.object(), type=UsageChange)
    except msgspec.ValidationError as error:
        raise arguments.wrong(f"{error}; known members are {', '.join(UsageChange.__struct_fields__)}") from error
    return replace(script, usage=usage)


def _with(script: Script, part: Part) -> Script:
    return replace(script, parts=(*script.parts, part))


_READERS: Mapping[str, Callable[[Script, _Arguments], Script]] = MappingProxyType(
    {
        "say": _say,
        "think": _think,
        "tool": _tool,
        "tokens": _tokens,
        "stop": _stop,
        "pace": _pace,
        "wait": _wait,
        "error": _error,
        "cut": _cut,
        "fail": _fail,
        "usage": _usage,
    }
)
_REPEATABLE = frozenset({"say", "think", "tool"})
