"""The conversation: turns, system messages in it, images, documents."""

from typing import Any

from compatibility.cells import Cell, dropped, each, feature, has, left_out, refused, said

TURNS = "Turns"
MEDIA = "Images and documents"

DATA = "QUFBQUFBQUE="
PNG = {"type": "base64", "media_type": "image/png", "data": DATA}
PDF = {"type": "base64", "media_type": "application/pdf", "data": DATA}
AT = "https://example.com/thing"


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A user's turn."""
    return {"role": "user", "content": [*blocks]}


def text(said: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": said}


@feature(
    TURNS,
    "user text",
    each(
        said("messages.0.content", "What is it?"),
        responses=said("input.0.content.0.text", "What is it?"),
        gemini=said("contents.0.parts.0.text", "What is it?"),
    ),
)
def test_user_text(cell: Cell):
    """The first thing there is."""
    cell.says({"role": "user", "content": "What is it?"}, mark="What is it")


@feature(
    TURNS,
    "several user text blocks",
    each(
        said("messages.0.content.1.text", "And that?"),
        responses=said("input.0.content.1.text", "And that?"),
        gemini=said("contents.0.parts.1.text", "And that?"),
        deepseek=said("messages.0.content", "What is it?\n\nAnd that?"),
    ),
)
def test_user_blocks(cell: Cell):
    """Claude Code puts reminders beside what the user says."""
    cell.says(user(text("What is it?"), text("And that?")), mark="And that")


ANSWERED = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "Yes?"})


@feature(
    TURNS,
    "assistant text",
    each(
        said("messages.1", {"role": "assistant", "content": "Yes?"}),
        responses=said("input.1.content.0", {"type": "output_text", "text": "Yes?"}),
        gemini=said("contents.1", {"role": "model", "parts": [{"text": "Yes?"}]}),
    ),
)
def test_assistant_text(cell: Cell):
    """What the model said before."""
    cell.says(*ANSWERED, {"role": "user", "content": "No."}, mark="Yes?")


@feature(
    TURNS,
    "neighbouring turns of one role",
    each(
        said("messages.0.content.1.text", "And that?"),
        responses=said("input.0.content.1.text", "And that?"),
        gemini=said("contents.0.parts.1.text", "And that?"),
        deepseek=said("messages.0.content", "What is it?\n\nAnd that?"),
    ),
)
def test_neighbours(cell: Cell):
    """Anthropic joins them; Gemini refuses them."""
    cell.says(user(text("What is it?")), user(text("And that?")), mark="And that")


@feature(
    TURNS,
    "`role: system` in the middle",
    each(
        said("messages.1", {"role": "system", "content": "Stop soon."}),
        responses=said("input.1.role", "developer"),
        gemini=said(
            "contents.0.parts.1.text", has("<system-reminder>", "Stop soon."), detail="`<system-reminder>`"
        ),
    ),
    "Gemini has one system instruction; what comes later is marked as Claude Code marks its reminders.",
)
def test_system_turn(cell: Cell):
    """Claude Code speaks so, and the order matters."""
    cell.says(user(text("hi")), {"role": "system", "content": "Stop soon."}, mark="Stop soon")


@feature(
    TURNS,
    "`clear_at: next_user_message` of a system turn",
    each(left_out("not shown later, as at Anthropic")),
)
def test_clear_at(cell: Cell):
    """A reminder for one turn must not command in the next."""
    once = {"role": "system", "content": "Only now.", "clear_at": "next_user_message"}
    cell.says(user(text("hi")), once, *ANSWERED[1:], user(text("And?")), mark="Only now")


@feature(
    TURNS,
    "prefill (the last turn is the assistant's)",
    each(refused(400, "does not support assistant message prefill")),
    "A prefill is refused in the words of Anthropic's current models. The relay leaves it to Anthropic.",
)
def test_prefill(cell: Cell):
    """A provider without it would answer something else, and nobody would know."""
    cell.says({"role": "user", "content": "hi"}, {"role": "assistant", "content": "I am"}, mark="I am")


def history(*blocks: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """A conversation whose assistant said these blocks too."""
    said = {"role": "assistant", "content": [text("Let me see."), *blocks]}
    return {"role": "user", "content": "hi"}, said, {"role": "user", "content": "go on"}


@feature(
    TURNS,
    "`server_tool_use`, `web_search_tool_result` in the history",
    each(
        said("messages.1.content", has("[web_search: old-query]", "- W: https://w.org"), detail="as text"),
        responses=said("input.2.content.0.text", has("[web_search: old-query]"), detail="as text"),
        gemini=said("contents.1.parts.1.text", has("[web_search: old-query]"), detail="as text"),
    ),
    "So are fetched pages, code that ran and tools that were found. Of what a search found, titles and addresses "
    "alone can be read elsewhere.",
)
def test_server_tool_history(cell: Cell):
    """What Anthropic's server did in an earlier turn: who does not know it does it again."""
    used = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "old-query"}}
    page = {"type": "web_search_result", "title": "W", "url": "https://w.org", "encrypted_content": "e"}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]}
    cell.says(*history(used, found), mark="old-query")


