"""What images and documents cost: by their size, where the first bytes tell it.

Sources: https://platform.claude.com/docs/en/build-with-claude/vision (width x height / 750, at most some 1,600)
and /pdf-support (1,500 to 3,000 tokens of text for a page, and its image); the formats' own specifications.
"""

import binascii
import re
from collections.abc import Callable

from ccproxy.messages import Base64Source, Image

IMAGE_TOKENS = 1_600  # the most for one image, which is larger ones made smaller
LEAST_IMAGE_TOKENS = 260  # Gemini asks 258 for the smallest, OpenAI 255
PIXELS_PER_TOKEN = 750
DOCUMENT_TOKENS = 3_000  # a page or a few, where the document is not there to measure
DOCUMENT_TOKENS_PER_KIB = 25  # a PDF page is some 100 KiB and 2,500 tokens

_HEADER_CHARS = 64  # of base64: enough for every format but JPEG
_JPEG_CHARS = 128 << 10  # a JPEG may begin with a thumbnail and a colour profile

_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..\x08(..)(..)", re.DOTALL)


def image_tokens(image: Image) -> int:
    """Tokens of an image; of one that is elsewhere, or of no known format, the most."""
    pixels = _pixels(image.source.data) if isinstance(image.source, Base64Source) else 0
    if not pixels:
        return IMAGE_TOKENS
    return min(max(pixels // PIXELS_PER_TOKEN, LEAST_IMAGE_TOKENS), IMAGE_TOKENS)


def document_tokens(data: str) -> int:
    """Tokens of a PDF as base64 text: by its length, for its pages are compressed."""
    return round(len(data) * 3 / 4 / 1024 * DOCUMENT_TOKENS_PER_KIB)


def _pixels(data: str) -> int:
    """Width times height; 0 where the first bytes do not tell."""
    head = _decoded(data, _HEADER_CHARS)
    for magic, read in _FORMATS:
        if magic.match(head):
            width, height = read(data, head)
            return width * height
    return 0


def _decoded(data: str, chars: int) -> bytes:
    start = data[: min(chars, len(data)) // 4 * 4]
    try:
        return binascii.a2b_base64(start)
    except ValueError:
        return b""


def _png(_: str, head: bytes) -> tuple[int, int]:
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def _gif(_: str, head: bytes) -> tuple[int, int]:
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _webp(_: str, head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case _:
            return 0, 0


def _jpeg(data: str, _: bytes) -> tuple[int, int]:
    """Of the largest frame: a thumbnail comes before the image itself."""
    frames = _FRAME.findall(_decoded(data, _JPEG_CHARS))
    sizes = [(int.from_bytes(width), int.from_bytes(height)) for height, width in frames]
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[str, bytes], tuple[int, int]]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
)
