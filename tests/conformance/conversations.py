"""Conversations: generated ones, and one by hand that is like Claude Code's."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

from ccproxy.carrier import Carried, pack
from ccproxy.messages import RedactedThinking

Turn = Mapping[str, Any]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
ANTHROPICS = "EqQBCkYIARgCKkBhbiBBbnRocm9waWMgc2lnbmF0dXJl"
OWN = (
    Carried(
        "openai",
        "gpt-5.6-sol",
        "reasoning",
        Raw(b'{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"e=="}'),
    ),
    Carried("gemini", "gemini-3.5-flash", "call", Raw(b'"Z2VtaW5pIGNhbGw="')),
    Carried("gemini", "gemini-3.5-flash", "text", Raw(b'"Z2VtaW5pIHRleHQ="')),
    Carried("gemini", "gemini-3.5-flash", "thought", Raw(b'"Z2VtaW5pIHRob3VnaHQ="')),
    Carried("gemini", "gemini-2.5-pro", "empty", Raw(b'"Z2VtaW5pIGVtcHR5"')),
    Carried("deepseek", "deepseek-flash", "reasoning_content", Raw(b"[]")),
    Carried("deepseek", "deepseek-flash", "reasoning_content", Raw(b'["hidden"]')),
    Carried(
        "openrouter",
        "z-ai/glm-5",
        "reasoning_details",
        Raw(b'[{"type":"reasoning.text","z":1.0,"text":"t","a":0}]'),
    ),
)
SIGNATURES = (ANTHROPICS, "", *map(pack, OWN))

LONG = "mcp__a_server_with_a_very_long_name__and_a_tool_whose_name_is_longer_still__than_64"
TOOL_NAMES = ("Read", "Bash", "mcp__files__list.all", LONG)

texts = st.text(st.characters(codec="utf-8", exclude_characters="«»"), max_size=12).map(lambda text: f"«{text}»")
"""What somebody says, in marks by which it is found again."""
keys = st.sampled_from(["path", "b", "a", "é", "limit", 'quo"te', ""])
numbers = st.sampled_from(["1", "1.0", "10", "1e1", "-0", "0.10", "12345678901234567890", "1E-7"])


def written(value: object) -> str:
    """A value as JSON."""
    return msgspec.json.encode(value).decode()


def _object(members: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{written(key)}: {value}" for key, value in members.items()) + "}"


json_values = st.recursive(
    numbers | texts.map(written) | st.sampled_from(["true", "null"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda each: f"[{','.join(each)}]")
        | st.dictionaries(keys, inner, max_size=3).map(_object)
    ),
    max_leaves=4,
)
inputs = st.dictionaries(keys, json_values, max_size=4).map(lambda members: Raw(_object(members).encode()))
"""A call's input as JSON text: any order of keys, numbers spelled in any way."""

images = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlhAQ=="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    ]
)
documents = st.sampled_from(
    [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {
            "type": "document",
            "title": "T<",
            "source": {"type": "text", "media_type": "text/plain", "data": "«words»"},
        },
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_2"}},
    ]
)
text_blocks = texts.map(lambda text: {"type": "text", "text": text})
thinking = st.builds(
    lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature},
    texts | st.just(""),
    st.sampled_from(SIGNATURES),
)
redacted = st.just(msgspec.to_builtins(RedactedThinking("ZW5jcnlwdGVk")))
result_contents = texts | st.just("") | st.lists(text_blocks | images | documents, max_size=3)