@feature(
    TURNS,
    "`mcp_tool_use`, `mcp_tool_result` in the history",
    each(dropped("messages.content.mcp_tool_result", "messages.content.mcp_tool_use")),
)
def test_mcp_history(cell: Cell):
    """What Anthropic's server called in an earlier turn."""
    used = {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "old-name", "server_name": "s", "input": {}}
    result = {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": []}
    cell.says(*history(used, result), mark="old-name")


@feature(TURNS, "`container_upload`", each(dropped("messages.content.container_upload")))
def test_container_upload(cell: Cell):
    """A file for the container that Anthropic's server runs."""
    cell.says(user(text("hi"), {"type": "container_upload", "file_id": "file_upload"}), mark="file_upload")


@feature(TURNS, "a block of a type that is not known", each(dropped("messages.content.next_years_block")))
def test_unknown_block(cell: Cell):
    """What Anthropic adds next year reaches Anthropic, and is named elsewhere."""
    cell.says(user(text("hi"), {"type": "next_years_block", "value": "next-value"}), mark="next-value")


def image(source: dict[str, Any]) -> dict[str, Any]:
    """An image block."""
    return {"type": "image", "source": source}


def document(source: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A document block."""
    return {"type": "document", "source": source, **members}


DATA_URL = f"data:image/png;base64,{DATA}"
PDF_URL = f"data:application/pdf;base64,{DATA}"


@feature(
    MEDIA,
    "`image`, base64",
    each(
        said("messages.0.content.1.image_url.url", DATA_URL),
        responses=said("input.0.content.1.image_url", DATA_URL, detail="`input_image`"),
        gemini=said("contents.0.parts.1.inlineData", {"mimeType": "image/png", "data": DATA}),
        deepseek=dropped("messages.content.image"),
    ),
    "DeepSeek's API takes text alone: a remark that an image or a PDF was left out takes its place.",
)
def test_image_base64(cell: Cell):
    """Screenshots."""
    cell.says(user(text("What is it?"), image(PNG)), mark=DATA)


@feature(
    MEDIA,
    "`image`, url",
    each(
        said("messages.0.content.1.image_url.url", AT),
        responses=said("input.0.content.1.image_url", AT, detail="`input_image`"),
        gemini=said("contents.0.parts.1.fileData.fileUri", AT),
        deepseek=dropped("messages.content.image"),
    ),
    "What a URL names is fetched by the provider, never by CCProxy.",
)
def test_image_url(cell: Cell):
    """The provider fetches it; CCProxy never does, so it cannot be made to."""
    cell.says(user(text("What is it?"), image({"type": "url", "url": AT})), mark=AT)


@feature(
    MEDIA,
    "`image`, file (Files API)",
    each(dropped("messages.content.image.file"), deepseek=dropped("messages.content.image")),
    "Files of Anthropic's Files API are known to Anthropic alone.",
)
def test_image_file(cell: Cell):
    """Only Anthropic has the file."""
    cell.says(user(text("What is it?"), image({"type": "file", "file_id": "file_abc"})), mark="file_abc")


@feature(
    MEDIA,
    "`image` as GIF",
    each(
        said("messages.0.content.1.image_url.url", f"data:image/gif;base64,{DATA}"),
        responses=said("input.0.content.1.image_url", f"data:image/gif;base64,{DATA}", detail="`input_image`"),
        gemini=dropped("messages.content.image.base64"),
        deepseek=dropped("messages.content.image"),
    ),
    "Gemini takes PNG, JPEG, WebP, HEIC and HEIF.",
)
def test_image_gif(cell: Cell):
    """Anthropic takes JPEG, PNG, GIF and WebP."""
    cell.says(user(text("What is it?"), image({**PNG, "media_type": "image/gif"})), mark=DATA)


@feature(
    MEDIA,
    "`document`, PDF as base64",
    each(
        said("messages.0.content.1.file.file_data", PDF_URL),
        responses=said("input.0.content.1.file_data", PDF_URL, detail="`input_file`"),
        gemini=said("contents.0.parts.1.inlineData.mimeType", "application/pdf", detail="`inlineData`"),
        deepseek=dropped("messages.content.document"),
    ),
)
def test_pdf(cell: Cell):
    """Claude Code reads PDF files."""
    cell.says(user(text("Sum it up."), document(PDF)), mark=DATA)


@feature(
    MEDIA,
    "`document`, PDF by url",
    each(
        dropped("messages.content.document.url"),
        responses=said("input.0.content.1.file_url", AT, detail="`file_url`"),
        gemini=said("contents.0.parts.1.fileData.fileUri", AT),
        deepseek=dropped("messages.content.document"),
        openrouter=said("messages.0.content.1.file.file_data", AT),
    ),
)
def test_pdf_url(cell: Cell):
    """Chat Completions of OpenAI takes no address of a file."""
    cell.says(user(text("Sum it up."), document({"type": "url", "url": AT})), mark=AT)


@feature(
    MEDIA,
    "`document`, plain text",
    each(
        said("messages.0.content.1.text", has("Dear Sir", "<document")),
        responses=said("input.0.content.1.text", has("Dear Sir", "<document")),
        gemini=said("contents.0.parts.1.text", has("Dear Sir", "<document")),
        deepseek=said("messages.0.content", has("Dear Sir", "<document")),
    ),
)
def test_text_document(cell: Cell):
    """The text is what counts."""
    source = {"type": "text", "media_type": "text/plain", "data": "Dear Sir"}
    cell.says(user(text("Sum it up."), document(source)), mark="Dear Sir")


@feature(
    MEDIA,
    "`document` made of blocks",
    each(
        said("messages.0.content.2.text", "Dear Sir"),
        responses=said("input.0.content.2.text", "Dear Sir"),
        gemini=said("contents.0.parts.2.text", "Dear Sir"),
        deepseek=said("messages.0.content", has("Dear Sir")),
    ),
)
def test_document_of_blocks(cell: Cell):
    """In the order of the blocks."""
    source = {"type": "content", "content": [text("Dear Sir")]}
    cell.says(user(text("Sum it up."), document(source)), mark="Dear Sir")


@feature(
    MEDIA,
    "`document`, file (Files API)",
    each(dropped("messages.content.document.file"), deepseek=dropped("messages.content.document")),
)
def test_document_file(cell: Cell):
    """Only Anthropic has the file."""
    cell.says(user(text("Sum it up."), document({"type": "file", "file_id": "file_abc"})), mark="file_abc")


@feature(
    MEDIA,
    "`title` of a text document",
    each(
        said("messages.0.content.1.text", has('title="Letter"')),
        responses=said("input.0.content.1.text", has('title="Letter"')),
        gemini=said("contents.0.parts.1.text", has('title="Letter"')),
        deepseek=said("messages.0.content", has('title="Letter"')),
    ),
)
def test_document_title(cell: Cell):
    """What the user calls it by."""
    source = {"type": "text", "media_type": "text/plain", "data": "Dear Sir"}
    cell.says(user(text("Sum it up."), document(source, title="Letter")), mark="Letter")


@feature(
    MEDIA,
    "`title` of a PDF",
    each(
        said("messages.0.content.1.file.filename", "Letter.pdf"),
        responses=said("input.0.content.1.filename", "Letter.pdf", detail="`filename`"),
        gemini=said("contents.0.parts.1.text", has('title="Letter"')),
        deepseek=dropped("messages.content.document"),
    ),
)
def test_pdf_title(cell: Cell):
    """What the user calls it by."""
    cell.says(user(text("Sum it up."), document(PDF, title="Letter")), mark="Letter")


@feature(
    MEDIA,
    "`context` of a PDF",
    each(
        dropped("messages.content.document.context"),
        gemini=said("contents.0.parts.1.text", has('context="Secondhand"')),
        deepseek=dropped("messages.content.document"),
    ),
)
def test_pdf_context(cell: Cell):
    """What is to be known of it."""
    cell.says(user(text("Sum it up."), document(PDF, context="Secondhand")), mark="Secondhand")


@feature(
    MEDIA,
    "`document.citations`",
    each(dropped("messages.content.document.citations")),
    "Documents are read by every provider; that an answer quotes them place by place is Anthropic's alone.",
)
def test_citations(cell: Cell):
    """The answer quotes nothing: whoever asked for quotes must know."""
    source = {"type": "text", "media_type": "text/plain", "data": "Dear Sir"}
    cell.says(user(text("Sum it up."), document(source, citations={"enabled": True})), mark='citations"')


@feature(
    MEDIA,
    "`search_result`",
    each(
        said("messages.0.content.1.text", has("<search_result", "It rains", AT)),
        responses=said("input.0.content.1.text", has("<search_result", "It rains", AT)),
        gemini=said("contents.0.parts.1.text", has("<search_result", "It rains", AT)),
        deepseek=said("messages.0.content", has("<search_result", "It rains", AT)),
    ),
)
def test_search_result(cell: Cell):
    """What the caller has found, with its source."""
    found = {"type": "search_result", "source": AT, "title": "Weather", "content": [text("It rains")]}
    cell.says(user(text("Well?"), found), mark="It rains")
