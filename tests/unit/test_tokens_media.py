"""The sizes of images, read from their first bytes."""

import base64
import struct
from collections.abc import Callable

import pytest

from ccproxy.messages import Base64Source, Image, UrlSource
from ccproxy.tokens.media import IMAGE_TOKENS, LEAST_IMAGE_TOKENS, image_tokens


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x06\x00\x00\x00"


def gif(width: int, height: int) -> bytes:
    """The beginning of a GIF."""
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(20)


def lossy_webp(width: int, height: int) -> bytes:
    """The beginning of a WebP with a VP8 frame."""
    return b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height)


def lossless_webp(width: int, height: int) -> bytes:
    """The beginning of a WebP with a VP8L frame."""
    bits = (width - 1) | (height - 1) << 14
    return b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(4) + b"\x2f" + struct.pack("<I", bits) + bytes(10)


def extended_webp(width: int, height: int) -> bytes:
    """The beginning of a WebP with a canvas."""
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + sizes


def jpeg(width: int, height: int) -> bytes:
    """A JPEG with a profile of 40 KiB, and a smaller frame in front: a thumbnail."""
    thumbnail = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 120, 160)
    frame = b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03"
    return b"\xff\xd8\xff\xe1" + thumbnail + bytes(40 << 10) + frame


def priced(data: bytes) -> int:
    """What an image costs."""
    return image_tokens(Image(Base64Source("image/x", base64.b64encode(data).decode())))


FORMATS = [png, gif, lossy_webp, lossless_webp, extended_webp, jpeg]


@pytest.mark.parametrize("made", FORMATS)
def test_an_image_is_priced_by_its_pixels(made: Callable[[int, int], bytes]):
    """Screenshots are small images, and many."""
    assert priced(made(1000, 600)) == 800


@pytest.mark.parametrize("made", FORMATS)
def test_an_image_has_a_least_and_a_most(made: Callable[[int, int], bytes]):
    """Large ones are made smaller by the provider."""
    assert priced(made(10, 10)) == LEAST_IMAGE_TOKENS
    assert priced(made(4000, 3000)) == IMAGE_TOKENS


@pytest.mark.parametrize(
    "data", [b"", b"BM", b"\xff\xd8\xff\xe0", b"RIFF\x00\x00\x00\x00WEBPVP8?" + bytes(20), b"\x89PNG\r\n\x1a\n"]
)
def test_an_image_that_does_not_tell_costs_the_most(data: bytes):
    """Too much is better than too little."""
    assert priced(data) == IMAGE_TOKENS


def test_no_base64_costs_the_most():
    """The provider will refuse it; nothing fails here."""
    assert image_tokens(Image(Base64Source("image/png", "!äää"))) == IMAGE_TOKENS


def test_an_image_elsewhere_costs_the_most():
    """It is never fetched."""
    assert image_tokens(Image(UrlSource("https://h.example/x.png"))) == IMAGE_TOKENS