@st.composite
def answers(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    """What an assistant said: thinking, texts and calls; at least one of the latter two."""
    content: list[dict[str, Any]] = draw(st.lists(thinking | thinking | text_blocks | redacted, max_size=3))
    calls = draw(st.integers(0, 3))
    for index in range(calls):
        id = draw(st.sampled_from(["toolu_", "call_00_", "call_" + "x" * 60])) + f"{number}_{index}"  # noqa: A001
        name = draw(st.sampled_from(TOOL_NAMES))
        content += draw(st.lists(thinking, max_size=1))
        content.append({"type": "tool_use", "id": id, "name": name, "input": draw(inputs)})
    if not any(block["type"] in {"text", "tool_use"} for block in content):
        content.append(draw(text_blocks))
    return content


@st.composite
def replies(draw: st.DrawFn, answer: Sequence[dict[str, Any]]) -> list[Turn]:
    """What comes after an answer: results, perhaps not of all calls, then what the user says."""
    content: list[dict[str, Any]] = []
    for block in answer:
        if block["type"] == "tool_use" and draw(st.integers(0, 9)):
            result = {"type": "tool_result", "tool_use_id": block["id"], "content": draw(result_contents)}
            content.append({**result, **draw(st.sampled_from([{}, {"is_error": True}, {"is_error": False}]))})
    content = [*draw(st.permutations(content))]
    more = st.lists(text_blocks | images | documents, min_size=not content, max_size=2)
    content += draw(more)
    is_text = len(content) == 1 and content[0]["type"] == "text" and draw(st.booleans())
    user = {"role": "user", "content": content[0]["text"] if is_text else content}
    system = {"role": "system", "content": draw(texts)}
    return [user, system] if draw(st.integers(0, 5)) == 0 else [user]


@st.composite
def conversations(draw: st.DrawFn, max_rounds: int = 4) -> list[list[Turn]]:
    """Rounds of turns; each round ends where a client asks."""
    rounds: list[list[Turn]] = [draw(replies([]))]
    for number in range(draw(st.integers(1, max_rounds))):
        answer = draw(answers(number))
        rounds.append([{"role": "assistant", "content": answer}, *draw(replies(answer))])
    return rounds


systems = texts | st.lists(text_blocks, min_size=1, max_size=3)

TOOLS = [
    {
        "name": name,
        "description": f"What {name} does.",
        "input_schema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}, "a": {"enum": ["z", "b"]}},
            "required": ["path"],
        },
    }
    for name in TOOL_NAMES
]


def grown(rounds: Sequence[Sequence[Turn]]) -> list[list[Turn]]:
    """The turns of each request of a growing conversation."""
    return [[turn for each in rounds[: end + 1] for turn in each] for end in range(len(rounds))]


LONG_ID = "toolu_vrtx_" + "01" * 20  # longer than OpenAI takes


def _call(number: int, name: str, given: bytes) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"{LONG_ID}{number}", "name": name, "input": Raw(given)}


def _result(number: int, content: Any, **members: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"{LONG_ID}{number}", "content": content, **members}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


CLAUDE_CODE_SYSTEM = [
    _text("You are Claude Code, Anthropic's official CLI for Claude."),
    _text("You are an interactive agent that helps users with software engineering tasks.\n\nEnvironment: linux"),
]

CLAUDE_CODE: list[list[Turn]] = [
    [
        {
            "role": "user",
            "content": [_text("<system-reminder>\nCLAUDE.md\n</system-reminder>"), _text("Fix the test")],
        }
    ],
    [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Look first.", "signature": SIGNATURES[2]},
                _text("I'll look."),
                _call(1, "Read", b'{"path": "/src/a.py", "limit": 1.0, "a": 12345678901234567890}'),
                _call(2, "Bash", '{"command": "ls -la", "é": null}'.encode()),
                _call(3, LONG, b"{}"),
            ],
        },
        {
            "role": "user",
            "content": [_result(1, "1\tdef f():"), _result(2, "no such file", is_error=True), _result(3, "")],
        },
    ],
    [
        {"role": "assistant", "content": [_text("Take a picture."), _call(4, "Bash", b'{"command":"shot"}')]},
        {
            "role": "user",
            "content": [
                _result(
                    4,
                    [
                        _text("shot.png"),
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    ],
                ),
                _text("[Request interrupted by user]"),
                _text("Use this"),
                {
                    "type": "document",
                    "title": "Spec",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                },
            ],
        },
    ],
    [
        {"role": "assistant", "content": [_text("Two"), _text("texts"), _call(5, "Read", b'{"path":"b"}')]},
        {"role": "user", "content": "wait"},
    ],
    [
        {"role": "assistant", "content": [_text("Waiting."), _text("What next?")]},
        {"role": "user", "content": "stop"},
        {"role": "system", "content": "The user has switched to plan mode."},
    ],
    [
        {"role": "assistant", "content": "Done."},
        {
            "role": "user",
            "content": [
                _text("Thanks"),
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            ],
        },
    ],
]
"""A text, thinking, parallel calls with an error, media in results, an interrupted call, a mode switch."""
